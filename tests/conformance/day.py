"""A trading day of an independent client at the embedded exchange.

The client is ccxt with its unified-account option: REST, and its streaming half for the order book, the
orders, the fills, the positions and the balance. Only the base URLs are changed. Usage:
day.py ANNOUNCEMENT, where ANNOUNCEMENT is the first line that `keel exchange --plaintext` prints. Each
line that it prints is a step that held; the exit code is 0 when all held.
"""

import asyncio
import json
import sys
import urllib.request

import ccxt.pro as ccxt

SYMBOL = "BTC/USDT:USDT"


def client(venue, name):
    account = next(a for a in venue["accounts"] if a["name"] == name)
    made = ccxt.bitget({
        "apiKey": account["key"],
        "secret": account["secret"],
        "password": account["passphrase"],
        "options": {"uta": True, "defaultType": "swap"},
    })
    made.urls["api"] = {
        key: venue["rest"] for key in made.urls["api"] if key != "ws"
    } | {"ws": {
        "public": venue["ws_public"], "private": venue["ws_private"],
        "utaPublic": venue["ws_public"], "utaPrivate": venue["ws_private"],
    }}
    return made


def admin(venue, path, body):
    request = urllib.request.Request(
        venue["admin"] + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def held(what, truth, seen=None):
    if not truth:
        sys.exit(f"does not hold: {what}: {seen}")
    print(f"holds: {what}", flush=True)


async def within(seconds, what, watch, wanted):
    """Watches until a result is wanted."""
    async def look():
        while True:
            seen = await watch()
            if wanted(seen):
                return seen
    try:
        return await asyncio.wait_for(look(), seconds)
    except asyncio.TimeoutError:
        sys.exit(f"does not hold: {what}: nothing in {seconds} s")


async def market_side(bot):
    markets = await bot.load_markets()
    market = markets[SYMBOL]
    held("markets", market["swap"] and market["precision"]["price"] == 0.1, market)
    ticker = await bot.fetch_ticker(SYMBOL)
    held("ticker", ticker["bid"] < ticker["ask"], ticker)
    book = await bot.fetch_order_book(SYMBOL, 5)
    held("order book", book["bids"][0][0] < book["asks"][0][0] and len(book["bids"]) == 5, book)
    bars = await bot.fetch_ohlcv(SYMBOL, "1m", limit=60)
    held("candles", len(bars) == 60, len(bars))
    rate = await bot.fetch_funding_rate(SYMBOL)
    held("funding rate", rate["fundingRate"] is not None, rate)
    rates = await bot.fetch_funding_rate_history(SYMBOL, limit=5)
    held("funding rates of the past", len(rates) == 5, rates)
    trades = await bot.fetch_trades(SYMBOL, limit=20)
    held("public trades", len(trades) > 0, trades)
    return ticker["bid"]


async def account_side(bot):
    balance = await bot.fetch_balance()
    held("balance", balance["USDT"]["total"] > 0, balance["USDT"])
    await bot.set_leverage(10, SYMBOL)
    held("leverage", True)


async def order_side(bot, bid):
    far = round(bid * 0.97, 1)
    order = await bot.create_order(SYMBOL, "limit", "buy", 0.01, far, {"postOnly": True})
    held("place", order["id"] is not None, order)
    found = await bot.fetch_order(order["id"], SYMBOL)
    held("order", found["status"] == "open" and found["price"] == far, found)
    nearer = round(bid * 0.975, 1)
    changed = await bot.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, nearer)
    held("modify", changed["id"] is not None, changed)
    opened = await bot.fetch_open_orders(SYMBOL)
    held("open orders", [(o["price"], o["amount"]) for o in opened] == [(nearer, 0.02)], opened)
    await bot.cancel_order(changed["id"], SYMBOL)
    held("cancel", await bot.fetch_open_orders(SYMBOL) == [])
    batch = await bot.create_orders([
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": far},
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": nearer},
    ])
    held("batch", len(batch) == 2, batch)
    await bot.cancel_orders([o["id"] for o in batch], SYMBOL)
    held("batch cancel", await bot.fetch_open_orders(SYMBOL) == [])
    await bot.create_order(SYMBOL, "limit", "buy", 0.01, far)
    await bot.cancel_all_orders(SYMBOL)
    held("cancel all", await bot.fetch_open_orders(SYMBOL) == [])
    done = await bot.fetch_canceled_and_closed_orders(SYMBOL)
    held("history", len(done) >= 5, len(done))


