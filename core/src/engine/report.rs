//! Reports: the status rows that files, console and metrics are made from, and the day's turn.

use super::Engine;
use crate::command::{Day, Outbox, Record, StatusPage};
use crate::event::FeeSource;
use crate::gate::{COUNTDOWN_LAPSE_NS, Gate};
use crate::instrument::InstrumentId;
use crate::planted::Defect;
use crate::status::{Key, PAGES, Row};
use crate::units::{E8, MonoNanos, Quote, Rate, SECONDS, Side, UnixNanos};

/// When rows are due and whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    due: MonoNanos,
    /// The next instrument of a round that is under way; `None` between rounds.
    next: Option<u16>,
    /// The UTC minute of the last round.
    minute: i64,
    /// This round closes a minute.
    closes_minute: bool,
    /// The high-water mark that a round recorded last.
    peak: Quote,
}

/// How often each instrument's row is recorded.
const EVERY_NS: u64 = SECONDS;

/// Rows of one step: they fit the outbox beside everything else.
const ROWS_A_STEP: u16 = 8;

/// A best bid and ask that stand unchanged for longer are flagged, whatever else is known of them
/// (checklist, item 6). No quote is pulled for it.
const TOP_UNCHANGED_NS: u64 = 30 * SECONDS;

const _: () = assert!(ROWS_A_STEP as usize * PAGES < crate::command::OUTBOX_MAX / 4);

impl Schedule {
    pub(super) const NEW: Self = Self {
        due: MonoNanos::NEVER,
        next: None,
        minute: i64::MIN,
        closes_minute: false,
        peak: Quote::ZERO,
    };

    pub(super) fn begin(&mut self, now: MonoNanos) {
        self.due = now.after(EVERY_NS);
    }

    pub(super) fn deadline(&self) -> MonoNanos {
        self.due
    }
}

