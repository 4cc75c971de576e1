//! The kill's agent: the control socket, the fence, and a connection of its own.
//!
//! It shares a thread with nobody, waits for no other thread and never touches the disk. It acts on
//! the guard's stop for good, on a person's word, on an engine that is gone without having ended in
//! order, and on a hot thread that turns no more.

use std::sync::{Arc, Mutex};

use crossbeam::channel::{self, TrySendError};
use keel_core::command::{Ruled, Ruling};
use keel_core::event::{Directive, Event, Operator, RefusedFor};
use keel_core::guard::{Reason, Reasons};
use keel_core::instrument::Symbol;
use keel_core::param::Params;
use keel_core::status::Key;
use keel_core::units::{MonoNanos, SECONDS};
use keel_net::driver::{Poller, Readiness};
use keel_net::lease::Revoker;
use keel_net::link::Receiver;
use keel_net::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use serde_json::{Value, json};

use super::journal::JournalGauge;
use super::{Agent, Pulse};
use crate::control::{Asked, Control, Request, refusal, status};
use crate::kill::hand::Hand;
use crate::kill::report::Report;
use crate::kill::{self, Close, Mandate, Trigger};
use crate::setup::Adjustable;
use crate::vitals::{Phase, Turning, Vitals, Watch};

/// What others may see of the kill: its report, for whoever may touch the disk.
#[derive(Debug, Default)]
pub struct KillBoard {
    report: Mutex<Option<Report>>,
    /// Grows with each report.
    reports: AtomicU64,
    /// A hot thread turns no more; the process cannot end in order.
    hung: AtomicBool,
    /// The engine has not heard a person's kill.
    unheard: AtomicBool,
}

impl KillBoard {
    /// How many reports there have been.
    pub fn reports(&self) -> u64 {
        // Acquire: pairs with the store after the report was put up.
        self.reports.load(Ordering::Acquire)
    }

    /// The newest report.
    pub fn report(&self) -> Option<Report> {
        self.report.lock().ok()?.clone()
    }

    /// True once a hot thread has been found to turn no more.
    pub fn has_hung(&self) -> bool {
        // Relaxed: a flag that only rises.
        self.hung.load(Ordering::Relaxed)
    }

    /// True once a person's kill has not stopped the engine in time: somebody else must latch.
    pub fn is_unheard(&self) -> bool {
        // Relaxed: a flag that only rises.
        self.unheard.load(Ordering::Relaxed)
    }

    /// Puts a report up, unless somebody is reading just now.
    fn put(&self, report: Report) -> bool {
        let Ok(mut shown) = self.report.try_lock() else { return false };
        *shown = Some(report);
        drop(shown);
        // Release: see `reports`. One writer.
        self.reports.store(self.reports.load(Ordering::Relaxed) + 1, Ordering::Release);
        true
    }
}

/// What the kill's agent is made of.
pub struct KillParts {
    /// What it acts by.
    pub hand: Hand,
    /// The socket on which people ask.
    pub control: Control,
    /// What is shared with the engine and the guardian.
    pub vitals: Vitals,
    /// What others see of it.
    pub board: Arc<KillBoard>,
    /// What may be set at run time.
    pub adjustable: Adjustable,
    /// As configured: how long what is on its way may take.
    pub params: Params,
    /// A hot thread that has not turned for this long is gone, in real time.
    pub hang_ns: u64,
    /// How many times faster than real the clock runs.
    pub speed: u64,
}

/// Runs the kill.
pub struct KillAgent {
    parts: KillParts,
    directives: channel::Sender<Event>,
    rulings: Receiver<Ruled>,
    gauge: Arc<JournalGauge>,
    /// The hot threads, each with what was seen of it.
    hot: Vec<(Arc<Pulse>, Watch)>,
    /// What was seen of the guardian, and for how long it has not turned.
    guardian: Watch,
    guardian_still_ns: u64,
    /// Who waits for an answer.
    waiting: Vec<Waiting>,
    tickets: u32,
    /// A person's kill that the engine has not acted upon yet.
    pressed: Option<Pressed>,
    /// The incident that has been acted upon, and whether positions are closed for it.
    incident: u64,
    closes: bool,
    /// The engine is gone or hangs, and that has been acted upon since then.
    lost: Option<MonoNanos>,
    /// How far the kill was when that was told last.
    told: (bool, bool),
    /// Since when the engine's link has been abandoned.
    alone: Option<MonoNanos>,
    over: bool,
}

