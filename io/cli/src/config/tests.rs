use super::*;
use keel_core::param::TABLE;
use keel_core::regime::Regime;
use keel_core::units::{E8, Quote, Rate};

fn sources(text: &str) -> Sources {
    let file = Some((PathBuf::from("keel.toml"), text.to_owned()));
    Sources { file, ..Sources::default() }
}

fn good(text: &str) -> Config {
    Config::new(&sources(text)).unwrap_or_else(|issues| panic!("{text}\n{issues}"))
}

fn bad(text: &str) -> String {
    match Config::new(&sources(text)) {
        Ok(_) => panic!("accepted: {text}"),
        Err(issues) => issues.to_string(),
    }
}

fn with_environment(text: &str, variables: &[(&str, &str)]) -> Result<Config, Issues> {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::new(&Sources { environment, ..sources(text) })
}

#[test]
fn an_empty_file_is_the_defaults_of_touch_in_sim_and_of_wide_elsewhere() {
    let sim = good("");
    assert_eq!((sim.mode, sim.profile), (Mode::Sim, Profile::Touch));
    assert_eq!(sim.params, Params::defaults(Profile::Touch));
    assert_eq!(sim.instruments.len(), 2);
    assert!(sim.venue.urls.is_none() && sim.origins.is_empty());
    let live = good("[run]\nmode = \"live\"\n[venue]\nuid = 7\n");
    assert_eq!((live.profile, live.params), (Profile::Wide, Params::defaults(Profile::Wide)));
}

#[test]
fn numbers_are_exact_in_the_unit_of_their_key() {
    let config = good(
        "[strategy]\nmin_net_edge_bps = 0.1\ntrend_eps_pct = 0.00100001\nregime_hold_s = 1.5\n\
         [risk]\nmax_order_notional_quote = 123.45678901\nbook_silence_ms = 1_200\n",
    );
    assert_eq!(config.params.min_net_edge_bps(), Rate(1_000));
    assert_eq!(config.params.trend_eps_pct(), Rate(100_001));
    assert_eq!(config.params.regime_hold_s(), 1_500_000_000);
    assert_eq!(config.params.max_order_notional_quote(), Quote(12_345_678_901));
    assert_eq!(config.params.book_silence_ms(), 1_200_000_000);
}

#[test]
fn a_regime_s_value_overrides_its_own_and_one_value_sets_all() {
    let config = good("[strategy]\nspread_min = { up = 0.0001, high_vol_shock = 0.0002 }\n");
    assert_eq!(config.params.spread_min(Regime::Up), Rate(10_000));
    assert_eq!(config.params.spread_min(Regime::HighVolShock), Rate(20_000));
    let untouched = Params::defaults(Profile::Touch).spread_min(Regime::Down);
    assert_eq!(config.params.spread_min(Regime::Down), untouched);
    let all = good("[strategy.levels_max]\nup = 2\n[strategy.fill_factor]\n").params;
    assert_eq!(all.levels_max(Regime::Up), 2);
    let one = good("[strategy]\nrefresh_s = 30\n").params;
    assert!(Regime::ALL.iter().all(|&regime| one.refresh_s(regime) == 30_000_000_000));
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let file = "[risk]\nmax_leverage = 4\n[run]\nmode = \"paper\"\n";
    let variables = [
        ("KEEL_RISK_MAX_LEVERAGE", "3"),
        ("KEEL_RUN_MODE", "demo"),
        ("KEEL_VENUE_UID", "7"),
        ("KEEL_RUN_INSTRUMENTS", "ETHUSDT, BTCUSDT"),
        ("KEEL_STRATEGY_SPREAD_MIN_UP", "0.0041"),
        ("KEEL_RISK_REQUIRE_FEE_RESOLUTION", "false"),
    ];
    let config = with_environment(file, &variables).expect("good");
    assert_eq!((config.params.max_leverage(), config.mode), (3, Mode::Demo));
    assert_eq!(config.instruments[0].as_str(), "ETHUSDT");
    assert_eq!(config.params.spread_min(Regime::Up), Rate(410_000));
    assert_eq!(config.params.require_fee_resolution(), 0);
    let origin = &config.origins["risk.max_leverage"];
    assert_eq!(origin.to_string(), "environment, KEEL_RISK_MAX_LEVERAGE");
    let mut flagged = sources(file);
    flagged.flags.mode = Some("sim".into());
    let config = Config::new(&flagged).expect("good");
    assert_eq!(config.mode, Mode::Sim);
    assert_eq!(config.origins["run.mode"], Origin::Flag("--mode"));
    assert_eq!(config.origins["risk.max_leverage"], Origin::File(2));
}

