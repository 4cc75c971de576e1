//! Where the embedded venue differs from a recorded payload, and why.

/// A reason, and under it the files (by the beginning of their names) with the differences.
pub(crate) type Known = (&'static str, &'static [(&'static str, &'static [&'static str])]);

/// Differences of shape.
pub(crate) const KNOWN: &[Known] = &[
    (
        "The documentation's sample of 2025 lacks fields that a payload of the same endpoint or topic \
         of 2026 has. The venue sends the newer row.",
        &[
            (
                "rest_v3/v3-account-max-open-available__bitgetdocs",
                &["+data.maxBuyAvailable", "+data.maxSellAvailable"],
            ),
            ("rest_v3/v3-account-settings__bitgetdocs", &["+data.accountLevel"]),
            ("rest_v3/v3-market-fills__bitgetdocs", &["+data[].isRPI"]),
            ("rest_v3/v3-market-instruments__bitgetdocs__2", &["+data[].type"]),
            ("rest_v3/v3-market-tickers__bitgetdocs__2", &["+data[].ts"]),
            ("rest_v3/v3-trade-fills__bitgetdocs", &["+data.list[].isRPI"]),
            (
                "rest_v3/v3-trade-history-orders__bitgetdocs",
                &[
                    "+data.list[].delegateType",
                    "+data.list[].marginMode",
                    "+data.list[].slLimitPrice",
                    "+data.list[].slOrderType",
                    "+data.list[].slTriggerBy",
                    "+data.list[].stopLoss",
                    "+data.list[].stpMode",
                    "+data.list[].takeProfit",
                    "+data.list[].tpLimitPrice",
                    "+data.list[].tpOrderType",
                    "+data.list[].tpTriggerBy",
                ],
            ),
            (
                "rest_v3/v3-trade-order-info__bitgetdocs",
                &[
                    "+data.marginMode",
                    "+data.slLimitPrice",
                    "+data.slOrderType",
                    "+data.slTriggerBy",
                    "+data.stopLoss",
                    "+data.stpMode",
                    "+data.takeProfit",
                    "+data.tpLimitPrice",
                    "+data.tpOrderType",
                    "+data.tpTriggerBy",
                ],
            ),
            (
                "rest_v3/v3-trade-unfilled-orders__bitgetdocs",
                &[
                    "+data.list[].delegateType",
                    "+data.list[].marginMode",
                    "+data.list[].slLimitPrice",
                    "+data.list[].slOrderType",
                    "+data.list[].slTriggerBy",
                    "+data.list[].stopLoss",
                    "+data.list[].stpMode",
                    "+data.list[].takeProfit",
                    "+data.list[].tpLimitPrice",
                    "+data.list[].tpOrderType",
                    "+data.list[].tpTriggerBy",
                ],
            ),
            ("ws_v3/fill__bitgetdocs", &["+data[].isRPI"]),
            ("ws_v3/order__bitgetdocs", &["+data[].delegateType"]),
            ("ws_v3/publicTrade__bitgetdocs", &["+data[].isRPI"]),
        ],
    ),
    (
        "Acknowledgments of 2026 carry `connId` (reference \u{a7}16); the recorded ones are older, and \
         the recorded error of 2026 has it.",
        &[
            ("ws_v3/account-ack__bitgetnet", &["+connId"]),
            ("ws_v3/adl-notification-ack__bitgetnet", &["+connId"]),
            ("ws_v3/batch-cancel-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/batch-modify-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/batch-place-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/books-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/books1-ack__bitgetnet", &["+connId"]),
            ("ws_v3/cancel-order-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/fast-fill-ack__bitgetnet", &["+connId"]),
            ("ws_v3/fill-ack__bitgetnet", &["+connId"]),
            ("ws_v3/kline-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/kline-ack__bitgetnet", &["+connId"]),
            ("ws_v3/liquidation-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/modify-order-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/order-ack__bitgetnet", &["+connId"]),
            ("ws_v3/place-order-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/position-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/position-ack__bitgetnet", &["+connId"]),
            ("ws_v3/publicTrade-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/publicTrade-ack__bitgetnet", &["+connId"]),
            ("ws_v3/strategy-order-ack__bitgetnet", &["+connId"]),
            ("ws_v3/ticker-ack__bitgetdocs", &["+connId"]),
            ("ws_v3/ticker-ack__bitgetnet", &["+connId"]),
        ],
    ),
    (
        "A subscription may name its contract by `instId` instead of `symbol`, and its acknowledgment \
         repeats that. Pushes always say `symbol`, as those that were captured from the exchange do; \
         the client library's own test frames repeat the `instId` of its request.",
        &[
            ("ws_v3/kline__bitgetnet", &["+arg.symbol", "-arg.instId"]),
            ("ws_v3/publicTrade__bitgetnet", &["+arg.symbol", "-arg.instId"]),
            ("ws_v3/ticker__bitgetnet", &["+arg.symbol", "-arg.instId"]),
        ],
    ),
    (
        "Book frames carry `maxdepth`, in lower case, as those captured in 2026 do, and no \
         `checksum`, unless the exchange is told to send one.",
        &[
            ("ws_v3/books1__bitgetdocs", &["+data[].maxdepth", "-data[].checksum"]),
            ("ws_v3/books1__bitgetnet", &["+data[].maxdepth", "-data[].maxDepth"]),
        ],
    ),
    (
        "The captured update changes bids only; the venue's changes both sides.",
        &[("ws_v3/books__probe2026", &["+data[].a[]"])],
    ),
    (
        "The client library's sample of the ticker is of the spot market; that of a contract has \
         mark, index, funding and open interest besides, as over REST.",
        &[(
            "ws_v3/ticker__bitgetnet",
            &[
                "+data[].deliveryStartTime",
                "+data[].deliveryStatus",
                "+data[].deliveryTime",
                "+data[].fundingRate",
                "+data[].indexPrice",
                "+data[].markPrice",
                "+data[].nextFundingTime",
                "+data[].openInterest",
                "+data[].symbol",
            ],
        )],
    ),
    (
        "There is no spot margin here, so the list of its leverages is empty.",
        &[
            ("rest_v3/v3-account-settings__bitgetdocs", &["-data.coinConfigList[]"]),
            ("rest_v3/v3-account-settings__bitgetnet", &["-data.coinConfigList[]"]),
        ],
    ),
    (
        "One sample of the documentation has an empty `code` and `msg` in an acknowledgment; no \
         other sample and no recording has.",
        &[("ws_v3/position-ack__bitgetdocs", &["-code", "-msg"])],
    ),
    (
        "The client library's frame says `symbol` `default` where its request and its \
         acknowledgment have none.",
        &[("ws_v3/strategy-order__bitgetnet", &["-arg.symbol"])],
    ),
];

/// Payloads of what the venue does not have, under the reason.
pub(crate) const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "The sample is of spot or margin trading.",
        &[
            "rest_v3/v3-market-instruments__bitgetdocs__1",
            "rest_v3/v3-market-instruments__bitgetdocs__3",
            "rest_v3/v3-market-tickers__bitgetdocs__1",
            "ws_v3/ticker__bitgetdocs__1",
        ],
    ),
    (
        "The documentation's sample lacks the last letter of the topic; the client library's has it.",
        &["ws_v3/adl-notificatio-request__bitgetdocs__1"],
    ),
    (
        "Spot, margin, loans, conversion and the other parts of the unified account are no part of \
         a venue for perpetual contracts. The paths are unknown here.",
        &[
            "v3-account-adjust-account-mode",
            "v3-account-convert-records",
            "v3-account-delta-info",
            "v3-account-deposit-account",
            "v3-account-funding-assets",
            "v3-account-payment-coins",
            "v3-account-repay",
            "v3-account-repayable-coins",
            "v3-account-switch",
            "v3-account-switch-deduct",
            "v3-account-switch-status",
            "v3-market-discount-rate",
            "v3-market-margin-loans",
            "v3-market-proof-of-reserves",
        ],
    ),
    (
        "The documentation's sample of the request writes the path twice.",
        &["rest_v3/v3-user-sub-api-list-request__bitgetdocs__1"],
    ),
];

/// What differs in meaning, where no payload shows it: the venue's choice and why.
pub(crate) const CHOICES: &[(&str, &str)] = &[
    ("Reference of the price band", "Around the mark; the rules may name the last price instead."),
    (
        "Bars of 1 day and more",
        "Begin at midnight UTC; a week on Thursday. There are none of a month.",
    ),
    (
        "Words of records",
        "Those of the documentation's enumeration; the words for auto-deleveraging stand in its \
         enumeration of tax records only.",
    ),
    (
        "Reduce-only orders without room",
        "End with `delegated_risk_order_cancel`; the order that displaced them keeps its id in the \
         answer, where the real one may leave it out.",
    ),
    (
        "Isolated margin",
        "`marginMode` of an order counts; without it an order is as the contract's positions and \
         orders are, and crossed when there are none. Another mode than theirs is refused with \
         45117. `set-margin` is taken from a current client; its answer is `success`. The wallet's \
         balance holds the margin of isolated positions too.",
    ),
    (
        "Sub-accounts",
        "A frozen one reads and does not trade (25006). Money moves between unified accounts, in \
         USDT. A sub-account that asks for what is its parent's gets 25620, a stranger's number 25005.",
    ),
    (
        "Liquidation",
        "Happens at the tick next to the mark, without touching the book, and costs 0.06% at every \
         level of fees. Of several positions the one that asks the most maintenance comes first. \
         Netting a long and a short costs nothing.",
    ),
    (
        "What a liquidated account cannot pay",
        "The insurance fund pays. When it holds less than that, the last position is closed at its \
         bankruptcy price against the other side by rank; agents of the market bear the rest unseen.",
    ),
    (
        "Rank of auto-deleveraging",
        "The real formula is not published. Here it is profit over entry value times leverage, \
         squeezed below 1.",
    ),
    (
        "`execType` and `delegateType` of a deleveraged order",
        "`reduce`, as the enumeration has no word for it, and `adl`.",
    ),
    (
        "Words of strategy orders",
        "`pending` and `success` are recorded; `fail` and `cancelled` are guesses. A strategy order \
         fires at the first step of the market after its price has come.",
    ),
    (
        "Orders over the WebSocket and over REST",
        "Share the window of the endpoint. `rateLimit` in an answer is a list of `limit` and \
         `remaining`, both texts.",
    ),
    (
        "Orders after their `receiveWindow`",
        "Are acknowledged, made, and canceled at once with `cancel_receiveWindow`. `requestTime` says \
         when the window began; without it there is no window.",
    ),
    (
        "Demo keys",
        "Need `paptrading: 1` on REST requests and on the request for the WebSocket (or a host name \
         that begins with `wspap`), and other keys must not have it: 40099.",
    ),
    ("A revoked key", "Ends the sockets that are logged in with it."),
    (
        "HTTP 429 and a blocked address",
        "The JSON envelope with code 429, for a window and for the five minutes after 6,000 requests \
         in one. The ban that the administration imposes answers 403 with a page of HTML.",
    ),
];

/// The table as a page of the documentation.
pub(crate) fn document() -> String {
    let mut out = String::from(HEAD);
    for (reason, groups) in KNOWN {
        out.push_str(&format!("\n{reason}\n\n| Payload | Difference |\n|---|---|\n"));
        for (files, lines) in *groups {
            let lines: Vec<_> = lines.iter().map(|line| format!("`{line}`")).collect();
            out.push_str(&format!("| `{files}` | {} |\n", lines.join(" ")));
        }
    }
    out.push_str("\n## What the venue does not have\n");
    for (reason, names) in ELSEWHERE {
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        out.push_str(&format!("\n{reason}\n\n{}\n", names.join(", ")));
    }
    out.push_str(
        "\n## Where all sources are silent\n\n| Subject | The venue's choice |\n|---|---|\n",
    );
    for (subject, choice) in CHOICES {
        out.push_str(&format!("| {subject} | {choice} |\n"));
    }
    out
}

const HEAD: &str = "\
# Where the embedded venue differs from the recorded payloads

The payloads lie in `tests/golden/bitget`: samples of the venue's documentation, of client libraries,
and frames that were captured from the exchange. The venue is asked what was asked there, and its answer
must have the same keys with the same JSON types, or stand here. This page is made by
`tests/conformance.rs`, which fails when a line of it is no longer true.

`+` is a key that only the embedded venue sends, `-` one that only the payload has. The rows of a list
count as one row.

## Differences of shape
";
