//! The exchange host: the venue of `keel_sim` on sockets, in one thread of this process.
//!
//! It listens for REST and WebSocket on one address, over TLS with a certificate of an authority
//! that it makes at each start, or in plaintext where that is asked for; and for the administration
//! on a loopback port of its own. The venue decides everything; this moves bytes, keeps time, and
//! sleeps until the venue has something to do.

mod certificate;
mod file;
mod host;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use keel_sim::bitget::Exchange;
pub use keel_sim::bitget::{AccountPlan, ExchangeConfig, Limits};
use mio::Waker;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use socket2::SockRef;

use self::certificate::Identity;
pub use self::file::{AccountEntry, ExchangeFile, FileError, Permission, TransportEntry};
use self::host::{Host, Pace};

/// How an exchange is hosted.
#[derive(Clone, Debug)]
pub struct ExchangeOptions {
    /// Where clients are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Serves `http` and `ws` instead of `https` and `wss`.
    pub plaintext: bool,
    /// Where `ca.pem` is written; none writes no file.
    pub run_dir: Option<PathBuf>,
    /// How many times faster than real the venue's time runs; 1 or more.
    pub speed: u32,
    /// The same seed gives the same keys and the same market.
    pub seed: u64,
    /// The venue's accounts and limits.
    pub config: ExchangeConfig,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            plaintext: false,
            run_dir: None,
            speed: 1,
            seed: 1,
            config: ExchangeConfig::default(),
        }
    }
}

/// Where an exchange is and who may trade on it: the first line that `keel exchange` prints. It
/// holds secrets of the simulated accounts, which are worth nothing anywhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// Base URL of REST.
    pub rest: String,
    /// URL of the public WebSocket.
    pub ws_public: String,
    /// URL of the private WebSocket.
    pub ws_private: String,
    /// Base URL of the administration.
    pub admin: String,
    /// PEM file of the authority to be trusted; none in plaintext, or when no file was asked for.
    pub ca: Option<PathBuf>,
    /// Accounts with their keys.
    pub accounts: Vec<AnnouncedAccount>,
}

/// An account and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnnouncedAccount {
    /// A name for people.
    pub name: String,
    /// The venue's number of the user.
    pub uid: String,
    /// `ACCESS-KEY`.
    pub key: String,
    /// What signs.
    pub secret: String,
    /// `ACCESS-PASSPHRASE`.
    pub passphrase: String,
    /// The venue's words for what the key may do.
    pub permissions: Vec<&'static str>,
}

/// Why an exchange could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The time factor is not 1 or more.
    #[error("the speed of the exchange must be 1 or more")]
    Speed,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate could not be made.
    #[error("cannot make the certificate of the exchange: {0}")]
    Certificate(String),
    /// The certificate of the authority could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread or what it waits on could not be made.
    #[error("cannot start the exchange: {0}")]
    Thread(#[from] io::Error),
}

/// Starts an exchange in a thread of its own.
///
/// # Errors
/// [`StartError`]; nothing is left running then.
pub fn start(options: ExchangeOptions) -> Result<ExchangeHandle, StartError> {
    if options.speed == 0 {
        return Err(StartError::Speed);
    }
    let api = listen(options.listen)?;
    let admin = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let (address, admin_address) = (api.local_addr()?, admin.local_addr()?);
    let identity =
        if options.plaintext { None } else { Some(Identity::new(reachable(address.ip()))?) };
    let ca = match (&identity, &options.run_dir) {
        (Some(identity), Some(dir)) => Some(identity.write(dir)?),
        _ => None,
    };
    let handshake = Duration::from_nanos(options.config.limits.handshake_ns.unsigned_abs());
    let pace = Pace::start(options.speed);
    let exchange = Exchange::new(options.config, options.seed, pace.now());
    let announcement = announce(address, admin_address, identity.is_some(), ca, &exchange);
    let tls = identity.as_ref().map(|identity| (Arc::clone(&identity.server), handshake));
    let stop = Arc::new(AtomicBool::new(false));
    let host = Host::new(exchange, pace, (api, admin), tls, Arc::clone(&stop))?;
    let waker = host.waker();
    let thread = std::thread::Builder::new().name("exchange".into()).spawn(move || host.run())?;
    let ca_der = identity.map(|identity| identity.authority);
    Ok(ExchangeHandle { announcement, ca_der, stop, waker, thread: Some(thread) })
}

/// A running exchange. It stops when this is dropped.
#[derive(Debug)]
pub struct ExchangeHandle {
    announcement: Announcement,
    ca_der: Option<CertificateDer<'static>>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl ExchangeHandle {
    /// Where it is and who may trade on it.
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// The certificate of the authority to be trusted; none in plaintext.
    pub fn ca_der(&self) -> Option<&CertificateDer<'static>> {
        self.ca_der.as_ref()
    }

    /// Whether its thread has ended, by itself or because it was stopped.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops it and waits for its thread. All connections are cut.
    ///
    /// # Errors
    /// What ended the thread before it was asked to.
    pub fn stop(mut self) -> io::Result<()> {
        self.halt()
    }

    /// Waits until its thread ends by itself.
    ///
    /// # Errors
    /// What ended it.
    pub fn join(mut self) -> io::Result<()> {
        self.joined()
    }

    fn halt(&mut self) -> io::Result<()> {
        // Release: what was written before the order to stop is seen by the thread that obeys it.
        self.stop.store(true, Ordering::Release);
        self.waker.wake()?;
        self.joined()
    }

    fn joined(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the exchange's thread panicked")))
    }
}

impl Drop for ExchangeHandle {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.halt();
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener =
        TcpListener::bind(address).map_err(|source| StartError::Listen { address, source })?;
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit it. The system's own choice holds megabytes for each client that
    // does not read.
    SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok(listener)
}

/// What the system may hold for a client besides what the venue holds.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// The address by which a listener on this one is reached from this machine.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

fn announce(
    api: SocketAddr,
    admin: SocketAddr,
    tls: bool,
    ca: Option<PathBuf>,
    exchange: &Exchange,
) -> Announcement {
    let api = SocketAddr::from((reachable(api.ip()), api.port()));
    let (http, ws) = if tls { ("https", "wss") } else { ("http", "ws") };
    let accounts = exchange
        .keys()
        .map(|(account, key)| AnnouncedAccount {
            name: account.name.clone(),
            uid: account.uid.to_string(),
            key: key.key.clone(),
            secret: key.secret.clone(),
            passphrase: key.passphrase.clone(),
            permissions: keel_sim::bitget::permission_words(key.permissions),
        })
        .collect();
    Announcement {
        rest: format!("{http}://{api}"),
        ws_public: format!("{ws}://{api}/v3/ws/public"),
        ws_private: format!("{ws}://{api}/v3/ws/private"),
        admin: format!("http://{admin}"),
        ca,
        accounts,
    }
}

#[cfg(test)]
mod tests;
