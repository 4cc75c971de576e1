//! Commands: everything the engine wants done, and what it says about itself.

use crate::event::{Bill, BillsRead, CancelReason, ClientId, Operator, OrderStatus, Stream, Topic};
use crate::gate::{Approved, OrderSpec};
use crate::guard::GuardState;
use crate::instrument::{Instrument, InstrumentId};
use crate::layout::Slot;
use crate::regime::Regime;
use crate::units::{Lots, MonoNanos, Quote, Rate, Side, Ticks, UnixNanos};
use crate::{slot_enum, slot_kinds, slot_struct};

/// One wish of the engine. It is not `Clone`: an order leaves once.
#[derive(Debug)]
pub enum Command {
    /// Send this order. Only [`crate::gate::submit`] makes one.
    Place(Approved),
    /// Anything else.
    Plain(Plain),
}

impl Command {
    /// What the journal keeps of this command.
    pub fn view(&self) -> CommandView {
        match self {
            Self::Place(order) => CommandView::Place(*order.spec()),
            Self::Plain(plain) => match *plain {
                Plain::Cancel(cancel) => CommandView::Cancel(cancel),
                Plain::CancelAll(all) => CommandView::CancelAll(all),
                Plain::Query(query) => CommandView::Query(query),
                Plain::Resync(resync) => CommandView::Resync(resync),
                Plain::Ping(ping) => CommandView::Ping(ping),
                Plain::Countdown(countdown) => CommandView::Countdown(countdown),
                Plain::Record(record) => CommandView::from(record),
                Plain::Stopped(stopped) => CommandView::Stopped(stopped),
            },
        }
    }

    /// Writes this command as a slot.
    pub fn encode(&self, slot: &mut Slot) {
        self.view().encode(slot);
    }
}

/// A command that needs no approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// End one order. Never refused.
    Cancel(Cancel),
    /// End every order. Never refused.
    CancelAll(CancelAll),
    /// Collect evidence.
    Query(Query),
    /// Subscribe to an instrument's book anew.
    Resync(Resync),
    /// Ask a connection for a sign of life.
    Ping(Ping),
    /// Keep the venue from canceling everything for a while.
    Countdown(Countdown),
    /// Something for the files.
    Record(Record),
    /// The ordered stop is complete: nothing rests at the venue.
    Stopped(Stopped),
}

slot_kinds! {
    /// A command as the journal keeps it.
    pub enum CommandView {
        /// An order.
        128 => Place(OrderSpec),
        /// The end of one order.
        129 => Cancel(Cancel),
        /// The end of all.
        130 => CancelAll(CancelAll),
        /// A question.
        131 => Query(Query),
        /// A book subscribed anew.
        132 => Resync(Resync),
        /// The ordered stop is complete.
        133 => Stopped(Stopped),
        /// An execution was booked.
        134 => Booked(Booked),
        /// The guard changed.
        135 => GuardChanged(GuardChanged),
        /// A regime took over.
        136 => RegimeChanged(RegimeChanged),
        /// An order ended.
        137 => OrderDone(OrderDone),
        /// Something an operator should read.
        138 => Notice(Notice),
        /// Values of the status table.
        139 => StatusPage(StatusPage),
        /// The day turned or the durable day changed.
        140 => Day(Day),
        /// The engine's digest.
        141 => Digest(DigestRecord),
        /// The venue's own switch.
        142 => Countdown(Countdown),
        /// What came of an operator's command.
        143 => Ruled(Ruled),
        /// A sign of life asked for.
        144 => Ping(Ping),
        /// A bill was booked.
        145 => BillBooked(Bill),
        /// How far every bill is booked.
        146 => BillsRead(BillsRead),
    }
}

slot_struct! {
    /// The end of one order.
    pub struct Cancel {
        /// Which instrument.
        pub instrument: InstrumentId,
        /// Which order, by our id; [`ClientId::FOREIGN`] when only the venue's is known.
        pub client: ClientId,
        /// By the venue's id; 0 when not known yet.
        pub order_id: u64,
        /// Why.
        pub cause: CancelCause,
    }
}