/// Somebody who waits for an answer.
struct Waiting {
    client: u64,
    until: MonoNanos,
    what: Awaited,
}

/// A person's kill on its way to the engine.
struct Pressed {
    operator: Operator,
    since: MonoNanos,
    /// The engine's channel has taken it.
    sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// What the engine says of this ticket.
    Ruling(u32),
    /// Zero.
    Verified,
    /// Zero once more, when nothing can appear any longer.
    Finished,
}

/// How long an engine has to answer an operator's command.
const RULING_NS_MAX: u64 = 2 * SECONDS;
/// How long a kill is waited for by somebody at the socket.
const KILL_NS_MAX: u64 = 600 * SECONDS;
/// Without an engine the process gives up after this long; the guardian does not.
const GIVE_UP_NS: u64 = 15 * SECONDS;

impl KillAgent {
    /// An agent that watches `hot` threads, asks the engine by `directives` and hears it on
    /// `rulings`.
    pub fn new(
        parts: KillParts,
        directives: channel::Sender<Event>,
        rulings: Receiver<Ruled>,
        gauge: Arc<JournalGauge>,
        hot: Vec<Arc<Pulse>>,
    ) -> Self {
        let watch = Watch::at_speed(parts.speed);
        Self {
            parts,
            directives,
            rulings,
            gauge,
            hot: hot.into_iter().map(|pulse| (pulse, watch)).collect(),
            guardian: watch,
            guardian_still_ns: 0,
            waiting: Vec::new(),
            tickets: 0,
            pressed: None,
            incident: 0,
            closes: false,
            lost: None,
            told: (false, false),
            alone: None,
            over: false,
        }
    }

    fn serve(&mut self, asked: &Asked, poller: &Poller, now: MonoNanos) {
        let directive =
            |directive| Operator { user: asked.peer.user, ..Operator::program(directive) };
        match &asked.request {
            Request::Status {} => {
                let answer = match self.gauge.snapshot() {
                    Some(snapshot) => {
                        let mut body = status::body(&snapshot, self.guardian_age_ms());
                        body["kill"] = self.shown(now);
                        json!({ "ok": true, "status": body })
                    }
                    None => refusal("no figures yet; ask again"),
                };
                self.parts.control.answer(asked.client, &answer, true, now);
            }
            Request::Pause {} => self.direct(asked, directive(Directive::Pause), now),
            Request::Resume {} => self.direct(asked, directive(Directive::Resume), now),
            Request::Rearm { incident } => {
                let rearm = Operator { incident: *incident, ..directive(Directive::Rearm) };
                self.direct(asked, rearm, now);
            }
            Request::Set { key, value } => match self.parts.adjustable.resolve(key, value) {
                Ok((key, value)) => {
                    self.direct(asked, Operator { key, value, ..directive(Directive::Set) }, now);
                }
                Err(why) => {
                    let set = format!("{key}={value}");
                    self.refuse(asked, RefusedFor::Envelope, &set, &why, now);
                }
            },
            Request::Kill { dry_run, flatten, instrument } => {
                let only = instrument.as_ref().map(|name| Symbol::parse(name.as_bytes()));
                if only == Some(None) {
                    let name = instrument.as_deref().unwrap_or_default();
                    let why = "that is no instrument's name";
                    return self.refuse(asked, RefusedFor::Instrument, name, why, now);
                }
                let only = only.flatten();
                let close = if *flatten { Close::of(only) } else { Close::Nothing };
                if !dry_run {
                    self.parts.vitals.lease().revoke(Revoker::Kill);
                }
                self.begin(Mandate {
                    trigger: Trigger::Control,
                    reasons: format!("operator {}", asked.peer.user),
                    only,
                    dry_run: *dry_run,
                    close,
                    decided: now,
                });
                let (client, until) = (asked.client, now.after(KILL_NS_MAX));
                let what = if *dry_run { Awaited::Finished } else { Awaited::Verified };
                self.waiting.push(Waiting { client, until, what });
                if !dry_run {
                    // First our own request, then the engine, whose gateway cancels as well.
                    self.parts.hand.step(now, poller);
                    let operator = directive(Directive::Kill);
                    self.pressed = Some(Pressed { operator, since: now, sent: false });
                    self.press(now);
                }
            }
        }
    }