#[test]
fn a_variable_that_names_no_key_is_refused_with_the_nearest() {
    let issues = with_environment("", &[("KEEL_RISK_MAX_LEVRAGE", "3")]).expect_err("refused");
    let said = issues.to_string();
    assert!(
        said.contains("KEEL_RISK_MAX_LEVRAGE") && said.contains("KEEL_RISK_MAX_LEVERAGE?"),
        "{said}"
    );
}

#[test]
fn a_percent_given_as_three_is_refused_with_the_fraction_to_write() {
    let said = bad("[risk]\n# loss\nmax_daily_loss_pct_hard = 3\n");
    assert_eq!(
        said,
        "keel.toml:3:27: risk.max_daily_loss_pct_hard: 3 is out of range\n  |\n\
         3 | max_daily_loss_pct_hard = 3\n  |                           ^\n  \
         help: this is a fraction: 3 % is written 0.03 (0.00000001 to 0.5 allowed)"
    );
}

#[test]
fn bad_keys_and_values_are_refused_each_with_what_is_allowed() {
    for (text, parts) in [
        ("[risk]\nmax_leverge = 3\n", ["has no key max_leverge", "did you mean max_leverage?"]),
        ("[risks]\n", ["no section [risks]", "did you mean risk?"]),
        ("stray = 1\n", ["no section [stray]", "allowed are instance, run"]),
        ("risk = 3\n", ["risk is a table, not a number", "[risk]"]),
        ("[risk]\nspread_min = 1\n", ["no key spread_min", "it belongs to [strategy]"]),
        ("[venue]\nsecret = \"x\"\n", ["no key secret", "never stands in the configuration"]),
        ("[risk]\nmax_leverage = \"3\"\n", ["a text stands where a number", "1 to 125"]),
        ("[risk]\nmax_leverage = true\n", ["true or false stands", "1 to 125"]),
        ("[risk]\nmax_leverage = 2.5\n", ["2.5 is no whole number", "1 to 125"]),
        ("[risk]\nmax_leverage = 0\n", ["0 is out of range", "1 to 125"]),
        ("[risk]\nmax_leverage = 126\n", ["126 is out of range", "1 to 125"]),
        ("[risk]\nmax_leverage = -1\n", ["-1 is out of range", "1 to 125"]),
        ("[risk]\nmax_leverage = 0x10\n", ["in decimal", "1 to 125"]),
        ("[risk]\nmax_leverage = 9223372036854775808\n", ["is out of range", "1 to 125"]),
        ("[risk]\nmax_position_quote = 1e308\n", ["plain decimal", "no exponent"]),
        ("[risk]\nmax_position_quote = 1e-3\n", ["plain decimal", "no exponent"]),
        ("[risk]\nmax_position_quote = nan\n", ["plain decimal", "no nan"]),
        ("[risk]\nmax_position_quote = -inf\n", ["plain decimal", "no inf"]),
        ("[risk]\nmax_position_quote = -0.0\n", ["-0.0 is out of range", "USDT"]),
        ("[risk]\ncollar_bps = 1.00001\n", ["more decimals", "basis points"]),
        ("[risk]\nforeign_orders = \"Cancel\"\n", ["\"Cancel\" is not known", "\"halt\""]),
        ("[risk]\nforeign_orders = 1\n", ["a number stands", "one of \"cancel\""]),
        ("[risk]\nrequire_fee_resolution = \"true\"\n", ["a text stands", "false, true"]),
        ("[strategy]\nspread_min = { upp = 0.1 }\n", ["no regime upp", "did you mean up?"]),
        ("[strategy]\nema_period = { up = 3 }\n", ["a table stands", "2 to 1000"]),
        ("[run]\ninstruments = []\n", ["there are 0 instruments", "BTCUSDT"]),
        ("[run]\ninstruments = [\"btcusdt\"]\n", ["\"btcusdt\" is no", "BTCUSDT"]),
        ("[run]\ninstruments = [\"BTCUSD\"]\n", ["\"BTCUSD\" is no", "BTCUSDT"]),
        ("[run]\ninstruments = [\"BTCUSDT\", \"BTCUSDT\"]\n", ["given twice", "BTCUSDT"]),
        ("[run]\ninstruments = \"BTCUSDT\"\n", ["a text stands where a list", "brackets"]),
        ("[run]\nmode = \"Sim\"\n", ["\"Sim\" is not known", "\"paper\""]),
        ("[run]\ncores = [1, 1]\n", ["1 is given twice", "once"]),
        ("[instance]\nname = \"Main!\"\n", ["is no name", "1 to 8 of a-z"]),
        ("[instance]\nname = \"ninechars\"\n", ["is no name", "1 to 8"]),
        ("[venue]\nclock_speed = 0\n", ["0 is out of range", "1 to 1000"]),
    ] {
        let said = bad(text);
        for part in parts {
            assert!(said.contains(part), "{text} lacks {part:?}:\n{said}");
        }
        assert!(said.contains("keel.toml:"), "{text} does not say where:\n{said}");
    }
}