slot_enum! {
    /// Why we cancel. Only the strategy's own count against `cancel_budget_per_min`.
    pub enum CancelCause {
        /// The price or size is no longer wanted.
        Requote = 0 "requote",
        /// The guard, a lost feed, a stop or a kill.
        Safety = 1 "safety",
        /// No acknowledgment in time.
        AckTimeout = 2 "ack_timeout",
        /// An own order of an earlier run, or somebody else's.
        Orphan = 3 "orphan",
    }
}

slot_struct! {
    /// The end of every order.
    pub struct CancelAll {
        /// Which instrument; [`InstrumentId::ALL`] for all.
        pub instrument: InstrumentId,
    }
}

slot_struct! {
    /// A question to the venue; the answer comes as a pass of evidence.
    pub struct Query {
        /// Its number.
        pub pass: u32,
        /// What.
        pub topic: Topic,
        /// Which instrument; [`InstrumentId::ALL`] for every one.
        pub instrument: InstrumentId,
        /// Which order, for [`Topic::Order`].
        pub client: ClientId,
        /// From when on, for [`Topic::Fills`] and [`Topic::Bills`].
        pub since: UnixNanos,
    }
}

slot_struct! {
    /// A book subscribed anew.
    pub struct Resync {
        /// Whose.
        pub instrument: InstrumentId,
    }
}

slot_struct! {
    /// A sign of life asked for, ahead of the connection's own turn.
    pub struct Ping {
        /// Of which stream.
        pub stream: Stream,
    }
}

slot_struct! {
    /// The venue's own dead-man's switch: it cancels everything when this time has gone by without
    /// another such command.
    pub struct Countdown {
        /// 5 to 60.
        pub seconds: u8,
    }
}

slot_struct! {
    /// The ordered stop is complete.
    pub struct Stopped {
        /// Orders that the last pass found open: zero, or the stop was given up.
        pub open: u32,
    }
}

/// What the engine says about itself, for files, console and metrics. Nothing that it does depends
/// on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An execution was booked.
    Booked(Booked),
    /// The guard changed.
    GuardChanged(GuardChanged),
    /// A regime took over.
    RegimeChanged(RegimeChanged),
    /// An order ended.
    OrderDone(OrderDone),
    /// Something an operator should read.
    Notice(Notice),
    /// Values of the status table.
    StatusPage(StatusPage),
    /// The durable day.
    Day(Day),
    /// The engine's digest.
    Digest(DigestRecord),
    /// What came of an operator's command.
    Ruled(Ruled),
    /// A bill was booked.
    BillBooked(Bill),
    /// How far every bill is booked.
    BillsRead(BillsRead),
}

impl From<Record> for CommandView {
    fn from(record: Record) -> Self {
        match record {
            Record::Booked(record) => Self::Booked(record),
            Record::GuardChanged(record) => Self::GuardChanged(record),
            Record::RegimeChanged(record) => Self::RegimeChanged(record),
            Record::OrderDone(record) => Self::OrderDone(record),
            Record::Notice(record) => Self::Notice(record),
            Record::StatusPage(record) => Self::StatusPage(record),
            Record::Day(record) => Self::Day(record),
            Record::Digest(record) => Self::Digest(record),
            Record::Ruled(record) => Self::Ruled(record),
            Record::BillBooked(record) => Self::BillBooked(record),
            Record::BillsRead(record) => Self::BillsRead(record),
        }
    }
}

slot_struct! {
    /// A fill as `fills.csv` tells it, beyond what the `Fill` event says. Stands right behind that
    /// event.
    pub struct Booked {
        /// Which instrument.
        pub instrument: InstrumentId,
        /// Whose order.
        pub client: ClientId,
        /// The venue's id of the order.
        pub order_id: u64,
        /// The venue's id of the execution.
        pub trade_id: u64,
        /// Our side.
        pub side: Side,
        /// We rested.
        pub maker: bool,
        /// Where.
        pub price: Ticks,
        /// How much.
        pub lots: Lots,
        /// Fee, negative is a rebate.
        pub fee: Quote,
        /// Profit that this fill realized, before fees; for one that came after later ones, with
        /// what it changes in theirs.
        pub realized: Quote,
        /// Twice the mid when it was booked, in ticks; 0 when unknown.
        pub mid_x2: i64,
        /// The full spread that was quoted.
        pub spread: Rate,
        /// The 30 s drift signal.
        pub drift: Rate,
        /// The regime.
        pub regime: Regime,
        /// The guard.
        pub state: GuardState,
        /// The matching engine's time.
        pub ts: UnixNanos,
    }
}

