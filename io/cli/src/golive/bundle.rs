//! The bundle: what was judged, chained by hashes, and the signature over it.
//!
//! A bundle is a directory. `bundle.json` lists every other file with its BLAKE3 hash, and each
//! item is chained to the one before it; `signature.json`, made by `keel golive sign`, covers the
//! exact bytes of `bundle.json`. So one byte changed anywhere is seen, and so is a file too many.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keel_core::units::UnixNanos;
use keel_io::disk::OsFiles;
use keel_io::mode::live;
use serde_json::{Value, json};

use super::key::{PublicKey, SigningKey};
use super::text_of;

/// The list of what a bundle holds.
pub const BUNDLE_FILE: &str = "bundle.json";
/// The signature beside it.
pub const SIGNATURE_FILE: &str = "signature.json";
/// Version of the layout.
pub const SCHEMA: u64 = 2;

/// What is wrong with a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not what `keel golive check` writes.
    #[error("{file}: {what}")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        what: String,
    },
    /// Something was changed after it was made.
    #[error("changed after it was made: {0}")]
    Changed(String),
    /// It has no signature.
    #[error("not signed: `keel golive sign` makes {SIGNATURE_FILE}")]
    Unsigned,
    /// The signature is not of this bundle, or not of this key.
    #[error("the signature does not fit: {0}")]
    Forged(String),
}

/// A decision on a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Trade.
    Go,
    /// Do not.
    NoGo,
}

impl Decision {
    /// Its words on the sign-off.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Go => "GO",
            Self::NoGo => "NO-GO",
        }
    }
}

/// Who signed what, as `signature.json` says and the signature proves.
#[derive(Debug)]
pub struct SignOff {
    /// The person.
    pub reviewer: String,
    /// GO or NO-GO.
    pub decision: String,
    /// When, UTC.
    pub date_utc: String,
    /// The public key.
    pub key: String,
    /// Fingerprint of the key.
    pub fingerprint: String,
}

/// A bundle whose every hash has been computed again.
#[derive(Debug)]
pub struct Bundle {
    dir: PathBuf,
    /// `bundle.json`.
    pub json: Value,
    hash: String,
}

