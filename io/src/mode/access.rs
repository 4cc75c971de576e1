//! Access: where the venue of a run is, and with which key it is spoken to.
//!
//! What a mode may reach is decided here and nowhere else. In `sim` that is this machine. In
//! `demo` it is the venue's demo trading: addresses are constants, and the key is made into
//! [`Credentials::demo`], which mark every request; the venue takes no live order from them. On
//! paper it is a public market, and there is no key. In `live` it is the venue itself, or a
//! rehearsal of it on this machine, and orders go there by the permission of [`super::live`] only;
//! what cancels (`ToCancel`) and what reads (`ToRead`) need none.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use keel_core::event::Mode;
use keel_core::instrument::Instrument;
use keel_core::units::UnixNanos;
use keel_net::bitget::sign::{self, Credentials, Secret};
use keel_net::driver::tls::RootsError;
use keel_net::driver::{Security, SocketOptions, tls};
use keel_net::proto::session::Settings;
use rustls::ClientConfig;

use super::sim::StartError;
use crate::cold::daily::utc_text;
use crate::cold::door::Target;
use crate::cold::names::{self, Addresses};
use crate::exchange::{self, ExchangeHandle, ExchangeOptions};
use crate::kill::{self, Place};
use crate::secrets::ApiKey;
use crate::setup::{Market, Remote, Setup, Venue};
use crate::state;
use crate::topology::Targets;

/// The venue of a run: where it is and with which key.
pub(super) struct Access {
    /// What the state calls the venue.
    pub(super) label: String,
    /// The account that must answer.
    pub(super) uid: u64,
    pub(super) targets: Targets,
    /// Orders and private updates, and the upgrade's host and path.
    pub(super) private: (Target, Settings),
    pub(super) exchange: Option<ExchangeHandle>,
    key: [String; 3],
    seal: Seal,
}

/// What makes a key's parts into what signs.
type Seal = fn(String, Secret, Secret) -> Credentials;

impl Access {
    pub(super) fn of(setup: &Setup, now: UnixNanos) -> Result<Self, StartError> {
        match (setup.mode, &setup.venue) {
            (Mode::Sim, Venue::Embedded(market)) => Self::embedded(*market, setup, now),
            (Mode::Sim, Venue::Remote(remote)) => Self::remote(remote, Reach::ThisMachine),
            (Mode::Demo, Venue::Remote(remote)) => Self::remote(remote, Reach::Demo),
            (Mode::Live, Venue::Remote(remote)) => match &setup.live {
                Some(permit) if permit.covers(&remote.rest, remote.uid) => {
                    Self::remote(remote, Reach::Live)
                }
                _ => Err(StartError::Unpermitted),
            },
            (mode, _) => {
                Err(StartError::Venue(format!("mode {mode} has no account and no key there")))
            }
        }
    }

    fn remote(remote: &Remote, reach: Reach) -> Result<Self, StartError> {
        let urls = [&remote.rest, &remote.ws_public, &remote.ws_private];
        let (targets, private) = targets(urls.map(String::as_str), remote.ca.as_deref(), reach)?;
        let (label, seal): (_, Seal) = match reach {
            Reach::Demo => (format!("demo at {}", targets.host), Credentials::demo),
            Reach::Live => (format!("live at {}", targets.host), Credentials::live),
            Reach::ThisMachine | Reach::Public => (targets.host.clone(), Credentials::live),
        };
        let (uid, key) = (remote.uid, parts(&remote.key));
        Ok(Self { label, uid, targets, private, exchange: None, key, seal })
    }