#[test]
fn damaged_text_is_refused_with_its_line() {
    let deep = format!("a = {}1{}\n", "[".repeat(10_000), "]".repeat(10_000));
    for (text, part) in [
        ("[risk]\nmax_leverage = 3\nmax_leverage = 4\n", "keel.toml:3"),
        ("[risk]\nmax_leverage = \n", "keel.toml:2"),
        ("[risk\n", "keel.toml:1"),
        ("[risk]\nmax_leverage = 3\0\n", "keel.toml:2"),
        (deep.as_str(), "keel.toml:1"),
    ] {
        let said = bad(text);
        assert!(said.contains(part), "{part}: {said}");
        assert!(!said.chars().any(|c| c.is_control() && c != '\n') && said.len() < 2_000, "{said}");
    }
    assert_eq!(good("\u{feff}[risk]\r\nmax_leverage = 3\r\n").params.max_leverage(), 3);
}

#[test]
fn all_issues_are_told_at_once_in_the_order_of_the_file() {
    let said = bad("[order]\ncreates_per_s = 0\n[risk]\nnonsense = 1\nmax_leverage = 999\n");
    let place = |part: &str| said.find(part).unwrap_or_else(|| panic!("{part}: {said}"));
    assert!(place("creates_per_s") < place("nonsense") && place("nonsense") < place("999"));
}

#[test]
fn values_that_are_wrong_together_are_refused_where_they_were_set() {
    for (text, parts) in [
        ("[risk]\nmax_base_pct = 0.3\n", ["keel.toml:2:1", "max_base_pct is 0.3, more than"]),
        (
            "[risk]\nmax_order_notional_quote = 3000\n",
            ["keel.toml:2:1", "more than risk.max_position"],
        ),
        ("[risk]\nmargin_ratio_hard = 0.05\n", ["keel.toml:2:1", "margin_ratio_soft is 0.1"]),
        ("[risk]\nclock_offset_soft_ms = 3000\n", ["3000 ms", "2000 ms"]),
        ("[risk]\nreject_streak_soft = 30\n", ["30", "reject_streak_hard, which is 20"]),
        ("[order]\norder_ack_timeout_s = 30\n", ["30 s", "private_silence_ms"]),
        ("[order]\nzombie_window_ms = 1000\n", ["receive_window_ms is 2000 ms", "1000 ms"]),
        ("[strategy]\nspread_min = { down = 0.1 }\n", ["spread_min is 0.1 in down", "keel.toml:2"]),
        ("[strategy]\nlevels_max = 8\n", ["max_active_executors is 10", "16 orders"]),
        ("[strategy]\nspread_max = 0.1\n", ["collar_bps is 250", "quotes in neutral_low_vol"]),
        ("[strategy]\nturnover_cap_x = 60\n", ["turnover_cap_x is 60", "which is 50"]),
        ("[venue]\nuid = 3\n", ["venue.uid is set", "no venue is named"]),
        ("[run]\nmode = \"live\"\n[venue]\nclock_speed = 2\n", ["only for sim", "keel.toml:4"]),
        ("[run]\nfee_mode = \"manual\"\n", ["only paper mode may", "keel.toml:2"]),
    ] {
        let said = bad(text);
        for part in parts {
            assert!(said.contains(part), "{text} lacks {part:?}:\n{said}");
        }
    }
    let said = with_environment("", &[("KEEL_RISK_MAX_BASE_PCT", "0.3")]).expect_err("refused");
    assert!(said.to_string().starts_with("environment variable KEEL_RISK_MAX_BASE_PCT"), "{said}");
}