    /// Tells the engine to stop for good until it has: only that latches, and the fence and our own
    /// cancels end with this process.
    fn press(&mut self, now: MonoNanos) {
        let Some(pressed) = &mut self.pressed else { return };
        let mut gone = false;
        if !pressed.sent {
            let sent = self.directives.try_send(Event::Operator(pressed.operator));
            pressed.sent = sent.is_ok();
            gone = matches!(sent, Err(TrySendError::Disconnected(_)));
        }
        if self.parts.vitals.stopped().is_some() {
            self.pressed = None;
        } else if gone || now.since(pressed.since) > RULING_NS_MAX * self.parts.speed {
            // Relaxed: a flag that only rises.
            self.parts.board.unheard.store(true, Ordering::Relaxed);
        }
    }

    /// Asks the engine; its answer goes to the client.
    fn direct(&mut self, asked: &Asked, operator: Operator, now: MonoNanos) {
        self.tickets = self.tickets.wrapping_add(1).max(1);
        let ticket = self.tickets;
        let told = self.directives.try_send(Event::Operator(Operator { ticket, ..operator }));
        if told.is_err() {
            let answer = refusal("the engine takes no commands; keel kill does not need it");
            return self.parts.control.answer(asked.client, &answer, true, now);
        }
        let (client, until) = (asked.client, now.after(RULING_NS_MAX));
        self.waiting.push(Waiting { client, until, what: Awaited::Ruling(ticket) });
    }

    /// Refuses what the engine need not be asked about.
    fn refuse(&mut self, to: &Asked, why: RefusedFor, what: &str, words: &str, now: MonoNanos) {
        self.parts.control.answer(to.client, &refusal(words), true, now);
        self.parts.control.refuse(why, to.peer, what.as_bytes(), now);
    }

    /// Has what was refused journaled, in half of the channel: the rest is for commands.
    fn journal_refused(&mut self) {
        let directives = &self.directives;
        let half = directives.capacity().unwrap_or(usize::MAX) / 2;
        self.parts.control.tell_refused(|refused| {
            directives.len() <= half && directives.try_send(Event::Refused(refused)).is_ok()
        });
    }

    fn begin(&mut self, mandate: Mandate) {
        if !mandate.dry_run {
            self.parts.vitals.tell_phase(Phase::Working);
        }
        self.told = (false, false);
        let zombie_ns = kill::zombie_ns(&self.parts.params, self.parts.vitals.over_rest());
        self.parts.hand.appears_within(zombie_ns);
        self.parts.hand.begin(mandate);
    }

    /// Passes on what the engine says of operators' commands.
    fn hear(&mut self, now: MonoNanos) {
        while let Some(ruled) = self.rulings.pop() {
            let awaited = Awaited::Ruling(ruled.operator.ticket);
            let Some(place) = self.waiting.iter().position(|w| w.what == awaited) else { continue };
            let client = self.waiting.swap_remove(place).client;
            if ruled.ruling == Ruling::Done && ruled.operator.directive == Directive::Set {
                self.parts.adjustable.took(ruled.operator.key, ruled.operator.value);
            }
            let answer = answer(&ruled, &self.parts.adjustable);
            self.parts.control.answer(client, &answer, true, now);
        }
    }

    /// How long ago the guardian was seen to turn; `None` where there is none.
    fn guardian_age_ms(&self) -> Option<u64> {
        let turns = self.parts.vitals.turns(Turning::Guardian) > 0;
        turns.then_some(self.guardian_still_ns / 1_000_000)
    }

