//! The canary: the first hours of trading for real, under the same drills, begin small.
//!
//! What has been lived stands in `canary.json` of the state directory. A run that began small stays
//! so to its end: nothing loosens a limit while an engine works.

use std::fs;
use std::path::{Path, PathBuf};

use keel_core::param::{Params, at, row_of};
use keel_core::units::{E8, Rate};
use keel_io::disk::{self, OsFiles, Refused};
use serde_json::{Value, json};

/// Seconds of quoting under the drills in force.
#[derive(Debug)]
pub(crate) struct Canary {
    path: PathBuf,
    drills: String,
    lived_s: u64,
    kept_s: u64,
    hours: u64,
}

/// What of the limits is made small.
const CAPPED: [usize; 3] =
    [at::max_order_notional_quote, at::max_position_quote, at::max_total_notional_quote];
/// What has been lived is kept this often.
const KEEP_S: u64 = 60;

impl Canary {
    /// Reads what has been lived under `drills`. A file that is missing, damaged or of other drills
    /// says nothing, so that it begins anew.
    pub(crate) fn load(state_dir: &Path, drills: &str, hours: u64) -> Self {
        let path = state_dir.join("canary.json");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let found: Value = serde_json::from_str(&text).unwrap_or_default();
        let same = found["drills_blake3"] == drills;
        let lived_s = found["lived_s"].as_u64().filter(|_| same).unwrap_or(0);
        Self { path, drills: drills.to_owned(), lived_s, kept_s: lived_s, hours }
    }

    /// Whether enough has been lived.
    pub(crate) fn is_over(&self) -> bool {
        self.lived_s >= self.hours * 3_600
    }

    /// Leaves `share` of the limits of value, while it is not over.
    pub(crate) fn cap(&self, params: &mut Params, share: Rate) {
        if self.is_over() {
            return;
        }
        for place in CAPPED {
            let whole = i128::from(params.values()[place]);
            let part = i64::try_from(whole * i128::from(share.0) / i128::from(E8));
            let least = row_of(place).map_or(i64::MAX, |row| row.min);
            let small = part.unwrap_or(i64::MAX).max(least);
            assert!(params.set(place, small), "a share of what is allowed is allowed");
        }
    }

    /// Takes in that it has quoted for a second more.
    ///
    /// # Errors
    /// When what has been lived cannot be kept. It counts for nothing then at the next start.
    pub(crate) fn quoted(&mut self) -> Result<(), Refused> {
        self.lived_s += 1;
        if self.lived_s - self.kept_s < KEEP_S {
            return Ok(());
        }
        self.keep()
    }

    /// Keeps what has been lived.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&mut self) -> Result<(), Refused> {
        if self.lived_s == self.kept_s {
            return Ok(());
        }
        self.kept_s = self.lived_s;
        let body = json!({ "drills_blake3": self.drills, "lived_s": self.lived_s });
        disk::replace(&OsFiles, &self.path, format!("{body:#}\n").as_bytes())
    }

    /// How far it is, for a person.
    pub(crate) fn text(&self, params: &Params) -> String {
        if self.is_over() {
            return format!("{} hours were lived small; the limits are whole.", self.hours);
        }
        let usdt = |place: usize| params.values()[place] / E8;
        let [order, position, total] = CAPPED.map(usdt);
        format!(
            "{:.1} of {} hours are lived small: an order is worth {order} USDT at most, a position \
             {position}, all orders {total}.",
            self.lived_s as f64 / 3_600.0,
            self.hours
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::param::Profile;

    const FIFTH: Rate = Rate(E8 / 5);

    fn capped(canary: &Canary) -> [i64; 3] {
        let mut params = Params::defaults(Profile::Wide);
        canary.cap(&mut params, FIFTH);
        CAPPED.map(|place| params.values()[place] / E8)
    }

    #[test]
    fn the_first_hours_are_small_and_then_the_limits_are_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut canary = Canary::load(dir.path(), "drills", 1);
        for _ in 0..3_599 {
            canary.quoted().expect("kept");
        }
        assert_eq!(capped(&canary), [50, 400, 200]);
        canary.keep().expect("kept");
        let mut again = Canary::load(dir.path(), "drills", 1);
        assert_eq!(capped(&again), [50, 400, 200]);
        again.quoted().expect("kept");
        assert_eq!(capped(&again), [250, 2_000, 1_000]);
    }

    #[test]
    fn a_file_of_other_drills_or_damaged_or_not_there_begins_anew() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("canary.json");
        let write = |text: &str| fs::write(&file, text).expect("written");
        let is_over = |drills| Canary::load(dir.path(), drills, 1).is_over();
        write(r#"{"drills_blake3":"drills","lived_s":3600}"#);
        assert!(is_over("drills") && !is_over("others"));
        for damaged in [r#"{"drills_blake3":"drills","lived_s":36"#, "", "[]", "null"] {
            write(damaged);
            assert!(!is_over("drills"), "{damaged}");
        }
        fs::remove_file(&file).expect("removed");
        assert!(!is_over("drills"));
    }

    #[test]
    fn a_share_is_never_below_what_a_limit_may_be() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut params = Params::defaults(Profile::Wide);
        Canary::load(dir.path(), "drills", 1).cap(&mut params, Rate(100_000));
        assert_eq!(CAPPED.map(|place| params.values()[place] / E8), [1, 2, 1]);
    }
}
