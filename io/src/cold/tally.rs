//! The tally: what durable records add up to, for the files and for the desk.

use std::collections::VecDeque;

use keel_core::book::Fault;
use keel_core::command::{
    Booked, CommandView, Day, GuardChanged, Notice, NoticeKind, PAGE_VALUES, Ruled, StatusPage,
};
use keel_core::decimal::Grid;
use keel_core::event::{
    ClientId, ClockSync, Coefficients, Directive, Event, FeeSource, Measure, Outcome, Refused,
    RejectClass, Reply, RestoreDay,
};
use keel_core::gate::Refusal;
use keel_core::glft::Quoting;
use keel_core::guard::{GuardState, Reasons};
use keel_core::instrument::{Instrument, InstrumentId, Symbol};
use keel_core::layout::LayoutError;
use keel_core::param;
use keel_core::position::Position;
use keel_core::status::{self, Key, Row};
use keel_core::units::{MonoNanos, Quote, Rate, UnixNanos};

use super::csv::{DayContext, FillContext};
use super::daily::{DailyState, Held, e8_text, grid_text, utc_text};
use crate::clock::Anchor;
use crate::journal::{Tap, TapKind};
use crate::latency::Latency;
use crate::snapshot::InstrumentSnapshot;

/// Everything that files and desk need to remember of a run.
#[derive(Debug)]
pub struct Tally {
    tracked: Vec<Tracked>,
    day: Option<Day>,
    /// The day that the run began with.
    restored: Option<RestoreDay>,
    /// Equity when each of the days before that began, newest first.
    week: [Quote; 6],
    guard: Guard,
    /// What the run's orders took.
    pub total: Latency,
    /// What this minute's orders took.
    pub minute: Latency,
    /// What each of the newest orders took, for its fills: each where its number says.
    by_order: Vec<(ClientId, u64)>,
    clock: Option<(ClockSync, MonoNanos)>,
    anchor: Anchor,
    /// Of questions, and of orders.
    headroom: [Option<Rate>; 2],
    /// The last answer that was a reject: its notice, which follows it, is told in its words.
    rejected: Option<Reply>,
    notices: VecDeque<String>,
    ops_events: u64,
    fills: u64,
}

/// One instrument as far as records tell.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    symbol: Symbol,
    rules: Option<Instrument>,
    fee_source: FeeSource,
    pending: Row,
    row: Option<Row>,
    position: Position,
    last_trade_id: u64,
    last_trade_at: UnixNanos,
}

#[derive(Clone, Copy, Debug)]
struct Guard {
    state: GuardState,
    reasons: Reasons,
    incident: u64,
    since: UnixNanos,
}

/// What a record means for the files. Few are under way at a time, so that one size for all is
/// fine.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a row is copied once, off the hot threads")]
pub enum News {
    /// A row of `fills.csv`.
    Fill(InstrumentId, Booked, FillContext),
    /// A row of `minute.csv`.
    Minute(InstrumentId, Row, Instrument),
    /// A row of `daily.csv`: this day is over.
    DayOver(Day, DayContext),
    /// What must survive has changed.
    DayChanged,
    /// A line of the log.
    Line(String),
}

impl Tally {
    /// Nothing has happened yet. `symbols` stand in the order of their ids; `anchor` tells the time
    /// until the venue's clock has been read.
    pub fn new(symbols: &[Symbol], anchor: Anchor) -> Self {
        let tracked = symbols.iter().map(|&symbol| Tracked {
            symbol,
            rules: None,
            fee_source: FeeSource::Unresolved,
            pending: Row::EMPTY,
            row: None,
            position: Position::default(),
            last_trade_id: 0,
            last_trade_at: UnixNanos(0),
        });
        Self {
            tracked: tracked.collect(),
            day: None,
            restored: None,
            week: [Quote::ZERO; 6],
            guard: Guard {
                state: GuardState::SoftPause,
                reasons: Reasons::NONE,
                incident: 0,
                since: anchor.utc,
            },
            anchor,
            total: Latency::new(),
            minute: Latency::new(),
            by_order: vec![(ClientId::FOREIGN, 0); ORDERS_KEPT],
            clock: None,
            headroom: [None; 2],
            rejected: None,
            notices: VecDeque::with_capacity(NOTICES_KEPT),
            ops_events: 0,
            fills: 0,
        }
    }

