//! Tidiness that a machine can check: the plan of the house, bans with their replacement, and
//! style.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// What pure crates may not use, and what they use instead; `clippy.toml` of each says the same.
const BANS: &[(&str, &str)] = &[
    ("Instant", "take `now` as an argument"),
    ("SystemTime", "take UTC as an argument"),
    ("HashMap", "use an array by index, or a BTreeMap"),
    ("HashSet", "use an array by index, or a BTreeSet"),
    ("RandomState", "hash by a fixed function"),
    ("rand::random", "draw from the seed"),
    ("std::env", "take it as an argument"),
    ("thread::sleep", "state a deadline"),
    ("process::exit", "return an error"),
];

/// Files that git knows or would take, by their path from the root.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "git ls-files failed");
    let text = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    text.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

/// Rust files below any of `folders`, with their text.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let within = |path: &String| folders.iter().any(|folder| path.starts_with(folder));
    let rust = files().into_iter().filter(|path| path.ends_with(".rs")).filter(within);
    rust.map(|path| (path.clone(), fs::read_to_string(root().join(&path)).expect("readable")))
        .collect()
}

/// Lines of code: without comments and without the tests at a file's end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let body = text.find("\n#[cfg(test)]\nmod tests").map_or(text, |at| &text[..at]);
    body.lines().enumerate().map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
}

fn fail_on(found: &[String], what: &str) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn nothing_stands_at_the_top_but_the_plan_of_the_house() {
    const PLAN: &[&str] = &[
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "core",
        "net",
        "risk",
        "io",
        "bench",
        "tuning",
        "tests",
        "docs",
    ];
    let strangers: Vec<String> = files()
        .into_iter()
        .filter_map(|path| path.split('/').next().map(str::to_owned))
        .filter(|name| !name.starts_with('.') && !PLAN.contains(&name.as_str()))
        .collect();
    fail_on(&strangers, "not in the plan of the house (docs/ARCHITECTURE.md)");
}

#[test]
fn dependencies_point_downwards_only() {
    // A crate, and the crates of ours that it may import.
    const ALLOWED: &[(&str, &[&str])] = &[
        ("core", &[]),
        ("risk", &["keel_core"]),
        ("core/sim", &["keel_core"]),
        ("net", &["keel_core"]),
        ("io", &["keel_core", "keel_risk", "keel_net", "keel_sim"]),
        ("io/desk", &["keel_core", "keel_io"]),
        ("io/cli", &["keel_core", "keel_risk", "keel_net", "keel_sim", "keel_io", "keel_desk"]),
    ];
    let mut found = Vec::new();
    for (folder, allowed) in ALLOWED {
        let manifest =
            fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
        let table = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let table = table.split("\n[").next().unwrap_or_default();
        for line in table.lines().filter(|line| line.starts_with("keel")) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !allowed.contains(&name) {
                found.push(format!("{folder} imports {name}"));
            }
        }
    }
    fail_on(&found, "a dependency points upwards or sideways");
}

#[test]
fn the_gate_is_implemented_in_risk_and_tests_only() {
    let strangers: Vec<String> = sources(&["core/", "net/", "io/", "bench/"])
        .into_iter()
        .filter(|(_, text)| {
            text.lines().any(|line| {
                let line = line.trim_start();
                line.starts_with("impl")
                    && (line.contains(" Gate for ") || line.contains("::Gate for "))
            })
        })
        .map(|(path, _)| path)
        .collect();
    fail_on(&strangers, "`impl Gate` outside risk/ and tests/");
}

