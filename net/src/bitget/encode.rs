//! Order entry over the private socket (bitget reference §14, V3): templates with the numbers put in.
//!
//! Nothing allocates once the buffer has grown. An [`Approved`] order is consumed: it is written once.
//!
//! The venue's late-order protection (`requestTime` and `receiveWindow`, reference §2, disagreement
//! 27) is documented without its place in the message; it is written into the order's own object, and
//! only when it is switched on.

use keel_core::command::Cancel;
use keel_core::decimal::{Grid, TEXT_MAX};
use keel_core::event::{ClientId, RequestKind};
use keel_core::gate::{Approved, OrderSpec, TimeInForce};
use keel_core::instrument::{Instrument, InstrumentId};
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
        let spec = *order.spec();
        let Self { instance, templates, window_ms, out, .. } = self;
        let template = &templates[spec.intent.instrument.index()];
        out.clear();
        out.extend_from_slice(OPEN_ID);
        let client = spec.client;
        RequestId::Place { instrument: spec.intent.instrument, client }.write(out);
        out.extend_from_slice(PLACE);
        template.order(&spec, instance, window_ms.map(|window| (window, now)), out);
        out.extend_from_slice(CLOSE);
        out
    }

    /// The request that places up to [`BATCH_MAX`] orders of one instrument, and the number that
    /// names it when the venue refuses it whole.
    ///
    /// # Panics
    /// When `orders` is empty, longer, or of several instruments.
    pub fn place_batch(
        &mut self,
        orders: impl IntoIterator<Item = Approved>,
        now: UnixNanos,
    ) -> (u64, &[u8]) {
        self.batches += 1;
        let Self { instance, templates, window_ms, out, batches } = self;
        out.clear();
        let mut first = None;
        let mut count = 0;
        for order in orders {
            let spec = *order.spec();
            let instrument = spec.intent.instrument;
            if first.is_none() {
                out.extend_from_slice(OPEN_ID);
                let request = RequestKind::Place;
                RequestId::Batch { request, instrument, batch: *batches }.write(out);
                out.extend_from_slice(PLACE_BATCH);
            } else {
                out.push(b',');
            }
            count += 1;
            assert!(*first.get_or_insert(instrument) == instrument, "a batch has one instrument");
            assert!(count <= BATCH_MAX, "a batch has at most {BATCH_MAX} orders");
            let template = &templates[instrument.index()];
            template.order(&spec, instance, window_ms.map(|window| (window, now)), out);
        }
        assert!(count > 0, "a batch has an order");
        out.extend_from_slice(CLOSE);
        (*batches, out)
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

    /// The request that cancels up to [`BATCH_MAX`] orders of one instrument, and its number.
    ///
    /// # Panics
    /// As [`Encoder::cancel`], or when `cancels` is empty, longer, or of several instruments.
    pub fn cancel_batch(&mut self, cancels: &[Cancel]) -> (u64, &[u8]) {
        assert!((1..=BATCH_MAX).contains(&cancels.len()), "a batch has 1 to {BATCH_MAX} orders");
        let instrument = cancels[0].instrument;
        assert!(cancels.iter().all(|cancel| cancel.instrument == instrument), "one instrument");
        self.batches += 1;
        let Self { instance, out, batches, .. } = self;
        out.clear();
        out.extend_from_slice(OPEN_ID);
        RequestId::Batch { request: RequestKind::Cancel, instrument, batch: *batches }.write(out);
        out.extend_from_slice(CANCEL_BATCH);
        for (place, cancel) in cancels.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            push_cancel(cancel, instance, out);
        }
        out.extend_from_slice(CLOSE);
        (*batches, out)
    }
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
        }
    }

    /// Whose order it named; [`ClientId::FOREIGN`] for batches and for orders that are not ours.
    pub fn client(self) -> ClientId {
        match self {
            Self::Place { client, .. } | Self::Cancel { client, .. } => client,
            Self::CancelForeign { .. } | Self::Batch { .. } => ClientId::FOREIGN,
        }
    }

    /// What was asked for.
    pub fn request(self) -> RequestKind {
        match self {
            Self::Place { .. } => RequestKind::Place,
            Self::Cancel { .. } | Self::CancelForeign { .. } => RequestKind::Cancel,
            Self::Batch { request, .. } => request,
        }
    }

    /// The venue's id of the order, where the request had no other.
    pub fn order_id(self) -> u64 {
        match self {
            Self::CancelForeign { order_id, .. } => order_id,
            Self::Place { .. } | Self::Cancel { .. } | Self::Batch { .. } => 0,
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
/// What the longest request takes: a full batch.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;

const OPEN_ID: &[u8] = br#"{"op":"trade","id":""#;
const PLACE: &[u8] = br#"","category":"usdt-futures","topic":"place-order","args":["#;
const PLACE_BATCH: &[u8] = br#"","category":"usdt-futures","topic":"batch-place","args":["#;
const CANCEL: &[u8] = br#"","topic":"cancel-order","args":["#;
const CANCEL_BATCH: &[u8] = br#"","topic":"batch-cancel","args":["#;
const CLOSE: &[u8] = b"]}";
