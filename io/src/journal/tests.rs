use super::*;
use crate::clock::Anchor;
use keel_core::layout::SLOT_BYTES;
use keel_core::units::UnixNanos;
use std::fs;
use std::path::Path;

fn header() -> Header {
    let anchor = Anchor { mono: MonoNanos(1_000), utc: UnixNanos(5_000), uncertainty_ns: 1 };
    Header::first([3; 32], 7, anchor)
}

fn limits(segment_bytes: u64) -> Limits {
    Limits { segment_bytes, ..Limits::default() }
}

fn tap(number: u64) -> Tap {
    let mut slot = [0; SLOT_BYTES];
    slot[0] = 8;
    slot[1..9].copy_from_slice(&number.to_le_bytes());
    slot[40 + (number % 80) as usize] = 1;
    Tap::event(slot, MonoNanos(number))
}

fn at(now: u64) -> MonoNanos {
    MonoNanos(now)
}

/// A journal of `count` records with a commit after every `group`, closed or left as a crash leaves
/// it.
fn written(dir: &Path, count: u64, group: u64, segment_bytes: u64, close: bool) {
    let mut writer = Writer::create(dir, header(), limits(segment_bytes)).expect("a journal");
    for number in 1..=count {
        writer.append(&tap(number), at(number)).expect("appended");
        if number % group == 0 {
            writer.commit().expect("committed");
        }
    }
    if close {
        assert_eq!(writer.close().expect("closed").records, count);
    }
}

fn read(dir: &Path) -> (Vec<u64>, Option<JournalError>, Option<Torn>, bool) {
    let mut reader = match Reader::open(dir) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error), None, false),
    };
    let mut numbers = Vec::new();
    let mut error = None;
    for record in reader.by_ref() {
        match record {
            Ok(record) => {
                assert_eq!(record.tap, tap(record.tap.now.0), "what was written is what is read");
                numbers.push(record.tap.now.0);
            }
            Err(found) => error = Some(found),
        }
    }
    (numbers, error, reader.torn(), reader.ended_in_order())
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn what_is_written_is_read_in_order_over_many_segments() {
    let dir = dir();
    written(dir.path(), 1_000, 10, 8_192, true);
    assert!(fs::read_dir(dir.path()).expect("listed").count() > 5);
    for file in fs::read_dir(dir.path()).expect("listed") {
        assert!(file.expect("a file").metadata().expect("metadata").len() <= 8_192);
    }
    let (numbers, error, torn, ended) = read(dir.path());
    assert_eq!(numbers, (1..=1_000).collect::<Vec<_>>());
    assert!(error.is_none() && torn.is_none() && ended, "{error:?} {torn:?}");
}

#[test]
fn a_run_that_was_cut_off_reads_up_to_its_last_group() {
    let dir = dir();
    written(dir.path(), 95, 10, 1 << 20, false);
    let (numbers, error, torn, ended) = read(dir.path());
    assert_eq!(numbers, (1..=90).collect::<Vec<_>>(), "what was only buffered is gone");
    assert!(error.is_none() && torn.is_none() && !ended);
}

#[test]
fn a_torn_tail_is_left_out_and_told() {
    let dir = dir();
    written(dir.path(), 20, 10, 1 << 16, false);
    let path = writer::segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("read");
    let end = whole.iter().rposition(|&byte| byte != 0).expect("records") + 1;
    // The last group is torn at every byte: nothing of it is vouched for by a later commit.
    let (mut last_group, mut seen_torn) = (usize::MAX, 0);
    for cut in (HEADER_BYTES..end).rev() {
        let mut bytes = whole.clone();
        bytes[cut..].fill(0);
        fs::write(&path, &bytes).expect("written");
        let (numbers, error, torn, _) = read(dir.path());
        assert!(error.is_none(), "cut at {cut}: {error:?}");
        last_group = last_group.min(numbers.len());
        seen_torn += u32::from(torn.is_some());
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    }
    assert!(last_group == 0 && seen_torn > 500, "{last_group} {seen_torn}");
}

#[test]
fn a_flip_in_durable_bytes_is_corruption_and_in_the_tail_a_torn_tail() {
    let dir = dir();
    written(dir.path(), 30, 10, 1 << 16, false);
    let path = writer::segment_path(dir.path(), 1);
    let whole = fs::read(&path).expect("read");
    let end = whole.iter().rposition(|&byte| byte != 0).expect("records") + 1;
    // The last commit mark that is on disk vouches for the first two groups.
    let vouched = (HEADER_BYTES..end)
        .filter_map(|from| match format::parse(&whole[from..]) {
            format::Parsed::Record(format::Content::Synced(offset), _) => Some(offset as usize),
            _ => None,
        })
        .max()
        .expect("a mark");
    for byte in (HEADER_BYTES..end).step_by(7) {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x10;
        fs::write(&path, &bytes).expect("written");
        let (_, error, torn, _) = read(dir.path());
        if byte < vouched {
            assert!(matches!(error, Some(JournalError::Corrupt { .. })), "byte {byte}: {torn:?}");
        } else {
            assert!(error.is_some() || torn.is_some(), "byte {byte} of {end} was not seen");
        }
    }
}

