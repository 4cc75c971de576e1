//! Signatures: HMAC-SHA256 in base64 over what goes on the wire (bitget reference §2).
//!
//! Secrets are wiped when they are dropped, and have no `Debug`, `Display` or `Clone`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use keel_core::units::UnixNanos;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::proto::http::Method;

/// A text that must not be seen: the key's secret or its passphrase.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; it is wiped with this value.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it.
    fn expose(&self) -> &str {
        &self.0
    }
}

/// An API key with what it takes to sign.
pub struct Credentials {
    key: String,
    secret: Secret,
    passphrase: Secret,
    demo: bool,
}

impl Credentials {
    /// A key of the venue's live trading.
    pub fn live(key: String, secret: Secret, passphrase: Secret) -> Self {
        Self { key, secret, passphrase, demo: false }
    }

    /// A key of the venue's demo trading: every request says so, and a live key is refused there.
    pub fn demo(key: String, secret: Secret, passphrase: Secret) -> Self {
        Self { key, secret, passphrase, demo: true }
    }

    /// True for a key of demo trading.
    pub fn is_demo(&self) -> bool {
        self.demo
    }

    /// A copy with secrets of its own, for an agent that must not depend on another.
    pub fn duplicate(&self) -> Self {
        Self {
            key: self.key.clone(),
            secret: Secret::new(self.secret.expose().to_owned()),
            passphrase: Secret::new(self.passphrase.expose().to_owned()),
            demo: self.demo,
        }
    }

    /// The headers that sign a request made at `now` by the venue's clock. `path`, `query` (without
    /// `?`, may be empty) and `body` are exactly what goes out.
    pub fn headers(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: &str,
        now: UnixNanos,
    ) -> SignedHeaders<'_> {
        let timestamp = now.millis().to_string();
        let word = match method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let question = if query.is_empty() { "" } else { "?" };
        let sign = self.sign(&[&timestamp, word, path, question, query, body]);
        SignedHeaders { credentials: self, timestamp, sign }
    }

    /// Writes the login of a private socket into `out`. The time goes in **seconds** (disagreement
    /// 1).
    pub fn login(&self, now: UnixNanos, out: &mut Vec<u8>) {
        let seconds = now.millis().div_euclid(1000).to_string();
        let sign = self.sign(&[&seconds, "GET", "/user/verify"]);
        out.clear();
        out.extend_from_slice(br#"{"op":"login","args":[{"apiKey":""#);
        push_escaped(&self.key, out);
        out.extend_from_slice(br#"","passphrase":""#);
        push_escaped(self.passphrase.expose(), out);
        out.extend_from_slice(br#"","timestamp":""#);
        out.extend_from_slice(seconds.as_bytes());
        out.extend_from_slice(br#"","sign":""#);
        out.extend_from_slice(sign.as_bytes());
        out.extend_from_slice(br#""}]}"#);
    }

    fn sign(&self, parts: &[&str]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose().as_bytes())
            .expect("HMAC takes a key of any length");
        for part in parts {
            mac.update(part.as_bytes());
        }
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

/// The header that every request to demo trading carries.
pub const DEMO: (&str, &str) = ("paptrading", "1");

/// The headers of one signed request.
pub struct SignedHeaders<'c> {
    credentials: &'c Credentials,
    timestamp: String,
    sign: String,
}

impl SignedHeaders<'_> {
    /// Name and value of each, to be sent as they are. The passphrase is among them.
    pub fn list(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![
            ("ACCESS-KEY", self.credentials.key.as_str()),
            ("ACCESS-SIGN", self.sign.as_str()),
            ("ACCESS-TIMESTAMP", self.timestamp.as_str()),
            ("ACCESS-PASSPHRASE", self.credentials.passphrase.expose()),
            ("locale", "en-US"),
        ];
        if self.credentials.demo {
            headers.push(DEMO);
        }
        headers
    }
}

/// Appends `text` as the inside of a JSON string.
fn push_escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..=0x1f => {
                let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
            }
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(secret: &str) -> Credentials {
        let secret = Secret::new(secret.to_owned());
        Credentials::live("key".to_owned(), secret, Secret::new("pass\"word".to_owned()))
    }

    /// One file of `tests/golden/bitget/signing`.
    fn vector(text: &str) -> (Credentials, serde_json::Value) {
        let vector: serde_json::Value = serde_json::from_str(text).unwrap();
        (credentials(vector["secret"].as_str().unwrap()), vector)
    }

    #[test]
    fn requests_are_signed_as_the_vectors_say() {
        for text in [
            include_str!("../../../tests/golden/bitget/signing/rest-get-depth__bitgetdocs__1.json"),
            include_str!(
                "../../../tests/golden/bitget/signing/rest-get-with-query__hummingbot__1.json"
            ),
            include_str!(
                "../../../tests/golden/bitget/signing/rest-post-order__bitgetdocs__1.json"
            ),
        ] {
            let (credentials, vector) = vector(text);
            let part = |name: &str| vector[name].as_str().unwrap();
            // Two vectors have a time beyond what a clock can say, so the text is signed itself.
            let question = if part("query").is_empty() { "" } else { "?" };
            let parts = [
                part("timestamp"),
                part("method"),
                part("path"),
                question,
                part("query"),
                part("body"),
            ];
            assert_eq!(credentials.sign(&parts), part("signature"));
            assert_eq!(parts.concat(), part("prehash"));
        }
    }

    #[test]
    fn headers_sign_the_path_the_query_and_the_body_that_go_out() {
        let text = include_str!(
            "../../../tests/golden/bitget/signing/rest-get-with-query__hummingbot__1.json"
        );
        let (credentials, vector) = vector(text);
        let now = UnixNanos::from_millis(vector["timestamp"].as_str().unwrap().parse().unwrap());
        let headers = credentials.headers(Method::Get, "/api/endpoint", "one=1", "", now);
        let list = headers.list();
        assert!(list.contains(&("ACCESS-SIGN", vector["signature"].as_str().unwrap())));
        assert!(list.contains(&("ACCESS-TIMESTAMP", "1640001112223")));
        assert!(!list.iter().any(|(name, _)| *name == "paptrading"));
    }

    #[test]
    fn a_demo_key_says_so_in_every_request() {
        let secret = || Secret::new("s".to_owned());
        let demo = Credentials::demo("k".to_owned(), secret(), secret());
        assert!(demo.duplicate().is_demo());
        let headers = demo.headers(Method::Get, "/p", "", "", UnixNanos(0));
        assert!(headers.list().contains(&("paptrading", "1")));
    }

    #[test]
    fn a_login_carries_seconds_and_is_signed_as_the_vector_says() {
        let (credentials, vector) = vector(include_str!(
            "../../../tests/golden/bitget/signing/ws-login__hummingbot__1.json"
        ));
        let mut out = b"left over".to_vec();
        credentials.login(UnixNanos::from_millis(1_640_001_112_999), &mut out);
        let login: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let args = &login["args"][0];
        assert_eq!(login["op"], "login");
        assert_eq!(args["timestamp"], "1640001112");
        assert_eq!(args["sign"], vector["signature"]);
        assert_eq!(args["passphrase"], "pass\"word");
        assert_eq!(args["apiKey"], "key");
    }
}
