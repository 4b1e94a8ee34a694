//! The exchange and market data ports, the paper exchange and recorded feeds.
//!
//! What is decided here is what a *venue* would decide: whether it takes an order, when and at what price
//! it fills. What to trade, and how much, is decided elsewhere. No clock is read: a recorded feed brings
//! its own.

pub mod exchange;
pub mod feed;
mod file_error;
mod market_data;
pub mod paper;
pub mod plan;

pub use file_error::{FeedError, FileError, PlanError};
pub use market_data::MarketData;
