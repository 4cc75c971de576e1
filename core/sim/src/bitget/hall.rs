//! What all connections share: the venue, its limits, its feeds, and who listens to what.

use std::collections::BTreeMap;
use std::net::IpAddr;

use keel_core::units::{Side, UnixNanos};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use serde::Serialize;
use serde_json::Value;

use super::ConnId;
use super::auth::{self, Caller};
use super::clock::Turn;
use super::config::ExchangeConfig;
use super::endpoint::{self, Access, Call, ENDPOINTS};
use super::feed::{self, Feed};
use super::http::Request;
use super::late::{Late, LateQueue};
use super::params::Params;
use super::reject;
use super::shape::{AccountPush, PositionPush};
use super::text::json;
use super::topic::{Hub, Private, Topic};
use super::window::{Subject, Windows};
use crate::account::{AccountId, PositionView};
use crate::fault::{Act, Closed, Faults};
use crate::instrument::{InstrumentId, Status};
use crate::market::Market;
use crate::order::PosSide;
use crate::reject::Reject;
use crate::venue::Venue;

/// The shared part of the exchange.
#[derive(Debug)]
pub(super) struct Hall {
    /// What is switched on, and how far.
    pub config: ExchangeConfig,
    /// The venue.
    pub venue: Venue,
    /// The market around it.
    pub market: Market,
    /// Rate windows.
    pub windows: Windows,
    /// Subscriptions.
    pub hub: Hub,
    /// The public side of each contract, in the order of listing.
    pub feeds: Vec<Feed>,
    /// The direction that a one-way position had last, for the push that says it is over.
    pub directions: BTreeMap<(AccountId, InstrumentId), Side>,
    /// What goes wrong.
    pub faults: Faults,
    /// What waits because of a fault.
    pub late: LateQueue,
    /// Maintenance that has been announced and is not over.
    pub maintenance: Vec<Maintenance>,
    /// How far the administration wants time to be moved, nanoseconds.
    pub advance_ns: i64,
    /// How the administration wants time to run from now on.
    pub turn: Option<Turn>,
    /// How fast time runs, in 1e-8 of its caller's.
    pub speed_e8: i64,
    /// Keys that are gone; whoever is logged in with one is cut off.
    pub revoked: Vec<String>,
    /// Connections with more requests than were answered in their turn.
    pub unserved: Vec<ConnId>,
    /// Names of connections are drawn from here.
    pub random: Pcg64Mcg,
}

/// Maintenance of one contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maintenance {
    /// The contract.
    pub instrument: InstrumentId,
    /// When it begins.
    pub from: UnixNanos,
    /// When it is over.
    pub until: UnixNanos,
}

/// The answer to a REST request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON envelope.
    pub body: String,
    /// Calls that remain in this second (`x-mbx-used-remain-limit`).
    pub remain: Option<u32>,
    /// How it is sent.
    pub manner: Manner,
}

/// How an answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As JSON, at once.
    Json,
    /// As a page of HTML, as those of the servers in front of the venue are.
    Page,
    /// Not at all: the connection ends.
    Silence,
    /// As JSON, at an instant.
    At(UnixNanos),
}

impl Hall {
    /// Answers a REST request.
    pub(super) fn answer(&mut self, request: &Request, peer: IpAddr, now: UnixNanos) -> Answer {
        let clock = self.faults.clock(now);
        match self.faults.door(now) {
            Some(Closed::Banned) => return Answer::page(403),
            Some(Closed::Maintained) => {
                return Answer::refused(503, &reject::UNKNOWN_ERROR, clock);
            }
            None => {}
        }
        let limits = &self.config.limits;
        if limits.address_ceiling && self.windows.take_address(peer, now).is_err() {
            return Answer::refused(429, &reject::TOO_MANY_REQUESTS, now);
        }
        let Some((place, endpoint)) = endpoint::find(request) else {
            return Answer::refused(404, &reject::URL_UNKNOWN, now);
        };
        let (caller, subject) = match endpoint.access {
            Access::Public => (None, Subject::Ip(peer)),
            Access::Read | Access::Trade | Access::Manage => {
                match auth::rest(&self.venue, request, peer, clock) {
                    Ok(caller) => (Some(caller), Subject::Uid(self.uid(caller.account))),
                    Err(reject) => return Answer::refused(400, &reject, now),
                }
            }
        };
        let remain = match self.take_window(place, subject, now) {
            Ok(remain) => remain,
            Err(reject) => return Answer::refused(429, &reject, now),
        };
        let call =
            self.permitted(caller, endpoint.access).and_then(|()| read_call(request, caller, now));
        let mut answer = match call {
            Ok(call) => self.worked(place, call, clock, now),
            Err(reject) => Answer::refused(400, &reject, clock),
        };
        answer.remain = Some(remain);
        answer
    }

