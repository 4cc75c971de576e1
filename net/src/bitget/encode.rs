//! Order entry over the private socket (bitget reference §14, V3): templates with the numbers put
//! in.
//!
//! Nothing allocates once the buffer has grown. An [`Approved`] order is consumed: it is written
//! once.
//!
//! The venue's late-order protection (`requestTime` and `receiveWindow`, reference §2, disagreement
//! 27) is documented without its place in the message; it is written into the order's own object,
//! and only when it is switched on.

use std::collections::VecDeque;

use keel_core::command::{Cancel, CancelCause};
use keel_core::decimal::{Grid, TEXT_MAX};
use keel_core::event::{ClientId, RequestKind};
use keel_core::gate::{Approved, Intent, OrderSpec, TimeInForce};
use keel_core::instrument::{Instrument, InstrumentId};
use keel_core::planted::{Defect, Planted};
use keel_core::units::{Side, UnixNanos};

use super::client::{Instance, parse_base36, push_base36};
use super::topics::Directory;

/// Writes requests into a buffer of its own.
#[derive(Debug)]
pub struct Encoder {
    instance: Instance,
    templates: Vec<Template>,
    window_ms: Option<u16>,
    batches: u64,
    planted: Planted,
    out: Vec<u8>,
}

impl Encoder {
    /// An encoder for the engine called `instance`, over the instruments of `directory`.
    pub fn new(instance: Instance, directory: &Directory) -> Self {
        Self {
            instance,
            templates: directory.iter().map(|(_, rules)| Template::new(rules)).collect(),
            window_ms: None,
            batches: 0,
            planted: Planted::NONE,
            out: Vec::with_capacity(REQUEST_BYTES_MAX),
        }
    }

    /// The same, asking the venue to refuse orders that arrive more than `window_ms` late.
    ///
    /// # Panics
    /// Outside 10 to 60,000 ms, which the venue does not take.
    pub fn with_receive_window(mut self, window_ms: u16) -> Self {
        assert!((10..=60_000).contains(&window_ms), "a receive window has 10 to 60,000 ms");
        self.window_ms = Some(window_ms);
        self
    }

    /// The same, committing a defect.
    pub fn with_planted(self, planted: Planted) -> Self {
        Self { planted, ..self }
    }

    /// Takes in changed rules.
    pub fn update(&mut self, directory: &Directory) {
        self.templates.clear();
        self.templates.extend(directory.iter().map(|(_, rules)| Template::new(rules)));
    }

    /// The request that places `order`. `now` is the venue's time, for the receive window.
    ///
    /// # Panics
    /// When the order's instrument is not in the directory.
    #[expect(clippy::needless_pass_by_value, reason = "an approved order is written once")]
    pub fn place(&mut self, order: Approved, now: UnixNanos) -> &[u8] {
        self.write_place(order.spec(), now);
        &self.out
    }

    fn write_place(&mut self, spec: &OrderSpec, now: UnixNanos) {
        let taking;
        let spec = if self.planted.has(Defect::PostOnlyLeftOut) {
            let intent = Intent { time_in_force: TimeInForce::Gtc, ..spec.intent };
            taking = OrderSpec { intent, ..*spec };
            &taking
        } else {
            spec
        };
        let Self { instance, templates, window_ms, out, .. } = self;
        let instrument = spec.intent.instrument;
        out.clear();
        out.extend_from_slice(OPEN_ID);
        RequestId::Place { instrument, client: spec.client }.write(out);
        out.extend_from_slice(PLACE);
        let window = window_ms.map(|window| (window, now));
        templates[instrument.index()].order(spec, instance, window, out);
        out.extend_from_slice(CLOSE);
    }