impl Bundle {
    /// Reads the bundle in `dir` and computes every hash again.
    ///
    /// # Errors
    /// What is missing, malformed or changed.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        let bytes = read(&dir.join(BUNDLE_FILE))?;
        let json: Value = serde_json::from_slice(&bytes).map_err(|error| malformed(&error))?;
        let bundle = Self { dir: dir.to_owned(), hash: hash(&bytes), json };
        if bundle.json["schema"].as_u64() != Some(SCHEMA) {
            return Err(malformed(&"another schema: made by another version of keel"));
        }
        bundle.check_chain()?;
        bundle.check_files()?;
        Ok(bundle)
    }

    /// Hash of the bytes of `bundle.json`, which everything else hangs on.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The items, in order.
    pub fn items(&self) -> &[Value] {
        self.json["items"].as_array().map_or(&[], Vec::as_slice)
    }

    /// When the oldest of it was made: its items may come from an earlier one.
    pub fn oldest(&self) -> Option<UnixNanos> {
        let parts = self.items().iter().filter_map(made);
        made(&self.json).map(|whole| parts.fold(whole, std::cmp::min))
    }

    /// Whether it is part B.
    pub fn is_account(&self) -> bool {
        self.json["kind"] == live::ACCOUNT
    }

    /// The items that its kind asks for and that did not pass.
    pub fn short_of_go(&self) -> Vec<String> {
        let passed: BTreeSet<u64> = self
            .items()
            .iter()
            .filter(|item| item["verdict"] == "PASS")
            .filter_map(|item| item["number"].as_u64())
            .collect();
        let asked = |number| !self.is_account() || live::OF_ACCOUNT.contains(&number);
        let known = super::item::ITEMS.iter().filter(|item| asked(item.number));
        known
            .filter(|item| !passed.contains(&u64::from(item.number)))
            .map(|item| format!("{} {}", item.number, item.title))
            .collect()
    }

    /// Signs it and writes `signature.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sign(
        &self,
        key: &SigningKey,
        reviewer: &str,
        decision: Decision,
        date_utc: &str,
    ) -> Result<SignOff, BundleError> {
        let message = message(&self.hash, reviewer, decision.text(), date_utc);
        let public = key.public();
        let sign_off = json!({
            "bundle_blake3": self.hash,
            "reviewer": reviewer,
            "decision": decision.text(),
            "date_utc": date_utc,
            "public_key": public.text(),
            "fingerprint": public.fingerprint(),
            "signature": key.sign(&message),
        });
        let path = self.dir.join(SIGNATURE_FILE);
        keel_io::disk::replace(&OsFiles, &path, text_of(&sign_off).as_bytes())
            .map_err(|error| malformed_signature(&error))?;
        self.signature()
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// When there is none, or when it is not of these bytes by the key that it names.
    pub fn signature(&self) -> Result<SignOff, BundleError> {
        let path = self.dir.join(SIGNATURE_FILE);
        if !path.exists() {
            return Err(BundleError::Unsigned);
        }
        let json: Value =
            serde_json::from_slice(&read(&path)?).map_err(|error| malformed_signature(&error))?;
        let text = |key: &str| {
            let found = json[key].as_str();
            found.map(str::to_owned).ok_or_else(|| malformed_signature(&format!("no {key}")))
        };
        let (reviewer, decision, date_utc) =
            (text("reviewer")?, text("decision")?, text("date_utc")?);
        if text("bundle_blake3")? != self.hash {
            return Err(BundleError::Forged("it is of another bundle.json".to_owned()));
        }
        let public =
            PublicKey::parse(&text("public_key")?).map_err(|error| malformed_signature(&error))?;
        if public.fingerprint() != text("fingerprint")? {
            return Err(BundleError::Forged("the fingerprint is of another key".to_owned()));
        }
        let message = message(&self.hash, &reviewer, &decision, &date_utc);
        if !public.verifies(&message, &text("signature")?) {
            return Err(BundleError::Forged("it was not made with the key it names".to_owned()));
        }
        let (key, fingerprint) = (public.text(), public.fingerprint());
        Ok(SignOff { reviewer, decision, date_utc, key, fingerprint })
    }

    fn check_chain(&self) -> Result<(), BundleError> {
        let mut link = first_link(&self.json);
        for item in self.items() {
            link = next_link(&link, item);
            if item["link"].as_str() != Some(&link) {
                return Err(BundleError::Changed(format!("item {}", item["number"])));
            }
        }
        if self.json["head"].as_str() == Some(&link) {
            Ok(())
        } else {
            Err(BundleError::Changed("the chain of items".to_owned()))
        }
    }

    fn check_files(&self) -> Result<(), BundleError> {
        let mut listed: BTreeSet<String> = [BUNDLE_FILE, SIGNATURE_FILE].map(str::to_owned).into();
        let files = self.json["files"].as_array().ok_or_else(|| malformed(&"no list of files"))?;
        for file in files {
            let (Some(path), Some(expected)) = (file["path"].as_str(), file["blake3"].as_str())
            else {
                return Err(malformed(&"a file without path and blake3"));
            };
            if path.split('/').any(|part| part.is_empty() || part == "..") {
                return Err(malformed(&format!("the path {path}")));
            }
            if hash(&read(&self.dir.join(path))?) != expected {
                return Err(BundleError::Changed(path.to_owned()));
            }
            listed.insert(path.to_owned());
        }
        let there = walk(&self.dir)?;
        match there.iter().find(|path| !listed.contains(*path)) {
            Some(extra) => Err(BundleError::Changed(format!("{extra} is not listed"))),
            None => Ok(()),
        }
    }
}

/// Writes `bundle.json` of `dir`: `body` with every file that is there, its items chained.
///
/// # Errors
/// When a file cannot be read or written.
pub fn seal(dir: &Path, mut body: Value) -> Result<Bundle, BundleError> {
    body["schema"] = json!(SCHEMA);
    let mut files = Vec::new();
    for path in walk(dir)? {
        let bytes = read(&dir.join(&path))?;
        files.push(json!({ "path": path, "bytes": bytes.len(), "blake3": hash(&bytes) }));
    }
    body["files"] = Value::Array(files);
    let mut link = first_link(&body);
    for item in body["items"].as_array_mut().into_iter().flatten() {
        link = next_link(&link, item);
        item["link"] = json!(link);
    }
    body["head"] = json!(link);
    keel_io::disk::replace(&OsFiles, &dir.join(BUNDLE_FILE), text_of(&body).as_bytes())
        .map_err(|error| malformed(&error))?;
    Bundle::open(dir)
}

/// When a bundle or an item was made, by its own words.
pub fn made(json: &Value) -> Option<UnixNanos> {
    json["made_ns"].as_str()?.parse().ok().map(UnixNanos)
}

/// A BLAKE3 hash in hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// What the chain begins with: everything in the bundle but its items and files.
fn first_link(body: &Value) -> String {
    let mut head = body.clone();
    for key in ["items", "files", "head"] {
        head.as_object_mut().and_then(|head| head.remove(key));
    }
    hash(head.to_string().as_bytes())
}

fn next_link(link: &str, item: &Value) -> String {
    let mut bare = item.clone();
    bare.as_object_mut().and_then(|bare| bare.remove("link"));
    hash(format!("{link}\n{bare}").as_bytes())
}

