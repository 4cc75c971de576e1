//! The soak under virtual time: days of the product against the simulated venue, with the tables
//! that a run keeps, and what can be said of them.
//!
//! The engine, its sessions and its questions are those of a run; the tables are written by the
//! code that writes a run's. There is no journal on disk, and memory and descriptors are those of
//! the one process that holds product and venue, so they are told and not judged.

mod funding;
pub mod outside;
pub mod record;
mod trend;
mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use keel_core::command::{CommandView, NoticeKind};
use keel_core::event::{BillKind, Event, FeedState, Stream};
use keel_core::instrument::Symbol;
use keel_core::param::Profile;
use keel_core::units::{MonoNanos, SECONDS, UnixNanos};
use keel_net::bitget::client::Instance;

pub use funding::Settlements;
pub use trend::Trend;
pub use verdict::{Finding, Lived, Period, Verdict, column};

use crate::clock::{Anchor, ORIGIN};
use crate::cold::csv::{HostColumns, Labels, Tables};
use crate::cold::recorder::table_dir;
use crate::cold::tally::{News, Tally};
use crate::disk::{self, Refused};
use crate::journal::{Tap, TapKind};
use crate::memory::Block;
use crate::world::{Chance, FaultKind, FaultPlan, Note, Noted, Route, World, WorldConfig};

/// What to live through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything that is drawn is drawn from this.
    pub seed: u64,
    /// Which defaults the engine starts from.
    pub profile: Profile,
    /// How long, in hours of the venue's clock.
    pub hours: u64,
    /// About how far faults are apart, in seconds; `None` for a calm world.
    pub fault_every_s: Option<u64>,
}

/// What goes wrong in a soak: everything but what others do on the account.
const CHAOS: [FaultKind; 20] = [
    FaultKind::CutPublic,
    FaultKind::CutPrivate,
    FaultKind::CutRest,
    FaultKind::CutAll,
    FaultKind::StallPublic,
    FaultKind::StallPrivate,
    FaultKind::StallRest,
    FaultKind::SpikePublic,
    FaultKind::SpikePrivate,
    FaultKind::DropBook,
    FaultKind::DuplicateBook,
    FaultKind::ReplayBook,
    FaultKind::DropPush,
    FaultKind::DuplicatePush,
    FaultKind::DropReply,
    FaultKind::DropOrder,
    FaultKind::DropCancel,
    FaultKind::BadGatewayDone,
    FaultKind::NoAnswer,
    FaultKind::Kill,
];
/// A lost books frame is noticed by the next one, or by its silence.
const NOTICED_NS: u64 = 2 * SECONDS;
/// After the last minute, until its row is written.
const TAIL_NS: u64 = 90 * SECONDS;
const HOUR_NS: u64 = 3_600 * SECONDS;

/// A soak under way.
pub struct Soak<'m> {
    plan: Plan,
    world: World<'m>,
    began: UnixNanos,
    dir: PathBuf,
    tally: Tally,
    tables: Vec<Tables>,
    host: HostColumns,
    looked_at: MonoNanos,
    seen: Seen,
}

/// What somebody in the middle of the wire has seen, and the venue knows.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// A books frame was lost then, and nobody has noticed yet.
    lost_at: Option<MonoNanos>,
    lost: u64,
    unnoticed: u64,
    refused_for_rate: u64,
    /// Bills of funding that the engine took, and settlements that were due.
    fundings: u64,
    settlements: Settlements,
    bills: BTreeSet<u64>,
    starts: u64,
    stops: Vec<String>,
}