    fn embedded(market: Market, setup: &Setup, now: UnixNanos) -> Result<Self, StartError> {
        let options = ExchangeOptions {
            run_dir: Some(setup.run_dir.clone()),
            seed: market.seed,
            speed: market.clock_speed,
            ..ExchangeOptions::default()
        };
        let exchange = exchange::start(options)?;
        let announced = exchange.announcement();
        let urls = [&announced.rest, &announced.ws_public, &announced.ws_private];
        let (targets, private) =
            targets(urls.map(String::as_str), announced.ca.as_deref(), Reach::ThisMachine)?;
        let account = announced
            .accounts
            .first()
            .ok_or_else(|| StartError::Venue("the embedded venue has no account".to_owned()))?;
        let key = [account.key.clone(), account.secret.clone(), account.passphrase.clone()];
        let uid = account.uid.parse().unwrap_or(0);
        let label = format!("{} since {}", state::EMBEDDED, utc_text(now));
        let seal: Seal = Credentials::live;
        Ok(Self { label, uid, targets, private, exchange: Some(exchange), key, seal })
    }

    /// Where and as whom a kill acts.
    pub(super) fn place(&self, setup: &Setup, epoch: u32, rules: Vec<Instrument>) -> Place {
        Place {
            host: self.targets.host.clone(),
            credentials: self.kill_credentials(setup),
            instance: setup.instance,
            epoch,
            rules,
            zombie_ns: kill::zombie_ns(&setup.params, None),
            params: setup.params,
            speed: setup.venue.clock_speed(),
        }
    }

    pub(super) fn credentials(&self) -> Credentials {
        self.seal(self.key.clone())
    }

    /// What signs for kill and guardian: a key of their own where one is configured.
    fn kill_credentials(&self, setup: &Setup) -> Credentials {
        setup.kill_key.as_ref().map_or_else(|| self.credentials(), |own| self.seal(parts(own)))
    }

    fn seal(&self, [key, secret, passphrase]: [String; 3]) -> Credentials {
        (self.seal)(key, Secret::new(secret), Secret::new(passphrase))
    }
}

/// Access for what cancels: no evidence is asked for, whatever the mode.
pub(crate) struct ToCancel(Access);

impl ToCancel {
    pub(crate) fn of(setup: &Setup, now: UnixNanos) -> Result<Self, StartError> {
        match (setup.mode, &setup.venue) {
            (Mode::Live, Venue::Remote(remote)) => Access::remote(remote, Reach::Live).map(Self),
            _ => Access::of(setup, now).map(Self),
        }
    }

    /// Where its connections lead.
    pub(crate) fn targets(&self) -> &Targets {
        &self.0.targets
    }

    /// Where and as whom a kill acts.
    pub(crate) fn place(&self, setup: &Setup, epoch: u32, rules: Vec<Instrument>) -> Place {
        self.0.place(setup, epoch, rules)
    }
}

/// Access for what reads: see [`super::survey`] and [`crate::bills`], which can ask nothing but
/// GETs.
pub(crate) struct ToRead {
    pub(crate) host: String,
    pub(crate) rest: Target,
    pub(crate) credentials: Credentials,
}

impl ToRead {
    pub(crate) fn of(setup: &Setup, now: UnixNanos) -> Result<Self, StartError> {
        if !matches!(setup.venue, Venue::Remote(_)) {
            let what = format!("mode {} has no account to be read", setup.mode);
            return Err(StartError::Venue(what));
        }
        let ToCancel(access) = ToCancel::of(setup, now)?;
        let credentials = access.credentials();
        let Targets { host, rest, .. } = access.targets;
        Ok(Self { host, rest, credentials })
    }
}

fn parts(key: &ApiKey) -> [String; 3] {
    [key.key.clone(), key.secret.expose().to_owned(), key.passphrase.expose().to_owned()]
}

/// What trusts the authorities in `ca`, or the public ones.
pub(super) fn trust(ca: Option<&Path>) -> Result<Arc<ClientConfig>, StartError> {
    let Some(path) = ca else {
        let trusted = tls::client_config(tls::Roots::Public);
        return Ok(trusted.expect("the public authorities are part of the program"));
    };
    let wrong = |why: String| StartError::Authority { path: path.to_owned(), why };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    tls::client_config(tls::Roots::Pem(&pem)).map_err(|error| {
        let why = match error {
            RootsError::NotPem => "is not PEM text",
            RootsError::NotACertificate => "holds a block that is no authority's certificate",
            RootsError::Empty => "holds no certificate",
        };
        wrong(why.to_owned())
    })
}

