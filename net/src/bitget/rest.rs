//! What is asked over HTTP and what the answers mean (bitget reference §3, §6 to §9, §16).
//!
//! A [`Call`] is method, path, query and body, ready to be signed and sent as it stands.
//! [`Answers`] reads bodies into events. Success is decided by the body's `code`, whatever the HTTP
//! status; a body without a code is judged by its status.

use keel_core::command::Cancel;
use keel_core::decimal::{Grid, POW10};
use keel_core::event::{
    AccountReport, Bill, BillKind, Candle, ClientId, FeeRate, FeeSource, Fill, HoldMode,
    OrderUpdate, Outcome, PositionReport, RejectClass, Reply, RequestKind, Settings, Source,
    Ticker, TouchReport,
};
use keel_core::gate::OrderSpec;
use keel_core::instrument::{Instrument, InstrumentId, InstrumentStatus, RulesError, Symbol};
use keel_core::units::{Lots, Quote, Rate, Ticks, UnixNanos};
use keel_core::words::Words;

use super::client::Instance;
use super::codes;
use super::decode::DecodeError;
use super::decode::row::{self, FeeSign, Rows, needed};
use super::decode::tape::{Item, List, Scratch};
use super::topics::Directory;

mod call;
mod page;
mod send;

pub use call::{Bars, Call, Records, Window};
pub use page::{PAGES_MAX, Page, Pager, PagingError, Turn};

/// Reads answers. Buffers are its own and are used again.
#[derive(Debug)]
pub struct Answers {
    instance: Instance,
    rebates: bool,
    /// The makers' rates that were told last, by instrument.
    makers: Vec<Option<Rate>>,
    scratch: Scratch,
}

impl Answers {
    /// A reader for the engine called `instance`. On an account with `rebates` the fee of a maker's
    /// fill takes its sign from the maker's rate that was told last, and is left unknown before one
    /// was, because the sign of fees differs between the venue's documentation and its answers
    /// (disagreement 7); on any other, either sign is a cost.
    pub fn new(instance: Instance, rebates: bool) -> Self {
        Self { instance, rebates, makers: Vec::new(), scratch: Scratch::new() }
    }

    /// The venue's time.
    ///
    /// # Errors
    /// See [`RestError`], as for all answers.
    pub fn server_time(&mut self, status: u16, body: &[u8]) -> Result<UnixNanos, RestError> {
        self.read(status, body, |answer| {
            let [time] = answer.data()?.fields(["serverTime"])?;
            needed(time)?.millis()
        })
    }

    /// The rules of those instruments that are `wanted`, in that order; `None` where the venue has
    /// no such perpetual.
    ///
    /// # Errors
    /// Also when the rules of a wanted instrument cannot be read.
    pub fn instruments(
        &mut self,
        status: u16,
        body: &[u8],
        wanted: &[Symbol],
    ) -> Result<Vec<Option<Result<Instrument, RulesError>>>, RestError> {
        self.read(status, body, |answer| {
            let mut found = vec![None; wanted.len()];
            for row in answer.list()? {
                let [symbol, category] = row.fields(["symbol", "category"])?;
                let symbol = needed(symbol)?.text()?;
                if !category.map_or(Ok(PRODUCT), Item::text)?.eq_ignore_ascii_case(PRODUCT) {
                    continue;
                }
                let name = |wanted: &Symbol| wanted.as_str().as_bytes() == symbol;
                if let Some(place) = wanted.iter().position(name) {
                    found[place] = Some(instrument(row, wanted[place])?.checked());
                }
            }
            Ok(found)
        })
    }

    /// The account's rates on one instrument, which from then on give makers' fees their sign.
    ///
    /// # Errors
    /// See [`RestError`]; a rate beyond 1 % either way is none.
    pub fn fee_rate(
        &mut self,
        status: u16,
        body: &[u8],
        instrument: InstrumentId,
    ) -> Result<FeeRate, RestError> {
        let rates = self.read(status, body, |answer| {
            let [maker, taker] = answer.data()?.fields(["makerFeeRate", "takerFeeRate"])?;
            let rate = |item| match Rate(needed(item)?.e8_truncated()?) {
                rate if rate.0.unsigned_abs() <= FEE_RATE_MAX.0.unsigned_abs() => Ok(rate),
                _ => Err(DecodeError::Range),
            };
            let (maker, taker) = (rate(maker)?, rate(taker)?);
            Ok(FeeRate { instrument, maker, taker, source: FeeSource::Venue })
        })?;
        let known = self.makers.len().max(instrument.index() + 1);
        self.makers.resize(known, None);
        self.makers[instrument.index()] = Some(rates.maker);
        Ok(rates)
    }

