#!/usr/bin/env python3
"""Holds the number of open orders of a running keel to a bound, from outside. Reads only.

Two sources, either or both:

  --minute FILE...   the engine's own word: `orders_active` and `cancel_per_min` of each new row of minute.csv
  --rest URL         the venue's word: the open orders of the account, by a signed GET of /api/v3/trade/unfilled-orders;
                     the key is read from KEEL_API_KEY, KEEL_API_SECRET and KEEL_API_PASSPHRASE

Writes `ts,source,instrument,open,cancels_per_min` to standard output and a verdict to standard error. Exit code: 0 while the bounds hold,
1 when one was broken, 2 for wrong usage or a source that cannot be read.
"""

import argparse
import base64
import collections
import csv
import hashlib
import hmac
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PATH = "/api/v3/trade/unfilled-orders"
TIME = "/api/v3/public/time"
PAGES_MAX = 20


class Bounds:
    """The bounds, the highest values seen, and what broke."""

    def __init__(self, orders_max, cancels_max):
        self.orders_max, self.cancels_max = orders_max, cancels_max
        self.highest = collections.Counter()
        self.broken = []
        self.samples = 0

    def take(self, stamp, source, instrument, orders, cancels=None):
        """Takes one sample in, and writes it."""
        self.samples += 1
        self.highest[source] = max(self.highest[source], orders)
        print(f"{stamp},{source},{instrument},{orders},{'' if cancels is None else cancels}", flush=True)
        if orders > self.orders_max:
            self.broken.append(f"{stamp} {source} {instrument}: {orders} open orders, {self.orders_max} are allowed")
        if cancels is not None and cancels > self.cancels_max:
            self.broken.append(f"{stamp} {source} {instrument}: {cancels} cancels a minute, {self.cancels_max} are allowed")


class MinuteFile:
    """A minute.csv that grows."""

    def __init__(self, path):
        self.path, self.seen = path, 0

    def read(self, bounds):
        """Takes in the rows that are new."""
        with open(self.path, newline="", encoding="utf-8") as file:
            # What a row in the making has so far ends without a line's end, and waits.
            whole = [line for line in file if line.endswith("\n")]
        rows = list(csv.DictReader(whole))
        for row in rows[self.seen:]:
            if row["orders_active"] == "":
                continue
            cancels = int(row["cancel_per_min"]) if row["cancel_per_min"] else None
            bounds.take(row["ts"], "minute.csv", row["trading_pair"], int(row["orders_active"]), cancels)
        self.seen = len(rows)


class Venue:
    """The venue's REST interface with a key."""

    def __init__(self, url, ca):
        names = ("KEEL_API_KEY", "KEEL_API_SECRET", "KEEL_API_PASSPHRASE")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise ValueError(f"--rest needs {', '.join(missing)}")
        self.key, self.secret, self.passphrase = (os.environ[name] for name in names)
        self.url = url.rstrip("/")
        self.context = ssl.create_default_context(cafile=ca) if self.url.startswith("https") else None

    def get(self, query):
        """The `data` of one signed answer."""
        target = f"{PATH}?{urllib.parse.urlencode(query)}"
        # The venue's own clock: that of a venue for trials may run faster.
        with urllib.request.urlopen(self.url + TIME, timeout=10, context=self.context) as response:
            stamp = json.load(response)["data"]["serverTime"]
        sign = hmac.new(self.secret.encode(), f"{stamp}GET{target}".encode(), hashlib.sha256).digest()
        request = urllib.request.Request(self.url + target, headers={
            "ACCESS-KEY": self.key,
            "ACCESS-SIGN": base64.b64encode(sign).decode(),
            "ACCESS-TIMESTAMP": stamp,
            "ACCESS-PASSPHRASE": self.passphrase,
            "Content-Type": "application/json",
        })
        try:
            with urllib.request.urlopen(request, timeout=10, context=self.context) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            # Business errors come with status 400 and the usual envelope.
            answer = json.load(error)
        if str(answer.get("code")) not in ("0", "00000"):
            raise ValueError(f"the venue answers {answer.get('code')}: {answer.get('msg')}")
        return answer.get("data") or {}

    def counts(self):
        """The open orders by instrument, following pages to their end."""
        orders, cursor = {}, None
        for _ in range(PAGES_MAX):
            query = {"category": "USDT-FUTURES", "limit": "100"}
            if cursor:
                query["cursor"] = cursor
            data = self.get(query)
            page = data.get("list") or []
            orders.update((order["orderId"], order["symbol"]) for order in page)
            before, cursor = cursor, data.get("cursor")
            if not page or not cursor or cursor == before:
                break
        return collections.Counter(orders.values())

    def read(self, bounds):
        """Counts the open orders once."""
        counts = self.counts()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        for instrument, count in sorted(counts.items()):
            bounds.take(stamp, "venue", instrument, count)
        if not counts:
            bounds.take(stamp, "venue", "", 0)


def main():
    """Samples until the time is over, and gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minute", nargs="+", default=[], metavar="FILE", help="minute.csv of one or more instruments")
    parser.add_argument("--rest", metavar="URL", help="https://host:port of the venue")
    parser.add_argument("--ca", metavar="PEM", help="authority to trust instead of the system's")
    parser.add_argument("--max", type=int, default=10, help="most open orders of an instrument [default: 10]")
    parser.add_argument("--cancels-max", type=int, default=50, help="most strategy cancels a minute [default: 50]")
    parser.add_argument("--every", type=float, default=10.0, metavar="S", help="seconds between samples [default: 10]")
    parser.add_argument("--for", dest="length", type=float, default=0.0, metavar="S", help="how long; 0 for one sample")
    args = parser.parse_args()
    if not args.minute and not args.rest:
        parser.error("name a source: --minute, --rest or both")
    bounds = Bounds(args.max, args.cancels_max)
    try:
        sources = [MinuteFile(path) for path in args.minute]
        if args.rest:
            sources.append(Venue(args.rest, args.ca))
        print("ts,source,instrument,open,cancels_per_min")
        end = time.monotonic() + args.length
        while True:
            for source in sources:
                source.read(bounds)
            if time.monotonic() + args.every > end:
                break
            time.sleep(args.every)
    except (OSError, ValueError, KeyError) as error:
        print(f"executors.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    highest = ", ".join(f"{source} {count}" for source, count in sorted(bounds.highest.items())) or "nothing seen"
    print(f"{bounds.samples} samples; highest: {highest}", file=sys.stderr)
    for line in bounds.broken:
        print(f"broken: {line}", file=sys.stderr)
    return 1 if bounds.broken else 0


if __name__ == "__main__":
    sys.exit(main())
