//! A mandate under way: which request comes next, and what an answer means for it.

use std::collections::{BTreeMap, BTreeSet};

use keel_core::instrument::{Instrument, InstrumentId, Symbol};
use keel_core::units::{MILLIS, MonoNanos, UnixNanos};
use keel_net::bitget::encode::BATCH_MAX;
use keel_net::bitget::rest::{Listed, Page, Pager, Turn};

use super::flatten::Flatten;
use super::{Ask, Close, Mandate, Trouble};

/// An order that a kill has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its instrument, once a list has told it.
    pub(super) symbol: Option<Symbol>,
    /// The client's id; may be empty.
    pub(super) client: String,
    /// The venue took a cancel of it.
    pub(super) canceled: bool,
    /// The venue's code of the last cancel that it refused; 0 for none.
    pub(super) failed: u32,
    /// The venue said that it is over.
    pub(super) over: bool,
}

/// A mandate under way, or done.
pub(super) struct Work {
    pub(super) mandate: Mandate,
    pub(super) stage: Stage,
    /// Orders seen, by the venue's id: those that were open, trigger orders apart.
    pub(super) seen: BTreeMap<u64, Seen>,
    /// Trigger orders seen.
    pub(super) triggers: BTreeSet<u64>,
    /// Trigger orders still to be canceled.
    triggers_left: Vec<u64>,
    pub(super) trigger_orders: Triggers,
    /// Orders of the list that is being read.
    listing: Vec<Listed>,
    pager: Pager,
    pub(super) cursor: Option<String>,
    /// What the last whole list held.
    pub(super) open: Vec<Listed>,
    /// Lists in a row that were empty.
    zeros: u32,
    /// The list has not been read since a cancel was acknowledged.
    acknowledged: bool,
    /// Lists in a row that were not empty.
    rounds: u32,
    /// The next cancel goes by the list instead of all together.
    by_ids: bool,
    /// The list is read to see whether anything has appeared.
    looking: bool,
    /// Questions for one order that brought no answer.
    untold: u32,
    /// Wanted before the next request, in nanoseconds.
    pub(super) pause_ns: u64,
    /// Creates can no longer appear.
    last_pass: bool,
    pub(super) flatten: Option<Flatten>,
    pub(super) verified: Option<MonoNanos>,
    pub(super) finished: Option<MonoNanos>,
    pub(super) requests: u32,
    pub(super) rate_refused: u32,
}

/// What is known of trigger orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Triggers {
    /// So many questions have brought no answer.
    Unread(u32),
    /// The venue had none left.
    Gone,
    /// The venue does not tell.
    Untold,
}

/// How far a mandate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Everything is canceled with one request.
    Cancel,
    /// Orders of the last list are canceled by their ids.
    CancelListed,
    /// Trigger orders are listed, and canceled one by one.
    Triggers,
    /// Open orders are listed.
    Read,
    /// Zero is asked for elsewhere.
    Elsewhere {
        /// Pages of the history still to be read before orders are asked for one by one.
        pages: u32,
    },
    /// Positions are closed.
    Flatten {
        /// The next look for orders that were on their way.
        look: MonoNanos,
    },
    /// What was on its way is waited for.
    Watch {
        /// The next look.
        next: MonoNanos,
    },
    /// Everything has been done.
    Over,
}

/// Between two looks for orders that were on their way: a fifth of the venue's 20/s.
const WATCH_NS: u64 = 150 * MILLIS;
/// First pause before the list is read again although everything was canceled; it doubles.
const ROUND_PAUSE_NS: u64 = 5 * MILLIS;
const ROUND_DOUBLINGS: u32 = 5;
/// Newest pages of the history that are read to find the orders seen.
const HISTORY_PAGES: u32 = 3;
/// Questions for trigger orders that may fail. The list of orders is more urgent.
const TRIGGER_FAILURES_MAX: u32 = 8;
/// Questions for single orders that may fail before zero is asked for in another way.
const UNTOLD_MAX: u32 = 8;
/// So many lists in a row that cannot be read, and everything is canceled once more.
const BLIND_LISTS: u32 = 4;

