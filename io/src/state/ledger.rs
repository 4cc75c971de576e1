//! The ledger: what a restart needs of all that was recorded, in the order in which it was.
//!
//! One file that only grows: every execution and every bill that was booked, the day after each
//! change, and each stop for good and its end. A record is a length, a number, the CRC of the
//! record before it, a body, and a CRC over all that; so no record can be changed, dropped or moved
//! unseen. What `daily_state.json` vouches for is durable: damage there is refused. A damaged tail
//! behind it was never durable and is cut off; the venue tells its executions again.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use keel_core::command::{Booked, CommandView, Day, GuardChanged};
use keel_core::event::{Bill, BillKind, BillsRead, Event, FeeSource, Rules};
use keel_core::guard::{GuardState, Reason, Reasons};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::layout::{SLOT_BYTES, Slot};
use keel_core::ledger::marks::{self, Ahead};
use keel_core::position::Position;
use keel_core::reconcile;
use keel_core::units::{Quote, UnixNanos};

use super::{Beside, Latch, StateError, corrupt, incident_beside};
use crate::cold::csv::FillContext;
use crate::disk::{self, DiskFile, Entry as Stands, FileSystem, Opening, Refused, refused};

/// The ledger's file, open to be appended to.
#[derive(Debug)]
pub(super) struct LedgerFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    records: u64,
    last_crc: u32,
    buffer: Vec<u8>,
}

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An execution was booked.
    Booked(Booked, FillContext),
    /// The day changed.
    Day(Day),
    /// The guard stopped for good, or was rearmed.
    Guard(GuardChanged),
    /// A bill was booked. It is of no instrument: their numbers are another run's.
    Bill(Bill),
    /// Every bill up to a time is booked.
    BillsRead(BillsRead),
}

/// What the records of a ledger come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What this state speaks for began then.
    pub began: UnixNanos,
    /// The day as it was.
    pub day: Option<Day>,
    /// What everything recorded has earned: profit realized, less fees and funding.
    pub earned: Quote,
    /// The stop that is in force.
    pub stopped: Option<Latch>,
    /// When a bill of a kind that is not known was booked that no person has looked at since: it
    /// stops for good, and the record of that may not have become durable with it.
    pub bill_unknown: Option<UnixNanos>,
    /// Positions by the name of the instrument.
    pub positions: BTreeMap<String, KeptPosition>,
    /// Executions as far back as the venue will be asked for them again, and a few more.
    pub fills: VecDeque<(Booked, Instrument)>,
    /// Every bill up to here is booked, or was in the balance that the account was found with.
    pub bills_until: UnixNanos,
    /// Bills of later, or of a day that has not begun, that are booked.
    pub bills: Vec<Bill>,
    /// Bills are recorded: a ledger of an older build has only the days that they made.
    pub bills_recorded: bool,
    /// Funding of a day that had not begun yet.
    pub ahead: Ahead,
}

/// A position, and the rules in whose ticks and lots it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPosition {
    /// Size and cost.
    pub position: Position,
    /// The rules.
    pub rules: Instrument,
    /// The newest execution.
    pub last_trade_id: u64,
    /// Its time.
    pub last_trade_at: UnixNanos,
}

/// A ledger that was read.
pub(super) struct Found {
    pub(super) kept: Kept,
    /// Executions that no row may be durable of yet.
    pub(super) unwritten: Vec<(Booked, FillContext)>,
    records: u64,
    bytes: u64,
    last_crc: u32,
}

impl Kept {
    /// Nothing recorded yet, of an account that is taken as it is found at `began`.
    pub fn begun(began: UnixNanos) -> Self {
        Self { began, bills_until: began, ..Self::default() }
    }

