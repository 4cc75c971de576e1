//! TCP sockets as this crate wants them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// What differs between sockets. All are non-blocking and send without delay (`TCP_NODELAY`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    /// Discard what is queued when the socket is closed, also by the death of the process
    /// (`SO_LINGER` {1, 0}): for sockets that carry orders.
    pub abort_on_close: bool,
    /// How long the kernel may poll the device in a read, in microseconds (`SO_BUSY_POLL`); 0 for
    /// not at all. A host that does not allow it is not an error.
    pub busy_poll_us: u32,
}

/// Begins to connect; the socket becomes writable when that has ended, either way.
pub(super) fn connect(
    address: SocketAddr,
    options: SocketOptions,
) -> io::Result<mio::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if options.abort_on_close {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    #[cfg(target_os = "linux")]
    if options.busy_poll_us > 0 {
        // Raising it needs a privilege that most hosts do not give.
        let _ = socket.set_busy_poll(options.busy_poll_us);
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(mio::net::TcpStream::from_std(socket.into()))
}

/// `EINPROGRESS`, which the standard library has no stable name for.
#[cfg(target_os = "linux")]
const IN_PROGRESS: i32 = 115;
#[cfg(not(target_os = "linux"))]
const IN_PROGRESS: i32 = 36;
