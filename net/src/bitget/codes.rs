//! What the venue's codes mean for an order (bitget reference §4).
//!
//! A code is a definitive reject only when the tables say that the request was refused. Every other
//! code, known or not, leaves the outcome unknown.

use keel_core::event::{Outcome, RejectClass};
use keel_core::words::Words;

use super::decode::tape::Item;

/// What `code` says of the request that it answers.
pub fn verdict(code: u32) -> (Outcome, RejectClass) {
    match code {
        0 => (Outcome::Received, RejectClass::None),
        code => match reject(code) {
            Some(class) => (Outcome::Rejected, class),
            None => (Outcome::Unknown, RejectClass::Other),
        },
    }
}

/// What an HTTP status says of a request whose answer has no readable code.
pub fn verdict_of_status(status: u16) -> (Outcome, RejectClass) {
    match status {
        429 => (Outcome::Rejected, RejectClass::Rate),
        401 | 403 => (Outcome::Unknown, RejectClass::Auth),
        _ => (Outcome::Unknown, RejectClass::Other),
    }
}

/// True when `code` says that too many requests were sent. Others of [`RejectClass::Rate`] say that
/// too many orders rest, which no window of requests counts.
pub fn is_too_many(code: u32) -> bool {
    matches!(code, 429 | 30006 | 30007 | 25004)
}

/// What the venue says of a refusal; a success is said by its code.
pub(super) fn words(code: u32, msg: Option<Item<'_>>) -> Words {
    let text = msg.and_then(|msg| msg.text().ok()).filter(|_| code != 0);
    text.map_or(Words::NONE, Words::new)
}

/// The class of a definitive reject; `None` for success, for codes after which the order may exist
/// (40010, 40015, 40725, 40808, 40910, 45001), and for codes that no table has.
fn reject(code: u32) -> Option<RejectClass> {
    let class = match code {
        // §4.1: authentication, permission, transport.
        429 | 30006 | 30007 => RejectClass::Rate,
        40001..=40003
        | 40005..=40006
        | 40008..=40009
        | 40011..=40012
        | 40014
        | 40018
        | 40025
        | 40036..=40038
        | 40041
        // A demo key without its header, or another key with it.
        | 40099
        | 40301
        | 22010
        | 30004
        | 30005
        | 30011..=30015 => RejectClass::Auth,
        40022..=40024 | 40026 | 40752 | 40753 | 40916 => RejectClass::Halted,
        25004 => RejectClass::Rate,
        25006..=25008 | 25012 | 25013 => RejectClass::Halted,
        40404 | 40086 | 22030 | 40081 | 40128 | 25002 | 25005 | 25200 | 25245 | 25620 => {
            RejectClass::Other
        }
        // §4.2: parameters and symbols.
        40007
        | 40017
        | 400_172
        | 40019..=40020
        | 40034
        | 40064
        | 40402
        | 40409
        | 43011
        | 43111
        | 40304..=40306
        | 40912
        | 40913
        | 40924
        | 40925
        | 22003
        | 41101
        | 30001..=30003
        | 30016 => RejectClass::Other,
        40072 | 40102 | 40309 | 40822 | 40845 | 22004 | 25100..=25106 | 25108 => {
            RejectClass::Halted
        }
        // §4.3: orders.
        40762 | 40754 | 40798 | 40800 | 43012 | 45002 | 25202 | 25203 => RejectClass::Funds,
        40786 | 45034 | 43118 | 25212 => RejectClass::Duplicate,
        40109 | 40768 | 43001 | 43026 | 45057 | 40819 | 25204 | 24056 | 22001 | 43004 | 45055
        | 45031 => RejectClass::NotFound,
        40755 | 40757 | 45003 | 45005 | 22002 | 25225..=25227 | 25231 | 40939 | 25232 | 25574 => {
            RejectClass::Rules
        }
        40706 | 45035 | 45115 | 25244 | 22038 | 45110 | 22034 | 43010 | 25611 => RejectClass::Rules,
        45111 | 43006 | 45112 | 43007 | 25207 | 25208 => RejectClass::Rules,
        43008 | 43009 | 22046 | 22047 | 40815 | 40816 | 25205 | 25206 => RejectClass::Rules,
        22006..=22009 | 40820 | 40821 | 22045 | 40825 | 40826 | 25209 | 25210 => RejectClass::Rules,
        40921 | 40928 | 22029 | 25229 | 25230 | 25233 | 25235 => RejectClass::Rules,
        40761 | 43005 | 40889 | 25211 | 25567 | 40930 | 25234 | 45129 => RejectClass::Rate,
        40774 | 45021 | 45117 | 25236 | 25237 | 40922 | 40923 | 25571 => RejectClass::Other,
        22043 | 22044 | 40879 | 40880 | 45009 => RejectClass::Halted,
        22039..=22041 | 40844 | 45043 => RejectClass::Halted,
        _ => return None,
    };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_leaves_doubt_is_never_a_reject() {
        for code in [25000, 25001, 40010, 40015, 40725, 40808, 40910, 45001, 50000, 1, u32::MAX] {
            assert_eq!(verdict(code), (Outcome::Unknown, RejectClass::Other), "{code}");
        }
        for status in [200, 302, 400, 403, 404, 500, 502, 503, 504, 520] {
            assert_eq!(verdict_of_status(status).0, Outcome::Unknown, "{status}");
        }
    }

    #[test]
    fn rejects_of_both_generations_have_one_class() {
        for (codes, class) in [
            (&[40762, 25202][..], RejectClass::Funds),
            (&[40786, 25212], RejectClass::Duplicate),
            (&[40768, 43001, 25204, 45055], RejectClass::NotFound),
            (&[45115, 25244, 45110, 25611, 22002], RejectClass::Rules),
            (&[429, 30007, 25211], RejectClass::Rate),
            (&[40009, 40018, 40099, 30005], RejectClass::Auth),
            (&[22004, 25100, 25102, 25104, 25105, 40845], RejectClass::Halted),
            (&[41101, 40774], RejectClass::Other),
        ] {
            for &code in codes {
                assert_eq!(verdict(code), (Outcome::Rejected, class), "{code}");
            }
        }
        assert_eq!(verdict(0), (Outcome::Received, RejectClass::None));
    }
}
