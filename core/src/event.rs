//! Events: everything that can change what the engine does, one path, 128 bytes each.

use crate::instrument::{Instrument, InstrumentId};
use crate::layout::{Field, LayoutError, Reader, Writer};
use crate::planted::Planted;
use crate::units::{Lots, MonoNanos, Price, Quote, Rate, Side, Ticks, UnixNanos};
use crate::words::Words;
use crate::{slot_enum, slot_kinds, slot_struct};

slot_kinds! {
    /// What happened. The engine's state after it depends on nothing else but the time of the step.
    pub enum Event {
        /// The first event of every run.
        1 => Boot(Boot),
        /// One value of [`crate::param`]'s table.
        2 => Parameter(Parameter),
        /// A contract's rules, at start and whenever they change.
        3 => Rules(Rules),
        /// The account's fee rates on one instrument.
        4 => FeeRate(FeeRate),
        /// What UTC is now.
        5 => ClockSync(ClockSync),
        /// The deadline that the engine stated has passed.
        6 => Timer(Timer),
        /// A part of one books frame.
        7 => BookPage(BookPage),
        /// A public trade.
        8 => Trade(Trade),
        /// Mark, index, last and funding of one instrument.
        9 => Ticker(Ticker),
        /// A feed was lost or is live again.
        10 => Feed(Feed),
        /// What the venue says of one order.
        11 => OrderUpdate(OrderUpdate),
        /// One execution.
        12 => Fill(Fill),
        /// The answer to an order-entry request.
        13 => Reply(Reply),
        /// What the venue says of a position.
        14 => PositionReport(PositionReport),
        /// What the venue says of the account.
        15 => AccountReport(AccountReport),
        /// Begin or end of a pass that collected evidence.
        16 => Evidence(Evidence),
        /// A finished one-minute bar, to seed the signals.
        17 => Candle(Candle),
        /// The day as the durable state remembers it.
        18 => RestoreDay(RestoreDay),
        /// A position as the durable state remembers it.
        19 => RestorePosition(RestorePosition),
        /// A person's or the program's own command.
        20 => Operator(Operator),
        /// A measure of the process's own health.
        21 => Health(Health),
        /// Account settings as read from the venue.
        22 => Settings(Settings),
        /// Money moved by something else than a trade.
        23 => Bill(Bill),
        /// An execution that an earlier run has booked, as the durable state remembers it.
        24 => RestoreFill(Fill),
        /// The days before, as the durable state remembers them.
        25 => RestoreWeek(RestoreWeek),
        /// The best bid and ask of one contract, as asked for.
        26 => TouchReport(TouchReport),
        /// A command that was refused before it reached the engine.
        27 => Refused(Refused),
        /// A bill that an earlier run has booked, as the durable state remembers it.
        28 => RestoreBill(Bill),
        /// How far an earlier run has booked every bill.
        29 => RestoreBillsRead(BillsRead),
        /// How often and how deep takers reach, as fitted outside.
        30 => Coefficients(Coefficients),
    }
}

const _: () = assert!(size_of::<Event>() <= 144);

slot_struct! {
    /// The first event of a run.
    pub struct Boot {
        /// BLAKE3 of the effective configuration.
        pub config_hash: [u8; 32],
        /// How often this state directory has been started; part of every client id.
        pub epoch: u32,
        /// How many [`Rules`] follow.
        pub instruments: u16,
        /// Seed of everything that may be chosen at will.
        pub seed: u64,
        /// How this run trades.
        pub mode: Mode,
        /// The state directory's last stop was not orderly.
        pub dirty: bool,
        /// A defect that this run commits on purpose.
        pub planted: Planted,
    }
}

slot_enum! {
    /// What a run trades against. The engine does not branch on it; records carry it.
    pub enum Mode {
        /// The embedded venue, or another on loopback.
        Sim = 0 "sim",
        /// A public feed, fills modelled.
        Paper = 1 "paper",
        /// The venue's demo trading.
        Demo = 2 "demo",
        /// Real money.
        Live = 3 "live",
        /// Virtual time.
        World = 4 "world",
    }
}

slot_struct! {
    /// One value of the parameter table.
    pub struct Parameter {
        /// The key's place in [`crate::param::TABLE`]'s storage.
        pub key: u16,
        /// In the key's unit.
        pub value: i64,
    }
}

