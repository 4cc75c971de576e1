//! What is looked at, one function each. Thresholds say why they are where they are.

use super::Finding;
use super::host::{Host, cores, list};

/// Looks at one thing.
pub(super) type Check = fn(&Host) -> Finding;

/// All of them, in the order of the report.
pub(super) const ALL: &[Check] = &[
    core_count,
    quota,
    isolation,
    ticks,
    governor,
    idle_states,
    siblings,
    interrupts,
    balancer,
    huge_pages,
    numa,
    numa_balancing,
    clock_source,
    time_sync,
    locked_memory,
    realtime,
    open_files,
    swap,
    watchdog,
    network_queues,
    busy_poll,
    slow_start,
    load,
];

fn core_count(host: &Host) -> Finding {
    let (name, online) = ("cores", host.online());
    if online.is_empty() {
        return Finding::unknown(name, "the kernel does not say", "");
    }
    let found = format!("{} on", online.len());
    if online.len() >= CORES_MIN {
        return Finding::fit(name, found);
    }
    Finding::unfit(
        name,
        found,
        "feed, gateway and engine spin on a core each, and one is left for everything else",
        "take a host of at least 4 cores, or run with threading = \"shared\"",
    )
}

fn quota(host: &Host) -> Finding {
    let name = "processor quota";
    match host
        .text("sys/fs/cgroup/cpu.max")
        .or_else(|| host.text("sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
    {
        None => Finding::fit(name, "no control group limits this process"),
        Some(text) if text.starts_with("max") || text == "-1" => Finding::fit(name, "none"),
        Some(text) => Finding::unfit(
            name,
            text,
            "a spinning thread uses its quota up and is stopped for the rest of each period",
            "run outside of the limited control group (CPUQuota= empty, no --cpus)",
        ),
    }
}

fn isolation(host: &Host) -> Finding {
    let (name, isolated) = ("isolated cores", host.isolated());
    let fix = "boot with isolcpus=managed_irq,domain,LIST nohz_full=LIST rcu_nocbs=LIST \
               (docs/tuning.md)";
    if isolated.is_empty() {
        let reason = "the scheduler puts other threads on the cores of the hot agents";
        return Finding::unfit(name, "none", reason, fix);
    }
    let stray: Vec<usize> =
        host.hot.iter().copied().filter(|core| !isolated.contains(core)).collect();
    if stray.is_empty() {
        return Finding::fit(name, list(&isolated));
    }
    let found = format!("{}, without {}", list(&isolated), list(&stray));
    Finding::unfit(name, found, "a hot core shares its time with whoever comes", fix)
}

fn ticks(host: &Host) -> Finding {
    let name = "scheduler tick";
    let quiet = host.text("sys/devices/system/cpu/nohz_full").map(|text| cores(&text));
    let wanted = host.hot_or_all();
    match quiet {
        Some(quiet) if !quiet.is_empty() && wanted.iter().all(|core| quiet.contains(core)) => {
            Finding::fit(name, format!("off on {}", list(&quiet)))
        }
        _ => Finding::unfit(
            name,
            "on",
            "250 to 1,000 interrupts a second on every hot core",
            "boot with nohz_full=LIST rcu_nocbs=LIST",
        ),
    }
}

fn governor(host: &Host) -> Finding {
    let name = "frequency governor";
    let of = |core: usize| {
        host.text(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"))
    };
    let found: Vec<String> = host.hot_or_all().into_iter().filter_map(of).collect();
    match found.iter().find(|governor| *governor != "performance") {
        None if found.is_empty() => {
            Finding::unknown(name, "none", "a virtual machine's frequency is its host's affair")
        }
        None => Finding::fit(name, "performance"),
        Some(other) => Finding::unfit(
            name,
            other.as_str(),
            "a core that was idle runs at a fraction of its speed for the first milliseconds",
            "tuning/host.py apply governor",
        ),
    }
}

fn idle_states(host: &Host) -> Finding {
    let name = "idle states";
    let mut deepest: Option<(i64, String)> = None;
    let mut states = 0;
    for core in host.hot_or_all() {
        let folder = format!("sys/devices/system/cpu/cpu{core}/cpuidle");
        for state in host.names(&folder) {
            states += 1;
            let path = format!("{folder}/{state}");
            let latency = host.number(&format!("{path}/latency")).unwrap_or(0);
            let on = host.number(&format!("{path}/disable")) == Some(0);
            if on && latency > IDLE_LATENCY_US_MAX && deepest.as_ref().is_none_or(|d| latency > d.0)
            {
                let state = host.text(&format!("{path}/name")).unwrap_or(state);
                deepest = Some((latency, format!("{state} on core {core} wakes in {latency} µs")));
            }
        }
    }
    match deepest {
        Some((_, found)) => Finding::unfit(
            name,
            found,
            "a core that sleeps deeply misses the frame that wakes it by that time",
            "tuning/host.py apply idle",
        ),
        None if states == 0 => {
            Finding::unknown(name, "none", "a virtual machine's sleep is its host's affair")
        }
        None => Finding::fit(name, format!("none beyond {IDLE_LATENCY_US_MAX} µs")),
    }
}

fn siblings(host: &Host) -> Finding {
    let name = "hyperthreads";
    let hot = host.hot_or_all();
    for &core in &hot {
        let path = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        let Some(text) = host.text(&path) else {
            return Finding::unknown(name, "the kernel does not say", "");
        };
        let other =
            cores(&text).into_iter().find(|&other| other != core && host.online().contains(&other));
        if let Some(other) = other {
            return Finding::unfit(
                name,
                format!("core {core} shares its pipeline with {other}"),
                "what runs on the sibling takes half of the hot core's speed and its caches",
                format!(
                    "switch the sibling off: tuning/host.py apply siblings --cores {}",
                    list(&hot)
                ),
            );
        }
    }
    Finding::fit(name, "no hot core has one")
}

fn interrupts(host: &Host) -> Finding {
    let (name, hot) = ("interrupts", &host.hot);
    if hot.is_empty() {
        return Finding::unknown(
            name,
            "no hot core is named or isolated",
            "name them with --cores",
        );
    }
    let mut on_hot = Vec::new();
    for number in host.names("proc/irq") {
        let allowed = host.text(&format!("proc/irq/{number}/effective_affinity_list"));
        let allowed = allowed.map_or(Vec::new(), |text| cores(&text));
        if allowed.iter().any(|core| hot.contains(core)) {
            on_hot.push(number);
        }
    }
    if on_hot.is_empty() {
        return Finding::fit(name, "none on a hot core");
    }
    Finding::unfit(
        name,
        format!("{} on hot cores: {}", on_hot.len(), on_hot.join(",")),
        "each takes the core for some microseconds, whenever its device likes",
        format!("tuning/host.py apply interrupts --cores {}", list(hot)),
    )
}

fn balancer(host: &Host) -> Finding {
    let name = "interrupt balancer";
    if host.runs("irqbalance") {
        return Finding::unfit(
            name,
            "irqbalance runs",
            "it moves interrupts back onto cores that were cleared",
            "systemctl disable --now irqbalance",
        );
    }
    Finding::fit(name, "not running")
}

fn huge_pages(host: &Host) -> Finding {
    let name = "transparent pages";
    match host.text("sys/kernel/mm/transparent_hugepage/enabled") {
        None => Finding::unknown(name, "the kernel has none", ""),
        Some(text) if text.contains("[always]") => Finding::unfit(
            name,
            "always",
            "the kernel stops a thread to put its pages together",
            "tuning/host.py apply pages",
        ),
        Some(text) => Finding::fit(name, chosen(&text)),
    }
}

fn numa(host: &Host) -> Finding {
    let (name, hot) = ("memory nodes", host.hot_or_all());
    let nodes: Vec<String> = host.names("sys/devices/system/node");
    let nodes: Vec<&String> =
        nodes.iter().filter(|n| n.strip_prefix("node").is_some_and(digits)).collect();
    let of = |node: &str| {
        let text = host.text(&format!("sys/devices/system/node/{node}/cpulist"));
        text.map_or(Vec::new(), |text| cores(&text))
    };
    let used = nodes.iter().filter(|node| of(node).iter().any(|core| hot.contains(core))).count();
    match (nodes.len(), used) {
        (0 | 1, _) => Finding::fit(name, "one"),
        (all, 0 | 1) => Finding::fit(name, format!("{all}, the hot cores on one")),
        (all, used) => Finding::unfit(
            name,
            format!("{all}, the hot cores on {used}"),
            "a link between agents on two nodes costs three times as much",
            "name cores of the node that the network card is on: run.cores",
        ),
    }
}

fn numa_balancing(host: &Host) -> Finding {
    let name = "memory balancing";
    match host.number("proc/sys/kernel/numa_balancing") {
        None | Some(0) => Finding::fit(name, "off"),
        Some(_) => Finding::unfit(
            name,
            "on",
            "the kernel takes pages away to see who misses them",
            "tuning/host.py apply numa_balancing",
        ),
    }
}

fn clock_source(host: &Host) -> Finding {
    let name = "clock source";
    let folder = "sys/devices/system/clocksource/clocksource0";
    let Some(source) = host.text(&format!("{folder}/current_clocksource")) else {
        return Finding::unknown(name, "the kernel does not say", "");
    };
    let flags = host.text("proc/cpuinfo").unwrap_or_default();
    let steady = flags.contains("constant_tsc") && flags.contains("nonstop_tsc");
    if source == "tsc" && steady {
        return Finding::fit(name, "tsc, steady");
    }
    let found = format!("{source}{}", if steady { ", tsc is steady" } else { ", no steady tsc" });
    if source == "tsc" || (steady && source == "kvm-clock") {
        return Finding::unknown(
            name,
            found,
            "stamps come from the counter; the kernel's own are slower",
        );
    }
    let reason = "the kernel's time is slow to read, and the counter may not be trusted";
    Finding::unfit(name, found, reason, "boot with clocksource=tsc tsc=reliable")
}

fn time_sync(host: &Host) -> Finding {
    let name = "time";
    const DISCIPLINES: [&str; 6] =
        ["chronyd", "ntpd", "ptp4l", "phc2sys", "systemd-timesyn", "openntpd"];
    match DISCIPLINES.iter().find(|discipline| host.runs(discipline)) {
        Some(discipline) => Finding::fit(name, *discipline),
        None => Finding::unfit(
            name,
            "nothing disciplines the clock",
            "a login whose time is off by more than 30 s is refused, and days turn at the wrong time",
            "install chrony; where the network card has a clock, ptp4l and phc2sys",
        ),
    }
}

fn locked_memory(host: &Host) -> Finding {
    let reason = "pages of the engine may be taken away, and the next frame waits for the disk";
    limit(
        host,
        "locked memory",
        "Max locked memory",
        LOCKED_BYTES_MIN,
        reason,
        "LimitMEMLOCK=infinity",
    )
}

fn realtime(host: &Host) -> Finding {
    let reason = "without it any thread of the system may run before a hot one";
    limit(host, "real-time priority", "Max realtime priority", 1, reason, "LimitRTPRIO=1")
}

fn open_files(host: &Host) -> Finding {
    let reason = "sockets, segments and tables together need some hundred descriptors";
    limit(host, "open files", "Max open files", 1_024, reason, "LimitNOFILE=65536")
}

/// A limit of this process that is `least` or more.
fn limit(
    host: &Host,
    name: &'static str,
    row: &str,
    least: u64,
    reason: &'static str,
    unit: &str,
) -> Finding {
    match host.limit(row) {
        None => Finding::unknown(name, "the kernel does not say", ""),
        Some(u64::MAX) => Finding::fit(name, "unlimited"),
        Some(found) if found >= least => Finding::fit(name, found.to_string()),
        Some(found) => {
            let found = format!("{found}, {least} are needed");
            Finding::unfit(name, found, reason, format!("{unit} in the unit, or limits.conf"))
        }
    }
}

fn swap(host: &Host) -> Finding {
    let name = "swap";
    let areas = host.text("proc/swaps").map_or(0, |text| text.lines().count().saturating_sub(1));
    if areas == 0 {
        return Finding::fit(name, "none");
    }
    Finding::unfit(
        name,
        format!("{areas} areas"),
        "memory that was not touched for a while comes back from the disk",
        "swapoff -a, and take it out of /etc/fstab",
    )
}

fn watchdog(host: &Host) -> Finding {
    let name = "lockup watchdog";
    match host.number("proc/sys/kernel/nmi_watchdog") {
        None | Some(0) => Finding::fit(name, "off"),
        Some(_) => Finding::unfit(
            name,
            "on",
            "it interrupts every core once in a while, also the isolated ones",
            "tuning/host.py apply watchdog",
        ),
    }
}

fn network_queues(host: &Host) -> Finding {
    let name = "network queues";
    let cards: Vec<String> = host
        .names("sys/class/net")
        .into_iter()
        .filter(|card| host.text(&format!("sys/class/net/{card}/device/uevent")).is_some())
        .collect();
    let told: Vec<String> = cards
        .iter()
        .map(|card| {
            let queues = host.names(&format!("sys/class/net/{card}/queues"));
            let receive = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
            format!("{card}: {receive} to receive")
        })
        .collect();
    if told.is_empty() {
        return Finding::unknown(name, "no card with a device", "");
    }
    let reason = "interrupt coalescing is not told here: ethtool -c CARD; rx-usecs 0 and adaptive-rx \
                  off deliver each frame at once";
    Finding::unknown(name, told.join("; "), reason)
}

fn busy_poll(host: &Host) -> Finding {
    let name = "busy polling";
    match host.number("proc/sys/net/core/busy_read") {
        None => Finding::unknown(name, "the kernel has none", ""),
        Some(0) => Finding::unfit(
            name,
            "off",
            "a read that finds nothing goes home instead of asking the card",
            "tuning/host.py apply busy_poll",
        ),
        Some(micros) => Finding::fit(name, format!("{micros} µs")),
    }
}

fn slow_start(host: &Host) -> Finding {
    let name = "slow start after idle";
    match host.number("proc/sys/net/ipv4/tcp_slow_start_after_idle") {
        None => Finding::unknown(name, "the kernel does not say", ""),
        Some(0) => Finding::fit(name, "off"),
        Some(_) => Finding::unfit(
            name,
            "on",
            "a connection that was quiet sends its first burst in small portions",
            "tuning/host.py apply slow_start",
        ),
    }
}

fn load(host: &Host) -> Finding {
    let (name, online) = ("load", host.online().len());
    let load = host.text("proc/loadavg").and_then(|text| {
        let first = text.split_whitespace().next()?;
        let (whole, hundredths) = first.split_once('.')?;
        Some(whole.parse::<usize>().ok()? * 100 + hundredths.parse::<usize>().ok()?)
    });
    let Some(load) = load else { return Finding::unknown(name, "the kernel does not say", "") };
    let found = format!("{}.{:02} on {online} cores", load / 100, load % 100);
    if load <= online * 100 {
        return Finding::fit(name, found);
    }
    let reason = "more threads want to run than there are cores";
    Finding::unfit(name, found, reason, "stop what else runs here")
}

/// The word in brackets of a list of words.
fn chosen(text: &str) -> String {
    let word = text.split(['[', ']']).nth(1);
    word.unwrap_or(text).to_owned()
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Feed, gateway, engine, and the rest of the program.
const CORES_MIN: usize = 4;
/// The wake-up from a shallow state; deeper ones begin at some 20 µs.
const IDLE_LATENCY_US_MAX: i64 = 10;
/// The engine's block for a hundred instruments, links and stacks.
const LOCKED_BYTES_MIN: u64 = 256 << 20;
