//! The gate itself: twelve checks in order, and the opinions that move the guard.

use keel_core::digest::Digest;
use keel_core::event::{Event, FeeSource, Outcome, RejectClass, Reply, RequestKind};
use keel_core::gate::{Gate, InstrumentView, Intent, Purpose, Refusal, TimeInForce, View};
use keel_core::guard::{GuardState, Opinion, Reason, Reasons};
use keel_core::instrument::InstrumentId;
use keel_core::planted::Defect;
use keel_core::units::MonoNanos;

use crate::throttle::{FillWindow, Throttle};
use crate::{collar, health, limits, loss};

/// What the gate remembers of one instrument.
#[derive(Clone, Copy, Debug, Default)]
pub struct InstrumentRisk {
    /// Executions by side.
    fills: [FillWindow; 2],
    /// Until when the rate of executions keeps it paused.
    paused_until: MonoNanos,
}

/// How long too many executions pause an instrument.
const FILL_PAUSE_NS: u64 = 10 * keel_core::units::SECONDS;

/// Every limit between the strategy and the wire.
pub struct RiskGate<'m> {
    instruments: &'m mut [InstrumentRisk],
    throttle: Throttle,
    opinion: Opinion,
    /// When the opinion may change without an event.
    deadline: MonoNanos,
    /// Since when some instrument has had no fee rate; `NEVER` while all have one.
    fee_missing_since: MonoNanos,
    /// When the oldest fee rate was confirmed.
    fee_oldest: MonoNanos,
}

impl<'m> RiskGate<'m> {
    /// A gate over lent memory, one place for each instrument.
    pub fn new(instruments: &'m mut [InstrumentRisk]) -> Self {
        Self {
            instruments,
            throttle: Throttle::NEW,
            opinion: Opinion::FINE,
            deadline: MonoNanos::ZERO,
            fee_missing_since: MonoNanos::NEVER,
            fee_oldest: MonoNanos::ZERO,
        }
    }

    fn count_fill(&mut self, event: &Event, view: &View<'_>, now: MonoNanos) {
        let Event::Fill(fill) = event else { return };
        let Some(risk) = self.instruments.get_mut(fill.instrument.index()) else { return };
        let window = &mut risk.fills[fill.side.index()];
        window.filled(now);
        if window.count(now) > view.params.fills_per_10s_max() {
            risk.paused_until = now.after(FILL_PAUSE_NS);
        }
    }

    /// Looks over all instruments' fee rates; only when one has changed.
    fn take_fees(&mut self, view: &View<'_>, now: MonoNanos) {
        let missing = view.instruments.iter().any(|i| i.fee_source == FeeSource::Unresolved);
        self.fee_missing_since = match (missing, self.fee_missing_since) {
            (false, _) => MonoNanos::NEVER,
            (true, MonoNanos::NEVER) => now,
            (true, since) => since,
        };
        let oldest = view.instruments.iter().map(|i| i.fee_at).min();
        self.fee_oldest = oldest.unwrap_or(MonoNanos::ZERO);
    }

    fn fee_opinion(&self, view: &View<'_>, now: MonoNanos) -> Opinion {
        let mut opinion = Opinion::FINE;
        if view.params.require_fee_resolution() == 0 {
            return opinion;
        }
        if view.account.fees_doubtful {
            opinion.soft = opinion.soft.with(Reason::FeeUnresolved);
        }
        if self.fee_missing_since != MonoNanos::NEVER {
            opinion.soft = opinion.soft.with(Reason::FeeUnresolved);
            if now.since(self.fee_missing_since) > view.params.fee_unresolved_hard_s() {
                opinion.hard = opinion.hard.with(Reason::FeeUnresolved);
            }
        } else if now.since(self.fee_oldest) > view.params.fee_age_hard_s() {
            opinion.hard = opinion.hard.with(Reason::FeeUnresolved);
        }
        opinion
    }

    /// Positions beyond their limit in money, by whatever made them.
    fn position_opinion(view: &View<'_>, changed: &Event) -> Opinion {
        let id = match changed {
            Event::Ticker(ticker) => ticker.instrument,
            Event::Fill(fill) => fill.instrument,
            _ => return Opinion::FINE,
        };
        let Some(instrument) = view.instruments.get(id.index()) else { return Opinion::FINE };
        let Some(rules) = instrument.rules else { return Opinion::FINE };
        let value = rules.value_at(instrument.mark, instrument.position).abs();
        if value > view.params.max_position_quote() {
            return Opinion { hard: Reasons::NONE.with(Reason::PositionNotional), ..Opinion::FINE };
        }
        Opinion::FINE
    }

