//! A desk: a venue, the program that trades on it, and what a person at both does to bring the
//! program to a limit. Times are those of the venue, which run faster than real.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use keel_core::units::UnixNanos;
use keel_io::control::Request;
use keel_io::control::client::Conversation;
use keel_net::proto::http::Method;
use serde_json::{Value, json};

use crate::program::{Venue, Working, ended, log, wait};
use crate::raw::{self, Raw};

/// 1e-8 in one.
pub(crate) const E8: i64 = 100_000_000;
/// One USDT.
pub(crate) const USDT: i64 = E8;
/// What the position is held in; a lot is 0.0001.
const SYMBOL: &str = "BTCUSDT";
const LOTS_IN_ONE: i64 = 10_000;
/// Long enough for anything, on a busy machine.
const SOON: Duration = Duration::from_secs(90);
/// How long nothing must happen that would happen at once.
const LOOK: Duration = Duration::from_millis(500);

/// A venue and what trades on it, with state that outlives a run.
pub(crate) struct Desk {
    venue: Venue,
    dir: tempfile::TempDir,
    speed: u32,
    run: Option<Working>,
    runs: u32,
}

impl Desk {
    /// A desk whose account has so much, so much leverage, and fees that hardly count.
    pub(crate) fn open(deposit_usdt: i64, leverage: u32, speed: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("exchange.toml");
        let text = format!(
            "[[accounts]]\nname = \"keel\"\nuid = 8000000001\ndeposit_usdt = {deposit_usdt}\n\
             maker_ppm = -50\ntaker_ppm = 50\nleverage = {leverage}\n\
             permissions = [\"uta_trade\"]\nips = [\"127.0.0.1\"]\n\n\
             [[accounts]]\nname = \"manual\"\nuid = 8000000002\ndeposit_usdt = 1000000\n"
        );
        fs::write(&file, text).expect("written");
        let file = file.to_str().expect("a path");
        let venue = Venue::start(&["--plaintext", "--speed", &speed.to_string(), "--config", file]);
        venue.configure(dir.path(), venue.authority(), &format!("clock_speed = {speed}\n"));
        Self { venue, dir, speed, run: None, runs: 0 }
    }

    /// Starts a run on the state of the one before.
    pub(crate) fn start(&mut self) {
        self.runs += 1;
        let run_dir = self.runs.to_string();
        let args = ["run", "--state-dir", "state", "--run-dir", &run_dir];
        self.run = Some(Working::start(self.dir.path(), &args));
        wait(SOON, "a log", || self.dir.path().join(&run_dir).join("keel.log").exists());
    }

    /// Starts a run and waits until it quotes.
    pub(crate) fn begin(&mut self) {
        self.start();
        self.quotes();
    }

    /// Waits until it has been in order and has orders at the venue.
    pub(crate) fn quotes(&self) {
        self.says("-> RUNNING");
        wait(SOON, "orders rest", || self.venue.open_orders() >= 2);
    }

    /// Pauses it and closes what it holds, so that nothing but what is done here moves money.
    pub(crate) fn quiet(&self) {
        self.keel(&["pause"]).done();
        wait(SOON, "nothing rests", || self.venue.open_orders() == 0);
        self.flat();
    }

    /// Lets time pass until the run's log has these words.
    pub(crate) fn says(&self, words: &str) {
        wait(SOON, words, || self.log().contains(words));
    }

    /// It is stopped for good for this reason and cancels everything, or has not been since it was
    /// rearmed.
    pub(crate) fn is_stopped(&self, reason: &str, stopped: bool) {
        if stopped {
            wait(SOON, "-> HARD_STOP", || self.stop().is_some());
            let line = self.stop().expect("a line");
            let hard = line.split("hard=").nth(1).and_then(|rest| rest.split(' ').next());
            let named = hard.is_some_and(|hard| hard.split('|').any(|named| named == reason));
            assert!(named, "{reason}: {line}");
            wait(SOON, "nothing rests", || self.venue.open_orders() == 0);
        } else {
            assert_eq!(self.stop(), None, "{reason}: {}", self.log());
        }
    }

    /// What the run's log says of a stop for good since the newest rearm.
    fn stop(&self) -> Option<String> {
        let log = self.log();
        let since = log.rsplit("Operator rearm ").next().unwrap_or_default();
        since.lines().find(|line| line.contains("-> HARD_STOP")).map(str::to_owned)
    }

    /// It is paused for this reason, or is not.
    pub(crate) fn is_paused(&self, reason: &str, paused: bool) {
        let named = |desk: &Self| {
            let reasons = desk.status()["soft_reasons"].as_str().unwrap_or_default().to_owned();
            reasons.split('|').any(|named| named == reason)
        };
        if paused {
            wait(SOON, reason, || named(self));
        } else {
            assert!(!named(self), "{reason}: {}", self.status());
        }
        assert_eq!(self.stop(), None, "{reason}: {}", self.log());
    }

