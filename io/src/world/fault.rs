//! Faults: what can go wrong between the product and the venue, and when it does.

use std::fmt;

use keel_core::lifecycle::OrderState;
use keel_core::order::Slot;
use keel_core::units::{Lots, MILLIS, SECONDS};

use super::chance::Chance;

/// The connections of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// Market data.
    Public = 0,
    /// Orders and private updates.
    Private = 1,
    /// Questions.
    Rest = 2,
    /// Cancels over HTTP.
    Cancel = 3,
    /// Orders over REST.
    Order = 4,
}

impl Route {
    /// All, in order.
    pub const ALL: [Self; 5] = [Self::Public, Self::Private, Self::Rest, Self::Cancel, Self::Order];
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident),+ $(,)?) => {
        /// What goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultKind {
            $($(#[doc = $doc])+ $kind),+
        }

        impl FaultKind {
            /// All, in order.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind)),+
                }
            }
        }
    };
}

kinds! {
    /// The public connection breaks, maybe inside a frame.
    CutPublic,
    /// The private connection breaks, maybe inside a frame.
    CutPrivate,
    /// The connection of questions breaks.
    CutRest,
    /// The connection of cancel-all breaks.
    CutCancel,
    /// Nothing of the public connection arrives for a while; it stays open.
    StallPublic,
    /// Nothing of the private connection arrives, either way, for a while.
    StallPrivate,
    /// What the venue sends on the private connection does not arrive for a while; what is sent to
    /// it does.
    HalfOpenPrivate,
    /// Nothing of the connection of questions arrives for a while.
    StallRest,
    /// Nothing of the connection of cancel-all arrives for a while.
    StallCancel,
    /// The connection of orders over REST breaks, maybe with one under way.
    CutOrder,
    /// Nothing of the connection of orders over REST arrives for a while.
    StallOrder,
    /// A request is refused for its rate (HTTP 429).
    TooManyRequests,
    /// The public connection becomes slow for a while.
    SpikePublic,
    /// The private connection becomes slow for a while.
    SpikePrivate,
    /// The HTTP connections become slow for a while.
    SpikeHttp,
    /// All connections break at once.
    CutAll,
    /// A books frame is lost.
    DropBook,
    /// A books frame comes twice.
    DuplicateBook,
    /// An older books frame comes again.
    ReplayBook,
    /// A books frame cannot be read.
    DamageBook,
    /// A digit of a level is another; only where the venue sends checksums, which show it.
    AlterBook,
    /// A private push is lost.
    DropPush,
    /// A private push comes twice.
    DuplicatePush,
    /// An older private push comes again.
    ReplayPush,
    /// The answer to an order or a cancel is lost.
    DropReply,
    /// An order is lost before the venue works it.
    DropOrder,
    /// An order is worked late: on the socket within its receive window, over REST while its
    /// signature holds.
    LateOrder,
    /// A cancel is lost before the venue works it.
    DropCancel,
    /// A cancel is answered as received, and its order rests on for a while.
    LateCancel,
    /// A request is worked, and answered with 502.
    BadGatewayDone,
    /// A request is not worked, and answered with 502.
    BadGatewayLost,
    /// A request is worked and never answered.
    NoAnswer,
    /// A response breaks off.
    CutAnswer,
    /// The process is killed and started again; its journal is whole.
    Kill,
    /// The process is killed and started again; the journal lacks what was not yet durable.
    KillUnsynced,
    /// The process is killed, and the venue takes orders on its socket from then on, or ceases to,
    /// so that the next start enters them the other way; only where it enters them as it is let.
    KillOtherWay,
    /// The host's clock is set off the venue's for a while, by less than the hard limit.
    ClockStep,
    /// Somebody places an order on the account by hand.
    ForeignOrder,
    /// The venue cancels an order of ours unasked.
    UnaskedCancel,
    /// Another account takes a part of an order of ours.
    PartFill,
    /// One answer over REST tells of a position that is not: none, or one that is larger.
    FalsePosition,
    /// A request is worked, and answered with 503.
    UnavailableDone,
    /// A request is not worked, and answered with 503.
    UnavailableLost,
    /// A request is worked, and answered with 504.
    GatewayTimeoutDone,
    /// A request is not worked, and answered with 504.
    GatewayTimeoutLost,
    /// A request on the private socket is worked, and answered with an error that says nothing.
    ErrorDone,
    /// A request on the private socket is not worked, and answered with such an error.
    ErrorLost,
    /// A request on the private socket is refused for its rate.
    TooManyOrders,
    /// A batch is worked, and only its first half is answered; on the socket or over REST.
    PartialBatch,
    /// Of a batch the first half is worked, and each order or cancel of the second is refused for
    /// its rate; on the socket or over REST.
    RefusedRows,
    /// The address is turned away for a while: HTTP gets 403, and every WebSocket ends.
    Ban,
    /// The venue is under maintenance for a while: HTTP gets 503, and every WebSocket ends.
    Maintenance,
    /// The venue's clock is off for a while, by less than the second that is allowed for clocks
    /// where it is waited until an order can no longer appear.
    Skew,
    /// From then on each answer over REST that tells of a position tells of one that is larger, to
    /// the end of the world.
    FalsePositions,
}

