//! Rate budgets: how many messages may be sent, in integers.

use keel_core::digest::Digest;
use keel_core::param::Params;
use keel_core::units::{E8, MonoNanos, Rate, SECONDS};

/// A token bucket that holds one second's worth, and one token at least. It is kept as the time at
/// which it will be full again, so that no fraction of a token is ever lost to rounding.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    full_at: MonoNanos,
}

impl Bucket {
    /// A full bucket.
    pub const FULL: Self = Self { full_at: MonoNanos::ZERO };

    /// True when a whole token is there at `per_s` tokens a second.
    const fn has_token(&self, per_s: Rate, now: MonoNanos) -> bool {
        let cost = cost_ns(per_s);
        let depth = if cost > SECONDS { cost } else { SECONDS };
        self.full_at.since(now) + cost <= depth
    }

    /// Takes a token, there or not: a cancel is counted and never refused. No more is owed than two
    /// seconds' worth, and one token at least: the venue counts by the second, and forgets.
    fn take(&mut self, per_s: Rate, now: MonoNanos) {
        let cost = cost_ns(per_s);
        let most = now.after(cost.max(2 * SECONDS));
        self.full_at = self.full_at.max(now).after(cost).min(most);
    }
}

/// The creates of the last second, counted exactly: no second, wherever it begins, sees more whole
/// ones than the rate. A bucket would let two seconds' worth pass within little more than one.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    sent_at: [MonoNanos; CREATES_MAX],
    sent: usize,
}

/// More than any rate allows in a second (`order.creates_per_s` is 100 at most).
const CREATES_MAX: usize = 128;

impl Window {
    /// Nothing sent.
    pub const EMPTY: Self = Self { sent_at: [MonoNanos::ZERO; CREATES_MAX], sent: 0 };

    /// True when one more may be sent now. Below one a second, one in as long as it takes.
    fn has_room(&self, per_s: Rate, now: MonoNanos) -> bool {
        let whole = usize::try_from(per_s.0 / E8).unwrap_or(0).clamp(1, CREATES_MAX);
        let Some(nth) = self.sent.checked_sub(whole) else { return true };
        let cost = cost_ns(per_s);
        let length = if cost > SECONDS { cost } else { SECONDS };
        now >= self.sent_at[nth % CREATES_MAX].after(length)
    }

    fn take(&mut self, now: MonoNanos) {
        self.sent_at[self.sent % CREATES_MAX] = now;
        self.sent += 1;
    }

    fn fold(&self, digest: &mut Digest) {
        digest.fold(self.sent as u64);
        self.sent_at.iter().for_each(|at| digest.fold(at.0));
    }
}

/// How long one token takes to accrue.
const fn cost_ns(per_s: Rate) -> u64 {
    (SECONDS * E8 as u64).div_ceil(per_s.0 as u64)
}

/// The account's message budgets.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    creates: Window,
    requests: Bucket,
    /// After the venue has refused a create for its rate, none is sent before then.
    held_until: MonoNanos,
    /// How long the next such pause is.
    hold_ns: u64,
}

/// The first pause after a refusal for rate; each further one within [`CALM_NS`] doubles it.
const HOLD_NS_MIN: u64 = 2 * SECONDS;
const HOLD_NS_MAX: u64 = 64 * SECONDS;
/// Without a refusal for this long the pauses begin anew.
const CALM_NS: u64 = 120 * SECONDS;

impl Throttle {
    /// Nothing sent yet.
    pub const NEW: Self = Self {
        creates: Window::EMPTY,
        requests: Bucket::FULL,
        held_until: MonoNanos::ZERO,
        hold_ns: HOLD_NS_MIN,
    };

    /// Takes in that the venue has refused a create for its rate.
    pub fn refused(&mut self, now: MonoNanos) {
        if now.since(self.held_until) > CALM_NS {
            self.hold_ns = HOLD_NS_MIN;
        }
        self.held_until = self.held_until.max(now.after(self.hold_ns));
        self.hold_ns = (self.hold_ns * 2).min(HOLD_NS_MAX);
    }

