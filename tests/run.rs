//! A run of this very binary on its embedded venue: what it says, what it writes, and its replay.

mod program;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use keel_core::param::Profile;
use keel_io::mode::replay::{EngineStepper, replay};
use program::{Ended, Working, column, copy, ended, log, table};
use serde_json::Value;

/// One run that the tests of this file share.
struct Shared {
    dir: PathBuf,
    ended: Ended,
}

const FILLS: &str = "ts,bot_variant,exchange,trading_pair,side,price,amount_base,notional_quote,\
    fee_quote,order_id,exchange_trade_id,state,regime,mid_ref,expected_spread_pct,\
    adverse_drift_30s,fee_source,is_maker,realized_pnl_quote,client_order_id,latency_us";
const MINUTES: &str = "ts,bot_variant,exchange,trading_pair,state,regime,mid,equity_quote,base_pct,\
    target_base_pct,spread_pct,spread_floor_pct,net_edge_pct,skew,adverse_drift_30s,\
    soft_pause_edge,base_balance,quote_balance,market_spread_pct,market_spread_bps,best_bid_size,\
    best_ask_size,turnover_today_x,cancel_per_min,orders_active,fills_count_today,\
    fees_paid_today_quote,daily_loss_pct,drawdown_pct,risk_reasons,fee_source,maker_fee_pct,\
    taker_fee_pct,realized_pnl_today_quote,position_base,avg_entry_price,funding_rate,\
    funding_cost_today_quote,margin_ratio,position_drift_pct,ws_reconnect_count,order_book_stale,\
    rss_kib,open_fds,rate_headroom_pct,wire_to_order_p50_us,wire_to_order_p99_us,\
    wire_to_order_max_us,engine_cycle_max_us";
const DAYS: &str = "ts,bot_variant,exchange,trading_pair,state,equity_open_quote,equity_now_quote,\
    equity_peak_quote,pnl_quote,pnl_pct,drawdown_pct,turnover_x,fills_count,\
    fees_paid_today_quote,funding_cost_today_quote,realized_pnl_today_quote,\
    net_realized_pnl_today_quote,ops_events";
const PAIRS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// The run: long enough that its market fills it, with the defaults that everybody starts from.
fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory").keep();
        let ended = ended(&dir, &["--for", "14s", "--run-dir", "run"]);
        Shared { dir: dir.join("run"), ended }
    })
}

fn state_file(name: &str) -> PathBuf {
    shared().dir.join("state").join(name)
}

/// A copy of the shared run that may be damaged.
fn copied() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let run = dir.path().join("copy");
    copy(&shared().dir, &run);
    (dir, run)
}

#[test]
fn a_run_ends_in_order_and_says_so_with_its_directory() {
    let run = shared();
    run.ended.done();
    let out = &run.ended.out;
    for word in [
        "none, verified at the venue",
        "wire to order",
        "PnL here is no evidence of edge",
        "run directory  run",
    ] {
        assert!(out.contains(word), "{word:?} is missing\n{}", run.ended.said());
    }
    assert_eq!(run.ended.err, "", "a good run has no complaints");
    let lines: Vec<&str> = out.lines().filter(|line| line.starts_with("00:00:")).collect();
    assert!(lines.len() >= 10, "one line a second\n{out}");
    assert!(lines.iter().any(|line| line.contains("RUNNING")), "{out}");
}

#[test]
fn fills_stand_in_their_table_with_every_column_filled() {
    shared().ended.done();
    let mut fills = 0;
    for pair in PAIRS {
        let table = table(&state_file(pair).join("fills.csv"));
        assert_eq!(table.0.join(","), FILLS);
        let ids = column(&table, "exchange_trade_id");
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), ids.len(), "each execution has one row");
        assert!(column(&table, "trading_pair").iter().all(|found| found == pair));
        // Only the latency may be empty: an order that filled before its stamps came has none.
        for row in &table.1 {
            let empty: Vec<_> =
                table.0.iter().zip(row).filter(|(_, value)| value.is_empty()).collect();
            assert!(empty.iter().all(|(name, _)| *name == "latency_us"), "{empty:?}");
        }
        for value in column(&table, "notional_quote") {
            assert!(value.parse::<f64>().is_ok_and(|value| value > 0.0), "{value}");
        }
        assert!(
            column(&table, "is_maker").iter().all(|maker| maker == "true"),
            "a touch quote never takes"
        );
        assert!(column(&table, "fee_source").iter().all(|source| source == "api:exchange:bitget"));
        let own = |client: &String| client.starts_with("keel-main-1-");
        assert!(column(&table, "client_order_id").iter().all(own));
        fills += ids.len();
    }
    assert!(fills >= 1, "the market fills the engine");
    let said = format!("fills          {fills}\n");
    assert!(shared().ended.out.contains(&said), "{said:?} is missing\n{}", shared().ended.said());
}