impl<G: Gate> Engine<'_, G> {
    /// Records rows, some instruments a step, each once a second and at the turn of the minute.
    pub(super) fn report(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        if now < self.report.due {
            return;
        }
        let utc = self.utc(now);
        let first = match self.report.next {
            Some(next) => next,
            None => {
                self.begin_round(utc);
                0
            }
        };
        let n = self.instruments as u16;
        let last = n.min(first + ROWS_A_STEP);
        for index in first..last {
            self.record_row(InstrumentId(index), utc, now, out);
        }
        if last < n {
            self.report.next = Some(last);
            return;
        }
        self.report.next = None;
        if self.peak_has_risen() || self.report.closes_minute {
            // The day's peak and the high-water mark move with the marks alone.
            self.record_day(out);
        }
        self.report.due = self.next_round(utc, now);
    }

    /// True when a run that ended now would leave the next one a high-water mark that is too low by
    /// more than a hundredth of the drawdown that is allowed.
    fn peak_has_risen(&mut self) -> bool {
        let Some(peak) = self.ledger.high_water() else { return false };
        let allowed = i128::from(peak.0) * i128::from(self.params.max_drawdown_pct_hard().0);
        let risen = i128::from(peak.0 - self.report.peak.0) * i128::from(E8) * 100 > allowed;
        if risen {
            self.report.peak = peak;
        }
        risen
    }

    fn begin_round(&mut self, utc: Option<UnixNanos>) {
        let minute = utc.map_or(i64::MIN, UnixNanos::minute);
        // The first minute that is seen has no begin: its row comes with its end.
        self.report.closes_minute = self.report.minute != i64::MIN && minute > self.report.minute;
        self.report.minute = self.report.minute.max(minute);
    }

    /// A second later, or at the turn of the minute where that is sooner.
    fn next_round(&self, utc: Option<UnixNanos>, now: MonoNanos) -> MonoNanos {
        let into = utc.map_or(0, |utc| utc.0.rem_euclid(UnixNanos::MINUTE));
        let to_turn = (UnixNanos::MINUTE - into).unsigned_abs();
        now.after(EVERY_NS.min(to_turn))
    }

    fn record_row(
        &self,
        id: InstrumentId,
        utc: Option<UnixNanos>,
        now: MonoNanos,
        out: &mut Outbox<'_>,
    ) {
        let mut row = Row::EMPTY;
        row.set(Key::ts, utc.map_or(0, |utc| utc.0));
        self.describe_state(id, &mut row, now);
        self.describe_market(id, &mut row);
        self.describe_strategy(id, &mut row, now);
        self.describe_account(&mut row);
        self.describe_position(id, &mut row);
        for page in 0..PAGES {
            let minute = self.report.closes_minute && page + 1 == PAGES;
            out.record(Record::StatusPage(StatusPage {
                instrument: id,
                page: page as u8,
                minute,
                values: row.page(page),
            }));
        }
    }

    fn describe_state(&self, id: InstrumentId, row: &mut Row, now: MonoNanos) {
        row.set(Key::state, self.account.state as i64);
        row.set(Key::soft_reasons, self.guard.soft().union(self.reasons(id, now)).0.cast_signed());
        row.set(Key::hard_reasons, self.guard.hard().0.cast_signed());
        row.set(Key::ready, i64::from(self.account.ready));
        row.set(Key::ws_reconnect_count, self.counters.reconnects.cast_signed());
        row.set(Key::ws_rotation_count, self.counters.rotations.cast_signed());
        self.describe_streams(id, row, now);
        let armed = self.account.countdown_at != MonoNanos::ZERO
            && !self.account.countdown_refused
            && now.since(self.account.countdown_at) <= COUNTDOWN_LAPSE_NS;
        row.set(Key::countdown_armed, i64::from(armed));
        row.set(Key::order_entry_rest, i64::from(self.entry_over_rest));
        row.set(Key::refusals, self.counters.refusals.cast_signed());
        row.set(Key::venue_rejects, self.counters.rejects.cast_signed());
        row.set(Key::clock_offset, self.account.clock_offset_ns);
        row.set(Key::events, self.counters.events.cast_signed());
        row.set(Key::foreign_orders, i64::from(self.account.foreign_orders));
    }

    /// What `connector_status` is made from. What never came is as old as the process.
    fn describe_streams(&self, id: InstrumentId, row: &mut Row, now: MonoNanos) {
        let (view, account) = (&self.views[id.index()], &self.account);
        let desk = &self.desks[id.index()];
        let since = |at: MonoNanos| i64::try_from(now.since(at)).unwrap_or(i64::MAX);
        row.set(Key::public_ws, i64::from(self.public_live));
        row.set(Key::private_ws, i64::from(account.private_live));
        row.set(Key::book_seq_ok, i64::from(desk.book.is_live()));
        row.set(Key::book_age, since(view.book_at));
        let known_ns = now.since(view.known_at(account));
        let fresh = view.touch.is_some() && known_ns <= self.params.book_silence_ms();
        let top_ns = desk.quiet.top_ns(now);
        row.set(Key::book_fresh, i64::from(fresh));
        row.set(Key::book_fresh_age, since(view.known_at(account)));
        row.set(Key::top_age, i64::try_from(top_ns).unwrap_or(i64::MAX));
        let unchanged = top_ns > TOP_UNCHANGED_NS;
        row.set(Key::order_book_stale, i64::from(!fresh || unchanged));
        row.set(Key::ticker_age, since(view.ticker_at));
        row.set(Key::private_age, since(account.private_at));
        row.set(Key::rest_age, since(account.utc_at));
        row.set(Key::clock_uncertainty, account.clock_uncertainty_ns.cast_signed());
        row.set(Key::books_dropped, self.counters.books_dropped.cast_signed());
    }

    fn describe_market(&self, id: InstrumentId, row: &mut Row) {
        let view = &self.views[id.index()];
        let desk = &self.desks[id.index()];
        row.set(Key::mark_price, view.mark.0);
        if let Some(ticker) = desk.ticker {
            row.set(Key::funding_rate, ticker.funding_rate.0);
            row.set(Key::funding_next_time, ticker.funding_at.0);
        }
        let Some(touch) = desk.book.touch() else { return };
        row.set(Key::mid, touch.mid_x2());
        row.set(Key::best_bid_price, touch.bid.0);
        row.set(Key::best_ask_price, touch.ask.0);
        row.set(Key::best_bid_size, touch.bid_lots.0);
        row.set(Key::best_ask_size, touch.ask_lots.0);
        let spread = Quote((touch.ask.0 - touch.bid.0) * 2);
        row.set(
            Key::market_spread_pct,
            spread.share_of(Quote(touch.mid_x2())).unwrap_or_default().0,
        );
    }

    fn describe_strategy(&self, id: InstrumentId, row: &mut Row, now: MonoNanos) {
        let view = &self.views[id.index()];
        let desk = &self.desks[id.index()];
        let regime = desk.signals.regime();
        let [buy, sell] = &desk.desired.sides;
        row.set(Key::regime, regime as i64);
        row.set(Key::model, desk.flow.quoting() as i64);
        row.set(Key::target_base_pct, self.params.target_base_pct(regime).0);
        row.set(Key::spread_pct, desk.desired.spread.0);
        row.set(Key::spread_floor_pct, buy.floor.max(sell.floor).0);
        let edges = [buy, sell].into_iter().filter(|side| !side.levels().is_empty());
        row.set(Key::net_edge_pct, edges.map(|side| side.edge.0).min().unwrap_or(0));
        row.set(Key::skew, desk.desired.skew.0);
        row.set(Key::adverse_drift_30s, desk.signals.drift().0);
        row.set(Key::soft_pause_edge, i64::from(desk.markout.shut()));
        row.set(Key::cancel_per_min, desk.cancels.in_window(now).cast_signed());
        for (side, key) in [(Side::Buy, Key::own_bid_price), (Side::Sell, Key::own_ask_price)] {
            row.set(key, view.best_own[side.index()].map_or(0, |price| price.0));
        }
        row.set(
            Key::orders_active,
            i64::from(view.open_orders[0]) + i64::from(view.open_orders[1]),
        );
        row.set(Key::unknown_orders, i64::from(view.unknown_orders));
        row.set(Key::fee_source, view.fee_source as i64);
        if view.fee_source != FeeSource::Unresolved {
            row.set(Key::maker_fee_pct, view.maker.0);
            row.set(Key::taker_fee_pct, view.taker.0);
        }
    }

    fn describe_account(&self, row: &mut Row) {
        let equity = self.account.equity.unwrap_or_default();
        let share = |part: Quote, whole: Option<Quote>| {
            whole.and_then(|whole| part.share_of(whole)).unwrap_or_default().0
        };
        row.set(Key::equity_quote, equity.0);
        row.set(Key::quote_balance, self.ledger.balance().unwrap_or_default().0);
        row.set(Key::turnover_today_x, share(self.account.turnover, self.account.equity));
        if let Some(day) = self.ledger.day(false) {
            row.set(Key::fills_count_today, i64::from(day.fills));
            row.set(Key::fees_paid_today_quote, day.fees.0);
            row.set(Key::realized_pnl_today_quote, day.realized.0);
            row.set(Key::funding_cost_today_quote, day.funding.0);
            row.set(Key::equity_open_quote, day.equity_open.0);
            row.set(Key::equity_peak_quote, day.equity_peak.0);
        }
        let lost = |from: Option<Quote>| share(from.unwrap_or_default() - equity, from);
        row.set(Key::daily_loss_pct, lost(self.account.day_open));
        row.set(Key::drawdown_pct, lost(self.account.high_water));
        row.set(Key::margin_ratio, self.account.margin_ratio.map_or(-1, |ratio| ratio.0));
        row.set(Key::position_drift_pct, self.account.position_drift.0);
        row.set(Key::rate_headroom_pct, self.headroom[0].min(self.headroom[1]).0);
        row.set(Key::creates_today, i64::from(self.account.creates_today));
        row.set(Key::creates_headroom_pct, self.creates_headroom().0);
    }

    /// What is left of the creates that a day may see before quotes are pulled.
    fn creates_headroom(&self) -> Rate {
        let most = self.params.creates_per_day_soft();
        let left = most.saturating_sub(u64::from(self.account.creates_today));
        Quote(left.cast_signed()).share_of(Quote(most.cast_signed())).unwrap_or_default()
    }

    fn describe_position(&self, id: InstrumentId, row: &mut Row) {
        let position = self.ledger.position(id);
        row.set(Key::position_base, position.lots.0);
        row.set(Key::unrealized_pnl_quote, self.ledger.unrealized_of(id).0);
        row.set(Key::base_pct, self.base_pct(id).0);
        if let Some(rules) = &self.views[id.index()].rules {
            row.set(Key::avg_entry_price, position.entry(rules).0);
        }
    }

    /// Makes the day durable as it is, once there is one.
    pub(super) fn record_day(&self, out: &mut Outbox<'_>) {
        if let Some(day) = self.ledger.day(false) {
            self.keep(day, out);
        }
    }

    fn keep(&self, day: Day, out: &mut Outbox<'_>) {
        out.record(Record::Day(Day { over_rest: self.may_come_over_rest(), ..day }));
    }

    /// Begins a new UTC day once, and records the durable day.
    pub(super) fn turn_day(&mut self, now: MonoNanos, out: &mut Outbox<'_>) {
        let Some(utc) = self.trusted_utc(now) else { return };
        if let Some(day) = self.ledger.roll(utc) {
            self.account.taker_fills = 0;
            if self.params.commits(Defect::HardStopEndsWithDay) {
                self.clear_stop();
            }
            self.keep(day, out);
        }
    }
}