    /// How the account holds positions, its number, and the highest leverage set on an instrument
    /// of `directory` (0 when the answer names none of them).
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn settings(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<AccountSettings, RestError> {
        self.read(status, body, |answer| {
            let [uid, hold, configured] =
                answer.data()?.fields(["uid", "holdMode", "symbolConfigList"])?;
            let hold_mode = match needed(hold)?.text()? {
                b"one_way_mode" => HoldMode::OneWay,
                b"hedge_mode" => HoldMode::Hedge,
                _ => return Err(DecodeError::Word),
            };
            let (mut leverage, mut isolated) = (0, false);
            for row in configured.map(Item::list).transpose()?.into_iter().flatten() {
                let [category, symbol, margin, set] =
                    row.fields(["category", "symbol", "marginMode", "leverage"])?;
                let ours = category.map_or(Ok(PRODUCT), Item::text)?.eq_ignore_ascii_case(PRODUCT)
                    && directory.find(needed(symbol)?.text()?).is_some();
                if ours {
                    leverage = leverage.max(row::whole_part(set)?);
                    isolated |= match needed(margin)?.text()? {
                        b"crossed" => false,
                        b"isolated" => true,
                        _ => return Err(DecodeError::Word),
                    };
                }
            }
            let uid = uid.and_then(Item::filled).map_or(Ok(0), Item::id)?;
            Ok(AccountSettings { uid, hold_mode, isolated, leverage })
        })
    }

    /// Whether fees are taken in another coin.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn deduction(&mut self, status: u16, body: &[u8]) -> Result<bool, RestError> {
        self.read(status, body, |answer| {
            let [deduct] = answer.data()?.fields(["deduct"])?;
            match needed(deduct)?.text()? {
                b"on" => Ok(true),
                b"off" => Ok(false),
                _ => Err(DecodeError::Word),
            }
        })
    }