    /// The request that places orders of one instrument, taken from the front of `orders`: as many
    /// as it may hold, by count ([`BATCH_MAX`]) and by bytes ([`REQUEST_BYTES_MAX`]).
    ///
    /// # Panics
    /// When `orders` is empty.
    pub fn place_batch(&mut self, orders: &mut VecDeque<Approved>, now: UnixNanos) -> Batch<'_> {
        self.batches += 1;
        let Self { instance, templates, window_ms, out, batches, .. } = self;
        let instrument = orders.front().expect("a batch has an order").spec().intent.instrument;
        out.clear();
        out.extend_from_slice(OPEN_ID);
        RequestId::Batch { request: RequestKind::Place, instrument, batch: *batches }.write(out);
        out.extend_from_slice(PLACE_BATCH);
        let (template, window) = (&templates[instrument.index()], window_ms.map(|ms| (ms, now)));
        let specs = orders.iter().map(Approved::spec);
        let same = specs.take_while(|spec| spec.intent.instrument == instrument);
        let count =
            fill(out, CLOSE.len(), same, |spec, out| template.order(spec, instance, window, out));
        // Written once: what is in the request is there no more.
        orders.drain(..count).for_each(drop);
        out.extend_from_slice(CLOSE);
        Batch { number: *batches, count, text: out }
    }

    /// The request that cancels one order, by the venue's id where it is known, and by ours.
    ///
    /// # Panics
    /// When the order has neither.
    pub fn cancel(&mut self, cancel: &Cancel) -> &[u8] {
        let Self { instance, out, .. } = self;
        let Cancel { instrument, client, order_id, .. } = *cancel;
        out.clear();
        out.extend_from_slice(OPEN_ID);
        match client.is_own() {
            true => RequestId::Cancel { instrument, client },
            false => RequestId::CancelForeign { instrument, order_id },
        }
        .write(out);
        out.extend_from_slice(CANCEL);
        push_cancel(cancel, instance, out);
        out.extend_from_slice(CLOSE);
        out
    }

    /// The request that cancels `client`, an order that there is none of: the answer tells whether
    /// orders may be entered on this socket.
    pub fn probe(&mut self, client: ClientId) -> &[u8] {
        let Self { instance, out, .. } = self;
        out.clear();
        out.extend_from_slice(OPEN_ID);
        RequestId::Probe.write(out);
        out.extend_from_slice(CANCEL);
        let (instrument, cause) = (InstrumentId(0), CancelCause::Orphan);
        push_cancel(&Cancel { instrument, client, order_id: 0, cause }, instance, out);
        out.extend_from_slice(CLOSE);
        out
    }

    /// The request that cancels orders of one instrument, from the first of `cancels` on: as many
    /// as it may hold, as [`Encoder::place_batch`].
    ///
    /// # Panics
    /// As [`Encoder::cancel`], or when `cancels` is empty.
    pub fn cancel_batch(&mut self, cancels: &[Cancel]) -> Batch<'_> {
        self.batches += 1;
        let Self { instance, out, batches, .. } = self;
        let instrument = cancels.first().expect("a batch has a cancel").instrument;
        out.clear();
        out.extend_from_slice(OPEN_ID);
        RequestId::Batch { request: RequestKind::Cancel, instrument, batch: *batches }.write(out);
        out.extend_from_slice(CANCEL_BATCH);
        let same = cancels.iter().take_while(|cancel| cancel.instrument == instrument);
        let count = fill(out, CLOSE.len(), same, |cancel, out| push_cancel(cancel, instance, out));
        out.extend_from_slice(CLOSE);
        Batch { number: *batches, count, text: out }
    }
}

/// A request about several orders.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// What names it when the venue refuses it whole.
    pub number: u64,
    /// How many orders it holds.
    pub count: usize,
    /// Its text.
    pub text: &'a [u8],
}

/// Appends objects to `out` with commas between, as `write` writes them, as long as a request may
/// hold one more; gives how many. `end` bytes still follow.
pub(super) fn fill<T>(
    out: &mut Vec<u8>,
    end: usize,
    objects: impl Iterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) -> usize {
    let mut count = 0;
    for object in objects.take(BATCH_MAX) {
        let before = out.len();
        if count > 0 {
            out.push(b',');
        }
        write(object, out);
        if out.len() + end > REQUEST_BYTES_MAX {
            out.truncate(before);
            break;
        }
        count += 1;
    }
    assert!(count > 0, "one order fits a request");
    count
}

/// What the `id` of a request says, so that an answer can be matched when it carries nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestId {
    /// A new order.
    Place {
        /// Where.
        instrument: InstrumentId,
        /// Which.
        client: ClientId,
    },
    /// The end of an order of ours.
    Cancel {
        /// Where.
        instrument: InstrumentId,
        /// Which.
        client: ClientId,
    },
    /// The end of somebody else's order.
    CancelForeign {
        /// Where.
        instrument: InstrumentId,
        /// Which, by the venue's id.
        order_id: u64,
    },
    /// Several orders in one request.
    Batch {
        /// What was asked for.
        request: RequestKind,
        /// Where.
        instrument: InstrumentId,
        /// The encoder's number for it.
        batch: u64,
    },
    /// No order: whether orders may be entered at all.
    Probe,
}