    /// A pause for this reason ends with its cause.
    pub(crate) fn is_paused_no_more(&self, reason: &str) {
        let named = || self.status()["soft_reasons"].as_str().is_some_and(|r| r.contains(reason));
        wait(SOON, reason, || !named());
    }

    /// The cause has gone. The stop holds, over SIGKILL, a midnight and another process; another
    /// incident's number clears nothing, its own does, and then it quotes.
    pub(crate) fn stays_stopped(&mut self) {
        self.holds();
        let incident = self.latched().expect("latched");
        self.run.take().expect("at work").kill();
        assert_eq!(self.latched(), Some(incident.clone()), "after SIGKILL");
        let day = self.next_day();
        self.start();
        self.says("HARD_STOP");
        wait(SOON, "the day has turned", || self.day()["day_key"] == *day);
        self.holds();
        let run = self.run.take().expect("at work");
        run.signal("TERM");
        let ended = run.end(SOON);
        assert_eq!(ended.code, Some(5), "stopped for good: {}", ended.said());
        self.keel(&["rearm", "--incident", "7"]).refused(2, &[&incident]);
        assert_eq!(self.latched(), Some(incident.clone()));
        self.keel(&["rearm", "--incident", &incident]).done();
        assert_eq!(self.latched(), None);
        self.begin();
    }

    /// A loss once made is held against its base, which money put in and taken out moves by
    /// 1e-8 USDT: the limit's share of the base is less than the loss by one, and it stops.
    pub(crate) fn loses_beyond(&mut self, key: &str, percent: i128, reason: &str) {
        for (beyond, trips) in [(-1, false), (0, false), (1, true)] {
            let lost = self.base(key) - self.balance();
            // The least base of which the limit's share is `beyond` less than what is lost.
            let base = i128::from(lost - beyond) * 100;
            let base = (base + percent - 1).div_euclid(percent);
            self.move_base(key, i64::try_from(base).expect("money"));
            self.is_stopped(reason, trips);
        }
        self.transfer(3_000 * USDT);
        self.stays_stopped();
    }

    /// The process ends by SIGKILL, and the day turns while none is there.
    pub(crate) fn ends_over_midnight(&mut self) {
        self.run.take().expect("at work").kill();
        self.next_day();
    }

    /// Moves the venue's time to so many seconds before its next midnight. For a desk that has not
    /// been started: a clock that is set is another limit.
    pub(crate) fn late_in_the_day(&self, seconds: i64) {
        let now = self.now_ms();
        let then = (now / DAY_MS + 1) * DAY_MS - seconds * 1_000;
        self.admin("/admin/advance", &json!({ "ms": (then - now).max(0) }));
    }

    /// It is stopped on one day, and lives through its midnight.
    pub(crate) fn day_turns(&self) {
        let today = self.now_ms() / DAY_MS;
        for day in [today, today + 1] {
            let date = keel_io::cold::daily::date_of(day);
            wait(SOON, &date, || self.day()["day_key"] == *date);
        }
        self.holds();
    }

    /// A person kills and rearms it: from here on the highest equity is that of now.
    pub(crate) fn measured_anew(&self) {
        self.keel(&["kill"]).done();
        wait(SOON, "latched", || self.latched().is_some());
        let incident = self.latched().expect("latched");
        self.keel(&["rearm", "--incident", &incident]).done();
        wait(SOON, "rearmed", || self.latched().is_none());
    }

    /// It is stopped, and nothing rests for a while.
    pub(crate) fn holds(&self) {
        for _ in 0..5 {
            sleep(LOOK / 5);
            assert_eq!(self.venue.open_orders(), 0, "{}", self.log());
        }
        let log = self.log();
        let after = log.rsplit("HARD_STOP").next().unwrap_or_default();
        assert!(log.contains("HARD_STOP") && !after.contains("-> RUNNING"), "{log}");
    }

    /// The incident that is latched on disk.
    fn latched(&self) -> Option<String> {
        let latch = fs::read_to_string(self.dir.path().join("state/latch.json")).ok()?;
        let latch: Value = serde_json::from_str(&latch).expect("JSON");
        Some(latch["incident_id"].as_str().expect("a number").to_owned())
    }

    /// The day as it is durable; null while none is.
    fn day(&self) -> Value {
        let text = fs::read_to_string(self.dir.path().join("state/daily_state.json"));
        text.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"))
    }