#[test]
fn who_may_trade_for_real_is_decided_in_one_place_and_who_needs_no_permission_is_named() {
    // What is called, and the only files that call it.
    const PLACES: &[(&str, &[&str])] = &[
        ("live::permit(", &["io/cli/src/golive/gate.rs"]),
        ("Reach::Live", &["io/src/mode/access.rs"]),
        (
            "ToCancel::of(",
            &["io/src/guardian.rs", "io/src/kill/direct.rs", "io/src/mode/access.rs"],
        ),
        ("ToRead::of(", &["io/src/bills.rs", "io/src/mode/survey.rs"]),
    ];
    let mut found = Vec::new();
    for (call, places) in PLACES {
        let of_call = sources(&["io/"])
            .into_iter()
            .filter(|(_, text)| code_lines(text).any(|(_, line)| line.contains(call)));
        let files: Vec<String> = of_call.map(|(path, _)| path).collect();
        if !files.iter().eq(*places) {
            found.push(format!("{call} in {files:?}, planned in {places:?}"));
        }
    }
    fail_on(&found, "live mode (docs/decisions/0029)");
}

/// Live mode cannot name paper: what makes it stands in one place each, behind `Mode::Paper`.
#[test]
fn paper_is_made_in_one_place_and_the_way_to_live_does_not_name_it() {
    const PLACES: &[(&str, &str)] = &[
        ("PaperAgent::new(", "io/src/topology.rs"),
        ("Orders::Paper(Box::new(", "io/src/mode/paper.rs"),
        ("Public::of(venue)", "io/src/mode/sim.rs"),
        ("(Mode::Paper, Venue::Paper(venue))", "io/src/mode/sim.rs"),
        ("Venue::Paper(PaperVenue {", "io/cli/src/start.rs"),
    ];
    const OF_LIVE: &[&str] = &[
        "io/src/mode/live.rs",
        "io/cli/src/golive/gate.rs",
        "io/cli/src/canary.rs",
        "net/src/gateway.rs",
    ];
    let all = sources(&["io/", "net/"]);
    let mut found = Vec::new();
    for (words, place) in PLACES {
        let of_words =
            all.iter().filter(|(_, text)| code_lines(text).any(|(_, line)| line.contains(words)));
        let files: Vec<&str> = of_words.map(|(path, _)| path.as_str()).collect();
        if files != [*place] {
            found.push(format!("{words} in {files:?}, planned in {place}"));
        }
    }
    for path in OF_LIVE {
        let (_, text) = all.iter().find(|(name, _)| name == path).expect("a file of live mode");
        let named = code_lines(text).filter(|(_, line)| line.to_lowercase().contains("paper"));
        found.extend(named.map(|(number, line)| format!("{path}:{number}: {line}")));
    }
    fail_on(&found, "no paper on the way to live mode");
}

#[test]
fn pure_crates_know_no_clock_no_randomness_and_no_random_order() {
    let mut found = Vec::new();
    for (path, text) in
        sources(&["core/src/", "core/sim/src/", "risk/src/", "net/src/", "io/src/world"])
    {
        if path.starts_with("net/src/driver") {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for (word, instead) in BANS {
                if line.contains(word) {
                    found.push(format!("{path}:{number}: {word}: {instead}"));
                }
            }
        }
    }
    fail_on(&found, "banned in pure crates");
}

#[test]
fn clippy_is_told_of_every_ban_in_every_pure_crate() {
    let mut found = Vec::new();
    for folder in ["core", "core/sim", "risk", "net"] {
        let file = format!("{folder}/clippy.toml");
        let text = fs::read_to_string(root().join(&file)).expect("a list of its own");
        for (word, _) in BANS {
            if !text.contains(&format!("{word}\"")) && !text.contains(&format!("{word}::")) {
                found.push(format!("{file}: {word} is missing"));
            }
        }
    }
    fail_on(&found, "clippy reads the nearest list only, so each must be whole");
}