    /// Works a request, as far as no fault is in its way.
    fn worked(&mut self, place: usize, call: Call, clock: UnixNanos, now: UnixNanos) -> Answer {
        let account = call.caller.map(|caller| caller.account);
        let answer = |hall: &mut Self, call: &Call| match (ENDPOINTS[place].answer)(hall, call) {
            Ok(data) => Answer::success(&data, clock),
            Err(reject) => Answer::refused(400, &reject, clock),
        };
        let Some(act) = self.faults.request(ENDPOINTS[place].path, account, now) else {
            return answer(self, &call);
        };
        let after = |ns: i64| UnixNanos(now.0.saturating_add(ns.max(0)));
        match act {
            Act::Fail { status, accepted } => {
                if accepted {
                    answer(self, &call);
                }
                Answer::page(status)
            }
            Act::LoseAnswer { accepted } => {
                if accepted {
                    answer(self, &call);
                }
                Answer { manner: Manner::Silence, ..Answer::page(502) }
            }
            Act::AnswerLate { ns } => {
                Answer { manner: Manner::At(after(ns)), ..answer(self, &call) }
            }
            Act::AcceptLate { ns } => {
                self.late.push(after(ns), Late::Call(place, Box::new(call)));
                Answer::page(504)
            }
            Act::PartialBatch => {
                let whole = answer(self, &call);
                Answer { body: halved(&whole.body), ..whole }
            }
            Act::RefuseRows => {
                let refused_from = call.list.len().div_ceil(2);
                answer(self, &Call { refused_from, ..call })
            }
            Act::CancelLate { ns } => self.canceling_late(ns, now, |hall| answer(hall, &call)),
            _ => Answer::refused(429, &reject::TOO_MANY_REQUESTS, clock),
        }
    }

    /// Works a request of which each cancel is answered now and done `ns` later.
    pub(super) fn canceling_late<T>(
        &mut self,
        ns: i64,
        now: UnixNanos,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.venue.withhold_cancels();
        let answer = work(self);
        for order in self.venue.withheld_cancels() {
            self.late.push(UnixNanos(now.0.saturating_add(ns.max(0))), Late::Cancel(order));
        }
        answer
    }

    /// Works a request that has waited; nobody is told.
    pub(super) fn work_late(&mut self, place: usize, mut call: Call, now: UnixNanos) {
        call.now = now;
        let _ = (ENDPOINTS[place].answer)(self, &call);
    }

    /// When maintenance next begins or ends.
    pub(super) fn maintenance_due(&self, now: UnixNanos) -> Option<UnixNanos> {
        let due = self.maintenance.iter().map(|m| if m.from > now { m.from } else { m.until });
        due.min()
    }

    /// Begins and ends the maintenance that is due.
    pub(super) fn maintain(&mut self, now: UnixNanos) {
        let Self { maintenance, venue, .. } = self;
        maintenance.retain(|m| {
            let status = venue.instrument(m.instrument).rules.status;
            let ends = m.until <= now;
            if ends && status == Status::Maintain {
                venue.set_status(m.instrument, Status::Online, now);
            } else if !ends && m.from <= now && status == Status::Online {
                venue.set_status(m.instrument, Status::Maintain, now);
            }
            !ends
        });
    }

    /// When the maintenance of a contract begins that has been announced.
    pub(super) fn announced(&self, instrument: InstrumentId) -> Option<UnixNanos> {
        self.maintenance.iter().find(|m| m.instrument == instrument).map(|m| m.from)
    }

    /// Whether an address may open one more WebSocket now.
    pub(super) fn admits_socket(&mut self, peer: IpAddr, now: UnixNanos) -> bool {
        let most = self.config.limits.connects_per_window;
        !self.faults.is_shut(now)
            && most.is_none_or(|most| self.windows.take_connect(peer, most, now))
    }

    /// What a WebSocket that is not admitted gets.
    pub(super) fn unadmitted(&mut self, now: UnixNanos) -> Answer {
        match self.faults.door(now) {
            Some(Closed::Banned) => Answer::page(403),
            Some(Closed::Maintained) => Answer::page(503),
            None => Answer::page(429),
        }
    }

    /// Takes one call from the window of an endpoint; gives how many remain in this second.
    ///
    /// # Errors
    /// 429 when the window is used up.
    pub(super) fn take_window(
        &mut self,
        place: usize,
        subject: Subject,
        now: UnixNanos,
    ) -> Result<u32, Reject> {
        let limit = ENDPOINTS[place].per_second;
        if !self.config.limits.endpoint_windows {
            return Ok(limit);
        }
        self.windows.take(place, subject, limit, now).map_err(|_| reject::TOO_MANY_REQUESTS)
    }

    /// Whether a key may use an endpoint. A frozen account reads only.
    fn permitted(&self, caller: Option<Caller>, access: Access) -> Result<(), Reject> {
        let Some(caller) = caller else { return Ok(()) };
        let (granted, word) = match access {
            Access::Public | Access::Read => return Ok(()),
            Access::Trade => (caller.permissions.trade, "uta_trade"),
            Access::Manage => (caller.permissions.manage, "uta_mgt"),
        };
        match granted {
            false => Err(reject::permission(word)),
            true if self.venue.is_frozen(caller.account) => Err(reject::FROZEN),
            true => Ok(()),
        }
    }

