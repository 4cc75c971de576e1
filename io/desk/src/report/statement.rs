//! A statement of the venue against a run's own records, over one UTC day: by type, and where they
//! differ.

mod compare;
mod own;
mod read;

pub use compare::{Comparison, compare};
pub use own::Own;
pub use read::{Statement, csv, day_of, json};

/// What moved money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An execution: profit and fee.
    Trade,
    /// A funding settlement.
    Funding,
    /// In or out of the account.
    Transfer,
    /// Margin that moved within the account: no money came or went.
    Within,
    /// Any other word.
    Other,
}

impl Kind {
    /// The kind that a record's type names, in the words of V3 or of V2.
    fn named(word: &str) -> Self {
        let word = word.trim().to_ascii_uppercase().replace(' ', "_");
        let has = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
        if has(&["SETTLE_FEE", "FUNDING"]) {
            Self::Funding
        } else if has(&["_MARGIN", "LEVER_POS_IN"]) {
            Self::Within
        } else if has(&["TRANSFER", "DEPOSIT", "WITHDRAW", "TRANS_FROM", "TRANS_TO"]) {
            Self::Transfer
        } else if has(&TRADED) || word == "BUY" || word == "SELL" {
            Self::Trade
        } else {
            Self::Other
        }
    }

    /// As people read it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Funding => "funding",
            Self::Transfer => "transfer",
            Self::Within => "margin",
            Self::Other => "other",
        }
    }
}

/// Parts of the words for executions, whoever's order it was and in either mode of holding.
const TRADED: [&str; 9] = [
    "ORDER_DEALT",
    "BUY_DEAL",
    "SELL_DEAL",
    "OPEN_LONG",
    "OPEN_SHORT",
    "CLOSE_LONG",
    "CLOSE_SHORT",
    "_SSM",
    "SINGLE_SIDE_MODE",
];

/// One record of money, the venue's or ours. Amounts are in 1e-8 USDT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The venue's id; empty where a form has none.
    pub id: String,
    /// Of which contract; empty for none.
    pub symbol: String,
    /// What it was.
    pub kind: Kind,
    /// The venue's word for it.
    pub word: String,
    /// When, in nanoseconds since 1970.
    pub ts: i64,
    /// Profit of an execution, or money that came; negative went.
    pub amount: i64,
    /// Paid; negative is a rebate.
    pub fee: i64,
}

#[cfg(test)]
mod tests;