#[test]
fn minutes_and_days_have_their_headers_and_no_minute_is_missing() {
    shared().ended.done();
    for pair in PAIRS {
        let minutes = table(&state_file(pair).join("minute.csv"));
        assert_eq!(minutes.0.join(","), MINUTES);
        let stamps = column(&minutes, "ts");
        for stamp in &stamps {
            assert!(stamp.ends_with(":00.000Z"), "a row stands at the turn of its minute: {stamp}");
        }
        assert!(stamps.len() <= 1, "14 s turn one minute at most");
        assert_eq!(table(&state_file(pair).join("daily.csv")).0.join(","), DAYS);
    }
}

#[test]
fn the_day_is_durable_with_the_keys_that_operators_know() {
    shared().ended.done();
    let text = fs::read_to_string(state_file("daily_state.json")).expect("a day");
    let day: Value = serde_json::from_str(&text).expect("JSON");
    for key in [
        "day_key",
        "equity_open",
        "equity_peak",
        "high_water_mark",
        "traded_notional",
        "fills_count",
        "fees_paid",
        "funding_cost",
        "realized_pnl",
        "instruments",
        "guard",
        "cancel_breaches",
        "boot_epoch",
        "config_hash",
        "ts_utc",
    ] {
        assert!(!day[key].is_null(), "{key} is missing\n{text}");
    }
    for pair in PAIRS {
        for key in ["position_base", "avg_entry_price", "last_trade_id"] {
            assert!(day["instruments"][pair][key].is_string(), "{pair} {key}\n{text}");
        }
    }
    for key in ["state", "reasons", "incident_id", "since"] {
        assert!(day["guard"][key].is_string(), "guard {key}\n{text}");
    }
    assert_eq!(day["boot_epoch"], 1);
    assert_eq!(fs::read_to_string(state_file("clean")).expect("the mark of a clean stop"), "1\n");
}

#[test]
fn no_line_of_the_log_is_older_than_the_run() {
    shared().ended.done();
    let log = log(&shared().dir);
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with(" Ready")), "{log}");
    assert!(
        lines.iter().all(|line| line.starts_with("20")),
        "a time before the venue's is known\n{log}"
    );
}

#[test]
fn a_replay_is_the_same_byte_for_byte() {
    let run = shared();
    run.ended.done();
    let replayed = ended(run.dir.parent().expect("a parent"), &["replay", "run"]);
    replayed.done();
    assert!(replayed.out.starts_with("identical:"), "{}", replayed.said());
    assert!(replayed.out.contains(" a second"), "{}", replayed.said());
}

#[test]
fn a_replay_may_start_from_any_profile_since_parameters_are_events() {
    shared().ended.done();
    let reports = [Profile::Touch, Profile::Wide]
        .map(|profile| replay(&shared().dir, &mut EngineStepper::new(profile)).expect("the same"));
    assert_eq!(reports[0], reports[1]);
    assert!(reports[0].ended_in_order && reports[0].digests >= 1 && reports[0].commands > 20);
}

#[test]
fn a_replay_of_a_damaged_journal_says_where() {
    shared().ended.done();
    let (dir, run) = copied();
    let segment = run.join("journal/00000001.journal");
    let mut bytes = fs::read(&segment).expect("a segment");
    let place = bytes.len() / 2;
    bytes[place] ^= 0x10;
    fs::write(&segment, &bytes).expect("written");
    let replayed = ended(dir.path(), &["replay", "copy"]);
    replayed.refused(3, &["journal: segment 1, byte "]);
    let words: Vec<&str> =
        replayed.err.split("byte ").nth(1).expect("a place").split(':').collect();
    let told: usize = words[0].parse().expect("a number");
    assert!(told <= place && place - told < 300, "byte {place} was changed, {told} is told");
}

