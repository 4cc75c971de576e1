//! TLS, client side: rustls with ring.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore};

use super::StreamError;

/// Whose certificates are trusted.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// The public authorities, as Mozilla lists them.
    Public,
    /// The authorities in this PEM text, and no others.
    Pem(&'a [u8]),
}

/// What all streams that trust `roots` share. TLS 1.3 with AES-128-GCM is preferred: with AES
/// instructions it is the fastest. Certificate and name are always checked.
pub fn client_config(roots: Roots<'_>) -> Result<Arc<ClientConfig>, RootsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::Public => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Pem(text) => {
            for certificate in CertificateDer::pem_slice_iter(text) {
                let certificate = certificate.map_err(|_| RootsError::NotPem)?;
                store.add(certificate).map_err(|_| RootsError::NotACertificate)?;
            }
        }
    }
    if store.is_empty() {
        return Err(RootsError::Empty);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.2 and 1.3")
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The name or address that a peer's certificate must be for.
pub fn server_name(host: &str) -> Result<ServerName<'static>, BadName> {
    ServerName::try_from(host.to_owned()).map_err(|_| BadName)
}

pub(super) fn connection(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<ClientConnection, StreamError> {
    let mut connection = ClientConnection::new(config, name).map_err(StreamError::Tls)?;
    connection.set_buffer_limit(Some(SEND_BYTES_MAX));
    Ok(connection)
}

fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != PREFERRED);
    provider
}

/// Why roots were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootsError {
    /// The text is not PEM.
    NotPem,
    /// A block of it is not a certificate that can sign others.
    NotACertificate,
    /// There is no certificate in it.
    Empty,
}

/// Neither a host name nor an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName;

const PREFERRED: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
/// Bytes that wait in TLS for the socket; the rest waits in the protocol.
const SEND_BYTES_MAX: usize = 64 << 10;
