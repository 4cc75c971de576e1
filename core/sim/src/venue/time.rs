//! Time: what happens without anybody asking: funding and countdowns.

use keel_core::units::UnixNanos;

use super::Venue;
use super::contract::{FUNDINGS_MAX, FundingRate};
use crate::account::{AccountId, Bill, BillKind, push_bounded};
use crate::event::{Funding, VenueEvent};
use crate::funding;
use crate::instrument::InstrumentId;
use crate::order::{CancelReason, MarginMode, PosSide};
use crate::reject::Reject;

impl Venue {
    /// When [`Venue::advance`] is next needed: a funding or a countdown; none without contracts.
    pub fn deadline(&self) -> Option<UnixNanos> {
        (self.due.0 < i64::MAX).then_some(self.due)
    }

    /// Lets time pass to `now`: settles funding and runs countdowns out, in the order of their
    /// instants.
    pub fn advance(&mut self, now: UnixNanos) {
        while self.due <= now {
            let at = self.due;
            self.now = self.now.max(at);
            for i in 0..self.instruments.len() {
                let market = &mut self.instruments[i];
                if market.next_funding <= at {
                    let hours = market.rules.fund_interval_hours;
                    market.next_funding = funding::next_instant(hours, at);
                    let id = market.id;
                    self.settle(id, at);
                }
            }
            for i in 0..self.accounts.len() {
                let account = &mut self.accounts[i];
                if account.countdown.is_some_and(|due| due <= at) {
                    account.countdown = None;
                    let id = account.id;
                    self.cancel_open(id, None, CancelReason::Normal);
                }
            }
            self.find_due();
        }
        self.now = self.now.max(now);
        self.fire_strategies();
    }

    /// Settles funding of a contract at once; its grid stays as it is.
    pub fn settle_funding(&mut self, instrument: InstrumentId, now: UnixNanos) {
        self.advance(now);
        self.settle(instrument, self.now);
    }

    /// Arms the countdown that cancels all orders of the account, or disarms it with 0.
    ///
    /// # Errors
    /// When it is neither 0 nor 5 to 60 seconds.
    pub fn set_countdown(
        &mut self,
        account: AccountId,
        seconds: u32,
        now: UnixNanos,
    ) -> Result<(), Reject> {
        self.advance(now);
        let due = match seconds {
            0 => None,
            5..=60 => Some(UnixNanos(self.now.0 + i64::from(seconds) * 1_000_000_000)),
            _ => return Err(Reject::COUNTDOWN_RANGE),
        };
        self.accounts[account.index()].countdown = due;
        self.find_due();
        Ok(())
    }

    pub(super) fn find_due(&mut self) {
        let fundings = self.instruments.iter().map(|market| market.next_funding);
        let countdowns = self.accounts.iter().filter_map(|account| account.countdown);
        self.due = fundings.chain(countdowns).min().unwrap_or(UnixNanos(i64::MAX));
    }

    /// Settles funding with every position of a contract, at its mark and its last published rate.
    fn settle(&mut self, instrument: InstrumentId, at: UnixNanos) {
        let market = &mut self.instruments[instrument.index()];
        let (rate, mark, grids) =
            (market.marks.funding_rate, market.marks.mark, market.rules.grids);
        push_bounded(&mut market.fundings, FundingRate { rate, at }, FUNDINGS_MAX);
        for i in 0..self.accounts.len() {
            if self.accounts[i].house || !self.accounts[i].holdings[instrument.index()].is_held() {
                continue;
            }
            let account = self.accounts[i].id;
            let holding = self.account(account).holding(instrument);
            let isolated = holding.margin_mode == MarginMode::Isolated;
            for side in PosSide::ALL {
                let position =
                    &mut self.accounts[i].holdings[instrument.index()].positions[side.index()];
                let lots = position.lots;
                if lots.is_zero() {
                    continue;
                }
                let amount = funding::payment(&grids, lots, mark, rate);
                position.funding += amount;
                if isolated {
                    position.margin += amount;
                }
                self.accounts[i].totals.funding += amount;
                let kind = match amount.0 {
                    0.. => BillKind::FundingIn,
                    _ => BillKind::FundingOut,
                };
                let of = Some(instrument);
                let bill = Bill { kind, instrument: of, isolated, amount, ..Bill::blank(at) };
                self.book_bill(account, bill);
                let position = lots;
                let settled = Funding { account, instrument, position, rate, mark, amount, at };
                self.events.push(VenueEvent::Funding(settled));
                self.publish_position(account, instrument, side);
            }
            self.publish_account(account);
        }
        self.events.push(VenueEvent::Ticker(instrument));
        self.liquidate_due();
    }
}
