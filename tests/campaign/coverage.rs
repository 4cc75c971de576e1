//! Coverage: which faults have met which states of an order.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use keel_io::world::{FaultKind, Standing, Standings};
use serde::{Deserialize, Serialize};

/// How often each kind of fault was put in while an order was in each state. A fault counts once
/// for each state that any order was in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage(BTreeMap<String, [u64; Standing::ALL.len()]>);

impl Coverage {
    /// A fault was put in.
    pub(super) fn count(&mut self, kind: FaultKind, standings: Standings) {
        let row = self.0.entry(kind.name().to_owned()).or_default();
        for standing in Standing::ALL.into_iter().filter(|&standing| standings.has(standing)) {
            row[standing as usize] += 1;
        }
    }

    /// Adds what another has seen.
    pub fn add(&mut self, other: &Self) {
        for (kind, counts) in &other.0 {
            let row = self.0.entry(kind.clone()).or_default();
            row.iter_mut().zip(counts).for_each(|(mine, more)| *mine += more);
        }
    }

    /// How often `kind` met `standing`.
    pub fn of(&self, kind: FaultKind, standing: Standing) -> u64 {
        self.0.get(kind.name()).map_or(0, |row| row[standing as usize])
    }

    /// How many kinds of faults met `standing`.
    pub fn kinds_met(&self, standing: Standing) -> usize {
        FaultKind::ALL.iter().filter(|&&kind| self.of(kind, standing) > 0).count()
    }

    /// The table, for people: a line a kind, a column a state, and what was never met.
    pub fn table(&self) -> String {
        let mut text = format!("{:<16}", "");
        for standing in Standing::ALL {
            let _ = write!(text, "{:>14}", format!("{standing:?}"));
        }
        let mut never = Vec::new();
        for &kind in FaultKind::ALL {
            let _ = write!(text, "\n{:<16}", kind.name());
            for standing in Standing::ALL {
                let count = self.of(kind, standing);
                let _ = write!(text, "{count:>14}");
                if count == 0 {
                    never.push(format!("{} × {standing:?}", kind.name()));
                }
            }
        }
        let cells = FaultKind::ALL.len() * Standing::ALL.len();
        let met = cells - never.len();
        let _ = write!(text, "\n{met} of {cells} cells met; never: {}\n", never.join(", "));
        text
    }
}
