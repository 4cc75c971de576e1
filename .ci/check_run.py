#!/usr/bin/env python3
"""Runs the main job of a keel binary and checks what it says and writes.

    check_run.py KEEL SCRATCH

KEEL is the binary, SCRATCH an empty directory. A run of 20 s must end by itself with exit code 0 and zero open orders verified, and leave
journal, tables and day as documented; its replay must be identical; a run that is interrupted must end in order as well. Exit code 0 when
every check holds; each one that does not is printed.
"""

import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

PAIRS = ("BTCUSDT", "ETHUSDT")
RUN_S = 20
INTERRUPT_S = 6
# Engine and venue of two instruments in one process.
RSS_KIB_MAX = 200 * 1024

FILLS = (
    "ts,bot_variant,exchange,trading_pair,side,price,amount_base,notional_quote,fee_quote,order_id,exchange_trade_id,state,regime,mid_ref,"
    "expected_spread_pct,adverse_drift_30s,fee_source,is_maker,realized_pnl_quote,client_order_id,latency_us"
).split(",")
MINUTES = (
    "ts,bot_variant,exchange,trading_pair,state,regime,mid,equity_quote,base_pct,target_base_pct,spread_pct,spread_floor_pct,net_edge_pct,"
    "skew,adverse_drift_30s,soft_pause_edge,base_balance,quote_balance,market_spread_pct,market_spread_bps,best_bid_size,best_ask_size,"
    "turnover_today_x,cancel_per_min,orders_active,fills_count_today,fees_paid_today_quote,daily_loss_pct,drawdown_pct,risk_reasons,"
    "fee_source,maker_fee_pct,taker_fee_pct,realized_pnl_today_quote,position_base,avg_entry_price,funding_rate,funding_cost_today_quote,"
    "margin_ratio,position_drift_pct,ws_reconnect_count,order_book_stale,rss_kib,open_fds,rate_headroom_pct,wire_to_order_p50_us,"
    "wire_to_order_p99_us,wire_to_order_max_us,engine_cycle_max_us"
).split(",")
DAYS = (
    "ts,bot_variant,exchange,trading_pair,state,equity_open_quote,equity_now_quote,equity_peak_quote,pnl_quote,pnl_pct,drawdown_pct,"
    "turnover_x,fills_count,fees_paid_today_quote,funding_cost_today_quote,realized_pnl_today_quote,net_realized_pnl_today_quote,ops_events"
).split(",")
DAY_KEYS = (
    "day_key,equity_open,equity_peak,high_water_mark,traded_notional,fills_count,fees_paid,funding_cost,realized_pnl,instruments,guard,"
    "cancel_breaches,boot_epoch,config_hash,ts_utc"
).split(",")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
EXPONENT = re.compile(r"-?\d+(\.\d+)?[eE][+-]?\d+")

failures = []


def check(holds, what):
    """Remembers what does not hold."""
    if not holds:
        failures.append(what)
        print(f"FAILED: {what}")


