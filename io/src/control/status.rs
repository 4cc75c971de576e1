//! Status: a snapshot as operators read it (`processed_data`).

use keel_core::event::FeeSource;
use keel_core::glft::Quoting;
use keel_core::guard::{GuardState, Reasons};
use keel_core::instrument::Instrument;
use keel_core::regime::Regime;
use keel_core::status::{Key, Row, Scale};
use serde_json::{Map, Value, json};

use crate::cold::daily::{e8_text, grid_text, trimmed, utc_text};
use crate::connector::connector_status;
use crate::snapshot::{InstrumentSnapshot, Snapshot};

/// Everything that a run tells of itself: the account and the first instrument at the top, every
/// instrument below `instruments`. Numbers are decimal text; what is not known is null.
/// `guardian_age_ms` is the age of the guardian's last turn, where there is a guardian.
pub fn body(snapshot: &Snapshot, guardian_age_ms: Option<u64>) -> Value {
    let mut top = Map::new();
    let mut instruments = Map::new();
    for seen in snapshot.instruments.iter().rev() {
        let row = of_instrument(seen, guardian_age_ms);
        instruments.insert(seen.symbol.to_string(), Value::Object(row.clone()));
        top = row;
    }
    top.insert("ts".into(), utc_text(snapshot.at).into());
    top.insert("instance".into(), snapshot.instance.clone().into());
    top.insert("mode".into(), snapshot.mode.to_string().into());
    top.insert("uptime_s".into(), (snapshot.uptime_ns / 1_000_000_000).into());
    top.insert("run_dir".into(), snapshot.run_dir.display().to_string().into());
    top.insert("fills_in_run".into(), snapshot.fills.into());
    top.insert("notices".into(), json!(snapshot.notices));
    top.insert("instruments".into(), Value::Object(instruments));
    Value::Object(top)
}

fn of_instrument(seen: &InstrumentSnapshot, guardian_age_ms: Option<u64>) -> Map<String, Value> {
    let mut figures = Map::new();
    figures.insert("trading_pair".into(), seen.symbol.as_str().into());
    let (Some(row), Some(rules)) = (&seen.row, &seen.rules) else { return figures };
    for &key in Key::ALL {
        figures.insert(key.name().into(), value(key, row, rules));
    }
    let connector = connector_status(row, guardian_age_ms);
    figures.insert("connector_status".into(), connector);
    let mid = figures.get("mid").cloned().unwrap_or_default();
    figures.insert("reference_price".into(), mid);
    let reasons = |key| words(row.value(key));
    let all = [reasons(Key::hard_reasons), reasons(Key::soft_reasons)];
    let all: Vec<_> = all.into_iter().filter(|words| !words.is_empty()).collect();
    figures.insert("state_reasons".into(), all.join("|").into());
    figures
}

/// One figure as text.
fn value(key: Key, row: &Row, rules: &Instrument) -> Value {
    let raw = row.value(key);
    let price = |half_ticks: i128| {
        let e8 = half_ticks * i128::from(rules.tick_e8()) / 2;
        e8_text(i64::try_from(e8).unwrap_or(i64::MAX))
    };
    match (key.scale(), key) {
        (Scale::E8, Key::margin_ratio) if raw < 0 => Value::Null,
        (Scale::E8, _) => e8_text(raw).into(),
        (Scale::Count, _) => raw.into(),
        (Scale::Lots, _) => trimmed(grid_text(rules.lot, raw)).into(),
        (Scale::Ticks | Scale::HalfTicks, _) if raw == 0 => Value::Null,
        (Scale::Ticks, _) => price(i128::from(raw) * 2).into(),
        (Scale::HalfTicks, _) => price(i128::from(raw)).into(),
        (Scale::Nanos, _) => (raw / 1_000_000).into(),
        (Scale::Utc, _) if raw == 0 => Value::Null,
        (Scale::Utc, _) => utc_text(keel_core::units::UnixNanos(raw)).into(),
        (Scale::Reasons, _) => words(raw).into(),
        (Scale::Variant, Key::state) => word(GuardState::ALL, raw, |state| state.text()),
        (Scale::Variant, Key::regime) => word(Regime::ALL, raw, |regime| regime.text()),
        (Scale::Variant, Key::fee_source) => word(FeeSource::ALL, raw, |source| source.text()),
        (Scale::Variant, Key::model) => word(Quoting::ALL, raw, |quoting| quoting.text()),
        (Scale::Variant, _) => raw.into(),
    }
}

fn word<T: Copy>(all: &[T], raw: i64, text: impl Fn(T) -> &'static str) -> Value {
    usize::try_from(raw)
        .ok()
        .and_then(|place| all.get(place))
        .map_or(Value::Null, |&one| Value::from(text(one)))
}

fn words(bits: i64) -> String {
    let words: Vec<_> = Reasons(bits.cast_unsigned()).iter().map(|reason| reason.text()).collect();
    words.join("|")
}