#[test]
fn a_replay_of_a_journal_cut_off_compares_what_is_left() {
    shared().ended.done();
    let (dir, run) = copied();
    let segment = run.join("journal/00000001.journal");
    let bytes = fs::read(&segment).expect("a segment");
    fs::write(&segment, &bytes[..bytes.len() - 100]).expect("written");
    let replayed = ended(dir.path(), &["replay", "copy"]);
    replayed.done();
    assert!(replayed.out.contains("torn off at segment 1, byte "), "{}", replayed.said());
}

#[test]
fn a_replay_without_a_journal_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    ended(dir.path(), &["replay", "nowhere"]).refused(3, &["nowhere/journal", "No such file"]);
    fs::create_dir_all(dir.path().join("empty/journal")).expect("made");
    ended(dir.path(), &["replay", "empty"]).refused(3, &["holds no segment"]);
    fs::write(dir.path().join("empty/journal/00000001.journal"), b"not a journal")
        .expect("written");
    ended(dir.path(), &["replay", "empty"]).refused(3, &["is no segment of a journal"]);
}

#[test]
fn an_edge_report_has_the_fills_of_the_tables_and_is_the_same_each_time() {
    shared().ended.done();
    let (dir, run) = copied();
    let report = ended(dir.path(), &["report", "edge", "--run-dir", "copy"]);
    report.done();
    let path = run.join("analysis/edge_report.json");
    let text = fs::read_to_string(&path).expect("written");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let mut ids: Vec<String> = Vec::new();
    for pair in PAIRS {
        let table = table(&run.join("state").join(pair).join("fills.csv"));
        ids.extend(column(&table, "exchange_trade_id"));
        for (id, notional) in
            column(&table, "exchange_trade_id").iter().zip(column(&table, "notional_quote"))
        {
            let mut fills = json["fills"].as_array().expect("a list").iter();
            let fill = fills.find(|fill| fill["exchange_trade_id"] == *id).expect("in the report");
            assert_eq!(
                (&fill["trading_pair"], &fill["notional_quote"]),
                (&pair.into(), &notional.into())
            );
        }
    }
    assert_eq!(json["fills_count"], ids.len());
    assert_eq!(json["verdict"], "INSUFFICIENT", "14 s are no ten minutes");
    let row = &json["horizons"][0];
    let seen = [&row["fills"], &row["not_covered"]].map(|n| n.as_u64().expect("a count"));
    assert_eq!(seen[0] + seen[1], ids.len() as u64);
    assert!(report.out.contains("\nINSUFFICIENT: "), "{}", report.said());
    assert!(report.out.contains("No evidence of edge in a real market"), "{}", report.said());
    let page = fs::read_to_string(run.join("analysis/edge_report.html")).expect("written");
    assert!(page.contains("<svg") && page.ends_with("</html>\n"));
    let pair = json["fills"][0]["trading_pair"].as_str().expect("a name");
    let args = ["report", "edge", "--run-dir", "copy", "--json", "again.json"];
    ended(dir.path(), &args).done();
    assert_eq!(fs::read_to_string(dir.path().join("again.json")).expect("written"), text);
    assert!(dir.path().join("again.html").exists());
    ended(dir.path(), &[&args[..], &["--instrument", pair]].concat()).done();
    let one = fs::read_to_string(dir.path().join("again.json")).expect("written");
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!(one["instruments"], serde_json::json!([pair]));
    assert!(one["fills"].as_array().expect("a list").iter().all(|f| f["trading_pair"] == pair));
}

#[test]
fn an_edge_report_of_what_is_no_whole_journal_is_refused() {
    shared().ended.done();
    let (dir, run) = copied();
    let refused = |args: &[&str], code, words: &[&str]| {
        ended(dir.path(), &[&["report", "edge", "--run-dir"], args].concat()).refused(code, words);
    };
    refused(&["copy", "--instrument", "DOGEUSDT"], 2, &["no instrument", "BTCUSDT, ETHUSDT"]);
    refused(&["nowhere"], 3, &["nowhere/journal", "No such file"]);
    ended(dir.path(), &["--for", "1ms", "--run-dir", "short"]).done();
    refused(&["short"], 3, &["tells of no own fill"]);
    let segment = run.join("journal/00000001.journal");
    let bytes = fs::read(&segment).expect("a segment");
    let write = |bytes: &[u8]| fs::write(&segment, bytes).expect("written");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 0x10;
    write(&damaged);
    refused(&["copy"], 3, &["journal: segment 1, byte "]);
    let mut newer = bytes.clone();
    newer[8] += 1;
    write(&newer);
    refused(&["copy"], 3, &["has format 2", "this build reads 1"]);
    write(&bytes[..bytes.len() - 100]);
    let cut = ended(dir.path(), &["report", "edge", "--run-dir", "copy"]);
    cut.done();
    assert!(cut.out.contains("the journal is torn off at segment 1"), "{}", cut.said());
}

