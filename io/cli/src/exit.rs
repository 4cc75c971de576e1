//! Exit codes: one number for each way in which a program can end. `docs/exit-codes.md` tells them.

use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done; after a run, zero open orders were verified.
    Done = 0,
    /// The system failed: disk, sockets, memory.
    Failed = 1,
    /// The command line or the configuration is wrong; nothing was started.
    Usage = 2,
    /// A directory is locked, damaged, or of another account; nothing was started.
    State = 3,
    /// The venue could not be trusted or reached, or the account is not as required; no order was
    /// sent.
    Venue = 4,
    /// The guard stopped for good; an operator must look and rearm.
    HardStop = 5,
    /// The run ended and zero open orders could not be verified: look at the venue.
    OpenOrders = 6,
    /// A replay gave something else than the journal holds.
    Different = 7,
    /// Live mode is closed: its evidence is not whole, fresh and signed. Nothing was started.
    NotOpen = 8,
    /// The go-live gate says no: an item did not pass, a bundle was changed or is not signed.
    Gate = 9,
    /// A part of the program panicked; its orders were canceled as far as the code before says.
    Panic = 70,
}

impl Exit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::State,
        Self::Venue,
        Self::HardStop,
        Self::OpenOrders,
        Self::Different,
        Self::NotOpen,
        Self::Gate,
        Self::Panic,
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented_once() {
        let page = include_str!("../../../docs/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} | `{exit:?}` |", exit as u8);
            assert_eq!(page.matches(&row).count(), 1, "{row}");
        }
        let rows = page.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
        assert_eq!(rows.count(), Exit::ALL.len());
    }
}