    /// Takes a record in. `at` is when it was made.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, record: &Record, at: UnixNanos) -> Result<(), &'static str> {
        match record {
            Record::Booked(booked, context) => self.booked(booked, &context.rules)?,
            Record::Day(day) => {
                if !self.bills_recorded {
                    self.bills_until = self.bills_until.max(at);
                }
                self.day_changed(day)?;
            }
            Record::Bill(bill) => {
                self.billed(bill).ok_or("a bill is out of range")?;
                if bill.kind == BillKind::Unknown {
                    self.bill_unknown.get_or_insert(at);
                }
            }
            Record::BillsRead(BillsRead { until }) => {
                self.bills_recorded = true;
                self.bills_until = *until;
                let day = self.day.map_or(i64::MIN, |day| day.day);
                self.bills.retain(|bill| bill.ts > *until || bill.ts.day() > day);
            }
            Record::Guard(change) if change.to == GuardState::HardStop => {
                let reasons = Reasons(change.soft).union(Reasons(change.hard));
                let since = self.stopped.map_or(at, |stopped| stopped.since);
                self.stopped = Some(Latch { incident: change.incident, reasons, since });
            }
            // A rearm measures the drawdown anew, from the first equity that is known. A run that
            // is up says in its next record of the day which that is.
            Record::Guard(_) => {
                self.stopped = None;
                self.bill_unknown = None;
                if let Some(day) = &mut self.day {
                    day.high_water = Quote::ZERO;
                }
            }
        }
        Ok(())
    }

    /// The stop that is in force after the boots up to `epoch`: as it was recorded, or as it is
    /// owed for a bill that is not known.
    pub fn stop(&self, epoch: u32) -> Option<Latch> {
        let owed = self.bill_unknown.map(|since| {
            let reasons = Reasons::NONE.with(Reason::BillUnknown);
            Latch { incident: incident_beside(epoch, Beside::Start), reasons, since }
        });
        self.stopped.or(owed)
    }

    /// Takes the day in. In a ledger without bills it alone tells what funding has cost since the
    /// record before it.
    fn day_changed(&mut self, day: &Day) -> Result<(), &'static str> {
        let before = match &self.day {
            Some(before) if before.day == day.day => before.funding,
            _ => self.ahead.of(day.day),
        };
        let earned = day.funding.0.checked_sub(before.0);
        let earned = earned.and_then(|cost| self.earned.0.checked_sub(cost));
        self.earned = Quote(earned.ok_or("funding is out of range")?);
        self.day = Some(*day);
        Ok(())
    }

    /// Takes a bill in, as [`keel_core::ledger::Ledger::bill`] does: the record of the day that
    /// follows may not have become durable with this one. `None` when a number leaves its range.
    fn billed(&mut self, bill: &Bill) -> Option<()> {
        self.bills_recorded = true;
        self.bills.push(*bill);
        if bill.kind == BillKind::Funding {
            self.earned = Quote(self.earned.0.checked_add(bill.amount.0)?);
            let today = self.day.as_mut().map(|day| (day.day, &mut day.funding));
            self.ahead.fund(bill.ts.day(), bill.amount, today)?;
        }
        let Some(day) = &mut self.day else { return Some(()) };
        let high_water = Some(&mut day.high_water).filter(|high| **high != Quote::ZERO);
        let week = day.week.iter_mut().filter(|open| **open != Quote::ZERO);
        let all = [&mut day.equity_open, &mut day.equity_peak].into_iter().chain(high_water);
        marks::shift(all.chain(week), marks::moved_by(bill))
    }

    fn booked(&mut self, booked: &Booked, rules: &Instrument) -> Result<(), &'static str> {
        let earned = self.earned.0.checked_add(booked.realized.0);
        let earned = earned.and_then(|earned| earned.checked_sub(booked.fee.0));
        self.earned = Quote(earned.ok_or("an execution is out of range")?);
        let name = rules.symbol.as_str().to_owned();
        let held = self.positions.entry(name).or_insert(KeptPosition {
            position: Position::FLAT,
            rules: *rules,
            last_trade_id: 0,
            last_trade_at: self.began,
        });
        *held = held.on_rules(rules).ok_or("an execution is in lots that the position is not")?;
        let realized = booked.tick_lots(rules);
        let taken = held.position.take(booked.side, booked.price, booked.lots, realized);
        taken.ok_or("an execution is out of range")?;
        if booked.ts >= held.last_trade_at {
            held.last_trade_id = booked.trade_id;
            held.last_trade_at = booked.ts;
        }
        // The record of the day that follows may not have become durable with this one.
        if let Some(day) = &mut self.day {
            *day = with_booked(day, booked, rules).ok_or("an execution is out of range")?;
        }
        self.fills.push_back((*booked, *rules));
        let newest = self.positions.values().map(|held| held.last_trade_at).max();
        let since = reconcile::window_from(newest.unwrap_or(self.began));
        while self.fills.front().is_some_and(|(booked, _)| booked.ts < since) {
            self.fills.pop_front();
        }
        Ok(())
    }
}

/// The day with one more execution; `None` when a number leaves its range.
fn with_booked(day: &Day, booked: &Booked, rules: &Instrument) -> Option<Day> {
    let sum = |a: Quote, b: Quote| a.0.checked_add(b.0).map(Quote);
    let value = i128::from(booked.price.0).checked_mul(i128::from(booked.lots.0))?;
    let value = value.checked_mul(i128::from(rules.quote_per_tick_lot()))?;
    Some(Day {
        traded: sum(day.traded, Quote(i64::try_from(value).ok()?))?,
        realized: sum(day.realized, booked.realized)?,
        fees: sum(day.fees, booked.fee)?,
        fills: day.fills.checked_add(1)?,
        ..*day
    })
}

