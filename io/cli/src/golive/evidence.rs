//! What a drill found, and the raw records that it was judged from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::item::Item;

/// Where a drill ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Real sockets, the venue as a process of its own.
    Wire,
    /// The same code under virtual time, or a pure function of it.
    Virtual,
}

impl Label {
    /// Its word in the bundle.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Virtual => "virtual",
        }
    }
}

/// One thing that must hold, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The box of the item that it proves, from 1; 0 for what no box asks for.
    pub proves: usize,
    /// What must hold.
    pub claim: String,
    /// Whether it did.
    pub holds: bool,
    /// What was seen, figures included.
    pub seen: String,
}

/// How an item was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every finding holds.
    Pass,
    /// A finding does not hold, or the drill could not be carried out.
    Fail,
    /// There is no drill, or it was not asked for.
    NotRun,
}

impl Verdict {
    /// Its words in the bundle and in the table.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::NotRun => "NOT RUN",
        }
    }
}

/// What a drill leaves: findings, and raw records under the bundle's directory.
#[derive(Debug)]
pub struct Evidence {
    root: PathBuf,
    item: &'static Item,
    findings: Vec<Finding>,
    records: Vec<String>,
}

impl Evidence {
    /// Nothing found yet; records of `item` go below `root`.
    pub fn new(root: &Path, item: &'static Item) -> Self {
        Self { root: root.to_owned(), item, findings: Vec::new(), records: Vec::new() }
    }

    /// Notes that `claim` must hold, whether it did, and what was `seen`.
    pub fn claim(&mut self, claim: &str, holds: bool, seen: impl Into<String>) {
        self.proves(0, claim, holds, seen);
    }

    /// As [`Evidence::claim`], for a claim that proves a box of the checklist, counted from 1.
    ///
    /// # Panics
    /// When the item has no such box.
    pub fn proves(&mut self, place: usize, claim: &str, holds: bool, seen: impl Into<String>) {
        assert!(place <= self.item.boxes.len(), "item {} has no box {place}", self.item.number);
        let (claim, seen) = (claim.to_owned(), seen.into());
        self.findings.push(Finding { proves: place, claim, holds, seen });
    }

    /// Keeps `bytes` as a raw record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let relative = format!("records/{:02}/{name}", self.item.number);
        let path = self.root.join(&relative);
        fs::create_dir_all(path.parent().expect("below the bundle"))?;
        fs::write(path, bytes)?;
        self.records.push(relative);
        Ok(())
    }

    /// Keeps a file as a raw record; one that is not there is no record.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_file(&mut self, name: &str, path: &Path) -> io::Result<()> {
        match fs::read(path) {
            Ok(bytes) => self.keep(name, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How it is judged: every claim holds and every box is proved.
    pub fn verdict(&self) -> Verdict {
        let whole = self.unproved().next().is_none();
        if self.is_sound() && whole { Verdict::Pass } else { Verdict::Fail }
    }

    /// The same of what was only read: boxes that need something to happen are left out.
    pub fn read(&self) -> Verdict {
        if self.is_sound() { Verdict::Pass } else { Verdict::Fail }
    }

    /// Whether every claim holds. Nothing found proves nothing.
    fn is_sound(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|finding| finding.holds)
    }

    /// The boxes that no claim proves.
    pub fn unproved(&self) -> impl Iterator<Item = &'static str> {
        let boxes = self.item.boxes.iter().enumerate();
        boxes.filter(|(at, _)| self.findings.iter().all(|f| f.proves != at + 1)).map(|(_, b)| *b)
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The raw records, by their paths in the bundle.
    pub fn records(&self) -> &[String] {
        &self.records
    }

    /// The findings as they stand in the bundle.
    pub fn json(&self) -> Value {
        let rows = self.findings.iter().map(|finding| {
            json!({
                "proves": finding.proves, "claim": finding.claim, "holds": finding.holds,
                "seen": finding.seen,
            })
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(item: u8, root: &Path) -> Evidence {
        Evidence::new(root, crate::golive::item::item(item).expect("an item"))
    }

    #[test]
    fn an_item_passes_when_every_box_is_proved_and_every_claim_holds() {
        let mut evidence = of(4, Path::new("/nowhere"));
        assert_eq!(evidence.verdict(), Verdict::Fail, "nothing found is nothing proved");
        evidence.proves(1, "foreign orders are gone", true, "0 of 3");
        assert_eq!(evidence.verdict(), Verdict::Fail, "the second box is not proved");
        assert_eq!(evidence.unproved().count(), 1);
        evidence.proves(2, "after a restart too", true, "0 of 3");
        assert_eq!(evidence.verdict(), Verdict::Pass);
        evidence.claim("the run ends in order", false, "exit code 1");
        assert_eq!(evidence.verdict(), Verdict::Fail);
        assert_eq!(of(19, Path::new("/nowhere")).verdict(), Verdict::Fail, "no box, no claim");
    }

    #[test]
    #[should_panic(expected = "item 4 has no box 3")]
    fn a_claim_proves_no_box_that_is_not_there() {
        of(4, Path::new("/nowhere")).proves(3, "", true, "");
    }

    #[test]
    fn records_are_kept_below_their_item() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut evidence = of(4, dir.path());
        evidence.keep("run/keel.log", b"a line\n").expect("written");
        evidence.keep_file("none.csv", &dir.path().join("none.csv")).expect("no record");
        assert_eq!(evidence.records(), ["records/04/run/keel.log"]);
        let kept = fs::read(dir.path().join("records/04/run/keel.log")).expect("there");
        assert_eq!(kept, b"a line\n");
    }
}
