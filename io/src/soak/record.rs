//! What a soak in real time has lived so far, as its directory keeps it: with the rows, everything
//! that its verdict needs.

use std::path::Path;

use keel_core::decimal::Decimal;
use keel_core::instrument::Symbol;
use keel_core::units::Quote;
use serde::{Deserialize, Serialize};

use super::verdict::{self, Lived, Verdict};
use crate::cold::recorder::table_dir;
use crate::disk::{self, Refused};

/// The file of a soak's directory.
pub const FILE: &str = "record.json";
/// The directory beside it in which the engine keeps its tables.
pub const STATE_DIR: &str = "state";

/// The record.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// How many minutes of the venue's clock are to be lived.
    pub minutes: u64,
    /// The first of them, by its number since 1970.
    pub first_minute: i64,
    /// How many times faster than real the venue's time ran.
    pub speed: u32,
    /// The contracts.
    pub instruments: Vec<String>,
    /// `max_active_executors`.
    pub orders_max: u64,
    /// What is known beside the rows.
    pub lived: Lived,
}

impl Record {
    /// Puts it into `dir`, whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn save(&self, dir: &Path) -> Result<(), Refused> {
        let text = serde_json::to_string_pretty(self).expect("JSON of strings and numbers") + "\n";
        disk::replace(&*disk::os(), &dir.join(FILE), text.as_bytes())
    }

    /// The one in `dir`.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn load(dir: &Path) -> Result<Self, String> {
        let path = dir.join(FILE);
        let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Judges the rows in `dir` up to minute `until`, and what was lived.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn judge(&self, dir: &Path, until: i64) -> Result<Verdict, String> {
        let whole = self.first_minute + i64::try_from(self.minutes).unwrap_or(i64::MAX / 2);
        let minutes = self.first_minute..until.min(whole);
        let symbols = self.symbols()?;
        let tables = |symbol| table_dir(&dir.join(STATE_DIR), &symbols, symbol);
        let mut verdict = Verdict::default();
        for &symbol in &symbols {
            let orders_max = self.orders_max;
            verdict.take_tables(symbol.as_str(), &tables(symbol), minutes.clone(), orders_max)?;
        }
        verdict.take_outside(dir, &tables(symbols[0]), minutes, self.orders_max)?;
        verdict.take_lived(&self.lived);
        Ok(verdict)
    }

    /// Funding that the engine's tables have booked, over all their days.
    ///
    /// # Errors
    /// When a table cannot be read, or lacks the column.
    pub fn funding_booked(&self, dir: &Path) -> Result<Quote, String> {
        const COLUMN: &str = "funding_cost_today_quote";
        let symbols = self.symbols()?;
        let tables = table_dir(&dir.join(STATE_DIR), &symbols, symbols[0]);
        let money = |text: &str| Decimal::parse(text.as_bytes()).ok()?.e8().ok();
        let figures = |file: &str| {
            verdict::read(&tables.join(file), |cell| {
                let text = cell(COLUMN)?;
                if text.is_empty() { Some(None) } else { money(text).map(Some) }
            })
        };
        let over: i64 = figures("daily.csv")?.into_iter().flatten().sum();
        let today = figures("minute.csv")?.into_iter().flatten().next_back().unwrap_or(0);
        Ok(Quote(over + today))
    }

    fn symbols(&self) -> Result<Vec<Symbol>, String> {
        let read = |name: &String| {
            Symbol::parse(name.as_bytes()).ok_or_else(|| format!("{name} is no instrument"))
        };
        let symbols = self.instruments.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if symbols.is_empty() { Err("no instrument".to_owned()) } else { Ok(symbols) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_a_field_too_many_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let lived = Lived {
            starts: 2,
            stops: vec!["a stop".to_owned()],
            funding_paid: Quote(-5),
            balance: Some(Quote(7)),
            ..Lived::default()
        };
        let record = Record {
            minutes: 2_880,
            first_minute: 29_000_000,
            speed: 1,
            instruments: vec!["BTCUSDT".to_owned()],
            orders_max: 10,
            lived,
        };
        record.save(dir.path()).expect("written");
        assert_eq!(Record::load(dir.path()).expect("read").lived, record.lived);
        let path = dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, text.replacen("\"speed\"", "\"sped\"", 1)).expect("written");
        assert!(Record::load(dir.path()).expect_err("refused").contains("sped"));
    }

    #[test]
    fn funding_is_the_sum_of_the_days_that_are_over_and_of_this_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join(STATE_DIR);
        std::fs::create_dir(&state).expect("made");
        let table =
            |rows: &[&str]| format!("funding_cost_today_quote,x\n{}\n", rows.join(",\n") + ",");
        std::fs::write(state.join("daily.csv"), table(&["0.5", "-0.25"])).expect("written");
        std::fs::write(state.join("minute.csv"), table(&["0.5", "0.125", ""])).expect("written");
        let record = Record {
            minutes: 1,
            first_minute: 0,
            speed: 1,
            instruments: vec!["BTCUSDT".to_owned()],
            orders_max: 1,
            lived: Lived::default(),
        };
        assert_eq!(record.funding_booked(dir.path()), Ok(Quote(37_500_000)));
    }
}
