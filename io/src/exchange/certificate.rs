//! The exchange's certificate and the authority that signs it, both made anew at each start.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::StartError;

/// Who the exchange is, to its clients.
#[derive(Debug)]
pub(super) struct Identity {
    /// The authority's certificate.
    pub(super) authority: CertificateDer<'static>,
    /// How connections are accepted.
    pub(super) server: Arc<ServerConfig>,
    pem: String,
}

impl Identity {
    /// An authority and a certificate for `localhost`, both loopback addresses and `address`.
    pub(super) fn new(address: IpAddr) -> Result<Self, StartError> {
        made(address).map_err(|error| StartError::Certificate(error.to_string()))
    }

    /// Writes the authority's certificate to `ca.pem` in `dir`.
    pub(super) fn write(&self, dir: &Path) -> Result<PathBuf, StartError> {
        let path = dir.join("ca.pem");
        match std::fs::write(&path, &self.pem) {
            Ok(()) => Ok(path),
            Err(source) => Err(StartError::Write { path, source }),
        }
    }
}

fn made(address: IpAddr) -> Result<Identity, Box<dyn std::error::Error>> {
    let authority_key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "keel exchange authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    if !address.is_loopback() {
        names.push(address.to_string());
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "keel exchange");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(Identity {
        authority: authority.der().clone(),
        server: Arc::new(server),
        pem: authority.pem(),
    })
}
