//! Who is asking: keys, signatures, the clock rule and permissions.
//!
//! Sources: the REST signature page (headers `ACCESS-*`, timestamp in milliseconds within 30 s) and
//! the WebSocket login page, whose timestamp is in seconds on the wire although its text says
//! milliseconds; a login in milliseconds is dropped without a reply, as it is on the real venue.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use keel_core::units::UnixNanos;
use rand::{Rng, RngExt};
use sha2::Sha256;

use super::http::{Request, percent_decoded};
use super::reject::{self, WsError};
use crate::account::{AccountId, ApiKey, Permissions};
use crate::reject::Reject;
use crate::venue::Venue;

/// How far a request's timestamp may lie from the venue's clock, milliseconds.
pub(super) const TIMESTAMP_WINDOW_MS: i64 = 30_000;

/// Who sent an authenticated request, and what the key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The account of the key.
    pub account: AccountId,
    /// What the key may do.
    pub permissions: Permissions,
}

/// A new key whose parts are drawn from `random`.
pub(super) fn drawn_key(
    permissions: Permissions,
    ips: Vec<String>,
    random: &mut impl Rng,
    now: UnixNanos,
) -> ApiKey {
    let mut hex = |digits: usize| -> String {
        (0..digits).map(|_| char::from(b"0123456789abcdef"[random.random_range(0..16)])).collect()
    };
    let (key, secret, passphrase) = (format!("bg_{}", hex(32)), hex(64), hex(16));
    ApiKey { ips, created: now, ..ApiKey::new(&key, &secret, &passphrase, permissions) }
}

/// The venue's words for permissions, as `account/info` gives them.
pub fn permission_words(permissions: Permissions) -> Vec<&'static str> {
    let Permissions { trade, manage, withdraw } = permissions;
    let reads = !trade && !manage && !withdraw;
    [("uta_mgt", manage), ("uta_trade", trade || reads), ("withdraw", withdraw)]
        .into_iter()
        .filter_map(|(word, granted)| granted.then_some(word))
        .collect()
}

/// Who signed this REST request.
///
/// # Errors
/// The venue's code for the first rule that is broken (reference §4.1).
pub(super) fn rest(
    venue: &Venue,
    request: &Request,
    peer: IpAddr,
    now: UnixNanos,
) -> Result<Caller, Reject> {
    let header = |name| request.header(name).unwrap_or_default();
    let (key, sign) = (header("access-key"), header("access-sign"));
    let (timestamp, passphrase) = (header("access-timestamp"), header("access-passphrase"));
    for (value, reject) in [
        (key, reject::KEY_EMPTY),
        (sign, reject::SIGN_EMPTY),
        (timestamp, reject::TIMESTAMP_INVALID),
        (passphrase, reject::PASSPHRASE_EMPTY),
    ] {
        if value.is_empty() {
            return Err(reject);
        }
    }
    let sent_ms: i64 = timestamp.parse().map_err(|_| reject::TIMESTAMP_INVALID)?;
    if sent_ms.abs_diff(now.millis()) > TIMESTAMP_WINDOW_MS.unsigned_abs() {
        return Err(reject::TIMESTAMP_EXPIRED);
    }
    let (account, api) = venue.key(key).ok_or(reject::KEY_UNKNOWN)?;
    if api.passphrase != passphrase {
        return Err(reject::PASSPHRASE_WRONG);
    }
    if api.demo != (request.header("paptrading") == Some("1")) {
        return Err(reject::ENVIRONMENT);
    }
    if !rest_signed(&api.secret, timestamp, request, sign) {
        return Err(reject::SIGN_WRONG);
    }
    if !admits(api, peer) {
        return Err(reject::IP_NOT_BOUND);
    }
    Ok(Caller { account, permissions: api.granted() })
}