    /// True when one more create may be sent now.
    pub fn allows_create(&self, params: &Params, now: MonoNanos) -> bool {
        now >= self.held_until
            && self.creates.has_room(params.creates_per_s(), now)
            && self.requests.has_token(params.requests_per_s(), now)
    }

    /// Counts a create.
    pub fn created(&mut self, params: &Params, now: MonoNanos) {
        self.creates.take(now);
        self.requests.take(params.requests_per_s(), now);
    }

    /// Counts a cancel.
    pub fn canceled(&mut self, params: &Params, now: MonoNanos) {
        self.requests.take(params.requests_per_s(), now);
    }

    /// Folds the state.
    pub fn fold(&self, digest: &mut Digest) {
        self.creates.fold(digest);
        digest.fold(self.requests.full_at.0);
        digest.fold(self.held_until.0);
        digest.fold(self.hold_ns);
    }
}

/// Counts executions in two halves of a window, so that ten seconds hold between one and two
/// halves.
#[derive(Clone, Copy, Debug, Default)]
pub struct FillWindow {
    half: u64,
    counts: [u32; 2],
}

/// Half of the window in which executions are counted.
const HALF_WINDOW_NS: u64 = 5 * SECONDS;

impl FillWindow {
    /// Counts one execution.
    pub fn filled(&mut self, now: MonoNanos) {
        self.turn(now);
        self.counts[0] = self.counts[0].saturating_add(1);
    }

    /// Executions of this half and the one before.
    pub const fn count(&self, now: MonoNanos) -> u64 {
        let half = now.0 / HALF_WINDOW_NS;
        match half.saturating_sub(self.half) {
            0 => self.counts[0] as u64 + self.counts[1] as u64,
            1 => self.counts[0] as u64,
            _ => 0,
        }
    }

    fn turn(&mut self, now: MonoNanos) {
        let half = now.0 / HALF_WINDOW_NS;
        match half.saturating_sub(self.half) {
            0 => {}
            1 => self.counts = [0, self.counts[0]],
            _ => self.counts = [0, 0],
        }
        self.half = self.half.max(half);
    }