    /// Moves the venue's time past its next midnight, and gives the date.
    fn next_day(&self) -> String {
        let now = self.now_ms();
        let then = (now / DAY_MS + 1) * DAY_MS + 60_000;
        self.admin("/admin/advance", &json!({ "ms": then - now }));
        keel_io::cold::daily::date_of(then / DAY_MS)
    }

    fn now_ms(&self) -> i64 {
        let state = self.venue.admin("GET", "/admin/state", &Value::Null);
        state["now"].as_str().and_then(|now| now.parse().ok()).expect("a time")
    }

    fn admin(&self, path: &str, body: &Value) -> Value {
        let answer = self.venue.admin("POST", path, body);
        assert!(answer["error"].is_null(), "{path} {body}: {answer}");
        answer
    }

    /// Puts a fault in force.
    pub(crate) fn fault(&self, fault: &Value) {
        self.admin("/admin/fault", fault);
    }

    /// Ends every fault.
    pub(crate) fn moves(&self) {
        self.admin("/admin/clear-fault", &json!({}));
    }

    /// Lets the mark stand still, as far as the program is told; gives it in 1e-8 USDT. Without a
    /// ticker nothing is placed.
    pub(crate) fn still(&self) -> i64 {
        self.fault(&json!({ "act": "stall", "on": "ticker" }));
        let age = || self.status()["ticker_age"].as_i64().unwrap_or(0);
        wait(SOON, "the ticker is old", || age() > 7_000);
        self.figure("mark_price")
    }

    /// Has the venue tell no rates.
    pub(crate) fn withhold_fees(&self) {
        let on = "/api/v3/account/fee-rate";
        self.fault(&json!({ "act": "fail", "status": 500, "accepted": "no", "on": on }));
    }

    /// Lets so many seconds of the venue's time pass, or fewer when it stops.
    pub(crate) fn pass_s(&self, seconds: u32, or_stops: bool) {
        let until = self.now_ms() + i64::from(seconds) * 1_000;
        let over = || self.now_ms() >= until || or_stops && self.stop().is_some();
        wait(Duration::from_secs(u64::from(seconds / self.speed)) + SOON, "time", over);
    }

    /// How long after the first line with `from` the first with `to` came, in milliseconds.
    pub(crate) fn between(&self, from: &str, to: &str) -> i64 {
        let log = self.log();
        let at = |words: &str| {
            let line = log.lines().find(|line| line.contains(words)).expect("a line");
            let time: jiff::Timestamp =
                line.split(' ').next().and_then(|text| text.parse().ok()).expect("a time");
            time.as_millisecond()
        };
        at(to) - at(from)
    }

    /// Trades until it holds so many lots, by orders of its account that are not its own, and waits
    /// until it knows.
    pub(crate) fn hold(&self, lots: i64) {
        self.trade(lots - self.held());
        assert_eq!(self.held(), lots);
    }

    /// Buys so many lots, sells them when negative, and waits until the program knows of it.
    pub(crate) fn trade(&self, lots: i64) {
        let then = self.held() + lots;
        self.order(lots);
        wait(SOON, "the position is known", || self.held() == then);
    }

    /// Buys and sells so many lots so many times.
    pub(crate) fn churn(&self, lots: i64, times: i64) {
        let then = self.held();
        for _ in 0..times {
            self.order(lots);
            self.order(-lots);
        }
        let fills = || {
            self.venue.account()["fills"].as_i64() == self.status()["fills_count_today"].as_i64()
        };
        wait(SOON, "every execution is known", fills);
        assert_eq!(self.held(), then);
    }

    fn order(&self, lots: i64) {
        if lots != 0 {
            let side = if lots > 0 { "buy" } else { "sell" };
            let order = json!({
                "account": "keel", "category": "USDT-FUTURES", "symbol": SYMBOL, "side": side,
                "orderType": "market", "qty": decimal(lots.abs() * (E8 / LOTS_IN_ONE)),
            });
            self.admin("/admin/order", &order);
        }
    }

    /// Closes every position, at the venue and by the program's knowledge.
    pub(crate) fn flat(&self) {
        let held = || {
            let account = self.venue.account();
            let positions = account["positions"].as_array().cloned().unwrap_or_default();
            positions.into_iter().find(|row| e8(&row["size"]) != 0)
        };
        wait(SOON, "nothing is held", || {
            let Some(row) = held() else { return true };
            let size = e8(&row["size"]);
            let side = if size > 0 { "sell" } else { "buy" };
            let order = json!({
                "account": "keel", "category": "USDT-FUTURES", "symbol": row["symbol"],
                "side": side, "orderType": "market", "qty": decimal(size.abs()),
            });
            // One that comes after the program's own is refused or closes what is left.
            self.venue.admin("POST", "/admin/order", &order);
            false
        });
        wait(SOON, "that is known", || {
            let status = self.status();
            let rows = status["instruments"].as_object().cloned().unwrap_or_default();
            rows.values().all(|row| e8(&row["position_base"]) == 0)
        });
    }