impl<'m> Soak<'m> {
    /// Begins a soak whose tables are written into `dir`. Its engines live in `block`.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(plan: Plan, dir: &Path, block: &'m Block) -> Result<Self, Refused> {
        let mut config = WorldConfig { profile: plan.profile, ..WorldConfig::calm(plan.seed) };
        if let Some(every_s) = plan.fault_every_s {
            let until = plan.hours * HOUR_NS;
            let mut chance = Chance::new(plan.seed, 8);
            let every = every_s * SECONDS;
            config.faults = FaultPlan::drawn(&mut chance, &CHAOS, every, 60 * SECONDS, until);
        }
        let (began, symbols) = (config.began, config.symbols.clone());
        let tables = symbols.iter().map(|&symbol| {
            let at = table_dir(dir, &symbols, symbol);
            Tables::open(&*disk::os(), &at, labels(symbol), began)
        });
        let tables = tables.collect::<Result<_, _>>()?;
        Ok(Self {
            plan,
            tally: Tally::new(&symbols, Anchor { mono: ORIGIN, utc: began, uncertainty_ns: 0 }),
            world: World::new(config, block),
            began,
            dir: dir.to_owned(),
            tables,
            host: HostColumns::default(),
            looked_at: ORIGIN,
            seen: Seen::default(),
        })
    }

    /// Lives the next hour; gives how many are left.
    ///
    /// # Errors
    /// What the system says.
    pub fn hour(&mut self) -> Result<u64, Refused> {
        let gone = self.world.elapsed_ns() / HOUR_NS;
        let last = gone + 1 >= self.plan.hours;
        let until = ORIGIN.after((gone + 1) * HOUR_NS + if last { TAIL_NS } else { 0 });
        while self.world.now() < until && !self.world.has_stopped() {
            self.world.advance(until);
            for Noted { at, note } in self.world.take_notes() {
                self.take(&note, at)?;
            }
            self.look()?;
        }
        self.tables.iter_mut().try_for_each(Tables::sync)?;
        Ok(if last { 0 } else { self.plan.hours - gone - 1 })
    }

    /// Says what the tables, the wire and the venue's account say together.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub fn judge(&self) -> Result<Verdict, String> {
        let symbols = self.world.symbols();
        let first = self.began.minute() + 1;
        let minutes = first..first + self.plan.hours as i64 * 60;
        let mut verdict = Verdict::default();
        for &symbol in symbols {
            let dir = table_dir(&self.dir, symbols, symbol);
            let orders_max = self.world.params().max_active_executors();
            verdict.take_tables(symbol.as_str(), &dir, minutes.clone(), orders_max)?;
        }
        verdict.take_lived(&self.lived());
        Ok(verdict)
    }

    /// What the wire and the venue's account say beside the tables.
    fn lived(&self) -> Lived {
        let (seen, injected) = (&self.seen, self.world.counts());
        let account = self.world.exchange().venue().account(self.world.account());
        let instants = instants(self.began, self.plan.hours * HOUR_NS);
        let ledger = self.world.engine().map(|engine| engine.ledger());
        let mut stops = seen.stops.clone();
        if self.world.has_stopped() && stops.is_empty() {
            stops.push("the world has stopped".to_owned());
        }
        Lived {
            refused_for_rate: seen.refused_for_rate,
            lost: seen.lost,
            unnoticed: seen.unnoticed,
            starts: seen.starts,
            kills: injected.of(FaultKind::Kill),
            stops,
            fundings: seen.fundings,
            instants,
            settlements: seen.settlements.clone(),
            funding_paid: account.totals().funding,
            // After a kill the ledger counts from its own begin.
            funding_booked: ledger.filter(|_| seen.starts == 1).map(|ledger| ledger.flow().funding),
            balance: ledger.and_then(|ledger| ledger.balance()),
            wallet: account.balance(),
            faults: injected.total(),
        }
    }

    fn take(&mut self, note: &Note, at: MonoNanos) -> Result<(), Refused> {
        match note {
            Note::Started(_) => {
                self.seen.starts += 1;
                let anchor = Anchor { mono: at, utc: self.utc(at), uncertainty_ns: 0 };
                self.tally = Tally::new(self.world.symbols(), anchor);
                self.seen.lost_at = None;
            }
            Note::Fault { kind: FaultKind::DropBook, route: Some(_), .. } => {
                self.seen.lost += 1;
                self.seen.lost_at.get_or_insert(at);
            }
            Note::Ended { route: Route::Public } | Note::Died => self.seen.lost_at = None,
            Note::Received { text, sound: true, .. } if text.starts_with(b"HTTP/1.1 429") => {
                self.seen.refused_for_rate += 1;
            }
            Note::Tap(tap) => self.keep(tap)?,
            _ => {}
        }
        Ok(())
    }

    /// What the recorder does with a record, but for the journal.
    fn keep(&mut self, tap: &Tap) -> Result<(), Refused> {
        self.seen.hear(tap);
        if !Tally::wants(tap) {
            return Ok(());
        }
        let mut news = Vec::new();
        self.tally.take(tap, &mut news).expect("a record of this build");
        for item in &news {
            match item {
                News::Fill(id, booked, context) => {
                    self.tables[id.index()].fill(booked, context)?;
                }
                News::Minute(id, row, rules) => {
                    self.host = HostColumns::now(&self.tally, None);
                    self.tables[id.index()].minute(row, rules, &self.host)?;
                    if id.index() + 1 == self.tables.len() {
                        self.tally.minute.clear();
                    }
                }
                News::DayOver(day, context) => {
                    let utc = self.utc(tap.now);
                    for tables in &mut self.tables {
                        tables.day(day, context, utc)?;
                    }
                }
                News::Line(line) if line.contains("-> HARD_STOP") => {
                    self.seen.stops.push(line.clone());
                }
                News::Line(_) | News::DayChanged => {}
            }
        }
        Ok(())
    }

    /// Once a second: what has not been noticed by now, and minutes without a row.
    fn look(&mut self) -> Result<(), Refused> {
        let now = self.world.now();
        if now.since(self.looked_at) < SECONDS {
            return Ok(());
        }
        self.looked_at = now;
        if self.seen.lost_at.is_some_and(|lost| now.since(lost) > NOTICED_NS) {
            self.seen.lost_at = None;
            self.seen.unnoticed += 1;
        }
        let utc = self.utc(now);
        self.seen.settlements.look(utc, self.held());
        self.tables.iter_mut().try_for_each(|tables| tables.late(&self.host, utc).map(drop))
    }

    /// On which contracts the account holds something.
    fn held(&self) -> Vec<bool> {
        let venue = self.world.exchange().venue();
        let positions = venue.positions(self.world.account());
        let holds = |symbol: &Symbol| {
            let id = venue.find(symbol.as_str());
            positions.iter().any(|held| Some(held.instrument) == id && held.position.lots.0 != 0)
        };
        self.world.symbols().iter().map(holds).collect()
    }

    fn utc(&self, at: MonoNanos) -> UnixNanos {
        UnixNanos(self.began.0 + at.since(ORIGIN) as i64)
    }
}