    /// What else the account holds and owes.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn holdings(&mut self, status: u16, body: &[u8]) -> Result<Holdings, RestError> {
        self.read(status, body, |answer| {
            let [assets] = answer.data()?.fields(["assets"])?;
            let mut holdings = Holdings::default();
            for row in needed(assets)?.list()? {
                let [coin, value, debt, debts] =
                    row.fields(["coin", "usdValue", "debt", "debts"])?;
                let owed = debt.or(debts).map_or(Ok(0), Item::e8_truncated)?;
                let value = needed(value)?.e8_truncated()?;
                holdings.owes |= owed != 0;
                holdings.other_coins |= needed(coin)?.text()? != b"USDT" && value > DUST_E8;
            }
            Ok(holdings)
        })
    }

    /// What the key may do (disagreement 17).
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn key(&mut self, status: u16, body: &[u8]) -> Result<KeyRights, RestError> {
        self.read(status, body, |answer| {
            let [uid, ips, kind, permissions] =
                answer.data()?.fields(["userId", "ips", "permType", "permissions"])?;
            let read_only = kind.map_or(Ok(&b""[..]), Item::text)?.starts_with(b"read_only")
                || kind.map_or(Ok(&b""[..]), Item::text)? == b"read-only";
            let mut rights = KeyRights {
                uid: uid.and_then(Item::filled).map_or(Ok(0), Item::id)?,
                may_trade: false,
                may_move_money: false,
                ip_bound: ips.and_then(Item::filled).is_some(),
            };
            for permission in needed(permissions)?.list()? {
                let word = permission.text()?;
                let names = |part: &[u8]| word.windows(part.len()).any(|window| window == part);
                rights.may_trade |= !read_only && matches!(word, b"uta_trade" | b"trade" | b"coow");
                rights.may_move_money |=
                    names(b"withdraw") || names(b"transfer") || matches!(word, b"wwow" | b"wtow");
            }
            Ok(rights)
        })
    }

    /// Equity and margin; `None` when the account holds no USDT.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn assets(&mut self, status: u16, body: &[u8]) -> Result<Option<AccountReport>, RestError> {
        self.read(status, body, |answer| {
            row::account(answer.data()?, Source::Query, answer.time()?)
        })
    }

    /// The open positions of `directory`'s instruments. One that is not listed is flat.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn positions(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<Vec<PositionReport>, RestError> {
        self.rows(status, body, directory, |rows, item| rows.position(item, Source::Query))
            .map(|page| page.items)
    }

    /// A page of open orders, or of the history of orders.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn orders(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<Page<OrderUpdate>, RestError> {
        self.rows(status, body, directory, |rows, item| rows.order(item, Source::Query))
    }

    /// One order; `None` when it is of an instrument that is not listed. That the venue does not
    /// find it comes as [`RestError::Venue`] with [`RejectClass::NotFound`], and proves nothing.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn order(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<Option<OrderUpdate>, RestError> {
        let instance = self.instance;
        self.read(status, body, |answer| {
            let rows = Rows { directory, instance: &instance, fees: FeeSign::Either };
            rows.order(answer.data()?, Source::Query)
        })
    }

    /// A page of executions, newest first.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn fills(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<Page<Fill>, RestError> {
        self.rows(status, body, directory, |rows, item| rows.fill(item, Source::Query))
    }

    /// Bars of one instrument, in the order of the answer.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn candles(
        &mut self,
        status: u16,
        body: &[u8],
        instrument: InstrumentId,
    ) -> Result<Vec<Candle>, RestError> {
        self.read(status, body, |answer| {
            answer.list()?.map(|row| candle(row, instrument)).collect()
        })
    }

    /// Mark, index and last of those instruments of `directory` that the answer names. The answer
    /// has no time of the next funding: [`Answers::funding`] has.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn tickers(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<Vec<Ticker>, RestError> {
        self.read(status, body, |answer| {
            let mut tickers = Vec::new();
            for row in answer.list()? {
                let names = ["symbol", "lastPrice", "markPrice", "indexPrice", "fundingRate", "ts"];
                let [symbol, last, mark, index, funding_rate, ts] = row.fields(names)?;
                let Some((instrument, _)) = directory.find(needed(symbol)?.text()?) else {
                    continue;
                };
                tickers.push(Ticker {
                    instrument,
                    last: row::price(last)?,
                    mark: row::price(mark)?,
                    index: row::price(index)?,
                    funding_rate: rate(funding_rate)?,
                    funding_at: UnixNanos(0),
                    ts: ts.and_then(Item::filled).map_or_else(|| answer.time(), Item::millis)?,
                });
            }
            Ok(tickers)
        })
    }

    /// The rate of the next funding settlement, and when it settles.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn funding(&mut self, status: u16, body: &[u8]) -> Result<(Rate, UnixNanos), RestError> {
        self.read(status, body, |answer| {
            let mut list = answer.list()?;
            let [funding_rate, next] =
                needed(list.next())?.fields(["fundingRate", "nextUpdate"])?;
            Ok((rate(Some(needed(funding_rate)?))?, needed(next)?.millis()?))
        })
    }

    /// The best bid and ask of the contract `id`; zero where a side is empty. Nothing is rounded.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn touch(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
        id: InstrumentId,
    ) -> Result<TouchReport, RestError> {
        let rules = directory.rules(id);
        self.read(status, body, |answer| {
            let rules = rules.ok_or(DecodeError::Symbol)?;
            let [bids, asks, ts] = answer.data()?.fields(["b", "a", "ts"])?;
            let best = |side: Option<Item<'_>>| {
                let Some(level) = needed(side)?.list()?.next() else { return Ok((0, 0)) };
                let mut level = level.list()?;
                let price = rules.tick.steps_of(needed(level.next())?.decimal()?)?;
                let lots = rules.lot.steps_of(needed(level.next())?.decimal()?)?;
                Ok::<_, DecodeError>((price, lots))
            };
            let ((bid, bid_lots), (ask, ask_lots)) = (best(bids)?, best(asks)?);
            Ok(TouchReport {
                instrument: id,
                bid: Ticks(bid),
                bid_lots: Lots(bid_lots),
                ask: Ticks(ask),
                ask_lots: Lots(ask_lots),
                ts: needed(ts)?.millis()?,
            })
        })
    }

    /// The reply to a placed or canceled order, whatever the answer was. `failed` connections give
    /// [`Outcome::Unknown`] without this.
    pub fn reply(
        &mut self,
        status: u16,
        body: &[u8],
        request: RequestKind,
        instrument: InstrumentId,
        client: ClientId,
    ) -> Reply {
        let answer = self.read(status, body, |answer| {
            let Some(data) = answer.data else { return Ok(0) };
            let [order_id] = data.fields(["orderId"])?;
            // The venue gives no id where the order displaced older ones (disagreement 28).
            Ok(order_id.and_then(Item::filled).map_or(0, |id| id.id().unwrap_or(0)))
        });
        let asked = Asked { instrument, client, order_id: 0 };
        match answer {
            Ok(order_id) => {
                let class = RejectClass::None;
                Reply { order_id, class, ..asked.reply(request, Outcome::Received) }
            }
            Err(error) => asked.refused(request, &error),
        }
    }

    /// The replies to a request about the orders `asked`, one for each, whatever the answer was. An
    /// order that a success does not name is unknown; the order of the rows means nothing.
    pub fn replies(
        &mut self,
        status: u16,
        body: &[u8],
        request: RequestKind,
        asked: &[Asked],
    ) -> Vec<Reply> {
        if let [only] = asked {
            return vec![self.reply(status, body, request, only.instrument, only.client)];
        }
        match self.canceled(status, body, InstrumentId::ALL) {
            Ok(rows) => {
                let of = |asked: &Asked| {
                    let same = |row: &&Reply| match asked.client.is_own() {
                        true => row.client == asked.client,
                        false => row.order_id != 0 && row.order_id == asked.order_id,
                    };
                    let Asked { instrument, client, .. } = *asked;
                    rows.iter().find(same).map(|row| Reply { instrument, client, request, ..*row })
                };
                let unknown = |asked: &Asked| asked.reply(request, Outcome::Unknown);
                asked.iter().map(|asked| of(asked).unwrap_or(unknown(asked))).collect()
            }
            Err(error) => asked.iter().map(|asked| asked.refused(request, &error)).collect(),
        }
    }

    /// The replies to a cancel of many: one for each order that the venue names.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn canceled(
        &mut self,
        status: u16,
        body: &[u8],
        instrument: InstrumentId,
    ) -> Result<Vec<Reply>, RestError> {
        let instance = self.instance;
        self.read(status, body, |answer| {
            let reply = |row: Item<'_>| {
                let [order_id, client, code, msg] =
                    row.fields(["orderId", "clientOid", "code", "msg"])?;
                let code = code.and_then(Item::filled).map_or(Ok(0), Item::code)?;
                let (outcome, class) = codes::verdict(code);
                Ok(Reply {
                    instrument,
                    client: instance.read(client.map_or(Ok(&b""[..]), Item::text)?),
                    request: RequestKind::Cancel,
                    outcome,
                    order_id: order_id.and_then(Item::filled).map_or(Ok(0), Item::id)?,
                    code,
                    class,
                    message: codes::words(code, msg),
                })
            };
            answer.list()?.map(reply).collect()
        })
    }

    /// A page of a list of orders, of whatever instrument and whoever made them.
    ///
    /// # Errors
    /// See [`RestError`]; an order that cannot be named makes the whole list unreadable.
    pub fn listed(&mut self, status: u16, body: &[u8]) -> Result<Page<Listed>, RestError> {
        self.read(status, body, |answer| {
            let list = answer.list()?;
            let mut page = Page { items: Vec::new(), rows: list.len(), cursor: answer.cursor()? };
            for row in list {
                let [symbol, order_id, client] = row.fields(["symbol", "orderId", "clientOid"])?;
                let symbol = Symbol::parse(needed(symbol)?.text()?).ok_or(DecodeError::Word)?;
                let client = client.and_then(Item::filled).map_or(Ok(&b""[..]), Item::text)?;
                page.items.push(Listed {
                    symbol,
                    order_id: needed(order_id)?.id()?,
                    client: String::from_utf8_lossy(client).chars().take(MESSAGE_MAX).collect(),
                });
            }
            Ok(page)
        })
    }

    /// Whose ids of ours a page of orders or of executions names, of whatever instrument; nothing
    /// else of it is read, so that rows on grids of long ago are no obstacle.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn own_ids(&mut self, status: u16, body: &[u8]) -> Result<Page<ClientId>, RestError> {
        let instance = self.instance;
        self.read(status, body, |answer| {
            let list = answer.list()?;
            let mut page = Page { items: Vec::new(), rows: list.len(), cursor: answer.cursor()? };
            for row in list {
                let [client] = row.fields(["clientOid"])?;
                let client = client.and_then(Item::filled).map_or(Ok(&b""[..]), Item::text)?;
                page.items.extend(Some(instance.read(client)).filter(|client| client.is_own()));
            }
            Ok(page)
        })
    }

    /// True when the answer about one order says that it is over.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn has_ended(&mut self, status: u16, body: &[u8]) -> Result<bool, RestError> {
        self.read(status, body, |answer| {
            let [word] = answer.data()?.fields(["orderStatus"])?;
            Ok(matches!(
                needed(word)?.text()?,
                b"canceled" | b"cancelled" | b"filled" | b"rejected"
            ))
        })
    }

    /// An answer whose success is all that matters: the countdown.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn done(&mut self, status: u16, body: &[u8]) -> Result<(), RestError> {
        self.read(status, body, |_| Ok(()))
    }

    /// A page of money movements other than trades. Rows of orders are counted as skipped.
    ///
    /// # Errors
    /// See [`RestError`].
    pub fn bills(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
    ) -> Result<Page<Bill>, RestError> {
        self.rows(status, body, directory, |rows, item| bill(item, rows.directory))
    }

    fn rows<T>(
        &mut self,
        status: u16,
        body: &[u8],
        directory: &Directory,
        each: impl Fn(&Rows<'_>, Item<'_>) -> Result<Option<T>, DecodeError>,
    ) -> Result<Page<T>, RestError> {
        let instance = self.instance;
        // Lent out of the reader while it reads.
        let makers = core::mem::take(&mut self.makers);
        let fees = match self.rebates {
            true => FeeSign::EitherUnlessMaker(&makers),
            false => FeeSign::Either,
        };
        let page = self.read(status, body, |answer| {
            let rows = Rows { directory, instance: &instance, fees };
            let list = answer.list()?;
            let mut page = Page { items: Vec::new(), rows: list.len(), cursor: answer.cursor()? };
            for item in list {
                page.items.extend(each(&rows, item)?);
            }
            Ok(page)
        });
        self.makers = makers;
        page
    }

    /// Opens the envelope and hands what it holds to `each` if the venue reports success.
    fn read<R>(
        &mut self,
        status: u16,
        body: &[u8],
        each: impl FnOnce(&Answer<'_>) -> Result<R, DecodeError>,
    ) -> Result<R, RestError> {
        let result = self.scratch.read(body, |root| {
            let [code, message, data, time] =
                root.fields(["code", "msg", "data", "requestTime"])?;
            let code = needed(code)?.code()?;
            if code != 0 {
                let message = message.map_or(Ok(&b""[..]), Item::text)?;
                let message = String::from_utf8_lossy(message).chars().take(MESSAGE_MAX).collect();
                return Ok(Err(RestError::Venue { code, message }));
            }
            Ok(Ok(each(&Answer { data, time })))
        });
        match result {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(RestError::Decode(error)),
            Ok(Err(refused)) => Err(refused),
            // No envelope: only a body that came with success is worth an error of its own.
            Err(error) if status == 200 => Err(RestError::Decode(error)),
            Err(_) => Err(RestError::Http(status)),
        }
    }
}

