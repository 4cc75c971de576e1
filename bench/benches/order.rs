//! An order on its own: the gate's twelve checks, the request's text, the login's signature.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use keel_bench::parts::{NOW, account, approved, credentials, instrument, intent};
use keel_bench::{frames, trader};
use keel_core::gate::{Gate, View};
use keel_core::param::{Params, Profile};
use keel_core::units::UnixNanos;
use keel_net::bitget::encode::Encoder;
use keel_risk::{InstrumentRisk, RiskGate};

fn bench(c: &mut Criterion) {
    let (params, account, instruments) =
        (Params::defaults(Profile::Wide), account(NOW), [instrument(NOW)]);
    let view = View { params: &params, account: &account, instruments: &instruments };
    let mut memory = [InstrumentRisk::default(); 1];
    let mut gate = RiskGate::new(&mut memory);
    assert_eq!(gate.check(&intent(NOW), &view, NOW), Ok(()));
    c.bench_function("order/gate, twelve checks passed", |b| {
        b.iter(|| gate.check(&intent(NOW), &view, NOW));
    });

    let mut encoder = Encoder::new(frames::instance(), &trader::directory(1));
    let mut number = 0;
    let mut next = || {
        number += 1;
        approved(number)
    };
    let text = String::from_utf8(encoder.place(next(), UnixNanos(0)).to_vec());
    let text = text.expect("a request is text");
    assert!(text.contains(r#""price":"79999.0""#) && text.contains("place-order"), "{text}");
    c.bench_function("order/request of an order", |b| {
        b.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let order = next();
                let start = Instant::now();
                let len = encoder.place(order, UnixNanos(0)).len();
                total += start.elapsed();
                assert!(len > 200, "a whole request");
            }
            total
        });
    });

    let credentials = credentials();
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
