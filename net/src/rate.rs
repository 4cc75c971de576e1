//! Rates: how many calls the venue takes of each class, and how many of them are left.
//!
//! One model for whoever asks the venue over HTTP (bitget reference §3, §5, §16). Each class of
//! request has a window of its own. Questions keep to 45 % of it, so that a second program of the
//! same user, or a window that the venue begins elsewhere, is no surprise. What cancels may use
//! 90 %, and so may orders, which the gate has paced to 45 % before; they never share a window. The
//! venue's own word is heard: its count of the calls that remain holds questions back when others
//! have used them, and a refusal for rate halves what is used until it has been quiet.
//!
//! Everything is decided on the caller's `now`.

use keel_core::units::{E8, MILLIS, MonoNanos, Rate, SECONDS};

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $class:ident: $per_s:literal;)+) => {
        /// Requests that share a window at the venue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Class {
            $($(#[doc = $doc])+ $class),+
        }

        impl Class {
            /// All, in order.
            pub const ALL: &[Self] = &[$(Self::$class),+];

            /// Calls a second that the venue takes.
            pub const fn per_s(self) -> u32 {
                match self { $(Self::$class => $per_s),+ }
            }
        }
    };
}

classes! {
    /// `place-order`, and an order on the socket, which shares its window (reference §14).
    Place: 10;
    /// `place-batch`.
    PlaceBatch: 5;
    /// `cancel-order`.
    Cancel: 10;
    /// `cancel-batch`; one table says 10.
    CancelBatch: 5;
    /// `cancel-symbol-order`.
    CancelAll: 5;
    /// `countdown-cancel-all`.
    Countdown: 1;
    /// `order-info`.
    Order: 20;
    /// `unfilled-orders`.
    OpenOrders: 20;
    /// `fills`.
    Fills: 20;
    /// `current-position`.
    Positions: 20;
    /// `assets`.
    Assets: 20;
    /// `settings`.
    Settings: 20;
    /// `info`.
    Key: 10;
    /// `deduct-info`.
    Deduction: 1;
    /// `fee-rate`.
    FeeRate: 3;
    /// `financial-records`.
    Bills: 20;
    /// `public/time`.
    Time: 20;
    /// `instruments`.
    Instruments: 20;
    /// `candles`.
    Candles: 20;
    /// `orderbook`.
    OrderBook: 20;
    /// `history-orders`.
    EndedOrders: 20;
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A question.
    Ordinary,
    /// What cancels, and orders: these were paced by the gate before.
    Trade,
}

/// The windows of all classes, and of the address.
#[derive(Clone, Debug)]
pub struct Budget {
    windows: [Window; Class::ALL.len()],
    minute_began: MonoNanos,
    in_minute: u32,
    /// The least that was left of any class since it was last told.
    low: Rate,
    /// Refusals for rate.
    refused: u64,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    /// Calls a second that are counted on: the venue's, or what a refusal has taught.
    allowed: u32,
    sent_at: [MonoNanos; CALLS_MAX],
    sent: usize,
    /// Ordinary use waits until then.
    held_until: MonoNanos,
    /// Refusals until then are of requests from before the last one that was learned from.
    deaf_until: MonoNanos,
    /// When one more call is counted on again, and how far apart such steps are.
    eases_at: MonoNanos,
    ease_ns: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    /// Nothing has been sent.
    pub fn new() -> Self {
        let window = |class: &Class| Window {
            allowed: class.per_s(),
            sent_at: [MonoNanos::ZERO; CALLS_MAX],
            sent: 0,
            held_until: MonoNanos::ZERO,
            deaf_until: MonoNanos::ZERO,
            eases_at: MonoNanos::NEVER,
            ease_ns: EASE_NS_MIN,
        };
        let mut windows = [window(&Class::Place); Class::ALL.len()];
        windows.iter_mut().zip(Class::ALL).for_each(|(place, class)| *place = window(class));
        let (minute_began, in_minute) = (MonoNanos::ZERO, 0);
        Self { windows, minute_began, in_minute, low: Rate(E8), refused: 0 }
    }