    /// True for records that change the tally. Most are market data, and do not.
    pub fn wants(tap: &Tap) -> bool {
        match tap.kind {
            TapKind::Event => EVENTS_WANTED.contains(&tap.slot[0]),
            TapKind::Command => tap.slot[0] >= FIRST_RECORD,
            TapKind::Stamps => true,
            TapKind::Digest => false,
        }
    }

    /// Takes a record in and appends what it means for the files to `news`.
    ///
    /// # Errors
    /// When it is no record of this build.
    pub fn take(&mut self, tap: &Tap, news: &mut Vec<News>) -> Result<(), LayoutError> {
        match tap.kind {
            TapKind::Event => self.event(&Event::decode(&tap.slot)?, tap.now, news),
            TapKind::Command => self.command(&CommandView::decode(&tap.slot)?, tap.now, news),
            TapKind::Stamps => {
                let order = CommandView::decode(&tap.slot)?;
                self.total.record(&tap.stamps);
                self.minute.record(&tap.stamps);
                if let (CommandView::Place(order), true) = (order, tap.stamps.is_complete()) {
                    let took_ns = tap.stamps.tx.since(tap.stamps.rx);
                    self.by_order[place_of(order.client)] = (order.client, took_ns);
                }
            }
            TapKind::Digest => {}
        }
        Ok(())
    }

    /// The venue's UTC at `now`, or the host's before the first reading.
    pub fn utc(&self, now: MonoNanos) -> UnixNanos {
        let Some((sync, at)) = self.clock else { return self.anchor.utc_at(now) };
        let since = i64::try_from(now.since(at)).unwrap_or(i64::MAX);
        UnixNanos(sync.utc.0.saturating_add(since))
    }

    /// Calls that the venue's busiest endpoint class has left, as a share.
    pub fn headroom(&self) -> Option<Rate> {
        self.headroom.into_iter().flatten().min()
    }

    /// Executions booked in this run.
    pub fn fills(&self) -> u64 {
        self.fills
    }

    /// The newest notices, oldest first.
    pub fn notices(&self) -> Vec<String> {
        self.notices.iter().cloned().collect()
    }

    /// The guard's state, and the incident that stopped it.
    pub fn guard(&self) -> (GuardState, Reasons, u64) {
        (self.guard.state, self.guard.reasons, self.guard.incident)
    }

    /// Since when the guard is as it is.
    pub fn guard_since(&self) -> UnixNanos {
        self.guard.since
    }

    /// The instruments as the desk sees them.
    pub fn instruments(&self) -> Vec<InstrumentSnapshot> {
        let seen = |tracked: &Tracked| InstrumentSnapshot {
            symbol: tracked.symbol,
            rules: tracked.rules,
            row: tracked.row,
        };
        self.tracked.iter().map(seen).collect()
    }

    /// What must survive; `None` before the engine has a day.
    pub fn daily(&self, config_hash: [u8; 32], now: UnixNanos) -> Option<DailyState> {
        let mut state = DailyState { config_hash, written: now, ..DailyState::EMPTY };
        state.take(self.day.as_ref()?);
        state.guard = self.guard.state;
        state.reasons = self.guard.reasons;
        state.incident = self.guard.incident;
        state.since = self.guard.since;
        for tracked in &self.tracked {
            let Some(rules) = &tracked.rules else { continue };
            let held = Held {
                lots: tracked.position.lots,
                entry_value: tracked.position.entry_value,
                base: grid_text(rules.lot, tracked.position.lots.0),
                entry: e8_text(tracked.position.entry(rules).0),
                last_trade_id: tracked.last_trade_id,
                last_trade_at: tracked.last_trade_at,
            };
            state.positions.insert(tracked.symbol.as_str().to_owned(), held);
        }
        Some(state)
    }