/// What an envelope holds.
struct Answer<'t> {
    data: Option<Item<'t>>,
    time: Option<Item<'t>>,
}

impl<'t> Answer<'t> {
    fn data(&self) -> Result<Item<'t>, DecodeError> {
        needed(self.data)
    }

    /// The rows: `data` itself, or its `list`. Nothing at all is an empty list (reference §3).
    fn list(&self) -> Result<List<'t>, DecodeError> {
        let Some(data) = self.data.and_then(Item::filled) else {
            return Ok(List::EMPTY);
        };
        if let Ok(list) = data.list() {
            return Ok(list);
        }
        let [list] = data.fields(["list"])?;
        list.map_or(Ok(List::EMPTY), Item::list)
    }

    fn cursor(&self) -> Result<Option<String>, DecodeError> {
        let Some(data) = self.data.and_then(Item::filled).filter(|data| data.list().is_err())
        else {
            return Ok(None);
        };
        let [cursor] = data.fields(["cursor"])?;
        let Some(cursor) = cursor.and_then(Item::filled) else {
            return Ok(None);
        };
        // It goes back into a query that is signed as it stands, so only plain characters pass.
        let text = match cursor.text() {
            Ok(text) => String::from_utf8_lossy(text).into_owned(),
            Err(_) => cursor.whole()?.to_string(),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if text.len() > CURSOR_BYTES_MAX || !text.chars().all(plain) {
            return Err(DecodeError::Id);
        }
        Ok(Some(text))
    }

    /// When the venue answered.
    fn time(&self) -> Result<UnixNanos, DecodeError> {
        needed(self.time)?.millis()
    }
}

