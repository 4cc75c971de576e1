//! Hosts made of files.

use std::fs;
use std::path::Path;

use super::*;

/// A host on which everything is as it should be, on four cores of which three are set apart.
fn fit(root: &Path) {
    let files = [
        ("proc/loadavg", "0.51 0.40 0.30 1/200 4711"),
        ("proc/swaps", "Filename Type Size Used Priority"),
        ("proc/cpuinfo", "flags : fpu constant_tsc nonstop_tsc"),
        ("proc/1/comm", "init"),
        ("proc/77/comm", "chronyd"),
        ("proc/sys/kernel/numa_balancing", "0"),
        ("proc/sys/kernel/nmi_watchdog", "0"),
        ("proc/sys/net/core/busy_read", "50"),
        ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0"),
        ("proc/irq/9/effective_affinity_list", "0"),
        (
            "proc/self/limits",
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max locked memory         unlimited            unlimited            bytes\n\
             Max realtime priority     1                    1\n\
             Max open files            65536                65536                files",
        ),
        ("sys/fs/cgroup/cpu.max", "max 100000"),
        ("sys/devices/system/cpu/online", "0-3"),
        ("sys/devices/system/cpu/isolated", "1-3"),
        ("sys/devices/system/cpu/nohz_full", "1-3"),
        ("sys/devices/system/node/node0/cpulist", "0-3"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
        ("sys/class/net/eth0/device/uevent", "DRIVER=ice"),
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
    ];
    for (path, text) in files {
        write(root, path, text);
    }
    for core in 0..4 {
        let folder = format!("sys/devices/system/cpu/cpu{core}");
        write(root, &format!("{folder}/cpufreq/scaling_governor"), "performance");
        write(root, &format!("{folder}/topology/thread_siblings_list"), &core.to_string());
        for (state, latency, off) in [("state0", 0, 0), ("state1", 2, 0), ("state2", 170, 1)] {
            write(root, &format!("{folder}/cpuidle/{state}/latency"), &latency.to_string());
            write(root, &format!("{folder}/cpuidle/{state}/disable"), &off.to_string());
            write(root, &format!("{folder}/cpuidle/{state}/name"), &state.to_uppercase());
        }
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary directory");
    fs::write(path, format!("{text}\n")).expect("a temporary directory");
}

fn findings(root: &Path) -> Vec<Finding> {
    let host = Host::at(root, &[]);
    checks::ALL.iter().map(|check| check(&host)).collect()
}

#[test]
fn a_host_as_it_should_be_has_nothing_unfit() {
    let root = tempfile::tempdir().expect("a temporary directory");
    fit(root.path());
    let findings = findings(root.path());
    let unfit: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Unfit).collect();
    assert!(unfit.is_empty(), "{unfit:#?}");
    let unknown: Vec<_> = findings.iter().filter(|f| f.verdict == Verdict::Unknown).collect();
    assert_eq!(unknown.len(), 1, "coalescing cannot be read: {unknown:#?}");
    assert_eq!(run(root.path(), &[], None), Exit::Done);
}

#[test]
fn each_thing_that_is_wrong_is_found_alone_with_reason_and_fix() {
    let cases = [
        ("sys/devices/system/cpu/online", "0-2", "cores"),
        ("sys/fs/cgroup/cpu.max", "200000 100000", "processor quota"),
        ("sys/devices/system/cpu/isolated", "", "isolated cores"),
        ("sys/devices/system/cpu/nohz_full", "1-2", "scheduler tick"),
        ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "powersave", "frequency governor"),
        ("sys/devices/system/cpu/cpu2/cpuidle/state2/disable", "0", "idle states"),
        ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "0,2", "hyperthreads"),
        ("proc/irq/9/effective_affinity_list", "2", "interrupts"),
        ("proc/78/comm", "irqbalance", "interrupt balancer"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] never", "transparent pages"),
        ("proc/sys/kernel/numa_balancing", "1", "memory balancing"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet", "clock source"),
        ("proc/77/comm", "sh", "time"),
        ("proc/self/limits", "Max locked memory 8388608 8388608 bytes", "locked memory"),
        ("proc/self/limits", "Max realtime priority 0 0", "real-time priority"),
        ("proc/self/limits", "Max open files 256 4096 files", "open files"),
        ("proc/swaps", "Filename\n/swap file 8 0 -2", "swap"),
        ("proc/sys/kernel/nmi_watchdog", "1", "lockup watchdog"),
        ("proc/sys/net/core/busy_read", "0", "busy polling"),
        ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1", "slow start after idle"),
        ("proc/loadavg", "4.01 2.00 1.00 1/200 4711", "load"),
    ];
    for (path, text, name) in cases {
        let root = tempfile::tempdir().expect("a temporary directory");
        fit(root.path());
        write(root.path(), path, text);
        let found = findings(root.path());
        let unfit: Vec<_> = found.iter().filter(|f| f.verdict == Verdict::Unfit).collect();
        let found = unfit.iter().find(|finding| finding.name == name);
        let found = found.unwrap_or_else(|| panic!("{name} is not found by {path}: {unfit:#?}"));
        assert!(!found.reason.is_empty() && !found.fix.is_empty(), "{found:?}");
        // A host of three cores, or without isolated ones, breaks what is built on them too.
        assert!(unfit.len() == 1 || path.contains("system/cpu/"), "{name}: {unfit:#?}");
        assert_eq!(run(root.path(), &[], None), Exit::Failed);
    }
}

#[test]
fn hot_cores_on_two_nodes_are_unfit() {
    let root = tempfile::tempdir().expect("a temporary directory");
    fit(root.path());
    write(root.path(), "sys/devices/system/node/node0/cpulist", "0-1");
    write(root.path(), "sys/devices/system/node/node1/cpulist", "2-3");
    let is_unfit = |cores: &[usize]| {
        let host = Host::at(root.path(), cores);
        let mut found = checks::ALL.iter().map(|check| check(&host));
        let found = found.find(|finding| finding.name == "memory nodes").expect("is looked at");
        found.verdict == Verdict::Unfit
    };
    assert!(is_unfit(&[1, 2, 3]));
    assert!(!is_unfit(&[2, 3]));
}

#[test]
fn a_host_that_says_nothing_is_unknown_and_no_panic() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let findings = findings(root.path());
    assert_eq!(findings.len(), checks::ALL.len());
    assert!(report(&findings).contains("unknown"));
}

#[test]
fn lists_of_cores_are_read_as_the_kernel_writes_them() {
    assert_eq!(host::cores("0,2-4,7\n"), [0, 2, 3, 4, 7]);
    for none in ["", "\n", "a", "3-1", "0-99999999"] {
        assert!(host::cores(none).is_empty(), "{none:?}");
    }
}
