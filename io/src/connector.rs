//! The connector's status, as operators read it: computed from the engine's figures, never assumed.

use keel_core::status::{Key, Row};
use serde_json::{Value, json};

/// The object `connector_status` of one instrument's row. `guardian_lease_age_ms` is null where
/// nobody holds a lease.
pub fn connector_status(row: &Row, guardian_lease_age_ms: Option<u64>) -> Value {
    let is = |key: Key| row.value(key) != 0;
    let ms = |key: Key| row.value(key) / 1_000_000;
    let rest = row.value(Key::rest_age) <= REST_AGE_NS_MAX;
    let fresh = is(Key::book_fresh) && is(Key::book_seq_ok);
    let streams = is(Key::public_ws) && is(Key::private_ws);
    json!({
        "public_ws": is(Key::public_ws),
        "private_ws": is(Key::private_ws),
        "rest": rest,
        "order_entry": if is(Key::order_entry_rest) { "rest" } else { "websocket" },
        "clock_offset_ms": ms(Key::clock_offset),
        "clock_uncertainty_ms": ms(Key::clock_uncertainty),
        "book_seq_ok": is(Key::book_seq_ok),
        "last_message_age_ms": {
            "books": ms(Key::book_age),
            "ticker": ms(Key::ticker_age),
            "private": ms(Key::private_age),
        },
        "countdown_armed": is(Key::countdown_armed),
        "guardian_lease_age_ms": guardian_lease_age_ms,
        "ready": streams && rest && fresh && is(Key::ready),
    })
}

/// The venue's clock is read each 10 s: three readings missed, and REST is not there.
const REST_AGE_NS_MAX: i64 = 30_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_only_while_every_part_is() {
        let mut fine = Row::EMPTY;
        for key in [Key::public_ws, Key::private_ws, Key::book_seq_ok, Key::book_fresh, Key::ready]
        {
            fine.set(key, 1);
        }
        fine.set(Key::rest_age, REST_AGE_NS_MAX);
        assert_eq!(connector_status(&fine, None)["ready"], true);
        for (key, value) in [
            (Key::public_ws, 0),
            (Key::private_ws, 0),
            (Key::book_seq_ok, 0),
            (Key::ready, 0),
            (Key::book_fresh, 0),
            (Key::rest_age, REST_AGE_NS_MAX + 1),
        ] {
            let mut row = fine;
            row.set(key, value);
            assert_eq!(connector_status(&row, None)["ready"], false, "{}", key.name());
        }
    }
}
