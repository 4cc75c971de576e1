//! What a run has found: a table for people, JSON for the record.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::product::Stages;
use super::venue::{Jitter, Samples, quantile};
use super::{LANES, Lane, Settings};

/// Everything measured in one run.
pub struct Report {
    settings: Settings,
    jitter: Jitter,
    /// By lane.
    rows: [Row; LANES],
    stages: Option<Stages>,
    bytes: [usize; 3],
}

/// One lane: round by round, and all rounds together.
struct Row {
    orders_p50: Vec<u64>,
    orders_p99: Vec<u64>,
    cancels_p50: Vec<u64>,
    orders: Histogram<u64>,
}

/// A goal of the project that this harness measures.
struct Goal {
    name: &'static str,
    what: &'static str,
    must: f64,
    aim: f64,
    /// True when more is better.
    at_least: bool,
}

const GOALS: [Goal; 4] = [
    Goal {
        name: "P1",
        what: "wire to order p50 / TLS echo p50",
        must: 1.10,
        aim: 1.03,
        at_least: false,
    },
    Goal {
        name: "P2",
        what: "wire to order p99 / TLS echo p99",
        must: 1.15,
        aim: 1.05,
        at_least: false,
    },
    Goal {
        name: "P3",
        what: "wire to order p50 / raw TCP echo p50",
        must: 1.30,
        aim: 1.20,
        at_least: false,
    },
    Goal {
        name: "P4",
        what: "the usual path p50 / wire to order p50",
        must: 1.4,
        aim: 1.6,
        at_least: true,
    },
];

impl Report {
    /// A report without any round.
    pub fn new(settings: Settings, jitter: Jitter) -> Self {
        Self {
            settings,
            jitter,
            rows: std::array::from_fn(|_| Row::new()),
            stages: None,
            bytes: [0; 3],
        }
    }

    /// Takes in one round of one lane.
    pub fn take(&mut self, lane: Lane, samples: Samples) {
        let row = &mut self.rows[lane as usize];
        row.orders_p50.push(quantile(&samples.orders, 0.5));
        row.orders_p99.push(quantile(&samples.orders, 0.99));
        row.cancels_p50.push(quantile(&samples.cancels, 0.5));
        for nanos in samples.orders {
            row.orders.record(nanos).expect("a histogram that grows");
        }
    }

    /// Takes in what is known at the end.
    pub fn finish(&mut self, stages: Stages, bytes: [usize; 3]) {
        self.stages = Some(stages);
        self.bytes = bytes;
    }

    /// The median over rounds of one lane's figure over another's in the same round.
    fn ratio(&self, figure: impl Fn(&Row) -> &Vec<u64>, lane: Lane, over: Lane) -> f64 {
        let (lane, over) = (figure(&self.rows[lane as usize]), figure(&self.rows[over as usize]));
        median(lane.iter().zip(over).map(|(a, b)| *a as f64 / *b as f64).collect())
    }

    /// The goals' figures, for the product as it spins and as it asks for readiness first.
    fn goals(&self, keel: Lane) -> [f64; 4] {
        [
            self.ratio(|row| &row.orders_p50, keel, Lane::Tls),
            self.ratio(|row| &row.orders_p99, keel, Lane::Tls),
            self.ratio(|row| &row.orders_p50, keel, Lane::Tcp),
            self.ratio(|row| &row.orders_p50, Lane::Usual, keel),
        ]
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let [frame, order, cancel] = self.bytes;
        let jitter = &self.jitter;
        let rounds = self.settings.rounds - 1;
        let _ = writeln!(
            text,
            "{rounds} rounds of {} orders; frame {frame} B, order {order} B, cancel {cancel} B; \
             jitter: {} pauses above 10 µs in {} ms, longest {:.0} µs\n",
            self.settings.orders,
            jitter.pauses,
            jitter.looked_ns / 1_000_000,
            jitter.longest_ns as f64 / 1e3,
        );
        let _ = writeln!(
            text,
            "{:<24} {:>8} {:>8} {:>8} {:>9} {:>10} {:>10} {:>10}",
            "frame in, order out",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "max µs",
            "p50 / TLS",
            "p99 / TLS",
            "p50 / TCP"
        );
        for lane in Lane::ALL {
            let row = &self.rows[lane as usize];
            let micros = |share: f64| row.orders.value_at_quantile(share) as f64 / 1e3;
            let _ = writeln!(
                text,
                "{:<24} {:>8.1} {:>8.1} {:>8.1} {:>9.1} {:>10.3} {:>10.3} {:>10.3}",
                lane.name(),
                micros(0.5),
                micros(0.99),
                micros(0.999),
                row.orders.max() as f64 / 1e3,
                self.ratio(|row| &row.orders_p50, lane, Lane::Tls),
                self.ratio(|row| &row.orders_p99, lane, Lane::Tls),
                self.ratio(|row| &row.orders_p50, lane, Lane::Tcp),
            );
        }
        self.write_goals(&mut text);
        self.write_stages(&mut text);
        text
    }