/// An order that a request was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where.
    pub instrument: InstrumentId,
    /// Which, by our id; [`ClientId::FOREIGN`] when only the venue's is known.
    pub client: ClientId,
    /// By the venue's id; 0 when not known.
    pub order_id: u64,
}

impl Asked {
    /// A new order.
    pub fn of(spec: &OrderSpec) -> Self {
        Self { instrument: spec.intent.instrument, client: spec.client, order_id: 0 }
    }

    /// One that is to end.
    pub fn of_cancel(cancel: &Cancel) -> Self {
        let Cancel { instrument, client, order_id, .. } = *cancel;
        Self { instrument, client, order_id }
    }

    fn reply(&self, request: RequestKind, outcome: Outcome) -> Reply {
        let (instrument, client) = (self.instrument, self.client);
        let class = RejectClass::Other;
        let (order_id, code, message) = (0, 0, Words::NONE);
        Reply { instrument, client, request, outcome, order_id, code, class, message }
    }

    /// What an answer that was no success says of it.
    fn refused(&self, request: RequestKind, error: &RestError) -> Reply {
        let (outcome, class) = error.verdict();
        let (code, message) = match error {
            RestError::Venue { code, message } => (*code, Words::new(message.as_bytes())),
            RestError::Http(_) | RestError::Decode(_) => (0, Words::NONE),
        };
        Reply { code, class, message, ..self.reply(request, outcome) }
    }
}