slot_struct! {
    /// A contract's rules.
    pub struct Rules {
        /// Which.
        pub id: InstrumentId,
        /// What.
        pub instrument: Instrument,
    }
}

slot_struct! {
    /// The account's rates on one instrument; positive is a cost, negative a rebate.
    pub struct FeeRate {
        /// Which; [`InstrumentId::ALL`] with [`FeeSource::Unresolved`] when the venue did not
        /// answer.
        pub instrument: InstrumentId,
        /// For resting orders.
        pub maker: Rate,
        /// For orders that take.
        pub taker: Rate,
        /// Who says so.
        pub source: FeeSource,
    }
}

slot_enum! {
    /// Where fee rates come from.
    pub enum FeeSource {
        /// Nobody has answered.
        Unresolved = 0 "unresolved",
        /// The signed query.
        Venue = 1 "api:exchange:bitget",
        /// The configuration.
        Manual = 2 "config:manual",
    }
}

slot_struct! {
    /// UTC at the time of the step, by the venue's clock.
    pub struct ClockSync {
        /// UTC by the venue.
        pub utc: UnixNanos,
        /// Venue minus host, in nanoseconds.
        pub offset_ns: i64,
        /// Half of the round trip in which the offset was read.
        pub uncertainty_ns: u64,
    }
}

slot_struct! {
    /// The stated deadline has passed.
    pub struct Timer {
        /// The deadline that it answers.
        pub deadline: MonoNanos,
    }
}

/// Levels that one page carries.
pub const PAGE_LEVELS: usize = 6;

slot_struct! {
    /// A part of one books frame: up to six levels of one side. The engine acts on the page marked
    /// last.
    pub struct BookPage {
        /// Which.
        pub instrument: InstrumentId,
        /// The side of all levels here.
        pub side: Side,
        /// The frame replaces the book.
        pub snapshot: bool,
        /// No page of this frame came before.
        pub first: bool,
        /// No page of this frame follows.
        pub last: bool,
        /// How many of `ticks` and `sizes` are levels.
        pub len: u8,
        /// The frame's number, rising, not consecutive.
        pub seq: u64,
        /// The number of the frame that this one continues; 0 in a snapshot or where none is given.
        pub pseq: u64,
        /// The matching engine's time.
        pub ts: UnixNanos,
        /// CRC-32 of the book after this frame as the venue gives it; 0 where none is given.
        pub checksum: i32,
        /// Prices.
        pub ticks: [u32; PAGE_LEVELS],
        /// Sizes; zero deletes the level.
        pub sizes: [LevelSize; PAGE_LEVELS],
    }
}

/// A level's size in lots, packed with how many decimals the two texts had, so that the checksum's
/// text can be written again: bits 60–63 decimals of the price, 56–59 of the size, 0–55 lots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelSize(u64);

impl LevelSize {
    /// The largest size that fits.
    pub const LOTS_MAX: u64 = (1 << 56) - 1;

    /// Packs a size; `None` when lots or decimals (at most 15) do not fit.
    pub const fn new(lots: u64, price_decimals: u8, size_decimals: u8) -> Option<Self> {
        if lots > Self::LOTS_MAX || price_decimals > 15 || size_decimals > 15 {
            return None;
        }
        Some(Self(lots | (size_decimals as u64) << 56 | (price_decimals as u64) << 60))
    }

    /// The size.
    pub const fn lots(self) -> Lots {
        Lots((self.0 & Self::LOTS_MAX) as i64)
    }

    /// Decimals of the price's text.
    pub const fn price_decimals(self) -> u8 {
        (self.0 >> 60) as u8
    }

    /// Decimals of the size's text.
    pub const fn size_decimals(self) -> u8 {
        (self.0 >> 56 & 15) as u8
    }
}

impl Field for LevelSize {
    const SIZE: usize = 8;
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self(u64::take(from)?))
    }
}

slot_struct! {
    /// A public trade.
    pub struct Trade {
        /// Which.
        pub instrument: InstrumentId,
        /// The taker's side.
        pub taker: Side,
        /// Where.
        pub price: Ticks,
        /// How much.
        pub lots: Lots,
        /// The venue's id.
        pub trade_id: u64,
        /// The matching engine's time.
        pub ts: UnixNanos,
    }
}