    /// Loses about so many USDT of what it has: a position, a price, and no position.
    pub(crate) fn lose(&self, usdt: i64) {
        if usdt == 0 {
            return;
        }
        let mark = self.figure("mark_price");
        let lots = 1_800 * USDT / lots_value(mark, 1);
        self.order(lots);
        let percent = decimal(-usdt * 100 * E8 / 1_800);
        self.admin("/admin/price", &json!({ "symbol": SYMBOL, "percent": percent }));
        self.flat();
        wait(SOON, "the loss is booked", || self.equity() == self.balance());
    }

    /// Puts money in, or takes it out.
    pub(crate) fn transfer(&self, amount: i64) {
        let path = if amount < 0 { "/admin/withdraw" } else { "/admin/deposit" };
        if amount != 0 {
            let amount = decimal(amount.abs());
            self.admin(path, &json!({ "account": "keel", "amount": amount }));
        }
    }

    /// Moves what losses are measured from to a value, with money that is put in or taken out, and
    /// waits until the program has the bill.
    pub(crate) fn move_base(&self, key: &str, to: i64) {
        self.transfer(to - self.base(key));
        wait(SOON, "the transfer is booked", || self.base(key) == to);
    }

    /// What losses are measured from, as it is durable.
    pub(crate) fn base(&self, key: &str) -> i64 {
        let day = self.day();
        match day[key].as_object() {
            // The oldest of the week.
            Some(days) => e8(days.values().next().expect("a day before")),
            None => e8(&day[key]),
        }
    }

    /// What the account has at the venue.
    pub(crate) fn balance(&self) -> i64 {
        e8(&self.venue.account()["balance"])
    }

    /// What it has traded today.
    pub(crate) fn traded(&self) -> i64 {
        let times = i128::from(self.figure("turnover_today_x"));
        i64::try_from(times * i128::from(self.equity()) / i128::from(E8)).expect("money")
    }

    /// What it has, by its own account.
    pub(crate) fn equity(&self) -> i64 {
        self.figure("equity_quote")
    }

    /// A figure of its status, in 1e-8.
    pub(crate) fn figure(&self, key: &str) -> i64 {
        e8(&self.status()[key])
    }

    /// How many lots it holds.
    pub(crate) fn held(&self) -> i64 {
        self.figure("position_base") / (E8 / LOTS_IN_ONE)
    }

    /// What it tells of itself, asked at its socket.
    fn status(&self) -> Value {
        let run_dir = self.dir.path().join(self.runs.to_string());
        let mut talk = Conversation::begin(&run_dir, &Request::Status {}).expect("at work");
        let answer = talk.answer(SOON).expect("an answer").expect("in time");
        assert_eq!(answer["ok"], true, "{answer}");
        answer["status"].clone()
    }

    /// The owner of the account sets its leverage.
    pub(crate) fn lever(&self, leverage: &str) {
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            let body =
                json!({ "category": "USDT-FUTURES", "symbol": symbol, "leverage": leverage });
            self.sign("/api/v3/account/set-leverage", &body);
        }
    }

    /// Asks the venue for something with the account's key.
    fn sign(&self, path: &str, body: &Value) {
        let mut raw = Raw::connect(&self.venue);
        let utc = UnixNanos::from_millis(self.now_ms());
        let body = body.to_string();
        raw.send(&raw::signed_at(&self.venue, Method::Post, path, body.as_bytes(), utc));
        assert_eq!(raw.answer().as_deref(), Ok("200 00000"), "{path}");
    }

    fn keel(&self, args: &[&str]) -> crate::program::Ended {
        let run_dir = self.runs.to_string();
        ended(self.dir.path(), &[args, &["--run-dir", &run_dir]].concat())
    }

    fn log(&self) -> String {
        log(&self.dir.path().join(self.runs.to_string()))
    }
}

/// What so many lots are worth at a price, in 1e-8 USDT.
pub(crate) fn lots_value(price: i64, lots: i64) -> i64 {
    price * lots / LOTS_IN_ONE
}

/// A decimal text in 1e-8.
fn e8(value: &Value) -> i64 {
    let text = value.as_str().expect("a figure");
    let decimal = keel_core::decimal::Decimal::parse(text.as_bytes()).expect("a decimal");
    decimal.e8().expect("1e-8")
}

/// So many 1e-8 as decimal text.
fn decimal(amount: i64) -> String {
    keel_io::cold::daily::e8_text(amount)
}

const DAY_MS: i64 = 86_400_000;
