//! Entities: what the log has come to. Each mirrors one table; events change them, nothing else does.
//!
//! An [`Entities`] holds the few entities that one event touches. It reads no storage: whoever folds asks
//! the event which keys it touches, loads them, and folds.

mod balance;
mod fill;
mod order;
mod position;
mod risk_state;
mod strategy_state;

use std::collections::{BTreeMap, BTreeSet};

use crate::events::{EventContext, Violation, check};
use crate::lifecycle::Happening;
use crate::{
    AccountId, Money, OrderId, OrderRole, OrderStatus, Overflow, PositionId, PositionState, Quantity,
    StrategyId, Timestamp,
};

pub use balance::{Balance, BalanceKey};
pub(crate) use fill::sortable;
pub use fill::{Fill, FillKey};
pub use order::Order;
pub(crate) use order::OrderFill;
pub use position::Position;
pub use risk_state::{RiskKey, RiskScope, RiskState};
pub use strategy_state::{RiskConfig, StrategyState};

/// Where a row stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The last event that changed it.
    pub last_event_id: String,
    /// The place of that event in the log.
    pub last_log_seq: i64,
    /// When the event that created it happened.
    pub created_at: Timestamp,
    /// When the latest event that changed it happened.
    pub updated_at: Timestamp,
}

impl Meta {
    fn stamp(&mut self, ctx: &EventContext) {
        self.last_event_id.clone_from(&ctx.event_id);
        self.last_log_seq = ctx.log_seq;
        self.updated_at = self.updated_at.max(ctx.occurred_at);
    }
}

