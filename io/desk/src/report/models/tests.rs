//! Lives made by hand, whose figures are worked out by hand.

use keel_core::command::{CommandView, PAGE_VALUES};
use keel_core::instrument::InstrumentId;

use super::*;

fn figures(fills: f64, pnl: f64) -> Figures {
    Figures { fills, pnl, ..Figures::default() }
}

fn comparison(seeds: &[([f64; 2], [f64; 2])]) -> Comparison {
    let seeds = seeds.iter().enumerate().map(|(n, (fills, pnl))| {
        (n as u64, [figures(fills[0], pnl[0]), figures(fills[1], pnl[1])])
    });
    Comparison { profile: "touch", gamma_e8: E8 / 10, hours: 2, seeds: seeds.collect() }
}

fn metric_of(name: &str) -> &'static Metric {
    METRICS.iter().find(|metric| metric.name == name).expect("a metric")
}

#[test]
fn means_are_over_seeds_and_differences_seed_by_seed() {
    // Seeds differ by hundreds, and glft by −20, −40 and −60 an hour in each.
    let found = comparison(&[
        ([200.0, 160.0], [0.0; 2]),
        ([400.0, 320.0], [0.0; 2]),
        ([900.0, 780.0], [0.0; 2]),
    ]);
    let compared = found.of(metric_of("fills"));
    assert_eq!((compared.means[0].0, compared.means[1].0), (250.0, 210.0));
    let (difference, interval) = compared.difference;
    let Interval { low, high } = interval.expect("three seeds");
    // Student's at two degrees: 4.3027 · 20 / √3.
    let reach = 4.3027 * 20.0 / 3f64.sqrt();
    assert_eq!(difference, -40.0);
    assert!((low + 40.0 + reach).abs() < 1e-9 && (high + 40.0 - reach).abs() < 1e-9);
}

#[test]
fn one_seed_has_no_interval_and_says_so() {
    let text = lines(&comparison(&[([10.0, 20.0], [1.0, 2.0])]));
    let fills = text.lines().find(|line| line.starts_with("fills")).expect("a line");
    let columns: Vec<&str> = fills.split_whitespace().collect();
    assert_eq!(columns[columns.len() - 4..], ["5.0000", "10.0000", "5.0000", "-"]);
    assert!(text.contains("No evidence of edge in a real market"));
}

#[test]
fn json_has_every_metric_seed_and_hour() {
    let mut found = comparison(&[([10.0, 20.0], [1.0, 2.0]), ([10.0, 20.0], [1.0, 4.0])]);
    found.seeds[0].1[1].by_hour = vec![Hour { fills: 3, notional: 7.5, pnl: -0.25 }];
    let json = json(&found);
    assert_eq!(json["metrics"].as_array().map(Vec::len), Some(METRICS.len()));
    let profit = &json["metrics"][METRICS.len() - 3];
    assert_eq!((&profit["name"], &profit["difference"]["mean"]), (&"profit".into(), &1.0.into()));
    assert_eq!(json["seeds"][0]["glft"]["hours"][0]["profit_quote"], -0.25);
    assert_eq!(json["seeds"][1]["regime"]["totals"]["profit"], 1.0);
}

/// The pages of a status row.
fn pages(row: &Row) -> impl Iterator<Item = CommandView> + '_ {
    (0..PAGES).map(|page| {
        let values: [i64; PAGE_VALUES] = row.page(page);
        let instrument = InstrumentId(0);
        let page = page as u8;
        CommandView::StatusPage(StatusPage { instrument, page, minute: false, values })
    })
}

#[test]
fn status_rows_give_inventory_spread_models_and_hours() {
    let boot = Boot::WORLD;
    let mut shelf = Shelf::of(&boot).expect("an instrument");
    let mut watch = Watch::new(&boot, &mut shelf);
    let mut row = Row::EMPTY;
    row.set(Key::equity_quote, 7);
    let mut tell = |row: &Row| pages(row).for_each(|page| watch.command(&page).expect("a page"));
    // Nothing counts before start-up is complete.
    tell(&row);
    row.set(Key::ready, 1);
    let hour = 3_600 * SECONDS as i64;
    for (ts, equity, base, spread, model) in [
        (0, 100, 2, 20_000, Quoting::NoFit),
        (hour - 1, 101, -4, 40_000, Quoting::Glft),
        (hour, 103, 0, 0, Quoting::Glft),
        (2 * hour, 102, 6, 60_000, Quoting::OldFit),
    ] {
        row.set(Key::ts, 5 + ts);
        row.set(Key::equity_quote, equity * E8);
        row.set(Key::base_pct, base * E8 / 100);
        row.set(Key::spread_pct, spread);
        row.set(Key::model, model as i64);
        tell(&row);
    }
    let money = Money {
        realized: Quote::usdt(5),
        unrealized: Quote::usdt(-1),
        fees: Quote::usdt(-2),
        funding: Quote::usdt(1),
    };
    let found = watch.figures(&money);
    assert_eq!((found.position_pct, found.spread_bps), ([3.0, 6.0], 4.0));
    assert_eq!((found.glft_pct, found.quoted_pct), (50.0, 75.0));
    assert_eq!(found.by_hour.iter().map(|hour| hour.pnl).collect::<Vec<_>>(), [1.0, 2.0, -1.0]);
    assert_eq!((found.held, found.fees, found.funding, found.pnl), (4.0, 2.0, 1.0, 7.0));
}