/// Where a venue with an account is, and where its private stream.
fn targets(
    urls: [&str; 3],
    ca: Option<&Path>,
    reach: Reach,
) -> Result<(Targets, (Target, Settings)), StartError> {
    let config = trust(ca)?;
    let find = |url, abort_on_close| target(url, abort_on_close, &config, reach);
    let [rest, public, private] = urls;
    let (rest, host, _) = find(rest, false)?;
    let (public, public_host, public_path) = find(public, false)?;
    let (private, private_host, private_path) = find(private, true)?;
    names::keep_fresh([&rest, &public, &private].map(|target| &target.address))?;
    let mut targets = Targets::new(host, rest, (public, &public_host, &public_path));
    targets.public.1.headers = reach.headers();
    let private_settings =
        Settings { headers: reach.headers(), ..Settings::new(&private_host, &private_path, true) };
    Ok((targets, (private, private_settings)))
}

/// How far connections may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To a venue on loopback.
    ThisMachine,
    /// There, or to the venue's demo trading at [`DEMO`].
    Demo,
    /// There, or to the venue's live trading at [`LIVE`].
    Live,
    /// There, or anywhere with TLS, without a key.
    Public,
}

/// The venue's demo trading: REST, where each request says that it is meant, public and private
/// stream. Bitget's documentation, "Demo trading", and reference §1.
pub const DEMO: [&str; 3] = [
    "https://api.bitget.com",
    "wss://wspap.bitget.com/v3/ws/public",
    "wss://wspap.bitget.com/v3/ws/private",
];

/// The venue's live trading: REST, public and private stream (reference §1).
pub const LIVE: [&str; 3] = [
    "https://api.bitget.com",
    "wss://ws.bitget.com/v3/ws/public",
    "wss://ws.bitget.com/v3/ws/private",
];

impl Reach {
    /// Why `url`, which leads to `found`, is too far.
    fn refuses(self, url: &str, secure: bool, found: &Addresses) -> Option<&'static str> {
        match self {
            _ if found.are_here() => None,
            Self::ThisMachine => Some("sim mode talks to this machine only"),
            Self::Demo if DEMO.contains(&url) => None,
            Self::Demo => Some("demo mode talks to the venue's demo trading and this machine only"),
            Self::Live if LIVE.contains(&url) => None,
            Self::Live => {
                Some("live mode talks to the venue's own addresses and this machine only")
            }
            Self::Public if secure => None,
            Self::Public => Some("beyond this machine paper mode talks over TLS only"),
        }
    }

    /// Headers that every upgrade carries.
    fn headers(self) -> Vec<(String, String)> {
        let (name, value) = sign::DEMO;
        match self {
            Self::Demo => vec![(name.to_owned(), value.to_owned())],
            Self::ThisMachine | Self::Live | Self::Public => Vec::new(),
        }
    }
}

/// What an address leads to, with its authority and its path.
pub(super) fn target(
    url: &str,
    abort_on_close: bool,
    config: &Arc<ClientConfig>,
    reach: Reach,
) -> Result<(Target, String, String), StartError> {
    let parsed = Url::parse(url)?;
    let security = if parsed.secure {
        let name = tls::server_name(parsed.host)
            .map_err(|_| StartError::Url { url: url.to_owned(), why: "no host name" })?;
        Security::Tls { config: config.clone(), name }
    } else {
        Security::LoopbackPlaintext
    };
    let options = SocketOptions { abort_on_close, busy_poll_us: 0 };
    let address = parsed.resolve(url, reach)?;
    let target = Target { address, security, options };
    Ok((target, parsed.authority.to_owned(), parsed.path.to_owned()))
}