/// Over REST an order may be accepted for 30 s by the venue's clock. A live engine that was told to
/// wait less took one for absent that could still come to rest.
#[test]
fn demo_and_live_wait_for_a_create_over_rest_as_long_as_its_signature_holds() {
    let text = |mode: &str, ms: u32| {
        let uid = if mode == "sim" { "" } else { "[venue]\nuid = 7\n" };
        format!("[run]\nmode = \"{mode}\"\n{uid}[order]\nzombie_window_rest_ms = {ms}\n")
    };
    for mode in ["demo", "live"] {
        // The clock that it is judged by may be 2 s off, and a second passes until it shows.
        let said = bad(&text(mode, 32_999));
        for part in ["zombie_window_rest_ms is 32999 ms", "33000 ms", "2000 ms", "keel.toml:6"] {
            assert!(said.contains(part), "{mode} lacks {part}: {said}");
        }
        good(&text(mode, 33_000));
        let clock =
            |ms: u32| format!("{}[risk]\nclock_offset_hard_ms = {ms}\n", text(mode, 33_000));
        assert!(bad(&clock(2_001)).contains("33001 ms"));
        good(&clock(1_999));
    }
    good(&text("sim", 500));
    assert!(
        bad("[run]\nmode = \"demo\"\n[risk]\nclock_offset_hard_ms = 4001\n").contains("toml:4")
    );
}

#[test]
fn paper_has_a_public_market_and_no_key() {
    let paper = |more: &str| format!("[run]\nmode = \"paper\"\n{more}");
    let config = good(&paper("fee_mode = \"manual\"\n"));
    let bitget = ["https://api.bitget.com", "wss://ws.bitget.com/v3/ws/public"];
    assert_eq!((config.venue.public(), config.profile), (bitget, Profile::Wide));
    assert_eq!(config.paper.terms.balance, Quote::usdt(10_000));
    let venue =
        |rest, stream| paper(&format!("[venue]\nrest = \"{rest}\"\nws_public = \"{stream}\"\n"));
    for (rest, stream) in [
        ("http://127.0.0.1:8443", "ws://127.0.0.1:8443/v3/ws/public"),
        ("https://venue.example", "wss://venue.example/v3/ws/public"),
    ] {
        assert_eq!(good(&venue(rest, stream)).venue.public(), [rest, stream]);
    }
    for (text, what) in [
        (venue("http://venue.example", "wss://venue.example/p"), "and has no TLS"),
        (venue("https://venue.example", ""), "venue.ws_public: is empty"),
        (paper("[venue]\nkey_file = \"key\"\n"), "venue.key_file is set, and paper mode has"),
        (paper("[venue]\nuid = 3\n"), "venue.uid is set, and paper mode has"),
        (paper("[venue]\nws_private = \"wss://localhost:1/p\"\n"), "venue.ws_private is set"),
        (paper("[kill]\nkey_file = \"key\"\n"), "kill.key_file is set, and paper mode has"),
        (paper("[paper]\nlatency_p50_ms = 70\n"), "do not ascend"),
        (paper("[paper]\nmaker_fee_pct = 0.02\n"), "0.02 is out of range"),
        (paper("[paper]\nmaker_fee_pct = \"0\"\n"), "a text stands where a number belongs"),
    ] {
        let said = bad(&text);
        assert!(said.contains(what), "{text} lacks {what:?}:\n{said}");
    }
}

