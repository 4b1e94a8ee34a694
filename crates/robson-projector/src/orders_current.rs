//! `orders_current`: one row per order; a client order id is unique within its account.

use robson_domain::{AccountId, Amount, Asset, ClientOrderId, IntentId, Meta, Money, Order, OrderId, OrderRole, OrderSide, OrderStatus, OrderType, PositionId, Price, Quantity, Symbol, Timestamp};

use crate::table::table;

table! {
    "orders_current" holds Order, keyed by 1;
    order_id: OrderId,
    account_id: AccountId,
    position_id: Option<PositionId>,
    intent_id: IntentId,
    role: OrderRole,
    client_order_id: ClientOrderId,
    exchange_order_id: Option<String>,
    exchange_trade_ids: Vec<String>,
    symbol: Symbol,
    side: OrderSide,
    order_type: OrderType,
    reduce_only: bool,
    quantity: Quantity,
    price: Option<Price>,
    stop_price: Option<Price>,
    filled_quantity: Quantity,
    average_fill_price: Option<Price>,
    total_fee: Amount,
    fee_asset: Option<Asset>,
    total_fee_quote: Money,
    status: OrderStatus,
    reason: Option<String>,
    filled_at: Option<Timestamp>,
    [meta: Meta {
        last_event_id: String,
        last_log_seq: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }]
}
