//! Topics: what can be subscribed to, and who has.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::shape::CATEGORY_LOWER;
use crate::account::AccountId;
use crate::bitget::ConnId;
use crate::instrument::InstrumentId;
use crate::venue::Venue;

/// One stream of pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// `books`, `books1`, `books5`, `books50`.
    Books(InstrumentId, Depth),
    /// `publicTrade`.
    Trades(InstrumentId),
    /// `ticker`.
    Ticker(InstrumentId),
    /// `kline` with an interval.
    Kline(InstrumentId, Interval),
    /// `liquidation`, of all contracts.
    Liquidations,
    /// A topic of an account.
    Private(AccountId, Private),
}

/// How much of a book a topic shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// `books`: up to 1000 levels a side, as a snapshot and then changes.
    All,
    /// `books1`.
    One,
    /// `books5`.
    Five,
    /// `books50`.
    Fifty,
}

impl Depth {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::All, Self::One, Self::Five, Self::Fifty];

    /// The topic's name.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::All => "books",
            Self::One => "books1",
            Self::Five => "books5",
            Self::Fifty => "books50",
        }
    }

    /// Levels a side.
    pub(super) const fn levels(self) -> usize {
        match self {
            Self::All => 1000,
            Self::One => 1,
            Self::Five => 5,
            Self::Fifty => 50,
        }
    }
}

/// Topics of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Private {
    /// `order`.
    Order,
    /// `fill`.
    Fill,
    /// `fast-fill`.
    FastFill,
    /// `position`.
    Position,
    /// `account`.
    Account,
    /// `strategy-order`.
    Strategy,
    /// `adl-notification`.
    Adl,
}

impl Private {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Order,
        Self::Fill,
        Self::FastFill,
        Self::Position,
        Self::Account,
        Self::Strategy,
        Self::Adl,
    ];

    /// The topic's name.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Fill => "fill",
            Self::FastFill => "fast-fill",
            Self::Position => "position",
            Self::Account => "account",
            Self::Strategy => "strategy-order",
            Self::Adl => "adl-notification",
        }
    }
}

/// The span of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval {
    /// Minutes of one bar.
    pub minutes: u32,
}

impl Interval {
    const WORDS: [(&'static str, u32); 12] = [
        ("1m", 1),
        ("3m", 3),
        ("5m", 5),
        ("15m", 15),
        ("30m", 30),
        ("1H", 60),
        ("4H", 240),
        ("6H", 360),
        ("12H", 720),
        ("1D", 1440),
        ("3D", 4320),
        ("1W", 10_080),
    ];

    /// The interval of a word such as `1m` or `4H`; letter case matters, as `1M` is a month.
    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(w, _)| *w == word).map(|(_, minutes)| Self { minutes: *minutes })
    }

    /// The word.
    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, minutes)| *minutes == self.minutes).map_or("", |(w, _)| w)
    }
}

impl Topic {
    /// The topic that a public subscription's `arg` names; `None` when there is none.
    pub(super) fn public(arg: &Map<String, Value>, venue: &Venue) -> Option<Self> {
        let text = |name: &str| arg.get(name).and_then(Value::as_str);
        if text("instType")? != CATEGORY_LOWER {
            return None;
        }
        let topic = text("topic")?;
        if topic == "liquidation" {
            return Some(Self::Liquidations);
        }
        let instrument = venue.find(text("symbol").or_else(|| text("instId"))?)?;
        match topic {
            "publicTrade" => Some(Self::Trades(instrument)),
            "ticker" => Some(Self::Ticker(instrument)),
            "kline" => Some(Self::Kline(instrument, Interval::of_word(text("interval")?)?)),
            _ => {
                let depth = Depth::ALL.into_iter().find(|depth| depth.word() == topic)?;
                Some(Self::Books(instrument, depth))
            }
        }
    }

    /// The topic that a private subscription's `arg` names; `None` when there is none.
    pub(super) fn private(arg: &Map<String, Value>, account: AccountId) -> Option<Self> {
        let text = |name: &str| arg.get(name).and_then(Value::as_str);
        if text("instType")? != PRIVATE_TYPE {
            return None;
        }
        let word = text("topic")?;
        let topic = Private::ALL.into_iter().find(|topic| topic.word() == word)?;
        Some(Self::Private(account, topic))
    }

    /// The topic's name on the wire.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Books(_, depth) => depth.word(),
            Self::Trades(_) => "publicTrade",
            Self::Ticker(_) => "ticker",
            Self::Kline(..) => "kline",
            Self::Liquidations => "liquidation",
            Self::Private(_, topic) => topic.word(),
        }
    }

    /// The `arg` of this topic's pushes.
    pub(super) fn arg(self, venue: &Venue) -> Arg<'_> {
        let (inst_type, instrument) = match self {
            Self::Books(instrument, _)
            | Self::Trades(instrument)
            | Self::Ticker(instrument)
            | Self::Kline(instrument, _) => (CATEGORY_LOWER, Some(instrument)),
            Self::Liquidations => (CATEGORY_LOWER, None),
            Self::Private(..) => (PRIVATE_TYPE, None),
        };
        let interval = match self {
            Self::Kline(_, interval) => Some(interval.word()),
            _ => None,
        };
        let symbol = instrument.map(|id| venue.instrument(id).rules.symbol.as_str());
        Arg { inst_type, topic: self.word(), symbol, interval }
    }
}

/// What names a topic on the wire.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Arg<'a> {
    #[serde(rename = "instType")]
    inst_type: &'static str,
    topic: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'static str>,
}

/// A data frame.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Push<'a, T> {
    /// `snapshot` or `update`.
    pub action: &'static str,
    /// The topic.
    pub arg: Arg<'a>,
    /// The rows.
    pub data: T,
    /// When it is sent, milliseconds since 1970.
    pub ts: i64,
}

/// Who is subscribed to what.
#[derive(Debug, Default)]
pub(super) struct Hub {
    subscribers: BTreeMap<Topic, BTreeSet<ConnId>>,
}

impl Hub {
    /// Adds a subscriber.
    pub(super) fn join(&mut self, topic: Topic, conn: ConnId) {
        self.subscribers.entry(topic).or_default().insert(conn);
    }

    /// Removes a subscriber.
    pub(super) fn leave(&mut self, topic: Topic, conn: ConnId) {
        if let Some(subscribers) = self.subscribers.get_mut(&topic) {
            subscribers.remove(&conn);
            if subscribers.is_empty() {
                self.subscribers.remove(&topic);
            }
        }
    }

    /// Whether anybody listens.
    pub(super) fn listens(&self, topic: Topic) -> bool {
        self.subscribers.contains_key(&topic)
    }

    /// Who listens.
    pub(super) fn of(&self, topic: Topic) -> impl Iterator<Item = ConnId> + '_ {
        self.subscribers.get(&topic).into_iter().flatten().copied()
    }

    /// All topics that somebody listens to.
    pub(super) fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.subscribers.keys().copied()
    }
}

/// The `instType` of private topics.
const PRIVATE_TYPE: &str = "UTA";