/// An order of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Of which instrument.
    pub symbol: Symbol,
    /// The venue's id.
    pub order_id: u64,
    /// The client's, as it stands there; may be empty.
    pub client: String,
}

/// How the account is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// The account's number; 0 when not given.
    pub uid: u64,
    /// How positions are held.
    pub hold_mode: HoldMode,
    /// A listed instrument is in isolated margin.
    pub isolated: bool,
    /// Highest leverage set on a listed instrument; 0 when none is named.
    pub leverage: u16,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRights {
    /// The account's number; 0 when not given.
    pub uid: u64,
    /// Trade.
    pub may_trade: bool,
    /// Withdraw or transfer.
    pub may_move_money: bool,
    /// It is bound to addresses.
    pub ip_bound: bool,
}

/// What an account holds and owes besides the USDT that it trades with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Some coin is owed.
    pub owes: bool,
    /// Other coins than USDT are worth more than 1 USD each: their prices would move the equity.
    pub other_coins: bool,
}

/// What a coin may be worth and not count, in 1e-8 USD.
const DUST_E8: i64 = 100_000_000;

impl AccountSettings {
    /// All answers as the event that the engine takes. `deducts`: fees are taken in another coin,
    /// or nobody says that they are not.
    pub fn with(self, deducts: bool, holdings: Holdings, key: KeyRights) -> Settings {
        Settings {
            deducts_fees: deducts,
            owes: holdings.owes,
            other_coins: holdings.other_coins,
            hold_mode: self.hold_mode,
            isolated: self.isolated,
            leverage: self.leverage,
            may_trade: key.may_trade,
            may_move_money: key.may_move_money,
            ip_bound: key.ip_bound,
            uid: if self.uid == 0 { key.uid } else { self.uid },
        }
    }
}

/// Why an answer is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestError {
    /// The venue refused, with its code and message; [`codes::verdict`] says what that means.
    Venue {
        /// The venue's code.
        code: u32,
        /// The venue's words, cut to a length.
        message: String,
    },
    /// No envelope, and this HTTP status: something in front of the venue answered.
    Http(u16),
    /// A success that cannot be read.
    Decode(DecodeError),
}

impl RestError {
    /// What this says of a request that changes something.
    pub fn verdict(&self) -> (Outcome, RejectClass) {
        match self {
            Self::Venue { code, .. } => codes::verdict(*code),
            Self::Http(status) => codes::verdict_of_status(*status),
            Self::Decode(_) => (Outcome::Unknown, RejectClass::Other),
        }
    }
}

/// True when an answer says, by its HTTP status or by the code in its body, that too many requests
/// were sent.
pub fn is_too_many(status: u16, error: Option<&RestError>) -> bool {
    let code = match error {
        Some(RestError::Venue { code, .. }) => *code,
        Some(RestError::Http(_) | RestError::Decode(_)) | None => 0,
    };
    status == 429 || codes::is_too_many(code)
}