impl RequestId {
    /// Appends the text: a letter, then numbers in base 36, with dashes between. At most 33 bytes.
    pub fn write(self, out: &mut Vec<u8>) {
        let (letter, instrument, numbers) = match self {
            Self::Place { instrument, client } => (b'p', instrument, client_numbers(client)),
            Self::Cancel { instrument, client } => (b'c', instrument, client_numbers(client)),
            Self::CancelForeign { instrument, order_id } => (b'f', instrument, [order_id, 0]),
            Self::Batch { request: RequestKind::Place, instrument, batch } => {
                (b'q', instrument, [batch, 0])
            }
            Self::Batch { instrument, batch, .. } => (b'd', instrument, [batch, 0]),
            Self::Probe => (b'o', InstrumentId(0), [0, 0]),
        };
        out.push(letter);
        for number in [u64::from(instrument.0), numbers[0], numbers[1]] {
            out.push(b'-');
            push_base36(number, out);
        }
    }

    /// Reads what [`RequestId::write`] writes; `None` for every other text.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (letter, rest) = text.split_first()?;
        let mut numbers = rest.strip_prefix(b"-")?.split(|&byte| byte == b'-').map(parse_base36);
        let instrument = InstrumentId(u16::try_from(numbers.next()??).ok()?);
        let (first, second) = (numbers.next()??, numbers.next()??);
        if numbers.next().is_some() {
            return None;
        }
        let client = ClientId { epoch: u32::try_from(first).unwrap_or(0), number: second };
        let own = client.is_own() && second > 0;
        match letter {
            b'p' if own => Some(Self::Place { instrument, client }),
            b'c' if own => Some(Self::Cancel { instrument, client }),
            b'f' if second == 0 => Some(Self::CancelForeign { instrument, order_id: first }),
            b'q' if second == 0 => {
                Some(Self::Batch { request: RequestKind::Place, instrument, batch: first })
            }
            b'd' if second == 0 => {
                Some(Self::Batch { request: RequestKind::Cancel, instrument, batch: first })
            }
            b'o' if (instrument.0, first, second) == (0, 0, 0) => Some(Self::Probe),
            _ => None,
        }
    }

    /// Where the request belongs.
    pub fn instrument(self) -> InstrumentId {
        match self {
            Self::Place { instrument, .. }
            | Self::Cancel { instrument, .. }
            | Self::CancelForeign { instrument, .. }
            | Self::Batch { instrument, .. } => instrument,
            Self::Probe => InstrumentId::ALL,
        }
    }

    /// Whose order it named; [`ClientId::FOREIGN`] for batches and for orders that are not ours.
    pub fn client(self) -> ClientId {
        match self {
            Self::Place { client, .. } | Self::Cancel { client, .. } => client,
            Self::CancelForeign { .. } | Self::Batch { .. } | Self::Probe => ClientId::FOREIGN,
        }
    }

    /// What was asked for.
    pub fn request(self) -> RequestKind {
        match self {
            Self::Place { .. } => RequestKind::Place,
            Self::Cancel { .. } | Self::CancelForeign { .. } | Self::Probe => RequestKind::Cancel,
            Self::Batch { request, .. } => request,
        }
    }

    /// The venue's id of the order, where the request had no other.
    pub fn order_id(self) -> u64 {
        match self {
            Self::CancelForeign { order_id, .. } => order_id,
            Self::Place { .. } | Self::Cancel { .. } | Self::Batch { .. } | Self::Probe => 0,
        }
    }
}

fn client_numbers(client: ClientId) -> [u64; 2] {
    [u64::from(client.epoch), client.number]
}

/// The part of an order's object that never changes for its instrument.
#[derive(Debug)]
struct Template {
    head: Vec<u8>,
    tick: Grid,
    lot: Grid,
}

