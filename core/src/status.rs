//! The status table: the engine's figures as operators read them, by name.
//!
//! The engine records them as pages of values, once a second and at the turn of every UTC minute;
//! `minute.csv`, `processed_data`, the console and the metrics are all made from these rows.

/// What one unit of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A whole number.
    Count,
    /// 1e-8 of a USDT, a fraction, or a price.
    E8,
    /// Lots of the row's instrument.
    Lots,
    /// Ticks of the row's instrument.
    Ticks,
    /// Half ticks.
    HalfTicks,
    /// Nanoseconds.
    Nanos,
    /// UTC nanoseconds.
    Utc,
    /// A bit set of [`crate::guard::Reason`].
    Reasons,
    /// The number of an enum's variant.
    Variant,
}

macro_rules! status {
    ($($(#[doc = $doc:literal])+ $key:ident: $scale:ident;)*) => {
        /// A figure of the status table. The names are those of `minute.csv` where it has them.
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Key {
            $($(#[doc = $doc])+ $key,)*
        }

        impl Key {
            /// All keys, in the order of their places.
            pub const ALL: &'static [Self] = &[$(Self::$key,)*];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$key => stringify!($key),)* }
            }

            /// Its unit.
            pub const fn scale(self) -> Scale {
                match self { $(Self::$key => Scale::$scale,)* }
            }
        }
    };
}

status! {
    /// UTC at which the row was made.
    ts: Utc;
    /// [`crate::guard::GuardState`].
    state: Variant;
    /// Reasons for a pause.
    soft_reasons: Reasons;
    /// Reasons for a stop.
    hard_reasons: Reasons;
    /// [`crate::regime::Regime`].
    regime: Variant;
    /// 1 once start-up has collected everything.
    ready: Count;
    /// Twice the mid, in ticks.
    mid: HalfTicks;
    /// Best bid.
    best_bid_price: Ticks;
    /// Best ask.
    best_ask_price: Ticks;
    /// Size at the best bid.
    best_bid_size: Lots;
    /// Size at the best ask.
    best_ask_size: Lots;
    /// Own best bid; 0 for none.
    own_bid_price: Ticks;
    /// Own best ask; 0 for none.
    own_ask_price: Ticks;
    /// Account equity.
    equity_quote: E8;
    /// Net position as a share of equity, signed.
    base_pct: E8;
    /// Position that the strategy aims at.
    target_base_pct: E8;
    /// Full spread quoted.
    spread_pct: E8;
    /// Floor of the spread.
    spread_floor_pct: E8;
    /// Expected edge of the worse side quoted.
    net_edge_pct: E8;
    /// Skew of the quotes.
    skew: E8;
    /// Drift signal over 30 s.
    adverse_drift_30s: E8;
    /// Sides that the edge gate has shut, as bits.
    soft_pause_edge: Count;
    /// Balance in USDT.
    quote_balance: E8;
    /// Market spread as a share of mid.
    market_spread_pct: E8;
    /// Traded today as a multiple of equity.
    turnover_today_x: E8;
    /// Strategy cancels in the last minute.
    cancel_per_min: Count;
    /// Orders that may be live.
    orders_active: Count;
    /// Orders of unknown outcome.
    unknown_orders: Count;
    /// Fills today.
    fills_count_today: Count;
    /// Fees today; negative is a rebate.
    fees_paid_today_quote: E8;
    /// Loss since the day began as a share of equity then; negative is a gain.
    daily_loss_pct: E8;
    /// Fall from the high-water mark.
    drawdown_pct: E8;
    /// [`crate::event::FeeSource`].
    fee_source: Variant;
    /// Maker rate.
    maker_fee_pct: E8;
    /// Taker rate.
    taker_fee_pct: E8;
    /// Realized today before fees and funding.
    realized_pnl_today_quote: E8;
    /// Unrealized on this instrument at mark.
    unrealized_pnl_quote: E8;
    /// Position.
    position_base: Lots;
    /// Average entry.
    avg_entry_price: E8;
    /// Mark.
    mark_price: E8;
    /// Funding rate.
    funding_rate: E8;
    /// Next settlement.
    funding_next_time: Utc;
    /// Funding paid today.
    funding_cost_today_quote: E8;
    /// Maintenance over equity; −1 when unknown.
    margin_ratio: E8;
    /// Last confirmed drift of the position.
    position_drift_pct: E8;
    /// Sockets reconnected in this run.
    ws_reconnect_count: Count;
    /// 1 while the book is not fresh, or its best bid and ask have not changed for 30 s.
    order_book_stale: Count;
    /// Orders of somebody else seen.
    foreign_orders: Count;
    /// Orders refused by the gate.
    refusals: Count;
    /// Orders rejected by the venue.
    venue_rejects: Count;
    /// Offset of the venue's clock.
    clock_offset: Nanos;
    /// Equity when the day began.
    equity_open_quote: E8;
    /// Highest equity today.
    equity_peak_quote: E8;
    /// Events stepped.
    events: Count;
    /// Creates sent this UTC day.
    creates_today: Count;
    /// Share of the day's creates that is left before quotes are pulled.
    creates_headroom_pct: E8;
    /// The least share of any of the venue's rates that was left in the last second.
    rate_headroom_pct: E8;
    /// The public stream is live.
    public_ws: Count;
    /// The private stream is live.
    private_ws: Count;
    /// 1 while the book's chain of frames is whole.
    book_seq_ok: Count;
    /// Since the last applied books frame.
    book_age: Nanos;
    /// Since the last ticker.
    ticker_age: Nanos;
    /// Since the last private message.
    private_age: Nanos;
    /// Since the venue's clock was last read over REST.
    rest_age: Nanos;
    /// What the offset of the venue's clock is not known to.
    clock_uncertainty: Nanos;
    /// Books dropped in this run.
    books_dropped: Count;
    /// The venue's own switch is armed and confirmed.
    countdown_armed: Count;
    /// Orders are entered over REST.
    order_entry_rest: Count;
    /// Sockets that another took over from before the venue ended them.
    ws_rotation_count: Count;
    /// 1 while the book may be quoted on: whole, and known to be the venue's within its silence
    /// limit.
    book_fresh: Count;
    /// Since the book was last known to be the venue's: by a frame, or by a pong and an equal best
    /// bid and ask over REST.
    book_fresh_age: Nanos;
    /// Since the best bid or ask, or a size there, last changed.
    top_age: Nanos;
    /// [`crate::glft::Quoting`]: which model quotes.
    model: Variant;
}

/// How many values a row has.
pub const VALUES: usize = Key::ALL.len();

/// How many pages carry a row.
pub const PAGES: usize = VALUES.div_ceil(crate::command::PAGE_VALUES);

/// One row: a value for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row([i64; PAGES * crate::command::PAGE_VALUES]);

impl Row {
    /// All zero.
    pub const EMPTY: Self = Self([0; PAGES * crate::command::PAGE_VALUES]);

    /// The value of `key`.
    pub const fn value(&self, key: Key) -> i64 {
        self.0[key as usize]
    }

    /// Sets the value of `key`.
    pub const fn set(&mut self, key: Key, value: i64) {
        self.0[key as usize] = value;
    }

    /// The values of one page.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn page(&self, page: usize) -> [i64; crate::command::PAGE_VALUES] {
        let at = page * crate::command::PAGE_VALUES;
        let mut values = [0; crate::command::PAGE_VALUES];
        values.copy_from_slice(&self.0[at..at + crate::command::PAGE_VALUES]);
        values
    }

    /// Takes in the values of one page; false when there is no such page.
    pub fn take_page(&mut self, page: usize, values: &[i64; crate::command::PAGE_VALUES]) -> bool {
        let at = page * crate::command::PAGE_VALUES;
        let Some(place) = self.0.get_mut(at..at + crate::command::PAGE_VALUES) else {
            return false;
        };
        place.copy_from_slice(values);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_pages() {
        let mut row = Row::EMPTY;
        for (n, &key) in Key::ALL.iter().enumerate() {
            row.set(key, n as i64 + 1);
        }
        let mut back = Row::EMPTY;
        for page in 0..PAGES {
            assert!(back.take_page(page, &row.page(page)));
        }
        assert_eq!(back, row);
        assert!(!back.take_page(PAGES, &[0; crate::command::PAGE_VALUES]));
    }
}