/// As [`is_too_many`], of an answer about each of several orders.
pub(crate) fn are_too_many(status: u16, replies: &[Reply]) -> bool {
    status == 429 || replies.iter().any(|reply| codes::is_too_many(reply.code))
}

impl std::fmt::Display for RestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Venue { code, message } => write!(f, "the venue answered {code}: {message}"),
            Self::Http(status) => write!(f, "HTTP status {status} without a readable answer"),
            Self::Decode(error) => write!(f, "the venue's answer cannot be read: {error}"),
        }
    }
}

impl std::error::Error for RestError {}

/// The rules of a row of `instruments` (bitget reference §16).
fn instrument(row: Item<'_>, symbol: Symbol) -> Result<Instrument, DecodeError> {
    let [tick, price_scale, lot, size_scale, min, max, notional, status] = row.fields([
        "priceMultiplier",
        "pricePrecision",
        "quantityMultiplier",
        "quantityPrecision",
        "minOrderQty",
        "maxOrderQty",
        "minOrderAmount",
        "status",
    ])?;
    let [buy_band, sell_band, per_symbol, per_product, leverage, hours] = row.fields([
        "buyLimitPriceRatio",
        "sellLimitPriceRatio",
        "maxSymbolOrderNum",
        "maxProductOrderNum",
        "maxLeverage",
        "fundInterval",
    ])?;
    let lot = grid(lot, size_scale)?;
    let max = match max.and_then(Item::filled) {
        Some(max) => lot.steps_of(max.decimal()?)?,
        None => i64::MAX,
    };
    let orders = per_symbol.and_then(Item::filled).or(per_product.and_then(Item::filled));
    let saturated = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
    Ok(Instrument {
        symbol,
        tick: grid(tick, price_scale)?,
        lot,
        min_lots: Lots(lot.steps_of(needed(min)?.decimal()?)?),
        max_lots: Lots(max),
        min_notional: Quote(needed(notional)?.e8_truncated()?),
        buy_band: rate(buy_band)?,
        sell_band: rate(sell_band)?,
        orders_max: orders.map_or(Ok(u16::MAX), |orders| orders.whole().map(saturated))?,
        leverage_max: row::whole_part(leverage)?,
        funding_hours: u8::try_from(row::whole_part(hours)?).map_err(|_| DecodeError::Range)?,
        status: status_of(needed(status)?.text()?),
    })
}

/// A step given as its size and, beside it, the decimals of a text on it.
fn grid(step: Option<Item<'_>>, scale: Option<Item<'_>>) -> Result<Grid, DecodeError> {
    let step = needed(step)?.decimal()?;
    let scale = scale.and_then(Item::filled).map_or(Ok(0), Item::whole)?;
    let scale = u8::try_from(scale).map_err(|_| DecodeError::Range)?.max(step.scale);
    let widen = POW10.get(usize::from(scale - step.scale)).ok_or(DecodeError::Range)?;
    let steps = step.mantissa.checked_mul(*widen).ok_or(DecodeError::Range)?;
    if steps <= 0 || usize::from(scale) >= POW10.len() {
        return Err(DecodeError::Range);
    }
    Ok(Grid { step: steps, scale })
}

fn status_of(text: &[u8]) -> InstrumentStatus {
    let text = std::str::from_utf8(text).unwrap_or("?");
    let known = InstrumentStatus::ALL.iter().find(|status| status.text() == text);
    known.copied().unwrap_or(InstrumentStatus::Offline)
}

/// A row `[start, open, high, low, close, …]`.
fn candle(row: Item<'_>, instrument: InstrumentId) -> Result<Candle, DecodeError> {
    let mut row = row.list()?;
    let start = needed(row.next())?.millis()?;
    let mut price = || row::price(Some(needed(row.next())?));
    let (open, high, low, close) = (price()?, price()?, price()?, price()?);
    Ok(Candle { instrument, start, open, high, low, close })
}