#[test]
fn core_and_risk_have_no_std_no_floats_and_no_unsafe() {
    let mut found = Vec::new();
    for file in ["core/src/lib.rs", "risk/src/lib.rs"] {
        let text = fs::read_to_string(root().join(file)).expect("readable");
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            if !text.contains(attribute) {
                found.push(format!("{file}: {attribute} is missing"));
            }
        }
        if text.contains("extern crate alloc") {
            found.push(format!("{file}: lend memory instead of `alloc`"));
        }
    }
    for (path, text) in sources(&["core/src/", "risk/src/"]) {
        for (number, line) in code_lines(&text) {
            if line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "f64" || word == "f32")
            {
                found.push(format!("{path}:{number}: a float; use ticks, lots, Quote or Signal"));
            }
        }
    }
    fail_on(&found, "core and risk are exact");
}

#[test]
fn unsafe_stands_in_named_modules_only_and_says_why() {
    const NAMED: &[&str] = &[
        "net/src/link/run.rs",
        "io/src/os.rs",
        "io/src/affinity.rs",
        "io/src/secrets.rs",
        "io/src/memory.rs",
    ];
    let mut found = Vec::new();
    for (path, text) in sources(&["core/", "risk/", "net/src/", "io/"]) {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !(code.contains("unsafe {")
                || code.contains("unsafe impl")
                || code.contains("unsafe fn"))
            {
                continue;
            }
            if !NAMED.contains(&path.as_str()) {
                found.push(format!("{path}:{}: unsafe outside {NAMED:?}", number + 1));
            }
            let above = lines[number.saturating_sub(6)..number].iter();
            if !above.into_iter().any(|line| line.contains("SAFETY")) {
                found.push(format!("{path}:{}: no SAFETY sentence", number + 1));
            }
        }
    }
    fail_on(&found, "unsafe code");
}

/// How many quotation marks of this line open or close a text.
fn quotes_in(line: &str) -> usize {
    if line.trim_start().starts_with("//") {
        return 0;
    }
    line.replace("\\\\", "").replace("\\\"", "").replace("'\"'", "").matches('"').count()
}

#[test]
fn functions_fit_a_screen_and_lines_a_hundred_columns() {
    const LINES_MAX: usize = 70;
    let mut found = Vec::new();
    for (path, text) in sources(&["core/", "risk/", "net/", "io/", "bench/", "tests/"]) {
        if path.starts_with("tests/golden") {
            continue;
        }
        let mut begin: Option<(usize, usize)> = None;
        let mut in_text = false;
        for (number, line) in text.lines().enumerate() {
            // A formatter does not break texts; addresses and raw texts cannot be broken at all.
            let quotes = quotes_in(line);
            let is_text = in_text || quotes > 0;
            in_text ^= quotes % 2 == 1;
            let columns_max = if is_text { 120 } else { 100 };
            let whole = line.contains("http") || line.contains("r#\"");
            if line.chars().count() > columns_max && !whole {
                found.push(format!("{path}:{}: {} columns", number + 1, line.chars().count()));
            }
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let starts = [
                "fn ",
                "pub fn ",
                "pub(crate) fn ",
                "pub(super) fn ",
                "const fn ",
                "pub const fn ",
            ];
            if begin.is_none()
                && starts.iter().any(|start| code.starts_with(start))
                && !code.ends_with('}')
            {
                begin = Some((number, indent));
            }
            if let Some((first, depth)) = begin
                && indent == depth
                && (code == "}" || code.ends_with(';') && number == first)
            {
                if number - first + 1 > LINES_MAX {
                    found.push(format!("{path}:{}: {} lines", first + 1, number - first + 1));
                }
                begin = None;
            }
        }
    }
    fail_on(&found, "longer than a screen");
}

