//! Faults: what can go wrong between the product and the venue, and when it does.

use keel_core::units::{MILLIS, MonoNanos, SECONDS};

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
    /// An order is worked late, within its receive window.
    LateOrder,
    /// A cancel is lost before the venue works it.
    DropCancel,
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
    /// The host's clock is set off the venue's for a while, by less than the hard limit.
    ClockStep,
    /// Somebody places an order on the account by hand.
    ForeignOrder,
    /// The venue cancels an order of ours unasked.
    UnaskedCancel,
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

/// Which faults, how often, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Those that may happen; each as likely as the other.
    pub kinds: Vec<FaultKind>,
    /// From one to the next, on the average.
    pub every_ns: u64,
    /// The first at this time of the world, in nanoseconds since it began.
    pub from_ns: u64,
    /// None begins after this time, and all have ended by then.
    pub until_ns: u64,
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { kinds: Vec::new(), every_ns: 0, from_ns: 0, until_ns: 0 };

    /// Every kind, about `every_ns` apart, within a stretch of the world's time.
    pub fn all(every_ns: u64, from_ns: u64, until_ns: u64) -> Self {
        Self { kinds: FaultKind::ALL.to_vec(), every_ns, from_ns, until_ns }
    }

    /// When the fault after one at `now` happens.
    pub(super) fn next(&self, began: MonoNanos, now: MonoNanos, chance: &mut Chance) -> MonoNanos {
        if self.kinds.is_empty() {
            return MonoNanos::NEVER;
        }
        let gap = chance.between(self.every_ns / 4, self.every_ns * 7 / 4);
        let at = now.max(began.after(self.from_ns)).after(gap);
        if at < began.after(self.until_ns) { at } else { MonoNanos::NEVER }
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
