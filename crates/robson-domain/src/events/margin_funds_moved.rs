//! MARGIN_FUNDS_MOVED: money came, went or was charged without a trade.
//!
//! A fact: it is always kept. What a loan or a funding costs is the month's; money taken out lowers the month's
//! base, and money paid in raises the base of the next month only.
//!
//! Changes: what the month has realized, or its base.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Author, EventBody, EventContext, StreamName, Violation};
use crate::entities::{Entities, EntityKey, RiskKey, RiskState, sortable};
use crate::{AccountId, Amount, Asset, FundsMove, Money, Overflow, Symbol};

/// Money came, went or was charged without a trade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarginFundsMoved {
    /// The account.
    pub account_id: AccountId,
    /// Why it moved.
    pub kind: FundsMove,
    /// What moved.
    pub asset: Asset,
    /// By how much; the kind tells the direction, and a funding fee is below zero where the account paid it.
    pub amount: Amount,
    /// The amount in quote currency, where the asset is another.
    pub amount_quote: Option<Money>,
    /// What it was charged for, where the venue told.
    pub symbol: Option<Symbol>,
    /// The venue's id of it, unique within the account; where ids are unique per kind only, with the kind in front.
    pub exchange_tx_id: String,
}

impl MarginFundsMoved {
    fn book(&self, risk: &mut RiskState, ctx: &EventContext) -> Result<(), Overflow> {
        let amount = self.amount_quote.map_or(self.amount.get(), Money::get);
        let money = |amount| Money::new(amount).map_err(|_| Overflow);
        match self.kind {
            FundsMove::FundingFee => risk.book(money(amount)?, ctx.occurred_at),
            FundsMove::Interest => risk.book(money(-amount.abs())?, ctx.occurred_at),
            FundsMove::TransferOut => risk.lower_base(money(amount.abs())?, ctx.occurred_at),
            FundsMove::TransferIn | FundsMove::Borrow | FundsMove::Repay => Ok(()),
        }
    }
}

impl EventBody for MarginFundsMoved {
    const TYPE: &'static str = "MARGIN_FUNDS_MOVED";
    const AUTHOR: Author = Author::Connector;

    fn stream(&self) -> StreamName {
        StreamName::Account(self.account_id)
    }

    fn natural_key(&self) -> Option<String> {
        Some(format!("funds/{}/{}", self.account_id, sortable(&self.exchange_tx_id)))
    }

    /// Two channels report the rest of it differently.
    fn fingerprint_payload(&self) -> Option<Value> {
        Some(json!({"kind": self.kind, "asset": self.asset, "amount": self.amount}))
    }

    fn touches(&self, _entities: &Entities) -> Vec<EntityKey> {
        vec![RiskKey::account(self.account_id).into()]
    }

    fn apply(&self, ctx: &EventContext, entities: &mut Entities) -> Result<(), Violation> {
        let Some(before) = entities.risk(RiskKey::account(self.account_id)) else { return Ok(()) };
        let mut risk = before.clone();
        if self.book(&mut risk, ctx).is_err() {
            // Sums that overflow stay as they were, and somebody must look: the money has moved.
            risk = before.clone();
            risk.open_discrepancies += 1;
        }
        entities.put(risk);
        Ok(())
    }
}