    fn deadline_after(&self, view: &View<'_>, now: MonoNanos) -> MonoNanos {
        let params = view.params;
        let fees = if self.fee_missing_since == MonoNanos::NEVER {
            self.fee_oldest.after(params.fee_age_hard_s() + 1)
        } else {
            self.fee_missing_since.after(params.fee_unresolved_hard_s() + 1)
        };
        let first = health::deadline(view, now);
        if fees > now { first.min(fees) } else { first }
    }
}

impl Gate for RiskGate<'_> {
    fn observe(&mut self, event: &Event, view: &View<'_>, now: MonoNanos) -> Opinion {
        match event {
            // Market data changes no account figure: the opinion holds until its deadline.
            Event::BookPage(_) | Event::Trade(_) if now < self.deadline => return self.opinion,
            Event::Fill(_) => self.count_fill(event, view, now),
            Event::Reply(reply) if is_refused_for_rate(reply) => self.throttle.refused(now),
            // The boot too: fees are missing from then on, not old since time zero.
            Event::Boot(_) | Event::FeeRate(_) | Event::Rules(_) => self.take_fees(view, now),
            _ => {}
        }
        let mut opinion = health::opinion(view, now).union(self.fee_opinion(view, now));
        if view.account.ready {
            opinion = opinion.union(loss::opinion(view));
        }
        self.opinion = opinion;
        self.deadline = self.deadline_after(view, now);
        opinion.union(Self::position_opinion(view, event))
    }

    fn settled(&mut self) {
        self.deadline = MonoNanos::ZERO;
    }

    fn check(&mut self, intent: &Intent, view: &View<'_>, now: MonoNanos) -> Result<(), Refusal> {
        let instrument = view.instruments.get(intent.instrument.index()).ok_or(Refusal::Rules)?;
        let rules = instrument.rules.ok_or(Refusal::Rules)?;
        let params = view.params;
        armed(intent, view)?;
        refuse_unless(health::rules_fresh(instrument, view, now), Refusal::Rules)?;
        limits::quantum(intent, &rules)?;
        refuse_unless(
            collar::holds(intent, instrument, &rules, params.collar_bps()),
            Refusal::Collar,
        )?;
        limits::order_lots(intent, &rules)?;
        limits::order_notional(intent, &rules, params.max_order_notional_quote())?;
        if !params.commits(Defect::WorstCaseNotChecked) {
            limits::worst_case(intent, instrument, &rules, params.position_quote_room())?;
        }
        limits::gross(intent, &rules, view)?;
        if !params.commits(Defect::BusyNotCounted) {
            limits::order_count(instrument, &rules, params.max_active_executors())?;
        }
        let paced =
            self.throttle.allows_create(params, now) || params.commits(Defect::CreatesNotPaced);
        let may_create = paced && limits::day(intent, view);
        refuse_unless(may_create, Refusal::MessageRate)?;
        limits::duplicate(intent, instrument)?;
        refuse_unless(fresh(intent, instrument, view, now), Refusal::Stale)?;
        refuse_unless(self.affordable(intent, view, now), Refusal::Loss)
    }

    fn instrument(&self, id: InstrumentId, view: &View<'_>, now: MonoNanos) -> Reasons {
        let (Some(instrument), Some(risk)) =
            (view.instruments.get(id.index()), self.instruments.get(id.index()))
        else {
            return Reasons::NONE.with(Reason::Rules);
        };
        let reasons = health::instrument(instrument, view, now);
        if risk.paused_until > now { reasons.with(Reason::FillRate) } else { reasons }
    }

    fn approved(&mut self, view: &View<'_>, now: MonoNanos) {
        self.throttle.created(view.params, now);
    }

    fn canceled(&mut self, view: &View<'_>, now: MonoNanos) {
        self.throttle.canceled(view.params, now);
    }

    fn deadline(&self) -> MonoNanos {
        self.deadline
    }

    fn fold(&self, digest: &mut Digest) {
        self.throttle.fold(digest);
        for reasons in [self.opinion.soft, self.opinion.hard] {
            digest.fold(reasons.0);
        }
        for time in [self.deadline, self.fee_missing_since, self.fee_oldest] {
            digest.fold(time.0);
        }
        for risk in self.instruments.iter() {
            risk.fills.iter().for_each(|window| window.fold(digest));
            digest.fold(risk.paused_until.0);
        }
    }
}

