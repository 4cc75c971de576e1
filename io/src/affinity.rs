//! Affinity: which cores there are, which are ours, and which hot agent runs on which.

use std::fmt;
use std::fs;

use core_affinity::CoreId;

/// How hot agents are laid on threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// A thread and a core for each.
    Dedicated,
    /// All in turn on one thread.
    Shared,
    /// Dedicated with at least [`CORES_FOR_DEDICATED`] free cores, else shared.
    Auto,
}

/// What a hot thread does when a cycle found no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Looks again at once.
    Spin,
    /// Lets another thread run first.
    Yield,
    /// Sleeps until a socket is ready or the next deadline.
    Park,
    /// Spin when dedicated, park when shared.
    Auto,
}

/// The cores that this process may use. Listed once, before any thread is pinned: a pinned thread
/// sees one core only.
#[derive(Clone, Debug)]
pub struct Cores {
    ids: Vec<CoreId>,
    quota_milli: Option<u64>,
}

/// Where hot agents run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// One thread and core each.
    Dedicated {
        /// Market data.
        feed: CoreId,
        /// Orders and private updates.
        gateway: CoreId,
        /// Decisions.
        engine: CoreId,
        /// See [`Idle`]; never `Auto`.
        idle: Idle,
    },
    /// One thread for the three.
    Shared {
        /// Its core, where one was named.
        core: Option<CoreId>,
        /// See [`Idle`]; never `Auto`.
        idle: Idle,
    },
}

/// Why hot agents cannot be placed as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Fewer cores than agents.
    #[error(
        "threading = \"dedicated\" needs {HOT_AGENTS} cores and this process may use {0}; \
         use \"shared\" or \"auto\""
    )]
    TooFew(usize),
    /// A core was named that is not there, or not ours.
    #[error("core {0} is not one that this process may use")]
    NotOurs(usize),
    /// A core was named twice.
    #[error("core {0} is named twice; each hot agent needs its own")]
    Twice(usize),
    /// Cores were named, but not as many as there are threads.
    #[error("{named} cores are named; \"dedicated\" needs {HOT_AGENTS}, \"shared\" needs 1")]
    Count {
        /// How many were named.
        named: usize,
    },
}

impl Cores {
    /// Lists the cores that the scheduler lets this process use, and the share of them that its
    /// control group grants.
    pub fn list() -> Self {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        let quota_milli = fs::read_to_string(CPU_MAX).ok().and_then(|text| quota_milli(&text));
        Self { ids, quota_milli }
    }

    /// How many cores' worth of time this process can have.
    pub fn usable(&self) -> usize {
        let granted = self.quota_milli.map_or(usize::MAX, |milli| (milli / 1_000) as usize);
        self.ids.len().min(granted).max(1)
    }

    /// Lays the hot agents on cores. `named` are the operator's cores, by number, or empty;
    /// dedicated agents then stand in the order feed, gateway, engine. Unnamed dedicated agents
    /// take the last cores: the first one serves most interrupts.
    ///
    /// # Errors
    /// As [`PlacementError`] says.
    pub fn place(
        &self,
        threading: Threading,
        idle: Idle,
        named: &[usize],
    ) -> Result<Placement, PlacementError> {
        let chosen = self.chosen(named)?;
        let dedicated = match threading {
            Threading::Dedicated => true,
            Threading::Shared => false,
            Threading::Auto => {
                self.usable() >= CORES_FOR_DEDICATED && (named.is_empty() || chosen.len() != 1)
            }
        };
        if !dedicated {
            let core = match chosen[..] {
                [] => None,
                [core] => Some(core),
                _ => return Err(PlacementError::Count { named: named.len() }),
            };
            return Ok(Placement::Shared { core, idle: idle.or(Idle::Park) });
        }
        let idle = idle.or(Idle::Spin);
        match chosen[..] {
            [feed, gateway, engine] => Ok(Placement::Dedicated { feed, gateway, engine, idle }),
            [] => match self.ids[..] {
                [.., feed, gateway, engine] if self.usable() >= HOT_AGENTS => {
                    Ok(Placement::Dedicated { feed, gateway, engine, idle })
                }
                _ => Err(PlacementError::TooFew(self.usable())),
            },
            _ => Err(PlacementError::Count { named: named.len() }),
        }
    }

    fn chosen(&self, named: &[usize]) -> Result<Vec<CoreId>, PlacementError> {
        let mut chosen = Vec::with_capacity(named.len());
        for &number in named {
            let core = CoreId { id: number };
            if !self.ids.contains(&core) {
                return Err(PlacementError::NotOurs(number));
            }
            if chosen.contains(&core) {
                return Err(PlacementError::Twice(number));
            }
            chosen.push(core);
        }
        Ok(chosen)
    }
}

