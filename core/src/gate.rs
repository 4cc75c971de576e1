//! The gate: no order reaches the wire without passing it, once, by type.
//!
//! An [`Approved`] order is made only by [`submit`], has no `Clone`, `Copy` or `Default`, moves
//! over the link and is consumed when it is encoded.

use crate::event::{ClientId, Event, FeeSource};
use crate::guard::{GuardState, Opinion, Reasons};
use crate::instrument::{Instrument, InstrumentId};
use crate::param::Params;
use crate::units::{Lots, MonoNanos, Price, Quote, Rate, Side, Ticks, UnixNanos};
use crate::{slot_enum, slot_struct};

slot_enum! {
    /// How long an order works.
    pub enum TimeInForce {
        /// Rests or is canceled; never takes.
        PostOnly = 0 "post_only",
        /// Takes what it can at once; the rest is canceled.
        Ioc = 1 "ioc",
        /// Rests until canceled; may take.
        Gtc = 2 "gtc",
    }
}

slot_enum! {
    /// What an order is for.
    pub enum Purpose {
        /// A quote of the strategy.
        Quote = 0 "quote",
        /// A quote that shrinks the position while paused.
        Derisk = 1 "derisk",
        /// A probe of a shut edge gate.
        Probe = 2 "probe",
        /// The position is closed after a stop.
        Flatten = 3 "flatten",
    }
}

slot_struct! {
    /// An order that the engine would like to send.
    pub struct Intent {
        /// Where.
        pub instrument: InstrumentId,
        /// Which side.
        pub side: Side,
        /// Limit price.
        pub price: Ticks,
        /// Size.
        pub lots: Lots,
        /// How long it works.
        pub time_in_force: TimeInForce,
        /// It may only shrink the position.
        pub reduce_only: bool,
        /// The level of its side that it stands on, 0 nearest to the touch.
        pub level: u8,
        /// What it is for.
        pub purpose: Purpose,
        /// When the strategy wanted it; too old, and it is refused.
        pub made: MonoNanos,
    }
}

slot_struct! {
    /// An order with its identity.
    pub struct OrderSpec {
        /// Its client id, never used before or again.
        pub client: ClientId,
        /// What it is.
        pub intent: Intent,
    }
}

/// An order that has passed the gate. Moves; is sent once.
#[derive(Debug)]
pub struct Approved {
    spec: OrderSpec,
}

impl Approved {
    /// What will be sent.
    pub const fn spec(&self) -> &OrderSpec {
        &self.spec
    }
}

/// Without a confirmation for this long the venue's own switch has lapsed.
pub const COUNTDOWN_LAPSE_NS: u64 = 3 * crate::units::SECONDS;