    /// Looks at guard and threads, and acts on what it sees.
    fn watch(&mut self, now: MonoNanos) {
        let vitals = self.parts.vitals;
        match vitals.stopped() {
            // Reasons are added to a stop: money may be lost only after it.
            Some((incident, reasons))
                if incident != self.incident || is_for_money(reasons) && !self.closes =>
            {
                (self.incident, self.closes) = (incident, is_for_money(reasons));
                vitals.lease().revoke(Revoker::Kill);
                let words: Vec<_> = reasons.iter().map(|reason| reason.text()).collect();
                let close = if self.closes { Close::All } else { Close::Nothing };
                self.act(words.join("|"), close, now);
            }
            None if self.incident != 0 && !self.parts.hand.is_at_work() => {
                // Rearmed, and nothing is left of the kill.
                (self.incident, self.closes) = (0, false);
                vitals.tell_phase(Phase::Idle);
                vitals.lease().restore(Revoker::Kill);
            }
            _ => {}
        }
        if self.lost.is_some() {
            return;
        }
        if self.rulings.is_abandoned() && !vitals.has_ended() {
            self.lose("the engine has ended without having verified zero".to_owned(), now);
        }
        let (hang_ns, speed) = (self.parts.hang_ns, self.parts.speed);
        let hangs = |(pulse, watch): &mut (Arc<Pulse>, Watch)| {
            let still_ns = watch.look(pulse.cycles(), now);
            still_ns > hang_ns * speed && !pulse.is_over()
        };
        if self.hot.iter_mut().any(hangs) {
            // Relaxed: a flag that only rises.
            self.parts.board.hung.store(true, Ordering::Relaxed);
            self.lose(format!("a hot thread has not turned for {} ms", hang_ns / 1_000_000), now);
        }
    }

    /// The engine is gone or hangs.
    fn lose(&mut self, why: String, now: MonoNanos) {
        self.lost = Some(now);
        self.parts.vitals.lease().revoke(Revoker::Kill);
        self.act(why, Close::Nothing, now);
    }

    fn act(&mut self, reasons: String, close: Close, decided: MonoNanos) {
        if close != Close::Nothing {
            self.believe();
        }
        let (only, dry_run) = (None, false);
        self.begin(Mandate { trigger: Trigger::Risk, reasons, only, dry_run, close, decided });
    }

    /// Tells the kill what the engine holds by its own ledger: without a person's word, positions
    /// are closed only when venue and ledger agree.
    fn believe(&mut self) {
        let Some(snapshot) = self.gauge.snapshot() else { return };
        let held = snapshot
            .instruments
            .iter()
            .map(|seen| seen.row.map(|row| keel_core::units::Lots(row.value(Key::position_base))));
        let held: Option<Vec<_>> = held.collect();
        self.parts.hand.believe(held.unwrap_or_default());
    }

    /// Tells those who wait, and those who write files, how far the kill is.
    fn tell(&mut self, now: MonoNanos) {
        let state = self.parts.hand.progress();
        if state != self.told {
            let Some(report) = self.parts.hand.report(now) else { return };
            if state.0 && (self.incident != 0 || self.lost.is_some()) {
                self.parts.vitals.tell_phase(Phase::Verified);
            }
            if self.parts.board.put(report) {
                self.told = state;
            }
        }
        if self.waiting.is_empty() {
            return;
        }
        for mut waiting in std::mem::take(&mut self.waiting) {
            let done = match waiting.what {
                Awaited::Ruling(_) => false,
                Awaited::Verified => state.0,
                Awaited::Finished => state.1,
            };
            let late = now >= waiting.until;
            if !done && !late {
                self.waiting.push(waiting);
                continue;
            }
            let more = done && waiting.what == Awaited::Verified;
            let answer = match waiting.what {
                Awaited::Ruling(_) => refusal("the engine has not answered in time"),
                _ => json!({ "ok": done, "last": !more, "kill": self.shown(now) }),
            };
            self.parts.control.answer(waiting.client, &answer, !more, now);
            if more {
                waiting.what = Awaited::Finished;
                self.waiting.push(waiting);
            }
        }
    }

    /// Ends once the engine has, when nothing is left to be killed or that has been tried for long.
    fn end(&mut self, now: MonoNanos) {
        if !self.rulings.is_abandoned() {
            return;
        }
        let alone = *self.alone.get_or_insert(now);
        let hand = &mut self.parts.hand;
        let state = hand.progress();
        let done = !hand.is_at_work() && state == self.told;
        let given_up = now.since(alone) > GIVE_UP_NS;
        if given_up
            && !done
            && let Some(report) = hand.report(now)
        {
            self.parts.board.put(report);
        }
        self.over = done || given_up;
    }

    /// The kill as `keel status` and `keel kill` show it; null before the first.
    fn shown(&mut self, now: MonoNanos) -> Value {
        let incident = self.incident;
        self.parts.hand.report(now).map_or(Value::Null, |report| {
            let mut body = report.body;
            body["incident_id"] = Value::from(incident.to_string());
            body
        })
    }
}