impl Work {
    pub(super) fn new(mandate: Mandate) -> Self {
        let stage = if mandate.dry_run { Stage::Triggers } else { Stage::Cancel };
        Self {
            mandate,
            stage,
            seen: BTreeMap::new(),
            triggers: BTreeSet::new(),
            triggers_left: Vec::new(),
            trigger_orders: Triggers::Unread(0),
            listing: Vec::new(),
            pager: Pager::default(),
            cursor: None,
            open: Vec::new(),
            zeros: 0,
            acknowledged: false,
            rounds: 0,
            by_ids: false,
            looking: false,
            untold: 0,
            pause_ns: 0,
            last_pass: false,
            flatten: None,
            verified: None,
            finished: None,
            requests: 0,
            rate_refused: 0,
        }
    }

    /// Begins anew with a mandate that has become wider. What has been asked before it is not
    /// listened to.
    pub(super) fn restart(&mut self) {
        let mandate = self.mandate.clone();
        let (seen, triggers) = (std::mem::take(&mut self.seen), std::mem::take(&mut self.triggers));
        let (requests, rate_refused) = (self.requests, self.rate_refused);
        *self = Self { seen, triggers, requests, rate_refused, ..Self::new(mandate) };
    }

    pub(super) fn next(
        &mut self,
        rules: &[Instrument],
        utc: UnixNanos,
        now: MonoNanos,
    ) -> Option<Ask> {
        match self.stage {
            Stage::Cancel => Some(Ask::CancelAll),
            Stage::CancelListed if self.open.is_empty() => {
                self.read_again();
                Some(Ask::Open)
            }
            Stage::CancelListed => Some(Ask::CancelListed),
            Stage::Triggers => match self.triggers_left.last() {
                Some(&id) if !self.mandate.dry_run => Some(Ask::CancelTrigger(id)),
                _ => Some(Ask::Triggers),
            },
            Stage::Read => Some(Ask::Open),
            Stage::Elsewhere { .. } if !self.asks_by_order() => Some(Ask::CancelAll),
            Stage::Elsewhere { pages: 0 } => {
                let open = self.seen.iter().find(|(_, seen)| !seen.over);
                let order = open.map(|(&id, _)| Ask::Order(id));
                Some(order.unwrap_or_else(|| {
                    self.settle_elsewhere();
                    Ask::Open
                }))
            }
            Stage::Elsewhere { .. } => Some(Ask::Ended),
            Stage::Flatten { look } if now >= look || self.cursor.is_some() => Some(Ask::Open),
            Stage::Flatten { .. } => {
                let ids = closing(&self.mandate.close, rules);
                let flatten = self.flatten.get_or_insert_with(|| Flatten::new(ids, utc));
                flatten.next(now).map(Ask::Flatten)
            }
            Stage::Watch { next } if now >= next => {
                self.looking = true;
                self.settle_elsewhere();
                Some(Ask::Open)
            }
            Stage::Watch { .. } | Stage::Over => None,
        }
    }

    /// True when zero is confirmed by the end of each order that was seen, false when by a
    /// cancel-all that names none.
    pub(super) fn asks_by_order(&self) -> bool {
        !self.seen.is_empty() && self.untold < UNTOLD_MAX
    }

    /// No answer came, or none of use: goes another way where there is one. `failures` counts those
    /// in a row.
    pub(super) fn failed(&mut self, ask: &Ask, failures: u32, now: MonoNanos) {
        match ask {
            // The list has an allowance of its own, and so has the cancel by ids.
            Ask::CancelAll | Ask::CancelListed => {
                self.by_ids = *ask == Ask::CancelAll;
                self.read_again();
            }
            Ask::Open => {
                self.begin_list();
                if let Stage::Flatten { look } = &mut self.stage {
                    // The positions do not wait for it.
                    *look = now.after(WATCH_NS);
                    return;
                }
                // What is not seen may rest all the same.
                if failures.is_multiple_of(BLIND_LISTS) && !self.mandate.dry_run {
                    (self.zeros, self.looking) = (0, false);
                    self.stage = Stage::Cancel;
                }
            }
            Ask::Ended => {
                self.begin_list();
                if let Stage::Elsewhere { pages } = &mut self.stage {
                    *pages = pages.saturating_sub(1);
                }
            }
            // Not found there is no proof; the list is read again before it is asked anew.
            Ask::Order(_) => {
                self.untold += 1;
                self.read_again();
            }
            Ask::Triggers | Ask::CancelTrigger(_) => {
                self.trigger_orders = match self.trigger_orders {
                    Triggers::Unread(count) if count < TRIGGER_FAILURES_MAX => {
                        Triggers::Unread(count + 1)
                    }
                    _ => Triggers::Untold,
                };
                self.read_again();
            }
            Ask::Flatten(step) => {
                if let Some(flatten) = &mut self.flatten {
                    flatten.lost(*step, now);
                }
                self.leave_flatten(now);
            }
            Ask::Time => {}
        }
    }

