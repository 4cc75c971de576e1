//! The reviewer's key: Ed25519, in a file that only its owner may read.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Others may read its file.
    #[error("{}: others may read it; chmod 600 it", .0.display())]
    Open(PathBuf),
    /// It is no key made by `keel golive keygen`.
    #[error("{0}")]
    Malformed(String),
}

/// A key that signs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Vec<u8>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().fingerprint())
    }
}

impl SigningKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn generate() -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random)
            .map_err(|_| KeyError::Malformed("the system gives no randomness".to_owned()))?;
        Self::of(pkcs8.as_ref().to_vec())
    }

    fn of(pkcs8: Vec<u8>) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
            .map_err(|error| KeyError::Malformed(format!("not an Ed25519 key: {error}")))?;
        Ok(Self { pair, pkcs8 })
    }

    /// Writes it to a new file, readable by its owner only.
    ///
    /// # Errors
    /// When the file is there already or cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |error| KeyError::File { path: path.to_owned(), error };
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        let text = format!("{HEAD}{}\n", hex(&self.pkcs8));
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Reads it.
    ///
    /// # Errors
    /// When others may read the file, or when it holds no key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |error| KeyError::File { path: path.to_owned(), error };
        if fs::metadata(path).map_err(failed)?.mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let not_ours = || KeyError::Malformed(format!("{}: not a key file", path.display()));
        let digits = text.strip_prefix(HEAD).ok_or_else(not_ours)?;
        Self::of(unhex(digits.trim()).ok_or_else(not_ours)?)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.pair.public_key().as_ref().to_vec())
    }

    /// A signature in hexadecimal.
    pub fn sign(&self, message: &[u8]) -> String {
        hex(self.pair.sign(message).as_ref())
    }
}

/// A key that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads its hexadecimal text.
    ///
    /// # Errors
    /// When it is not 32 bytes in hexadecimal.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = unhex(text).filter(|bytes| bytes.len() == 32);
        bytes.map(Self).ok_or_else(|| KeyError::Malformed("not a public key".to_owned()))
    }

    /// Its hexadecimal text.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// A short name of it: the first 16 digits of its BLAKE3 hash, in groups.
    pub fn fingerprint(&self) -> String {
        let digits = blake3::hash(&self.0).to_hex();
        let groups = digits.as_bytes()[..16].chunks(4);
        let words: Vec<_> = groups.map(|group| String::from_utf8_lossy(group)).collect();
        words.join("-")
    }

    /// True when `signature` (hexadecimal) is this key's over `message`.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.0);
        unhex(signature).is_some_and(|signature| key.verify(message, &signature).is_ok())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of lower-case hexadecimal digits; one text for each value, so that a changed letter is
/// a changed value.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

const HEAD: &str = "keel go-live signing key, Ed25519, PKCS #8. Keep it secret.\n";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_comes_back_from_its_file_and_signs_the_same() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reviewer.key");
        let key = SigningKey::generate().expect("a key");
        key.save(&path).expect("written");
        assert!(matches!(key.save(&path), Err(KeyError::File { .. })), "never written over");
        let back = SigningKey::load(&path).expect("read");
        assert_eq!(back.public(), key.public());
        let signature = back.sign(b"a message");
        assert!(key.public().verifies(b"a message", &signature));
        assert!(!key.public().verifies(b"another", &signature));
        assert!(!key.public().verifies(b"a message", &signature.to_uppercase()));
    }

    #[test]
    fn a_key_file_that_others_may_read_or_that_holds_no_key_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("reviewer.key");
        SigningKey::generate().expect("a key").save(&path).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert!(matches!(SigningKey::load(&path), Err(KeyError::Open(_))));
        for text in ["", "no key\n", HEAD, &format!("{HEAD}00ff\n"), &format!("{HEAD}zz\n")] {
            let path = dir.path().join("other.key");
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
            assert!(matches!(SigningKey::load(&path), Err(KeyError::Malformed(_))), "{text:?}");
        }
        assert!(PublicKey::parse("00").is_err());
        let shown = format!("{:?}", SigningKey::generate().expect("a key"));
        assert!(shown.len() < 40, "no secret in {shown}");
    }
}
