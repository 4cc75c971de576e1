//! Tuning on a host made of files: what `tuning/host.py` changes, that it takes it back, and that
//! `keel doctor` sees the difference.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A host of four cores, two of them isolated, on which nothing that can be changed is as it should
/// be.
fn host(root: &Path) {
    let files = [
        ("proc/irq/9/smp_affinity_list", "0-3"),
        ("proc/irq/9/effective_affinity_list", "2"),
        ("proc/irq/10/smp_affinity_list", "0-1"),
        ("proc/sys/kernel/numa_balancing", "1"),
        ("proc/sys/kernel/nmi_watchdog", "1"),
        ("proc/sys/net/core/busy_read", "0"),
        ("proc/sys/net/core/busy_poll", "0"),
        ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"),
        ("sys/devices/system/cpu/online", "0-3"),
        ("sys/devices/system/cpu/isolated", "2-3"),
    ];
    for (path, text) in files {
        write(root, path, text);
    }
    for core in 0..4 {
        let folder = format!("sys/devices/system/cpu/cpu{core}");
        write(root, &format!("{folder}/cpufreq/scaling_governor"), "powersave");
        write(root, &format!("{folder}/cpuidle/state1/latency"), "2");
        write(root, &format!("{folder}/cpuidle/state1/disable"), "0");
        write(root, &format!("{folder}/cpuidle/state2/latency"), "170");
        write(root, &format!("{folder}/cpuidle/state2/disable"), "0");
        write(
            root,
            &format!("{folder}/topology/thread_siblings_list"),
            ["0,2", "1", "0,2", "3"][core],
        );
        write(root, &format!("{folder}/online"), "1");
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary directory");
    fs::write(path, format!("{text}\n")).expect("a temporary directory");
}

/// Every file below `root` with its text.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                found.insert(name, fs::read_to_string(&path).expect("readable"));
            }
        }
    }
    found
}

fn tune(root: &Path, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tuning/host.py");
    let output = Command::new("python3").arg(script).args(args).arg("--root").arg(root).output();
    let output = output.expect("python3 runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn doctor(root: &Path) -> Output {
    let keel = env!("CARGO_BIN_EXE_keel-under-test");
    Command::new(keel).args(["doctor", "--root"]).arg(root).output().expect("keel runs")
}

/// Names that the doctor calls unfit.
fn unfit(root: &Path) -> Vec<String> {
    let output = doctor(root);
    let text = String::from_utf8(output.stdout).expect("text");
    let unfit = text.lines().filter_map(|line| line.strip_prefix("UNFIT"));
    let unfit: Vec<String> = unfit.map(|line| line.trim()[..22].trim().to_owned()).collect();
    assert_eq!(output.status.code(), Some(i32::from(!unfit.is_empty())), "{text}");
    unfit
}

#[test]
fn a_plan_changes_nothing_apply_twice_is_once_and_undo_puts_everything_back() {
    let root = tempfile::tempdir().expect("a temporary directory");
    host(root.path());
    let before = tree(root.path());
    let plan = tune(root.path(), &["plan"]);
    assert_eq!(plan.matches(" -> ").count(), 12, "{plan}");
    assert_eq!(tree(root.path()), before, "a plan changes nothing");
    assert_eq!(tune(root.path(), &["apply"]).matches(" -> ").count(), 12);
    let applied = tree(root.path());
    assert_eq!(applied["sys/devices/system/cpu/cpu3/cpufreq/scaling_governor"], "performance\n");
    assert_eq!(applied["sys/devices/system/cpu/cpu1/cpufreq/scaling_governor"], "powersave\n");
    assert_eq!(applied["sys/devices/system/cpu/cpu0/online"], "0\n", "the sibling of core 2");
    assert_eq!(applied["proc/irq/9/smp_affinity_list"], "0,1\n");
    assert!(tune(root.path(), &["apply"]).starts_with("nothing to change"));
    assert_eq!(tree(root.path()), applied, "apply twice is once");
    tune(root.path(), &["undo"]);
    let mut undone = tree(root.path());
    // The kernel shows the chosen word in brackets; a file shows what was written.
    let pages = undone.get_mut("sys/kernel/mm/transparent_hugepage/enabled").expect("is there");
    assert_eq!(std::mem::replace(pages, "[always] madvise never\n".to_owned()), "always\n");
    assert_eq!(undone, before);
    assert_eq!(tune(root.path(), &["undo"]), "", "nothing is left to undo");
}

#[test]
fn one_name_changes_one_thing() {
    let root = tempfile::tempdir().expect("a temporary directory");
    host(root.path());
    let told = tune(root.path(), &["apply", "watchdog"]);
    assert_eq!(told.matches(" -> ").count(), 1, "{told}");
    assert_eq!(tree(root.path())["proc/sys/kernel/nmi_watchdog"], "0\n");
    assert_eq!(tree(root.path())["proc/sys/kernel/numa_balancing"], "1\n");
}

#[test]
fn the_doctor_finds_what_tuning_mends_and_finds_it_mended() {
    const MENDED: [&str; 8] = [
        "frequency governor",
        "idle states",
        "hyperthreads",
        "transparent pages",
        "memory balancing",
        "lockup watchdog",
        "busy polling",
        "slow start after idle",
    ];
    let root = tempfile::tempdir().expect("a temporary directory");
    host(root.path());
    let found = unfit(root.path());
    for name in MENDED {
        assert!(found.iter().any(|unfit| unfit == name), "{name}: {found:?}");
    }
    assert!(found.iter().any(|unfit| unfit == "interrupts"), "{found:?}");
    tune(root.path(), &["apply"]);
    // What the kernel does after a write.
    write(root.path(), "sys/devices/system/cpu/online", "1-3");
    write(root.path(), "proc/irq/9/effective_affinity_list", "0");
    let found = unfit(root.path());
    for name in MENDED {
        assert!(!found.iter().any(|unfit| unfit == name), "{name}: {found:?}");
    }
    assert!(!found.iter().any(|unfit| unfit == "interrupts"), "{found:?}");
}

#[test]
fn the_jitter_meter_tells_how_long_it_looked() {
    let keel = env!("CARGO_BIN_EXE_keel-under-test");
    let output = Command::new(keel).args(["doctor", "--jitter", "200ms"]).output();
    let text = String::from_utf8(output.expect("keel runs").stdout).expect("text");
    assert!(text.contains("jitter: 0.2 s on "), "{text}");
    assert!(text.contains("taken away "), "{text}");
}