macro_rules! entities {
    ($($(#[$doc:meta])* $name:ident($key:ty): $get:ident, $get_mut:ident, |$e:ident| $key_of:expr;)+) => {
        /// Which entity.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub enum EntityKey {
            $($(#[$doc])* $name($key),)+
        }

        /// One entity of any kind.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Entity {
            $($(#[$doc])* $name($name),)+
        }

        impl Entity {
            /// Which entity it is.
            pub fn key(&self) -> EntityKey {
                match self {
                    $(Self::$name($e) => EntityKey::$name($key_of),)+
                }
            }

            fn stamp(&mut self, ctx: &EventContext) {
                match self {
                    $(Self::$name(entity) => entity.stamp(ctx),)+
                }
            }
        }

        $(impl From<$name> for Entity {
            fn from(entity: $name) -> Self {
                Self::$name(entity)
            }
        })+

        impl Entities {
            $(
                $(#[$doc])*
                ///
                /// # Panics
                /// When the event did not declare the key.
                pub fn $get(&self, key: $key) -> Option<&$name> {
                    match self.get(&EntityKey::$name(key)) {
                        Some(Entity::$name(entity)) => Some(entity),
                        _ => None,
                    }
                }

                $(#[$doc])*
                /// Counts as changed from here on.
                ///
                /// # Panics
                /// When the event did not declare the key.
                pub fn $get_mut(&mut self, key: $key) -> Option<&mut $name> {
                    match self.get_mut(EntityKey::$name(key)) {
                        Some(Entity::$name(entity)) => Some(entity),
                        _ => None,
                    }
                }
            )+
        }
    };
}

entities! {
    /// An order.
    Order(OrderId): order, order_mut, |e| e.order_id;
    /// A fill.
    Fill(FillKey): fill, fill_mut, |e| e.key.clone();
    /// A position.
    Position(PositionId): position, position_mut, |e| e.position_id;
    /// A balance.
    Balance(BalanceKey): balance, balance_mut, |e| e.key.clone();
    /// The risk state of an account or of a strategy in it.
    RiskState(RiskKey): risk, risk_mut, |e| e.key;
    /// A strategy.
    StrategyState(StrategyId): strategy, strategy_mut, |e| e.strategy_id;
}

/// The entities that an event touches: loaded, or known to be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entities {
    slots: BTreeMap<EntityKey, Option<Entity>>,
    changed: BTreeSet<EntityKey>,
    unstamped: BTreeSet<EntityKey>,
}

impl Entities {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what the storage holds under a key.
    pub fn load(&mut self, key: EntityKey, entity: Option<Entity>) {
        self.slots.insert(key, entity);
    }

    /// Whether the key was loaded, be it as absent.
    pub fn is_loaded(&self, key: &EntityKey) -> bool {
        self.slots.contains_key(key)
    }

    /// The entity under a key, if there is one.
    ///
    /// # Panics
    /// When the event did not declare the key: the fold would read a row that nobody loaded.
    pub fn get(&self, key: &EntityKey) -> Option<&Entity> {
        match self.slots.get(key) {
            Some(slot) => slot.as_ref(),
            None => undeclared(key),
        }
    }

    fn get_mut(&mut self, key: EntityKey) -> Option<&mut Entity> {
        match self.slots.get_mut(&key) {
            Some(Some(entity)) => {
                self.changed.insert(key.clone());
                self.unstamped.insert(key);
                Some(entity)
            }
            Some(None) => None,
            None => undeclared(&key),
        }
    }

    /// Puts an entity in its place.
    ///
    /// # Panics
    /// When the event did not declare the key.
    pub fn put(&mut self, entity: impl Into<Entity>) {
        let entity = entity.into();
        let key = entity.key();
        match self.slots.get_mut(&key) {
            Some(slot) => *slot = Some(entity),
            None => undeclared(&key),
        }
        self.changed.insert(key.clone());
        self.unstamped.insert(key);
    }

    /// The keys of what was changed since it was loaded.
    pub fn changed(&self) -> impl Iterator<Item = &EntityKey> {
        self.changed.iter()
    }

    /// Every loaded key.
    pub fn loaded(&self) -> impl Iterator<Item = &EntityKey> {
        self.slots.keys()
    }

    /// Every entity that is present.
    pub fn iter(&self) -> impl Iterator<Item = &Entity> {
        self.slots.values().flatten()
    }

    pub(crate) fn stamp(&mut self, ctx: &EventContext) {
        for key in std::mem::take(&mut self.unstamped) {
            if let Some(Some(entity)) = self.slots.get_mut(&key) {
                entity.stamp(ctx);
            }
        }
    }

    pub(crate) fn existing_position(&self, id: PositionId) -> Result<&Position, Violation> {
        self.position(id).ok_or_else(|| Violation::missing("position", id))
    }

    pub(crate) fn existing_strategy(&self, id: StrategyId) -> Result<&StrategyState, Violation> {
        self.strategy(id).ok_or_else(|| Violation::missing("strategy", id))
    }

    pub(crate) fn account_risk(&self, account_id: AccountId) -> Result<&RiskState, Violation> {
        let key = RiskKey { account_id, scope: RiskScope::Account };
        self.risk(key).ok_or_else(|| Violation::missing("open month of account", account_id))
    }

    /// The keys behind a strategy: itself, its risk and its account's.
    pub(crate) fn strategy_keys(&self, id: StrategyId) -> Vec<EntityKey> {
        let key = EntityKey::StrategyState(id);
        if !self.is_loaded(&key) {
            return vec![key];
        }
        let account_id = self.strategy(id).map(|strategy| strategy.account_id);
        let risks = account_id.map(|account| [RiskKey::account(account), RiskKey::strategy(account, id)]);
        [key].into_iter().chain(risks.into_iter().flatten().map(Into::into)).collect()
    }

    /// Puts a strategy in its place and lets its limits hold.
    ///
    /// Its risk state begins with the strategy and not with its first limit, so that a limit that is set
    /// later finds true sums.
    pub(crate) fn put_strategy(
        &mut self,
        strategy: StrategyState,
        ctx: &EventContext,
    ) -> Result<(), Violation> {
        let RiskConfig { max_exposure, daily_loss_limit } = strategy.risk_config;
        for limit in [max_exposure, daily_loss_limit].into_iter().flatten() {
            check(limit >= Money::ZERO, || format!("{limit} cannot be a limit: it is below zero"))?;
        }
        let key = RiskKey::strategy(strategy.account_id, strategy.strategy_id);
        if self.risk(key).is_none() {
            let account = self.risk(RiskKey::account(strategy.account_id));
            let (period, base) = account.map_or((ctx.occurred_at.month(), Money::ZERO), |account| {
                (account.period, account.capital_base)
            });
            self.put(RiskState::opened(key, period, base, ctx));
        }
        if let Some(risk) = self.risk_mut(key) {
            risk.max_exposure = max_exposure;
            risk.daily_loss_limit = daily_loss_limit;
        }
        self.put(strategy);
        Ok(())
    }

    /// Changes the risk states that something counts in: its account's and, where it has one, its
    /// strategy's, which is taken into the account's month first.
    pub(crate) fn move_risk(
        &mut self,
        account_id: AccountId,
        strategy_id: Option<StrategyId>,
        at: Timestamp,
        change: impl Fn(&mut RiskState) -> Result<(), Overflow>,
    ) -> Result<(), Overflow> {
        let Some(account) = self.risk_mut(RiskKey::account(account_id)) else { return Ok(()) };
        change(account)?;
        let (period, base) = (account.period, account.capital_base);
        match strategy_id.and_then(|id| self.risk_mut(RiskKey::strategy(account_id, id))) {
            Some(strategy) => strategy.follow(period, base, at).and_then(|()| change(strategy)),
            None => Ok(()),
        }
    }

    /// The keys behind a position: itself, its account's risk, its strategy and its risk, its entry order.
    pub(crate) fn position_keys(&self, id: PositionId) -> Vec<EntityKey> {
        let key = EntityKey::Position(id);
        if !self.is_loaded(&key) {
            return vec![key];
        }
        let mut keys = vec![key];
        if let Some(position) = self.position(id) {
            keys.push(RiskKey::account(position.account_id).into());
            keys.extend(position.strategy_id.map(EntityKey::StrategyState));
            keys.extend(position.strategy_id.map(|id| RiskKey::strategy(position.account_id, id).into()));
            keys.extend(position.entry_order_id.map(EntityKey::Order));
        }
        keys
    }

    /// The keys behind an order: itself and those of its position.
    pub(crate) fn order_keys(&self, id: OrderId) -> Vec<EntityKey> {
        let key = EntityKey::Order(id);
        if !self.is_loaded(&key) {
            return vec![key];
        }
        let order = self.order(id);
        let mut keys = order.and_then(|o| o.position_id).map(|p| self.position_keys(p)).unwrap_or_default();
        keys.extend(order.map(|o| RiskKey::account(o.account_id).into()));
        keys.push(key);
        keys
    }

    /// Replaces a position and moves the running totals that it counts in by the difference.
    ///
    /// The latent risk is computed here, after every change, so that no event can forget it.
    pub(crate) fn replace_position(
        &mut self,
        mut position: Position,
        ctx: &EventContext,
    ) -> Result<(), Violation> {
        let before = self.existing_position(position.position_id)?;
        let (latent, exposure) = (before.latent_risk, before.exposure()?);
        let entry_order = position.entry_order_id.and_then(|id| self.order(id));
        position.latent_risk = position.latent_risk_with(entry_order)?;
        let (latent, exposure) = (position.latent_risk.minus(latent)?, position.exposure()?.minus(exposure)?);
        self.move_risk(position.account_id, position.strategy_id, ctx.occurred_at, |risk| {
            risk.reserve(latent, exposure, ctx.occurred_at)
        })?;
        self.put(position);
        Ok(())
    }

    /// Ends an order without a fill; an entry that held nothing frees its position.
    pub(crate) fn end_order(&mut self, id: OrderId, end: OrderEnd, ctx: &EventContext) {
        let Some(order) = self.order_mut(id).filter(|order| order.is_working()) else { return };
        order.status = end.status;
        order.reason = Some(end.reason);
        let filled = order.filled_quantity.max(end.filled_quantity);
        let (role, position_id) = (order.role, order.position_id);
        let position = position_id.and_then(|id| self.position(id)).filter(|p| p.state.is_live());
        let Some(mut position) = position.cloned() else { return };
        let happening = match role {
            OrderRole::Entry if filled.is_zero() => Some(Happening::EntryEnded),
            OrderRole::Exit => Some(Happening::ExitRefused),
            OrderRole::Entry | OrderRole::Stop => None,
        };
        let taken = happening.map_or(Ok(None), |happening| position.take(happening));
        if happening == Some(Happening::EntryEnded) {
            position.forget_entry();
        }
        if position.state == PositionState::Cancelled {
            position.closed_at = Some(ctx.occurred_at);
        }
        let position_id = position.position_id;
        let settled = taken.map_err(Violation::from).and_then(|_| self.replace_position(position, ctx));
        if let Err(violation) = settled {
            self.fault(position_id, violation.to_string(), ctx);
        }
    }

    /// Puts a position into error: a fact of the venue says what must not be.
    pub(crate) fn fault(&mut self, id: PositionId, reason: String, ctx: &EventContext) {
        if let Some(position) = self.position(id) {
            let mut position = position.clone();
            position.fault(reason);
            // The totals of a row that overflowed stay as they are: the error itself must not fail.
            if self.replace_position(position.clone(), ctx).is_err() {
                self.put(position);
            }
        }
    }
}

/// How an order ended without being filled.
#[derive(Debug)]
pub(crate) struct OrderEnd {
    pub(crate) status: OrderStatus,
    pub(crate) reason: String,
    pub(crate) filled_quantity: Quantity,
}

#[expect(clippy::panic, reason = "a fold that reads a row which nobody loaded would invent an absence")]
fn undeclared(key: &EntityKey) -> ! {
    panic!("undeclared key: {key:?} was not loaded, because the event's `touches` does not name it")
}
