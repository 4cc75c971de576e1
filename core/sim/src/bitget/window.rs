//! Rate windows: per endpoint and user or address in a second, per address in a minute
//! (reference §5), and the counters of one socket (§10).

use std::collections::BTreeMap;
use std::net::IpAddr;

use keel_core::units::UnixNanos;

/// Requests an address may make in a minute, over all endpoints.
pub(super) const IP_REQUESTS_PER_MINUTE: u32 = 6_000;
/// How long an address is turned away after that, nanoseconds.
pub(super) const IP_BLOCK_NS: i64 = 300 * NANOS_PER_SECOND;

/// Who a window belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// An address, for public endpoints.
    Ip(IpAddr),
    /// A user, for private ones.
    Uid(u64),
}

/// All windows of the venue.
#[derive(Debug, Default)]
pub(super) struct Windows {
    seconds: BTreeMap<(usize, Subject), Count>,
    minutes: BTreeMap<IpAddr, Count>,
    blocked: BTreeMap<IpAddr, UnixNanos>,
    connects: BTreeMap<IpAddr, Count>,
    /// Requests that were refused because a window was used up.
    pub refused: u64,
}

/// How often something happened in the period of this number.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    period: i64,
    used: u32,
}

impl Count {
    /// Counts one more; gives the number so far in this period.
    fn add(&mut self, period: i64) -> u32 {
        if self.period != period {
            *self = Self { period, used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used
    }
}

/// The window is used up; nothing was taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

impl Windows {
    /// Takes one call of `endpoint` from the window of `subject`; gives how many remain in this
    /// second.
    ///
    /// # Errors
    /// [`Exceeded`] when `limit` calls were taken already.
    pub(super) fn take(
        &mut self,
        endpoint: usize,
        subject: Subject,
        limit: u32,
        now: UnixNanos,
    ) -> Result<u32, Exceeded> {
        let second = now.0.div_euclid(NANOS_PER_SECOND);
        if self.seconds.len() >= WINDOWS_MAX {
            self.seconds.retain(|_, count| count.period == second);
        }
        let used = self.seconds.entry((endpoint, subject)).or_default().add(second);
        limit.checked_sub(used).ok_or(Exceeded).inspect_err(|_| self.refused += 1)
    }

    /// Counts an attempt of `peer` to connect; false when it was one too many in these five
    /// minutes.
    pub(super) fn take_connect(&mut self, peer: IpAddr, most: u32, now: UnixNanos) -> bool {
        let period = now.0.div_euclid(CONNECT_PERIOD_NS);
        if self.connects.len() >= WINDOWS_MAX {
            self.connects.retain(|_, count| count.period == period);
        }
        self.connects.entry(peer).or_default().add(period) <= most
    }

    /// Takes one request of `peer` from its minute. The first one too many blocks the address for
    /// [`IP_BLOCK_NS`].
    ///
    /// # Errors
    /// [`Exceeded`] while the address is blocked.
    pub(super) fn take_address(&mut self, peer: IpAddr, now: UnixNanos) -> Result<(), Exceeded> {
        self.count_of(peer, now).inspect_err(|_| self.refused += 1)
    }

    fn count_of(&mut self, peer: IpAddr, now: UnixNanos) -> Result<(), Exceeded> {
        if let Some(until) = self.blocked.get(&peer) {
            if now < *until {
                return Err(Exceeded);
            }
            self.blocked.remove(&peer);
            self.minutes.remove(&peer);
        }
        let minute = now.minute();
        if self.minutes.len() >= WINDOWS_MAX {
            self.minutes.retain(|_, count| count.period == minute);
            self.blocked.retain(|_, until| now < *until);
        }
        if self.minutes.entry(peer).or_default().add(minute) > IP_REQUESTS_PER_MINUTE {
            self.blocked.insert(peer, UnixNanos(now.0 + IP_BLOCK_NS));
            return Err(Exceeded);
        }
        Ok(())
    }
}

/// A counter over fixed periods that belongs to one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    period_ns: i64,
    limit: u32,
    count: Count,
}

impl Meter {
    /// At most `limit` in each period of `period_ns` nanoseconds.
    pub(super) const fn new(limit: u32, period_ns: i64) -> Self {
        Self { period_ns, limit, count: Count { period: 0, used: 0 } }
    }

    /// Counts one.
    ///
    /// # Errors
    /// [`Exceeded`] when it was one too many.
    pub(super) fn take(&mut self, now: UnixNanos) -> Result<(), Exceeded> {
        let used = self.count.add(now.0.div_euclid(self.period_ns));
        if used > self.limit { Err(Exceeded) } else { Ok(()) }
    }
}

/// How long attempts to connect are counted together, nanoseconds.
const CONNECT_PERIOD_NS: i64 = 300 * NANOS_PER_SECOND;
/// Nanoseconds in a second.
pub(super) const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// From so many windows on, those of past periods are dropped.
const WINDOWS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(ms: i64) -> UnixNanos {
        UnixNanos::from_millis(ms)
    }

    #[test]
    fn a_second_has_its_limit_and_the_next_one_a_new_one() {
        let mut windows = Windows::default();
        let uid = Subject::Uid(1);
        let taken: Vec<_> = (0..4).map(|i| windows.take(0, uid, 3, at(1000 + i))).collect();
        assert_eq!(taken, [Ok(2), Ok(1), Ok(0), Err(Exceeded)]);
        assert_eq!(windows.take(1, uid, 3, at(1500)), Ok(2), "another endpoint");
        assert_eq!(windows.take(0, Subject::Uid(2), 3, at(1500)), Ok(2), "another user");
        assert_eq!(windows.take(0, uid, 3, at(1999)), Err(Exceeded));
        assert_eq!(windows.take(0, uid, 3, at(2000)), Ok(2));
        assert_eq!(windows.refused, 2);
    }

    #[test]
    fn the_request_over_the_minute_blocks_its_address_for_five_minutes() {
        let mut windows = Windows::default();
        for _ in 0..IP_REQUESTS_PER_MINUTE {
            assert_eq!(windows.take_address(PEER, at(0)), Ok(()));
        }
        assert_eq!(windows.take_address(PEER, at(59_999)), Err(Exceeded));
        assert_eq!(windows.take_address(PEER, at(59_999 + 299_999)), Err(Exceeded));
        assert_eq!(windows.take_address(PEER, at(59_999 + 300_000)), Ok(()));
        assert_eq!(windows.refused, 2);
    }

    #[test]
    fn windows_of_the_past_do_not_pile_up() {
        let mut windows = Windows::default();
        for uid in 0..20_000u64 {
            let _ = windows.take(0, Subject::Uid(uid), 1, at(uid as i64 * 10));
        }
        assert!(windows.seconds.len() <= WINDOWS_MAX);
    }
}
