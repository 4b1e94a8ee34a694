//! `balances_current`: one row per account and asset.

use robson_domain::{AccountId, Amount, Asset, Balance, BalanceKey, Meta, Timestamp};

use crate::table::table;

table! {
    "balances_current" holds Balance, keyed by 2;
    [key: BalanceKey {
        account_id: AccountId,
        asset: Asset,
    }]
    free: Amount,
    locked: Amount,
    total: Amount,
    sampled_at: Timestamp,
    [meta: Meta {
        last_event_id: String,
        last_log_seq: i64,
        created_at: Timestamp,
        updated_at: Timestamp,
    }]
}