    fn event(&mut self, event: &Event, now: MonoNanos, news: &mut Vec<News>) {
        match event {
            Event::Rules(rules) => {
                if let Some(tracked) = self.tracked.get_mut(rules.id.index()) {
                    tracked.rules = Some(rules.instrument);
                }
            }
            Event::FeeRate(fee) => {
                for tracked in self.each(fee.instrument) {
                    tracked.fee_source = fee.source;
                }
            }
            Event::Reply(reply) if reply.outcome == Outcome::Rejected => {
                self.rejected = Some(*reply);
            }
            Event::ClockSync(sync) => self.clock = Some((*sync, now)),
            Event::RestoreWeek(week) => self.week = week.opens,
            Event::Refused(refused) => {
                let at = self.utc(now);
                self.say(refused_text(refused), at, news);
            }
            Event::Coefficients(fit) => {
                let (at, name) = (self.utc(now), self.name(fit.instrument));
                self.say(fit_text(fit, &name), at, news);
            }
            Event::RestoreDay(day) => {
                self.restored = Some(*day);
                // Zero is the day of a stop that came before the first one.
                if day.day != 0 {
                    self.day = Some(self.day_of(day));
                }
            }
            Event::RestorePosition(held) => {
                if let Some(tracked) = self.tracked.get_mut(held.instrument.index()) {
                    tracked.position = Position { lots: held.lots, entry_value: held.entry_value };
                    tracked.last_trade_id = held.last_trade_id;
                    tracked.last_trade_at = held.last_trade_at;
                }
            }
            Event::Health(health) => match health.measure {
                Measure::RateHeadroom => self.headroom[0] = Some(Rate(health.value)),
                Measure::EntryHeadroom => self.headroom[1] = Some(Rate(health.value)),
                Measure::JournalLag
                | Measure::JournalFailed
                | Measure::Paused
                | Measure::OrderEntry
                | Measure::Countdown => {}
            },
            _ => {}
        }
    }

    fn day_of(&self, day: &RestoreDay) -> Day {
        Day {
            day: day.day,
            equity_open: day.equity_open,
            equity_peak: day.equity_peak,
            high_water: day.high_water,
            traded: day.traded,
            realized: day.realized,
            fees: day.fees,
            funding: day.funding,
            fills: day.fills,
            cancel_episodes: day.cancel_episodes,
            creates: day.creates,
            rolled: false,
            week: self.week,
            over_rest: day.over_rest,
        }
    }

    fn command(&mut self, command: &CommandView, now: MonoNanos, news: &mut Vec<News>) {
        match command {
            CommandView::Booked(booked) => self.booked(booked, news),
            CommandView::StatusPage(page) => self.page(page, news),
            CommandView::Day(day) => self.day(day, news),
            CommandView::GuardChanged(change) => {
                let at = self.utc(now);
                self.guard_changed(change, at);
                self.say(guard_text(change), at, news);
            }
            CommandView::RegimeChanged(change) => {
                let at = self.utc(now);
                let name = self.name(change.instrument);
                self.say(format!("Regime {name}: {} -> {}", change.from, change.to), at, news);
            }
            CommandView::Ruled(ruled) => {
                let at = self.utc(now);
                self.say(ruled_text(ruled), at, news);
            }
            CommandView::Notice(notice) => {
                let at = self.utc(now);
                let name = self.name(notice.instrument);
                let rejected = self.rejected.filter(|reply| reply.client == notice.client);
                let text = match notice.kind {
                    NoticeKind::DidFailOrder => reject_text(notice, &name, rejected.as_ref()),
                    _ => notice_text(notice, &name, self.restored.as_ref()),
                };
                self.say(text, at, news);
            }
            _ => {}
        }
    }

    fn booked(&mut self, booked: &Booked, news: &mut Vec<News>) {
        self.fills += 1;
        let (client, took_ns) = self.by_order[place_of(booked.client)];
        let measured = client == booked.client && client != ClientId::FOREIGN;
        let latency_ns = measured.then_some(took_ns);
        let Some(tracked) = self.tracked.get_mut(booked.instrument.index()) else { return };
        if let Some(rules) = &tracked.rules {
            let realized = booked.tick_lots(rules);
            tracked.position.take(booked.side, booked.price, booked.lots, realized);
        }
        if booked.ts >= tracked.last_trade_at {
            tracked.last_trade_id = booked.trade_id;
            tracked.last_trade_at = booked.ts;
        }
        if let Some(rules) = tracked.rules {
            let context = FillContext { rules, fee_source: tracked.fee_source, latency_ns };
            news.push(News::Fill(booked.instrument, *booked, context));
        }
    }