impl Template {
    fn new(rules: &Instrument) -> Self {
        let mut head = br#"{"symbol":""#.to_vec();
        head.extend_from_slice(rules.symbol.as_str().as_bytes());
        head.extend_from_slice(br#"","orderType":"limit","price":""#);
        Self { head, tick: rules.tick, lot: rules.lot }
    }

    fn order(
        &self,
        spec: &OrderSpec,
        instance: &Instance,
        window: Option<(u16, UnixNanos)>,
        out: &mut Vec<u8>,
    ) {
        let intent = &spec.intent;
        out.extend_from_slice(&self.head);
        push_steps(self.tick, intent.price.0, out);
        out.extend_from_slice(br#"","qty":""#);
        push_steps(self.lot, intent.lots.0, out);
        out.extend_from_slice(match intent.side {
            Side::Buy => br#"","side":"buy","timeInForce":""#,
            Side::Sell => br#"","side":"sell","timeInForce":""#,
        });
        out.extend_from_slice(word(intent.time_in_force));
        out.extend_from_slice(match intent.reduce_only {
            true => br#"","reduceOnly":"YES","clientOid":""#,
            false => br#"","reduceOnly":"NO","clientOid":""#,
        });
        instance.write(spec.client, out);
        if let Some((window_ms, now)) = window {
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(br#"","requestTime":""#);
            out.extend_from_slice(digits.format(now.millis()).as_bytes());
            out.extend_from_slice(br#"","receiveWindow":""#);
            out.extend_from_slice(digits.format(window_ms).as_bytes());
        }
        out.extend_from_slice(br#""}"#);
    }
}

/// The object of one order to cancel.
fn push_cancel(cancel: &Cancel, instance: &Instance, out: &mut Vec<u8>) {
    let own = cancel.client.is_own();
    assert!(own || cancel.order_id > 0, "an order to cancel has an id");
    out.push(b'{');
    if cancel.order_id > 0 {
        out.extend_from_slice(br#""orderId":""#);
        out.extend_from_slice(itoa::Buffer::new().format(cancel.order_id).as_bytes());
        out.extend_from_slice(if own { b"\"," } else { b"\"" });
    }
    if own {
        out.extend_from_slice(br#""clientOid":""#);
        instance.write(cancel.client, out);
        out.push(b'"');
    }
    out.push(b'}');
}

fn push_steps(grid: Grid, steps: i64, out: &mut Vec<u8>) {
    let mut text = [0; TEXT_MAX];
    let len = grid.write(steps, &mut text);
    out.extend_from_slice(&text[..len]);
}

/// `timeInForce`.
pub(super) fn word(time_in_force: TimeInForce) -> &'static [u8] {
    match time_in_force {
        TimeInForce::PostOnly => b"post_only",
        TimeInForce::Ioc => b"ioc",
        TimeInForce::Gtc => b"gtc",
    }
}

/// Most orders of one batch (bitget reference §14).
pub const BATCH_MAX: usize = 20;
/// Bytes of the longest request, on either way in: below the 4,096 that the venue takes (§10).
pub const REQUEST_BYTES_MAX: usize = 4_000;

const OPEN_ID: &[u8] = br#"{"op":"trade","id":""#;
const PLACE: &[u8] = br#"","category":"usdt-futures","topic":"place-order","args":["#;
const PLACE_BATCH: &[u8] = br#"","category":"usdt-futures","topic":"batch-place","args":["#;
const CANCEL: &[u8] = br#"","topic":"cancel-order","args":["#;
const CANCEL_BATCH: &[u8] = br#"","topic":"batch-cancel","args":["#;
const CLOSE: &[u8] = b"]}";

#[cfg(test)]
mod tests {
    use keel_core::gate::{Intent, Purpose};
    use keel_core::units::{Lots, MonoNanos, Ticks};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::bitget::tests::{btc, named};

    fn encoder() -> Encoder {
        let directory = Directory::new(&[named("ETHUSDT"), btc()]);
        Encoder::new(Instance::parse("mm1").unwrap(), &directory)
    }

    fn spec(side: Side, price: i64, lots: i64) -> OrderSpec {
        OrderSpec {
            client: ClientId { epoch: 36, number: 71 },
            intent: Intent {
                instrument: InstrumentId(1),
                side,
                price: Ticks(price),
                lots: Lots(lots),
                time_in_force: TimeInForce::PostOnly,
                reduce_only: false,
                level: 0,
                purpose: Purpose::Quote,
                made: MonoNanos(0),
            },
        }
    }

    fn cancel(client: ClientId, order_id: u64) -> Cancel {
        Cancel { instrument: InstrumentId(1), client, order_id, cause: CancelCause::Requote }
    }

    fn value(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    #[test]
    fn an_order_is_written_with_the_words_of_the_venue() {
        let mut encoder = encoder();
        encoder.write_place(&spec(Side::Sell, 772_001, 200), UnixNanos(0));
        let expected = concat!(
            r#"{"op":"trade","id":"p-1-10-1z","category":"usdt-futures","topic":"place-order","#,
            r#""args":[{"symbol":"BTCUSDT","orderType":"limit","price":"77200.1","qty":"0.0200","#,
            r#""side":"sell","timeInForce":"post_only","reduceOnly":"NO","#,
            r#""clientOid":"keel-mm1-10-1z"}]}"#
        );
        assert_eq!(std::str::from_utf8(&encoder.out), Ok(expected));
        // Every key of the documented request is there.
        let documented = value(include_bytes!(
            "../../../tests/golden/bitget/ws_v3/place-order-request__bitgetdocs__1.json"
        ));
        let ours = value(&encoder.out);
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&ours), keys(&documented));
        for key in keys(&documented["args"][0]) {
            assert!(ours["args"][0].get(&key).is_some(), "{key}");
        }
    }

    #[test]
    fn the_receive_window_is_written_only_when_it_is_switched_on() {
        let now = UnixNanos::from_millis(1_789_456_512_452);
        let mut plain = encoder();
        plain.write_place(&spec(Side::Buy, 1, 1), now);
        assert!(value(&plain.out)["args"][0].get("receiveWindow").is_none());
        let mut strict = encoder().with_receive_window(500);
        strict.write_place(&spec(Side::Buy, 1, 1), now);
        let order = &value(&strict.out)["args"][0];
        assert_eq!(order["receiveWindow"], "500");
        assert_eq!(order["requestTime"], "1789456512452");
    }

    #[test]
    fn a_cancel_names_the_order_by_every_id_it_has() {
        let own = ClientId { epoch: 36, number: 71 };
        let mut encoder = encoder();
        let both = value(encoder.cancel(&cancel(own, 9)));
        assert_eq!((&both["id"], &both["topic"]), (&json!("c-1-10-1z"), &json!("cancel-order")));
        assert_eq!(both["args"], json!([{"orderId": "9", "clientOid": "keel-mm1-10-1z"}]));
        let unacknowledged = value(encoder.cancel(&cancel(own, 0)));
        assert_eq!(unacknowledged["args"], json!([{"clientOid": "keel-mm1-10-1z"}]));
        let foreign = value(encoder.cancel(&cancel(ClientId::FOREIGN, 9)));
        assert_eq!(
            (&foreign["id"], &foreign["args"]),
            (&json!("f-1-9-0"), &json!([{"orderId": "9"}]))
        );
        let batch = encoder.cancel_batch(&[cancel(own, 9), cancel(own, 0)]);
        assert_eq!((batch.number, batch.count), (1, 2));
        let batch = value(batch.text);
        assert_eq!(batch["id"], json!("d-1-1-0"));
        assert_eq!(batch["topic"], "batch-cancel");
        assert_eq!(batch["args"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn cancels_are_split_by_count_and_by_instrument() {
        let number_max = super::super::client::NUMBER_MAX;
        let own = |number| ClientId { epoch: u32::MAX, number: number_max - number };
        let mut encoder = encoder();
        for (orders, expected) in [(1, 1), (BATCH_MAX, BATCH_MAX), (BATCH_MAX + 1, BATCH_MAX)] {
            let cancels: Vec<Cancel> =
                (0..orders as u64).map(|n| cancel(own(n), u64::MAX - n)).collect();
            let batch = encoder.cancel_batch(&cancels);
            assert_eq!(batch.count, expected, "of {orders}");
            assert!(batch.text.len() <= REQUEST_BYTES_MAX);
            assert_eq!(value(batch.text)["args"].as_array().unwrap().len(), expected);
        }
        let other = Cancel { instrument: InstrumentId(0), ..cancel(own(1), 2) };
        assert_eq!(encoder.cancel_batch(&[cancel(own(0), 1), other]).count, 1);
    }

    #[test]
    fn objects_are_put_together_as_long_as_the_request_stays_within_its_bytes() {
        // Three objects at the limit, one byte below it and one above it.
        for (beyond, expected) in [(-1i64, 3), (0, 3), (1, 2)] {
            let mut out = b"head[".to_vec();
            let object = |size: usize, out: &mut Vec<u8>| {
                out.extend(std::iter::repeat_n(b'x', size));
            };
            let last = (REQUEST_BYTES_MAX as i64 - 5 - 2 - 2_000 - 2 + beyond) as usize;
            let count = fill(&mut out, 2, [1_000, 1_000, last].into_iter(), object);
            assert_eq!(count, expected, "{beyond:+}");
            assert!(out.len() + 2 <= REQUEST_BYTES_MAX && !out.ends_with(b","));
        }
    }

    #[test]
    fn a_probe_cancels_an_order_that_nobody_has() {
        let mut encoder = encoder();
        let none = ClientId { epoch: 1, number: 5 };
        let probe = value(encoder.probe(none));
        assert_eq!((&probe["id"], &probe["topic"]), (&json!("o-0-0-0"), &json!("cancel-order")));
        assert_eq!(probe["args"], json!([{"clientOid": "keel-mm1-1-5"}]));
    }

    #[test]
    #[should_panic(expected = "an order to cancel has an id")]
    fn a_cancel_without_an_id_is_a_defect() {
        encoder().cancel(&cancel(ClientId::FOREIGN, 0));
    }

    proptest! {
        #[test]
        fn a_request_id_reads_back_and_fits_forty_bytes(
            kind in 0u8..6,
            instrument in any::<u16>(),
            epoch in 1u32..,
            number in 1u64..=super::super::client::NUMBER_MAX,
        ) {
            let instrument = InstrumentId(instrument);
            let client = ClientId { epoch, number };
            let id = match kind {
                0 => RequestId::Place { instrument, client },
                1 => RequestId::Cancel { instrument, client },
                2 => RequestId::CancelForeign { instrument, order_id: u64::MAX - number },
                3 => RequestId::Batch { request: RequestKind::Place, instrument, batch: number },
                4 => RequestId::Probe,
                _ => RequestId::Batch { request: RequestKind::Cancel, instrument, batch: number },
            };
            let mut text = Vec::new();
            id.write(&mut text);
            prop_assert!(text.len() <= 40);
            prop_assert_eq!(RequestId::parse(&text), Some(id));
        }

        #[test]
        fn what_an_order_says_is_what_was_approved(
            price in 1i64..10_000_000,
            lots in 1i64..100_000_000,
            buy in any::<bool>(),
            reduce_only in any::<bool>(),
            tif in 0usize..3,
        ) {
            let mut spec = spec(if buy { Side::Buy } else { Side::Sell }, price, lots);
            spec.intent.reduce_only = reduce_only;
            spec.intent.time_in_force = TimeInForce::ALL[tif];
            let mut encoder = encoder();
            encoder.write_place(&spec, UnixNanos(0));
            let order = &value(&encoder.out)["args"][0];
            let text = |key: &str| order[key].as_str().unwrap().to_owned();
            prop_assert_eq!(btc().tick.steps(text("price").as_bytes()), Ok(price));
            prop_assert_eq!(btc().lot.steps(text("qty").as_bytes()), Ok(lots));
            prop_assert_eq!(text("side"), spec.intent.side.to_string());
            prop_assert_eq!(text("timeInForce"), spec.intent.time_in_force.text());
            prop_assert_eq!(text("reduceOnly"), if reduce_only { "YES" } else { "NO" });
        }
    }

    #[test]
    fn texts_that_are_no_request_id_of_ours_are_none() {
        for bad in [
            "",
            "p",
            "p-1",
            "p-1-10",
            "p-1-10-1z-1",
            "x-1-10-1z",
            "p-1-0-1",
            "p-1-1-0",
            "f-1-9-1",
            "p-zzzz-1-1",
            "1750034396082",
            "P-1-10-1z",
            "p-01-10-1z",
            "o-1-0-0",
            "o-0-0-1",
        ] {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