async def position_side(bot, venue):
    order = await bot.create_order(SYMBOL, "market", "buy", 0.02)
    await asyncio.sleep(0.5)
    fills = await bot.fetch_my_trades(SYMBOL)
    own = [f for f in fills if f["order"] == order["id"]]
    held("fills", abs(sum(f["amount"] for f in own) - 0.02) < 1e-9, fills)
    held("fees", all(f["fee"]["cost"] is not None for f in own), own)
    positions = await bot.fetch_positions([SYMBOL])
    held("position", positions[0]["contracts"] == 0.02 and positions[0]["side"] == "long", positions)
    admin(venue, "/admin/settle-funding", {"symbol": "BTCUSDT"})
    paid = await bot.fetch_funding_history(SYMBOL)
    held("funding history", len(paid) == 1 and paid[0]["amount"] != 0, paid)
    await bot.create_order(SYMBOL, "market", "sell", 0.02, params={"reduceOnly": True})
    await asyncio.sleep(0.5)
    left = [p for p in await bot.fetch_positions([SYMBOL]) if p["contracts"]]
    held("flat", left == [], left)


async def streams(bot, bid):
    book = await within(10, "order book stream", lambda: bot.watch_order_book(SYMBOL),
                        lambda b: b["bids"] and b["asks"])
    for _ in range(20):
        book = await bot.watch_order_book(SYMBOL)
        held_book = book["bids"][0][0] < book["asks"][0][0]
        if not held_book:
            sys.exit(f"does not hold: order book stream is crossed: {book}")
    held("order book stream", True)
    ticker = await within(10, "ticker stream", lambda: bot.watch_ticker(SYMBOL), lambda t: t["last"])
    held("ticker stream", ticker["symbol"] == SYMBOL, ticker)
    await within(30, "trade stream", lambda: bot.watch_trades(SYMBOL), len)
    held("trade stream", True)

    orders = asyncio.ensure_future(within(
        15, "order stream", lambda: bot.watch_orders(SYMBOL),
        lambda seen: any(o["status"] == "canceled" for o in seen)))
    fills = asyncio.ensure_future(within(15, "fill stream", lambda: bot.watch_my_trades(SYMBOL), len))
    balance = asyncio.ensure_future(within(
        15, "balance stream", lambda: bot.watch_balance(), lambda seen: seen["USDT"]["total"] > 0))
    positions = asyncio.ensure_future(within(
        15, "position stream", lambda: bot.watch_positions([SYMBOL]), len))
    await asyncio.sleep(2)
    order = await bot.create_order(SYMBOL, "limit", "buy", 0.01, round(bid * 0.97, 1))
    await bot.cancel_order(order["id"], SYMBOL)
    await bot.create_order(SYMBOL, "market", "buy", 0.01)
    await bot.create_order(SYMBOL, "market", "sell", 0.01, params={"reduceOnly": True})
    for name, seen in [("order", orders), ("fill", fills), ("balance", balance),
                       ("position", positions)]:
        await seen
        held(f"{name} stream", True)


async def day(venue):
    bot = client(venue, "manual")
    try:
        bid = await market_side(bot)
        await account_side(bot)
        await order_side(bot, bid)
        await position_side(bot, venue)
        await streams(bot, bid)
    finally:
        await bot.close()


if __name__ == "__main__":
    asyncio.run(day(json.loads(sys.argv[1])))
