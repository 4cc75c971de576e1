#!/usr/bin/env python3
"""Makes the compact market record of this folder from CSV files, and prints what the prints say.

    python3 core/sim/data/make.py DIRECTORY            writes *.bin beside this file
    python3 core/sim/data/make.py DIRECTORY --bursts   prints the figures of the recorded prints

DIRECTORY holds the files that README.md names. The layout of *.bin is described there too; the
reader is core/sim/src/market/recorded.rs. All arithmetic on prices is exact.
"""

import bisect
import csv
import struct
import sys
import zlib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

QUARTER_MS = 900_000
DAY_MS = 86_400_000
QUARTERS = DAY_MS // QUARTER_MS
FUNDING_MS = 28_800_000


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--bursts"]):
        sys.exit(__doc__)
    source, target = Path(sys.argv[1]), Path(__file__).parent
    if sys.argv[2:]:
        bursts(source / "BTCUSDT_trades.csv")
        return
    btc = candles(source / "BTCUSDT_last_15m.csv", Decimal("0.1"), Decimal("0.0001"))
    eth = candles(source / "ETHUSDT_last_15m.csv", Decimal("0.01"), Decimal("0.01"))
    mark = closes(source / "BTCUSDT_mark_15m.csv", Decimal("0.1"))
    index = closes(source / "BTCUSDT_index_15m.csv", Decimal("0.1"))
    first = min(btc)
    days = min(len(c) for c in (btc, eth, mark, index)) // QUARTERS
    assert first % DAY_MS == 0 and all(min(c) == first for c in (eth, mark, index))
    times = range(first, first + days * DAY_MS, QUARTER_MS)
    write_candles(target / "btcusdt_15m.bin", [btc[t] for t in times], first)
    write_candles(target / "ethusdt_15m.bin", [eth[t] for t in times], first)
    rows = [(mark[t] - btc[t][3], index[t] - btc[t][3]) for t in times]
    write_days(target / "btcusdt_basis.bin", first, [0] * days, rows,
               lambda row: signed(row[0]) + signed(row[1]), lambda row: row)
    for name in ("BTCUSDT", "ETHUSDT"):
        write_funding(target / f"{name.lower()}_funding.bin", source / f"{name}_funding.csv")


def candles(path, tick, lot):
    """Rows by time as (open, high, low, close) in ticks and volume in lots."""
    rows = {}
    for row in list(csv.reader(path.open()))[1:]:
        prices = [exact(text, tick) for text in row[1:5]]
        # Sums of floats: the volume's trailing digits are noise below a lot.
        rows[int(row[0])] = (*prices, rounded(row[5], lot))
    check_times(path, rows)
    before = None
    for time, (opened, high, low, close, _) in rows.items():
        assert low <= min(opened, close) <= max(opened, close) <= high, (path, time)
        assert before in (None, opened), (path, time, "opens where the one before closed")
        before = close
    return rows


def closes(path, tick):
    rows = {int(r[0]): rounded(r[4], tick) for r in list(csv.reader(path.open()))[1:]}
    check_times(path, rows)
    return rows


def check_times(path, rows):
    times = list(rows)
    assert all(b - a == QUARTER_MS for a, b in zip(times, times[1:])), (path, "has a gap")


def exact(text, step):
    units = Decimal(text) / step
    assert units == units.to_integral_value(), text
    return int(units)


def rounded(text, step):
    return int((Decimal(text) / step).to_integral_value(ROUND_HALF_UP))


def write_candles(path, rows, first):
    opens = [rows[i][0] for i in range(0, len(rows), QUARTERS)]

    def encode(row):
        opened, high, low, close, volume = row
        top, bottom = max(opened, close), min(opened, close)
        return signed(close - opened) + plain(high - top) + plain(bottom - low) + plain(volume)

    write_days(path, first, opens, rows, encode, lambda row: row)


def write_days(path, first, opens, rows, encode, values):
    """Header, a table of (place in the body, opening price) a day, the body, the checksum."""
    body, table, checksum = bytearray(), bytearray(), 0
    for number, row in enumerate(rows):
        if number % QUARTERS == 0:
            table += struct.pack("<II", len(body), opens[number // QUARTERS])
        body += encode(row)
        checksum = zlib.crc32(struct.pack(f"<{len(values(row))}q", *values(row)), checksum)
    head = struct.pack("<4sII", b"KMR1", first // DAY_MS, len(opens))
    path.write_bytes(head + table + body + struct.pack("<I", checksum))
    print(path.name, len(opens), "days", path.stat().st_size, "bytes", f"crc {checksum:08x}")


def write_funding(path, source):
    rows = list(csv.reader(source.open()))[1:]
    times = [int(row[0]) for row in rows]
    assert all(b - a == FUNDING_MS for a, b in zip(times, times[1:])), (source, "has a gap")
    rates = [exact(row[1], Decimal("0.000001")) for row in rows]
    head = struct.pack("<4sII", b"KMF1", times[0] // FUNDING_MS, len(rates))
    path.write_bytes(head + struct.pack(f"<{len(rates)}h", *rates))
    print(path.name, len(rates), "rates", path.stat().st_size, "bytes")


def plain(value):
    """Seven bits a byte, the lowest first, the high bit on all bytes but the last."""
    assert value >= 0
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def signed(value):
    return plain(2 * value if value >= 0 else -2 * value - 1)


def bursts(path):
    """One line a burst of prints, their median, and the sizes of all of them as quantiles."""
    groups, last = [], None
    for row in list(csv.reader(path.open()))[1:]:
        time, price, size = int(row[0]), float(row[2]), round(float(row[3]) * 10_000)
        if last is None or time - last > 3_600_000:
            groups.append([])
        groups[-1].append((time, row[1], price, size))
        last = time
    figures = []
    for group in groups:
        group.sort(key=lambda print_: print_[0])
        span = (group[-1][0] - group[0][0]) / 1000
        sizes = sorted(size for *_, size in group)
        moments = len({time for time, *_ in group})
        figures.append((len(group) / span, len(group) / moments, (sizes[499] + sizes[500]) / 2,
                        sum(sizes) / len(sizes), deviation(group, 1), deviation(group, 30),
                        spread(group)))
        print(row_of(figures[-1]))
    names = "prints/s, prints a moment, median size, mean size (lots), dev 1 s, dev 30 s (bp), spread"
    print("median:", row_of(median(column) for column in zip(*figures)), f"({names})")
    sizes = sorted(size for group in groups for *_, size in group)
    points = [*(k / 20 for k in range(20)), 0.97, 0.98, 0.99, 0.995, 1]
    print("size quantiles:", [(q, sizes[min(int(q * len(sizes)), len(sizes) - 1)]) for q in points])


def deviation(group, seconds):
    """Root mean square of the change of the last price over windows that begin each second."""
    times = [time for time, *_ in group]
    grid = range(times[0], times[-1] + 1, 1000)
    prices = [group[bisect.bisect_right(times, time) - 1][2] for time in grid]
    moves = [(b - a) / a * 1e4 for a, b in zip(prices, prices[seconds:])]
    return (sum(move * move for move in moves) / len(moves)) ** 0.5


def spread(group):
    """Median distance between a print and the last one of the other side within 200 ms."""
    last, found = {}, []
    for time, side, price, _ in group:
        other = last.get("sell" if side == "buy" else "buy")
        if other and time - other[0] < 200:
            found.append(price - other[1] if side == "buy" else other[1] - price)
        last[side] = (time, price)
    return median(found)


def median(values):
    values = sorted(values)
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def row_of(figures):
    return "  ".join(f"{figure:.3f}" for figure in figures)


if __name__ == "__main__":
    main()