    fn page(&mut self, page: &StatusPage, news: &mut Vec<News>) {
        let Some(tracked) = self.tracked.get_mut(page.instrument.index()) else { return };
        let place = usize::from(page.page);
        if place == 0 {
            tracked.pending = Row::EMPTY;
        }
        if !tracked.pending.take_page(place, &page.values) || place + 1 != status::PAGES {
            return;
        }
        tracked.row = Some(tracked.pending);
        if let (true, Some(rules)) = (page.minute, tracked.rules) {
            news.push(News::Minute(page.instrument, tracked.pending, rules));
        }
    }

    fn day(&mut self, day: &Day, news: &mut Vec<News>) {
        if let (true, Some(over)) = (day.rolled, self.day) {
            let of = |key| self.tracked.first().and_then(|t| t.row).map_or(0, |row| row.value(key));
            let context = DayContext {
                state: self.guard.state,
                equity_now: Quote(of(Key::equity_quote)),
                drawdown: Rate(of(Key::drawdown_pct)),
                ops_events: std::mem::take(&mut self.ops_events),
            };
            news.push(News::DayOver(over, context));
        }
        self.day = Some(*day);
        news.push(News::DayChanged);
    }

    fn guard_changed(&mut self, change: &GuardChanged, at: UnixNanos) {
        let reasons = Reasons(change.soft).union(Reasons(change.hard));
        let since = if change.from == change.to { self.guard.since } else { at };
        self.guard = Guard { state: change.to, reasons, incident: change.incident, since };
    }

    fn say(&mut self, text: String, at: UnixNanos, news: &mut Vec<News>) {
        self.ops_events += 1;
        let line = format!("{} {text}", utc_text(at));
        if self.notices.len() == NOTICES_KEPT {
            self.notices.pop_front();
        }
        self.notices.push_back(line.clone());
        news.push(News::Line(line));
    }

    fn name(&self, id: InstrumentId) -> String {
        match self.tracked.get(id.index()) {
            Some(tracked) => tracked.symbol.to_string(),
            None => "all".to_owned(),
        }
    }

    fn each(&mut self, id: InstrumentId) -> &mut [Tracked] {
        if id == InstrumentId::ALL {
            return &mut self.tracked;
        }
        let place = id.index().min(self.tracked.len());
        let end = (place + 1).min(self.tracked.len());
        &mut self.tracked[place..end]
    }
}

/// Where what an order took is kept until so many later ones have been sent.
fn place_of(client: ClientId) -> usize {
    (client.number % ORDERS_KEPT as u64) as usize
}

/// Reasons as they stand in the files.
fn words(bits: u64) -> String {
    let words: Vec<_> = Reasons(bits).iter().map(|reason| reason.text()).collect();
    words.join("|")
}

fn guard_text(change: &GuardChanged) -> String {
    let mut text = format!("Guard {} -> {}", change.from, change.to);
    for (name, bits) in [("soft", change.soft), ("hard", change.hard)] {
        if bits != 0 {
            text.push_str(&format!(" {name}={}", words(bits)));
        }
    }
    if change.incident != 0 {
        text.push_str(&format!(" incident={}", change.incident));
    }
    text
}

/// An operator's command: who, what, and what came of it.
fn ruled_text(ruled: &Ruled) -> String {
    let operator = &ruled.operator;
    let what = match operator.directive {
        Directive::Rearm => format!("rearm {}", operator.incident),
        Directive::Set => match param::row_of(usize::from(operator.key)) {
            Some(row) => {
                let value = grid_text(row.unit.grid(), operator.value);
                format!("set {} = {}", row.name, super::daily::trimmed(value))
            }
            None => format!("set of parameter {}", operator.key),
        },
        directive => directive.text().to_owned(),
    };
    format!("Operator {what} by user {}: {}", operator.user, ruled.ruling)
}

