//! TCP sockets as this crate wants them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

#[cfg(target_os = "linux")]
use socket2::SockRef;
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

/// Acknowledges to the peer what was read, now, and keeps reads to come from doing so (Linux's
/// delayed acknowledgment, tcp(7) `TCP_QUICKACK`).
///
/// On a socket that is only read, Linux sends the acknowledgment from within the read, before it
/// returns. That is the way of a whole packet down the stack, and it stands between a frame and the
/// order that answers it. Done here it stands behind. The kernel leaves the delayed mode by itself
/// when it has waited 40 ms in vain, so this is said again after every read.
pub(super) fn acknowledge(tcp: &mio::net::TcpStream) {
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(tcp);
        // Without it the peer is answered as the kernel likes: later, but in order.
        let _ = socket.set_tcp_quickack(true).and_then(|()| socket.set_tcp_quickack(false));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = tcp;
}

/// `EINPROGRESS`, which the standard library has no stable name for.
#[cfg(target_os = "linux")]
const IN_PROGRESS: i32 = 115;
#[cfg(not(target_os = "linux"))]
const IN_PROGRESS: i32 = 36;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn after_an_acknowledgment_the_next_read_sends_none() {
        let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = host.local_addr().expect("an address");
        let mut tcp = connect(address, SocketOptions::default()).expect("a socket");
        let (mut peer, _) = host.accept().expect("a peer");
        let quick = |tcp: &mio::net::TcpStream| SockRef::from(tcp).tcp_quickack().expect("TCP");
        assert!(quick(&tcp), "the kernel begins with prompt acknowledgments");
        peer.write_all(b"frame").expect("room");
        let mut bytes = [0; 8];
        while tcp.read(&mut bytes).is_err() {}
        acknowledge(&tcp);
        assert!(!quick(&tcp));
    }
}