#[test]
fn live_mode_takes_no_setting_of_paper_but_its_defaults() {
    let live = |more: &str| format!("[run]\nmode = \"live\"\n[venue]\nuid = 7\n[paper]\n{more}");
    good(&live("cancels = \"proportional\"\nbalance_quote = 10000\n"));
    for (text, path) in [
        ("balance_quote = 500\n", "paper.balance_quote is set, and live mode has no paper"),
        ("cancels = \"behind\"\n", "paper.cancels is set"),
        ("latency_max_ms = 60\n", "paper.latency_max_ms is set"),
        ("seed = 2\n", "paper.seed is set"),
    ] {
        let said = bad(&live(text));
        assert!(said.contains(path), "{said}");
    }
}

#[test]
fn a_named_venue_is_on_loopback_with_an_account() {
    let venue = |rest: &str| {
        format!(
            "[venue]\nrest = \"{rest}\"\nws_public = \"wss://localhost:1/p\"\n\
             ws_private = \"wss://[::1]:2/q\"\nuid = 7\nca = \"ca.pem\"\n"
        )
    };
    let config = good(&venue("https://127.0.0.1:8443"));
    assert_eq!(
        config.venue.urls.as_ref().map(|urls| urls.rest.as_str()),
        Some("https://127.0.0.1:8443")
    );
    good(&venue("http://127.0.0.1:8443"));
    for (url, part) in [
        ("", "is empty"),
        ("127.0.0.1:1", "is no address"),
        ("ftp://127.0.0.1:1", "begins with ftp://, not https:// or http://"),
        ("wss://127.0.0.1:1", "begins with wss://"),
        ("http://10.0.0.1:1", "not on loopback"),
        ("https://u:p@127.0.0.1:1", "user name"),
        ("https://127.0.0.1:0", "no port 0"),
        ("https://127.0.0.1:99999", "no port 99999"),
        ("https://10.0.0.1:1", "not on loopback"),
        ("https://api.bitget.com", "not on loopback"),
        ("https://127.0.0.1.evil.example", "not on loopback"),
        ("https://löcalhost:1", "no address has"),
    ] {
        let said = bad(&venue(url));
        assert!(said.contains(part), "{url}: {said}");
    }
    assert!(bad(&venue("https://127.0.0.1:1").replace("uid = 7\n", "")).contains("uid is missing"));
}

