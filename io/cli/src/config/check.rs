//! Cross-checks: values that are good by themselves and wrong together.

use keel_core::event::Mode;
use keel_core::param::{Params, Row, Unit};
use keel_core::regime::Regime;
use keel_core::units::{E8, MILLIS, Rate, SECONDS};
use keel_io::setup::Latency;

use super::keys::{self, KEYS};
use super::{Config, Issue, Issues, Origin, Sources, Urls, VenueConfig};

/// Checks everything that concerns more than one key.
pub(super) fn all(config: &Config, sources: &Sources, issues: &mut Issues) {
    let mut check = Check { config, sources, issues };
    for (lesser, greater) in ORDERED {
        check.ordered(lesser, greater);
    }
    check.collar();
    check.levels();
    check.venue();
    check.fees();
    check.signature();
}

/// Keys whose first may not exceed the second, regime by regime where they have regimes.
const ORDERED: &[(&str, &str)] = &[
    ("strategy.spread_min", "strategy.spread_max"),
    ("strategy.levels_min", "strategy.levels_max"),
    ("strategy.size_pct_min", "strategy.size_pct_max"),
    ("strategy.min_net_edge_bps", "strategy.edge_resume_bps"),
    ("strategy.turnover_cap_x", "risk.max_daily_turnover_x_hard"),
    ("risk.max_daily_loss_pct_hard", "risk.max_weekly_loss_pct_hard"),
    ("risk.max_base_pct", "risk.max_base_pct_hard"),
    ("risk.max_order_notional_quote", "risk.max_position_quote"),
    ("risk.max_order_notional_quote", "risk.max_total_notional_quote"),
    ("risk.margin_ratio_soft", "risk.margin_ratio_hard"),
    ("risk.clock_offset_soft_ms", "risk.clock_offset_hard_ms"),
    ("risk.reject_streak_soft", "risk.reject_streak_hard"),
    ("order.creates_per_s", "order.requests_per_s"),
    ("order.receive_window_ms", "order.zombie_window_ms"),
    ("order.order_ack_timeout_s", "risk.private_silence_ms"),
    ("order.reconcile_light_s", "order.reconcile_full_s"),
    ("order.reconcile_light_s", "risk.reconcile_light_age_max_s"),
    ("order.reconcile_full_s", "risk.reconcile_full_age_max_s"),
];

/// How long the venue accepts a signed request (bitget reference §3).
const SIGNATURE_NS: u64 = 30 * SECONDS;
/// What a create may take from its acceptance to where it shows in lists.
const SHOWN_NS: u64 = SECONDS;

struct Check<'c> {
    config: &'c Config,
    sources: &'c Sources,
    issues: &'c mut Issues,
}