#[test]
fn no_sealed_segment_can_be_changed_dropped_or_moved_unseen() {
    let dir = dir();
    written(dir.path(), 600, 10, 16_384, true);
    let path = |segment| writer::segment_path(dir.path(), segment);
    let (second, third) = (fs::read(path(2)).expect("read"), fs::read(path(3)).expect("read"));
    let refused = |what: &str| {
        let (numbers, error, ..) = read(dir.path());
        assert!(error.is_some(), "{what}: {} records read", numbers.len());
    };
    for byte in (0..second.len()).step_by(97) {
        let mut bytes = second.clone();
        bytes[byte] ^= 1;
        fs::write(path(2), &bytes).expect("written");
        refused(&format!("byte {byte}"));
    }
    fs::write(path(2), &second[..second.len() - 1]).expect("written");
    refused("cut short");
    fs::write(path(2), &third).expect("written");
    fs::write(path(3), &second).expect("written");
    refused("exchanged");
    fs::write(path(3), &third).expect("written");
    fs::remove_file(path(2)).expect("removed");
    refused("dropped");
}

#[test]
fn what_is_no_journal_is_refused() {
    let dir = dir();
    assert!(matches!(Reader::open(dir.path()), Err(JournalError::Empty(_))));
    let path = writer::segment_path(dir.path(), 1);
    for bytes in [&b""[..], b"KEELJRNL", &[0; 500], b"ts,bot_variant\n"] {
        fs::write(&path, bytes).expect("written");
        assert!(matches!(Reader::open(dir.path()), Err(JournalError::NotAJournal(_))));
    }
    let mut newer = header().encode();
    newer[8] = 2;
    fs::write(&path, newer).expect("written");
    assert!(matches!(Reader::open(dir.path()), Err(JournalError::Version { format: 2, .. })));
    assert!(matches!(
        Writer::create(dir.path(), header(), Limits::default()),
        Err(JournalError::Io { .. })
    ));
}

#[test]
fn commits_are_due_by_the_oldest_record() {
    let dir = dir();
    let mut writer = Writer::create(dir.path(), header(), limits(1 << 16)).expect("a journal");
    assert_eq!((writer.commit_at(), writer.lag_ns(at(900))), (MonoNanos::NEVER, 0));
    writer.append(&tap(1), at(1_000)).expect("appended");
    writer.append(&tap(2), at(9_000)).expect("appended");
    assert_eq!(writer.commit_at(), at(1_000).after(Limits::default().commit_ns));
    assert_eq!(writer.lag_ns(at(5_000)), 4_000);
    writer.commit().expect("committed");
    assert_eq!((writer.commit_at(), writer.lag_ns(at(5_000))), (MonoNanos::NEVER, 0));
}

/// A disk that fails at a chosen call.
struct FailingDisk {
    fails_at: u32,
    calls: u32,
}

impl FailingDisk {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.calls == self.fails_at {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl Disk for FailingDisk {
    fn create(&mut self, _: u32, _: u64) -> io::Result<()> {
        self.call()
    }
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        self.call()
    }
    fn sync(&mut self) -> io::Result<()> {
        self.call()
    }
    fn seal(&mut self, _: u64) -> io::Result<()> {
        self.call()
    }
    fn path(&self) -> PathBuf {
        PathBuf::from("segment")
    }
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_retried() {
    for fails_at in 1..=5 {
        let disk = FailingDisk { fails_at, calls: 0 };
        let mut writer = match Writer::on(disk, header(), Limits::default()) {
            Ok(writer) => writer,
            Err(JournalError::Io { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        writer.append(&tap(1), at(1)).expect("only buffered");
        assert!(matches!(writer.commit(), Err(JournalError::Io { .. })), "call {fails_at}");
        for _ in 0..3 {
            assert!(matches!(writer.append(&tap(2), at(2)), Err(JournalError::Failed)));
            assert!(matches!(writer.commit(), Err(JournalError::Failed)));
        }
        assert!(writer.lag_ns(at(100)) > 0, "the lag of what is not durable keeps growing");
        assert!(matches!(writer.close(), Err(JournalError::Failed)));
    }
}
