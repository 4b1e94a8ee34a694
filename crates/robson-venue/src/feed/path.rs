//! The straight line of a bar's step: its price and its volume at every microsecond.

use robson_domain::{Price, Quantity, Timestamp};
use rust_decimal::Decimal;

use super::TickGrid;
use super::grid::along;

/// Volumes are exact to so many decimals, as in the recorded rows.
const VOLUME_SCALE: u32 = 12;

/// The part of a step on which a tick's price was reached.
///
/// The ends of the whole step are kept when a tick is split, so price and volume at an instant are the same
/// however often the step was split before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub(super) begins_at: Timestamp,
    pub(super) from_at: Timestamp,
    pub(super) from: i64,
    pub(super) to_at: Timestamp,
    pub(super) to: i64,
    pub(super) quantity: Quantity,
    pub(super) grid: TickGrid,
}

impl Path {
    /// A whole step between two prices, in which a quantity changes hands evenly; none where it takes no
    /// time or a price does not fit the tick size.
    pub fn new(
        from: (Timestamp, Price),
        to: (Timestamp, Price),
        quantity: Quantity,
        tick_size: Price,
    ) -> Option<Self> {
        let grid = TickGrid::new(tick_size);
        let (from_ticks, to_ticks) = (grid.nearest(from.1.get())?, grid.nearest(to.1.get())?);
        Self::between((from.0, from_ticks), (to.0, to_ticks), quantity, grid)
    }

    pub(super) fn between(
        (from_at, from): (Timestamp, i64),
        (to_at, to): (Timestamp, i64),
        quantity: Quantity,
        grid: TickGrid,
    ) -> Option<Self> {
        let path = Self { begins_at: from_at, from_at, from, to_at, to, quantity, grid };
        (from_at < to_at).then_some(path)
    }

    /// When this part of the step began, exclusive: the step before, or where the step was split.
    pub const fn begins_at(&self) -> Timestamp {
        self.begins_at
    }

    /// The price at an instant, on the tick grid; before and after the step, that of its ends.
    pub fn price_at(&self, at: Timestamp) -> Price {
        self.grid.price(along(self.from, self.to, self.micros_to(at), self.micros()))
    }

    /// The first microsecond after the part's beginning and before the step's end at which the price has
    /// reached a level.
    pub(super) fn first_reaching(&self, level: Price, falling: bool) -> Option<Timestamp> {
        let has_reached = |micros: i64| {
            let price = self.price_at(self.from_at.plus_micros(micros));
            if falling { price <= level } else { price >= level }
        };
        // The price is monotone, so where the last microsecond has reached the level and the first has not,
        // there is one place between them at which it is first reached.
        let mut first = self.micros_to(self.begins_at) + 1;
        let mut last = self.micros() - 1;
        if first > last {
            return None;
        }
        if !has_reached(first) {
            if !has_reached(last) {
                return None;
            }
            while last - first > 1 {
                let middle = first + (last - first) / 2;
                if has_reached(middle) { last = middle } else { first = middle }
            }
            first = last;
        }
        Some(self.from_at.plus_micros(first))
    }

    /// What changed hands in this part up to an instant.
    pub(super) fn quantity_to(&self, at: Timestamp) -> Option<Quantity> {
        Quantity::new(self.flowed(at).checked_sub(self.flowed(self.begins_at))?).ok()
    }

    /// What changed hands in the step up to an instant, cut after the twelfth decimal.
    fn flowed(&self, at: Timestamp) -> Decimal {
        let mut whole = self.quantity.get();
        whole.rescale(VOLUME_SCALE);
        let (part, micros) = (i128::from(self.micros_to(at)), i128::from(self.micros()));
        let mantissa = whole.mantissa();
        let flowed =
            mantissa.checked_mul(part).map_or_else(|| mantissa / micros * part, |scaled| scaled / micros);
        Decimal::try_from_i128_with_scale(flowed, whole.scale()).expect("no more than the whole")
    }

    /// From the step's beginning, held within the step.
    fn micros_to(&self, at: Timestamp) -> i64 {
        at.micros_since(self.from_at).clamp(0, self.micros())
    }

    fn micros(&self) -> i64 {
        self.to_at.micros_since(self.from_at)
    }
}