    /// The venue's number of the user of an account.
    pub(super) fn uid(&self, account: AccountId) -> u64 {
        self.venue.account(account).uid
    }

    /// The first push to a new subscriber, called before it joins; none when there is nothing yet.
    pub(super) fn first_push(&mut self, topic: Topic, now: UnixNanos) -> Option<String> {
        let instrument = match topic {
            Topic::Books(id, _) | Topic::Trades(id) | Topic::Ticker(id) | Topic::Kline(id, _) => id,
            Topic::Private(account, Private::Position) => {
                let views = self.venue.positions(account);
                let rows: Vec<_> = views.iter().map(|view| self.position_push(view)).collect();
                return Some(feed::push("snapshot", topic, &self.venue, rows, now));
            }
            Topic::Private(account, Private::Account) => {
                return Some(self.account_push(account, now));
            }
            Topic::Private(..) | Topic::Liquidations => return None,
        };
        self.feeds[instrument.index()].first(topic, &self.venue, &self.hub, now)
    }

    /// The push that states an account's money.
    pub(super) fn account_push(&self, account: AccountId, now: UnixNanos) -> String {
        let topic = Topic::Private(account, Private::Account);
        let row = AccountPush::of(&self.venue.account_view(account));
        feed::push("snapshot", topic, &self.venue, [row], now)
    }

    /// The row that states a position.
    pub(super) fn position_push<'a>(&'a self, view: &PositionView) -> PositionPush<'a> {
        let side = match view.position.lots.0.signum() {
            1 => Side::Buy,
            -1 => Side::Sell,
            _ => {
                let last = self.directions.get(&(view.account, view.instrument));
                last.copied().unwrap_or(Side::Buy)
            }
        };
        PositionPush::of(view, &self.venue.instrument(view.instrument).rules, side)
    }

    /// Remembers which way a one-way position points.
    pub(super) fn note_direction(&mut self, view: &PositionView) {
        let side = match view.position.lots.0.signum() {
            1 => Side::Buy,
            -1 => Side::Sell,
            _ => return,
        };
        if view.pos_side == PosSide::Net {
            self.directions.insert((view.account, view.instrument), side);
        }
    }

    /// A name for a connection, in the form that the real venue's have.
    pub(super) fn connection_name(&mut self) -> String {
        let mut word = || self.random.random::<u64>();
        let [a, b, c, d, e] = [word(), word(), word(), word(), word()];
        format!("{a:016x}-{:08x}-{:08x}-{d:016x}-{:08x}", b as u32, c as u32, e as u32)
    }
}

impl Answer {
    fn success(data: &str, now: UnixNanos) -> Self {
        let ms = now.millis();
        Self {
            status: 200,
            body: format!(
                "{{\"code\":\"00000\",\"msg\":\"success\",\"requestTime\":{ms},\"data\":{data}}}"
            ),
            remain: None,
            manner: Manner::Json,
        }
    }

    /// The page of a server in front of the venue.
    pub(super) fn page(status: u16) -> Self {
        let body = format!("<html><body><h1>{status}</h1></body></html>");
        Self { status, body, remain: None, manner: Manner::Page }
    }

    fn refused(status: u16, reject: &Reject, now: UnixNanos) -> Self {
        let envelope = Refusal {
            code: reject.code.to_string(),
            msg: &reject.message,
            request_time: now.millis(),
            data: None,
        };
        Self { status, body: json(&envelope), remain: None, manner: Manner::Json }
    }
}

/// The envelope of a refusal.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal<'a> {
    code: String,
    msg: &'a str,
    request_time: i64,
    data: Option<()>,
}

/// An envelope with the first half of its list.
fn halved(body: &str) -> String {
    let Ok(mut envelope) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    if let Some(rows) = envelope.get_mut("data").and_then(Value::as_array_mut) {
        rows.truncate(rows.len().div_ceil(2));
    }
    envelope.to_string()
}

/// Reads the parameters of a request: the query, or a JSON body, which is an object or a list.
fn read_call(request: &Request, caller: Option<Caller>, now: UnixNanos) -> Result<Call, Reject> {
    let key = request.header("access-key").unwrap_or_default().to_owned();
    let (mut params, mut list) = (Params::default(), Vec::new());
    if request.method == "GET" {
        params = Params::of_query(request.parameters());
    } else if !request.body.is_empty() {
        let kind = request.header("content-type").unwrap_or_default();
        if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
            return Err(reject::CONTENT_TYPE);
        }
        match serde_json::from_slice(&request.body) {
            Ok(Value::Array(elements)) => list = elements,
            Ok(value @ Value::Object(_)) => params = Params::of_value(value),
            Ok(_) | Err(_) => return Err(reject::VERIFICATION),
        }
    }
    Ok(Call { caller, key, params, list, refused_from: usize::MAX, now })
}