/// True for a stop after which positions are closed: money is lost, and whatever else is beyond its
/// limit. Where the truth itself is in doubt, or a person has stopped it, nothing is traded.
fn is_for_money(reasons: Reasons) -> bool {
    let any = |of: &[Reason]| of.iter().any(|&reason| reasons.contains(reason));
    any(&FOR_MONEY) && !any(&IN_DOUBT)
}

/// Reasons to close positions.
const FOR_MONEY: [Reason; 4] =
    [Reason::DailyLoss, Reason::WeeklyLoss, Reason::Drawdown, Reason::MarginRatio];

/// Reasons to close none.
const IN_DOUBT: [Reason; 10] = [
    Reason::PositionDrift,
    Reason::Contradiction,
    Reason::BillUnknown,
    Reason::ForeignOrder,
    Reason::Settings,
    Reason::Capacity,
    Reason::Operator,
    Reason::JournalFailed,
    Reason::StateBehind,
    Reason::EngineLost,
];

/// What the engine said, for the person who asked.
fn answer(ruled: &Ruled, adjustable: &Adjustable) -> Value {
    let operator = &ruled.operator;
    if ruled.ruling == Ruling::Done {
        return json!({ "ok": true, "done": operator.directive.text() });
    }
    let why = match ruled.ruling {
        Ruling::WrongIncident => {
            format!("the latched incident is {}, not {}", ruled.found, operator.incident)
        }
        Ruling::NotStopped => "nothing is latched".to_owned(),
        Ruling::OutOfRange | Ruling::Loosens | Ruling::Fixed | Ruling::Done => {
            adjustable.explain(operator.key, ruled.ruling, ruled.found)
        }
    };
    refusal(&why)
}

impl Agent for KillAgent {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn step(&mut self, now: MonoNanos, poller: &mut Poller) -> usize {
        self.parts.vitals.turned(Turning::Kill);
        let guardian_turns = self.parts.vitals.turns(Turning::Guardian);
        self.guardian_still_ns = self.guardian.look(guardian_turns, now);
        self.press(now);
        self.watch(now);
        let mut work = self.parts.hand.step(now, poller);
        self.hear(now);
        for asked in self.parts.control.step(now) {
            self.serve(&asked, poller, now);
            work += 1;
        }
        self.journal_refused();
        if self.parts.hand.wants_belief(now) {
            self.believe();
        }
        self.tell(now);
        self.end(now);
        work
    }

    fn ready(&mut self, key: usize, readiness: Readiness) {
        self.parts.hand.ready(key, readiness);
    }

    fn deadline(&self) -> MonoNanos {
        self.parts.hand.deadline()
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::cold::door::Target;
    use crate::cold::line::Line;
    use crate::cold::names::Addresses;
    use crate::control::client::{Conversation, connect};
    use crate::kill::tests::kill_at;
    use keel_core::command::GuardChanged;
    use keel_core::guard::GuardState;
    use keel_core::param::Profile;
    use keel_core::units::MILLIS;
    use keel_net::driver::{Security, SocketOptions};
    use keel_net::link::{Sender, WhenFull, link};
    use std::io::Write;

    const HANG_NS: u64 = 700 * MILLIS;
    /// What the engine's channel holds.
    const ROOM: usize = 4;

    /// A kill's agent that watches one thread, and the engine's end of what it hears.
    struct Bench {
        agent: KillAgent,
        pulse: Arc<Pulse>,
        rulings: Option<Sender<Ruled>>,
        engine: Option<channel::Receiver<Event>>,
        poller: Poller,
        now: MonoNanos,
        dir: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let params = Params::defaults(Profile::Touch);
            // Nobody listens there.
            let address = Addresses::fixed("127.0.0.1:1".parse().expect("an address"));
            let options = SocketOptions { abort_on_close: false, busy_poll_us: 0 };
            let target = Target { address, security: Security::LoopbackPlaintext, options };
            let line = Line::new(kill_at(SECONDS), target, Clock::start(), 1);
            let parts = KillParts {
                hand: Hand::Venue(Box::new(line)),
                control: Control::open(dir.path()).expect("a socket"),
                vitals: Vitals::unshared(),
                board: Arc::default(),
                adjustable: Adjustable::new(params, Vec::new()),
                params,
                hang_ns: HANG_NS,
                speed: 1,
            };
            let (directives, engine) = channel::bounded(ROOM);
            let (rulings, heard) = link("rulings", 4, WhenFull::DropAndCount);
            let pulse = Arc::new(Pulse::default());
            let hot = vec![pulse.clone()];
            let agent = KillAgent::new(parts, directives, heard, Arc::default(), hot);
            let poller = Poller::new(4).expect("a poller");
            let (rulings, now) = (Some(rulings), MonoNanos(SECONDS));
            Self { agent, pulse, rulings, engine: Some(engine), poller, now, dir }
        }

        /// Lets time pass, with a thread that turns or does not.
        fn pass(&mut self, nanos: u64, turns: bool) {
            let then = self.now.after(nanos);
            while self.now < then {
                self.now = self.now.after(10 * MILLIS);
                let cycles = self.pulse.cycles() + u64::from(turns);
                self.pulse.cycles.store(cycles, Ordering::Relaxed);
                self.agent.step(self.now, &mut self.poller);
            }
        }

        fn vitals(&self) -> Vitals {
            self.agent.parts.vitals
        }

        /// The engine stops for good.
        fn stop(&self, reasons: Reasons) {
            let (from, to) = (GuardState::Running, GuardState::HardStop);
            let (soft, hard, incident) = (0, reasons.0, 7);
            self.vitals().guard(&GuardChanged { from, to, soft, hard, incident });
        }

        fn kills(&mut self) -> bool {
            self.agent.parts.hand.is_at_work()
        }
    }