    /// True when a request of `class` may be sent now.
    pub fn allows(&self, class: Class, purpose: Use, now: MonoNanos) -> bool {
        self.free_at(class, purpose) <= now
    }

    /// When a request of `class` may be sent; long ago when it may be now.
    pub fn free_at(&self, class: Class, purpose: Use) -> MonoNanos {
        let window = &self.windows[class as usize];
        let free = window.free_at(window.share(class, purpose));
        match purpose {
            Use::Trade => free,
            Use::Ordinary if self.in_minute >= MINUTE_CALLS_MAX => {
                free.max(window.held_until).max(self.minute_began.after(MINUTE_NS))
            }
            Use::Ordinary => free.max(window.held_until),
        }
    }

    /// Counts a request that has been sent.
    pub fn sent(&mut self, class: Class, now: MonoNanos) {
        let window = &mut self.windows[class as usize];
        window.sent_at[window.sent % CALLS_MAX] = now;
        window.sent += 1;
        window.ease(class, now);
        let used = window.used(now);
        let left = i64::from(class.per_s().saturating_sub(used)) * E8 / i64::from(class.per_s());
        // One call a second is there to be used.
        if class.per_s() > 1 {
            self.low = self.low.min(Rate(left));
        }
        if now.since(self.minute_began) >= MINUTE_NS {
            (self.minute_began, self.in_minute) = (now, 0);
        }
        self.in_minute += 1;
    }

    /// Takes in what the venue said with its answer: whether it refused the request for its rate,
    /// by its HTTP status or by its code, and how many calls of the class remain in its second,
    /// where it said so.
    pub fn answered(
        &mut self,
        class: Class,
        refused: bool,
        remaining: Option<u32>,
        now: MonoNanos,
    ) {
        if refused {
            return self.refused(class, now);
        }
        let window = &mut self.windows[class as usize];
        let Some(remaining) = remaining.filter(|_| class.per_s() > 1) else { return };
        let limit = class.per_s();
        let used_by_all = limit.saturating_sub(remaining);
        let left = i64::from(remaining.min(limit)) * E8 / i64::from(limit);
        self.low = self.low.min(Rate(left));
        // Others use the same allowance.
        if used_by_all > window.share(class, Use::Ordinary) {
            window.held_until = window.held_until.max(now.after(SECONDS));
        }
    }

    /// Takes in that the venue has refused a request for its rate. Those that were under way when
    /// the first refusal was heard say nothing new.
    pub fn refused(&mut self, class: Class, now: MonoNanos) {
        self.refused += 1;
        self.low = Rate::ZERO;
        let window = &mut self.windows[class as usize];
        window.held_until = window.held_until.max(now.after(REFUSED_NS));
        if now < window.deaf_until {
            return;
        }
        window.deaf_until = now.after(WINDOW_NS);
        window.allowed = (window.allowed / 2).max(1);
        window.eases_at = now.after(window.ease_ns);
        window.ease_ns = (window.ease_ns * 2).min(EASE_NS_MAX);
    }

    /// How often the venue has refused a request for its rate.
    pub const fn refusals(&self) -> u64 {
        self.refused
    }

    /// The least share of any window that was left since the last call, with `other` considered.
    pub fn take_headroom(&mut self, other: Rate) -> Rate {
        std::mem::replace(&mut self.low, Rate(E8)).min(other)
    }
}

impl Window {
    /// Calls of a window that this use may make: one at least, and two cancels where the venue took
    /// five, so that a contract that must be asked again does not keep all others waiting.
    fn share(&self, class: Class, purpose: Use) -> u32 {
        let (percent, least) = match purpose {
            Use::Ordinary => (45, 1),
            Use::Trade if class.per_s() < 5 => (90, 1),
            Use::Trade => (90, 2),
        };
        (self.allowed * percent / 100).max(least)
    }

    /// Counts on one more call for each step of quiet that has passed, whether calls were made or
    /// not.
    fn ease(&mut self, class: Class, now: MonoNanos) {
        while self.eases_at <= now {
            self.allowed += 1;
            self.eases_at = self.eases_at.after(self.ease_ns);
            if self.allowed >= class.per_s() {
                self.allowed = class.per_s();
                (self.eases_at, self.ease_ns) = (MonoNanos::NEVER, EASE_NS_MIN);
            }
        }
    }

