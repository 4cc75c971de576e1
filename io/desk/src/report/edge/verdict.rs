//! What the figures come to, by a rule that is told with them.

use super::Row;

/// The verdict and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its word.
    pub word: Word,
    /// Why, with the figures.
    pub why: String,
}

/// What a verdict can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The whole interval lies above zero.
    Positive,
    /// The whole interval lies below zero.
    Negative,
    /// There is too little to tell, or the interval holds zero.
    Insufficient,
}

impl Word {
    /// As it stands in files.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Positive => "POSITIVE",
            Self::Negative => "NEGATIVE",
            Self::Insufficient => "INSUFFICIENT",
        }
    }
}

impl Verdict {
    /// The verdict by the row of the horizon that it goes by.
    pub(super) fn of(row: &Row) -> Self {
        let insufficient = |why| Self { word: Word::Insufficient, why };
        if row.sums.fills < FILLS_MIN {
            return insufficient(format!(
                "{} fills are covered, {FILLS_MIN} are needed",
                row.sums.fills
            ));
        }
        if row.covered() < COVERED_MIN {
            return insufficient(format!(
                "{:.0} % of the fills are covered, {:.0} % are needed: what is not seen may be \
                 the worse part",
                (row.covered() * 100.0).floor(),
                COVERED_MIN * 100.0
            ));
        }
        let Some((edge, interval)) = row.edge.filter(|_| row.blocks >= BLOCKS_MIN) else {
            return insufficient(format!(
                "the fills stand in {} minutes, {BLOCKS_MIN} are needed",
                row.blocks
            ));
        };
        let figures = format!(
            "{edge:.4} bps of notional after {}, {:.4} to {:.4} with 95 %",
            row.horizon_text(),
            interval.low,
            interval.high
        );
        if interval.holds_zero() {
            return insufficient(format!("{figures}: the interval holds zero"));
        }
        let word = if edge > 0.0 { Word::Positive } else { Word::Negative };
        Self { word, why: format!("{figures}: {}", parts(row)) }
    }
}

/// What the edge consists of, in bps, the largest part first.
fn parts(row: &Row) -> String {
    let sums = &row.sums;
    let mut parts = [
        ("capture", sums.capture_x2),
        ("way of the mid", sums.move_x2),
        ("fees", -2 * sums.fee),
        ("funding", -2 * sums.funding),
    ];
    parts.sort_by_key(|(_, amount_x2)| std::cmp::Reverse(amount_x2.abs()));
    let words = parts
        .map(|(name, amount_x2)| format!("{name} {:+.4}", sums.bps(amount_x2).unwrap_or_default()));
    words.join(", ")
}

/// The rule in words, for whoever reads the verdict.
pub(super) fn rule() -> String {
    format!(
        "POSITIVE or NEGATIVE when the 95 % interval of the net edge after 30 s lies wholly on one \
         side of zero, over at least {FILLS_MIN} covered fills in {BLOCKS_MIN} minutes and with \
         {:.0} % of the fills covered; else INSUFFICIENT. The interval is Student's, of the ratio \
         of net edge to notional over blocks of a minute (of the horizon where that is longer).",
        COVERED_MIN * 100.0
    )
}

/// Fills below which nothing is said.
const FILLS_MIN: u64 = 20;
/// Minutes with fills below which nothing is said.
const BLOCKS_MIN: u64 = 10;
/// The share of fills that must be covered.
const COVERED_MIN: f64 = 0.9;