slot_struct! {
    /// Mark, index, last and funding. A value of zero was not given.
    pub struct Ticker {
        /// Which.
        pub instrument: InstrumentId,
        /// Last trade.
        pub last: Price,
        /// Mark.
        pub mark: Price,
        /// Index.
        pub index: Price,
        /// Rate of the next settlement; positive: longs pay.
        pub funding_rate: Rate,
        /// When it settles.
        pub funding_at: UnixNanos,
        /// When the venue sent it.
        pub ts: UnixNanos,
    }
}

slot_enum! {
    /// Which stream an event speaks of.
    pub enum Stream {
        /// Market data.
        Public = 0 "public_ws",
        /// Orders, fills, positions, account; and order entry.
        Private = 1 "private_ws",
    }
}

slot_enum! {
    /// What happened to a stream.
    pub enum FeedState {
        /// Logged in, subscribed and acknowledged.
        Live = 0 "live",
        /// The socket is gone or silent; nothing known of it is fresh.
        Lost = 1 "lost",
        /// Messages of one instrument were dropped or damaged; its book must be made anew.
        Gap = 2 "gap",
        /// Another connection has taken over before the venue ended this one by its age. Nothing
        /// was lost.
        Rotated = 3 "rotated",
        /// The venue has answered a ping: the connection is there. Says nothing of any data.
        Pong = 4 "pong",
    }
}

slot_struct! {
    /// A stream was lost, has a gap, is live, or has answered.
    pub struct Feed {
        /// Which stream.
        pub stream: Stream,
        /// What happened.
        pub state: FeedState,
        /// Which instrument; [`InstrumentId::ALL`] for the whole stream.
        pub instrument: InstrumentId,
        /// How often the socket has been connected in this run, counting this one.
        pub connects: u32,
    }
}

/// Who made an order, as far as its client id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    /// The boot epoch that made it; 0 for an order that is not this instance's.
    pub epoch: u32,
    /// Counts the orders of that epoch from 1.
    pub number: u64,
}

impl ClientId {
    /// An order of somebody else: another instance, a person, the venue.
    pub const FOREIGN: Self = Self { epoch: 0, number: 0 };

    /// Orders that close positions in an engine's stead (`keel kill --flatten`, a guardian, the end
    /// of a run) are numbered from here, in whatever epoch; no engine counts that far.
    pub const CLOSING_FROM: u64 = 36u64.pow(9);

    /// True for an order that closes positions in the engine's stead.
    pub const fn is_closing(self) -> bool {
        self.is_own() && self.number >= Self::CLOSING_FROM
    }

    /// True for an order that this instance made, in this run or an earlier one.
    pub const fn is_own(self) -> bool {
        self.epoch != 0
    }
}

impl Field for ClientId {
    const SIZE: usize = 12;
    fn put(&self, to: &mut Writer<'_>) {
        self.epoch.put(to);
        self.number.put(to);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        Ok(Self { epoch: u32::take(from)?, number: u64::take(from)? })
    }
}

slot_enum! {
    /// The venue's word for an order.
    pub enum OrderStatus {
        /// Accepted, not yet resting.
        New = 0 "new",
        /// Resting.
        Live = 1 "live",
        /// Resting, in part executed.
        PartiallyFilled = 2 "partially_filled",
        /// Executed whole.
        Filled = 3 "filled",
        /// Ended by anybody.
        Canceled = 4 "canceled",
        /// A query found no such order. No proof that it does not exist.
        NotFound = 5 "not_found",
    }
}

slot_enum! {
    /// How we came to know.
    pub enum Source {
        /// Pushed on the private stream.
        Push = 0 "push",
        /// Pushed sooner, with fewer fields.
        FastPush = 1 "fast_push",
        /// Asked for over REST.
        Query = 2 "query",
    }
}

slot_struct! {
    /// What the venue says of one order.
    pub struct OrderUpdate {
        /// Which.
        pub instrument: InstrumentId,
        /// Whose.
        pub client: ClientId,
        /// The venue's id; 0 when not given.
        pub order_id: u64,
        /// Its side.
        pub side: Side,
        /// Its word.
        pub status: OrderStatus,
        /// Limit price; zero for a market order.
        pub price: Ticks,
        /// Ordered size.
        pub lots: Lots,
        /// Executed so far.
        pub filled: Lots,
        /// Why it ended; [`CancelReason::None`] otherwise.
        pub reason: CancelReason,
        /// It may only shrink a position.
        pub reduce_only: bool,
        /// How we know.
        pub source: Source,
        /// The venue's time of the change.
        pub ts: UnixNanos,
    }
}

