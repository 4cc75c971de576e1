//! Who takes the orders of a process: the venue by its gateway, or a venue on paper in its place.

use keel_core::units::{MonoNanos, UnixNanos};
use keel_net::gateway::{Gateway, Lines};
use keel_net::proto::http::Client;
use keel_net::proto::session::Session;

use super::{Net, Port, WireId, pair_deadline, sessions, step_pair};
use crate::agent::paper::PaperSeat;

/// Who takes orders.
pub(super) enum Orders<'m> {
    AtVenue(Box<Venue>),
    OnPaper(Box<PaperSeat<'m>>),
}

/// The gateway and its connections.
pub(super) struct Venue {
    pub(super) gateway: Gateway,
    /// By seat.
    pub(super) private: [Port<Session>; 2],
    pub(super) cancel: Port<Client>,
    /// Where orders may be entered over REST.
    pub(super) order: Option<Port<Client>>,
}

impl Orders<'_> {
    /// Does what there is to do, when the venue's time is `utc`.
    pub(super) fn step(&mut self, net: &mut Net, utc: UnixNanos, now: MonoNanos) -> usize {
        match self {
            Self::AtVenue(venue) => venue.step(net, utc, now),
            Self::OnPaper(seat) => seat.turn(&|| now, now),
        }
    }

    /// What cold does for it.
    pub(super) fn step_doors(&mut self, rotate_ns: u64, net: &mut Net, now: MonoNanos) -> usize {
        let Self::AtVenue(venue) = self else { return 0 };
        step_pair(&mut venue.private, rotate_ns, net, now)
            + venue.cancel.step(net, now, true)
            + venue.order.as_mut().map_or(0, |order| order.step(net, now, true))
    }

    /// When it wants to be stepped.
    pub(super) fn deadline(&self) -> MonoNanos {
        match self {
            Self::AtVenue(venue) => {
                let away = venue.private.iter().map(Port::deadline_away);
                let order = venue.order.as_ref().map_or(MonoNanos::NEVER, Port::deadline_away);
                away.fold(order, MonoNanos::min)
                    .min(venue.cancel.deadline_away())
                    .min(venue.gateway.deadline())
            }
            Self::OnPaper(seat) => seat.deadline(),
        }
    }

    /// When its connections want to be looked at by cold.
    pub(super) fn doors_deadline(&self, rotate_ns: u64) -> MonoNanos {
        let Self::AtVenue(venue) = self else { return MonoNanos::NEVER };
        let order = venue.order.as_ref().map_or(MonoNanos::NEVER, Port::deadline_here);
        pair_deadline(&venue.private, rotate_ns).min(venue.cancel.deadline_here()).min(order)
    }

    /// True once it has ended in order.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::AtVenue(venue) => venue.gateway.is_over(),
            Self::OnPaper(seat) => seat.is_over(),
        }
    }

    /// True when everything had to be canceled because the engine could not.
    pub(super) fn is_dead_man(&self) -> bool {
        match self {
            Self::AtVenue(venue) => venue.gateway.is_dead_man(),
            Self::OnPaper(_) => false,
        }
    }

    /// True when it stands between feed and engine.
    pub(super) fn hears_market(&self) -> bool {
        matches!(self, Self::OnPaper(_))
    }

    /// Its connections.
    pub(super) fn wires(&self) -> Vec<WireId> {
        let Self::AtVenue(venue) = self else { return Vec::new() };
        let order = venue.order.iter().map(Port::wire);
        venue
            .private
            .iter()
            .map(Port::wire)
            .chain([venue.cancel.wire()])
            .chain(order)
            .flatten()
            .collect()
    }
}

impl Venue {
    fn step(&mut self, net: &mut Net, utc: UnixNanos, now: MonoNanos) -> usize {
        let Self { gateway, private, cancel, order } = self;
        let mut work = 0;
        for (seat, port) in private.iter_mut().enumerate() {
            if port.take_opened() {
                gateway.adopt(seat, &mut port.protocol, utc, now);
                work += 1;
            }
            work += port.pump_away(net, now);
        }
        for port in [Some(&mut *cancel), order.as_mut()].into_iter().flatten() {
            port.take_opened();
            work += port.pump_away(net, now);
        }
        let lines = Lines {
            sessions: sessions(private),
            cancel: cancel.lent(),
            order: order.as_mut().and_then(Port::lent),
        };
        work += gateway.step(lines, &|| now, utc, now);
        gateway.unsent().for_each(drop);
        for (seat, port) in private.iter_mut().enumerate() {
            work += port.pump_away(net, now);
            if port.has_ended(net) {
                gateway.retire(seat);
                port.retire(net, now);
                work += 1;
            }
        }
        work += cancel.pump_away(net, now);
        if cancel.is_spent(net) {
            gateway.lose_cancel();
            cancel.retire(net, now);
            work += 1;
        }
        if let Some(order) = order {
            work += order.pump_away(net, now);
            if order.is_spent(net) {
                gateway.lose_order(now);
                order.retire(net, now);
                work += 1;
            }
        }
        work
    }
}
