#!/usr/bin/env python3
"""Makes a host fit for spinning threads while it runs, and takes it back. Needs root to change anything.

  host.py plan  [NAME...]    what would change (the default; changes nothing)
  host.py apply [NAME...]    changes it, remembering what was there
  host.py undo               puts everything back that was changed

Names, all of them when none is given:

  governor        frequency governor of the hot cores: performance
  idle            idle states of the hot cores that wake in more than 10 µs: off
  siblings        hyperthreads beside the hot cores: off
  interrupts      interrupts of devices: onto the other cores
  pages           transparent huge pages: only where asked for
  numa_balancing  the kernel's memory balancing: off
  watchdog        the lockup watchdog: off
  busy_poll       reads ask the network card for 50 µs
  slow_start      no slow start after idle

Hot cores are those of --cores, else the isolated ones. What needs a boot (isolcpus, nohz_full, rcu_nocbs) is printed by `plan` and not
changed. Applying twice is applying once. Exit code: 0 done, 1 something could not be changed, 2 wrong usage.
"""

import argparse
import json
import os
import pathlib
import sys

IDLE_LATENCY_US_MAX = 10
STATE = "var/lib/keel/tuning.json"


class Host:
    """A host's files under a root, and the cores that are to be left alone."""

    def __init__(self, root, cores):
        self.root = pathlib.Path(root)
        self.online = cores_of(self.text("sys/devices/system/cpu/online") or "")
        self.hot = cores or cores_of(self.text("sys/devices/system/cpu/isolated") or "")

    def text(self, path):
        """The text of a file; None when it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8").strip()
        except OSError:
            return None

    def glob(self, pattern):
        """Paths below the root, in order."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def hot_paths(self, pattern):
        """The paths of each hot core."""
        return [path for core in self.hot for path in self.glob(f"sys/devices/system/cpu/cpu{core}/{pattern}")]


def cores_of(text):
    """A list of cores as the kernel writes it."""
    cores = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cores += range(int(first), int(last or first) + 1)
    return cores


def governor(host):
    return [(path, "performance") for path in host.hot_paths("cpufreq/scaling_governor")]


def idle(host):
    states = host.hot_paths("cpuidle/state*")
    deep = [state for state in states if int(host.text(f"{state}/latency") or 0) > IDLE_LATENCY_US_MAX]
    return [(f"{state}/disable", "1") for state in deep]


def siblings(host):
    found = []
    for core in host.hot:
        shared = cores_of(host.text(f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") or "")
        found += [other for other in shared if other != core and other not in host.hot]
    return [(f"sys/devices/system/cpu/cpu{other}/online", "0") for other in sorted(set(found))]


def interrupts(host):
    rest = [core for core in host.online if core not in host.hot]
    if not host.hot or not rest:
        return []
    wanted = ",".join(map(str, rest))
    return [
        (path, wanted)
        for path in host.glob("proc/irq/*/smp_affinity_list")
        if set(cores_of(host.text(path) or "")) & set(host.hot)
    ]


def one(path, value):
    """A single file."""
    return lambda host: [(path, value)]


NAMES = {
    "governor": governor,
    "idle": idle,
    "siblings": siblings,
    "interrupts": interrupts,
    "pages": one("sys/kernel/mm/transparent_hugepage/enabled", "madvise"),
    "numa_balancing": one("proc/sys/kernel/numa_balancing", "0"),
    "watchdog": one("proc/sys/kernel/nmi_watchdog", "0"),
    "busy_poll": lambda host: [("proc/sys/net/core/busy_read", "50"), ("proc/sys/net/core/busy_poll", "50")],
    "slow_start": one("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0"),
}


def value_of(text):
    """The value in a file: the word in brackets where several are shown, and lists of cores in full."""
    if text and "[" in text:
        return text.split("[")[1].split("]")[0]
    return text


def same(path, value, wanted):
    """True when a file has the wanted value already."""
    if path.endswith("_affinity_list"):
        return cores_of(value) == cores_of(wanted)
    return value == wanted


def changes(host, names):
    """What is to be changed: name, path, the value now, the value wanted. A file that is not there is none."""
    found = []
    for name in names:
        for path, wanted in NAMES[name](host):
            now = value_of(host.text(path))
            if now is not None and not same(path, now, wanted):
                found.append((name, path, now, wanted))
    return found


def write(host, path, value):
    """Writes one file; says what went wrong, or nothing."""
    try:
        with open(host.root / path, "w", encoding="utf-8") as file:
            file.write(value + "\n")
    except OSError as error:
        return error.strerror
    return None


def remembered(host):
    text = host.text(STATE)
    return json.loads(text) if text else {}


def remember(host, state):
    """Keeps what was there before, whole or not at all."""
    path = host.root / STATE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def plan(host, names):
    found = changes(host, names)
    for name, path, now, wanted in found:
        print(f"{name:<15} /{path}: {now} -> {wanted}")
    if not found:
        print("nothing to change")
    if host.hot:
        hot = ",".join(map(str, host.hot))
        print(f"at boot, where it is not so yet: isolcpus=managed_irq,domain,{hot} nohz_full={hot} rcu_nocbs={hot}")
    else:
        print("no core is isolated and none is named (--cores): what concerns hot cores is left out")
    return 0


def apply(host, names):
    found, state, failed = changes(host, names), remembered(host), 0
    # Before anything changes: what is not remembered cannot be put back.
    remember(host, {path: now for _, path, now, _ in found} | state)
    for name, path, now, wanted in found:
        error = write(host, path, wanted)
        # The kernel keeps some interrupts where they are; that is told and is no failure.
        failed += bool(error) and name != "interrupts"
        print(f"{name:<15} /{path}: {now} -> {wanted}" + (f": {error}" if error else ""))
    if not found:
        print("nothing to change")
    return 1 if failed else 0


def undo(host):
    state, left = remembered(host), {}
    for path, value in state.items():
        now = value_of(host.text(path))
        if now is None or same(path, now, value):
            continue
        error = write(host, path, value)
        print(f"/{path}: {now} -> {value}" + (f": {error}" if error else ""))
        if error and not path.endswith("_affinity_list"):
            left[path] = value
    if left:
        remember(host, left)
        return 1
    (host.root / STATE).unlink(missing_ok=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="plan", choices=["plan", "apply", "undo"])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--cores", type=cores_of, default=[], metavar="LIST", help="the hot cores, such as 1-3")
    parser.add_argument("--root", default="/", metavar="DIR", help="where proc, sys and var lie")
    args = parser.parse_args()
    unknown = [name for name in args.names if name not in NAMES]
    if unknown or (args.what == "undo" and args.names):
        parser.error(f"no such name: {', '.join(unknown)}" if unknown else "undo takes everything back")
    host = Host(args.root, args.cores)
    if args.what == "undo":
        return undo(host)
    names = args.names or list(NAMES)
    return plan(host, names) if args.what == "plan" else apply(host, names)


if __name__ == "__main__":
    sys.exit(main())
