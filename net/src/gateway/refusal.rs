//! Refusals for rate on the socket: they teach the same budget as HTTP's 429.

use keel_core::event::{Event, Reply, RequestKind};
use keel_core::units::MonoNanos;

use crate::bitget::codes;
use crate::bitget::decode::{Control, DecodeError, Message, Sink};
use crate::rate::{Budget, Class};

/// What one payload says of requests that were too many, by what they asked for.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    places: u32,
    cancels: u32,
    alls: u32,
    /// Cancels that it answers, refused or not: more than one were asked for together.
    answered: u32,
}

impl Refusals {
    /// A sink that notes them on their way to `inner`.
    pub(super) fn sink<S: Sink>(&mut self, inner: S) -> RefusalSink<'_, S> {
        RefusalSink { refusals: self, inner }
    }

    /// Teaches `budget` what the payload said: once for a message, however many of its orders were
    /// refused. An error that names no request may mean an order as well as any other; creates give
    /// way, and what cancels keeps its windows.
    pub(super) fn count(
        &self,
        message: &Result<Message, DecodeError>,
        budget: &mut Budget,
        now: MonoNanos,
    ) {
        let (places, cancels) = (self.places, self.cancels);
        let class = match *message {
            Ok(Message::Control(control)) => class_of(control),
            Ok(Message::Events(_)) if places > 0 => Some(Class::Place),
            Ok(Message::Events(_)) if cancels > 0 && self.answered > 1 => Some(Class::CancelBatch),
            Ok(Message::Events(_)) if cancels > 0 => Some(Class::Cancel),
            Ok(Message::Events(_)) if self.alls > 0 => Some(Class::CancelAll),
            Ok(Message::Events(_) | Message::Unread) | Err(_) => None,
        };
        if let Some(class) = class {
            budget.refused(class, now);
        }
    }

    fn note(&mut self, event: &Event) {
        let Event::Reply(Reply { code, request, .. }) = event else { return };
        let refused = u32::from(codes::is_too_many(*code));
        match request {
            RequestKind::Place => self.places += refused,
            RequestKind::Cancel => {
                self.answered += 1;
                self.cancels += refused;
            }
            RequestKind::CancelAll => self.alls += refused,
        }
    }
}

/// The window of a request that was refused for its rate with an answer that concerns the session.
fn class_of(control: Control) -> Option<Class> {
    match control {
        Control::BatchFailed { request, code, .. } if codes::is_too_many(code) => {
            Some(match request {
                RequestKind::Place => Class::Place,
                RequestKind::Cancel => Class::CancelBatch,
                RequestKind::CancelAll => Class::CancelAll,
            })
        }
        Control::Probed(code) if codes::is_too_many(code) => Some(Class::Cancel),
        Control::Failed(code) if codes::is_too_many(code) => Some(Class::Place),
        Control::BatchFailed { .. }
        | Control::Probed(_)
        | Control::Failed(_)
        | Control::Pong
        | Control::LoggedIn
        | Control::LoginFailed(_)
        | Control::Subscribed(..)
        | Control::Unsubscribed(..)
        | Control::SubscribeFailed(_) => None,
    }
}

/// Passes on everything.
pub(super) struct RefusalSink<'r, S> {
    refusals: &'r mut Refusals,
    inner: S,
}

impl<S: Sink> Sink for RefusalSink<'_, S> {
    fn put<I: ExactSizeIterator<Item = Event>>(&mut self, events: I) -> bool {
        let refusals = &mut *self.refusals;
        self.inner.put(events.inspect(|event| refusals.note(event)))
    }
}
