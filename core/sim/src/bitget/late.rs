//! What is sent or worked later than it should be, because of a fault.

use std::collections::BTreeMap;

use keel_core::units::UnixNanos;
use serde_json::Value;
use tungstenite::Utf8Bytes;

use super::ConnId;
use super::auth::Caller;
use super::endpoint::Call;
use super::topic::Topic;
use crate::order::OrderId;

/// One thing that waits.
#[derive(Debug)]
pub(super) enum Late {
    /// A push, or an answer over a WebSocket.
    Text(ConnId, Utf8Bytes),
    /// The bytes of a REST answer, and whether the connection stays after it.
    Answer(ConnId, Vec<u8>, bool),
    /// A REST request that was not worked yet: its place in the table, and itself.
    Call(usize, Box<Call>),
    /// An order frame that was not worked yet.
    Frame(ConnId, Caller, Box<Frame>),
    /// An order whose cancel was answered and not done yet.
    Cancel(OrderId),
}

/// An order frame.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// `id`.
    pub id: String,
    /// `topic`.
    pub topic: String,
    /// `category`.
    pub category: String,
    /// `args`.
    pub args: Option<Value>,
}

/// All that waits, in the order in which it is due.
#[derive(Debug, Default)]
pub(super) struct LateQueue {
    waiting: BTreeMap<(UnixNanos, u64), Late>,
    counted: u64,
    /// When the last push of a topic to a connection is due, while one waits.
    last: BTreeMap<(ConnId, Topic), UnixNanos>,
}

impl LateQueue {
    /// Adds what is due at an instant; drops it when too much waits.
    pub(super) fn push(&mut self, at: UnixNanos, late: Late) {
        if self.waiting.len() < WAITING_MAX {
            self.counted += 1;
            self.waiting.insert((at, self.counted), late);
        }
    }

    /// When a push may be sent that should be sent at `at`: not before those of its topic that
    /// already wait for its connection.
    pub(super) fn in_order(
        &mut self,
        conn: ConnId,
        topic: Topic,
        at: UnixNanos,
        now: UnixNanos,
    ) -> UnixNanos {
        let key = (conn, topic);
        let at = self.last.get(&key).map_or(at, |last| at.max(*last));
        if at > now {
            self.last.insert(key, at);
        } else {
            self.last.remove(&key);
        }
        at
    }

    /// When the first is due.
    pub(super) fn deadline(&self) -> Option<UnixNanos> {
        let ((at, _), _) = self.waiting.first_key_value()?;
        (at.0 < i64::MAX).then_some(*at)
    }

    /// The first of those that are due.
    pub(super) fn take(&mut self, now: UnixNanos) -> Option<Late> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Makes everything due that waited for a fault without an end.
    pub(super) fn release(&mut self, now: UnixNanos) {
        let endless = self.waiting.split_off(&(UnixNanos(i64::MAX), 0));
        for ((_, number), late) in endless {
            self.waiting.insert((now, number), late);
        }
        self.last.clear();
    }
}

/// Most things that wait.
const WAITING_MAX: usize = 65_536;