impl OrderUpdate {
    /// The answer to a question by a client id that the venue does not find. It proves nothing by
    /// itself.
    pub const fn missing(instrument: InstrumentId, client: ClientId, ts: UnixNanos) -> Self {
        Self {
            instrument,
            client,
            order_id: 0,
            side: Side::Buy,
            status: OrderStatus::NotFound,
            price: Ticks::ZERO,
            lots: Lots::ZERO,
            filled: Lots::ZERO,
            reason: CancelReason::None,
            reduce_only: false,
            source: Source::Query,
            ts,
        }
    }
}

slot_enum! {
    /// `cancelReason` of the order push; never decides over safety.
    pub enum CancelReason {
        /// None given.
        None = 0 "",
        /// A request.
        Normal = 1 "normal_cancel",
        /// Post-only that would have taken.
        PostOnly = 2 "post_only_fill_cancel",
        /// Immediate-or-cancel remainder.
        Ioc = 3 "ioc_not_full_cancel",
        /// Fill-or-kill that could not fill.
        Fok = 4 "fok_not_full_cancel",
        /// Self-trade prevention.
        Stp = 5 "stp_cancel",
        /// Replaced by a modify.
        Modify = 6 "modify_limit_order",
        /// Liquidation.
        Liquidation = 7 "burst_cancel",
        /// Any other word.
        Other = 8 "other",
    }
}

slot_struct! {
    /// One execution of an order.
    pub struct Fill {
        /// Which.
        pub instrument: InstrumentId,
        /// Whose.
        pub client: ClientId,
        /// The venue's id of the order.
        pub order_id: u64,
        /// The venue's id of the execution, unique for ever.
        pub trade_id: u64,
        /// Our side.
        pub side: Side,
        /// We rested.
        pub maker: bool,
        /// Where.
        pub price: Ticks,
        /// How much.
        pub lots: Lots,
        /// What we paid; negative is a rebate. Meaningless unless `fee_known`.
        pub fee: Quote,
        /// The message carried a fee in USDT.
        pub fee_known: bool,
        /// How we know.
        pub source: Source,
        /// The matching engine's time.
        pub ts: UnixNanos,
    }
}

slot_enum! {
    /// What was asked of the venue.
    pub enum RequestKind {
        /// A new order.
        Place = 0 "place",
        /// The end of an order.
        Cancel = 1 "cancel",
        /// The end of all.
        CancelAll = 2 "cancel_all",
    }
}

slot_enum! {
    /// What the answer means for the order.
    pub enum Outcome {
        /// The venue has received the request; nothing more.
        Received = 0 "received",
        /// The venue refused, and says so with a code that leaves no doubt.
        Rejected = 1 "rejected",
        /// Nobody can say: time-out, 5xx, an unknown code, a cut connection.
        Unknown = 2 "unknown",
        /// It never left this machine.
        NotSent = 3 "not_sent",
    }
}

slot_struct! {
    /// The answer to an order-entry request.
    pub struct Reply {
        /// Which.
        pub instrument: InstrumentId,
        /// The order that the request named.
        pub client: ClientId,
        /// What was asked.
        pub request: RequestKind,
        /// What came of it.
        pub outcome: Outcome,
        /// The venue's id, where given; else 0.
        pub order_id: u64,
        /// The venue's code; 0 for success.
        pub code: u32,
        /// What class of reject it is.
        pub class: RejectClass,
        /// The venue's own words for it, for the log.
        pub message: Words,
    }
}

slot_enum! {
    /// Rejects by what has to be done about them (bitget reference §4).
    pub enum RejectClass {
        /// No reject.
        None = 0 "none",
        /// Price or size against the rules: tick, step, minimum, maximum, band.
        Rules = 1 "rules",
        /// Margin or balance.
        Funds = 2 "funds",
        /// The order to cancel is not there, or no longer open.
        NotFound = 3 "not_found",
        /// A client id was used twice.
        Duplicate = 4 "duplicate",
        /// Too many requests or orders.
        Rate = 5 "rate",
        /// Key, signature, permission, address.
        Auth = 6 "auth",
        /// The instrument or the account may not trade now.
        Halted = 7 "halted",
        /// Anything else.
        Other = 8 "other",
    }
}