class Run:
    """One start of the binary, watched until it ends."""

    def __init__(self, keel, directory, scratch, *flags, interrupt_after=None, limit_s=90):
        home = scratch / "home"
        home.mkdir(exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_")}
        environment.update(HOME=str(home), XDG_STATE_HOME=str(home / "state"))
        self.directory = directory
        self.rss_kib = 0
        command = [keel, "run", "--run-dir", str(directory), *flags]
        print("$", " ".join(command), flush=True)
        self.began = time.time()
        # From a directory without a keel.toml, so that the defaults are what runs.
        self.process = subprocess.Popen(
            command, cwd=home, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        watch = threading.Thread(target=self.watch_memory, daemon=True)
        watch.start()
        if interrupt_after is not None:
            timer = threading.Timer(interrupt_after, self.process.send_signal, (signal.SIGINT,))
            timer.start()
        try:
            self.out, self.err = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.out, self.err = self.process.communicate()
            check(False, f"it did not end within {limit_s} s")
        self.ended = time.time()
        self.code = self.process.returncode
        for line in self.out.splitlines()[-12:]:
            print("   ", line)
        if self.err:
            print("    standard error:", self.err.strip())

    def watch_memory(self):
        """Keeps the high-water mark of resident memory as the kernel tells it."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status")
        while self.process.poll() is None:
            try:
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            except OSError:
                return
            if found:
                self.rss_kib = max(self.rss_kib, int(found.group(1)))
            time.sleep(0.1)

    def check_end(self):
        """How it ended, and what it said."""
        check(self.code == 0, f"exit code {self.code} instead of 0")
        check("none, verified at the venue" in self.out, "the summary does not say that no order is open")
        check("no evidence of edge" in self.out, "PnL is shown without saying that it is no evidence")
        check("panicked" not in self.err, "an agent panicked")


def table(path, header):
    """The rows of a CSV file by column, after checks that hold for every table."""
    check(path.is_file(), f"{path} is missing")
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    check(text.endswith("\n"), f"{path} ends within a row")
    rows = list(csv.reader(text.splitlines()))
    check(rows[:1] == [header], f"{path}: the header is {rows[:1]}")
    for number, row in enumerate(rows[1:], start=2):
        check(len(row) == len(header), f"{path}:{number} has {len(row)} fields instead of {len(header)}")
        check(bool(STAMP.fullmatch(row[0])), f"{path}:{number}: {row[0]} is no time")
        check(not any(map(EXPONENT.fullmatch, row)), f"{path}:{number} has a number in exponent form")
        check(row[3] == path.parent.name, f"{path}:{number} is of {row[3]}")
    return [dict(zip(header, row)) for row in rows[1:]]


def check_tables(run, state):
    """The files of each instrument; gives the number of fills."""
    fills = []
    for pair in PAIRS:
        fills += table(state / pair / "fills.csv", FILLS)
        stamps = [row["ts"] for row in table(state / pair / "minute.csv", MINUTES)]
        check(len(stamps) == len(set(stamps)), f"{pair}: a minute stands twice in minute.csv")
        turns = int(run.ended // 60) - int(run.began // 60)
        check(len(stamps) in (turns, turns - 1) or turns == 0, f"{pair}: {len(stamps)} rows for {turns} turned minutes")
        table(state / pair / "daily.csv", DAYS)
    ids = [row["exchange_trade_id"] for row in fills]
    check(len(ids) == len(set(ids)), "an execution stands twice in fills.csv")
    check(len(ids) > 0, "no fill in 20 s")
    check(all(row["is_maker"] == "true" for row in fills), "a post-only quote was filled as taker")
    told = re.search(r"^\s*fills\s+(\d+)\s*$", run.out, re.M)
    check(told is not None and int(told.group(1)) == len(ids), f"the summary does not tell of {len(ids)} fills")
    return len(ids)


def check_day(state, fills):
    """daily_state.json and the mark of an orderly stop."""
    path = state / "daily_state.json"
    check(path.is_file(), f"{path} is missing")
    if path.is_file():
        day = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in DAY_KEYS if key not in day]
        check(not missing, f"daily_state.json lacks {missing}")
        turned = day.get("day_key") != time.strftime("%Y-%m-%d", time.gmtime())
        check(turned or int(day.get("fills_count", -1)) == fills, "daily_state.json counts other fills than fills.csv")
        check(sorted(day.get("instruments", {})) == sorted(PAIRS), "daily_state.json has other instruments")
        check(day.get("guard", {}).get("state") != "HARD_STOP", "the guard stopped for good")
    check((state / "clean").is_file(), "the state directory is not marked as stopped in order")


def check_replay(keel, run):
    """The journal is there, and stepping it again gives the same bytes."""
    segments = sorted((run.directory / "journal").glob("*"))
    check(bool(segments) and all(s.stat().st_size > 0 for s in segments), "the journal is missing or empty")
    replay = subprocess.run([keel, "replay", str(run.directory)], text=True, capture_output=True, check=False)
    print("$ keel replay:", (replay.stdout + replay.stderr).strip())
    check(replay.returncode == 0, f"the replay's exit code is {replay.returncode}")
    check("identical" in replay.stdout, "the replay does not say that it is identical")


def main():
    """Runs everything and tells the exit code."""
    if len(sys.argv) != 3:
        print(__doc__)
        return 2
    keel, scratch = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    before = subprocess.run(["git", "status", "--porcelain"], text=True, capture_output=True, check=False).stdout

    run = Run(keel, scratch / "run", scratch, "--for", f"{RUN_S}s")
    run.check_end()
    state = run.directory / "state"
    fills = check_tables(run, state)
    check_day(state, fills)
    check_replay(keel, run)
    check(0 < run.rss_kib <= RSS_KIB_MAX, f"resident memory reached {run.rss_kib} KiB; {RSS_KIB_MAX} are allowed")

    interrupted = Run(keel, scratch / "interrupted", scratch, interrupt_after=INTERRUPT_S)
    interrupted.check_end()

    live = subprocess.run([keel, "run", "--mode", "live"], text=True, capture_output=True, check=False, cwd=scratch / "home")
    named = "venue.uid is missing" in live.stderr
    check(live.returncode == 2 and named, f"live mode without an account was not refused in plain words: {live.stderr}")

    after = subprocess.run(["git", "status", "--porcelain"], text=True, capture_output=True, check=False).stdout
    check(before == after, f"a run wrote into the source tree:\n{after}")
    print(f"main job: {fills} fills, {run.rss_kib} KiB resident at most, {len(failures)} checks failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