    /// Folds the state.
    pub fn fold(&self, digest: &mut Digest) {
        digest.fold(self.half);
        digest.fold(u64::from(self.counts[0]) << 32 | u64::from(self.counts[1]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::param::Profile;

    #[test]
    fn no_second_sees_more_creates_than_the_rate_wherever_it_begins() {
        for (rate, whole) in [(Rate(4 * E8 + E8 / 2), 4), (Rate(100 * E8), 100), (Rate(E8), 1)] {
            let (mut window, mut sent) = (Window::EMPTY, std::vec::Vec::new());
            for tick in 0..5_000u64 {
                let now = MonoNanos(SECONDS + tick * SECONDS / 1_000);
                while window.has_room(rate, now) {
                    window.take(now);
                    sent.push(now);
                }
            }
            for from in &sent {
                let second = sent.iter().filter(|at| *at >= from && at.since(*from) < SECONDS);
                assert!(second.count() <= whole, "{rate:?}");
            }
            assert_eq!(sent.len(), 5 * whole, "{rate:?}: and it may send that many");
        }
        let (mut window, slow) = (Window::EMPTY, Rate(E8 / 10));
        assert!(window.has_room(slow, MonoNanos(1)));
        window.take(MonoNanos(1));
        assert!(!window.has_room(slow, MonoNanos(10 * SECONDS)));
        assert!(window.has_room(slow, MonoNanos(10 * SECONDS + 1)));
    }

    #[test]
    fn a_bucket_holds_one_second_and_refills_at_its_rate() {
        let (mut bucket, rate, start) = (Bucket::FULL, Rate(4 * E8), MonoNanos(SECONDS));
        for _ in 0..4 {
            assert!(bucket.has_token(rate, start));
            bucket.take(rate, start);
        }
        assert!(!bucket.has_token(rate, start.after(SECONDS / 4 - 1)), "one nanosecond early");
        assert!(bucket.has_token(rate, start.after(SECONDS / 4)));
    }

    /// A burst of cancels was owed in full: at four a second, forty kept quotes away for 10 s.
    #[test]
    fn a_burst_of_cancels_is_owed_for_two_seconds_at_most() {
        let (mut bucket, rate, start) = (Bucket::FULL, Rate(4 * E8), MonoNanos(SECONDS));
        for _ in 0..40 {
            bucket.take(rate, start);
        }
        let free = start.after(2 * SECONDS - 3 * SECONDS / 4);
        assert!(!bucket.has_token(rate, MonoNanos(free.0 - 1)));
        assert!(bucket.has_token(rate, free));
    }

    #[test]
    fn a_rate_below_one_a_second_still_gives_one() {
        let (mut bucket, rate, start) = (Bucket::FULL, Rate(E8 / 10), MonoNanos(SECONDS));
        assert!(bucket.has_token(rate, start));
        bucket.take(rate, start);
        assert!(!bucket.has_token(rate, start.after(10 * SECONDS - 1)));
        assert!(bucket.has_token(rate, start.after(10 * SECONDS)));
    }

    #[test]
    fn cancels_use_the_allowance_of_creates_but_are_not_refused() {
        let params = Params::defaults(Profile::Wide);
        let mut throttle = Throttle::NEW;
        assert!(throttle.allows_create(&params, MonoNanos(1)));
        for _ in 0..100 {
            throttle.canceled(&params, MonoNanos(1));
        }
        assert!(!throttle.allows_create(&params, MonoNanos(1)));
    }

    #[test]
    fn a_refusal_for_rate_holds_creates_back_for_longer_each_time() {
        let params = Params::defaults(Profile::Wide);
        let (mut throttle, mut now) = (Throttle::NEW, MonoNanos(1_000 * SECONDS));
        for hold_s in [2, 4, 8, 16, 32, 64, 64] {
            throttle.refused(now);
            let end = now.after(hold_s * SECONDS);
            assert!(!throttle.allows_create(&params, MonoNanos(end.0 - 1)), "{hold_s} s");
            assert!(throttle.allows_create(&params, end), "{hold_s} s");
            now = end;
        }
        now = now.after(CALM_NS + 1);
        throttle.refused(now);
        assert!(throttle.allows_create(&params, now.after(HOLD_NS_MIN)), "it was calm");
    }

    #[test]
    fn after_two_minutes_without_a_refusal_the_pauses_begin_anew_and_not_before() {
        let params = Params::defaults(Profile::Wide);
        for (calm_ns, hold_s) in [(120 * SECONDS, 8), (120 * SECONDS + 1, 2)] {
            let mut throttle = Throttle::NEW;
            let mut now = MonoNanos(1_000 * SECONDS);
            for hold_s in [2, 4] {
                throttle.refused(now);
                now = now.after(hold_s * SECONDS);
            }
            now = now.after(calm_ns);
            throttle.refused(now);
            let end = now.after(hold_s * SECONDS);
            assert!(!throttle.allows_create(&params, MonoNanos(end.0 - 1)), "{calm_ns}");
            assert!(throttle.allows_create(&params, end), "{calm_ns}");
        }
    }

    #[test]
    fn executions_of_this_half_and_the_one_before_count_together() {
        let mut window = FillWindow::default();
        for (second, count) in [(1, 1), (4, 2), (6, 3), (9, 4), (11, 3), (12, 4), (21, 1)] {
            window.filled(MonoNanos(second * SECONDS));
            assert_eq!(window.count(MonoNanos(second * SECONDS)), count, "second {second}");
        }
    }

    #[test]
    fn executions_are_forgotten_after_ten_seconds() {
        let mut window = FillWindow::default();
        for _ in 0..7 {
            window.filled(MonoNanos(SECONDS));
        }
        assert_eq!(window.count(MonoNanos(4 * SECONDS)), 7);
        assert_eq!(window.count(MonoNanos(9 * SECONDS)), 7);
        assert_eq!(window.count(MonoNanos(10 * SECONDS)), 0);
    }
}