slot_struct! {
    /// What the venue says of a position.
    pub struct PositionReport {
        /// Which.
        pub instrument: InstrumentId,
        /// Signed size.
        pub lots: Lots,
        /// Average entry; zero when flat.
        pub entry: Price,
        /// Leverage as set at the venue; 0 when not given.
        pub leverage: u16,
        /// How we know.
        pub source: Source,
        /// The venue's time of the change.
        pub ts: UnixNanos,
    }
}

slot_struct! {
    /// What the venue says of the account.
    pub struct AccountReport {
        /// Equity at mark, in USDT.
        pub equity: Quote,
        /// Balance without unrealized profit.
        pub balance: Quote,
        /// Free for new orders.
        pub available: Quote,
        /// Unrealized profit at mark.
        pub unrealized: Quote,
        /// Maintenance margin over equity, 1 is liquidation; negative when the venue gave none.
        pub margin_ratio: Rate,
        /// How we know.
        pub source: Source,
        /// The venue's time.
        pub ts: UnixNanos,
    }
}

slot_struct! {
    /// Best bid and ask of a contract's book as the venue has answered; zero where a side is empty.
    pub struct TouchReport {
        /// Which.
        pub instrument: InstrumentId,
        /// Best bid.
        pub bid: Ticks,
        /// Size at the best bid.
        pub bid_lots: Lots,
        /// Best ask.
        pub ask: Ticks,
        /// Size at the best ask.
        pub ask_lots: Lots,
        /// The venue's time.
        pub ts: UnixNanos,
    }
}

slot_enum! {
    /// What a pass collects.
    pub enum Topic {
        /// All open orders.
        OpenOrders = 0 "open_orders",
        /// All positions.
        Positions = 1 "positions",
        /// Own fills since the last known.
        Fills = 2 "fills",
        /// Equity and margin.
        Account = 3 "account",
        /// One order by its client id.
        Order = 4 "order",
        /// Best bid and ask of one contract.
        Touch = 5 "touch",
        /// Money that moved by something else than a trade.
        Bills = 6 "bills",
        /// The rules of every contract; they come as `Rules`, without a pass around them.
        Rules = 7 "rules",
        /// The fee rates of one contract; they come as `FeeRate`, without a pass around them.
        FeeRates = 8 "fee_rates",
    }
}

slot_enum! {
    /// Where a pass stands.
    pub enum Phase {
        /// Items follow as `OrderUpdate`, `Fill`, `PositionReport`, `AccountReport` from
        /// [`Source::Query`], or as `TouchReport` or `Bill`.
        Begin = 0 "begin",
        /// All items have been sent.
        End = 1 "end",
        /// The query failed; what came so far proves nothing.
        Failed = 2 "failed",
    }
}

slot_struct! {
    /// Begin or end of a pass that collected evidence.
    pub struct Evidence {
        /// The query's number.
        pub pass: u32,
        /// What it collects.
        pub topic: Topic,
        /// Where it stands.
        pub phase: Phase,
        /// Which instrument; [`InstrumentId::ALL`] for every one.
        pub instrument: InstrumentId,
        /// Which order, for [`Topic::Order`].
        pub client: ClientId,
        /// Items sent.
        pub items: u32,
        /// When the request left; what happened later may be missing.
        pub asked: MonoNanos,
    }
}

slot_struct! {
    /// A finished one-minute bar.
    pub struct Candle {
        /// Which.
        pub instrument: InstrumentId,
        /// When the bar began.
        pub start: UnixNanos,
        /// First price.
        pub open: Price,
        /// Highest.
        pub high: Price,
        /// Lowest.
        pub low: Price,
        /// Last.
        pub close: Price,
    }
}

slot_struct! {
    /// The day as `daily_state.json` and the ledger remember it.
    pub struct RestoreDay {
        /// UTC day number since 1970.
        pub day: i64,
        /// Equity when it began.
        pub equity_open: Quote,
        /// Highest equity since the last `rearm`, transfers removed.
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
        /// Creates today, as the durable day counts them: no fewer than were sent.
        pub creates: u32,
        /// The guard was latched.
        pub latched: bool,
        /// The incident that latched it.
        pub incident: u64,
        /// Reasons of the latch, as [`crate::guard::Reasons`].
        pub reasons: u64,
        /// Highest equity today.
        pub equity_peak: Quote,
        /// Creates of an earlier run may be on their way over REST.
        pub over_rest: bool,
    }
}

