//! A fixed table of deadlines: one slot a purpose, no heap.

use keel_core::units::MonoNanos;

/// `N` deadlines, each set, moved or cleared by its index.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines<const N: usize> {
    at: [MonoNanos; N],
}

impl<const N: usize> Deadlines<N> {
    /// A table with nothing set.
    pub const fn new() -> Self {
        Self { at: [MonoNanos::NEVER; N] }
    }

    /// Sets deadline `index`, whatever it was.
    pub fn set(&mut self, index: usize, at: MonoNanos) {
        self.at[index] = at;
    }

    /// Clears deadline `index`.
    pub fn clear(&mut self, index: usize) {
        self.at[index] = MonoNanos::NEVER;
    }

    /// Clears all.
    pub fn clear_all(&mut self) {
        self.at = [MonoNanos::NEVER; N];
    }

    /// When deadline `index` is, [`MonoNanos::NEVER`] when it is not set.
    pub fn at(&self, index: usize) -> MonoNanos {
        self.at[index]
    }

    /// True when deadline `index` is set.
    pub fn is_set(&self, index: usize) -> bool {
        self.at[index] != MonoNanos::NEVER
    }

    /// The earliest deadline.
    pub fn next(&self) -> MonoNanos {
        self.at.iter().copied().min().unwrap_or(MonoNanos::NEVER)
    }

    /// Takes out the earliest deadline that `now` has reached; of equal ones, that of lowest index.
    pub fn expire(&mut self, now: MonoNanos) -> Option<usize> {
        let (index, at) = self.at.iter().copied().enumerate().min_by_key(|&(_, at)| at)?;
        if at > now || at == MonoNanos::NEVER {
            return None;
        }
        self.clear(index);
        Some(index)
    }
}

impl<const N: usize> Default for Deadlines<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_expire_earliest_first_and_once() {
        let mut deadlines = Deadlines::<3>::new();
        assert_eq!(deadlines.next(), MonoNanos::NEVER);
        deadlines.set(0, MonoNanos(30));
        deadlines.set(1, MonoNanos(10));
        deadlines.set(2, MonoNanos(10));
        assert_eq!(deadlines.next(), MonoNanos(10));
        assert_eq!(deadlines.expire(MonoNanos(9)), None);
        assert_eq!(deadlines.expire(MonoNanos(10)), Some(1));
        assert_eq!(deadlines.expire(MonoNanos(10)), Some(2));
        assert_eq!(deadlines.expire(MonoNanos(29)), None);
        deadlines.clear(0);
        assert!(!deadlines.is_set(0));
        assert_eq!(deadlines.expire(MonoNanos::NEVER), None);
    }
}
