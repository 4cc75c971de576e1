//! Secrets: a key of the venue, from a file that nobody else can read or from the environment.
//!
//! A secret is never in the configuration or on the command line, never printed, and is wiped from
//! memory when it is dropped.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use crate::os;

/// A text that must not be seen. It has no `Debug`, `Display`, `Clone` or serialization.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text in; the caller's copy is gone with it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that signs with it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A key of the venue with what signs for it.
pub struct ApiKey {
    /// The public part. Identifies an account, so it is shown by its first characters only.
    pub key: String,
    /// What signs.
    pub secret: Secret,
    /// What accompanies the signature.
    pub passphrase: Secret,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: String = self.key.chars().take(SHOWN).collect();
        write!(f, "ApiKey({shown}…)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither a file nor the environment has one.
    #[error(
        "no API key: name a key file as `[venue] key_file`, or set KEEL_API_KEY, KEEL_API_SECRET \
         and KEEL_API_PASSPHRASE"
    )]
    Missing,
    /// Both have one.
    #[error(
        "an API key is in the environment and a key file is configured: remove one, so that it is \
         certain which account trades"
    )]
    Both,
    /// Only some of the three variables are set.
    #[error("{0} is not set, while other KEEL_API_… variables are")]
    Incomplete(&'static str),
    /// The file cannot be read.
    #[error("key file {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a regular file: a link, a pipe, a device, a directory.
    #[error("key file {0} is not a regular file")]
    NotAFile(PathBuf),
    /// Others may read or change it.
    #[error("key file {path} has mode {mode:04o}: only its owner may have any right (chmod 600)")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("key file {path} belongs to user {owner}, this process acts as {user}")]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Not three lines `name = value`. The content is not shown.
    #[error("key file {path}, line {line}: {what}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// The line, from 1; 0 for the file as a whole.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A value is empty or holds white space or a character that no key has.
    #[error("{0} is empty, or holds white space or a character that no key has")]
    Value(&'static str),
}

/// The key from `file`, or from the environment when no file is named.
///
/// # Errors
/// As [`SecretError`] says; its texts never hold a secret.
pub fn load(file: Option<&Path>) -> Result<ApiKey, SecretError> {
    load_with(file, |name| env::var(name).ok())
}

/// The key in `file`, whatever the environment holds.
///
/// # Errors
/// As [`load`].
pub fn read(file: &Path) -> Result<ApiKey, SecretError> {
    read_file(file)
}

fn load_with(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<ApiKey, SecretError> {
    let found = VARIABLES.map(|name| variable(name).filter(|value| !value.is_empty()));
    let any = found.iter().any(Option::is_some);
    match (file, any) {
        (Some(_), true) => Err(SecretError::Both),
        (Some(path), false) => read_file(path),
        (None, false) => Err(SecretError::Missing),
        (None, true) => {
            let [key, secret, passphrase] = found;
            checked([
                key.ok_or(SecretError::Incomplete(VARIABLES[0]))?,
                secret.ok_or(SecretError::Incomplete(VARIABLES[1]))?,
                passphrase.ok_or(SecretError::Incomplete(VARIABLES[2]))?,
            ])
        }
    }
}

fn read_file(path: &Path) -> Result<ApiKey, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    let at = |line, what| SecretError::Format { path: path.to_owned(), line, what };
    // A link is refused by its own metadata; the open file is then checked again by its descriptor,
    // so that what was checked is what is read.
    if !fs::symlink_metadata(path).map_err(failed)?.file_type().is_file() {
        return Err(SecretError::NotAFile(path.to_owned()));
    }
    let mut options = File::options();
    let mut file = options
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    check_owner(path, &file.metadata().map_err(failed)?)?;
    let mut text = Zeroizing::new(String::new());
    let read = file.by_ref().take(FILE_MAX + 1).read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 > FILE_MAX => return Err(at(0, "longer than 4 KiB")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(at(0, "not UTF-8 text"));
        }
        Err(error) => return Err(failed(error)),
    }
    let mut found: [Option<String>; 3] = [None, None, None];
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or(at(number + 1, "expected `name = value`"))?;
        let place = NAMES
            .iter()
            .position(|&known| known == name.trim())
            .ok_or(at(number + 1, "the names are key, secret and passphrase"))?;
        if found[place].replace(value.trim().to_owned()).is_some() {
            return Err(at(number + 1, "given twice"));
        }
    }
    let [Some(key), Some(secret), Some(passphrase)] = found else {
        return Err(at(0, "must hold key, secret and passphrase, each as `name = value`"));
    };
    checked([key, secret, passphrase])
}

fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), SecretError> {
    let path = path.to_owned();
    if !metadata.is_file() {
        return Err(SecretError::NotAFile(path));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Mode { path, mode });
    }
    let (owner, user) = (metadata.uid(), os::effective_user());
    if owner != user {
        return Err(SecretError::Owner { path, owner, user });
    }
    Ok(())
}

fn checked(values: [String; 3]) -> Result<ApiKey, SecretError> {
    for (value, name) in values.iter().zip(NAMES) {
        if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Value(name));
        }
    }
    let [key, secret, passphrase] = values;
    Ok(ApiKey { key, secret: Secret::new(secret), passphrase: Secret::new(passphrase) })
}

impl Drop for ApiKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

const VARIABLES: [&str; 3] = ["KEEL_API_KEY", "KEEL_API_SECRET", "KEEL_API_PASSPHRASE"];
const NAMES: [&str; 3] = ["key", "secret", "passphrase"];
/// Longest key file.
const FILE_MAX: u64 = 4_096;
/// Characters of a key that are shown.
const SHOWN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const GOOD: &str = "# demo account\nkey = bg_0123456789\nsecret = s3cr3t\npassphrase=p4ss\n";

    fn written(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("venue.key");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode set");
        (dir, path)
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn error(result: Result<ApiKey, SecretError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn a_key_file_of_its_owner_is_read() {
        let (_dir, path) = written(GOOD, 0o600);
        let key = load_with(Some(&path), nothing).expect("a key");
        assert_eq!(key.key, "bg_0123456789");
        assert_eq!((key.secret.expose(), key.passphrase.expose()), ("s3cr3t", "p4ss"));
        assert_eq!(format!("{key:?}"), "ApiKey(bg_012…)");
    }

    #[test]
    fn a_file_that_others_may_touch_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o601] {
            let (_dir, path) = written(GOOD, mode);
            assert!(error(load_with(Some(&path), nothing)).contains(&format!("{mode:04o}")));
        }
    }

    #[test]
    fn links_directories_and_pipes_are_no_key_files() {
        let (dir, path) = written(GOOD, 0o600);
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        for bad in [link.as_path(), dir.path()] {
            assert!(error(load_with(Some(bad), nothing)).contains("not a regular file"));
        }
        assert!(error(load_with(Some(Path::new("/dev/zero")), nothing)).contains("regular"));
        assert!(error(load_with(Some(&dir.path().join("none")), nothing)).contains("none"));
    }

    #[test]
    fn a_damaged_key_file_is_refused_without_showing_its_content() {
        let long = format!("key = {}\n", "x".repeat(5_000));
        for (text, part) in [
            ("", "must hold"),
            ("key = a\nsecret = b\n", "must hold"),
            ("key = a\nkey = b\nsecret = c\npassphrase = d\n", "line 2: given twice"),
            ("key = a\nsecrets = HUSH\npassphrase = d\n", "line 2: the names are"),
            ("HUSH\n", "line 1: expected"),
            ("key = a\nsecret =\npassphrase = d\n", "secret is empty"),
            ("key = a\nsecret = HUSH HUSH\npassphrase = d\n", "secret is empty"),
            (long.as_str(), "longer than 4 KiB"),
        ] {
            let (_dir, path) = written(text, 0o600);
            let said = error(load_with(Some(&path), nothing));
            assert!(said.contains(part) && !said.contains("HUSH"), "{said}");
        }
    }

    #[test]
    fn the_environment_serves_whole_or_not_at_all() {
        let all = |name: &str| Some(format!("value-of-{name}"));
        assert_eq!(load_with(None, all).expect("a key").key, "value-of-KEEL_API_KEY");
        let partly = |name: &str| (name != "KEEL_API_SECRET").then(|| "x".to_owned());
        assert!(error(load_with(None, partly)).contains("KEEL_API_SECRET is not set"));
        assert!(error(load_with(None, nothing)).contains("no API key"));
        let (_dir, path) = written(GOOD, 0o600);
        assert!(error(load_with(Some(&path), all)).contains("remove one"));
    }
}