impl FaultKind {
    /// True when what it befalls does not arrive as it was.
    pub(super) const fn spoils(self) -> bool {
        matches!(
            self,
            Self::DropBook | Self::DamageBook | Self::DropPush | Self::DropReply | Self::DropOrder
        )
    }
}

/// How many of each kind were put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; FaultKind::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; FaultKind::ALL.len()])
    }
}

impl Counts {
    /// Counts one.
    pub(super) fn count(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// How many of `kind`.
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds those of another world.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, more)| *mine += more);
    }
}

/// In which states the orders of the account's owner were when something went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings(u8);

/// A state that an order can be in when something goes wrong, by the engine's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// There is no engine.
    NoEngine = 0,
    /// There is an engine, and no order of its may be live.
    NoOrder = 1,
    /// An order was sent and has not been shown.
    PendingNew = 2,
    /// An order rests, nothing of it executed.
    Live = 3,
    /// An order rests, a part of it executed.
    Partly = 4,
    /// A cancel was sent.
    PendingCancel = 5,
    /// The outcome of a request is not known.
    Unknown = 6,
}

impl Standing {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::NoEngine,
        Self::NoOrder,
        Self::PendingNew,
        Self::Live,
        Self::Partly,
        Self::PendingCancel,
        Self::Unknown,
    ];
}

impl Standings {
    /// Those of the orders that may be live.
    pub(super) fn of<'a>(orders: impl Iterator<Item = &'a Slot>) -> Self {
        let standing = |slot: &Slot| match slot.state {
            OrderState::PendingNew => Standing::PendingNew,
            OrderState::Live if slot.booked == Lots::ZERO => Standing::Live,
            OrderState::Live => Standing::Partly,
            OrderState::PendingCancel => Standing::PendingCancel,
            OrderState::Unknown => Standing::Unknown,
            OrderState::Done => Standing::NoOrder,
        };
        let all = orders.fold(0, |all, slot| all | 1 << standing(slot) as u8);
        if all == 0 { Self::only(Standing::NoOrder) } else { Self(all) }
    }

    /// One alone.
    pub(super) const fn only(standing: Standing) -> Self {
        Self(1 << standing as u8)
    }

    /// True when an order was in this state.
    pub const fn has(self, standing: Standing) -> bool {
        self.0 & 1 << standing as u8 != 0
    }
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    /// When, in nanoseconds since the world began; a fault that befalls a message waits from then
    /// on for one.
    pub at_ns: u64,
    /// What.
    pub kind: FaultKind,
    /// What everything about it is drawn from: how long it lasts, how slow, which byte.
    pub seed: u64,
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.at_ns / MILLIS;
        write!(f, "{} at {}.{:03} s", self.kind.name(), ms / 1_000, ms % 1_000)
    }
}

/// What goes wrong in a world, and until when. Each fault draws from its own seed, so that one that
/// is left out changes nothing about the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// In the order of their times.
    pub faults: Vec<PlannedFault>,
    /// Faults that last have ended by this time of the world, and those that still wait for a
    /// message wait no more. In nanoseconds since the world began.
    pub until_ns: u64,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { faults: Vec::new(), until_ns: 0 };

    /// Faults of `kinds`, each as likely as the other, about `every_ns` apart, within a stretch of
    /// the world's time.
    pub fn drawn(
        chance: &mut Chance,
        kinds: &[FaultKind],
        every_ns: u64,
        from_ns: u64,
        until_ns: u64,
    ) -> Self {
        let mut faults = Vec::new();
        let mut at_ns = from_ns;
        loop {
            at_ns += chance.between(every_ns / 4, every_ns * 7 / 4);
            if at_ns >= until_ns {
                return Self { faults, until_ns };
            }
            faults.push(PlannedFault { at_ns, kind: chance.pick(kinds), seed: chance.draw() });
        }
    }

    /// The same plan with the faults at `places` alone.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn only(&self, places: &[usize]) -> Self {
        let faults = places.iter().map(|&place| self.faults[place]).collect();
        Self { faults, until_ns: self.until_ns }
    }
}

/// How long a fault that lasts, lasts: mostly short, now and then beyond every time-out.
pub(super) fn length_ns(chance: &mut Chance) -> u64 {
    match chance.below(4) {
        0 => chance.between(50 * MILLIS, 500 * MILLIS),
        1 => chance.between(500 * MILLIS, 3 * SECONDS),
        2 => chance.between(3 * SECONDS, 8 * SECONDS),
        _ => chance.between(8 * SECONDS, 20 * SECONDS),
    }
}