#[test]
fn planted_defects_are_in_no_build_that_is_used() {
    // The feature is declared in two manifests, taken by the command that hunts alone, and what it
    // switches on stands in one file.
    const DECLARED: [&str; 2] = ["core/Cargo.toml", "tests/Cargo.toml"];
    const COMMAND: &str = "--features planted --bin keel-planted";
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        let manifest = path.ends_with("Cargo.toml");
        let script = path.starts_with(".ci/") || path.starts_with(".cargo/") || path == "README.md";
        for (number, line) in text.lines().enumerate().filter(|(_, l)| l.contains("planted")) {
            let code = line.split('#').next().unwrap_or_default();
            let wrong = match &*path {
                _ if manifest => {
                    let taken = code.starts_with("default") || code.contains("features = [");
                    let declared = DECLARED.contains(&&*path);
                    code.contains("planted") && (!declared || (taken && !code.contains("required")))
                }
                _ if script => {
                    line.contains("planted\"")
                        || line.contains("features") && !line.contains(COMMAND)
                }
                "core/src/planted.rs" | "tests/lib.rs" | "tests/tidy.rs" => false,
                _ => path.ends_with(".rs") && line.contains("feature = \"planted\""),
            };
            if wrong {
                found.push(format!("{path}:{}: {line}", number + 1));
            }
        }
    }
    fail_on(&found, "the feature `planted` outside of the hunt");
}

#[test]
fn nothing_is_left_undone_and_no_test_is_switched_off() {
    // Written apart, so that this file does not find itself.
    let words =
        [["to", "do!("], ["unimple", "mented!("], ["FIX", "ME"], ["#[ign", "ore"], ["XX", "X:"]];
    let mut found = Vec::new();
    for (path, text) in sources(&["core/", "risk/", "net/", "io/", "bench/", "tests/"]) {
        for (number, line) in text.lines().enumerate() {
            for word in &words {
                if line.contains(&word.concat()) {
                    found.push(format!("{path}:{}: {}", number + 1, word.concat()));
                }
            }
        }
    }
    fail_on(&found, "left undone");
}

#[test]
fn no_path_of_a_machine_stands_in_the_tree() {
    let mut found = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for folder in [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]] {
                let folder = folder.concat();
                let word =
                    |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '.');
                if line.match_indices(&folder).any(|(at, _)| word(at)) {
                    found.push(format!("{path}:{}: {folder}", number + 1));
                }
            }
        }
    }
    fail_on(&found, "a path of some machine");
}

#[test]
fn links_of_the_documentation_lead_to_files() {
    let mut found = Vec::new();
    for page in files().into_iter().filter(|path| path.ends_with(".md")) {
        let text = fs::read_to_string(root().join(&page)).expect("readable");
        let folder = root().join(&page).parent().expect("a folder").to_path_buf();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                found.push(format!("{page}: {target}"));
            }
        }
    }
    fail_on(&found, "a link leads nowhere");
}

#[test]
fn the_architecture_lists_the_links_that_the_topology_wires() {
    let wiring = fs::read_to_string(root().join("io/src/topology.rs")).expect("readable");
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("readable");
    let mut wired = 0;
    let mut found = Vec::new();
    for line in wiring.lines().filter(|line| line.contains("link(\"")) {
        let inside = line.split("link(\"").nth(1).unwrap_or_default();
        let parts: Vec<&str> = inside.split(['"', ',', ')']).map(str::trim).collect();
        let [name, _, depth, full, ..] = parts[..] else {
            found.push(format!("not understood: {line}"));
            continue;
        };
        wired += 1;
        let (depth, full) = (depth.replace('_', ","), full.trim_start_matches("WhenFull::"));
        let is_row = |row: &&str| {
            row.starts_with(&format!("| `{name}` |"))
                && row.contains(&format!("| {depth} | `{full}` |"))
        };
        if page.lines().filter(is_row).count() != 1 {
            found.push(format!("{name}, depth {depth}, {full}"));
        }
    }
    assert!(wired >= 5, "{wired} links found in the topology");
    fail_on(&found, "not in docs/ARCHITECTURE.md as it is wired");
}

#[test]
fn the_default_binary_is_made_of_at_most_180_crates() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "keel", "--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo tree runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("UTF-8");
    let mut crates: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
    crates.sort_unstable();
    crates.dedup();
    assert!(crates.len() > 10, "cargo tree listed nothing: {text}");
    assert!(crates.len() <= 180, "{} crates: {crates:?}", crates.len());
}
