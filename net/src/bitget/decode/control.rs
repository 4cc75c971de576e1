//! Answers: login, subscriptions, order entry, errors (bitget reference §10, §14).

use keel_core::event::{ClientId, Event, Reply, RequestKind};
use keel_core::instrument::InstrumentId;

use super::push::Out;
use super::tape::Item;
use super::{Control, DecodeError, Found, ROWS_MAX};
use crate::bitget::codes;
use crate::bitget::encode::RequestId;
use crate::bitget::topics::Channel;

/// The parts of an answer.
pub(super) struct Answer<'t> {
    pub(super) event: Item<'t>,
    pub(super) arg: Option<Item<'t>>,
    pub(super) id: Option<Item<'t>>,
    pub(super) topic: Option<Item<'t>>,
    pub(super) args: Option<Item<'t>>,
    pub(super) code: Option<Item<'t>>,
    pub(super) msg: Option<Item<'t>>,
}

/// Reads an answer of any kind.
pub(super) fn read(answer: &Answer<'_>, out: &mut Out<'_>) -> Result<Found, DecodeError> {
    let code = code(answer.code, 0)?;
    match answer.event.text()? {
        b"login" if code == 0 => Ok(Found::Control(Control::LoggedIn)),
        b"login" => Ok(Found::Control(Control::LoginFailed(code))),
        b"subscribe" | b"unsubscribe" if code != 0 => {
            Ok(Found::Control(Control::SubscribeFailed(code)))
        }
        b"subscribe" => topic(answer, out, Control::Subscribed),
        b"unsubscribe" => topic(answer, out, Control::Unsubscribed),
        b"trade" if code == 0 => replies(answer, out),
        b"trade" | b"error" => Ok(refused(answer, code, out)),
        b"pong" => Ok(Found::Control(Control::Pong)),
        _ => Ok(Found::Unread),
    }
}

/// The answer to a subscription that was accepted or ended.
fn topic(
    answer: &Answer<'_>,
    out: &Out<'_>,
    make: fn(Channel, InstrumentId) -> Control,
) -> Result<Found, DecodeError> {
    let arg = answer.arg.ok_or(DecodeError::Missing)?;
    let [topic, symbol, inst_id] = arg.fields(["topic", "symbol", "instId"])?;
    let Some(channel) = Channel::parse(topic.ok_or(DecodeError::Missing)?.text()?) else {
        return Ok(Found::Unread);
    };
    let instrument = match symbol.or(inst_id) {
        Some(symbol) if !channel.is_private() => {
            out.directory.find(symbol.text()?).ok_or(DecodeError::Symbol)?.0
        }
        _ => InstrumentId::ALL,
    };
    Ok(Found::Control(make(channel, instrument)))
}

/// The answer to an order-entry request that was accepted as a whole: a reply for each element.
fn replies(answer: &Answer<'_>, out: &mut Out<'_>) -> Result<Found, DecodeError> {
    let asked = request_id(answer.id);
    if asked == Some(RequestId::Probe) {
        let element =
            answer.args.and_then(|args| args.rows().ok()).and_then(|mut rows| rows.next());
        let [code_of_it] = element.map_or(Ok([None]), |element| element.fields(["code"]))?;
        return Ok(Found::Control(Control::Probed(code(code_of_it, 0)?)));
    }
    let request = match answer.topic.map_or(Ok(&b""[..]), Item::text)? {
        b"place-order" | b"batch-place" | b"batch-place-order" => RequestKind::Place,
        b"cancel-order" | b"batch-cancel" | b"batch-cancel-order" => RequestKind::Cancel,
        _ => match asked {
            Some(asked) => asked.request(),
            None => return Ok(Found::Unread),
        },
    };
    let args = answer.args.ok_or(DecodeError::Missing)?.rows()?;
    if args.len() > ROWS_MAX {
        return Err(DecodeError::TooMany);
    }
    for element in args {
        let [symbol, order_id, client, element_code, msg] =
            element.fields(["symbol", "orderId", "clientOid", "code", "msg"])?;
        let code = code(element_code, 0)?;
        let (outcome, class) = codes::verdict(code);
        let named = match symbol {
            Some(symbol) => out.directory.find(symbol.text()?).map(|(id, _)| id),
            None => None,
        };
        let own = match client {
            Some(client) => out.instance.read(client.text()?),
            None => ClientId::FOREIGN,
        };
        let client = if own.is_own() { own } else { asked.map_or(own, RequestId::client) };
        out.events.push(Event::Reply(Reply {
            instrument: asked.map(RequestId::instrument).or(named).unwrap_or(InstrumentId::ALL),
            client,
            request,
            outcome,
            order_id: order_id.and_then(Item::filled).map_or(Ok(0), Item::id)?,
            code,
            class,
            message: codes::words(code, msg),
        }));
    }
    Ok(Found::Rows)
}

/// An error: of the request that its id names, of the login, of a subscription, or of none.
fn refused(answer: &Answer<'_>, code: u32, out: &mut Out<'_>) -> Found {
    let Some(asked) = request_id(answer.id) else {
        return Found::Control(match code {
            30004 | 30005 | 30011..=30015 => Control::LoginFailed(code),
            30001 | 30016 => Control::SubscribeFailed(code),
            code => Control::Failed(code),
        });
    };
    if asked == RequestId::Probe {
        return Found::Control(Control::Probed(if code == 0 { u32::MAX } else { code }));
    }
    if let RequestId::Batch { request, instrument, batch } = asked {
        return Found::Control(Control::BatchFailed { request, instrument, batch, code });
    }
    // An error without a code says nothing about the order.
    let (outcome, class) = codes::verdict(if code == 0 { u32::MAX } else { code });
    out.events.push(Event::Reply(Reply {
        instrument: asked.instrument(),
        client: asked.client(),
        request: asked.request(),
        outcome,
        order_id: asked.order_id(),
        code,
        class,
        message: codes::words(code, answer.msg),
    }));
    Found::Rows
}

fn request_id(id: Option<Item<'_>>) -> Option<RequestId> {
    id.and_then(|id| id.text().ok()).and_then(RequestId::parse)
}

/// A code as a number or a text; `missing` when there is none or it is empty.
fn code(item: Option<Item<'_>>, missing: u32) -> Result<u32, DecodeError> {
    item.and_then(Item::filled).map_or(Ok(missing), Item::code)
}