/// A URL as far as a venue needs it: scheme, authority, path.
struct Url<'a> {
    secure: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, StartError> {
        let wrong = |why| StartError::Url { url: url.to_owned(), why };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("no scheme"))?;
        let secure = match scheme {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(wrong("the scheme is none of https, wss, http, ws")),
        };
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong("the port is no number"))?),
            None => (authority, if secure { 443 } else { 80 }),
        };
        if host.is_empty() || port == 0 || authority.contains('@') {
            return Err(wrong("it must be host and port, without a user"));
        }
        Ok(Self { secure, authority, host, port, path: if path.is_empty() { "/" } else { path } })
    }

    /// Its addresses, when they lie within `reach`.
    fn resolve(&self, url: &str, reach: Reach) -> Result<Addresses, StartError> {
        let wrong = |why| StartError::Url { url: url.to_owned(), why };
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let found =
            Addresses::look_up(host, self.port).map_err(|_| wrong("the host is not known"))?;
        reach.refuses(url, self.secure, &found).map_or(Ok(found), |why| Err(wrong(why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_venue_elsewhere_is_refused_in_sim_demo_and_live_and_without_tls_on_paper() {
        for (url, here, public) in [
            ("https://127.0.0.1:8443", true, true),
            ("wss://[::1]:8443/v3/ws/public", true, true),
            ("ws://127.0.0.1:8443", true, true),
            ("https://192.0.2.1:443", false, true),
            ("http://192.0.2.1:80", false, false),
            ("https://127.0.0.1:0", false, false),
            ("ftp://127.0.0.1:21", false, false),
            ("https://user@127.0.0.1:8443", false, false),
            ("127.0.0.1:8443", false, false),
        ] {
            for (reach, fine) in [
                (Reach::ThisMachine, here),
                (Reach::Demo, here),
                (Reach::Live, here),
                (Reach::Public, public),
            ] {
                let resolved = Url::parse(url).and_then(|parsed| parsed.resolve(url, reach));
                assert_eq!(resolved.is_ok(), fine, "{url} {reach:?}");
            }
        }
    }

    #[test]
    fn demo_and_live_reach_their_own_addresses_and_no_other_of_the_venue() {
        let elsewhere = Addresses::fixed(([192, 0, 2, 1], 443).into());
        for url in DEMO {
            assert_eq!(Reach::Demo.refuses(url, true, &elsewhere), None, "{url}");
            assert!(Reach::ThisMachine.refuses(url, true, &elsewhere).is_some(), "{url}");
        }
        for url in ["wss://ws.bitget.com/v3/ws/private", "https://api.bitget.com:443", ""] {
            assert!(Reach::Demo.refuses(url, true, &elsewhere).is_some(), "{url}");
        }
        for url in LIVE {
            assert_eq!(Reach::Live.refuses(url, true, &elsewhere), None, "{url}");
            assert!(Reach::ThisMachine.refuses(url, true, &elsewhere).is_some(), "{url}");
        }
        for url in ["wss://wspap.bitget.com/v3/ws/private", "https://vip-api.bitget.com"] {
            assert!(Reach::Live.refuses(url, true, &elsewhere).is_some(), "{url}");
        }
    }

    #[test]
    fn what_signs_in_demo_says_so_in_every_request_and_on_every_stream() {
        let secret = || crate::secrets::Secret::new("s".to_owned());
        let key = ApiKey { key: "k".to_owned(), secret: secret(), passphrase: secret() };
        let [rest, ws_public, ws_private] =
            ["https://127.0.0.1:1", "wss://127.0.0.1:1/a", "wss://127.0.0.1:1/b"]
                .map(str::to_owned);
        let remote = Remote { rest, ws_public, ws_private, ca: None, key, uid: 7, clock_speed: 1 };
        for (reach, demo) in [(Reach::ThisMachine, false), (Reach::Demo, true)] {
            let access = Access::remote(&remote, reach).expect("on this machine");
            assert_eq!(access.credentials().is_demo(), demo);
            for (_, settings) in [&access.targets.public, &access.private] {
                assert_eq!(settings.headers.iter().any(|(name, _)| name == "paptrading"), demo);
            }
        }
    }
}
