//! Record: which seeds a campaign has lived, and what they came to, so that it can go on later.
//!
//! The first line names the build, each further line is a block of seeds. A line counts once it
//! ends; what a campaign that was killed has left behind it is cut off.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tally::Tally;

/// A block of seeds that was lived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The first seed.
    pub from: u64,
    /// The seed after the last.
    pub to: u64,
    /// What they came to.
    pub tally: Tally,
}

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    /// The build that lived them: another build's lives are other lives.
    build: String,
}

/// A file of blocks, to be read once and appended to.
#[derive(Debug)]
pub struct Record {
    file: File,
    blocks: Vec<Block>,
}

impl Record {
    /// Opens or begins a record of `build`.
    ///
    /// # Errors
    /// When the file cannot be read or written, is no record, or is of another build.
    pub fn open(path: &Path, build: &str) -> io::Result<Self> {
        let head = Head { build: build.to_owned() };
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        let mut lines = text[..whole].lines();
        let Some(first) = lines.next() else {
            append(&mut file, &head)?;
            return Ok(Self { file, blocks: Vec::new() });
        };
        let theirs: Head = serde_json::from_str(first)?;
        if theirs != head {
            let what = format!("the record is of build {}, this is {build}", theirs.build);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let blocks = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { file, blocks })
    }

    /// The blocks, those of earlier runs too.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Appends a block.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, block: Block) -> io::Result<()> {
        append(&mut self.file, &block)?;
        self.blocks.push(block);
        Ok(())
    }
}

/// What of `seeds` is not in `done`, in blocks of at most `size`.
pub fn missing(seeds: Range<u64>, done: &[Block], size: u64) -> Vec<Range<u64>> {
    let mut blocks = Vec::new();
    let mut from = seeds.start;
    while from < seeds.end {
        if let Some(block) = done.iter().find(|block| (block.from..block.to).contains(&from)) {
            from = block.to;
            continue;
        }
        let next = done.iter().map(|block| block.from).filter(|&next| next > from).min();
        let to = (from + size).min(seeds.end).min(next.unwrap_or(u64::MAX));
        blocks.push(from..to);
        from = to;
    }
    blocks
}

fn append(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(from: u64, to: u64) -> Block {
        Block { from, to, tally: Tally { lives: to - from, ..Tally::default() } }
    }

    #[test]
    fn a_record_goes_on_where_a_killed_campaign_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("record");
        let mut record = Record::open(&path, "a").expect("a new record");
        record.append(block(0, 10)).expect("a line");
        record.append(block(20, 25)).expect("a line");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"from\":2").unwrap();
        let mut record = Record::open(&path, "a").expect("the same record");
        assert_eq!(record.blocks(), [block(0, 10), block(20, 25)]);
        assert_eq!(missing(5..40, record.blocks(), 8), [10..18, 18..20, 25..33, 33..40]);
        record.append(block(10, 18)).expect("a line");
        assert_eq!(Record::open(&path, "a").expect("whole lines").blocks().len(), 3);
        let error = Record::open(&path, "b").expect_err("another build");
        assert!(error.to_string().contains("build a"), "{error}");
    }
}