impl Check<'_> {
    fn ordered(&mut self, lesser: &str, greater: &str) {
        let (low, high) = (row(lesser), row(greater));
        let values = self.config.params.values();
        for place in 0..low.wide.len() {
            let regime = low.by_regime.then(|| Regime::ALL[place]);
            let of = |row: &Row| values[row.at + place.min(row.wide.len() - 1)];
            let (a, b) = (of(low), of(high));
            if a <= b {
                continue;
            }
            let suffix = regime.map_or(String::new(), |regime| format!(" in {regime}"));
            let what = format!(
                "{lesser} is {}{suffix}, more than {greater}, which is {}",
                with_unit(low.unit, a),
                with_unit(high.unit, b)
            );
            self.say(&[lesser, greater], regime, what, format!("{lesser} ≤ {greater}"));
        }
    }

    /// No quote that the strategy could want lies outside of the collar, or it would be refused for
    /// ever.
    fn collar(&mut self) {
        let params = &self.config.params;
        let collar = params.collar_bps();
        for &regime in Regime::ALL {
            let widest = widest_offset(params, regime);
            if widest > collar {
                let bps = |rate: Rate| keys::text_of(Unit::Bps, rate.0);
                let what = format!(
                    "risk.collar_bps is {}, and quotes in {regime} may stand {} bps from mid",
                    bps(collar),
                    bps(widest)
                );
                let help = "risk.collar_bps ≥ half of spread_max, widened by levels and skew";
                let paths = ["risk.collar_bps", "strategy.spread_max"];
                self.say(&paths, Some(regime), what, help.into());
            }
        }
    }

    /// Every level of both sides fits under the cap of live orders.
    fn levels(&mut self) {
        let params = &self.config.params;
        let cap = params.max_active_executors();
        for &regime in Regime::ALL {
            let both = 2 * params.levels_max(regime);
            if both > cap {
                let what = format!(
                    "risk.max_active_executors is {cap}, and {regime} quotes up to {both} orders"
                );
                let help = "risk.max_active_executors ≥ 2 × strategy.levels_max";
                let paths = ["risk.max_active_executors", "strategy.levels_max"];
                self.say(&paths, Some(regime), what, help.into());
            }
        }
    }

    fn venue(&mut self) {
        let venue = &self.config.venue;
        let mode = self.config.mode;
        if venue.clock_speed != 1 && mode != Mode::Sim {
            let what = "venue.clock_speed is only for sim".to_owned();
            self.say(&["venue.clock_speed"], None, what, "leave it at 1".into());
        }
        if mode == Mode::Paper {
            return self.paper(venue);
        }
        match mode {
            Mode::Demo => self.named(venue, Urls::demo()),
            Mode::Live => {
                self.no_paper();
                self.named(venue, Urls::live());
            }
            _ if venue.urls.is_some() => self.remote(venue),
            _ => self.embedded(venue),
        }
    }

    /// Where a create was really signed, it may be accepted as long as its signature holds: one
    /// that is taken for absent before may rest at the venue with nobody to tend it. The venue
    /// counts by its own clock, which may be as far off as the engine trades with.
    fn signature(&mut self) {
        let (mode, path) = (self.config.mode, "order.zombie_window_rest_ms");
        let window_ns = self.config.params.zombie_window_rest_ms();
        let offset_ns = self.config.params.clock_offset_hard_ms();
        let least_ns = SIGNATURE_NS + offset_ns + SHOWN_NS;
        if !matches!(mode, Mode::Demo | Mode::Live) || window_ns >= least_ns {
            return;
        }
        let [window_ms, least_ms, life_ms, offset_ms, shown_ms] =
            [window_ns, least_ns, SIGNATURE_NS, offset_ns, SHOWN_NS].map(|nanos| nanos / MILLIS);
        let what = format!(
            "{path} is {window_ms} ms, less than the {least_ms} ms within which a signed create may \
             come to rest: the venue accepts it for {life_ms} ms, by a clock that may be \
             clock_offset_hard_ms ({offset_ms} ms) off, and shows it within {shown_ms} ms"
        );
        let help = format!("{path} ≥ {least_ms} in demo and live");
        self.say(&[path, "risk.clock_offset_hard_ms"], None, what, help);
    }

    /// Demo trading, or the venue, at `own` addresses, or rehearsed on this machine.
    fn named(&mut self, venue: &VenueConfig, own: Urls) {
        if venue.urls == Some(own) {
            self.account(venue);
        } else {
            self.remote(venue);
        }
    }

    /// Live mode has no use for what paper is told: who sets it expects another run than this one.
    fn no_paper(&mut self) {
        let set = KEYS.iter().filter(|key| key.path.starts_with("paper."));
        for key in set.filter(|key| self.config.plain_text(key.path) != key.default) {
            let what = format!("{} is set, and live mode has no paper", key.path);
            self.say(&[key.path], None, what, "remove it".into());
        }
    }

    /// Paper has no account at a venue, and no key.
    fn paper(&mut self, venue: &VenueConfig) {
        let private = venue.urls.as_ref().is_some_and(|urls| !urls.ws_private.is_empty());
        for (path, given) in [
            ("venue.ws_private", private),
            ("venue.key_file", venue.key_file.is_some()),
            ("venue.uid", venue.uid != 0),
            ("kill.key_file", self.config.kill_key_file.is_some()),
        ] {
            if given {
                let what = format!("{path} is set, and paper mode has neither account nor key");
                self.say(&[path], None, what, "remove it".into());
            }
        }
        if let Some(urls) = &venue.urls {
            for (path, url, schemes) in [
                ("venue.rest", &urls.rest, ["https", "http"]),
                ("venue.ws_public", &urls.ws_public, ["wss", "ws"]),
            ] {
                if let Err(what) = check_address(url, schemes, Mode::Paper) {
                    let help = "both addresses or none; beyond loopback with TLS".to_owned();
                    self.say(&[path], None, format!("{path}: {what}"), help);
                }
            }
        }
        let Latency { min_ns, median_ns, p99_ns, max_ns } = self.config.paper.terms.latency;
        if Latency::new([min_ns, median_ns, p99_ns, max_ns]).is_none() {
            let what = "the four points of paper's latency do not ascend".to_owned();
            let paths = ["p50", "p99", "max", "min"].map(|at| format!("paper.latency_{at}_ms"));
            let help = "latency_min_ms ≤ latency_p50_ms ≤ latency_p99_ms ≤ latency_max_ms";
            self.say(&paths.each_ref().map(String::as_str), None, what, help.into());
        }
    }

    /// Whoever can ask for its fee rates does.
    fn fees(&mut self) {
        if self.config.paper.manual_fees && self.config.mode != Mode::Paper {
            let what = "run.fee_mode is manual, which only paper mode may be".to_owned();
            self.say(&["run.fee_mode"], None, what, "fee_mode = \"auto\"".into());
        }
    }

    fn remote(&mut self, venue: &VenueConfig) {
        let Some(urls) = &venue.urls else { return };
        for (path, url, schemes) in [
            ("venue.rest", &urls.rest, ["https", "http"]),
            ("venue.ws_public", &urls.ws_public, ["wss", "ws"]),
            ("venue.ws_private", &urls.ws_private, ["wss", "ws"]),
        ] {
            if let Err(what) = check_address(url, schemes, self.config.mode) {
                let scheme = schemes[0];
                let help =
                    format!("such as {scheme}://127.0.0.1:8443; all three addresses or none");
                self.say(&[path], None, format!("{path}: {what}"), help);
            }
        }
        self.account(venue);
    }

    fn account(&mut self, venue: &VenueConfig) {
        if venue.uid == 0 {
            let what = "venue.uid is missing: which account must answer to the key?".to_owned();
            self.say(&["venue.rest"], None, what, "uid = … of the account".into());
        }
    }

    fn embedded(&mut self, venue: &VenueConfig) {
        let given = [
            ("venue.ca", venue.ca.is_some()),
            ("venue.key_file", venue.key_file.is_some()),
            ("venue.uid", venue.uid != 0),
        ];
        for (path, _) in given.iter().filter(|(_, given)| *given) {
            let what = format!("{path} is set, and no venue is named");
            let help =
                "the embedded venue makes its own; remove it, or name rest, ws_public, ws_private";
            self.say(&[path], None, what, help.into());
        }
    }

    /// Reports at the first of `paths` that somebody set.
    fn say(&mut self, paths: &[&str], regime: Option<Regime>, what: String, help: String) {
        let origin = paths.iter().find_map(|path| {
            let of_regime =
                regime.and_then(|regime| self.config.origins.get(&format!("{path}.{regime}")));
            of_regime.or_else(|| self.config.origins.get(*path))
        });
        let issue = match (origin, &self.sources.file) {
            (Some(Origin::File(line)), Some((path, text))) => {
                let start: usize =
                    text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
                let line_text = text[start..].lines().next().unwrap_or_default();
                let indent = line_text.len() - line_text.trim_start().len();
                Issue::at(path, text, start + indent..start + line_text.trim_end().len(), what)
            }
            (Some(Origin::Environment(name)), _) => Issue::of_variable(name, what),
            (Some(Origin::Flag(name)), _) => Issue::of_flag(name, what),
            _ => Issue::nowhere(what),
        };
        self.issues.push(issue.help(help));
    }
}