#[test]
fn demo_and_live_have_addresses_of_their_own_or_this_machine_and_name_their_account() {
    let config = good("[run]\nmode = \"demo\"\n[venue]\nuid = 7\n");
    assert_eq!(config.venue.urls, Some(Urls::demo()));
    assert_eq!(good(&canonical(&config)).hash(), config.hash());
    let at = |rest: &str, uid: u32| {
        format!(
            "[run]\nmode = \"demo\"\n[venue]\nrest = \"{rest}\"\nuid = {uid}\n\
             ws_public = \"wss://localhost:1/p\"\nws_private = \"wss://localhost:2/q\"\n"
        )
    };
    good(&at("https://127.0.0.1:8443", 7));
    let live = good("[run]\nmode = \"live\"\n[venue]\nuid = 7\n");
    assert_eq!(live.venue.urls, Some(Urls::live()));
    assert_eq!(good(&canonical(&live)).hash(), live.hash());
    let rehearsal = at("https://127.0.0.1:8443", 7).replace("\"demo\"", "\"live\"");
    good(&rehearsal);
    let said = bad(&rehearsal.replace("127.0.0.1:8443", "api.bitget.com"));
    assert!(said.contains("leave all three empty for the venue's own"), "{said}");
    for (text, part) in [
        ("[run]\nmode = \"demo\"\n".to_owned(), "uid is missing"),
        (at("https://127.0.0.1:8443", 0), "uid is missing"),
        (at("https://api.bitget.com", 7), "is not on loopback; leave all three empty"),
        (at("https://vip-api.bitget.com", 7), "is not on loopback"),
    ] {
        let said = bad(&text);
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_example_is_every_key_and_its_settings_are_the_defaults() {
    for profile in [Profile::Wide, Profile::Touch] {
        let example = example(profile);
        assert_eq!(good(&example).params, Params::defaults(Profile::Touch), "all is commented out");
        let settings: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') && !setting.is_empty() => setting,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let config = good(&settings);
        assert_eq!(config.params, Params::defaults(profile));
        let keys: usize = TABLE.len() + keys::KEYS.len();
        let set = config
            .origins
            .keys()
            .map(|path| path.splitn(3, '.').take(2).collect::<Vec<_>>().join("."));
        assert_eq!(set.collect::<std::collections::BTreeSet<_>>().len(), keys);
    }
}

#[test]
fn every_key_s_name_and_variable_is_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for (section, _) in keys::SECTIONS {
        for name in keys::names(section) {
            assert!(seen.insert(keys::variable(section, name)), "{section}.{name}");
            assert!(!keys::variable(section, name).starts_with(keys::API_PREFIX));
        }
    }
    assert_eq!(seen.len(), TABLE.len() + keys::KEYS.len());
}

#[test]
fn the_canonical_text_reads_back_to_itself_and_hashes_what_is_in_force() {
    let config = good("[strategy]\nspread_min = { up = 0.0001 }\n[risk]\nmax_leverage = 3\n");
    let text = canonical(&config);
    let again = good(&text);
    assert_eq!(canonical(&again), text);
    assert_eq!(again.params, config.params);
    assert_eq!(again.hash(), config.hash());
    assert_eq!(good("[run]\nprofile = \"touch\"\n").hash(), good("").hash());
    assert_ne!(good("[risk]\nmax_leverage = 4\n").hash(), config.hash());
}

#[test]
fn the_schema_knows_every_key_and_forbids_others() {
    let schema = schema();
    for (section, _) in keys::SECTIONS {
        let object = &schema["properties"][section];
        assert_eq!(object["additionalProperties"], false);
        let known = object["properties"].as_object().expect("properties");
        let expected = match *section {
            keys::ENVELOPE => keys::adjustable().count(),
            _ => keys::names(section).count(),
        };
        assert_eq!(known.len(), expected, "{section}");
    }
    let loss = &schema["properties"]["risk"]["properties"]["max_daily_loss_pct_hard"];
    assert_eq!((loss["maximum"].as_f64(), loss["type"].as_str()), (Some(0.5), Some("number")));
    let spread = &schema["properties"]["strategy"]["properties"]["spread_min"];
    assert_eq!(spread["oneOf"][1]["properties"].as_object().map(serde_json::Map::len), Some(5));
}

#[test]
fn what_is_no_file_of_ours_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let said = |path: &Path| read_file(path).expect_err("refused").to_string();
    assert!(said(dir.path()).contains("a directory"));
    assert!(said(&dir.path().join("none.toml")).contains("No such file"));
    assert!(said(Path::new("/dev/zero")).contains("no regular file"));
    let path = dir.path().join("keel.toml");
    fs::write(&path, b"a = \"\xff\"\n").expect("written");
    assert!(said(&path).contains("not UTF-8 text (byte 5)"));
    fs::write(&path, vec![b'#'; (FILE_BYTES_MAX + 1) as usize]).expect("written");
    assert!(said(&path).contains("longer than 1 MiB"));
    fs::write(&path, "").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode set");
    assert!(said(&path).contains("anybody may write"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("mode set");
    assert_eq!(read_file(&path).expect("good"), "");
}

#[test]
fn no_loss_limit_can_be_above_one_half() {
    // 3 for 3 % must never pass in a loss limit: those end at one half.
    for name in ["max_daily_loss_pct_hard", "max_weekly_loss_pct_hard", "max_drawdown_pct_hard"] {
        let row = keys::parameter("risk", name).expect("a row");
        assert!(row.max <= E8 / 2, "{name}");
    }
}