impl Booked {
    /// What it realized in tick-lots of `rules`, in which it was booked.
    pub fn tick_lots(&self, rules: &Instrument) -> i128 {
        i128::from(self.realized.0) / i128::from(rules.quote_per_tick_lot())
    }
}

slot_struct! {
    /// The guard changed, or its reasons did.
    pub struct GuardChanged {
        /// From.
        pub from: GuardState,
        /// To.
        pub to: GuardState,
        /// Reasons for a pause, as [`crate::guard::Reasons`].
        pub soft: u64,
        /// Reasons for a stop.
        pub hard: u64,
        /// The incident; 0 unless stopped.
        pub incident: u64,
    }
}

slot_struct! {
    /// A regime took over.
    pub struct RegimeChanged {
        /// Where.
        pub instrument: InstrumentId,
        /// From.
        pub from: Regime,
        /// To.
        pub to: Regime,
    }
}

slot_struct! {
    /// An order ended.
    pub struct OrderDone {
        /// Where.
        pub instrument: InstrumentId,
        /// Which.
        pub client: ClientId,
        /// The venue's id.
        pub order_id: u64,
        /// Its last word.
        pub status: OrderStatus,
        /// Executed of it.
        pub filled: Lots,
        /// Why it ended.
        pub reason: CancelReason,
        /// When we sent it.
        pub sent: MonoNanos,
    }
}

slot_struct! {
    /// Something an operator should read, with two numbers that its text explains.
    pub struct Notice {
        /// What.
        pub kind: NoticeKind,
        /// Where.
        pub instrument: InstrumentId,
        /// Which order, where one is meant.
        pub client: ClientId,
        /// The venue's id, where one is meant.
        pub order_id: u64,
        /// First number.
        pub a: i64,
        /// Second number.
        pub b: i64,
    }
}

slot_enum! {
    /// Notices, with the text that evidence names.
    pub enum NoticeKind {
        /// The venue rejected an order; a is the code.
        DidFailOrder = 0 "did_fail_order",
        /// An orphan was canceled.
        OrphanCanceled = 1 "Orphan order canceled",
        /// The start-up scan canceled a orders.
        StartupScan = 2 "Startup scan",
        /// A fill was a hundredth of a bp (a) away from mid.
        FillDeviation = 3 "Fill price deviation",
        /// No acknowledgment after a nanoseconds.
        AckTimeout = 4 "Order ack timeout",
        /// The gate refused an order; a is the refusal.
        Refused = 5 "Refused",
        /// A hard stop asks for the kill.
        KillPublished = 6 "HARD_STOP kill_switch published",
        /// The day was restored.
        DayRestored = 7 "Daily state restored",
        /// A fill that no order of ours explains.
        ForeignFill = 8 "Foreign fill",
        /// The book was dropped; a is the cause.
        BookDropped = 9 "Book dropped",
        /// The venue's position differs; a ours, b theirs, in lots.
        PositionDrift = 10 "Position drift",
        /// A cancel episode began; a is its number today.
        CancelEpisode = 11 "Cancel episode",
        /// Start-up is complete.
        Ready = 12 "Ready",
        /// Another model quotes, or for another reason; a is it, as [`crate::glft::Quoting`].
        ModelTurned = 13 "Model",
        /// A fit of takers' orders is none; a and b are its arrivals and decay, in 1e-8.
        FitRefused = 14 "Fit refused",
    }
}

/// Values that one status page carries.
pub const PAGE_VALUES: usize = 14;

slot_struct! {
    /// Values of [`crate::status`]'s table, from place `page * PAGE_VALUES` on.
    pub struct StatusPage {
        /// Which instrument.
        pub instrument: InstrumentId,
        /// Which page.
        pub page: u8,
        /// True on the page that completes the row of a UTC minute.
        pub minute: bool,
        /// Values in the units of the table.
        pub values: [i64; PAGE_VALUES],
    }
}