    fn write_goals(&self, text: &mut String) {
        let (keel, asking) = (self.goals(Lane::Keel), self.goals(Lane::KeelAsking));
        let _ = writeln!(
            text,
            "\n{:<4} {:<38} {:>7} {:>7} {:>7} {:>10}  verdict of keel",
            "goal", "median of ratios by round", "must", "aim", "keel", "asking"
        );
        for (place, goal) in GOALS.iter().enumerate() {
            let _ = writeln!(
                text,
                "{:<4} {:<38} {:>7.2} {:>7.2} {:>7.3} {:>10.3}  {}",
                goal.name,
                goal.what,
                goal.must,
                goal.aim,
                keel[place],
                asking[place],
                goal.verdict(keel[place])
            );
        }
        let cancels = self.ratio(|row| &row.cancels_p50, Lane::Keel, Lane::Tls);
        let _ =
            writeln!(text, "     {:<38} {:>24.3}", "wire to cancel p50 / TLS echo p50", cancels);
    }

    fn write_stages(&self, text: &mut String) {
        let Some(stages) = &self.stages else { return };
        let _ = writeln!(
            text,
            "\n{:<44} {:>8} {:>8}",
            "where an order's time goes", "p50 ns", "p99 ns"
        );
        for (name, stage) in stages.rows() {
            let (p50, p99) = (stage.value_at_quantile(0.5), stage.value_at_quantile(0.99));
            let _ = writeln!(text, "{name:<44} {p50:>8} {p99:>8}");
        }
    }

    /// The record.
    pub fn json(&self) -> Value {
        let lanes: Vec<Value> = Lane::ALL
            .iter()
            .map(|&lane| {
                let row = &self.rows[lane as usize];
                let shares = [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0];
                let all: Vec<_> =
                    shares.iter().map(|&s| json!([s, row.orders.value_at_quantile(s)])).collect();
                json!({
                    "lane": lane.name(),
                    "orders_p50_ns_by_round": row.orders_p50,
                    "orders_p99_ns_by_round": row.orders_p99,
                    "cancels_p50_ns_by_round": row.cancels_p50,
                    "orders_ns_by_share": all,
                    "orders": row.orders.len(),
                })
            })
            .collect();
        let goals = |lane| -> Value {
            GOALS.iter().zip(self.goals(lane)).map(|(g, v)| json!([g.name, v])).collect()
        };
        let stages: Vec<Value> = self
            .stages
            .iter()
            .flat_map(Stages::rows)
            .map(|(name, stage)| {
                let [p50, p99] = [0.5, 0.99].map(|share| stage.value_at_quantile(share));
                json!({"stage": name, "p50_ns": p50, "p99_ns": p99})
            })
            .collect();
        json!({
            "rounds_kept": self.settings.rounds - 1,
            "orders_a_round": self.settings.orders,
            "frame_bytes": self.bytes[0],
            "order_bytes": self.bytes[1],
            "cancel_bytes": self.bytes[2],
            "jitter": {
                "looked_ns": self.jitter.looked_ns,
                "pauses_above_10_us": self.jitter.pauses,
                "longest_ns": self.jitter.longest_ns,
            },
            "goals": {"keel": goals(Lane::Keel), "keel, asking first": goals(Lane::KeelAsking)},
            "lanes": lanes,
            "stages": stages,
        })
    }
}

impl Row {
    fn new() -> Self {
        Self {
            orders_p50: Vec::new(),
            orders_p99: Vec::new(),
            cancels_p50: Vec::new(),
            orders: Histogram::new(3).expect("three digits"),
        }
    }
}

impl Goal {
    fn verdict(&self, figure: f64) -> &'static str {
        let holds = |limit: f64| if self.at_least { figure >= limit } else { figure <= limit };
        match (holds(self.must), holds(self.aim)) {
            (_, true) => "aim reached",
            (true, false) => "must holds",
            (false, false) => "falls short",
        }
    }
}

impl Stages {
    fn rows(&self) -> [(&'static str, &Histogram<u64>); 3] {
        [
            ("cycle begin → socket, TLS, frame, decode", &self.decode),
            ("→ link, engine step, journal link", &self.decide),
            ("→ link, encode, frame, TLS, socket write", &self.send),
        ]
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values[..] {
        [] => f64::NAN,
        _ if values.len() % 2 == 1 => values[values.len() / 2],
        _ => f64::midpoint(values[values.len() / 2 - 1], values[values.len() / 2]),
    }
}
