//! The life of an order: five states, one table, every edge of it written down.
//!
//! Partly filled is a quantity, not a state. A fill changes the position first and the state
//! second, even where this table says that it was not expected. A cancel's acknowledgment is not
//! the end of an order, and a time-out is not a failure: [`OrderState::Unknown`] counts its full
//! size as live and is left only by evidence.

use core::fmt;

use crate::slot_enum;

slot_enum! {
    /// What we may believe of an order.
    pub enum OrderState {
        /// Sent; the venue has not shown it yet.
        PendingNew = 0 "PendingNew",
        /// It rests.
        Live = 1 "Live",
        /// A cancel was sent; it may still be executed.
        PendingCancel = 2 "PendingCancel",
        /// A request's outcome is not known; it may be live in full.
        Unknown = 3 "Unknown",
        /// Ended. Executions may still be reported, and count.
        Done = 4 "Done",
    }
}

slot_enum! {
    /// What moves an order from state to state.
    pub enum Cause {
        /// We sent a cancel.
        CancelSent = 0 "cancel sent",
        /// The venue has received the order; nothing more.
        PlaceReceived = 1 "place received",
        /// The venue refused the order with a code that leaves no doubt.
        PlaceRejected = 2 "place rejected",
        /// Nobody can say what became of the order.
        PlaceUnknown = 3 "place unknown",
        /// The order never left this machine.
        PlaceNotSent = 4 "place not sent",
        /// The venue has received the cancel. Not the end.
        CancelReceived = 5 "cancel received",
        /// The venue would not cancel: perhaps it is executed, perhaps it never was.
        CancelRejected = 6 "cancel rejected",
        /// Nobody can say what became of the cancel.
        CancelUnknown = 7 "cancel unknown",
        /// The cancel never left this machine.
        CancelNotSent = 8 "cancel not sent",
        /// No word of the venue within the acknowledgment time-out.
        Overdue = 9 "overdue",
        /// The private stream was lost while a request was in flight.
        StreamLost = 10 "stream lost",
        /// A push, a query or a list of open orders shows it resting.
        Working = 11 "working",
        /// A push or a query shows it ended.
        Ended = 12 "ended",
        /// A part of it was executed.
        Executed = 13 "executed",
        /// Executions add up to its whole size.
        Filled = 14 "filled",
        /// Two independent sources, asked after it can no longer appear, do not have it.
        Absent = 15 "absent",
        /// A query that was asked after its cancel was refused shows it resting.
        Uncanceled = 16 "uncanceled",
    }
}

/// A cause that a state does not know. The state stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// Where the order stood.
    pub state: OrderState,
    /// What came.
    pub cause: Cause,
}

impl OrderState {
    /// True while the order's remaining size counts as live at the venue.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Done)
    }

    /// The state after `cause`.
    ///
    /// # Errors
    /// [`Illegal`] when the table has no such edge; the order stays where it is.
    pub const fn after(self, cause: Cause) -> Result<Self, Illegal> {
        use Cause as C;
        use OrderState::{Done, Live, PendingCancel, PendingNew, Unknown};
        Ok(match (self, cause) {
            (PendingNew, C::CancelSent) => PendingCancel,
            (PendingNew, C::PlaceReceived) => PendingNew,
            (PendingNew, C::PlaceUnknown | C::Overdue | C::StreamLost) => Unknown,
            (PendingNew, C::Working | C::Executed) => Live,
            (PendingNew, C::PlaceRejected | C::PlaceNotSent) => Done,
            (PendingNew, C::Ended | C::Filled | C::Absent) => Done,

            (Live, C::PlaceReceived | C::PlaceUnknown) => Live,
            (Live, C::Working | C::Executed) => Live,
            (Live, C::CancelReceived | C::CancelRejected) => Live,
            (Live, C::CancelUnknown | C::CancelNotSent) => Live,
            (Live, C::Overdue | C::StreamLost) => Live,
            (Live, C::CancelSent) => PendingCancel,
            (Live, C::Ended | C::Filled | C::Absent) => Done,

            (PendingCancel, C::CancelSent | C::CancelReceived) => PendingCancel,
            (PendingCancel, C::CancelRejected | C::CancelNotSent) => PendingCancel,
            (PendingCancel, C::PlaceReceived | C::PlaceUnknown) => PendingCancel,
            (PendingCancel, C::Working | C::Executed) => PendingCancel,
            (PendingCancel, C::Uncanceled) => Live,
            (PendingCancel, C::CancelUnknown | C::Overdue | C::StreamLost) => Unknown,
            (PendingCancel, C::PlaceRejected | C::PlaceNotSent) => Done,
            (PendingCancel, C::Ended | C::Filled | C::Absent) => Done,

            (Unknown, C::CancelSent | C::CancelReceived) => Unknown,
            (Unknown, C::CancelRejected | C::CancelUnknown | C::CancelNotSent) => Unknown,
            (Unknown, C::PlaceReceived | C::PlaceUnknown) => Unknown,
            (Unknown, C::Overdue | C::StreamLost | C::Executed) => Unknown,
            (Unknown, C::Working | C::Uncanceled) => Live,
            (Unknown, C::PlaceRejected | C::PlaceNotSent) => Done,
            (Unknown, C::Ended | C::Filled | C::Absent) => Done,

            (Done, C::PlaceReceived | C::PlaceUnknown) => Done,
            (Done, C::CancelReceived | C::CancelRejected) => Done,
            (Done, C::CancelUnknown | C::CancelNotSent) => Done,
            (Done, C::StreamLost | C::Ended) => Done,
            (Done, C::Executed | C::Filled | C::Absent) => Done,

            (state, cause) => return Err(Illegal { state, cause }),
        })
    }
}