/// A row of `financial-records`; `None` for what an order caused, which its fills tell, for margin
/// that moved within the wallet, and for other products and coins.
fn bill(row: Item<'_>, directory: &Directory) -> Result<Option<Bill>, DecodeError> {
    let [id, symbol, coin, kind, amount, ts] =
        row.fields(["id", "symbol", "coin", "type", "amount", "ts"])?;
    let kind = needed(kind)?.text()?.to_ascii_uppercase();
    let has = |part: &[u8]| kind.windows(part.len()).any(|window| window == part);
    let told_elsewhere = EXECUTED.iter().chain(&MARGINS).any(|part| has(part));
    if told_elsewhere || !needed(coin)?.text()?.eq_ignore_ascii_case(b"usdt") {
        return Ok(None);
    }
    let amount = needed(amount)?.e8_truncated()?;
    let funding = has(b"SETTLE_FEE");
    let plain = kind.strip_prefix(b"FIXED_").unwrap_or(&kind);
    // The type gives the direction; a recorded amount may lack its sign.
    let amount = match () {
        () if kind.ends_with(b"_OUT") || COSTS.contains(&plain) => -amount.saturating_abs(),
        () if kind.ends_with(b"_IN") => amount.saturating_abs(),
        () => amount,
    };
    let instrument = match symbol.and_then(Item::filled) {
        Some(symbol) => directory.find(symbol.text()?).map(|(id, _)| id),
        None => None,
    };
    Ok(Some(Bill {
        instrument: instrument.unwrap_or(InstrumentId::ALL),
        kind: match () {
            () if funding => BillKind::Funding,
            () if COUNTED_APART.contains(&plain) => BillKind::Other,
            () if TRANSFERS.contains(&plain) => BillKind::Transfer,
            () => BillKind::Unknown,
        },
        amount: Quote(amount),
        bill_id: needed(id)?.id()?,
        ts: needed(ts)?.millis()?,
    }))
}

/// A share or rate that may be missing or empty, and is zero then.
fn rate(item: Option<Item<'_>>) -> Result<Rate, DecodeError> {
    Ok(Rate(item.and_then(Item::filled).map_or(Ok(0), Item::e8_truncated)?))
}

/// Parts of the types of records of margin given to a position or taken back.
const MARGINS: [&[u8]; 2] = [b"_MARGIN", b"LEVER_POS_IN"];
/// The product's name over REST, where the venue wants capitals.
const PRODUCT: &[u8] = b"USDT-FUTURES";
/// What the types of records have in common that an execution causes, in either mode of holding and
/// whoever's order it was. The execution itself tells of profit and fee.
const EXECUTED: [&[u8]; 9] = [
    b"ORDER_DEALT",
    b"BUY_DEAL",
    b"SELL_DEAL",
    b"OPEN_LONG",
    b"OPEN_SHORT",
    b"CLOSE_LONG",
    b"CLOSE_SHORT",
    b"_SSM",
    b"SINGLE_SIDE_MODE",
];
/// The rest of the venue's enumerations of records: their words, with or without the `FIXED_` that
/// those of positions with a margin of their own may begin with.
const COUNTED_APART: [&[u8]; 18] = [
    b"ORDER_PLF_FEE_OUT",
    b"EXCHANGE_SOURCE_TOKEN_USER_OUT",
    b"EXCHANGE_TARGET_TOKEN_USER_IN",
    b"RISK_LIQ_USER_IN",
    b"RISK_LIQ_USER_OUT",
    b"RISK_LIQ_DEFAULT_USER_IN",
    b"INTEREST_SETTLEMENT_OUT",
    b"INTEREST_REPAYMENT",
    b"BORROW",
    b"REPAYMENT",
    b"LIQ_FUND_IN",
    b"LIQ_FUND_OUT",
    b"LIQ_CONVERT_IN",
    b"LIQ_CONVERT_OUT",
    b"LIQ_TRANSFER_IN",
    b"LIQ_TRANSFER_OUT",
    b"LIQ_FEE",
    b"LIQ_REPAYMENT",
];
/// Money that a person or the venue moves in or out. A part of a word is not enough: a cost that
/// has one in its name would move the marks that losses are measured from.
const TRANSFERS: [&[u8]; 6] = [
    b"TRANSFER_IN",
    b"TRANSFER_OUT",
    b"RESERVE_TRANSFER_IN",
    b"RESERVE_TRANSFER_OUT",
    b"DEPOSIT",
    b"WITHDRAW",
];
/// Costs whose word gives no direction.
const COSTS: [&[u8]; 5] =
    [b"LIQ_FEE", b"LIQ_REPAYMENT", b"INTEREST_REPAYMENT", b"REPAYMENT", b"WITHDRAW"];
/// A fee of more than this is no fee.
const FEE_RATE_MAX: Rate = Rate::bps(100);
/// Longest cursor that is sent back.
const CURSOR_BYTES_MAX: usize = 64;
/// Characters of the venue's message that are kept.
const MESSAGE_MAX: usize = 200;

#[cfg(test)]
mod tests;
