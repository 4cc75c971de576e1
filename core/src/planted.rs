//! Planted defects: small mistakes, made on purpose, that measure what the tests can find.
//!
//! With the feature `planted` a build carries all of them and a run commits at most one, named in
//! its [`Boot`](crate::event::Boot), so that the journal says so and a replay repeats it. Without
//! the feature (no package, no binary of the program and no release has it) [`Planted`] is empty,
//! every place where a defect would act compiles to nothing, and a journal of such a run cannot be
//! read. `keel-planted` runs them all and tells what found each.

use crate::layout::{Field, LayoutError, Reader, Writer};

macro_rules! defects {
    ($($(#[doc = $doc:literal])+ $defect:ident = $number:literal: $incident:literal,)+) => {
        /// One mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Defect {
            $($(#[doc = $doc])+ $defect = $number,)+
        }

        impl Defect {
            /// All, in order.
            pub const ALL: &'static [Self] = &[$(Self::$defect,)+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$defect => stringify!($defect),)+
                }
            }

            /// What it does, in words.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$defect => concat!($($doc,)+),)+
                }
            }

            /// Where the world has seen it; empty when it is our own idea.
            pub const fn incident(self) -> &'static str {
                match self {
                    $(Self::$defect => $incident,)+
                }
            }
        }
    };
}

defects! {
    /// The acknowledgment of a cancel is taken as the order's end.
    CancelAckIsFinal = 1: "hummingbot #8322",
    /// One answer that an order is not found is taken as proof that it never was.
    NotFoundIsGone = 2: "hummingbot #5896",
    /// An order that is not acknowledged in time is taken as failed.
    TimeoutIsFailure = 3: "hummingbot #493",
    /// An execution of an order that has ended is thrown away.
    LateFillDropped = 4: "hummingbot #8322",
    /// An order of unknown outcome counts for nothing and frees its level.
    UnknownIsForgotten = 5: "hummingbot #3374",
    /// Trade ids are remembered in a short list of the newest.
    TradeIdsInShortList = 6: "hummingbot, order tracker",
    /// Executions that an order's update speaks of are made up before they are told.
    FillIsInferred = 7: "nautilus_trader #3493",
    /// A position that differs is taken over from the venue, without its executions.
    PositionIsAdopted = 8: "nautilus_trader #3104",
    /// Orders that an earlier run has left are not looked for.
    OrphansNotScanned = 9: "hummingbot #366",
    /// A books frame that does not continue the one before is applied all the same.
    SequenceGapIgnored = 10: "ccxt #16602",
    /// The checksum of a book is not looked at.
    ChecksumIgnored = 11: "ccxt #21997",
    /// Quotes stay while the book is old.
    StaleBookQuoted = 12: "hummingbot #8250",
    /// A stop for good ends with the next event that finds nothing wrong.
    HardStopClears = 13: "a public Python guard",
    /// A stop for good ends with the UTC day.
    HardStopEndsWithDay = 14: "a public Python guard",
    /// A funding settlement is read and not booked.
    FundingNotBooked = 15: "",
    /// A rebate is booked as a fee.
    RebateIsFee = 16: "",
    /// Client ids begin anew after the private stream was lost.
    ClientIdsStartOver = 17: "hummingbot #493",
    /// The boot epoch is not made durable, so that the next boot has the same.
    EpochNotDurable = 18: "",
    /// A stop for good is not remembered over a restart.
    LatchForgotten = 19: "",
    /// The day's open is taken anew at each start.
    DayOpensAnew = 20: "",
    /// Losses are counted without what is held and not sold.
    LossWithoutMarks = 21: "",
    /// After a crash nothing is waited for that may still be on its way.
    ZombiesNotAwaited = 22: "",
    /// Orders of others are canceled although the policy is to stop.
    ForeignOrdersCanceled = 23: "hummingbot #3214",
    /// A pause leaves the quotes where they are.
    PauseKeepsQuotes = 24: "hummingbot #2534",
    /// A book is fresh when anything comes.
    AnyTopicIsFresh = 25: "hummingbot #8250",
    /// A frame that came before is news.
    OldFrameIsFresh = 26: "",
    /// An ordered stop believes its own table and does not ask the venue.
    StopNotReadBack = 27: "hummingbot #1508",
    /// One read of a position that differs is drift.
    OneReadIsDrift = 28: "nautilus_trader #5000",
    /// Executions are asked for from the newest known on, without an overlap.
    FillsSinceNewest = 29: "Lean.TradeStation #95",
    /// The cap on orders does not count those on their way in or out.
    BusyNotCounted = 30: "hummingbot, executors",
    /// The gate does not add up what may come to be held.
    WorstCaseNotChecked = 31: "",
    /// Creates are sent as fast as the strategy likes.
    CreatesNotPaced = 32: "hummingbot #462",
    /// Quotes are rounded toward the mid.
    RoundedTowardMid = 33: "",
    /// A quote may stand on the price of the other side.
    TouchIsLocked = 34: "",
    /// A create that is not answered in time is sent again.
    CreateResentOnTimeout = 35: "hummingbot #493",
    /// The last create is sent again on a new connection.
    CreateResentOnReconnect = 36: "N20",
    /// After a reconnect the private topics are not subscribed to.
    PrivateNotResubscribed = 37: "hummingbot #7590",
    /// The private stream counts as live from the login on.
    LiveBeforeSubscribed = 38: "",
    /// The engine is not told that the private stream is lost.
    LossNotTold = 39: "hummingbot #8250",
    /// A cancel-all that failed is not sent again.
    CancelAllNotRepeated = 40: "hummingbot #366",
    /// Orders go out without being post-only.
    PostOnlyLeftOut = 41: "",
    /// A question that failed is taken as one that found nothing.
    FailureIsEmpty = 42: "nautilus_trader #3176",
    /// A maker's fee is believed as the list of executions has it.
    RestFeeBelieved = 43: "Bitget's documentation gives two signs",
    /// An order whose answer over REST is lost is taken as not sent.
    HttpLossIsFailure = 44: "hummingbot #3374",
    /// A position that no execution explains pauses, and never stops for good.
    DriftNeverStops = 45: "",
}