/// Decides over orders. `keel_risk` implements it; tests may.
pub trait Gate {
    /// Looks at an event after the engine has taken it in, and says what the guard should do.
    fn observe(&mut self, event: &Event, view: &View<'_>, now: MonoNanos) -> Opinion;

    /// Tells that figures of the account may have changed by more than the next event says: the
    /// opinion before it does not hold any longer.
    fn settled(&mut self);

    /// Says whether `intent` may be sent.
    ///
    /// # Errors
    /// The first limit that it would break.
    fn check(&mut self, intent: &Intent, view: &View<'_>, now: MonoNanos) -> Result<(), Refusal>;

    /// Why nothing may be quoted on one instrument just now, the others notwithstanding.
    fn instrument(&self, id: InstrumentId, view: &View<'_>, now: MonoNanos) -> Reasons;

    /// Tells that an order has just been approved, so that buckets and counters take it in.
    fn approved(&mut self, view: &View<'_>, now: MonoNanos);

    /// Tells of a cancel, which uses the same allowance and is never refused.
    fn canceled(&mut self, view: &View<'_>, now: MonoNanos);

    /// The earliest time at which an opinion may change without an event.
    fn deadline(&self) -> MonoNanos;

    /// Folds all state that decisions depend on into `digest`.
    fn fold(&self, digest: &mut crate::digest::Digest);
}

/// Asks the gate, and on yes makes the one thing that can be sent.
///
/// # Errors
/// As [`Gate::check`].
pub fn submit<G: Gate>(
    gate: &mut G,
    intent: Intent,
    client: ClientId,
    view: &View<'_>,
    now: MonoNanos,
) -> Result<Approved, Refusal> {
    gate.check(&intent, view, now)?;
    let spec = OrderSpec { client, intent };
    gate.approved(view, now);
    Ok(Approved { spec })
}

slot_enum! {
    /// Why the gate said no: the twelve gates, by number.
    pub enum Refusal {
        /// G1: stopped, paused, or starting.
        NotArmed = 0 "not_armed",
        /// G2: the rules are old, missing, or forbid it.
        Rules = 1 "rules",
        /// G2: price off the tick, size off the lot or outside the venue's limits.
        Quantum = 2 "quantum",
        /// G3: too far from mid, mark or the last good book, or outside the venue's band.
        Collar = 3 "collar",
        /// G4: size of one order.
        OrderLots = 4 "order_lots",
        /// G5: value of one order.
        OrderNotional = 5 "order_notional",
        /// G6: the worst case of the position.
        WorstCase = 6 "worst_case",
        /// G7: gross value, leverage or margin.
        Gross = 7 "gross",
        /// G8: how many orders may be open.
        OrderCount = 8 "order_count",
        /// G9: how many messages may be sent.
        MessageRate = 9 "message_rate",
        /// G10: the level is taken, or own orders would cross.
        Duplicate = 10 "duplicate",
        /// G11: book, private stream, clock or the intent itself is not fresh.
        Stale = 11 "stale",
        /// G12: loss, drawdown, turnover or executions.
        Loss = 12 "loss",
    }
}

/// The state that the gate sees.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Limits and parameters.
    pub params: &'a Params,
    /// The account.
    pub account: &'a AccountView,
    /// One for each instrument, by [`InstrumentId::index`].
    pub instruments: &'a [InstrumentView],
}

/// The account as the gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// The guard's state and whether start-up is complete.
    pub state: GuardState,
    /// Start-up has collected everything.
    pub ready: bool,
    /// Private stream logged in and subscribed.
    pub private_live: bool,
    /// Last message on it.
    pub private_at: MonoNanos,
    /// Last answer to a ping on the public stream.
    pub pong_at: MonoNanos,
    /// Reconciliation has agreed since the last (re)connect.
    pub reconciled: bool,
    /// UTC at `utc_at`; zero when never synchronized.
    pub utc: UnixNanos,
    /// When `utc` was taken.
    pub utc_at: MonoNanos,
    /// Venue minus host.
    pub clock_offset_ns: i64,
    /// Half of the round trip.
    pub clock_uncertainty_ns: u64,
    /// Equity by our ledger at mark; `None` while unknown.
    pub equity: Option<Quote>,
    /// Equity when the UTC day began; `None` while unknown.
    pub day_open: Option<Quote>,
    /// Highest equity since the last rearm, transfers removed.
    pub high_water: Option<Quote>,
    /// Lowest day-open equity of the last seven days' begin; `None` while unknown.
    pub week_open: Option<Quote>,
    /// Traded today.
    pub turnover: Quote,
    /// Value at mark of all positions, each taken without its sign.
    pub position_value: Quote,
    /// Value of all orders that may be live.
    pub open_notional: Quote,
    /// Maintenance over equity as the venue says; `None` while unknown.
    pub margin_ratio: Option<Rate>,
    /// Highest leverage set at the venue; 0 while unknown.
    pub leverage: u16,
    /// Settings are as configured; `None` while unread.
    pub settings_fit: Option<bool>,
    /// When they were read.
    pub settings_at: MonoNanos,
    /// The venue's balance stays off ours, and its bills do not explain it.
    pub balance_unexplained: bool,
    /// Money has moved by a bill of a kind that is not known.
    pub bill_unknown: bool,
    /// Executions are charged otherwise than by the rates in force, or a rate was read that leaps.
    pub fees_doubtful: bool,
    /// Orders that may be live or in flight, all instruments.
    pub open_orders: u32,
    /// How many of them are of unknown outcome.
    pub unknown_orders: u32,
    /// Age of the oldest record not yet durable, in nanoseconds.
    pub journal_lag_ns: u64,
    /// Nothing is durable any more.
    pub journal_failed: bool,
    /// The venue knows orders of ours of a later boot epoch.
    pub state_behind: bool,
    /// Venue rejects in a row.
    pub reject_streak: u32,
    /// The pause after the last of many rejects in a row ends then.
    pub reject_pause_until: MonoNanos,
    /// A contradiction has been seen.
    pub contradiction: bool,
    /// A table is full.
    pub capacity: bool,
    /// Largest confirmed drift between venue's position and ours, as a share of the larger.
    pub position_drift: Rate,
    /// Confirmed drift between venue's position and ours that no fill explains.
    pub drift_unexplained: bool,
    /// How often strategy cancels have breached their budget today.
    pub cancel_episodes: u32,
    /// The pause of the last cancel episode ends then.
    pub cancel_pause_until: MonoNanos,
    /// Creates sent this UTC day, in this run and earlier ones.
    pub creates_today: u32,
    /// When the venue last confirmed its own switch; [`MonoNanos::ZERO`] while it never has.
    pub countdown_at: MonoNanos,
    /// It has refused since.
    pub countdown_refused: bool,
    /// Orders that are not of this run and have not been canceled yet.
    pub foreign_orders: u32,
    /// Of these, our own of earlier runs.
    pub older_orders: u32,
    /// Post-only orders of ours executed as taker today.
    pub taker_fills: u32,
}

/// An instrument as the gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrumentView {
    /// The rules; `None` until fetched.
    pub rules: Option<Instrument>,
    /// When they were last confirmed.
    pub rules_at: MonoNanos,
    /// When the venue last refused an order by its rules; zero for never.
    pub rules_refused: MonoNanos,
    /// Where the fee rates come from.
    pub fee_source: FeeSource,
    /// When they were last confirmed.
    pub fee_at: MonoNanos,
    /// Maker rate.
    pub maker: Rate,
    /// Taker rate.
    pub taker: Rate,
    /// Best bid and ask of a live book; `None` when it is not live or one side is empty.
    pub touch: Option<(Ticks, Ticks)>,
    /// Twice the mid of the last live book, in ticks; 0 before the first.
    pub last_mid_x2: i64,
    /// Last applied books frame.
    pub book_at: MonoNanos,
    /// When the venue was last asked for its best bid and ask and had the same as the book.
    pub confirmed_at: MonoNanos,
    /// Mark; zero before the first ticker.
    pub mark: Price,
    /// Last ticker.
    pub ticker_at: MonoNanos,
    /// Position by our ledger.
    pub position: Lots,
    /// Lots of orders that may be live, in flight or unknown, by side.
    pub open_lots: [Lots; 2],
    /// How many such orders, by side.
    pub open_orders: [u16; 2],
    /// How many of them are of unknown outcome.
    pub unknown_orders: u16,
    /// Best price among them, by side.
    pub best_own: [Option<Ticks>; 2],
    /// Levels of each side on which such an order stands, as bits.
    pub levels: [u32; 2],
}

impl InstrumentView {
    /// Nothing is known yet.
    pub const EMPTY: Self = Self {
        rules: None,
        rules_at: MonoNanos::ZERO,
        rules_refused: MonoNanos::ZERO,
        fee_source: FeeSource::Unresolved,
        fee_at: MonoNanos::ZERO,
        maker: Rate::ZERO,
        taker: Rate::ZERO,
        touch: None,
        last_mid_x2: 0,
        book_at: MonoNanos::ZERO,
        confirmed_at: MonoNanos::ZERO,
        mark: Price::ZERO,
        ticker_at: MonoNanos::ZERO,
        position: Lots::ZERO,
        open_lots: [Lots::ZERO; 2],
        open_orders: [0; 2],
        unknown_orders: 0,
        best_own: [None; 2],
        levels: [0; 2],
    };

    /// When the book was last known to be the venue's: by a frame or, where nothing changes, by an
    /// equal best bid and ask over REST together with a pong on the stream, whichever is older.
    pub fn known_at(&self, account: &AccountView) -> MonoNanos {
        self.book_at.max(self.confirmed_at.min(account.pong_at))
    }
}

impl AccountView {
    /// By how much this host's clock is off for sure, in nanoseconds: a slow answer makes a reading
    /// vague, and what is vague pauses and does not stop for good.
    pub const fn clock_error_ns_min(&self) -> u64 {
        self.clock_offset_ns.unsigned_abs().saturating_sub(self.clock_uncertainty_ns)
    }

    /// Nothing is known yet.
    pub const EMPTY: Self = Self {
        state: GuardState::SoftPause,
        ready: false,
        private_live: false,
        private_at: MonoNanos::ZERO,
        pong_at: MonoNanos::ZERO,
        reconciled: false,
        utc: UnixNanos(0),
        utc_at: MonoNanos::ZERO,
        clock_offset_ns: 0,
        clock_uncertainty_ns: 0,
        equity: None,
        day_open: None,
        high_water: None,
        week_open: None,
        turnover: Quote::ZERO,
        position_value: Quote::ZERO,
        open_notional: Quote::ZERO,
        margin_ratio: None,
        leverage: 0,
        settings_fit: None,
        settings_at: MonoNanos::ZERO,
        balance_unexplained: false,
        bill_unknown: false,
        fees_doubtful: false,
        open_orders: 0,
        unknown_orders: 0,
        journal_lag_ns: 0,
        journal_failed: false,
        state_behind: false,
        reject_streak: 0,
        reject_pause_until: MonoNanos::ZERO,
        contradiction: false,
        capacity: false,
        position_drift: Rate::ZERO,
        drift_unexplained: false,
        cancel_episodes: 0,
        cancel_pause_until: MonoNanos::ZERO,
        creates_today: 0,
        countdown_at: MonoNanos::ZERO,
        countdown_refused: false,
        foreign_orders: 0,
        older_orders: 0,
        taker_fills: 0,
    };
}
