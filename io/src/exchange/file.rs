//! `exchange.toml`: the accounts and limits of an embedded exchange, as a person writes them.

use keel_core::units::{Quote, Rate};
use keel_sim::account::{Fees, Permissions};
use serde::Deserialize;

use super::{AccountPlan, ExchangeConfig, Limits};

/// The file. A key that it does not know is refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ExchangeFile {
    /// The same seed gives the same keys and the same market.
    pub seed: Option<u64>,
    /// Whether `books` carries a checksum.
    #[serde(default)]
    pub checksum: bool,
    /// Whether the real venue's rate limits are kept; they are when it is absent.
    pub limits: Option<bool>,
    /// How connections are kept.
    #[serde(default)]
    pub transport: TransportEntry,
    /// After how many hours a WebSocket is ended, 0 for never; 24 when it is absent.
    pub disconnect_hours: Option<u16>,
    /// What the insurance fund holds at first, in whole USDT; 1,000,000 when it is absent.
    pub insurance_usdt: Option<u32>,
    /// Whether orders may be entered on the private socket; true when it is not given.
    pub websocket_orders: Option<bool>,
    /// The accounts; those of the default exchange when there are none.
    #[serde(default)]
    pub accounts: Vec<AccountEntry>,
}

/// Limits of connections. What is absent stays as it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TransportEntry {
    /// Connections in all, 1 to 10,000.
    pub connections: Option<u32>,
    /// Connections of one address, 1 to 10,000.
    pub connections_per_address: Option<u32>,
    /// What may wait for a client that does not read, 16 to 65,536 KiB; more cuts it off.
    pub waiting_kib: Option<u32>,
    /// How long a TLS handshake may take, 10 to 600,000 ms of real time.
    pub handshake_ms: Option<u32>,
    /// How long a request may take to arrive, 10 to 600,000 ms.
    pub request_ms: Option<u32>,
    /// How long an HTTP connection may idle, 10 to 600,000 ms.
    pub idle_ms: Option<u32>,
}

/// An account with its key.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AccountEntry {
    /// A name for people; unique.
    pub name: String,
    /// The number of the user; unique.
    pub uid: u64,
    /// What it starts with, in whole USDT: 1 to 1,000,000,000.
    pub deposit_usdt: u32,
    /// Its VIP level, 0 to 7; 0 when neither this nor rates are given.
    pub vip: Option<u8>,
    /// Its maker rate in parts per million, -10,000 to 10,000; negative is a rebate.
    pub maker_ppm: Option<i32>,
    /// Its taker rate in parts per million.
    pub taker_ppm: Option<i32>,
    /// Its leverage in all contracts.
    pub leverage: Option<u32>,
    /// What its key may do: any of `uta_trade`, `uta_mgt`, `withdraw`; nothing only reads.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// The addresses that its key is bound to; none binds it to none.
    #[serde(default)]
    pub ips: Vec<String>,
}

/// The venue's word for a permission.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Places and cancels orders.
    UtaTrade,
    /// Manages the account.
    UtaMgt,
    /// Takes money out.
    Withdraw,
}

/// What cannot be in an `exchange.toml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Two accounts share a name or a number.
    #[error("accounts: {0} is there twice")]
    Twice(String),
    /// A limit of connections is out of its range.
    #[error("transport.{key}: out of range, {range}")]
    Transport {
        /// The key.
        key: &'static str,
        /// What would do.
        range: &'static str,
    },
    /// A value of an account is out of its range.
    #[error("accounts.{account}.{key}: out of range, {range}")]
    Range {
        /// The account's name.
        account: String,
        /// The key.
        key: &'static str,
        /// What would do.
        range: &'static str,
    },
}