impl Idle {
    /// This choice, or `otherwise` where it was left open.
    fn or(self, otherwise: Self) -> Self {
        if self == Self::Auto { otherwise } else { self }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dedicated { feed, gateway, engine, idle } => write!(
                f,
                "dedicated: feed on core {}, gateway on {}, engine on {}, idle {idle:?}",
                feed.id, gateway.id, engine.id
            ),
            Self::Shared { core: Some(core), idle } => {
                write!(f, "shared: one thread on core {}, idle {idle:?}", core.id)
            }
            Self::Shared { core: None, idle } => {
                write!(f, "shared: one thread on any core, idle {idle:?}")
            }
        }
    }
}

/// Pins the calling thread; false when the system refuses.
pub fn pin(core: CoreId) -> bool {
    core_affinity::set_for_current(core)
}

/// Pins the calling thread to the core of this number; false when the system refuses.
pub fn pin_to(number: usize) -> bool {
    pin(CoreId { id: number })
}

/// Thousandths of a core that `cpu.max` of a control group grants; `None` for no limit.
fn quota_milli(text: &str) -> Option<u64> {
    let mut words = text.split_whitespace();
    let quota: u64 = words.next()?.parse().ok()?;
    let period: u64 = words.next()?.parse().ok()?;
    quota.checked_mul(1_000)?.checked_div(period)
}

/// Free cores from which on [`Threading::Auto`] gives each hot agent its own.
pub const CORES_FOR_DEDICATED: usize = 4;

/// Feed, gateway, engine.
const HOT_AGENTS: usize = 3;
const _: () = assert!(CORES_FOR_DEDICATED > HOT_AGENTS);

const CPU_MAX: &str = "/sys/fs/cgroup/cpu.max";

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(count: usize, quota_milli: Option<u64>) -> Cores {
        Cores { ids: (0..count).map(|id| CoreId { id }).collect(), quota_milli }
    }

    fn dedicated(place: Result<Placement, PlacementError>) -> [usize; 3] {
        match place {
            Ok(Placement::Dedicated { feed, gateway, engine, idle: Idle::Spin }) => {
                [feed.id, gateway.id, engine.id]
            }
            other => panic!("not dedicated and spinning: {other:?}"),
        }
    }

    #[test]
    fn auto_is_dedicated_and_spins_from_four_cores_on() {
        let four = cores(4, None).place(Threading::Auto, Idle::Auto, &[]);
        assert_eq!(dedicated(four), [1, 2, 3]);
        for few in [cores(3, None), cores(1, None), cores(64, Some(3_999))] {
            assert_eq!(
                few.place(Threading::Auto, Idle::Auto, &[]),
                Ok(Placement::Shared { core: None, idle: Idle::Park })
            );
        }
    }

    #[test]
    fn named_cores_are_taken_in_order_and_each_must_be_ours_once() {
        let eight = cores(8, None);
        assert_eq!(dedicated(eight.place(Threading::Dedicated, Idle::Auto, &[5, 2, 7])), [5, 2, 7]);
        assert_eq!(
            eight.place(Threading::Dedicated, Idle::Auto, &[5, 2, 8]),
            Err(PlacementError::NotOurs(8))
        );
        assert_eq!(
            eight.place(Threading::Dedicated, Idle::Auto, &[5, 2, 5]),
            Err(PlacementError::Twice(5))
        );
        assert_eq!(
            eight.place(Threading::Auto, Idle::Auto, &[1, 2]),
            Err(PlacementError::Count { named: 2 })
        );
        assert_eq!(
            eight.place(Threading::Shared, Idle::Yield, &[6]),
            Ok(Placement::Shared { core: Some(CoreId { id: 6 }), idle: Idle::Yield })
        );
    }

    #[test]
    fn dedicated_without_enough_cores_is_refused_not_degraded() {
        assert_eq!(
            cores(2, None).place(Threading::Dedicated, Idle::Auto, &[]),
            Err(PlacementError::TooFew(2))
        );
        assert_eq!(
            cores(8, Some(2_000)).place(Threading::Dedicated, Idle::Auto, &[]),
            Err(PlacementError::TooFew(2))
        );
    }

    #[test]
    fn a_control_group_s_quota_counts_as_cores() {
        assert_eq!(quota_milli("200000 100000\n"), Some(2_000));
        assert_eq!(quota_milli("max 100000\n"), None);
        assert_eq!(quota_milli("5 0\n"), None);
        assert_eq!(cores(8, quota_milli("50000 100000")).usable(), 1);
    }

    #[test]
    fn a_thread_can_be_pinned_to_a_listed_core() {
        let ids = Cores::list().ids;
        let core = *ids.first().expect("this process runs somewhere");
        let seen = std::thread::spawn(move || {
            assert!(pin(core));
            core_affinity::get_core_ids().unwrap_or_default()
        });
        assert_eq!(seen.join().expect("a pinned thread"), [core]);
    }
}
