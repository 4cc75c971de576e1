//! Settlements of funding that are due: what is held at the venue when one comes.

use keel_core::units::UnixNanos;
use serde::{Deserialize, Serialize};

use super::instants;

/// Counts the settlements at which something was held, by one look after the other. Between two
/// looks a position may begin or end, so it knows a least and a most.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settlements {
    /// When was looked last, in nanoseconds since 1970, and where something was held then.
    looked: Option<(i64, Vec<bool>)>,
    /// Settlements at least and at most.
    due: [u64; 2],
}

impl Settlements {
    /// Looks at the time `now`, with something `held` or not, place by place.
    pub fn look(&mut self, now: UnixNanos, held: Vec<bool>) {
        if let Some((at, before)) = &self.looked {
            let span_ns = u64::try_from(now.0 - at).unwrap_or(0);
            let passed = instants(UnixNanos(*at), span_ns);
            let pairs = || before.iter().zip(&held);
            let both = pairs().filter(|(before, now)| **before && **now).count() as u64;
            let either = pairs().filter(|(before, now)| **before || **now).count() as u64;
            // Of several instants since then, nothing is known of what was held at any.
            self.due[0] += if passed == 1 { both } else { 0 };
            self.due[1] += passed * if passed > 1 { held.len() as u64 } else { either };
        }
        self.looked = Some((now.0, held));
    }

    /// How many were due, at least and at most.
    pub const fn due(&self) -> [u64; 2] {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_NS: i64 = 3_600_000_000_000;

    #[test]
    fn a_settlement_is_due_where_something_is_held_as_its_instant_passes() {
        let mut seen = Settlements::default();
        let mut look = |hours: i64, minutes: i64, held: [bool; 2]| {
            seen.look(UnixNanos(hours * HOUR_NS + minutes * HOUR_NS / 60), held.into());
            seen.due()
        };
        assert_eq!(look(7, 59, [true, false]), [0, 0], "none has passed");
        assert_eq!(look(8, 0, [true, false]), [1, 1]);
        assert_eq!(look(8, 1, [true, true]), [1, 1], "it has been counted");
        assert_eq!(look(15, 59, [true, false]), [1, 1]);
        assert_eq!(look(16, 1, [true, true]), [2, 3], "one may have begun before or after it");
        assert_eq!(look(23, 59, [false, false]), [2, 3]);
        assert_eq!(look(24, 0, [false, false]), [2, 3], "nothing is held, and nothing is due");
        assert_eq!(look(40, 0, [true, true]), [2, 7], "nobody looked for two of them");
    }
}
