//! A TLS server on loopback, by rustls and std alone, for the tests of the driver.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use keel_net::driver::{Security, tls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A server's side of TLS.
pub(crate) type TlsStream = StreamOwned<ServerConnection, TcpStream>;

/// An authority of our own and a server certificate for `localhost`.
pub(crate) struct Pki {
    authority_pem: String,
    server: Arc<ServerConfig>,
}

impl Pki {
    /// A certificate for `name`, valid until the begin of that year.
    pub(crate) fn new(name: &str, not_after_year: i32) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        // Two authorities of one name would differ in their signatures only.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed); // only to differ
        authority.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut server = CertificateParams::new(vec![name.to_owned()]).unwrap();
        server.not_after = rcgen::date_time_ymd(not_after_year, 1, 1);
        let certificate = server.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { authority_pem, server: Arc::new(server) }
    }

    /// A certificate that is in order.
    pub(crate) fn good() -> Self {
        Self::new("localhost", 4000)
    }

    /// What a client needs to trust it.
    pub(crate) fn security(&self) -> Security {
        let config = tls::client_config(tls::Roots::Pem(self.authority_pem.as_bytes())).unwrap();
        Security::Tls { config, name: tls::server_name("localhost").unwrap() }
    }

    /// Runs `serve` on the first connection, with TLS, in a thread of its own.
    pub(crate) fn serve<T: Send + 'static>(
        &self,
        serve: impl FnOnce(TlsStream) -> T + Send + 'static,
    ) -> (SocketAddr, JoinHandle<T>) {
        let config = self.server.clone();
        listen(move |tcp| serve(StreamOwned::new(ServerConnection::new(config).unwrap(), tcp)))
    }
}

/// Runs `serve` on the first connection, in a thread of its own.
pub(crate) fn listen<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || serve(listener.accept().unwrap().0)))
}