/// A command that the control socket refused: who, what, why.
fn refused_text(refused: &Refused) -> String {
    let Refused { why, user, process, untold, asked } = refused;
    let more = if *untold == 0 { String::new() } else { format!(", {untold} before it untold") };
    let asked = match asked.as_str() {
        "" => String::new(),
        words => format!(": {words}"),
    };
    format!("Operator refused at the socket by user {user}, process {process}: {why}{more}{asked}")
}

/// What was fitted of takers' orders, and how well.
fn fit_text(fit: &Coefficients, name: &str) -> String {
    let [arrivals, decay] = [fit.arrivals_per_s_e8, fit.decay_per_bp_e8].map(e8_text);
    let (orders, seconds) = (fit.orders, fit.seen_ns / 1_000_000_000);
    let error = grid_text(Grid { step: 1, scale: 4 }, i64::from(fit.error_e4));
    format!(
        "Fit: {name} {arrivals} orders a second and side, decay {decay} a bp, of {orders} orders \
         in {seconds} s, error {error}"
    )
}

/// A reject as evidence names it, in the venue's words where it had any.
fn reject_text(notice: &Notice, name: &str, rejected: Option<&Reply>) -> String {
    let kind = notice.kind.text();
    let class = usize::try_from(notice.b).ok().and_then(|place| RejectClass::ALL.get(place));
    let message = match rejected.map_or("", |reply| reply.message.as_str()) {
        "" => class.map_or("unknown", |class| class.text()),
        message => message,
    };
    let ClientId { epoch, number } = notice.client;
    format!("{kind}: {} {message} ({name} client {epoch}-{number})", notice.a)
}

/// A notice as evidence names it.
fn notice_text(notice: &Notice, name: &str, restored: Option<&RestoreDay>) -> String {
    let kind = notice.kind.text();
    let (a, b) = (notice.a, notice.b);
    let order = notice.order_id;
    let client = notice.client;
    match notice.kind {
        NoticeKind::DidFailOrder => reject_text(notice, name, None),
        NoticeKind::OrphanCanceled => format!("{kind}: {order} on bitget/{name}"),
        NoticeKind::StartupScan => format!("{kind}: canceled {a} orphan order(s)"),
        NoticeKind::FillDeviation => {
            let bps = grid_text(Grid { step: 1, scale: 2 }, a);
            format!("{kind}: {bps} bps from mid on {name}, order {order}")
        }
        NoticeKind::AckTimeout => {
            let ms = a / 1_000_000;
            format!("{kind}: {name} client {}-{} after {ms} ms", client.epoch, client.number)
        }
        NoticeKind::Refused => {
            let refusal = usize::try_from(a).ok().and_then(|place| Refusal::ALL.get(place));
            format!("{kind}: {name} {}", refusal.map_or("unknown", |refusal| refusal.text()))
        }
        NoticeKind::KillPublished => format!("{kind}: {}", words(a.cast_unsigned())),
        NoticeKind::DayRestored => match restored {
            Some(day) => {
                let (open, realized) = (e8_text(day.equity_open.0), e8_text(day.realized.0));
                let date = super::daily::date_of(day.day);
                format!("{kind}: day={date} equity_open={open} realized={realized}")
            }
            None => format!("{kind}: day={}", super::daily::date_of(a)),
        },
        NoticeKind::ForeignFill => format!("{kind}: order {order} on {name}"),
        NoticeKind::BookDropped => {
            let fault = usize::try_from(a).ok().and_then(|place| Fault::ALL.get(place));
            format!("{kind}: {name} {}", fault.map_or("unknown", |fault| fault.text()))
        }
        NoticeKind::PositionDrift => format!("{kind}: {name} ours {a} venue {b} lots"),
        NoticeKind::CancelEpisode => format!("{kind}: {name} number {a} today"),
        NoticeKind::Ready => kind.to_owned(),
        NoticeKind::ModelTurned => {
            let quoting = usize::try_from(a).ok().and_then(|place| Quoting::ALL.get(place));
            format!("{kind}: {name} {}", quoting.map_or("unknown", |quoting| quoting.text()))
        }
        NoticeKind::FitRefused => {
            format!("{kind}: {name} {} orders a second, decay {} a bp", e8_text(a), e8_text(b))
        }
    }
}