impl ExchangeFile {
    /// The exchange that the file describes.
    ///
    /// # Errors
    /// [`FileError`], with the key that is wrong.
    pub fn config(&self) -> Result<ExchangeConfig, FileError> {
        let mut config = ExchangeConfig { checksum: self.checksum, ..ExchangeConfig::default() };
        config.websocket_orders = self.websocket_orders.unwrap_or(true);
        if self.limits == Some(false) {
            config.limits = Limits::unmetered();
        }
        self.transport.apply(&mut config.limits)?;
        if let Some(hours) = self.disconnect_hours {
            config.limits.session_age_ns = (hours > 0).then(|| i64::from(hours) * HOUR_NS);
        }
        if let Some(usdt) = self.insurance_usdt {
            config.insurance = Quote::usdt(i64::from(usdt));
        }
        if !self.accounts.is_empty() {
            config.accounts =
                self.accounts.iter().map(AccountEntry::plan).collect::<Result<_, _>>()?;
        }
        for (i, account) in config.accounts.iter().enumerate() {
            let earlier = &config.accounts[..i];
            if earlier.iter().any(|a| a.name == account.name || a.uid == account.uid) {
                return Err(FileError::Twice(account.name.clone()));
            }
        }
        Ok(config)
    }
}

impl TransportEntry {
    fn apply(&self, limits: &mut Limits) -> Result<(), FileError> {
        let within = |value: Option<u32>, key, (least, most), range| match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(FileError::Transport { key, range })
            }
            value => Ok(value),
        };
        let count = |value, key| within(value, key, (1, 10_000), "1 to 10000");
        let ns = |value, key, slot: &mut i64| {
            let ms = within(value, key, (10, 600_000), "10 to 600000")?;
            if let Some(ms) = ms {
                *slot = i64::from(ms) * 1_000_000;
            }
            Ok(())
        };
        if let Some(most) = count(self.connections, "connections")? {
            limits.connections_max = most as usize;
        }
        if let Some(most) = count(self.connections_per_address, "connections_per_address")? {
            limits.connections_per_address = most as usize;
        }
        let waiting = within(self.waiting_kib, "waiting_kib", (16, 65_536), "16 to 65536")?;
        if let Some(kib) = waiting {
            limits.outbound_bytes_max = kib as usize * 1024;
        }
        ns(self.handshake_ms, "handshake_ms", &mut limits.handshake_ns)?;
        ns(self.request_ms, "request_ms", &mut limits.request_ns)?;
        ns(self.idle_ms, "idle_ms", &mut limits.idle_ns)
    }
}

impl AccountEntry {
    fn plan(&self) -> Result<AccountPlan, FileError> {
        let out_of = |key, range| FileError::Range { account: self.name.clone(), key, range };
        if !(1..=1_000_000_000).contains(&self.deposit_usdt) {
            return Err(out_of("deposit_usdt", "1 to 1000000000"));
        }
        let vip = self.vip.unwrap_or(0);
        if vip > 7 {
            return Err(out_of("vip", "0 to 7"));
        }
        if self.leverage.is_some_and(|leverage| !(1..=100).contains(&leverage)) {
            return Err(out_of("leverage", "1 to 100"));
        }
        let rate = |ppm: Option<i32>, key, level: Rate| match ppm {
            None => Ok(level),
            Some(ppm) if ppm.abs() <= 10_000 => Ok(Rate(i64::from(ppm) * 100)),
            Some(_) => Err(out_of(key, "-10000 to 10000")),
        };
        let level = Fees::vip(usize::from(vip));
        let mut permissions = Permissions::READ;
        for permission in &self.permissions {
            match permission {
                Permission::UtaTrade => permissions.trade = true,
                Permission::UtaMgt => permissions.manage = true,
                Permission::Withdraw => permissions.withdraw = true,
            }
        }
        Ok(AccountPlan {
            name: self.name.clone(),
            uid: self.uid,
            deposit: Quote::usdt(i64::from(self.deposit_usdt)),
            fees: Fees {
                maker: rate(self.maker_ppm, "maker_ppm", level.maker)?,
                taker: rate(self.taker_ppm, "taker_ppm", level.taker)?,
            },
            leverage: self.leverage,
            permissions,
            ips: self.ips.clone(),
        })
    }
}

const HOUR_NS: i64 = 3_600_000_000_000;