fn message(bundle: &str, reviewer: &str, decision: &str, date_utc: &str) -> Vec<u8> {
    // As JSON, so that no part can run over into the next.
    json!(["keel go-live", SCHEMA, bundle, reviewer, decision, date_utc]).to_string().into_bytes()
}

/// Every file below `dir` by its path, in order.
fn walk(dir: &Path) -> Result<Vec<String>, BundleError> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        let here = dir.join(&below);
        let failed = |error| BundleError::File { path: here.clone(), error };
        for entry in fs::read_dir(&here).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = below.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                waiting.push(path);
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.retain(|path| path != BUNDLE_FILE && path != SIGNATURE_FILE);
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    fs::read(path).map_err(|error| BundleError::File { path: path.to_owned(), error })
}

fn malformed(what: &dyn std::fmt::Display) -> BundleError {
    BundleError::Malformed { file: BUNDLE_FILE, what: what.to_string() }
}

fn malformed_signature(what: &dyn std::fmt::Display) -> BundleError {
    BundleError::Malformed { file: SIGNATURE_FILE, what: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("records/01")).expect("made");
        fs::write(dir.path().join("records/01/keel.log"), "a line\n").expect("written");
        let item = |number, verdict: &str| json!({ "number": number, "verdict": verdict });
        let body = json!({ "venue": "embedded", "items": [item(1, "PASS"), item(2, "FAIL")] });
        seal(dir.path(), body).expect("sealed");
        dir
    }

    fn key() -> SigningKey {
        SigningKey::generate().expect("a key")
    }

    #[test]
    fn a_sealed_bundle_opens_and_says_what_is_short_of_go() {
        let dir = sealed();
        let bundle = Bundle::open(dir.path()).expect("whole");
        let short = bundle.short_of_go();
        assert_eq!(short.len(), 23);
        assert!(short[0].starts_with("2 "), "{short:?}");
        assert!(matches!(bundle.signature(), Err(BundleError::Unsigned)));
    }

    #[test]
    fn one_byte_changed_anywhere_is_seen() {
        let dir = sealed();
        Bundle::open(dir.path())
            .expect("whole")
            .sign(&key(), "a person", Decision::NoGo, "2026-01-01T00:00:00.000Z")
            .expect("signed");
        for file in [BUNDLE_FILE, SIGNATURE_FILE, "records/01/keel.log"] {
            let path = dir.path().join(file);
            let whole = fs::read(&path).expect("there");
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                fs::write(&path, &bytes).expect("written");
                let opened = Bundle::open(dir.path());
                let verified = opened.and_then(|bundle| bundle.signature());
                // White space is all that a signature's own file may vary in.
                let blank = file == SIGNATURE_FILE && whole[at].is_ascii_whitespace();
                assert!(verified.is_err() || blank, "{file} at {at}");
            }
            fs::write(&path, &whole).expect("written");
        }
        Bundle::open(dir.path()).and_then(|bundle| bundle.signature()).expect("whole again");
    }

    #[test]
    fn a_file_too_many_and_a_file_too_few_are_seen() {
        let dir = sealed();
        let extra = dir.path().join("records/01/more.log");
        fs::write(&extra, "").expect("written");
        assert!(matches!(Bundle::open(dir.path()), Err(BundleError::Changed(_))));
        fs::remove_file(&extra).expect("removed");
        fs::remove_file(dir.path().join("records/01/keel.log")).expect("removed");
        assert!(matches!(Bundle::open(dir.path()), Err(BundleError::File { .. })));
    }

    #[test]
    fn a_signature_of_another_key_or_bundle_is_refused() {
        let (one, other) = (sealed(), sealed());
        let bundle = Bundle::open(one.path()).expect("whole");
        let signed = bundle.sign(&key(), "a person", Decision::Go, "2026-01-01T00:00:00.000Z");
        assert_eq!(signed.expect("signed").decision, "GO");
        let path = one.path().join(SIGNATURE_FILE);
        let mut json: Value =
            serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
        // The other bundle has the same content and so the same hash; its own body differs.
        fs::write(other.path().join("records/01/keel.log"), "another line\n").expect("written");
        let body = json!({ "venue": "embedded", "items": [] });
        let bundle = seal(other.path(), body).expect("sealed");
        fs::copy(&path, other.path().join(SIGNATURE_FILE)).expect("copied");
        assert!(matches!(bundle.signature(), Err(BundleError::Forged(_))));
        let another = key().public();
        json["public_key"] = json!(another.text());
        json["fingerprint"] = json!(another.fingerprint());
        fs::write(&path, json.to_string()).expect("written");
        let bundle = Bundle::open(one.path()).expect("whole");
        assert!(matches!(bundle.signature(), Err(BundleError::Forged(_))));
    }
}
