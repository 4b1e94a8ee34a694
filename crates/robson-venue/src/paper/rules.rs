//! How the paper exchange trades: costs, latency, the part of the volume that it may take, and its refusals.

use robson_domain::{Asset, Fraction, Timestamp};
use rust_decimal::Decimal;

use crate::exchange::Refusal;

/// The terms on which orders fill; the same for every symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaperRules {
    /// What the account holds, fees are taken in and symbols are priced in.
    pub quote: Asset,
    /// The part of a fill's value that it costs.
    pub taker_fee: Fraction,
    /// How much worse than the market a fill is.
    pub slippage: Fraction,
    /// The time from acceptance until an order can fill, in microseconds.
    pub latency_micros: i64,
    /// The part of each bar's, or each recorded trade's, volume that our orders may take together.
    pub participation: Fraction,
}

impl PaperRules {
    /// A fee of 0.1 %, a slippage of 2 basis points, 50 ms of latency and a quarter of the volume.
    pub fn new(quote: Asset) -> Self {
        let fraction = |value, scale| Fraction::new(Decimal::new(value, scale)).expect("between 0 and 1");
        Self {
            quote,
            taker_fee: fraction(1, 3),
            slippage: fraction(2, 4),
            latency_micros: 50_000,
            participation: fraction(25, 2),
        }
    }
}

/// Why the paper exchange does not take an order; codes and words as on Binance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaperRefusal {
    /// The id was used for another order.
    DuplicateId,
    /// The symbol is not traded here.
    UnknownSymbol,
    /// Only market orders are taken.
    OrderType,
    /// The quantity is off the step or too small.
    LotSize,
    /// The order is worth too little.
    Notional,
    /// No price of the symbol has been seen, so the order's value is unknown.
    NoPrice,
    /// The account cannot pay for it.
    Margin,
    /// There is no position that it could reduce.
    ReduceOnly,
    /// A test asked for it.
    OnDemand,
}

impl PaperRefusal {
    /// The code.
    pub const fn code(self) -> i64 {
        match self {
            Self::DuplicateId | Self::OnDemand => -2010,
            Self::UnknownSymbol => -1121,
            Self::OrderType => -1116,
            Self::LotSize | Self::Notional | Self::NoPrice => -1013,
            Self::Margin => -2019,
            Self::ReduceOnly => -2022,
        }
    }

    /// The words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::DuplicateId => "Duplicate order sent.",
            Self::UnknownSymbol => "Invalid symbol.",
            Self::OrderType => "Invalid orderType.",
            Self::LotSize => "Filter failure: LOT_SIZE",
            Self::Notional => "Filter failure: NOTIONAL",
            Self::NoPrice => "Market has no price yet.",
            Self::Margin => "Margin is insufficient.",
            Self::ReduceOnly => "ReduceOnly Order is rejected.",
            Self::OnDemand => "Order would be refused on demand.",
        }
    }

    pub(super) fn at(self, at: Timestamp) -> Refusal {
        Refusal { code: self.code(), reason: self.reason().to_owned(), at }
    }
}