    #[test]
    fn a_hot_thread_that_turns_no_more_is_fenced_and_killed_for_and_one_that_works_is_not() {
        let mut bench = Bench::new();
        bench.pass(5 * SECONDS, true);
        bench.pass(HANG_NS, false);
        assert!(bench.vitals().lease().holds() && !bench.kills(), "at the limit");
        bench.pass(20 * MILLIS, false);
        assert!(!bench.vitals().lease().holds() && bench.kills());
        assert!(bench.agent.parts.board.has_hung());
        assert_eq!(bench.vitals().phase(), Phase::Working);
    }

    #[test]
    fn what_the_socket_refuses_is_told_to_the_engine_and_leaves_half_of_the_way_to_commands() {
        let mut bench = Bench::new();
        let mut ask = |line: &str| {
            let mut client = connect(bench.dir.path()).expect("connected");
            client.write_all(format!("{line}\n").as_bytes()).expect("sent");
            bench.pass(10 * MILLIS, true);
        };
        ask("{\"command\":\"set\",\"key\":\"nonsense\",\"value\":\"1\"}");
        ask("{\"command\":\"kill\",\"instrument\":\"no name\"}");
        ask("reboot");
        ask("reboot again");
        ask("{\"command\":\"pause\"}");
        let heard: Vec<Event> = bench.engine.iter().flat_map(|it| it.try_iter()).collect();
        let told = |event: &Event| match event {
            Event::Refused(refused) => (refused.why.text(), refused.asked.as_str().to_owned()),
            Event::Operator(operator) => (operator.directive.text(), String::new()),
            other => panic!("{other:?}"),
        };
        let expected = [
            ("may not be set", "nonsense=1"),
            ("no instrument", "no name"),
            ("not understood", "reboot"),
            ("pause", ""),
        ];
        let expected = expected.map(|(why, asked)| (why, asked.to_owned()));
        assert_eq!(heard.iter().map(told).collect::<Vec<_>>(), expected);
        assert!(!bench.kills() && bench.vitals().lease().holds());
    }

    #[test]
    fn a_thread_that_is_over_hangs_not() {
        let mut bench = Bench::new();
        bench.pass(SECONDS, true);
        bench.pulse.over.store(true, Ordering::Relaxed);
        bench.pass(5 * SECONDS, false);
        assert!(bench.vitals().lease().holds() && !bench.kills());
    }

    #[test]
    fn an_engine_that_is_gone_is_killed_for_unless_it_has_verified_zero() {
        for in_order in [false, true] {
            let mut bench = Bench::new();
            bench.pass(SECONDS, true);
            if in_order {
                bench.vitals().end();
            }
            bench.rulings = None;
            bench.pass(SECONDS, true);
            assert_eq!(bench.kills(), !in_order);
            assert_eq!(bench.vitals().lease().holds(), in_order);
            assert_eq!(bench.agent.is_over(), in_order, "it stays while orders may rest");
        }
    }

