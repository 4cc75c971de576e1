//! A desk on which everything is fine, for tests to break one thing of.

use keel_core::event::FeeSource;
use keel_core::gate::{AccountView, InstrumentView, Intent, Purpose, TimeInForce, View};
use keel_core::guard::GuardState;
use keel_core::instrument::{InstrumentId, btcusdt};
use keel_core::param::{Params, Profile};
use keel_core::units::{Lots, MonoNanos, Quote, Rate, SECONDS, Side, Ticks, UnixNanos};

/// The mid of the fixture's book, in ticks: 80,000.0.
pub(crate) const MID: i64 = 800_000;

/// Parameters, account and one instrument.
pub(crate) struct Desk {
    pub(crate) params: Params,
    pub(crate) account: AccountView,
    pub(crate) instruments: [InstrumentView; 1],
}

impl Desk {
    /// The time of the fixture.
    pub(crate) const NOW: MonoNanos = MonoNanos(10_000 * SECONDS);

    /// Everything is fine: running, fresh, flat, 10,000 USDT.
    pub(crate) fn fine() -> Self {
        let rules = btcusdt();
        let equity = Some(Quote::usdt(10_000));
        Self {
            params: Params::defaults(Profile::Wide),
            account: AccountView {
                state: GuardState::Running,
                ready: true,
                private_live: true,
                private_at: Self::NOW,
                reconciled: true,
                utc: UnixNanos(1_790_000_000 * SECONDS as i64),
                utc_at: Self::NOW,
                equity,
                day_open: equity,
                high_water: equity,
                week_open: equity,
                margin_ratio: Some(Rate::ZERO),
                leverage: 5,
                settings_fit: Some(true),
                settings_at: Self::NOW,
                ..AccountView::EMPTY
            },
            instruments: [InstrumentView {
                rules: Some(rules),
                rules_at: Self::NOW,
                fee_source: FeeSource::Venue,
                fee_at: Self::NOW,
                touch: Some((Ticks(MID - 1), Ticks(MID + 1))),
                last_mid_x2: MID * 2,
                book_at: Self::NOW,
                mark: rules.price(Ticks(MID)),
                ticker_at: Self::NOW,
                ..InstrumentView::EMPTY
            }],
        }
    }

    /// What the gate sees.
    pub(crate) fn view(&self) -> View<'_> {
        View { params: &self.params, account: &self.account, instruments: &self.instruments }
    }

    /// A quote that passes.
    pub(crate) const fn intent() -> Intent {
        Intent {
            instrument: InstrumentId(0),
            side: Side::Buy,
            price: Ticks(MID - 100),
            lots: Lots(10),
            time_in_force: TimeInForce::PostOnly,
            reduce_only: false,
            level: 0,
            purpose: Purpose::Quote,
            made: Self::NOW,
        }
    }
}