    fn free_at(&self, most: u32) -> MonoNanos {
        match self.sent.checked_sub(most as usize) {
            None => MonoNanos::ZERO,
            Some(nth) => self.sent_at[nth % CALLS_MAX].after(WINDOW_NS),
        }
    }

    /// Calls of the last second, as the venue counts them.
    fn used(&self, now: MonoNanos) -> u32 {
        let kept = &self.sent_at[..self.sent.min(CALLS_MAX)];
        kept.iter().filter(|at| now < at.after(SECONDS)).count() as u32
    }
}

/// The most calls a second of any class.
const CALLS_MAX: usize = 20;
/// The venue counts by the second; a network may bunch what is sent over a little more.
const WINDOW_NS: u64 = 1_100 * MILLIS;
/// Ordinary use waits this long after a refusal.
const REFUSED_NS: u64 = 2 * SECONDS;
/// Quiet for this long, one more call a second is counted on; it doubles with each refusal.
const EASE_NS_MIN: u64 = 60 * SECONDS;
const EASE_NS_MAX: u64 = 3_600 * SECONDS;
const MINUTE_NS: u64 = 60 * SECONDS;
/// Of the 6,000 requests a minute and address: 45 %, halved between the two that ask (gateway and
/// cold).
const MINUTE_CALLS_MAX: u32 = 1_350;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonoNanos = MonoNanos(1_000 * SECONDS);

    /// Sends as often as it may at one moment; gives how often that was.
    fn burst(budget: &mut Budget, class: Class, purpose: Use, now: MonoNanos) -> u32 {
        let mut sent = 0;
        while sent < 100 && budget.allows(class, purpose, now) {
            budget.sent(class, now);
            sent += 1;
        }
        sent
    }

    #[test]
    fn ordinary_use_keeps_to_45_percent_of_every_window_and_cancels_have_the_rest_but_a_tenth() {
        for &class in Class::ALL {
            let mut budget = Budget::new();
            let ordinary = burst(&mut budget, class, Use::Ordinary, NOW);
            assert_eq!(ordinary, (class.per_s() * 45 / 100).max(1), "{class:?}");
            let cancels = burst(&mut budget, class, Use::Trade, NOW);
            assert_eq!(ordinary + cancels, (class.per_s() * 9 / 10).max(1), "{class:?}");
            let early = NOW.after(WINDOW_NS - 1);
            assert!(!budget.allows(class, Use::Trade, early), "{class:?}");
            assert!(budget.allows(class, Use::Ordinary, NOW.after(WINDOW_NS)), "{class:?}");
        }
    }

    /// The question whether fees are deducted may be asked once a second: it took the headroom of
    /// a whole start for used up.
    #[test]
    fn a_class_of_one_call_a_second_says_nothing_of_the_headroom() {
        let mut budget = Budget::new();
        for &class in Class::ALL.iter().filter(|class| class.per_s() == 1) {
            budget.sent(class, NOW);
            budget.answered(class, false, Some(0), NOW);
        }
        assert_eq!(budget.take_headroom(Rate(E8)), Rate(E8));
    }

    #[test]
    fn no_sliding_second_sees_more_than_the_venue_takes() {
        let (mut budget, mut sent) = (Budget::new(), Vec::new());
        for tenth in 0..600u64 {
            let now = NOW.after(tenth * 7 * MILLIS);
            for _ in 0..burst(&mut budget, Class::Cancel, Use::Trade, now) {
                sent.push(now);
            }
        }
        for from in &sent {
            let within = sent.iter().filter(|at| *at >= from && at.since(*from) < SECONDS).count();
            assert!(within <= 9, "{within} in a second");
        }
        assert!(sent.len() > 25, "{} in four seconds", sent.len());
    }

    #[test]
    fn what_others_use_of_the_allowance_holds_ordinary_use_back_and_no_cancel() {
        let mut budget = Budget::new();
        budget.sent(Class::Place, NOW);
        budget.answered(Class::Place, false, Some(9), NOW);
        assert!(budget.allows(Class::Place, Use::Ordinary, NOW), "nobody else");
        budget.answered(Class::Place, false, Some(5), NOW);
        assert!(!budget.allows(Class::Place, Use::Ordinary, NOW.after(SECONDS - 1)));
        assert!(budget.allows(Class::Place, Use::Trade, NOW));
        assert!(budget.allows(Class::Place, Use::Ordinary, NOW.after(SECONDS)));
        assert_eq!(budget.take_headroom(Rate(E8)), Rate(E8 / 2));
        assert_eq!(budget.take_headroom(Rate(E8)), Rate(E8));
    }

    #[test]
    fn a_limit_that_was_lowered_is_learned_and_forgotten_slowly() {
        // L04: the server takes 1 a second where it took 20, without notice.
        let (mut budget, mut refused) = (Budget::new(), [0u32; 3]);
        let mut counted: Vec<MonoNanos> = Vec::new();
        for tick in 0..108_000u64 {
            let now = NOW.after(tick * 100 * MILLIS);
            if !budget.allows(Class::Order, Use::Ordinary, now) {
                continue;
            }
            budget.sent(Class::Order, now);
            counted.retain(|at| now.since(*at) < SECONDS);
            let over = !counted.is_empty();
            counted.push(now);
            refused[tick as usize / 36_000] += u32::from(over);
            budget.answered(Class::Order, over, None, now);
        }
        assert!((1..=4).contains(&refused[0]), "the first hour learns: {refused:?}");
        assert!(refused[1] <= 2 && refused[2] <= 2, "in an hour: {refused:?}");
        assert_eq!(budget.refusals(), refused.iter().map(|&n| u64::from(n)).sum::<u64>());
    }

    /// Each call counted on one more where a minute of quiet had passed, however many had: after a
    /// refusal in the morning, all orders of one contract were canceled a second in the evening.
    #[test]
    fn what_a_refusal_has_taught_is_forgotten_by_time_and_cancels_keep_two() {
        let mut budget = Budget::new();
        let times: [MonoNanos; 4] = std::array::from_fn(|n| NOW.after(n as u64 * WINDOW_NS));
        for now in times {
            budget.refused(Class::CancelAll, now);
        }
        let [.., last] = times;
        assert_eq!(burst(&mut budget, Class::CancelAll, Use::Trade, last), 2);
        let quiet = (0..4).map(|step| EASE_NS_MIN << step).sum::<u64>() * 4;
        let later = last.after(quiet);
        budget.sent(Class::CancelAll, later);
        assert_eq!(burst(&mut budget, Class::CancelAll, Use::Trade, later), 3);
    }

    /// Each of four creates in flight halved the window, and doubled the time until it eased: one
    /// burst throttled creates for over an hour.
    #[test]
    fn refusals_of_requests_that_were_under_way_together_teach_once() {
        let mut budget = Budget::new();
        for place in 0..4 {
            budget.refused(Class::Place, NOW.after(place * MILLIS));
        }
        assert_eq!(budget.refusals(), 4);
        let held = NOW.after(3 * MILLIS + REFUSED_NS);
        assert_eq!(budget.free_at(Class::Place, Use::Ordinary), held);
        assert_eq!(burst(&mut budget, Class::Place, Use::Trade, NOW.after(WINDOW_NS)), 4);
        budget.refused(Class::Place, NOW.after(WINDOW_NS));
        assert_eq!(burst(&mut budget, Class::Place, Use::Trade, NOW.after(2 * WINDOW_NS)), 2);
    }

    #[test]
    fn an_address_is_kept_below_half_of_its_minute() {
        let mut budget = Budget::new();
        let mut sent = 0;
        for tick in 0..600u64 {
            for &class in Class::ALL {
                sent += burst(&mut budget, class, Use::Ordinary, NOW.after(tick * 100 * MILLIS));
            }
        }
        assert_eq!(sent, MINUTE_CALLS_MAX);
        assert!(budget.allows(Class::CancelAll, Use::Trade, NOW.after(60 * SECONDS)));
    }
}
