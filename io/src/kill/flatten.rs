//! Flatten: positions closed by reduce-only orders that take at once, within the collar.
//!
//! A position is acted on only when two readings agree. Each order passes the gate of
//! `keel_risk::FlattenGate`, so that it cannot turn a position around, and is sent once.

use keel_core::event::{ClientId, PositionReport, RequestKind, Ticker};
use keel_core::gate::{AccountView, InstrumentView, Intent, Purpose, TimeInForce, View, submit};
use keel_core::instrument::{Instrument, InstrumentId, Symbol};
use keel_core::units::{E8, Lots, MILLIS, MonoNanos, SECONDS, Side, Ticks, UnixNanos};
use keel_net::bitget::rest::{Answers, Call};
use keel_net::bitget::topics::Directory;
use keel_risk::FlattenGate;

use super::{Place, Trouble};

/// Positions on their way to zero.
#[derive(Debug)]
pub(super) struct Flatten {
    /// Whose positions.
    of: Vec<InstrumentId>,
    step: Step,
    wait: MonoNanos,
    round: u32,
    /// Questions since two readings last agreed that brought nothing.
    vain: u32,
    /// The reading before, until a second one agrees.
    first: Option<Vec<(InstrumentId, Lots)>>,
    /// What two readings agree on, without zeros.
    positions: Vec<(InstrumentId, Lots)>,
    tickers: Vec<Ticker>,
    /// Orders sent or refused, in order.
    orders: Vec<Closing>,
    /// The number of the next order's client id, from a range that no engine reaches.
    number: u64,
    status: Option<Status>,
    /// What the engine's ledger holds, by instrument, where venue and ledger must agree.
    belief: Option<Vec<(InstrumentId, Lots)>>,
    /// Since when they have not.
    disagree: Option<MonoNanos>,
}

/// One order of a flatten.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    pub(super) symbol: Symbol,
    pub(super) side: Side,
    pub(super) amount: String,
    pub(super) order_id: u64,
    pub(super) refused: Option<String>,
}

/// How a flatten ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// No position was there.
    Flat,
    /// All were closed.
    Closed,
    /// Some are left.
    Partial,
    /// Venue and ledger do not agree on what is held: nothing was traded.
    Disagree,
}

/// What is asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Positions,
    Tickers,
    /// Closes the last of the positions.
    Close,
}

/// How long venue and ledger may take until they agree.
const DISAGREE_NS_MAX: u64 = 10 * SECONDS;
/// Rounds until it is given up.
const ROUNDS_MAX: u32 = 5;
/// Questions in vain until it is given up: half a minute at least, by the pauses between them.
const VAIN_MAX: u32 = 200;
/// Between two readings that are to agree, and between an order and its effect.
const SETTLE_NS: u64 = 150 * MILLIS;

impl Flatten {
    /// Closes positions `of` these instruments. `utc` makes its client ids different from those of
    /// every other flatten.
    pub(super) fn new(of: Vec<InstrumentId>, utc: UnixNanos) -> Self {
        Self {
            of,
            step: Step::Positions,
            wait: MonoNanos::ZERO,
            round: 0,
            vain: 0,
            first: None,
            positions: Vec::new(),
            tickers: Vec::new(),
            orders: Vec::new(),
            number: ClientId::CLOSING_FROM + utc.millis().unsigned_abs(),
            status: None,
            belief: None,
            disagree: None,
        }
    }

    /// What the engine holds, by instrument; `None` where only the venue is asked.
    pub(super) fn believe(&mut self, held: Option<&[Lots]>) {
        self.belief = held.map(|held| {
            let ids = (0..).map(InstrumentId).zip(held.iter().copied());
            ids.filter(|(id, lots)| !lots.is_zero() && self.of.contains(id)).collect()
        });
    }

    pub(super) fn is_over(&self) -> bool {
        self.status.is_some()
    }

    pub(super) fn status(&self) -> Option<Status> {
        self.status
    }

    pub(super) fn orders(&self) -> &[Closing] {
        &self.orders
    }

    /// What is left, as last read; `None` when that cannot be told.
    pub(super) fn positions(&self) -> Option<&[(InstrumentId, Lots)]> {
        (self.vain < VAIN_MAX).then_some(&self.positions[..])
    }

    pub(super) fn next(&self, now: MonoNanos) -> Option<Step> {
        (now >= self.wait).then_some(self.step)
    }

    /// The request of a step; `None` when the gate refuses the order, which is then left out.
    pub(super) fn call(&mut self, step: Step, place: &Place, now: MonoNanos) -> Option<Call> {
        let only = match self.of[..] {
            [one] => place.rules.get(one.index()).map(|rules| rules.symbol),
            _ => None,
        };
        match step {
            Step::Positions => Some(Call::positions(only)),
            Step::Tickers => Some(Call::tickers(only)),
            Step::Close => self.close(place, now),
        }
    }

    /// Takes an answer in.
    pub(super) fn take(
        &mut self,
        step: Step,
        answers: &mut Answers,
        directory: &Directory,
        status: u16,
        body: &[u8],
        now: MonoNanos,
    ) -> Result<(), Trouble> {
        match step {
            Step::Positions => {
                let read = answers.positions(status, body, directory)?;
                self.read(&read, now);
            }
            Step::Tickers => {
                self.tickers = answers.tickers(status, body, directory)?;
                self.step = Step::Close;
            }
            Step::Close => {
                let (id, kind) = (InstrumentId::ALL, RequestKind::Place);
                let reply = answers.reply(status, body, kind, id, ClientId::FOREIGN);
                if let Some(order) = self.orders.last_mut() {
                    order.order_id = reply.order_id;
                    if reply.code != 0 {
                        order.refused = Some(format!("the venue answered {}", reply.code));
                    }
                }
                self.sent(now);
            }
        }
        Ok(())
    }

