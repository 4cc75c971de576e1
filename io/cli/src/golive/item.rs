//! The checklist: its items, the boxes of each, and the evidence that it asks for.

/// One item of the go-live checklist.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Its number, from 1.
    pub number: u8,
    /// Its heading.
    pub title: &'static str,
    /// Its boxes, in the checklist's own words.
    pub boxes: &'static [&'static str],
    /// The evidence that it names.
    pub evidence: &'static str,
}

/// The checklist has this many items; those after them are the project's own.
pub const CHECKLIST_ITEMS: u8 = 14;

/// The item with a number.
pub fn item(number: u8) -> Option<&'static Item> {
    ITEMS.iter().find(|item| item.number == number)
}

/// Every item, in order.
pub const ITEMS: &[Item] = &[
    Item {
        number: 1,
        title: "Fee Resolution",
        boxes: &[
            "`fee_mode: auto` resolves correctly from exchange API",
            "Fee rates match exchange dashboard (maker/taker)",
            "`require_fee_resolution: true` blocks trading when fees fail",
        ],
        evidence: "`processed_data.fee_source` shows `api:exchange:*`",
    },
    Item {
        number: 2,
        title: "Trading Rules",
        boxes: &[
            "Min notional, tick size, lot size match exchange docs",
            "`_quantize_price` and `_quantize_amount` produce valid values",
            "Orders pass exchange validation (no rejects for size/price)",
        ],
        evidence: "Zero `did_fail_order` events with \"invalid\" in message",
    },
    Item {
        number: 3,
        title: "Kill Switch",
        boxes: &[
            "`services/kill_switch/main.py` deployed and running",
            "Dry-run kill switch tested: cancels all orders",
            "Live kill switch tested on testnet: orders actually canceled",
        ],
        evidence: "`reports/kill_switch/latest.json` shows `status: executed`",
    },
    Item {
        number: 4,
        title: "Orphan Order Scan",
        boxes: &[
            "Startup scan detects and cancels untracked orders",
            "Tested: place order via exchange UI, restart bot, verify canceled",
        ],
        evidence: "Log entry \"Orphan order canceled: ...\"",
    },
    Item {
        number: 5,
        title: "Position Reconciliation",
        boxes: &[
            "`_check_position_reconciliation` runs every 5 min",
            "Position drift > 5% triggers SOFT_PAUSE",
            "`position_drift_pct` visible in `processed_data`",
        ],
        evidence: "`position_drift_pct` stays < 1% during normal operation",
    },
    Item {
        number: 6,
        title: "WS Reconnection",
        boxes: &[
            "`ws_reconnect_count` tracked in `processed_data`",
            "Order book staleness detected (same TOB > 30s)",
            "`connector_status` dict visible in `processed_data`",
        ],
        evidence: "Zero undetected WS drops during 24h soak",
    },
    Item {
        number: 7,
        title: "Order Lifecycle",
        boxes: &[
            "Order ack timeout (30s) triggers cancel for stuck orders",
            "Cancel-before-place guard prevents duplicate levels",
            "`max_active_executors` limit enforced",
            "Execution price deviation > 1% logged as WARNING",
        ],
        evidence: "No duplicate orders during regime transitions",
    },
    Item {
        number: 8,
        title: "Rate Limits",
        boxes: &[
            "`cancel_budget_per_min: 50` aligns with exchange limit",
            "Cancel budget escalation (3 breaches → HARD_STOP) works",
            "Exchange rate limit headers show > 50% headroom during soak",
        ],
        evidence: "Zero 429 responses during 48h soak",
    },
    Item {
        number: 9,
        title: "Risk Controls",
        boxes: &[
            "`max_daily_loss_pct_hard: 0.03` triggers HARD_STOP",
            "`max_drawdown_pct_hard: 0.05` triggers HARD_STOP",
            "HARD_STOP publishes kill_switch intent",
            "Leverage cap validated (`max_leverage` check in __init__)",
            "Margin ratio monitoring active (perps)",
        ],
        evidence: "Synthetic breach test triggers expected controls",
    },
    Item {
        number: 10,
        title: "PnL Accounting",
        boxes: &[
            "`realized_pnl_quote` column in fills.csv is populated",
            "Daily state persists across restart (`daily_state.json`)",
            "Funding rate tracked and visible in `processed_data`",
            "`edge_report.py` shows positive or explainable negative edge",
        ],
        evidence: "Daily PnL matches exchange account statement within 5%",
    },
    Item {
        number: 11,
        title: "Paper→Live Parity",
        boxes: &[
            "Run paper and testnet simultaneously for 1 hour",
            "Compare: fill count ratio, spread capture, regime distribution",
            "PnL direction should be consistent (both positive or both negative)",
        ],
        evidence: "Side-by-side comparison document",
    },
    Item {
        number: 12,
        title: "Restart Recovery",
        boxes: &[
            "Start bot, let it place orders, SIGKILL process",
            "Restart and verify orphan orders detected/canceled",
            "Daily state restored (loss limits carry over)",
        ],
        evidence: "Log entries showing orphan cleanup + state restoration",
    },
    Item {
        number: 13,
        title: "Multi-Day Soak (48h)",
        boxes: &[
            "Run continuously on testnet for 48 hours",
            "Daily rollover resets counters correctly",
            "No memory growth (check RSS every 6h)",
            "No executor leak (active count stays bounded)",
            "Funding rate settlement handled (every 8h)",
        ],
        evidence: "`minute.csv` shows 2880 rows, no gaps",
    },
    Item {
        number: 14,
        title: "Exchange-Specific",
        boxes: &[
            "Bitget API key has trade + read permissions only (no withdrawal)",
            "IP allowlist configured on exchange",
            "Account is in correct mode (isolated/cross margin)",
            "Position mode (ONEWAY) confirmed on exchange",
        ],
        evidence: "Exchange account settings screenshot",
    },
    own(15, "No paper shim reachable in live mode"),
    own(16, "`ready` is computed"),
    own(17, "Clock offset pulls quotes at 500 ms and refuses at 2 s"),
    own(18, "After a kill the engine stays down until `rearm`"),
    own(19, "A failed start-up synchronization blocks trading"),
    own(20, "Snapshots include positions"),
    own(21, "50 partial fills on one order give an exact PnL"),
    own(22, "A partition of 30 s in the middle of trading"),
    own(23, "A full or stalled disk"),
    own(24, "A streak of failed cancels is not reset by other failures"),
];

const fn own(number: u8, title: &'static str) -> Item {
    Item { number, title, boxes: &[], evidence: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_numbered_from_one_without_a_gap() {
        for (place, item) in ITEMS.iter().enumerate() {
            assert_eq!(usize::from(item.number), place + 1, "{}", item.title);
            let of_checklist = item.number <= CHECKLIST_ITEMS;
            assert_eq!(of_checklist, !item.boxes.is_empty(), "{}", item.title);
        }
        assert_eq!(ITEMS.len(), 24);
    }
}
