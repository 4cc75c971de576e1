//! What a person reads of a bundle: the filled checklist, and one page.

use std::fmt::Write as _;

use keel_desk::report::page;
use serde_json::Value;

use super::item::{CHECKLIST_ITEMS, ITEMS};

/// The checklist in its own words; each item with its verdict and what it was judged by. A box is
/// ticked only where claims prove it and all of them hold.
pub(super) fn checklist(body: &Value) -> String {
    let mut out = String::from("# Go-Live Hardening Checklist\n");
    let _ = writeln!(
        out,
        "\nMade {} by keel {}, on the {} venue. A machine filled it from the records beside it.",
        text(&body["made_utc"]),
        text(&body["keel"]),
        text(&body["venue"])
    );
    for (item, judged) in ITEMS.iter().zip(items(body)) {
        let (verdict, venue) = (text(&judged["verdict"]), text(&judged["venue"]));
        let _ = writeln!(out, "\n### {}. {} — {verdict}", item.number, item.title);
        if verdict != "NOT RUN" {
            let _ = writeln!(out, "- Ran on: {venue}");
        }
        for (at, line) in item.boxes.iter().enumerate() {
            let tick = if is_proved(judged, at + 1) { 'x' } else { ' ' };
            let _ = writeln!(out, "- [{tick}] {line}");
        }
        if item.number <= CHECKLIST_ITEMS {
            let _ = writeln!(out, "- **Evidence:** {}", item.evidence);
        }
        for finding in list(&judged["findings"]) {
            let held = if finding["holds"] == true { "holds" } else { "DOES NOT HOLD" };
            let _ = writeln!(
                out,
                "  - {held}: {} ({})",
                text(&finding["claim"]),
                text(&finding["seen"]).trim()
            );
        }
        for line in list(&judged["set"]).map(set) {
            let _ = writeln!(out, "  - {line}");
        }
        if let Some(trouble) = judged["trouble"].as_str() {
            let _ = writeln!(out, "  - could not be carried out: {trouble}");
        }
        if let Some(reason) = judged["not_run"].as_str() {
            let _ = writeln!(out, "  - not run: {reason}");
        }
    }
    out
}

/// One page with everything that was found, and the `raw` answers by their names; it asks for
/// nothing from outside.
pub(super) fn html(body: &Value, raw: &[(String, String)]) -> String {
    let mut rows = String::new();
    for judged in items(body) {
        let verdict = text(&judged["verdict"]);
        let class = verdict.to_lowercase().replace(' ', "-");
        let _ = writeln!(
            rows,
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td><b>{verdict}</b></td><td>{}, {}</td>\
             <td>{:.1}</td></tr>",
            judged["number"],
            escaped(&judged["title"]),
            escaped(&judged["label"]),
            escaped(&judged["venue"]),
            judged["took_ms"].as_f64().unwrap_or(0.0) / 1_000.0
        );
        let _ = writeln!(rows, "<tr><td></td><td colspan=\"4\">{}", escaped(&judged["why"]));
        rows.push_str("<ul>");
        for finding in list(&judged["findings"]) {
            let mark = if finding["holds"] == true { "✓" } else { "✗" };
            let (claim, seen) = (escaped(&finding["claim"]), escaped(&finding["seen"]));
            let _ = writeln!(rows, "<li>{mark} {claim}<br><code>{seen}</code></li>");
        }
        for line in list(&judged["set"]).map(set) {
            let _ = writeln!(rows, "<li>{}</li>", page::escaped(&line));
        }
        for key in ["trouble", "not_run"] {
            if judged[key].is_string() {
                let _ = writeln!(rows, "<li>✗ {}</li>", escaped(&judged[key]));
            }
        }
        rows.push_str("</ul></td></tr>\n");
    }
    let answers = raw.iter().map(|(name, text)| {
        format!("<h2>{}</h2>\n<pre>{}</pre>\n", page::escaped(name), page::escaped(text))
    });
    let answers: String = answers.collect();
    let body = format!(
        "<h1>Go-live check</h1>\n\
         <p>Made {} by keel {} on the {} venue. Binary <code>{}</code>, configuration \
         <code>{}</code>.</p>\n<table>\n<tr><th>Item<th><th>Verdict<th>Ran on<th>Seconds</tr>\n\
         {rows}</table>\n{answers}",
        escaped(&body["made_utc"]),
        escaped(&body["keel"]),
        escaped(&body["venue"]),
        escaped(&body["binary_blake3"]),
        escaped(&body["config_blake3"]),
    );
    page::page("go-live", &body)
}

/// A value that a drill has set, in words.
fn set(row: &Value) -> String {
    let part = |name: &str| text(&row[name]);
    let (key, why) = (part("key"), part("why"));
    format!(
        "set by the drill: {key} = {} instead of {} ({why})",
        part("drilled"),
        part("configured")
    )
}

/// Whether some claim proves a box of the item, and all that do hold.
fn is_proved(judged: &Value, place: usize) -> bool {
    let mut proofs = list(&judged["findings"]).filter(|f| f["proves"] == place).peekable();
    proofs.peek().is_some() && proofs.all(|finding| finding["holds"] == true)
}

fn items(body: &Value) -> impl Iterator<Item = &Value> {
    list(&body["items"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text that is no markup, wherever it came from.
fn escaped(value: &Value) -> String {
    page::escaped(text(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body(holds: bool) -> Value {
        let item = |number: u8| {
            json!({
                "number": number, "title": "a <title>", "verdict": "FAIL", "label": "wire",
                "why": "because", "took_ms": 1_500,
                "findings": [
                    { "proves": 1, "claim": "it & that", "holds": holds, "seen": "<b>" },
                    { "proves": 0, "claim": "ends in order", "holds": false, "seen": "1" },
                ],
            })
        };
        json!({ "made_utc": "now", "keel": "0", "venue": "embedded",
                "items": (1..=24).map(item).collect::<Vec<_>>() })
    }

    #[test]
    fn boxes_are_ticked_only_where_claims_prove_them() {
        let counts = |page: &str| (page.matches("- [x]").count(), page.matches("- [ ]").count());
        let boxes: usize = ITEMS.iter().map(|item| item.boxes.len()).sum();
        let proved = checklist(&body(true));
        assert_eq!(counts(&proved), (14, boxes - 14), "the first box of each item");
        let failed = checklist(&body(false));
        assert_eq!(counts(&failed), (0, boxes));
        assert!(failed.contains("DOES NOT HOLD: it & that"));
    }

    #[test]
    fn the_page_shows_text_as_text_and_asks_for_nothing_from_outside() {
        let page = html(&body(false), &[("info".to_owned(), "{ \"a\": \"<i>\" }".to_owned())]);
        assert!(page.contains("&lt;i&gt;") && !page.contains("<i>"));
        assert!(page.contains("a &lt;title&gt;") && page.contains("<code>&lt;b&gt;</code>"));
        for outside in ["http:", "https:", "src=", "href="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