#[test]
fn a_directory_of_an_earlier_run_is_not_written_over() {
    let run = shared();
    run.ended.done();
    let before = fs::read(run.dir.join("journal/00000001.journal")).expect("a journal");
    let again = ended(run.dir.parent().expect("a parent"), &["--for", "1s", "--run-dir", "run"]);
    again.refused(3, &["run holds an earlier run, which is not written over"]);
    assert_eq!(fs::read(run.dir.join("journal/00000001.journal")).expect("a journal"), before);
}

#[test]
fn directories_in_use_by_another_engine_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Working::start(dir.path(), &["--run-dir", "a", "--state-dir", "s"]);
    program::wait(Duration::from_secs(10), "the first engine runs", || {
        dir.path().join("s/identity.json").exists()
    });
    ended(dir.path(), &["--run-dir", "b", "--state-dir", "s", "--for", "1s"])
        .refused(3, &["s is in use by another engine"]);
    ended(dir.path(), &["--run-dir", "a", "--state-dir", "t", "--for", "1s"])
        .refused(3, &["a is in use by another engine"]);
    first.signal("INT");
    let ended = first.end(Duration::from_secs(10));
    ended.done();
    assert!(ended.out.contains("none, verified at the venue"), "{}", ended.said());
}

#[test]
fn sigterm_and_sigint_stop_in_order() {
    let runs = ["TERM", "INT"].map(|signal| {
        let dir = tempfile::tempdir().expect("a directory");
        (signal, Working::start(dir.path(), &["--run-dir", "run"]), dir)
    });
    for (signal, run, dir) in runs {
        program::wait(Duration::from_secs(15), "quotes", || has_quoted(&dir.path().join("run")));
        run.signal(signal);
        let ended = run.end(Duration::from_secs(10));
        ended.done();
        assert!(ended.out.contains("none, verified at the venue"), "{}", ended.said());
        assert!(dir.path().join("run/state/clean").exists(), "SIG{signal}");
    }
}

#[test]
fn a_run_of_less_than_a_second_ends_in_order_too() {
    for length in ["1ms", "700ms"] {
        let dir = tempfile::tempdir().expect("a directory");
        let ended = ended(dir.path(), &["--for", length, "--run-dir", "run"]);
        ended.done();
        assert!(ended.out.contains("stopped after 00:00:00."), "{}", ended.said());
    }
}

#[test]
fn output_that_nobody_reads_does_not_end_a_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let script = "\"$KEEL\" run --for 3s --run-dir run 2>err | head -n 1; exit ${PIPESTATUS[0]}";
    let output = Command::new("bash")
        .args(["-c", script])
        .env("KEEL", program::keel(dir.path()).get_program())
        .env("XDG_STATE_HOME", dir.path())
        .current_dir(dir.path())
        .output()
        .expect("a shell");
    let err = fs::read_to_string(dir.path().join("err")).expect("standard error");
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_eq!(err, "");
}

#[test]
fn output_that_is_held_up_holds_up_no_stop() {
    // As after Ctrl-S: what hears signals and looks after the guardian wrote to the terminal
    // itself, and waited there.
    let dir = tempfile::tempdir().expect("a directory");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut filler = writer.try_clone().expect("a second end");
    let filling = thread::spawn(move || while filler.write_all(&[b'x'; 4_096]).is_ok() {});
    let run = Working::start_onto(dir.path(), &["--run-dir", "run"], writer);
    program::wait(Duration::from_secs(15), "quotes", || has_quoted(&dir.path().join("run")));
    run.signal("TERM");
    run.end(Duration::from_secs(20)).done();
    assert!(dir.path().join("run/state/clean").exists());
    drop(reader);
    filling.join().expect("a pipe that nobody reads ends it");
}

fn has_quoted(run_dir: &Path) -> bool {
    fs::read_to_string(run_dir.join("keel.log")).is_ok_and(|log| log.contains("-> RUNNING"))
}
