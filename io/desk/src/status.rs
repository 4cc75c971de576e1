//! `keel status` for people: what a run tells of itself, on one screen.

use keel_io::cold::csv::harmless;
use serde_json::Value;

/// The status as text.
pub fn text(body: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        out.push_str(&format!("{name:<12}{}\n", harmless(value)));
    };
    let of = |key: &str| plain(&body[key]);
    line(
        "run",
        format!("{} {}, up {} s, {}", of("mode"), of("instance"), of("uptime_s"), of("run_dir")),
    );
    let reasons = of("state_reasons");
    let reasons =
        if reasons == "-" || reasons.is_empty() { String::new() } else { format!(" ({reasons})") };
    line("state", format!("{}{reasons}", of("state")));
    line(
        "account",
        format!(
            "equity {} USDT, loss today {}, drawdown {}, turnover {}x",
            of("equity_quote"),
            of("daily_loss_pct"),
            of("drawdown_pct"),
            of("turnover_today_x")
        ),
    );
    line(
        "orders",
        format!(
            "{} active, {} unknown, {} fills today",
            of("orders_active"),
            of("unknown_orders"),
            of("fills_count_today")
        ),
    );
    if let Some(instruments) = body["instruments"].as_object() {
        for (name, figures) in instruments {
            let of = |key: &str| plain(&figures[key]);
            line(
                name,
                format!(
                    "{} {}/{} own {}/{} position {}",
                    of("regime"),
                    of("best_bid_price"),
                    of("best_ask_price"),
                    of("own_bid_price"),
                    of("own_ask_price"),
                    of("position_base")
                ),
            );
        }
    }
    let kill = &body["kill"];
    if kill.is_object() {
        let of = |key: &str| plain(&kill[key]);
        line(
            "kill",
            format!(
                "{} by {} ({}), incident {}",
                of("status"),
                of("trigger"),
                of("reasons"),
                of("incident_id")
            ),
        );
    }
    for notice in body["notices"].as_array().into_iter().flatten() {
        line("", plain(notice));
    }
    out
}

/// A value without quotes; a dash where there is none.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