/// The defect that a run commits; none, and nothing at all in a build without the feature
/// `planted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(feature = "planted")]
    defect: Option<Defect>,
}

impl Planted {
    /// No defect.
    pub const NONE: Self = Self {
        #[cfg(feature = "planted")]
        defect: None,
    };

    /// This defect.
    #[cfg(feature = "planted")]
    pub const fn of(defect: Defect) -> Self {
        Self { defect: Some(defect) }
    }

    /// The defect of this name; `None` for another name, and for every name in a build without the
    /// feature.
    pub fn named(name: &str) -> Option<Self> {
        #[cfg(feature = "planted")]
        if let Some(&defect) = Defect::ALL.iter().find(|defect| defect.name() == name) {
            return Some(Self::of(defect));
        }
        let _ = name;
        None
    }

    /// True in a run that commits `defect`.
    #[inline(always)]
    pub const fn has(self, defect: Defect) -> bool {
        self.number() == defect as u8
    }

    /// The number of the defect; 0 for none.
    #[inline(always)]
    const fn number(self) -> u8 {
        #[cfg(feature = "planted")]
        if let Some(defect) = self.defect {
            return defect as u8;
        }
        0
    }
}

impl Field for Planted {
    const SIZE: usize = 1;

    fn put(&self, to: &mut Writer<'_>) {
        self.number().put(to);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, LayoutError> {
        let number = u8::take(from)?;
        if number == 0 {
            return Ok(Self::NONE);
        }
        #[cfg(feature = "planted")]
        if let Some(&defect) = Defect::ALL.iter().find(|&&defect| defect as u8 == number) {
            return Ok(Self::of(defect));
        }
        Err(LayoutError::Value)
    }
}

#[cfg(not(feature = "planted"))]
const _: () = assert!(size_of::<Planted>() == 0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::SLOT_BYTES;

    #[test]
    fn defects_are_numbered_without_a_hole_and_told_apart() {
        for (place, defect) in Defect::ALL.iter().enumerate() {
            assert_eq!(usize::from(*defect as u8), place + 1, "{}", defect.name());
            assert!(defect.what().trim().ends_with('.'), "{}", defect.name());
            assert!(!Planted::NONE.has(*defect));
            let named = Planted::named(defect.name());
            assert_eq!(named.is_some_and(|one| one.has(*defect)), cfg!(feature = "planted"));
        }
    }

    #[test]
    fn no_other_name_is_a_defect() {
        assert_eq!(Planted::named("NoSuchDefect"), None);
        assert_eq!(Planted::named(""), None);
    }

    #[test]
    fn a_journal_of_a_planted_run_is_read_by_such_a_build_only() {
        for number in [0, 1, u8::MAX] {
            let mut slot = [0; SLOT_BYTES];
            number.put(&mut Writer::new(&mut slot, 1));
            let (_, mut from) = Reader::new(&slot).expect("this layout");
            let known = number == 0 || (number == 1 && cfg!(feature = "planted"));
            let read = Planted::take(&mut from);
            assert_eq!(read.is_ok(), known, "{number}");
            assert_eq!(read.map_or(number, Planted::number), number);
        }
    }
}