    #[test]
    fn a_stop_for_good_revokes_the_lease_and_closes_positions_for_money_only() {
        for (reason, close) in [
            (Reason::DailyLoss, Close::All),
            (Reason::MarginRatio, Close::All),
            (Reason::PositionDrift, Close::Nothing),
            (Reason::BillUnknown, Close::Nothing),
            (Reason::JournalFailed, Close::Nothing),
        ] {
            let mut bench = Bench::new();
            bench.pass(SECONDS, true);
            bench.stop(Reasons::NONE.with(reason));
            bench.pass(20 * MILLIS, true);
            assert!(!bench.vitals().lease().holds() && bench.kills(), "{reason}");
            assert_eq!(bench.agent.closes, close == Close::All, "{reason}");
        }
    }

    #[test]
    fn a_loss_closes_positions_beside_any_limit_of_exposure_and_beside_no_doubt() {
        let of = |reasons: &[Reason]| {
            reasons.iter().fold(Reasons::NONE, |reasons, &reason| reasons.with(reason))
        };
        for &reason in Reason::ALL {
            let with_loss = is_for_money(of(&[Reason::DailyLoss, reason]));
            assert_eq!(with_loss, !IN_DOUBT.contains(&reason), "{reason}");
            assert_eq!(is_for_money(of(&[reason])), FOR_MONEY.contains(&reason), "{reason}");
        }
        assert!(!is_for_money(Reasons::NONE));
    }

    #[test]
    fn a_loss_that_comes_after_another_limit_closes_positions_in_the_same_incident() {
        // The position's value went over its limit first, and the loss that followed within the
        // same incident was not looked at: the position stayed open.
        let mut bench = Bench::new();
        bench.pass(SECONDS, true);
        let mut hard = Reasons::NONE.with(Reason::PositionNotional);
        bench.stop(hard);
        bench.pass(20 * MILLIS, true);
        assert!(bench.kills() && !bench.agent.closes);
        hard = hard.with(Reason::DailyLoss);
        bench.stop(hard);
        bench.pass(20 * MILLIS, true);
        assert!(bench.agent.closes);
        let report = bench.agent.parts.hand.report(bench.now).expect("a mandate");
        assert_eq!(report.body["reasons"], "position_notional|daily_loss|position_notional");
    }

    /// Presses the button, as a person does by the socket.
    fn press(bench: &mut Bench) {
        let kill = Request::Kill { dry_run: false, flatten: false, instrument: None };
        let _talk = Conversation::begin(bench.dir.path(), &kill).expect("a conversation");
        bench.pass(50 * MILLIS, true);
        assert!(bench.kills());
    }

    #[test]
    fn a_kill_that_finds_the_engines_channel_full_is_told_when_there_is_room() {
        let mut bench = Bench::new();
        bench.pass(SECONDS, true);
        let asks = |directive| Event::Operator(Operator::program(directive));
        for _ in 0..ROOM {
            bench.agent.directives.try_send(asks(Directive::Pause)).expect("room");
        }
        press(&mut bench);
        let engine = bench.engine.clone().expect("a channel");
        for _ in 0..ROOM {
            assert_eq!(engine.try_recv(), Ok(asks(Directive::Pause)));
        }
        bench.pass(20 * MILLIS, true);
        let told = engine.try_recv();
        let Ok(Event::Operator(told)) = told else { panic!("{told:?}") };
        assert_eq!(told.directive, Directive::Kill);
        bench.pass(SECONDS, true);
        assert!(engine.is_empty(), "once is enough");
        bench.stop(Reasons::NONE.with(Reason::Operator));
        bench.pass(5 * SECONDS, true);
        assert!(!bench.agent.parts.board.is_unheard());
    }

    #[test]
    fn a_kill_that_stops_no_engine_is_for_the_process_to_latch() {
        for gone in [false, true] {
            let mut bench = Bench::new();
            bench.pass(SECONDS, true);
            if gone {
                bench.engine = None;
            }
            press(&mut bench);
            assert_eq!(bench.agent.parts.board.is_unheard(), gone);
            bench.pass(RULING_NS_MAX, true);
            assert!(bench.agent.parts.board.is_unheard());
        }
    }
}