impl RiskGate<'_> {
    /// G12: money and the rate of executions; an order that only reduces is not held back by them.
    fn affordable(&self, intent: &Intent, view: &View<'_>, now: MonoNanos) -> bool {
        if intent.reduce_only {
            return true;
        }
        let calm = self.instruments[intent.instrument.index()].paused_until <= now;
        calm && loss::opinion(view).state() == GuardState::Running
    }
}

/// True when the venue takes no more creates for now.
fn is_refused_for_rate(reply: &Reply) -> bool {
    reply.request == RequestKind::Place
        && reply.outcome == Outcome::Rejected
        && reply.class == RejectClass::Rate
}

/// G1: the guard lets this purpose through.
fn armed(intent: &Intent, view: &View<'_>) -> Result<(), Refusal> {
    let allowed = match view.account.state {
        GuardState::Running => view.account.ready,
        GuardState::SoftPause => {
            view.account.ready && intent.purpose == Purpose::Derisk && intent.reduce_only
        }
        GuardState::HardStop => intent.purpose == Purpose::Flatten && intent.reduce_only,
    };
    refuse_unless(allowed, Refusal::NotArmed)?;
    // A quote is post-only; only closing a position may take.
    let takes = intent.time_in_force != TimeInForce::PostOnly;
    refuse_unless(!takes || intent.reduce_only, Refusal::NotArmed)
}

/// G11: book, mark, private stream and clock are fresh, and so is the intent.
fn fresh(intent: &Intent, instrument: &InstrumentView, view: &View<'_>, now: MonoNanos) -> bool {
    now.since(intent.made) <= view.params.intent_ttl_ms()
        && health::book_fresh(instrument, view, now)
        && health::ticker_fresh(instrument, view, now)
        && health::private_fresh(view, now)
        && view.account.utc_at != MonoNanos::ZERO
}