impl Seen {
    /// The engine, or the feed before it, has noticed that its book is not the venue's.
    fn hear(&mut self, tap: &Tap) {
        if let (TapKind::Event, Ok(Event::Bill(bill))) = (tap.kind, Event::decode(&tap.slot)) {
            // Bills are asked for again and again; each has its number.
            let new = bill.kind == BillKind::Funding && self.bills.insert(bill.bill_id);
            self.fundings += u64::from(new);
        }
        if self.lost_at.is_none() {
            return;
        }
        let noticed = match tap.kind {
            TapKind::Event => matches!(
                Event::decode(&tap.slot),
                Ok(Event::Feed(feed)) if feed.stream == Stream::Public
                    && matches!(feed.state, FeedState::Gap | FeedState::Lost)
            ),
            TapKind::Command => matches!(
                CommandView::decode(&tap.slot),
                Ok(CommandView::Notice(notice)) if notice.kind == NoticeKind::BookDropped
            ),
            TapKind::Stamps | TapKind::Digest => false,
        };
        if noticed {
            self.lost_at = None;
        }
    }
}

/// Hours between two settlements of the venue's contracts.
const FUNDING_HOURS: u64 = 8;

/// How many instants of funding lie within a stretch of so many nanoseconds, its end included.
pub fn instants(began: UnixNanos, span_ns: u64) -> u64 {
    let every_ns = (FUNDING_HOURS * HOUR_NS) as i64;
    let end = began.0 + span_ns as i64;
    (end.div_euclid(every_ns) - began.0.div_euclid(every_ns)) as u64
}

fn labels(symbol: Symbol) -> Labels {
    Labels {
        variant: "soak".to_owned(),
        exchange: "bitget".to_owned(),
        pair: symbol.to_string(),
        instance: Instance::parse("world").expect("a plain name"),
    }
}
