//! An order on its own: the gate's twelve checks, the request's text, the login's signature.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use keel_bench::{frames, trader};
use keel_core::event::{ClientId, FeeSource};
use keel_core::gate::{
    AccountView, Gate, InstrumentView, Intent, Purpose, TimeInForce, View, submit,
};
use keel_core::guard::GuardState;
use keel_core::instrument::InstrumentId;
use keel_core::param::{Params, Profile};
use keel_core::units::{Lots, MonoNanos, Quote, Rate, SECONDS, Side, Ticks, UnixNanos};
use keel_net::bitget::encode::Encoder;
use keel_net::bitget::sign::{Credentials, Secret};
use keel_risk::{InstrumentRisk, RiskGate};

const NOW: MonoNanos = MonoNanos(10_000 * SECONDS);

fn account() -> AccountView {
    let equity = Some(Quote::usdt(10_000));
    AccountView {
        state: GuardState::Running,
        ready: true,
        private_live: true,
        private_at: NOW,
        reconciled: true,
        utc: UnixNanos(1_790_000_000 * SECONDS as i64),
        utc_at: NOW,
        equity,
        day_open: equity,
        high_water: equity,
        week_open: equity,
        margin_ratio: Some(Rate::ZERO),
        leverage: 5,
        settings_fit: Some(true),
        ..AccountView::EMPTY
    }
}

fn instrument() -> InstrumentView {
    let rules = frames::rules(InstrumentId(0));
    InstrumentView {
        rules: Some(rules),
        rules_at: NOW,
        fee_source: FeeSource::Venue,
        fee_at: NOW,
        touch: Some((Ticks(800_000), Ticks(800_001))),
        last_mid_x2: 1_600_001,
        book_at: NOW,
        mark: rules.price(Ticks(800_000)),
        ticker_at: NOW,
        ..InstrumentView::EMPTY
    }
}

fn intent() -> Intent {
    Intent {
        instrument: InstrumentId(0),
        side: Side::Buy,
        price: Ticks(799_990),
        lots: Lots(25),
        time_in_force: TimeInForce::PostOnly,
        reduce_only: false,
        level: 0,
        purpose: Purpose::Quote,
        made: NOW,
    }
}

fn bench(c: &mut Criterion) {
    let (params, account, instruments) =
        (Params::defaults(Profile::Wide), account(), [instrument()]);
    let view = View { params: &params, account: &account, instruments: &instruments };
    let mut memory = [InstrumentRisk::default(); 1];
    let mut gate = RiskGate::new(&mut memory);
    assert_eq!(gate.check(&intent(), &view, NOW), Ok(()));
    c.bench_function("order/gate, twelve checks passed", |b| {
        b.iter(|| gate.check(&intent(), &view, NOW));
    });

    let directory = trader::directory(1);
    let mut encoder = Encoder::new(frames::instance(), &directory);
    let mut number = 0;
    // Each second has its creates again.
    let mut now = NOW;
    let mut approved = || {
        number += 1;
        now = now.after(SECONDS);
        let (mut account, mut instruments) = (account, instruments);
        (account.private_at, account.utc_at) = (now, now);
        (instruments[0].book_at, instruments[0].ticker_at) = (now, now);
        (instruments[0].rules_at, instruments[0].fee_at) = (now, now);
        let view = View { params: &params, account: &account, instruments: &instruments };
        let mut memory = [InstrumentRisk::default(); 1];
        let intent = Intent { made: now, ..intent() };
        let client = ClientId { epoch: 1, number };
        submit(&mut RiskGate::new(&mut memory), intent, client, &view, now).expect("a fine quote")
    };
    let text = String::from_utf8(encoder.place(approved(), UnixNanos(0)).to_vec());
    let text = text.expect("a request is text");
    assert!(text.contains(r#""price":"79999.0""#) && text.contains("place-order"), "{text}");
    c.bench_function("order/request of an order", |b| {
        b.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let order = approved();
                let start = Instant::now();
                let len = encoder.place(order, UnixNanos(0)).len();
                total += start.elapsed();
                assert!(len > 200, "a whole request");
            }
            total
        });
    });

    let secret = || Secret::new("0123456789abcdef0123456789abcdef".to_owned());
    let credentials = Credentials::live("bg_0123456789".to_owned(), secret(), secret());
    let mut login = Vec::with_capacity(1_024);
    credentials.login(UnixNanos(1_700_000_000_000_000_000), &mut login);
    let signed = String::from_utf8(login.clone()).expect("a login is text");
    assert!(signed.contains(r#""timestamp":"1700000000""#), "{signed}");
    c.bench_function("order/login, signed", |b| {
        b.iter(|| credentials.login(UnixNanos(1_700_000_000_000_000_000), &mut login));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