fn refuse_unless(allowed: bool, refusal: Refusal) -> Result<(), Refusal> {
    if allowed { Ok(()) } else { Err(refusal) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Desk, MID};
    use keel_core::event::{ClientId, Fill, Source, Timer};
    use keel_core::gate::submit;
    use keel_core::instrument::InstrumentStatus;
    use keel_core::param::at;
    use keel_core::units::{E8, Lots, Price, Quote, Rate, SECONDS, Side, Ticks, UnixNanos};

    const NOW: MonoNanos = Desk::NOW;

    fn check(desk: &Desk, intent: Intent) -> Result<(), Refusal> {
        let mut memory = [InstrumentRisk::default(); 1];
        RiskGate::new(&mut memory).check(&intent, &desk.view(), NOW)
    }

    fn fill() -> Event {
        Event::Fill(Fill {
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number: 1 },
            order_id: 1,
            trade_id: 1,
            side: Side::Buy,
            maker: true,
            price: Ticks(MID),
            lots: Lots(1),
            fee: Quote::ZERO,
            fee_known: true,
            source: Source::Push,
            ts: UnixNanos(0),
        })
    }

    fn trade() -> Event {
        Event::Trade(keel_core::event::Trade {
            instrument: InstrumentId(0),
            taker: Side::Buy,
            price: Ticks(MID),
            lots: Lots(1),
            trade_id: 1,
            ts: UnixNanos(0),
        })
    }

    #[test]
    fn a_fine_quote_passes_all_twelve() {
        assert_eq!(check(&Desk::fine(), Desk::intent()), Ok(()));
    }

    #[test]
    fn g1_nothing_but_what_reduces_passes_a_pause_and_only_the_flatten_a_stop() {
        let reduce = |purpose| Intent {
            purpose,
            reduce_only: true,
            side: Side::Sell,
            price: Ticks(MID + 1),
            ..Desk::intent()
        };
        for (state, purpose, passes) in [
            (GuardState::SoftPause, Purpose::Quote, false),
            (GuardState::SoftPause, Purpose::Derisk, true),
            (GuardState::HardStop, Purpose::Derisk, false),
            (GuardState::HardStop, Purpose::Flatten, true),
        ] {
            let mut desk = Desk::fine();
            desk.instruments[0].position = Lots(10);
            desk.account.state = state;
            assert_eq!(check(&desk, reduce(purpose)).is_ok(), passes, "{state} {purpose}");
        }
        let mut desk = Desk::fine();
        desk.account.ready = false;
        assert_eq!(check(&desk, Desk::intent()), Err(Refusal::NotArmed));
        let taking = Intent { time_in_force: TimeInForce::Gtc, ..Desk::intent() };
        assert_eq!(check(&Desk::fine(), taking), Err(Refusal::NotArmed));
    }

    #[test]
    fn g2_old_rules_and_a_closed_instrument_refuse() {
        let mut desk = Desk::fine();
        desk.instruments[0].rules_at = MonoNanos(NOW.0 - 300 * SECONDS - 1);
        assert_eq!(check(&desk, Desk::intent()), Err(Refusal::Rules));
        for status in [InstrumentStatus::LimitOpen, InstrumentStatus::RestrictedApi] {
            let mut desk = Desk::fine();
            desk.instruments[0].rules.as_mut().expect("rules").status = status;
            assert_eq!(check(&desk, Desk::intent()), Err(Refusal::Rules), "{status}");
        }
        for (price, lots) in [(0, 5), (-1, 5), (MID, 0), (MID, -1)] {
            let intent = Intent { price: Ticks(price), lots: Lots(lots), ..Desk::intent() };
            assert_eq!(check(&Desk::fine(), intent), Err(Refusal::Quantum), "{price} {lots}");
        }
    }

    #[test]
    fn g3_a_price_one_tick_beyond_the_collar_is_refused() {
        let reach = MID * 250 / 10_000;
        for (beyond, expected) in [(-1, Ok(())), (0, Ok(())), (1, Err(Refusal::Collar))] {
            let intent = Intent { price: Ticks(MID - reach - beyond), ..Desk::intent() };
            assert_eq!(check(&Desk::fine(), intent), expected, "L{beyond:+}");
        }
    }

    #[test]
    fn g4_the_size_of_an_order_is_held_to_the_lot() {
        let mut desk = Desk::fine();
        let rules = desk.instruments[0].rules.as_mut().expect("rules");
        (rules.min_lots, rules.max_lots) = (Lots(10), Lots(20));
        for (lots, passes) in [(9, false), (10, true), (20, true), (21, false)] {
            let result = check(&desk, Intent { lots: Lots(lots), ..Desk::intent() });
            let refused = result == Err(Refusal::OrderLots);
            assert_eq!(refused, !passes, "{lots}");
        }
    }

    #[test]
    fn g5_the_value_of_an_order_is_held_to_the_lot() {
        let mut desk = Desk::fine();
        let rules = desk.instruments[0].rules.expect("rules");
        let value = rules.notional(Desk::intent().price, Desk::intent().lots);
        for (beyond, passes) in [(-1, false), (0, true), (1, true)] {
            assert!(desk.params.set(at::max_order_notional_quote, value.0 + beyond));
            assert_eq!(check(&desk, Desk::intent()).is_ok(), passes, "L{beyond:+}");
        }
        desk = Desk::fine();
        desk.instruments[0].rules.as_mut().expect("rules").min_notional = Quote(value.0 + 1);
        assert_eq!(check(&desk, Desk::intent()), Err(Refusal::OrderNotional));
    }

    #[test]
    fn g6_the_worst_case_counts_position_open_unknown_and_this_order() {
        let mut desk = Desk::fine();
        let rules = desk.instruments[0].rules.expect("rules");
        let lot = rules.value_at(desk.instruments[0].mark, Lots(1)).0;
        let intent = Intent { lots: Lots(100), price: Ticks(MID - 10), ..Desk::intent() };
        assert!(desk.params.set(at::max_order_notional_quote, 10_000 * E8));
        // Orders may use 98 % of it.
        assert!(desk.params.set(at::max_position_quote, lot * 250 * 50 / 49 + 1));
        for (position, passes) in [(49, true), (50, true), (51, false)] {
            desk.instruments[0].position = Lots(position);
            desk.instruments[0].open_lots = [Lots(100), Lots(0)];
            assert_eq!(check(&desk, intent).is_ok(), passes, "{position}");
        }
        let reduce =
            Intent { reduce_only: true, side: Side::Sell, price: Ticks(MID + 1), ..intent };
        for (position, passes) in [(99, false), (100, true), (101, true)] {
            desk.instruments[0].position = Lots(position);
            let result = check(&desk, reduce);
            assert_eq!(result.is_ok(), passes, "reduce {position} {result:?}");
        }
    }

    #[test]
    fn g7_gross_value_leverage_and_margin_are_held_to_the_unit() {
        let desk = Desk::fine();
        let rules = desk.instruments[0].rules.expect("rules");
        let value = rules.notional(Desk::intent().price, Desk::intent().lots);
        for (beyond, passes) in [(-1, true), (0, true), (1, false)] {
            let mut desk = Desk::fine();
            desk.account.open_notional = Quote(Quote::usdt(1_000).0 - value.0 + beyond);
            assert_eq!(check(&desk, Desk::intent()).is_ok(), passes, "total L{beyond:+}");
            let mut desk = Desk::fine();
            desk.account.margin_ratio = Some(Rate(10_000_000 + beyond));
            assert_eq!(check(&desk, Desk::intent()).is_ok(), passes, "margin L{beyond:+}");
        }
        let mut desk = Desk::fine();
        desk.account.equity = None;
        assert_eq!(check(&desk, Desk::intent()), Err(Refusal::Gross));
        // Ten times the equity, what is held and what is open together.
        for (beyond, passes) in [(-1, true), (0, true), (1, false)] {
            let mut desk = Desk::fine();
            assert!(desk.params.set(at::max_leverage, 10));
            desk.account.position_value = Quote(Quote::usdt(100_000).0 - value.0 + beyond);
            let result = limits::gross(&Desk::intent(), &rules, &desk.view());
            assert_eq!(result.is_ok(), passes, "leverage L{beyond:+}");
        }
    }

    #[test]
    fn g6_the_worst_case_is_valued_by_the_lot() {
        let mut desk = Desk::fine();
        let mut rules = desk.instruments[0].rules.expect("rules");
        let intent = Intent { price: Ticks(MID), ..Desk::intent() };
        let worst = |desk: &Desk, rules: &keel_core::instrument::Instrument, max: i64| {
            limits::worst_case(&intent, &desk.instruments[0], rules, Quote(max)).is_ok()
        };
        rules.lot.step = 3;
        desk.instruments[0].rules = Some(rules);
        let value = rules.value_at(desk.instruments[0].mark, intent.lots).0;
        assert!(worst(&desk, &rules, value) && !worst(&desk, &rules, value - 1));
    }

    #[test]
    fn g8_the_cap_holds_at_cap_and_cap_plus_one() {
        for (open, passes) in [(8, true), (9, true), (10, false), (11, false)] {
            let mut desk = Desk::fine();
            desk.instruments[0].open_orders = [open - 4, 4];
            assert_eq!(check(&desk, Desk::intent()).is_ok(), passes, "{open}");
        }
    }

    #[test]
    fn g9_no_more_creates_than_the_budget_in_a_second() {
        let desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        let mut sent = 0;
        for number in 1..=100 {
            let client = ClientId { epoch: 1, number };
            sent +=
                usize::from(submit(&mut gate, Desk::intent(), client, &desk.view(), NOW).is_ok());
        }
        assert_eq!(sent, 4, "4.5 creates a second are 4 whole ones at once");
        let refused = gate.check(&Desk::intent(), &desk.view(), NOW);
        assert_eq!(refused, Err(Refusal::MessageRate));
    }

    #[test]
    fn g9_the_last_create_of_a_days_nine_tenths_passes_and_the_next_only_if_it_reduces() {
        for (sent, passes) in [(44_998, true), (44_999, true), (45_000, false), (50_001, false)] {
            let mut desk = Desk::fine();
            desk.account.creates_today = sent;
            let expected = if passes { Ok(()) } else { Err(Refusal::MessageRate) };
            assert_eq!(check(&desk, Desk::intent()), expected, "after {sent}");
            desk.instruments[0].position = Lots(1_000);
            let reduce = Intent {
                reduce_only: true,
                side: Side::Sell,
                price: Ticks(MID + 1),
                ..Desk::intent()
            };
            assert_eq!(check(&desk, reduce), Ok(()), "what reduces, after {sent}");
        }
    }

    #[test]
    fn g10_a_taken_level_and_an_own_order_across_are_refused() {
        let mut desk = Desk::fine();
        desk.instruments[0].levels[0] = 1;
        assert_eq!(check(&desk, Desk::intent()), Err(Refusal::Duplicate));
        let next = Intent { level: 1, ..Desk::intent() };
        assert_eq!(check(&desk, next), Ok(()));
        desk.instruments[0].levels[0] = 0b10;
        assert_eq!(check(&desk, next), Err(Refusal::Duplicate));
        assert_eq!(check(&desk, Desk::intent()), Ok(()));
        for (own_ask, passes) in [(-1, false), (0, false), (1, true)] {
            let mut desk = Desk::fine();
            desk.instruments[0].best_own[1] = Some(Ticks(Desk::intent().price.0 + own_ask));
            assert_eq!(check(&desk, Desk::intent()).is_ok(), passes, "own ask {own_ask:+}");
        }
    }

    #[test]
    fn g11_an_intent_older_than_its_life_and_any_stale_source_refuse() {
        for (age, passes) in [(0, true), (50_000_000, true), (50_000_001, false)] {
            let intent = Intent { made: MonoNanos(NOW.0 - age), ..Desk::intent() };
            assert_eq!(check(&Desk::fine(), intent).is_ok(), passes, "{age}");
        }
        let stale: [fn(&mut Desk); 4] = [
            |desk| desk.instruments[0].book_at = MonoNanos(1),
            |desk| desk.instruments[0].ticker_at = MonoNanos(1),
            |desk| desk.account.private_live = false,
            |desk| desk.account.utc_at = MonoNanos::ZERO,
        ];
        for (n, make_stale) in stale.iter().enumerate() {
            let mut desk = Desk::fine();
            make_stale(&mut desk);
            assert_eq!(check(&desk, Desk::intent()), Err(Refusal::Stale), "case {n}");
        }
    }

    #[test]
    fn g12_a_loss_beyond_its_limit_refuses_even_before_the_guard_has_moved() {
        let mut desk = Desk::fine();
        desk.account.equity = Some(Quote(Quote::usdt(9_700).0));
        assert_eq!(check(&desk, Desk::intent()), Ok(()));
        desk.account.equity = Some(Quote(Quote::usdt(9_700).0 - 1));
        assert_eq!(check(&desk, Desk::intent()), Err(Refusal::Loss));
    }

    #[test]
    fn executions_in_a_burst_pause_their_instrument() {
        let desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        for n in 1..=21 {
            assert_eq!(gate.instrument(InstrumentId(0), &desk.view(), NOW), Reasons::NONE, "{n}");
            gate.observe(&fill(), &desk.view(), NOW);
        }
        assert!(gate.instrument(InstrumentId(0), &desk.view(), NOW).contains(Reason::FillRate));
        let later = NOW.after(10 * SECONDS);
        let last = MonoNanos(later.0 - 1);
        assert!(gate.instrument(InstrumentId(0), &desk.view(), last).contains(Reason::FillRate));
        assert!(!gate.instrument(InstrumentId(0), &desk.view(), later).contains(Reason::FillRate));
    }

    #[test]
    fn fees_missing_pause_at_once_and_stop_after_three_minutes() {
        let mut desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        desk.instruments[0].fee_source = FeeSource::Unresolved;
        let timer = Event::Timer(Timer { deadline: NOW });
        let told = Event::FeeRate(keel_core::event::FeeRate {
            instrument: InstrumentId::ALL,
            maker: Rate::ZERO,
            taker: Rate::ZERO,
            source: FeeSource::Unresolved,
        });
        let at_once = gate.observe(&told, &desk.view(), NOW);
        assert!(at_once.soft.contains(Reason::FeeUnresolved));
        let limit = NOW.after(180 * SECONDS);
        desk.account.private_at = limit;
        assert!(!gate.observe(&timer, &desk.view(), limit).hard.contains(Reason::FeeUnresolved));
        let beyond = limit.after(1);
        assert!(gate.observe(&timer, &desk.view(), beyond).hard.contains(Reason::FeeUnresolved));
    }

    #[test]
    fn a_boot_late_in_the_life_of_the_clock_waits_for_fees_and_does_not_stop() {
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        let mut desk = Desk::fine();
        (desk.account.ready, desk.instruments[0]) = (false, InstrumentView::EMPTY);
        let boot = Event::Boot(keel_core::event::Boot {
            config_hash: [0; 32],
            epoch: 1,
            instruments: 1,
            seed: 0,
            mode: keel_core::event::Mode::Sim,
            dirty: false,
            planted: keel_core::planted::Planted::NONE,
        });
        let opinion = gate.observe(&boot, &desk.view(), NOW);
        assert!(opinion.soft.contains(Reason::FeeUnresolved));
        assert!(opinion.hard.is_empty(), "{:?}", opinion.hard);
        let timer = Event::Timer(Timer { deadline: NOW });
        let limit = NOW.after(180 * SECONDS);
        assert!(gate.observe(&timer, &desk.view(), limit).hard.is_empty());
        assert!(!gate.observe(&timer, &desk.view(), limit.after(1)).hard.is_empty());
    }

    #[test]
    fn fee_rates_not_confirmed_for_fifteen_minutes_stop() {
        let mut desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        desk.instruments[0].fee_at = NOW;
        let told = Event::FeeRate(keel_core::event::FeeRate {
            instrument: InstrumentId(0),
            maker: Rate::ZERO,
            taker: Rate::ZERO,
            source: FeeSource::Venue,
        });
        gate.observe(&told, &desk.view(), NOW);
        let timer = Event::Timer(Timer { deadline: NOW });
        let limit = NOW.after(900 * SECONDS);
        assert!(!gate.observe(&timer, &desk.view(), limit).hard.contains(Reason::FeeUnresolved));
        assert!(
            gate.observe(&timer, &desk.view(), limit.after(1)).hard.contains(Reason::FeeUnresolved)
        );
    }

    #[test]
    fn a_position_beyond_its_limit_by_the_mark_stops() {
        let mut desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let rules = desk.instruments[0].rules.expect("rules");
        desk.instruments[0].position = Lots(-100);
        let value = rules.value_at(desk.instruments[0].mark, Lots(100));
        let ticker = Event::Ticker(keel_core::event::Ticker {
            instrument: InstrumentId(0),
            last: Price(1),
            mark: desk.instruments[0].mark,
            index: Price(1),
            funding_rate: Rate::ZERO,
            funding_at: UnixNanos(0),
            ts: UnixNanos(0),
        });
        for (below, stops) in [(-1, false), (0, false), (1, true)] {
            assert!(desk.params.set(at::max_position_quote, value.0 - below));
            let opinion = RiskGate::new(&mut memory).observe(&ticker, &desk.view(), NOW);
            assert_eq!(opinion.hard.contains(Reason::PositionNotional), stops, "L{below:+}");
            let opinion = RiskGate::new(&mut memory).observe(&fill(), &desk.view(), NOW);
            assert_eq!(opinion.hard.contains(Reason::PositionNotional), stops, "L{below:+}");
        }
    }

    fn reply(request: RequestKind, outcome: Outcome, class: RejectClass) -> Event {
        Event::Reply(Reply {
            request,
            outcome,
            class,
            instrument: InstrumentId(0),
            client: ClientId { epoch: 1, number: 1 },
            order_id: 1,
            code: 0,
            message: keel_core::words::Words::NONE,
        })
    }

    #[test]
    fn only_a_create_that_is_refused_for_rate_holds_creates_back() {
        use Outcome::{Received, Rejected};
        use RequestKind::{Cancel, Place};
        for (request, outcome, class, holds) in [
            (Place, Rejected, RejectClass::Rate, true),
            (Cancel, Rejected, RejectClass::Rate, false),
            (Place, Received, RejectClass::Rate, false),
            (Place, Rejected, RejectClass::Rules, false),
        ] {
            let desk = Desk::fine();
            let mut memory = [InstrumentRisk::default(); 1];
            let mut gate = RiskGate::new(&mut memory);
            gate.observe(&reply(request, outcome, class), &desk.view(), NOW);
            let expected = if holds { Err(Refusal::MessageRate) } else { Ok(()) };
            let found = gate.check(&Desk::intent(), &desk.view(), NOW);
            assert_eq!(found, expected, "{request:?} {outcome:?} {class:?}");
        }
    }

    #[test]
    fn cancels_are_counted_against_creates() {
        let desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        (0..100).for_each(|_| gate.canceled(&desk.view(), NOW));
        let refused = gate.check(&Desk::intent(), &desk.view(), NOW);
        assert_eq!(refused, Err(Refusal::MessageRate));
    }

    #[test]
    fn the_end_of_a_fee_rates_time_is_a_deadline() {
        for missing in [false, true] {
            let mut desk = Desk::fine();
            let mut memory = [InstrumentRisk::default(); 1];
            let mut gate = RiskGate::new(&mut memory);
            // Two seconds are left, less than of anything else.
            let since = MonoNanos(NOW.0 - if missing { 178 } else { 898 } * SECONDS);
            desk.instruments[0].fee_at = since;
            if missing {
                desk.instruments[0].fee_source = FeeSource::Unresolved;
            }
            gate.take_fees(&desk.view(), since);
            let timer = Event::Timer(Timer { deadline: NOW });
            gate.observe(&timer, &desk.view(), NOW);
            let end = NOW.after(2 * SECONDS + 1);
            assert_eq!(gate.deadline(), end, "missing: {missing}");
            // What is over is waited for no more.
            gate.observe(&timer, &desk.view(), end);
            assert!(gate.deadline() > end, "missing: {missing}");
        }
    }

    #[test]
    fn market_data_is_judged_anew_at_the_deadline() {
        let desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        gate.observe(&Event::Timer(Timer { deadline: NOW }), &desk.view(), NOW);
        let deadline = gate.deadline();
        let at = |gate: &mut RiskGate<'_>, now| {
            gate.observe(&trade(), &desk.view(), now).soft.contains(Reason::PrivateLost)
        };
        assert!(!at(&mut gate, MonoNanos(deadline.0 - 1)) && at(&mut gate, deadline));
    }

    #[test]
    fn whatever_a_later_decision_depends_on_is_in_the_digest() {
        let desk = Desk::fine();
        let of = |change: &dyn Fn(&mut RiskGate<'_>)| {
            let mut memory = [InstrumentRisk::default(); 1];
            let mut gate = RiskGate::new(&mut memory);
            change(&mut gate);
            let mut digest = Digest::new();
            gate.fold(&mut digest);
            digest.value()
        };
        let later = NOW.after(6 * SECONDS);
        let all = [
            of(&|_| ()),
            of(&|gate| gate.throttle.created(&desk.params, NOW)),
            of(&|gate| gate.throttle.created(&desk.params, later)),
            of(&|gate| gate.throttle.canceled(&desk.params, NOW)),
            of(&|gate| gate.throttle.refused(NOW)),
            of(&|gate| gate.instruments[0].fills[0].filled(NOW)),
            of(&|gate| gate.instruments[0].fills[1].filled(NOW)),
            of(&|gate| (0..2).for_each(|_| gate.instruments[0].fills[0].filled(NOW))),
            of(&|gate| [NOW, later].iter().for_each(|at| gate.instruments[0].fills[0].filled(*at))),
            of(&|gate| gate.instruments[0].fills[0].filled(later)),
            of(&|gate| gate.instruments[0].paused_until = NOW),
            of(&|gate| gate.opinion.hard = Reasons::NONE.with(Reason::Clock)),
            of(&|gate| gate.deadline = NOW),
            of(&|gate| gate.fee_oldest = NOW),
        ];
        let different: std::collections::BTreeSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }

    #[test]
    fn market_data_is_judged_anew_only_after_the_account_has_settled() {
        let mut desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        gate.observe(&Event::Timer(Timer { deadline: NOW }), &desk.view(), NOW);
        desk.account.cancel_episodes = 3;
        let before = gate.observe(&trade(), &desk.view(), NOW);
        assert!(!before.hard.contains(Reason::CancelBudget));
        gate.settled();
        let opinion = gate.observe(&trade(), &desk.view(), NOW);
        assert!(opinion.hard.contains(Reason::CancelBudget));
    }

    #[test]
    fn silence_alone_is_noticed_at_the_stated_deadline() {
        let desk = Desk::fine();
        let mut memory = [InstrumentRisk::default(); 1];
        let mut gate = RiskGate::new(&mut memory);
        let timer = Event::Timer(Timer { deadline: NOW });
        assert!(gate.observe(&timer, &desk.view(), NOW).soft.is_empty());
        let deadline = gate.deadline();
        assert!(deadline > NOW && deadline <= NOW.after(12 * SECONDS + 1));
        assert!(gate.observe(&timer, &desk.view(), deadline).soft.contains(Reason::PrivateLost));
        // What has been noticed is not waited for: a second of it was a thousand turns.
        assert!(gate.deadline() > deadline.after(SECONDS));
    }
}