/// Who logs in over the WebSocket. `Ok(None)` is a login that the venue ignores in silence: one
/// whose timestamp is in milliseconds.
///
/// # Errors
/// The venue's code 30005 or 30011 to 30015; the venue closes the socket after it.
pub(super) fn login(
    venue: &Venue,
    login: &Login<'_>,
    peer: IpAddr,
    demo: bool,
    now: UnixNanos,
) -> Result<Option<Caller>, WsError> {
    let sent: i64 = login.timestamp.parse().map_err(|_| WsError::TIMESTAMP_INVALID)?;
    let now_s = now.millis().div_euclid(1000);
    if sent > now_s.saturating_mul(100) {
        return Ok(None);
    }
    if sent.abs_diff(now_s) > TIMESTAMP_WINDOW_MS.unsigned_abs() / 1000 {
        return Err(WsError::TIMESTAMP_EXPIRED);
    }
    let (account, api) = venue.key(login.key).ok_or(WsError::KEY_INVALID)?;
    if api.passphrase != login.passphrase {
        return Err(WsError::PASSPHRASE_WRONG);
    }
    let prehash = [login.timestamp, "GET/user/verify"].concat();
    if !signed(&api.secret, prehash.as_bytes(), login.sign) {
        return Err(WsError::SIGN_WRONG);
    }
    if !admits(api, peer) || api.demo != demo {
        return Err(WsError::LOGIN_FAILED);
    }
    Ok(Some(Caller { account, permissions: api.granted() }))
}

/// The fields of a WebSocket login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    /// `apiKey`.
    pub key: &'a str,
    /// `passphrase`.
    pub passphrase: &'a str,
    /// `timestamp`, seconds, as text (a JSON number is read as its text).
    pub timestamp: &'a str,
    /// `sign`, base64.
    pub sign: &'a str,
}

/// Whether the key may be used from `peer`.
fn admits(api: &ApiKey, peer: IpAddr) -> bool {
    api.ips.is_empty() || api.ips.iter().any(|ip| ip.parse() == Ok(peer))
}

/// Whether `sign` is the signature of the request's text. Clients disagree on whether the query is
/// signed as it travels or decoded; both are taken, as on the real venue both kinds of client work.
fn rest_signed(secret: &str, timestamp: &str, request: &Request, sign: &str) -> bool {
    let prehash = |query: &str| {
        let mut text = Vec::with_capacity(256 + request.body.len());
        for part in [timestamp, &request.method, &request.path] {
            text.extend_from_slice(part.as_bytes());
        }
        if !query.is_empty() {
            text.push(b'?');
            text.extend_from_slice(query.as_bytes());
        }
        text.extend_from_slice(&request.body);
        text
    };
    if signed(secret, &prehash(&request.query), sign) {
        return true;
    }
    let decoded = percent_decoded(&request.query);
    decoded != request.query && signed(secret, &prehash(&decoded), sign)
}