/// The table as Graphviz text, kept in `docs/states/order.dot`.
#[derive(Clone, Copy, Debug)]
pub struct Drawing;

impl fmt::Display for Drawing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "// Printed by keel_core::lifecycle; a test compares. Edges to the same state"
        )?;
        writeln!(f, "// are causes that change nothing; a cause without an edge is refused.")?;
        writeln!(f, "digraph order {{")?;
        writeln!(f, "    rankdir=LR;")?;
        writeln!(f, "    start [shape=point];")?;
        writeln!(f, "    Done [shape=doublecircle];")?;
        writeln!(f, "    start -> PendingNew [label=\"placed\"];")?;
        for &from in OrderState::ALL {
            for &to in OrderState::ALL {
                let mut causes =
                    Cause::ALL.iter().filter(|&&cause| from.after(cause) == Ok(to)).peekable();
                let Some(first) = causes.next() else { continue };
                write!(f, "    {from} -> {to} [label=\"{first}")?;
                for cause in causes {
                    write!(f, "\\n{cause}")?;
                }
                writeln!(f, "\"];")?;
            }
        }
        writeln!(f, "}}")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_drawing_in_docs_is_the_table() {
        let kept = include_str!("../../docs/states/order.dot");
        assert_eq!(Drawing.to_string(), kept, "docs/states/order.dot is old; it should read so");
    }

    #[test]
    fn nothing_leads_back_from_the_end() {
        for &cause in Cause::ALL {
            let after = OrderState::Done.after(cause);
            assert!(matches!(after, Ok(OrderState::Done) | Err(_)), "{cause}");
        }
        let back = OrderState::Done.after(Cause::Working);
        assert_eq!(back, Err(Illegal { state: OrderState::Done, cause: Cause::Working }));
    }

    #[test]
    fn a_time_out_or_a_lost_stream_never_ends_an_order() {
        for &state in &OrderState::ALL[..4] {
            for cause in [Cause::Overdue, Cause::StreamLost, Cause::PlaceUnknown] {
                assert!(state.after(cause).is_ok_and(OrderState::is_open), "{state} {cause}");
            }
        }
    }

    #[test]
    fn no_answer_to_a_cancel_ends_an_order() {
        for &state in &OrderState::ALL[..4] {
            for cause in [
                Cause::CancelSent,
                Cause::CancelReceived,
                Cause::CancelRejected,
                Cause::CancelUnknown,
                Cause::CancelNotSent,
            ] {
                let open = state.after(cause).is_ok_and(OrderState::is_open);
                let no_edge = state.after(cause).is_err() && state == OrderState::PendingNew;
                assert!(open || no_edge, "{state} {cause}");
            }
        }
    }

    #[test]
    fn the_unknown_is_left_only_by_evidence() {
        for &cause in Cause::ALL {
            let evidence = matches!(
                cause,
                Cause::Working
                    | Cause::Uncanceled
                    | Cause::Ended
                    | Cause::Filled
                    | Cause::Absent
                    | Cause::PlaceRejected
                    | Cause::PlaceNotSent
            );
            let stays = OrderState::Unknown.after(cause) == Ok(OrderState::Unknown);
            assert_eq!(stays, !evidence, "{cause}");
        }
    }

    #[test]
    fn proof_of_its_end_ends_an_order_from_every_state() {
        for &state in OrderState::ALL {
            for cause in [Cause::Ended, Cause::Filled, Cause::Absent] {
                assert_eq!(state.after(cause), Ok(OrderState::Done), "{state} {cause}");
            }
        }
    }
}
