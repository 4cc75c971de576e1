//! Others: what people and the venue do to the account's orders, without the product's asking.

use keel_core::decimal::{Decimal, Grid};
use keel_core::units::{Lots, Side};
use keel_sim::order::{Order, OrderKind, OrderRef, PlaceRequest, PosSide, StpMode, TimeInForce};
use keel_sim::venue::HouseOrder;

use super::World;
use super::chance::Chance;

impl World<'_> {
    /// A person rests a small order on the account, away from the touch.
    pub(super) fn place_by_hand(&mut self, chance: &mut Chance) -> bool {
        let utc = self.net.utc(self.now);
        let side = if chance.one_in(2) { Side::Buy } else { Side::Sell };
        let symbol = chance.pick(&self.config.symbols);
        let venue = self.net.exchange_mut().venue_mut();
        let Some(id) = venue.find(symbol.as_str()) else { return false };
        let contract = venue.instrument(id);
        let Some(touch) = contract.book.depth(side).next() else { return false };
        let away = touch.price.0 / 500 * if side == Side::Buy { -1 } else { 1 };
        let grids = contract.rules.grids;
        let (price, size) = (touch.price.0 + away, contract.rules.size_min.0 * 4);
        let number = |steps: i64, grid: Grid| Decimal {
            mantissa: steps.saturating_mul(grid.step),
            scale: grid.scale,
        };
        let request = PlaceRequest {
            instrument: id,
            side,
            pos_side: PosSide::Net,
            kind: OrderKind::Limit,
            price: Some(number(price, grids.price)),
            size: number(size, grids.size),
            time_in_force: TimeInForce::Gtc,
            reduce_only: false,
            stp: StpMode::None,
            margin_mode: None,
            client_id: None,
        };
        let placed = venue.place(self.account, &request, utc).is_ok();
        self.net.exchange_mut().step(utc);
        placed
    }

    /// The venue cancels an order of ours unasked.
    pub(super) fn cancel_unasked(&mut self) -> bool {
        let utc = self.net.utc(self.now);
        let venue = self.net.exchange_mut().venue_mut();
        let Some(id) = venue.account(self.account).open_orders().next() else { return false };
        let canceled = venue.cancel(self.account, &OrderRef::Id(id), utc).is_ok();
        self.net.exchange_mut().step(utc);
        canceled
    }

    /// Another account takes a part of an order of ours, and before it all that stands in front.
    /// False when none rests with a size that has parts.
    pub(super) fn fill_partly(&mut self, chance: &mut Chance) -> bool {
        let utc = self.net.utc(self.now);
        let instance = self.start.instance;
        let venue = self.net.exchange_mut().venue_mut();
        let orders = venue.account(self.account).open_orders().filter_map(|id| venue.order(id));
        let has_parts = |order: &&Order| {
            order.left().0 > 1 && instance.read(order.client_id.as_bytes()).is_own()
        };
        let ours: Vec<&Order> = orders.filter(has_parts).collect();
        if ours.is_empty() {
            return false;
        }
        let order = ours[chance.below(ours.len() as u64) as usize];
        let (instrument, price, side) = (order.instrument, order.price, order.side);
        let queue = venue.instrument(instrument).book.queue(side);
        let before: Lots = queue
            .take_while(|(_, resting)| resting.id != order.id.0)
            .fold(Lots::ZERO, |sum, (_, resting)| sum + resting.left);
        let part = Lots(chance.between(1, order.left().0 as u64 - 1) as i64);
        let house = venue.accounts().iter().find(|account| account.name == TAKER);
        let house = house.map(|account| account.id);
        let house = house.unwrap_or_else(|| venue.open_house(TAKER, utc));
        let taken = HouseOrder {
            side: side.opposite(),
            kind: OrderKind::Limit,
            price,
            size: before + part,
            time_in_force: TimeInForce::Ioc,
        };
        let filled = venue.house_place(house, instrument, &taken, utc).filled;
        self.net.exchange_mut().step(utc);
        !filled.is_zero()
    }
}

/// The account that takes parts of orders.
const TAKER: &str = "taker of parts";