/// The farthest from mid that the strategy may want a quote: the outermost level of the widest
/// spread, and the skew, once for inventory and once for imbalance.
fn widest_offset(params: &Params, regime: Regime) -> Rate {
    let half = i128::from(params.spread_max(regime).0 / 2);
    let levels = i128::from(params.levels_max(regime));
    let step = i128::from(params.level_step().0);
    let outermost = half + half * step * (levels - 1) / i128::from(E8);
    let skew = (i128::from(params.inventory_skew_cap_pct().0).min(half) * 2).min(half);
    Rate(i64::try_from(outermost + skew).unwrap_or(i64::MAX))
}

fn row(path: &str) -> &'static Row {
    let (section, name) = path.split_once('.').expect("a path has a section");
    keys::parameter(section, name).expect("a path of the parameter table")
}

fn with_unit(unit: Unit, value: i64) -> String {
    let text = keys::text_of(unit, value);
    match unit {
        Unit::Bps => format!("{text} bps"),
        Unit::Seconds => format!("{text} s"),
        Unit::Millis => format!("{text} ms"),
        Unit::Usdt => format!("{text} USDT"),
        Unit::Fraction | Unit::Factor | Unit::Count | Unit::Word(_) => text,
    }
}

/// An address of a venue on this machine, with TLS or, as nobody else hears loopback, without; or
/// anywhere, with TLS.
fn check_address(url: &str, schemes: [&str; 2], mode: Mode) -> Result<(), String> {
    if url.is_empty() {
        return Err("is empty, while another address is given".into());
    }
    if !url.is_ascii() {
        return Err("holds a character that no address has".into());
    }
    let Some((found, rest)) = url.split_once("://") else {
        return Err("is no address".into());
    };
    if !schemes.contains(&found) {
        let [secure, plain] = schemes;
        return Err(format!("begins with {found}://, not {secure}:// or {plain}://"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("holds a user name or password".into());
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if let Some(port) = port
        && !matches!(port.parse::<u16>(), Ok(1..))
    {
        return Err(format!("has no port {port}"));
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match mode {
        _ if here => Ok(()),
        Mode::Paper if found == schemes[0] => Ok(()),
        Mode::Paper => Err("is not on loopback, and has no TLS".into()),
        Mode::Demo => {
            Err("is not on loopback; leave all three empty for the venue's demo trading".into())
        }
        Mode::Live => Err("is not on loopback; leave all three empty for the venue's own".into()),
        _ => Err("is not on loopback; sim trades on this machine only".into()),
    }
}