slot_struct! {
    /// The durable day: at its beginning and whenever what must survive changes.
    pub struct Day {
        /// UTC day number since 1970.
        pub day: i64,
        /// Equity when it began.
        pub equity_open: Quote,
        /// Highest equity today.
        pub equity_peak: Quote,
        /// Highest since the last `rearm`, transfers removed.
        pub high_water: Quote,
        /// Traded today.
        pub traded: Quote,
        /// Realized today, before fees and funding.
        pub realized: Quote,
        /// Fees paid today.
        pub fees: Quote,
        /// Funding paid today.
        pub funding: Quote,
        /// Fills today.
        pub fills: u32,
        /// Cancel episodes today.
        pub cancel_episodes: u32,
        /// Creates today, counted ahead: never fewer than were sent when this is read again.
        pub creates: u32,
        /// A new UTC day began with this record.
        pub rolled: bool,
        /// Equity when each of the days before began, newest first; zero where it is not known.
        pub week: [Quote; 6],
        /// Creates may be on their way over REST.
        pub over_rest: bool,
    }
}

slot_struct! {
    /// The engine's digest after a number of events.
    pub struct DigestRecord {
        /// Events stepped so far.
        pub events: u64,
        /// The digest of the state.
        pub digest: u64,
    }
}

slot_struct! {
    /// What came of an operator's command.
    pub struct Ruled {
        /// The command.
        pub operator: Operator,
        /// What came of it.
        pub ruling: Ruling,
        /// For a refused rearm: the incident that is latched, 0 for none. For a refused or done
        /// set: the value in force. Else 0.
        pub found: i64,
    }
}

slot_enum! {
    /// What came of an operator's command.
    pub enum Ruling {
        /// It was done, or is so already.
        Done = 0 "done",
        /// Refused: the guard is not stopped.
        NotStopped = 1 "not stopped",
        /// Refused: another incident is latched.
        WrongIncident = 2 "wrong incident",
        /// Refused: no such parameter, or the value is outside of its range.
        OutOfRange = 3 "out of range",
        /// Refused: it would loosen a limit, and limits may only be tightened.
        Loosens = 4 "limits may only be tightened",
        /// Refused: it is read at start only.
        Fixed = 5 "read at start only",
    }
}

/// What one step asks for, in order. Its memory is lent; a step that needs more than
/// [`OUTBOX_MAX`] commands is a defect and panics.
pub struct Outbox<'m> {
    commands: &'m mut [Option<Command>],
    len: usize,
}

/// Most commands of one step; the agent steps only while both links have this much room.
pub const OUTBOX_MAX: usize = 512;

impl<'m> Outbox<'m> {
    /// An empty outbox over `commands`.
    ///
    /// # Panics
    /// When less than [`OUTBOX_MAX`] places are lent.
    pub fn new(commands: &'m mut [Option<Command>]) -> Self {
        assert!(commands.len() >= OUTBOX_MAX, "an outbox has {OUTBOX_MAX} places");
        Self { commands, len: 0 }
    }

    /// Appends a command.
    ///
    /// # Panics
    /// When the step's commands exceed [`OUTBOX_MAX`].
    pub fn push(&mut self, command: Command) {
        assert!(self.len < OUTBOX_MAX, "a step asks for at most {OUTBOX_MAX} commands");
        self.commands[self.len] = Some(command);
        self.len += 1;
    }

    /// Appends a command that needs no approval.
    pub fn plain(&mut self, plain: Plain) {
        self.push(Command::Plain(plain));
    }

    /// Appends a record.
    pub fn record(&mut self, record: Record) {
        self.plain(Plain::Record(record));
    }

    /// How many commands it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places left in this step.
    pub fn room(&self) -> usize {
        OUTBOX_MAX - self.len
    }

    /// The commands, to look at.
    pub fn iter(&self) -> impl Iterator<Item = &Command> {
        self.commands[..self.len].iter().flatten()
    }

    /// Takes all commands out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Command> {
        let len = core::mem::take(&mut self.len);
        self.commands[..len].iter_mut().filter_map(Option::take)
    }
}