    fn read_again(&mut self) {
        self.begin_list();
        self.stage = Stage::Read;
        self.zeros = 0;
    }

    fn begin_list(&mut self) {
        self.listing.clear();
        self.pager = Pager::default();
        self.cursor = None;
    }

    /// Takes in which orders a cancel named, each with the code of its refusal or 0.
    pub(super) fn canceled(&mut self, named: impl Iterator<Item = (u64, u32)>, ask: &Ask) {
        self.acknowledged = true;
        self.by_ids = *ask == Ask::CancelAll;
        let mut any = false;
        for (id, code) in named.filter(|(id, _)| *id != 0) {
            any = true;
            let seen = self.seen.entry(id).or_default();
            seen.canceled |= code == 0;
            seen.failed = code;
        }
        match self.stage {
            // It named none: zero has been said elsewhere.
            Stage::Elsewhere { .. } if !any => self.settle_elsewhere(),
            Stage::Elsewhere { .. } => self.read_again(),
            _ if *ask == Ask::CancelListed => {
                let count = self.open.len().min(BATCH_MAX);
                self.open.drain(..count);
                if self.open.is_empty() {
                    self.read_again();
                }
            }
            _ => {
                self.read_again();
                self.look_for_triggers();
            }
        }
    }

    /// Trigger orders come next, unless they are known to be gone. True when they do.
    fn look_for_triggers(&mut self) -> bool {
        let unread = matches!(self.trigger_orders, Triggers::Unread(_));
        if unread {
            self.stage = Stage::Triggers;
        }
        unread
    }

    /// Trigger orders have been listed.
    pub(super) fn triggers(&mut self, items: &[Listed]) {
        let ours = |listed: &&Listed| self.mandate.only.is_none_or(|only| only == listed.symbol);
        let ids: Vec<u64> = items.iter().filter(ours).map(|listed| listed.order_id).collect();
        self.triggers.extend(&ids);
        self.triggers_left = ids;
        if self.triggers_left.is_empty() || self.mandate.dry_run {
            self.trigger_orders = Triggers::Gone;
            self.read_again();
        }
    }

    /// A trigger order has been canceled; when it was the last, the list is asked for once more.
    pub(super) fn trigger_canceled(&mut self, id: u64) {
        self.triggers_left.retain(|&left| left != id);
    }

    /// A page of a list has been read.
    pub(super) fn page(
        &mut self,
        page: Page<Listed>,
        ask: &Ask,
        zombie_ns: u64,
        now: MonoNanos,
    ) -> Result<(), Trouble> {
        let turn = self.pager.turn(&page);
        self.listing.extend(page.items);
        match turn {
            Ok(Turn::Next(cursor)) if !self.has_enough_history(ask) => self.cursor = Some(cursor),
            Ok(_) => self.listed(ask, zombie_ns, now),
            Err(_) => return Err(Trouble::words("a list without an end")),
        }
        Ok(())
    }

    /// True when no further page of the history is worth its request.
    fn has_enough_history(&mut self, ask: &Ask) -> bool {
        let (Ask::Ended, Stage::Elsewhere { pages }) = (ask, &mut self.stage) else { return false };
        *pages = pages.saturating_sub(1);
        let done = *pages == 0;
        self.take_history();
        done || self.seen.values().all(|seen| seen.over)
    }

    fn take_history(&mut self) {
        for listed in self.listing.drain(..) {
            if let Some(seen) = self.seen.get_mut(&listed.order_id) {
                seen.over = true;
                seen.symbol = Some(listed.symbol);
                seen.client = listed.client;
            }
        }
    }

