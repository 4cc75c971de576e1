#!/bin/sh
# Resident memory of a running process over time, from /proc. Changes nothing.
set -eu

usage() {
    cat <<'TEXT'
usage: rss.sh [--pid PID | --name NAME] [--every SECONDS] [--for SECONDS] [--max KIB] [--slope-max KIB]

  --pid PID         the process; by default the newest one called NAME
  --name NAME       its name [default: keel]
  --every SECONDS   between two samples [default: 10]
  --for SECONDS     how long; 0 until the process ends [default: 0]
  --max KIB         the most that may be resident
  --slope-max KIB   the most that may be added in an hour, from a fourth of the time on (after the warm-up)

Writes `seconds,rss_kib,hwm_kib` to standard output and a verdict to standard error.
Exit code: 0 while the bounds given hold, 1 when one was broken, 2 for wrong usage or no such process.
TEXT
}

pid= name=keel every=10 length=0 max=0 slope=
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit 0 ;;
        --pid | --name | --every | --for | --max | --slope-max)
            [ $# -ge 2 ] || { usage >&2; exit 2; }
            case $1 in
                --name) name=$2 ;;
                *) case $2 in '' | *[!0-9]*) echo "rss.sh: $1 takes a whole number, not '$2'" >&2; exit 2 ;; esac ;;
            esac
            case $1 in
                --pid) pid=$2 ;;
                --every) every=$2 ;;
                --for) length=$2 ;;
                --max) max=$2 ;;
                --slope-max) slope=$2 ;;
            esac
            shift 2 ;;
        *) echo "rss.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
    esac
done
[ "$every" -gt 0 ] || { echo "rss.sh: --every is at least 1" >&2; exit 2; }

if [ -z "$pid" ]; then
    pid=$(pgrep -n -x "$name" || true)
    [ -n "$pid" ] || { echo "rss.sh: no process is called $name" >&2; exit 2; }
fi
[ -r "/proc/$pid/status" ] || { echo "rss.sh: there is no process $pid" >&2; exit 2; }

field() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$pid/status" 2>/dev/null || true; }

sample() {
    began=$(date +%s)
    echo "seconds,rss_kib,hwm_kib"
    while :; do
        rss=$(field VmRSS)
        [ -n "$rss" ] || break
        now=$(($(date +%s) - began))
        echo "$now,$rss,$(field VmHWM)"
        [ "$length" -eq 0 ] || [ "$((now + every))" -le "$length" ] || break
        sleep "$every"
    done
}

# The slope is the least-squares line through the samples behind the first fourth of the time.
sample | awk -F, -v max="$max" -v slope_max="$slope" -v pid="$pid" '
    { print; fflush() }
    NR > 1 { n++; t[n] = $1; y[n] = $2; if ($3 > high) high = $3 }
    END {
        if (n == 0) { print "rss.sh: no sample" > "/dev/stderr"; exit 2 }
        for (i = 1; i <= n; i++) if (t[i] >= t[n] / 4) { m++; st += t[i]; sy += y[i]; stt += t[i] * t[i]; sty += t[i] * y[i] }
        wide = m * stt - st * st
        hourly = wide > 0 ? (m * sty - st * sy) / wide * 3600 : 0
        printf "pid %s: %d samples in %d s; first %d KiB, last %d KiB, highest %d KiB, slope %.0f KiB an hour\n", \
            pid, n, t[n], y[1], y[n], high, hourly > "/dev/stderr"
        broken = 0
        if (max > 0 && high > max) { printf "broken: %d KiB is more than %d\n", high, max > "/dev/stderr"; broken = 1 }
        if (slope_max != "" && hourly > slope_max) { printf "broken: %.0f KiB an hour is more than %d\n", hourly, slope_max > "/dev/stderr"; broken = 1 }
        exit broken
    }'
