//! What the exchange is made of, and which of the real venue's limits it keeps.

use keel_core::units::{Quote, Rate};

use super::feed::Cadence;
use super::window::NANOS_PER_SECOND;
use crate::account::{Fees, Permissions};
use crate::fund::FUND_DEFAULT;

/// Everything that can be chosen about an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// The accounts that are there from the start.
    pub accounts: Vec<AccountPlan>,
    /// Limits.
    pub limits: Limits,
    /// How often public topics push.
    pub cadence: Cadence,
    /// What the insurance fund holds at first.
    pub insurance: Quote,
    /// Whether `books` carries a checksum. The real venue's frames of 2026 have none.
    pub checksum: bool,
    /// Whether orders may be entered on the private socket. The real venue grants it on request.
    pub websocket_orders: bool,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            accounts: vec![AccountPlan::maker(), AccountPlan::manual()],
            limits: Limits::default(),
            cadence: Cadence::default(),
            insurance: FUND_DEFAULT,
            checksum: false,
            websocket_orders: true,
        }
    }
}

/// An account that is there from the start, with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountPlan {
    /// A name for people; unique.
    pub name: String,
    /// The number of the user; unique.
    pub uid: u64,
    /// What it starts with.
    pub deposit: Quote,
    /// Its rates in all contracts.
    pub fees: Fees,
    /// Its leverage in all contracts; none for the venue's own choice.
    pub leverage: Option<u32>,
    /// What its key may do.
    pub permissions: Permissions,
    /// The addresses that its key is bound to; empty for any.
    pub ips: Vec<String>,
}

impl AccountPlan {
    /// `keel`: 10,000 USDT, the market-maker tier (maker −0.5 bp, taker 6 bp), leverage 5, a key
    /// that trades and is bound to loopback.
    pub fn maker() -> Self {
        Self {
            name: "keel".into(),
            uid: 8_000_000_001,
            deposit: Quote::usdt(10_000),
            fees: Fees { maker: Rate(-5_000), taker: Rate::bps(6) },
            leverage: Some(5),
            permissions: Permissions::TRADE,
            ips: vec!["127.0.0.1".into(), "::1".into()],
        }
    }

    /// `manual`: another user, for orders that are not the engine's; ordinary fees, and a key that
    /// also manages sub-accounts.
    pub fn manual() -> Self {
        Self {
            name: "manual".into(),
            uid: 8_000_000_002,
            deposit: Quote::usdt(1_000_000),
            fees: Fees::vip(0),
            leverage: None,
            permissions: Permissions { manage: true, ..Permissions::TRADE },
            ips: Vec::new(),
        }
    }
}

/// The real venue's limits (reference §3, §5, §10) and those that protect this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls a second of each endpoint, by user or address.
    pub endpoint_windows: bool,
    /// 6000 requests a minute and address, then five minutes of nothing.
    pub address_ceiling: bool,
    /// Whether messages and subscriptions on a socket are counted.
    pub message_rates: bool,
    /// Messages of a client a second and socket, pings included.
    pub messages_per_second: u32,
    /// Subscription requests an hour and socket.
    pub subscriptions_per_hour: u32,
    /// Topics of one socket.
    pub channels_max: usize,
    /// How long a socket lives without a text `ping`, nanoseconds; none for ever.
    pub ping_silence_ns: Option<i64>,
    /// How long a socket lives at all, nanoseconds; none for ever. 24 h were documented in 2024,
    /// and a client must be able to bear it.
    pub session_age_ns: Option<i64>,
    /// WebSockets that one address may open in five minutes; none for any number. The same is 300
    /// on the real venue.
    pub connects_per_window: Option<u32>,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// Connections in all.
    pub connections_max: usize,
    /// Bytes that may wait for a client that does not read; more cuts it off.
    pub outbound_bytes_max: usize,
    /// How long a TLS handshake may take, nanoseconds of real time; whoever hosts this keeps it.
    pub handshake_ns: i64,
    /// How long a request may take to arrive, nanoseconds.
    pub request_ns: i64,
    /// How long an HTTP connection may idle, nanoseconds.
    pub idle_ns: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            endpoint_windows: true,
            address_ceiling: true,
            message_rates: true,
            messages_per_second: 10,
            subscriptions_per_hour: 240,
            channels_max: 1_000,
            ping_silence_ns: Some(120 * NANOS_PER_SECOND),
            session_age_ns: Some(24 * 3_600 * NANOS_PER_SECOND),
            connects_per_window: Some(300),
            connections_per_address: 100,
            connections_max: 512,
            outbound_bytes_max: 1024 * 1024,
            handshake_ns: 10 * NANOS_PER_SECOND,
            request_ns: 10 * NANOS_PER_SECOND,
            idle_ns: 60 * NANOS_PER_SECOND,
        }
    }
}

impl Limits {
    /// No rate is counted; what protects this venue stays.
    pub fn unmetered() -> Self {
        Self {
            endpoint_windows: false,
            address_ceiling: false,
            message_rates: false,
            connects_per_window: None,
            ..Self::default()
        }
    }
}
