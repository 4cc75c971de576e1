//! Small tests for defects of pure functions, which cost money by and by and break no invariant of
//! a life.

use keel_core::book::Touch;
use keel_core::event::{ClientId, FeeSource};
use keel_core::gate::{AccountView, InstrumentView, Intent, Purpose, TimeInForce, View, submit};
use keel_core::guard::GuardState;
use keel_core::instrument::{InstrumentId, btcusdt};
use keel_core::markout::Markout;
use keel_core::model::RegimeModel;
use keel_core::param::{Params, Profile, at};
use keel_core::planted::{Defect, Planted};
use keel_core::quote::{Desired, QuoteInputs, desired};
use keel_core::regime::Regime;
use keel_core::units::{E8, Lots, MILLIS, MonoNanos, Quote, Rate, SECONDS, Side, Ticks, UnixNanos};
use keel_io::world::Chance;
use keel_risk::gate::{InstrumentRisk, RiskGate};

use super::Quarry;

/// What the small test of a defect sees, and of the product as it is every small test; `None` when
/// it sees nothing or there is none.
pub(super) fn finds(quarry: Quarry) -> Option<String> {
    let planted = quarry.planted();
    match quarry {
        Quarry::Nothing => quotes_keep_off(planted).or_else(|| runaway(planted)),
        Quarry::Planted(Defect::RoundedTowardMid | Defect::TouchIsLocked) => {
            quotes_keep_off(planted)
        }
        Quarry::Planted(Defect::WorstCaseNotChecked | Defect::CreatesNotPaced) => runaway(planted),
        Quarry::Planted(_) | Quarry::Disk(_) => None,
    }
}

/// Over drawn markets: no quote meets the other side's touch, and the two nearest are apart by the
/// spread that was decided on.
fn quotes_keep_off(planted: Planted) -> Option<String> {
    let mut chance = Chance::new(1, 1);
    (0..DRAWN).find_map(|_| {
        let mut params = Params::defaults(chance.pick(&[Profile::Touch, Profile::Wide]));
        params.plant(planted);
        let bid = Ticks(chance.between(10_000, 2_000_000) as i64);
        let touch = Touch {
            bid,
            ask: bid + Ticks(chance.between(1, 4) as i64),
            bid_lots: Lots(10),
            ask_lots: Lots(10),
        };
        let rules = btcusdt();
        let inputs = QuoteInputs {
            rules: &rules,
            touch,
            imbalance: Rate(chance.between(0, 2 * E8 as u64) as i64 - E8),
            regime: chance.pick(&[Regime::NeutralLowVol, Regime::Up, Regime::Down]),
            band: Rate::bps(chance.between(0, 20) as i64),
            drift: Rate::ZERO,
            equity: Quote::usdt(10_000),
            position: Lots(chance.between(0, 40) as i64 - 20),
            turnover: Quote::ZERO,
            maker: Rate(-5_000),
            funding: Rate::ZERO,
            room: Quote::usdt(10_000),
            reduce_only: false,
        };
        let now = MonoNanos(1_000 * SECONDS);
        let quotes = desired(&params, &inputs, &RegimeModel, &mut Markout::new(), now);
        meets(&touch, &quotes).or_else(|| too_near(&touch, &quotes))
    })
}

fn meets(touch: &Touch, quotes: &Desired) -> Option<String> {
    let bid = quotes.sides[Side::Buy.index()].levels().first();
    let ask = quotes.sides[Side::Sell.index()].levels().first();
    let bid = bid.filter(|level| level.price >= touch.ask).map(|level| level.price.0);
    let ask = ask.filter(|level| level.price <= touch.bid).map(|level| level.price.0);
    bid.or(ask).map(|price| format!("a quote at {price} beside {touch:?}"))
}

fn too_near(touch: &Touch, quotes: &Desired) -> Option<String> {
    let [buy, sell] = &quotes.sides;
    let (bid, ask) = (buy.levels().first()?.price, sell.levels().first()?.price);
    // Half a spread a side; what is cut off of each is less than a unit of 1e-8.
    let wanted = (buy.spread.0 / 2 + sell.spread.0 / 2 - 2) * touch.mid_x2();
    let apart = (ask - bid).0 * 2 * E8;
    (apart < wanted).then(|| format!("{bid:?} and {ask:?} beside {touch:?}: nearer than decided"))
}

/// A strategy that has lost its mind asks for an order each millisecond, on either side, and each
/// that the gate lets through is executed at once: neither position nor pace leaves its limit.
fn runaway(planted: Planted) -> Option<String> {
    let mut params = Params::defaults(Profile::Touch);
    params.plant(planted);
    params.set(at::max_position_quote, LIMIT.0);
    let mut memory = [InstrumentRisk::default(); 1];
    let mut gate = RiskGate::new(&mut memory);
    let mut chance = Chance::new(2, 2);
    let mut position = Lots::ZERO;
    let mut sent: Vec<MonoNanos> = Vec::new();
    for number in 1..=DRAWN {
        let now = MonoNanos(1_000 * SECONDS + u64::from(number) * MILLIS);
        let side = chance.pick(&[Side::Buy, Side::Sell]);
        let intent = Intent {
            instrument: InstrumentId(0),
            side,
            price: Ticks(MID - 10 * side.sign()),
            lots: Lots(10),
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            level: 0,
            purpose: Purpose::Quote,
            made: now,
        };
        let (account, instruments) = (well(now), [fresh(position, now)]);
        let view = View { params: &params, account: &account, instruments: &instruments };
        let client = ClientId { epoch: 1, number: u64::from(number) };
        if submit(&mut gate, intent, client, &view, now).is_err() {
            continue;
        }
        position += Lots(intent.lots.0 * side.sign());
        sent.push(now);
        let value = btcusdt().value_at(instruments[0].mark, position).abs();
        let second = sent.iter().rev().take_while(|&&at| now.since(at) < SECONDS).count();
        if value > LIMIT || second > CREATES_A_SECOND {
            return Some(format!("{} held, {second} orders in a second", value.0));
        }
    }
    None
}

/// An account on which everything is fine.
fn well(now: MonoNanos) -> AccountView {
    let equity = Some(Quote::usdt(10_000));
    AccountView {
        state: GuardState::Running,
        ready: true,
        private_live: true,
        private_at: now,
        reconciled: true,
        utc: UnixNanos(1_790_000_000 * SECONDS as i64),
        utc_at: now,
        equity,
        day_open: equity,
        high_water: equity,
        week_open: equity,
        margin_ratio: Some(Rate::ZERO),
        leverage: 5,
        settings_fit: Some(true),
        settings_at: now,
        ..AccountView::EMPTY
    }
}

fn fresh(position: Lots, now: MonoNanos) -> InstrumentView {
    let rules = btcusdt();
    InstrumentView {
        rules: Some(rules),
        rules_at: now,
        fee_source: FeeSource::Venue,
        fee_at: now,
        touch: Some((Ticks(MID - 1), Ticks(MID + 1))),
        last_mid_x2: MID * 2,
        book_at: now,
        mark: rules.price(Ticks(MID)),
        ticker_at: now,
        position,
        ..InstrumentView::EMPTY
    }
}

/// Markets and intents drawn.
const DRAWN: u32 = 10_000;
/// The mid at which the runaway strategy trades, in ticks: 80,000.0.
const MID: i64 = 800_000;
/// The limit of its position: an order is 80 USDT.
const LIMIT: Quote = Quote::usdt(200);
/// What the venue takes.
const CREATES_A_SECOND: usize = 10;