/// Whether `sign` is base64 of the HMAC-SHA256 of `prehash`; compared in constant time.
fn signed(secret: &str, prehash: &[u8], sign: &str) -> bool {
    let Ok(tag) = BASE64.decode(sign) else { return false };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("an HMAC key of any length");
    mac.update(prehash);
    mac.verify_slice(&tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitget::http::{Reader, Step};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn venue(secret: &str, ips: Vec<String>) -> Venue {
        let mut venue = Venue::new(UnixNanos(0));
        let key = ApiKey { ips, ..ApiKey::new("k", secret, "p", Permissions::TRADE) };
        venue.add_key(AccountId(7), key);
        venue
    }

    fn request(method: &str, target: &str, body: &str, headers: &str) -> Request {
        let mut reader = Reader::default();
        reader.push(
            format!(
                "{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n{headers}\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        let Ok(Step::Request(request)) = reader.step() else { panic!("a whole request") };
        request
    }

    fn headers(sign: &str, timestamp: i64) -> String {
        format!(
            "ACCESS-KEY: k\r\nACCESS-SIGN: {sign}\r\nACCESS-TIMESTAMP: {timestamp}\r\n\
             ACCESS-PASSPHRASE: p\r\n"
        )
    }

    /// Vectors computed by others over the prehash text of the venue's documentation.
    const VECTORS: [(&str, i64, &str, &str, &str, &str); 3] = [
        (
            "example-secret-key",
            16_273_667_805_456,
            "GET",
            "/api/mix/v2/market/depth?limit=20&symbol=BTCUSDT",
            "",
            "GgYFRL6f7vzQCdm4uZdXDETP+SML0ZF4yUQHwZezo/8=",
        ),
        (
            "test_secret_key",
            1_640_001_112_223,
            "GET",
            "/api/endpoint?one=1",
            "",
            "kvPbaSU9pqCoHNIpaxQAEYc77QZImmqgm/yrUHTG+rc=",
        ),
        (
            "example-secret-key",
            16_273_667_805_456,
            "POST",
            "/api/v2/mix/order/place-order",
            concat!(
                r#"{"productType":"usdt-futures","symbol":"BTCUSDT","size":"8","#,
                r#""marginMode":"crossed","side":"buy","orderType":"limit","#,
                r#""clientOid":"channel#123456"}"#
            ),
            "uSWdk+g1vRdxx/Nm2L0bQZ2pRDWK/fiAOIcVqWR6ZB4=",
        ),
    ];

    #[test]
    fn the_signing_vectors_hold_and_a_changed_byte_does_not() {
        for (secret, timestamp, method, target, body, sign) in VECTORS {
            let timestamp = timestamp.to_string();
            let holds = |target: &str, sign: &str| {
                rest_signed(secret, &timestamp, &request(method, target, body, ""), sign)
            };
            assert!(holds(target, sign), "{target}");
            assert!(!holds(&format!("{target}9"), sign), "{target}");
            assert!(!holds(target, "AAAA"), "{target}");
            assert!(!holds(target, "no base64"), "{target}");
        }
    }

    #[test]
    fn the_clock_rule_allows_thirty_seconds_and_not_one_millisecond_more() {
        let (secret, timestamp, method, target, body, sign) = VECTORS[1];
        let venue = venue(secret, Vec::new());
        let request = request(method, target, body, &headers(sign, timestamp));
        let at = |ms: i64| rest(&venue, &request, PEER, UnixNanos::from_millis(timestamp + ms));
        assert!(at(30_000).is_ok());
        assert!(at(-30_000).is_ok());
        assert_eq!(at(30_001).unwrap_err(), reject::TIMESTAMP_EXPIRED);
        assert_eq!(at(-30_001).unwrap_err(), reject::TIMESTAMP_EXPIRED);
    }

    #[test]
    fn each_missing_or_wrong_header_has_its_own_code() {
        let (secret, timestamp, method, target, body, sign) = VECTORS[1];
        let venue = venue(secret, vec!["10.0.0.1".into()]);
        let now = UnixNanos::from_millis(timestamp);
        let full = headers(sign, timestamp);
        let code = |headers: &str| {
            rest(&venue, &request(method, target, body, headers), PEER, now).unwrap_err().code
        };
        assert_eq!(code(""), 40001);
        assert_eq!(code(&full.replace("ACCESS-SIGN", "X")), 40002);
        assert_eq!(code(&full.replace("ACCESS-TIMESTAMP", "X")), 40005);
        assert_eq!(code(&full.replace("ACCESS-TIMESTAMP: ", "ACCESS-TIMESTAMP: x")), 40005);
        assert_eq!(code(&full.replace("ACCESS-PASSPHRASE", "X")), 40011);
        assert_eq!(code(&full.replace("PHRASE: p", "PHRASE: q")), 40012);
        assert_eq!(code(&full.replace("KEY: k", "KEY: j")), 40037);
        assert_eq!(code(&full), 40018);
    }

    #[test]
    fn a_query_signed_before_it_was_encoded_is_taken_too() {
        let venue = venue("s", Vec::new());
        let prehash = b"1000GET/a?x=a,b";
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s").unwrap();
        mac.update(prehash);
        let sign = BASE64.encode(mac.finalize().into_bytes());
        let request = request("GET", "/a?x=a%2Cb", "", &headers(&sign, 1000));
        assert!(rest(&venue, &request, PEER, UnixNanos::from_millis(1000)).is_ok());
    }

    #[test]
    fn a_login_is_in_seconds_and_one_in_milliseconds_is_ignored() {
        let venue = venue("test_secret_key", Vec::new());
        let now = UnixNanos::from_millis(1_640_001_112_900);
        let sign = "xmIN5Kt+K9U1gXlJ4RnlBjav++39oTR1CR97YWmrWtQ=";
        let login = Login { key: "k", passphrase: "p", timestamp: "1640001112", sign };
        let caller = super::login(&venue, &login, PEER, false, now).unwrap().expect("a login");
        assert_eq!(caller.account, AccountId(7));
        let ms = Login { timestamp: "1640001112223", ..login };
        assert!(matches!(super::login(&venue, &ms, PEER, false, now), Ok(None)));
        let code =
            |login: Login<'_>| super::login(&venue, &login, PEER, false, now).unwrap_err().code;
        assert_eq!(code(Login { key: "j", ..login }), 30011);
        assert_eq!(code(Login { passphrase: "q", ..login }), 30012);
        assert_eq!(code(Login { timestamp: "soon", ..login }), 30013);
        assert_eq!(code(Login { timestamp: "1640001081", ..login }), 30014);
        assert_eq!(code(Login { timestamp: "1640001113", ..login }), 30015);
    }
}