/// Kinds of [`Event`] that change a tally: `Rules`, `FeeRate`, `ClockSync`, `Reply`, `RestoreDay`,
/// `RestorePosition`, `Health`, `RestoreWeek`; and `Refused` and `Coefficients`, which the log
/// tells.
const EVENTS_WANTED: [u8; 10] = [3, 4, 5, 13, 18, 19, 21, 25, 27, 30];
/// The kind of [`CommandView::Booked`]; records have the numbers from there on.
const FIRST_RECORD: u8 = 134;
const NOTICES_KEPT: usize = 8;
const ORDERS_KEPT: usize = 4_096;
const _: () = assert!(PAGE_VALUES * status::PAGES >= status::VALUES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Tap;
    use keel_core::command::Notice;
    use keel_core::event::{RefusedFor, RequestKind, Rules};
    use keel_core::gate::{Intent, OrderSpec, Purpose, TimeInForce};
    use keel_core::instrument::btcusdt;
    use keel_core::layout::SLOT_BYTES;
    use keel_core::regime::Regime;
    use keel_core::units::{Lots, Side, Ticks};
    use keel_core::words::Words;
    use keel_net::stamps::Stamps;

    const BTC: InstrumentId = InstrumentId(0);
    const CLIENT: ClientId = ClientId { epoch: 3, number: 17 };

    fn tally() -> Tally {
        let anchor = Anchor { mono: MonoNanos(1), utc: UnixNanos(0), uncertainty_ns: 0 };
        Tally::new(&[Symbol::parse(b"BTCUSDT").expect("a name")], anchor)
    }

    /// The lines that the log gets of these events and notices, without their time.
    fn lines(events: &[Event], notice: Notice) -> Vec<String> {
        let (mut tally, mut news) = (tally(), Vec::new());
        let mut slot = [0; SLOT_BYTES];
        for event in events {
            event.encode(&mut slot);
            let tap = Tap::event(slot, MonoNanos(1));
            assert!(Tally::wants(&tap), "{event:?}");
            tally.take(&tap, &mut news).expect("a record");
        }
        CommandView::Notice(notice).encode(&mut slot);
        tally.take(&Tap::command(slot, MonoNanos(1)), &mut news).expect("a record");
        let line = |item: News| match item {
            News::Line(line) => line.split_once(' ').map(|(_, text)| text.to_owned()),
            _ => None,
        };
        news.into_iter().filter_map(line).collect()
    }

    fn notice(kind: NoticeKind, client: ClientId, a: i64, b: i64) -> Notice {
        Notice { kind, instrument: BTC, client, order_id: 0, a, b }
    }

    /// An order that took so long on its way out.
    fn sent(client: ClientId, took_ns: u64) -> Tap {
        let intent = Intent {
            instrument: BTC,
            side: Side::Buy,
            price: Ticks(800_000),
            lots: Lots(1),
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            level: 0,
            purpose: Purpose::Quote,
            made: MonoNanos(1),
        };
        let mut slot = [0; SLOT_BYTES];
        CommandView::Place(OrderSpec { client, intent }).encode(&mut slot);
        let (rx, tx) = (MonoNanos(1), MonoNanos(1).after(took_ns));
        Tap::stamps(slot, Stamps { rx, decoded: rx, dequeued: rx, decided: rx, tx })
    }

    #[test]
    fn a_fill_tells_what_its_order_took_while_that_is_among_the_newest() {
        let (mut tally, mut news) = (tally(), Vec::new());
        tally.event(
            &Event::Rules(Rules { id: BTC, instrument: btcusdt() }),
            MonoNanos(1),
            &mut news,
        );
        let last = CLIENT.number + ORDERS_KEPT as u64;
        for number in [CLIENT.number, last - 1, last] {
            tally
                .take(&sent(ClientId { number, ..CLIENT }, number * 10), &mut news)
                .expect("a tap");
        }
        for (number, expected) in [
            (0, None),
            (CLIENT.number, None),
            (CLIENT.number + 1, None),
            (last - 1, Some((last - 1) * 10)),
            (last, Some(last * 10)),
        ] {
            news.clear();
            let client = ClientId { epoch: CLIENT.epoch * u32::from(number != 0), number };
            tally.booked(&booked(client), &mut news);
            let [News::Fill(_, _, context)] = &news[..] else { panic!("a fill: {news:?}") };
            assert_eq!(context.latency_ns, expected, "order {number}");
        }
    }

    fn booked(client: ClientId) -> Booked {
        Booked {
            instrument: BTC,
            client,
            order_id: 5,
            trade_id: client.number,
            side: Side::Buy,
            maker: true,
            price: Ticks(800_000),
            lots: Lots(1),
            fee: Quote::ZERO,
            realized: Quote::ZERO,
            mid_x2: 0,
            spread: Rate::ZERO,
            drift: Rate::ZERO,
            regime: Regime::ALL[0],
            state: GuardState::Running,
            ts: UnixNanos(0),
        }
    }

    #[test]
    fn a_command_refused_at_the_socket_is_told_with_who_asked_what_and_why() {
        let refused = Refused {
            why: RefusedFor::Envelope,
            user: 1_000,
            process: 77,
            untold: 0,
            asked: Words::new(b"spread_max.up=9"),
        };
        let more = Refused { untold: 3, asked: Words::NONE, why: RefusedFor::User, ..refused };
        let events = [refused, more].map(Event::Refused);
        let said = lines(&events, notice(NoticeKind::Ready, CLIENT, 0, 0));
        let start = "Operator refused at the socket by user 1000, process 77: ";
        assert_eq!(said[0], format!("{start}may not be set: spread_max.up=9"));
        assert_eq!(said[1], format!("{start}another user, 3 before it untold"));
    }

    #[test]
    fn a_reject_is_told_in_the_venues_words_and_without_any_by_its_class() {
        let reply = |client, message: &str| {
            Event::Reply(Reply {
                instrument: BTC,
                client,
                request: RequestKind::Place,
                outcome: Outcome::Rejected,
                order_id: 0,
                code: 25_203,
                class: RejectClass::Funds,
                message: Words::new(message.as_bytes()),
            })
        };
        let failed = notice(NoticeKind::DidFailOrder, CLIENT, 25_203, RejectClass::Funds as i64);
        let other = ClientId { number: 18, ..CLIENT };
        for (events, expected) in [
            (vec![reply(CLIENT, "Insufficient balance")], "Insufficient balance"),
            (vec![reply(CLIENT, "")], "funds"),
            (vec![reply(other, "Insufficient balance")], "funds"),
            (vec![], "funds"),
        ] {
            let line = format!("did_fail_order: 25203 {expected} (BTCUSDT client 3-17)");
            assert_eq!(lines(&events, failed), [line]);
        }
    }

    #[test]
    fn a_fit_and_the_model_that_turns_are_told_in_words() {
        let fit = Event::Coefficients(Coefficients {
            instrument: BTC,
            arrivals_per_s_e8: 20_000_000,
            decay_per_bp_e8: 350_000_000,
            orders: 700,
            seen_ns: 1_800_000_000_000,
            error_e4: 1_200,
        });
        for &quoting in Quoting::ALL {
            let said = lines(&[fit], notice(NoticeKind::ModelTurned, CLIENT, quoting as i64, 0));
            let fitted = "Fit: BTCUSDT 0.2 orders a second and side, decay 3.5 a bp, of 700 orders \
                          in 1800 s, error 0.1200";
            assert_eq!(said, [fitted.to_owned(), format!("Model: BTCUSDT {quoting}")]);
        }
    }

    #[test]
    fn a_dropped_book_is_told_with_its_cause_in_words() {
        for (place, fault) in Fault::ALL.iter().enumerate() {
            assert_eq!(place as u8, *fault as u8, "the table is in the order of its numbers");
            let dropped = notice(NoticeKind::BookDropped, ClientId::FOREIGN, place as i64, 0);
            assert_eq!(lines(&[], dropped), [format!("Book dropped: BTCUSDT {fault}")]);
        }
    }
}
