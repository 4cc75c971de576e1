//! TLS of both sides: one certificate made for the run, TLS 1.3 with AES-128-GCM first.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use keel_net::driver::Security;
use keel_net::driver::tls::{Roots, client_config, server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{CipherSuite, ClientConfig, ClientConnection, ServerConfig, StreamOwned};

/// Who the venue of a run is.
#[derive(Clone)]
pub struct Identity {
    /// How the venue accepts.
    pub server: Arc<ServerConfig>,
    /// How everybody else connects.
    pub client: Arc<ClientConfig>,
}

/// A client's stream over a socket that blocks until the handshake is done.
pub type ClientStream = StreamOwned<ClientConnection, TcpStream>;

/// The cipher that every lane uses.
pub const CIPHER: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;

impl Identity {
    /// A certificate for `localhost`, trusted by the clients of this run only.
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("a certificate for localhost can be made");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let server = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring has suites for TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key is the certificate's");
        let client = client_config(Roots::Pem(made.cert.pem().as_bytes())).expect("one root");
        Self { server: Arc::new(server), client }
    }

    /// How the product is to connect.
    pub fn security(&self) -> Security {
        let name = server_name("localhost").expect("a host name");
        Security::Tls { config: self.client.clone(), name }
    }

    /// Connects, and handshakes; from then on the socket does not block.
    pub fn connect(&self, address: SocketAddr) -> io::Result<ClientStream> {
        let name = server_name("localhost").expect("a host name");
        let tls = ClientConnection::new(self.client.clone(), name).map_err(io::Error::other)?;
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let suite = stream.conn.negotiated_cipher_suite().map(|suite| suite.suite());
        assert_eq!(suite, Some(CIPHER), "all lanes use one cipher");
        Ok(stream)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CIPHER);
    provider
}
