//! Refusals that the wire makes by itself, before the venue is asked: codes and texts of REST and
//! of the WebSocket (reference §4). Those of trading are in [`crate::reject`].

use crate::reject::Reject;

/// `ACCESS-KEY` is missing.
pub(super) const KEY_EMPTY: Reject = Reject::new(40001, "ACCESS_KEY cannot be empty");
/// `ACCESS-SIGN` is missing.
pub(super) const SIGN_EMPTY: Reject = Reject::new(40002, "ACCESS_SIGN cannot be empty");
/// `ACCESS-TIMESTAMP` is missing or no number.
pub(super) const TIMESTAMP_INVALID: Reject = Reject::new(40005, "Invalid ACCESS_TIMESTAMP");
/// The body's type is not JSON.
pub(super) const CONTENT_TYPE: Reject =
    Reject::new(40007, "Invalid Content_Type, please use \"application/json\" format");
/// The timestamp lies more than 30 s from the venue's clock.
pub(super) const TIMESTAMP_EXPIRED: Reject = Reject::new(40008, "Request timestamp expired");
/// The signature is not that of the request.
pub(super) const SIGN_WRONG: Reject = Reject::new(40009, "sign signature error");
/// `ACCESS-PASSPHRASE` is missing.
pub(super) const PASSPHRASE_EMPTY: Reject = Reject::new(40011, "ACCESS_PASSPHRASE cannot be empty");
/// The passphrase is not the key's.
pub(super) const PASSPHRASE_WRONG: Reject = Reject::new(40012, "apikey/password is incorrect");
/// The body or a parameter cannot be read.
pub(super) const VERIFICATION: Reject = Reject::new(40017, "Parameter verification failed");
/// The key is bound to other addresses.
pub(super) const IP_NOT_BOUND: Reject = Reject::new(40018, "Invalid IP");
/// No such key.
pub(super) const KEY_UNKNOWN: Reject = Reject::new(40037, "Apikey does not exist");
/// A batch of more orders than allowed.
pub(super) const BATCH_TOO_LARGE: Reject =
    Reject::new(40306, "Batch processing orders can only process up to 20");
/// No such path, or not with this method.
pub(super) const URL_UNKNOWN: Reject = Reject::new(40404, "Request URL NOT FOUND");
/// Neither `orderId` nor `clientOid` was given.
pub(super) const ID_MISSING: Reject =
    Reject::new(40924, "The order id or clientOid must be passed one");
/// An order over the WebSocket before the login.
pub(super) const LOGIN_REQUIRED: Reject = Reject::new(30004, "User needs to log in");
/// The venue does not know what became of the request (reference §3).
pub(super) const UNKNOWN_ERROR: Reject = Reject::new(45001, "Unknown error");
/// A demo key on the real side, or another key on the demo side. The documentation does not name
/// the code; users of demo trading quote this one.
pub(super) const ENVIRONMENT: Reject = Reject::new(40099, "exchange environment is incorrect");
/// A window of the endpoint or of the address is used up.
pub(super) const TOO_MANY_REQUESTS: Reject = Reject::new(429, "Too Many Requests");

/// The key lacks the permission of this name.
pub(super) fn permission(word: &str) -> Reject {
    Reject::with(40014, format!("Incorrect permissions, need {word} permissions"))
}

/// Only a main account may ask this (25620 of the V3 table).
pub(super) const NOT_MAIN: Reject = Reject::new(25620, "permission denied");
/// No such sub-account (25005).
pub(super) const USER_UNKNOWN: Reject = Reject::new(25005, "User does not exist");
/// The account has been frozen (25006).
pub(super) const FROZEN: Reject = Reject::new(25006, "Abnormal account status");

/// A required parameter is missing or empty.
pub(super) fn empty(parameter: &str) -> Reject {
    Reject::with(40019, format!("Parameter {parameter} cannot be empty"))
}

/// A parameter's value cannot be taken.
pub(super) fn wrong(parameter: &str, value: &str) -> Reject {
    Reject::with(40020, format!("Parameter {parameter}={} error", shown(value)))
}

/// The category of a WebSocket order frame is not in lower case, or unknown.
pub(super) fn category(value: &str) -> Reject {
    Reject::with(41101, format!("Param category={} error", shown(value)))
}

/// A client's text as far as an answer repeats it.
pub(super) fn shown(value: &str) -> String {
    value.chars().take(SHOWN_CHARS_MAX).collect()
}

/// As [`shown`], for an argument of a subscription.
pub(super) fn shown_long(value: &str) -> String {
    value.chars().take(4 * SHOWN_CHARS_MAX).collect()
}

/// Characters of a client's text that an answer repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// A refusal on a WebSocket outside order entry; its code is a number on the wire (reference §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WsError {
    /// The code.
    pub code: u32,
    /// The text for people.
    pub msg: &'static str,
}

impl WsError {
    /// No such topic, symbol or product type.
    pub(super) const UNKNOWN_TOPIC: Self = Self { code: 30001, msg: "doesn't exist" };
    /// The message is no JSON object of a known form.
    pub(super) const ILLEGAL: Self = Self { code: 30002, msg: "illegal request" };
    /// `op` is none of login, subscribe, unsubscribe, trade.
    pub(super) const ILLEGAL_OP: Self = Self { code: 30003, msg: "invalid op" };
    /// A private topic or an order before the login.
    pub(super) const LOGIN_REQUIRED: Self = Self { code: 30004, msg: "User needs to log in" };
    /// The login failed for a reason without a code of its own.
    pub(super) const LOGIN_FAILED: Self =
        Self { code: 30005, msg: "Login failed, please log in again" };
    /// More messages in a second, or requests in an hour, than allowed.
    pub(super) const TOO_MANY: Self = Self { code: 30006, msg: "request too many" };
    /// The same, and the socket closes.
    pub(super) const OVER_LIMIT: Self =
        Self { code: 30007, msg: "request over limit, connection close" };
    /// No such key.
    pub(super) const KEY_INVALID: Self = Self { code: 30011, msg: "invalid ACCESS_KEY" };
    /// The passphrase is not the key's.
    pub(super) const PASSPHRASE_WRONG: Self =
        Self { code: 30012, msg: "invalid ACCESS_PASSPHRASE" };
    /// The timestamp is no number.
    pub(super) const TIMESTAMP_INVALID: Self =
        Self { code: 30013, msg: "invalid ACCESS_TIMESTAMP" };
    /// The timestamp lies more than 30 s from the venue's clock.
    pub(super) const TIMESTAMP_EXPIRED: Self =
        Self { code: 30014, msg: "Request timestamp expired" };
    /// The signature is wrong.
    pub(super) const SIGN_WRONG: Self = Self { code: 30015, msg: "Invalid signature" };
}