impl Boot {
    /// The first boot of a world of one instrument.
    pub const WORLD: Self = Self {
        config_hash: [0; 32],
        epoch: 1,
        instruments: 1,
        seed: 1,
        mode: Mode::World,
        dirty: false,
        planted: Planted::NONE,
    };
}

impl RestoreDay {
    /// No day.
    pub const EMPTY: Self = Self {
        day: 0,
        equity_open: Quote::ZERO,
        high_water: Quote::ZERO,
        traded: Quote::ZERO,
        realized: Quote::ZERO,
        fees: Quote::ZERO,
        funding: Quote::ZERO,
        fills: 0,
        cancel_episodes: 0,
        creates: 0,
        latched: false,
        incident: 0,
        reasons: 0,
        equity_peak: Quote::ZERO,
        over_rest: false,
    };
}

slot_struct! {
    /// The days before, as the durable state remembers them.
    pub struct RestoreWeek {
        /// UTC day number since 1970 of the day after them.
        pub day: i64,
        /// Equity when each of them began, newest first; zero where it is not known.
        pub opens: [Quote; 6],
    }
}

slot_struct! {
    /// A position as the durable state remembers it.
    pub struct RestorePosition {
        /// Which.
        pub instrument: InstrumentId,
        /// Signed size.
        pub lots: Lots,
        /// What it cost, signed, in tick-lots: exact where an average would be rounded.
        pub entry_value: i128,
        /// The newest execution booked.
        pub last_trade_id: u64,
        /// Its time.
        pub last_trade_at: UnixNanos,
    }
}

slot_enum! {
    /// What a person or the program asks of the engine.
    pub enum Directive {
        /// Cancel everything, verify zero, end.
        Stop = 0 "stop",
        /// Cancel quotes and quote no more until resumed.
        Pause = 1 "pause",
        /// End a pause.
        Resume = 2 "resume",
        /// Latch HARD_STOP.
        Kill = 3 "kill",
        /// Clear the latch of the incident named.
        Rearm = 4 "rearm",
        /// Change one parameter.
        Set = 5 "set",
    }
}

slot_struct! {
    /// A command of a person or of the program itself. What came of it is said in a
    /// [`Ruled`](crate::command::Ruled).
    pub struct Operator {
        /// What.
        pub directive: Directive,
        /// For [`Directive::Rearm`]: which incident.
        pub incident: u64,
        /// For [`Directive::Set`]: the value's place in [`crate::param::TABLE`]'s storage.
        pub key: u16,
        /// For [`Directive::Set`]: the value, in the key's unit.
        pub value: i64,
        /// Who: the user's number as the kernel told it; that of the process for its own.
        pub user: u32,
        /// The asker's own number of this request, by which it knows the answer; 0 for none.
        pub ticket: u32,
    }
}

impl Operator {
    /// What the program itself asks for.
    pub const fn program(directive: Directive) -> Self {
        Self { directive, incident: 0, key: 0, value: 0, user: 0, ticket: 0 }
    }
}

slot_struct! {
    /// A command that the control socket refused by itself. It changes nothing; that it was tried
    /// stands in the journal.
    pub struct Refused {
        /// Why.
        pub why: RefusedFor,
        /// Who: the user's number as the kernel told it.
        pub user: u32,
        /// That user's process.
        pub process: u32,
        /// Refusals since the one told last that were too many to be told.
        pub untold: u32,
        /// What was asked, as far as it was read.
        pub asked: Words,
    }
}

slot_enum! {
    /// Why a command was refused before it reached the engine.
    pub enum RefusedFor {
        /// Neither the user of the run, nor root.
        User = 0 "another user",
        /// As many clients as are served were there.
        Crowd = 1 "too many clients",
        /// A line that is too long, no JSON, or no command.
        Malformed = 2 "not understood",
        /// No such parameter, or a value outside of what may be set while an engine runs.
        Envelope = 3 "may not be set",
        /// No name of an instrument.
        Instrument = 4 "no instrument",
    }
}