    /// No answer came: a question is asked again, an order is not. The position will tell.
    pub(super) fn lost(&mut self, step: Step, now: MonoNanos) {
        match step {
            Step::Positions | Step::Tickers => {
                self.wait = now.after(SETTLE_NS);
                self.count_vain();
            }
            Step::Close => self.sent(now),
        }
    }

    /// Begins its round anew with what is held.
    pub(super) fn read_again(&mut self) {
        (self.step, self.first) = (Step::Positions, None);
    }

    /// A question has brought nothing: so many are asked, and then a person must look.
    fn count_vain(&mut self) {
        self.vain += 1;
        if self.vain >= VAIN_MAX {
            self.status = Some(Status::Partial);
        }
    }

    /// Two readings that agree are the position.
    fn read(&mut self, reports: &[PositionReport], now: MonoNanos) {
        let mut held: Vec<_> = reports
            .iter()
            .filter(|report| !report.lots.is_zero() && self.of.contains(&report.instrument))
            .map(|report| (report.instrument, report.lots))
            .collect();
        held.sort_by_key(|(id, _)| id.index());
        if self.first.as_ref() != Some(&held) {
            self.first = Some(held);
            self.wait = now.after(SETTLE_NS);
            return self.count_vain();
        }
        (self.first, self.vain) = (None, 0);
        // Only the first order needs both: its own fill reaches the ledger later.
        let agreed = self.belief.as_ref().is_none_or(|belief| *belief == held);
        if self.orders.is_empty() && !agreed {
            let since = *self.disagree.get_or_insert(now);
            self.wait = now.after(SETTLE_NS);
            if now.since(since) > DISAGREE_NS_MAX {
                (self.positions, self.status) = (held, Some(Status::Disagree));
            }
            return;
        }
        self.positions = held;
        let tried = !self.orders.is_empty();
        if self.positions.is_empty() {
            self.status = Some(if tried { Status::Closed } else { Status::Flat });
        } else if self.round == ROUNDS_MAX {
            self.status = Some(Status::Partial);
        } else {
            self.round += 1;
            self.step = Step::Tickers;
        }
    }

    fn close(&mut self, place: &Place, now: MonoNanos) -> Option<Call> {
        let (id, held) = *self.positions.last()?;
        let rules = place.rules.get(id.index())?;
        let ticker = self.tickers.iter().find(|ticker| ticker.instrument == id);
        let side = if held.0 > 0 { Side::Sell } else { Side::Buy };
        let lots = Lots(held.0.abs().min(rules.max_lots.0));
        let mut order = Closing {
            symbol: rules.symbol,
            side,
            amount: crate::cold::daily::grid_text(rules.lot, lots.0),
            order_id: 0,
            refused: None,
        };
        let made = ticker.ok_or_else(|| "no price".to_owned()).and_then(|ticker| {
            self.number += 1;
            let client = ClientId { epoch: place.epoch.max(1), number: self.number };
            approve(place, rules, ticker, held, (side, lots), client, now)
        });
        match made {
            Ok(call) => {
                self.orders.push(order);
                Some(call)
            }
            Err(why) => {
                order.refused = Some(why);
                self.orders.push(order);
                self.sent(now);
                None
            }
        }
    }

    /// The order is out, or will not be: on to the next, and then to what has become of them.
    fn sent(&mut self, now: MonoNanos) {
        self.positions.pop();
        if self.positions.is_empty() {
            self.step = Step::Positions;
            self.wait = now.after(SETTLE_NS);
        }
    }
}

/// An order that closes, through its gate.
fn approve(
    place: &Place,
    rules: &Instrument,
    ticker: &Ticker,
    held: Lots,
    (side, lots): (Side, Lots),
    client: ClientId,
    now: MonoNanos,
) -> Result<Call, String> {
    let tick = rules.tick_e8();
    let last = Ticks(ticker.last.0 / tick);
    // Half of the collar leaves room for the market to move on the way.
    let room = i128::from(ticker.mark.0) * i128::from(place.params.collar_bps().0 / 2);
    let room = i64::try_from(room / i128::from(E8)).unwrap_or(0);
    let price = Ticks(match side {
        Side::Sell => (ticker.mark.0 - room).div_euclid(tick) + 1,
        Side::Buy => (ticker.mark.0 + room).div_euclid(tick),
    });
    let view = InstrumentView {
        rules: Some(*rules),
        touch: Some((last, last)),
        last_mid_x2: last.0 * 2,
        mark: ticker.mark,
        position: held,
        ..InstrumentView::EMPTY
    };
    let intent = Intent {
        instrument: InstrumentId(0),
        side,
        price,
        lots,
        time_in_force: TimeInForce::Ioc,
        reduce_only: true,
        level: 0,
        purpose: Purpose::Flatten,
        made: now,
    };
    let account = AccountView::EMPTY;
    let view = View { params: &place.params, account: &account, instruments: &[view] };
    let approved = submit(&mut FlattenGate, intent, client, &view, now)
        .map_err(|refusal| format!("refused by our gate: {refusal}"))?;
    Ok(Call::place(&place.instance, rules, approved))
}