impl KeptPosition {
    /// The same in the ticks and lots of `rules`; `None` when it is no whole number there.
    pub fn on_rules(&self, rules: &Instrument) -> Option<Self> {
        let same = self.rules.tick == rules.tick && self.rules.lot == rules.lot;
        let position =
            if same { self.position } else { self.position.on_grid(&self.rules, rules)? };
        Some(Self { position, rules: *rules, ..*self })
    }
}

impl Found {
    /// Something has been recorded.
    pub(super) fn has_records(&self) -> bool {
        self.records > 0
    }
}

impl LedgerFile {
    /// Makes an empty ledger for what begins now.
    pub(super) fn create(
        fs: &dyn FileSystem,
        path: &Path,
        uid: u64,
        now: UnixNanos,
    ) -> Result<(), Refused> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&uid.to_le_bytes());
        bytes.extend_from_slice(&now.0.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        disk::replace(fs, path, &bytes)
    }

    /// Reads the ledger; `None` when there is none. Of its first `vouched` records all that they
    /// mean is durable.
    pub(super) fn read(
        fs: &dyn FileSystem,
        path: &Path,
        uid: u64,
        vouched: u64,
    ) -> Result<Option<Found>, StateError> {
        match refused("read", path, fs.entry(path))? {
            Stands::Nothing => return Ok(None),
            Stands::Other => return Err(corrupt(path, "is no regular file")),
            Stands::File(_) => {}
        }
        let mut reader = BufReader::new(refused("read", path, fs.reader(path))?);
        let mut header = [0; HEADER_BYTES];
        let whole = refused("read", path, fill(&mut reader, &mut header))? == HEADER_BYTES;
        let (began, last_crc) = header_of(&header, uid)
            .filter(|_| whole)
            .ok_or_else(|| corrupt(path, "does not begin as the ledger of this account"))?;
        let kept = Kept::begun(began);
        let bytes = HEADER_BYTES as u64;
        let mut found = Found { kept, unwritten: Vec::new(), records: 0, bytes, last_crc };
        let mut body = Vec::new();
        while let Some((at, record, crc)) =
            refused("read", path, next(&mut reader, &mut body, found.records, found.last_crc))?
        {
            found.kept.take(&record, at).map_err(|what| corrupt(path, what))?;
            found.records += 1;
            found.bytes += (HEAD_BYTES + body.len() + CRC_BYTES) as u64;
            found.last_crc = crc;
            if let (Record::Booked(booked, context), true) = (record, found.records > vouched) {
                found.unwritten.push((booked, context));
            }
        }
        if found.records < vouched {
            let what = format!("ends after {} records, and {vouched} were durable", found.records);
            return Err(corrupt(path, &what));
        }
        Ok(Some(found))
    }

    /// Opens the ledger behind its last whole record, which becomes its end.
    pub(super) fn open(fs: &dyn FileSystem, path: &Path, found: &Found) -> Result<Self, Refused> {
        let mut file = refused("open", path, fs.open(path, Opening::Appending))?;
        refused("truncate", path, file.set_len(found.bytes))?;
        refused("sync", path, file.sync())?;
        let (records, last_crc) = (found.records, found.last_crc);
        Ok(Self { file, path: path.to_owned(), records, last_crc, buffer: Vec::new() })
    }

    /// Appends a record, to be durable after the next [`LedgerFile::commit`].
    pub(super) fn append(&mut self, record: &Record, at: UnixNanos) {
        let mut body = Vec::with_capacity(BODY_BYTES_MAX);
        encode(record, &mut body);
        let length = u32::try_from(body.len()).expect("a few hundred bytes");
        let from = self.buffer.len();
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&(self.records + 1).to_le_bytes());
        self.buffer.extend_from_slice(&at.0.to_le_bytes());
        self.buffer.extend_from_slice(&self.last_crc.to_le_bytes());
        self.buffer.extend_from_slice(&body);
        self.last_crc = crc32fast::hash(&self.buffer[from..]);
        self.buffer.extend_from_slice(&self.last_crc.to_le_bytes());
        self.records += 1;
    }

    /// Makes everything appended durable. Does nothing when everything is.
    pub(super) fn commit(&mut self) -> Result<(), Refused> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        refused("write", &self.path, self.file.write(&self.buffer))?;
        refused("sync", &self.path, self.file.sync())?;
        self.buffer.clear();
        Ok(())
    }

    /// Records so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }
}