slot_enum! {
    /// What is measured.
    pub enum Measure {
        /// Age of the oldest record not yet durable, in nanoseconds.
        JournalLag = 0 "journal_lag",
        /// The process was not run for this many nanoseconds.
        Paused = 1 "paused",
        /// Calls that the venue's busiest endpoint class has left, in 1e-8 of its limit.
        RateHeadroom = 2 "rate_headroom",
        /// The disk has refused a write: nothing is durable any more. The value says nothing.
        JournalFailed = 3 "journal_failed",
        /// Which way orders take: 0 the private socket, 1 REST.
        OrderEntry = 4 "order_entry",
        /// As [`Measure::RateHeadroom`], of the requests that enter and cancel orders.
        EntryHeadroom = 5 "entry_headroom",
        /// What the venue said of its own switch: seconds that it waits, or -1 for a refusal.
        Countdown = 6 "countdown",
    }
}

slot_struct! {
    /// A measure of the process's own health.
    pub struct Health {
        /// What.
        pub measure: Measure,
        /// How much.
        pub value: i64,
    }
}

slot_enum! {
    /// How the account holds positions.
    pub enum HoldMode {
        /// One position an instrument.
        OneWay = 0 "one_way_mode",
        /// Long and short apart; not traded by this engine.
        Hedge = 1 "hedge_mode",
    }
}

slot_struct! {
    /// Account settings as read from the venue.
    pub struct Settings {
        /// How positions are held.
        pub hold_mode: HoldMode,
        /// Highest leverage set on any configured instrument; 0 when unknown.
        pub leverage: u16,
        /// The key may trade.
        pub may_trade: bool,
        /// The key may withdraw or transfer.
        pub may_move_money: bool,
        /// The key is bound to addresses.
        pub ip_bound: bool,
        /// The account's number.
        pub uid: u64,
        /// A contract that is traded is in isolated margin. From here on older journals have 0.
        pub isolated: bool,
        /// Fees are taken in another coin, or nobody says that they are not.
        pub deducts_fees: bool,
        /// A coin of the account is owed.
        pub owes: bool,
        /// The account holds other coins than USDT, above dust.
        pub other_coins: bool,
    }
}

impl Settings {
    /// An account that suits the engine in every mode, with a key that trades and no more.
    pub const FIT: Self = Self {
        hold_mode: HoldMode::OneWay,
        leverage: 1,
        may_trade: true,
        may_move_money: false,
        ip_bound: true,
        uid: 0,
        isolated: false,
        deducts_fees: false,
        owes: false,
        other_coins: false,
    };
}

slot_enum! {
    /// Kinds of money movements.
    pub enum BillKind {
        /// Funding settlement.
        Funding = 0 "funding",
        /// Deposit or withdrawal or transfer.
        Transfer = 1 "transfer",
        /// Anything else that the venue's enumeration of records has; counted apart.
        Other = 2 "other",
        /// A word that it does not have: booked by its amount, and a stop.
        Unknown = 3 "unknown",
    }
}

slot_struct! {
    /// Money that moved by something else than a trade.
    pub struct Bill {
        /// Which instrument; [`InstrumentId::ALL`] for none.
        pub instrument: InstrumentId,
        /// What for.
        pub kind: BillKind,
        /// Signed amount: positive is received.
        pub amount: Quote,
        /// The venue's id, unique for ever.
        pub bill_id: u64,
        /// When.
        pub ts: UnixNanos,
    }
}

slot_struct! {
    /// How far bills have been read: one of a later time is not booked yet unless its id is known.
    pub struct BillsRead {
        /// Every bill up to here is booked, or was in the balance that the account began with.
        pub until: UnixNanos,
    }
}

slot_struct! {
    /// How often and how deep takers' orders reach into one instrument's book: an order that stands
    /// δ bp beyond the mid is reached A·e^(−kδ) times a second.
    pub struct Coefficients {
        /// Which.
        pub instrument: InstrumentId,
        /// A, of one side, a second; in 1e-8.
        pub arrivals_per_s_e8: i64,
        /// k, a basis point of the mid; in 1e-8.
        pub decay_per_bp_e8: i64,
        /// Takers' orders that it was fitted to.
        pub orders: u32,
        /// The time over which they came and the book was seen, in nanoseconds.
        pub seen_ns: u64,
        /// Root of the mean square by which the logarithm of the rates misses the fit; in 1e-4.
        pub error_e4: u32,
    }
}
