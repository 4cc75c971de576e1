//! Latency: from the byte that brought the news to the byte that carried the order, by stage.
//!
//! Stamps ride on the journal link and are counted here, off the hot threads. They are never logic.

use hdrhistogram::Histogram;
pub use keel_net::stamps::Stamps;

/// Parts of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// `rx` to `decoded`.
    Decode,
    /// `decoded` to `dequeued`.
    Queue,
    /// `dequeued` to `decided`.
    Decide,
    /// `decided` to `tx`.
    Send,
    /// `rx` to `tx`.
    Whole,
}

impl Stage {
    /// All, in the order of the way.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Queue, Self::Decide, Self::Send, Self::Whole];

    /// Its name in metrics.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Decide => "decide",
            Self::Send => "send",
            Self::Whole => "wire_to_order",
        }
    }
}

/// Histograms of one run or one minute. Their memory is fixed from the start.
#[derive(Debug)]
pub struct Latency {
    stages: [Histogram<u64>; Stage::ALL.len()],
    incomplete: u64,
}

/// A histogram in four numbers, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many orders were measured.
    pub n: u64,
    /// Half were faster; `None` without any.
    pub p50_ns: Option<u64>,
    /// Ninety-nine of a hundred were faster; `None` below [`P99_SAMPLES_MIN`].
    pub p99_ns: Option<u64>,
    /// The slowest; `None` without any.
    pub max_ns: Option<u64>,
}

impl Latency {
    /// Empty histograms from 1 ns to 10 s with three digits.
    pub fn new() -> Self {
        let empty =
            || Histogram::new_with_bounds(1, SLOWEST_NS, 3).expect("constant bounds are good");
        let mut stages = std::array::from_fn(|_| empty());
        stages.iter_mut().for_each(touch);
        Self { stages, incomplete: 0 }
    }

    /// Counts one order. Incomplete stamps are counted apart and measure nothing; a time beyond 10
    /// s counts as 10 s.
    pub fn record(&mut self, stamps: &Stamps) {
        if !stamps.is_complete() {
            self.incomplete += 1;
            return;
        }
        let parts = [
            stamps.decoded.since(stamps.rx),
            stamps.dequeued.since(stamps.decoded),
            stamps.decided.since(stamps.dequeued),
            stamps.tx.since(stamps.decided),
            stamps.tx.since(stamps.rx),
        ];
        for (stage, nanos) in self.stages.iter_mut().zip(parts) {
            stage.saturating_record(nanos.max(1));
        }
    }

    /// One stage in four numbers.
    pub fn summary(&self, stage: Stage) -> Summary {
        let histogram = &self.stages[stage as usize];
        let n = histogram.len();
        let some = |value: u64| (n > 0).then_some(value);
        Summary {
            n,
            p50_ns: some(histogram.value_at_quantile(0.5)),
            p99_ns: some(histogram.value_at_quantile(0.99)).filter(|_| n >= P99_SAMPLES_MIN),
            max_ns: some(histogram.max()),
        }
    }

    /// Orders whose stamps were incomplete or out of order.
    pub fn incomplete(&self) -> u64 {
        self.incomplete
    }

    /// Forgets everything; keeps the memory.
    pub fn clear(&mut self) {
        self.stages.iter_mut().for_each(Histogram::reset);
        self.incomplete = 0;
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a histogram's memory resident: each rare time would bring a page of it otherwise, for
/// days.
fn touch(histogram: &mut Histogram<u64>) {
    let mut nanos = 1;
    while nanos < SLOWEST_NS {
        // A page holds the counts from 1,024 to 1,536 or from there to 2,048 of any unit.
        histogram.saturating_record(nanos);
        nanos += (nanos / 4).max(1);
    }
    histogram.reset();
}

/// Fewer samples than this say nothing of the slowest hundredth.
pub const P99_SAMPLES_MIN: u64 = 1_000;

const SLOWEST_NS: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use keel_core::units::MonoNanos;

    fn stamps(rx: u64, parts: [u64; 4]) -> Stamps {
        let mut at = rx;
        let mut next = |part| {
            at += part;
            MonoNanos(at)
        };
        Stamps {
            rx: MonoNanos(rx),
            decoded: next(parts[0]),
            dequeued: next(parts[1]),
            decided: next(parts[2]),
            tx: next(parts[3]),
        }
    }

    #[test]
    fn a_p99_is_not_told_below_a_thousand_samples() {
        let mut latency = Latency::new();
        assert_eq!(latency.summary(Stage::Whole), Summary::default());
        for n in 1..P99_SAMPLES_MIN {
            latency.record(&stamps(n, [100, 200, 300, 400]));
        }
        let few = latency.summary(Stage::Whole);
        assert_eq!((few.n, few.p99_ns), (999, None));
        latency.record(&stamps(1, [100, 200, 300, 400]));
        let enough = latency.summary(Stage::Whole);
        assert_eq!((enough.n, enough.p50_ns, enough.p99_ns), (1_000, Some(1_000), Some(1_000)));
        latency.clear();
        assert_eq!(latency.summary(Stage::Whole).n, 0);
    }

    #[test]
    fn stages_add_up_to_the_whole_way() {
        let mut latency = Latency::new();
        latency.record(&stamps(5, [10, 20, 30, 40]));
        let of = |stage| latency.summary(stage).max_ns;
        assert_eq!(Stage::ALL.map(of), [Some(10), Some(20), Some(30), Some(40), Some(100)]);
    }

    #[test]
    fn stamps_that_are_missing_or_out_of_order_measure_nothing() {
        let mut latency = Latency::new();
        latency.record(&Stamps::NONE);
        latency.record(&Stamps { tx: MonoNanos(1), ..stamps(5, [1; 4]) });
        assert_eq!((latency.summary(Stage::Whole).n, latency.incomplete()), (0, 2));
    }
}