/// When it began, and the CRC that the first record repeats.
fn header_of(header: &[u8; HEADER_BYTES], uid: u64) -> Option<(UnixNanos, u32)> {
    let (content, crc) = header.split_last_chunk::<CRC_BYTES>()?;
    let good = content.starts_with(MAGIC)
        && content[8..16] == uid.to_le_bytes()
        && crc32fast::hash(content).to_le_bytes() == *crc;
    let began = i64::from_le_bytes(content[16..24].try_into().ok()?);
    good.then_some((UnixNanos(began), u32::from_le_bytes(*crc)))
}

/// The record after `records` others, when it was made, and its CRC; `None` where none stands
/// whole. Its body is left in `body`.
fn next(
    reader: &mut impl Read,
    body: &mut Vec<u8>,
    records: u64,
    last_crc: u32,
) -> io::Result<Option<(UnixNanos, Record, u32)>> {
    let mut head = [0; HEAD_BYTES];
    if fill(reader, &mut head)? < HEAD_BYTES {
        return Ok(None);
    }
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let length = word(0) as usize;
    if length > BODY_BYTES_MAX || long(4) != records + 1 || word(20) != last_crc {
        return Ok(None);
    }
    body.resize(length, 0);
    let mut crc = [0; CRC_BYTES];
    if fill(reader, body)? < length || fill(reader, &mut crc)? < CRC_BYTES {
        return Ok(None);
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head);
    hasher.update(body);
    let sum = hasher.finalize();
    let at = UnixNanos(long(12).cast_signed());
    let record = if sum.to_le_bytes() == crc { decode(body) } else { None };
    Ok(record.map(|record| (at, record, sum)))
}

/// Reads until `bytes` is full or the file has ended; gives how many were read.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match reader.read(&mut bytes[read..]) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn encode(record: &Record, body: &mut Vec<u8>) {
    let mut slot: Slot = [0; SLOT_BYTES];
    match record {
        Record::Booked(booked, context) => {
            CommandView::Booked(*booked).encode(&mut slot);
            body.extend_from_slice(&slot);
            let rules = Rules { id: booked.instrument, instrument: context.rules };
            Event::Rules(rules).encode(&mut slot);
            body.extend_from_slice(&slot);
            body.push(context.fee_source as u8);
            body.extend_from_slice(&context.latency_ns.unwrap_or(u64::MAX).to_le_bytes());
        }
        Record::Day(day) => {
            CommandView::Day(*day).encode(&mut slot);
            body.extend_from_slice(&slot);
        }
        Record::Guard(change) => {
            CommandView::GuardChanged(*change).encode(&mut slot);
            body.extend_from_slice(&slot);
        }
        Record::Bill(bill) => {
            CommandView::BillBooked(*bill).encode(&mut slot);
            body.extend_from_slice(&slot);
        }
        Record::BillsRead(read) => {
            CommandView::BillsRead(*read).encode(&mut slot);
            body.extend_from_slice(&slot);
        }
    }
}

fn decode(body: &[u8]) -> Option<Record> {
    let (slot, rest) = body.split_first_chunk::<SLOT_BYTES>()?;
    match (CommandView::decode(slot).ok()?, rest) {
        (CommandView::Booked(booked), rest) => {
            let (slot, rest) = rest.split_first_chunk::<SLOT_BYTES>()?;
            let Event::Rules(rules) = Event::decode(slot).ok()? else { return None };
            let (source, latency) = rest.split_first()?;
            let fee_source = *FeeSource::ALL.get(usize::from(*source))?;
            let latency = u64::from_le_bytes(latency.try_into().ok()?);
            let latency_ns = (latency != u64::MAX).then_some(latency);
            let rules = rules.instrument.checked().ok()?;
            let positive = [rules.tick.step, rules.lot.step, booked.price.0, booked.lots.0];
            if positive.iter().any(|number| *number <= 0) {
                return None;
            }
            let context = FillContext { rules, fee_source, latency_ns };
            Some(Record::Booked(Booked { instrument: InstrumentId(0), ..booked }, context))
        }
        (CommandView::Day(day), []) => Some(Record::Day(day)),
        (CommandView::GuardChanged(change), []) => Some(Record::Guard(change)),
        (CommandView::BillBooked(bill), []) => Some(Record::Bill(bill)),
        (CommandView::BillsRead(read), []) => Some(Record::BillsRead(read)),
        _ => None,
    }
}

const MAGIC: &[u8; 8] = b"KEELLED1";
const CRC_BYTES: usize = 4;
const HEADER_BYTES: usize = 8 + 8 + 8 + CRC_BYTES;
/// Length, number, time, CRC of the record before.
const HEAD_BYTES: usize = 4 + 8 + 8 + 4;
const BODY_BYTES_MAX: usize = 2 * SLOT_BYTES + 9;
