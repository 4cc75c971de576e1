#!/usr/bin/env python3
"""Holds what a running keel says of itself against what is seen from outside. Reads only.

  --pid PID          its process: resident memory and open descriptors from /proc, against the rows of --minute
  --minute FILE      its minute.csv: each new row is compared at once
  --status COMMAND   the engine's own word of its open orders, such as "keel status --json --run-dir run1"
  --rest URL         the venue's word of them, by a signed GET, as in executors.py (--ca, KEEL_API_KEY and the others)

Orders come and go while one asks: they agree when the venue's number lies between the engine's before and after, or its list was that
long in one of ten tries. Writes `ts,what,own,outside,agree` to standard output and a verdict to standard error. Exit code: 0 when
all agreed and something was compared, 1 when something disagreed or nothing could be compared, 2 for wrong usage or a source that cannot be read.
"""

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
import time

import executors

# Two readings a moment apart: this share of the memory, so many descriptors.
RSS_APART = 0.05
FILES_APART = 4
TRIES = 10


class Verdict:
    """What was compared, and what did not agree."""

    def __init__(self):
        self.compared, self.apart = 0, []

    def take(self, what, own, outside, agree):
        """Takes one comparison in, and writes it."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(f"{stamp},{what},{own},{outside},{'yes' if agree else 'NO'}", flush=True)
        self.compared += 1
        if not agree:
            self.apart.append(f"{stamp} {what}: {own} by its own word, {outside} from outside")


def outside_of(pid):
    """Resident memory in KiB and open descriptors of a process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        rss = next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
    return rss, len(os.listdir(f"/proc/{pid}/fd"))


def new_rows(path, seen):
    """The whole rows of a table behind the first `seen`."""
    with open(path, newline="", encoding="utf-8") as file:
        whole = [line for line in file if line.endswith("\n")]
    return list(csv.DictReader(whole))[seen:]


def process(verdict, pid, row):
    """Compares a row that was just written with the process."""
    rss, files = outside_of(pid)
    own_rss, own_files = int(row["rss_kib"]), int(row["open_fds"])
    verdict.take("rss_kib", own_rss, rss, abs(own_rss - rss) <= RSS_APART * rss)
    verdict.take("open_fds", own_files, files, abs(own_files - files) <= FILES_APART)


def own_orders(command):
    """Open orders by the engine's word, over its instruments."""
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=10, check=False)
    if done.returncode != 0:
        raise ValueError(f"{command}: {done.stderr.strip()}")
    return sum(int(one["orders_active"] or 0) for one in json.loads(done.stdout)["instruments"].values())


def orders(verdict, command, venue):
    """Compares open orders, until both say the same."""
    for _ in range(TRIES):
        before, outside, after = own_orders(command), sum(venue.counts().values()), own_orders(command)
        agree = min(before, after) <= outside <= max(before, after)
        if agree:
            break
        time.sleep(0.2)
    verdict.take("open_orders", f"{before} to {after}", outside, agree)


def main():
    """Compares until the time is over, and gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pid", type=int, help="the engine's process")
    parser.add_argument("--minute", metavar="FILE", help="its minute.csv")
    parser.add_argument("--status", metavar="COMMAND", help="what prints `keel status --json` of the run")
    parser.add_argument("--rest", metavar="URL", help="https://host:port of the venue")
    parser.add_argument("--ca", metavar="PEM", help="authority to trust instead of the system's")
    parser.add_argument("--every", type=float, default=10.0, metavar="S", help="seconds between looks at orders [default: 10]")
    parser.add_argument("--for", dest="length", type=float, default=130.0, metavar="S", help="how long [default: 130]")
    args = parser.parse_args()
    if bool(args.pid) != bool(args.minute) or bool(args.status) != bool(args.rest) or not (args.pid or args.rest):
        parser.error("name --pid and --minute, or --status and --rest, or all four")
    verdict = Verdict()
    try:
        venue = executors.Venue(args.rest, args.ca) if args.rest else None
        seen = len(new_rows(args.minute, 0)) if args.minute else 0
        print("ts,what,own,outside,agree")
        end, asked = time.monotonic() + args.length, float("-inf")
        while time.monotonic() < end:
            rows = new_rows(args.minute, seen) if args.minute else []
            seen += len(rows)
            if rows:
                process(verdict, args.pid, rows[-1])
            if venue and time.monotonic() >= asked + args.every:
                orders(verdict, args.status, venue)
                asked = time.monotonic()
            time.sleep(0.1)
    except (OSError, ValueError, KeyError, StopIteration, subprocess.SubprocessError) as error:
        print(f"agree.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    print(f"{verdict.compared} compared, {len(verdict.apart)} apart", file=sys.stderr)
    for line in verdict.apart:
        print(f"apart: {line}", file=sys.stderr)
    return 1 if verdict.apart or verdict.compared == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
