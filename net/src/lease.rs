//! The lease: leave to send orders, which others can take away at any time.
//!
//! The gateway asks before each create. Cancels need no lease.

use crate::sync::atomic::{AtomicU64, Ordering};

/// Leave to send orders. It holds until somebody revokes it.
#[derive(Clone, Copy, Debug)]
pub struct Lease(&'static AtomicU64);

/// Who has revoked a lease; each can give back only what it has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Revoker {
    /// The kill of the process itself: until the incident is rearmed.
    Kill = 1,
    /// The guardian: for good.
    Guardian = 2,
}

impl Lease {
    /// The lease kept in `cell`, which may be shared with another process. Zero is a lease that
    /// holds.
    pub const fn new(cell: &'static AtomicU64) -> Self {
        Self(cell)
    }

    /// A lease of this process only, for as long as it lives.
    pub fn unshared() -> Self {
        Self(Box::leak(Box::new(AtomicU64::new(0))))
    }

    /// True while nobody has revoked it.
    pub fn holds(self) -> bool {
        // Acquire: what the revoker did before is seen by whoever is refused.
        self.0.load(Ordering::Acquire) == 0
    }

    /// Takes the leave away. Any number of times.
    pub fn revoke(self, revoker: Revoker) {
        // Release: see `holds`.
        self.0.fetch_or(revoker as u64, Ordering::Release);
    }

    /// Gives back what `revoker` took.
    pub fn restore(self, revoker: Revoker) {
        // Release: as above.
        self.0.fetch_and(!(revoker as u64), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_holds_only_while_nobody_has_revoked_it() {
        let lease = Lease::unshared();
        assert!(lease.holds());
        lease.revoke(Revoker::Kill);
        lease.revoke(Revoker::Kill);
        lease.revoke(Revoker::Guardian);
        lease.restore(Revoker::Kill);
        assert!(!lease.holds(), "the guardian's part is not the kill's to give back");
        lease.restore(Revoker::Guardian);
        assert!(lease.holds());
    }
}

#[cfg(all(test, loom))]
mod model {
    use super::*;
    use loom::thread;

    #[test]
    fn loom_whoever_is_refused_sees_what_the_revoker_did_before() {
        loom::model(|| {
            let (lease, done) = (Lease::unshared(), Lease::unshared());
            let revoker = thread::spawn(move || {
                done.0.store(1, Ordering::Relaxed);
                lease.revoke(Revoker::Kill);
            });
            if !lease.holds() {
                assert_eq!(done.0.load(Ordering::Relaxed), 1);
            }
            revoker.join().expect("it ends");
            assert!(!lease.holds());
        });
    }

    #[test]
    fn loom_neither_revoker_gives_back_what_the_other_takes() {
        loom::model(|| {
            let lease = Lease::unshared();
            let kill = thread::spawn(move || {
                lease.revoke(Revoker::Kill);
                lease.restore(Revoker::Kill);
            });
            let guardian = thread::spawn(move || lease.revoke(Revoker::Guardian));
            kill.join().expect("it ends");
            guardian.join().expect("it ends");
            assert!(!lease.holds());
            lease.restore(Revoker::Guardian);
            assert!(lease.holds());
        });
    }
}
