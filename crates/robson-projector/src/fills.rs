//! `fills`: one row per fill; rows are only ever added.

use robson_domain::{AccountId, Amount, Asset, Fill, FillId, FillKey, Money, OrderId, OrderSide, Price, Quantity, Symbol, Timestamp, Venue};

use crate::table::table;

table! {
    "fills" holds Fill, keyed by 4;
    [key: FillKey {
        venue: Venue,
        account_id: AccountId,
        symbol: Symbol,
        exchange_trade_id: String,
    }]
    fill_id: FillId,
    order_id: OrderId,
    exchange_order_id: String,
    side: OrderSide,
    fill_price: Price,
    fill_quantity: Quantity,
    fee: Amount,
    fee_asset: Asset,
    fee_quote: Money,
    fee_estimated: bool,
    is_maker: bool,
    filled_at: Timestamp,
    ingested_at: Timestamp,
}