    /// A whole list has been read.
    fn listed(&mut self, ask: &Ask, zombie_ns: u64, now: MonoNanos) {
        if *ask == Ask::Ended {
            self.take_history();
            self.begin_list();
            self.stage = Stage::Elsewhere { pages: 0 };
            if self.seen.values().all(|seen| seen.over) {
                self.settle_elsewhere();
            }
            return;
        }
        self.open = std::mem::take(&mut self.listing);
        self.begin_list();
        for listed in &self.open {
            let seen = self.seen.entry(listed.order_id).or_default();
            (seen.symbol, seen.client) = (Some(listed.symbol), listed.client.clone());
            seen.over = false;
        }
        if self.mandate.dry_run {
            if !self.look_for_triggers() {
                self.finish(now);
            }
        } else if !self.open.is_empty() {
            self.still_open();
        } else if let Stage::Flatten { look } = &mut self.stage {
            *look = now.after(WATCH_NS);
        } else {
            self.zeros += 1;
            (self.acknowledged, self.rounds, self.by_ids) = (false, 0, false);
            self.zero_read(zombie_ns, now);
        }
    }

    /// Orders rest: they are canceled, in turn all together and by their ids. Right after a cancel
    /// the list is only read again: the venue may not be done yet.
    fn still_open(&mut self) {
        (self.zeros, self.looking) = (0, false);
        self.rounds += 1;
        if std::mem::take(&mut self.acknowledged) {
            self.pause_ns = ROUND_PAUSE_NS << self.rounds.min(ROUND_DOUBLINGS);
        } else if self.by_ids {
            self.stage = Stage::CancelListed;
        } else {
            self.stage = Stage::Cancel;
        }
    }

    /// The list of open orders was empty once more.
    fn zero_read(&mut self, zombie_ns: u64, now: MonoNanos) {
        let gone = self.mandate.decided.after(zombie_ns);
        if std::mem::take(&mut self.looking) {
            // Nothing new has appeared.
            self.watch(now);
            if now >= gone {
                self.last_pass = true;
                self.trigger_orders = Triggers::Unread(0);
                self.stage = Stage::Cancel;
            }
        } else if self.look_for_triggers() {
            // An order of theirs would rest after zero.
        } else if self.zeros < 2 {
            self.stage = Stage::Elsewhere { pages: HISTORY_PAGES };
        } else if self.last_pass {
            self.finish(now);
        } else {
            self.verified.get_or_insert(now);
            let flattened = self.flatten.as_ref().is_some_and(Flatten::is_over);
            if self.mandate.close != Close::Nothing && !flattened {
                // Orders that appeared may have filled: what was read before them is old.
                self.flatten.iter_mut().for_each(Flatten::read_again);
                self.stage = Stage::Flatten { look: now.after(WATCH_NS) };
            } else {
                self.watch(now);
            }
        }
    }

    /// Goes on to watch once the flatten is over.
    pub(super) fn leave_flatten(&mut self, now: MonoNanos) {
        if self.flatten.as_ref().is_some_and(Flatten::is_over) {
            self.watch(now);
        }
    }

    fn watch(&mut self, now: MonoNanos) {
        self.zeros = 0;
        self.stage = Stage::Watch { next: now.after(WATCH_NS) };
    }

    /// An order that was seen is over, or is not.
    pub(super) fn order_told(&mut self, id: u64, over: bool) {
        if !over {
            return self.read_again();
        }
        if let Some(seen) = self.seen.get_mut(&id) {
            seen.over = true;
        }
        if self.seen.values().all(|seen| seen.over) {
            self.settle_elsewhere();
        }
    }

    /// Zero has been said elsewhere: the list is read once more.
    fn settle_elsewhere(&mut self) {
        self.begin_list();
        self.stage = Stage::Read;
    }

    fn finish(&mut self, now: MonoNanos) {
        self.verified.get_or_insert(now);
        self.finished = Some(now);
        self.stage = Stage::Over;
    }
}

/// The instruments whose positions are closed.
fn closing(close: &Close, rules: &[Instrument]) -> Vec<InstrumentId> {
    let ids = (0..).map(InstrumentId).zip(rules);
    let wanted = |symbol: &Symbol| match close {
        Close::Nothing => false,
        Close::These(symbols) => symbols.contains(symbol),
        Close::All => true,
    };
    ids.filter(|(_, rules)| wanted(&rules.symbol)).map(|(id, _)| id).collect()
}
