//! The closing report: what the log came to, read from its tables.

use std::fmt;
use std::time::Duration;

use robson_domain::{Money, Overflow, Position, PositionState, Timestamp};
use robson_eventlog::{RowQuery, Store, StoreError, TenantId, Value};
use robson_projector::positions_current;
use rust_decimal::Decimal;
use serde::Serialize;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The database could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] robson_projector::BadRow),
    /// A sum left the range of decimals.
    #[error(transparent)]
    Overflow(#[from] Overflow),
}

/// What the log came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Positions that were closed.
    pub trades: usize,
    /// Those that gained after fees.
    pub wins: usize,
    /// Wins by trades; none without trades.
    pub win_rate: Option<Decimal>,
    /// What the trades realized before fees.
    pub gross_pnl: Money,
    /// What they paid.
    pub fees: Money,
    /// What they realized after fees.
    pub net_pnl: Money,
    /// The deepest fall of the running net result from its best, closed trades only.
    pub max_drawdown: Money,
    /// Positions that are still live.
    pub still_live: usize,
    /// Events in the log.
    pub events: i64,
}

impl Report {
    /// Reads the report.
    ///
    /// # Errors
    /// As the store says.
    pub async fn read<S: Store>(store: &S, tenant: TenantId) -> Result<Self, ReportError> {
        let closed = positions_in(store, tenant, PositionState::Closed).await?;
        let mut still_live = 0;
        for state in PositionState::ALL.iter().filter(|state| state.is_live()) {
            still_live += positions_in(store, tenant, *state).await?.len();
        }
        let events = store.head(tenant).await?.log_seq;
        Self::of(closed, still_live, events)
    }

    fn of(mut closed: Vec<Position>, still_live: usize, events: i64) -> Result<Self, ReportError> {
        closed.sort_by_key(|position| (position.closed_at, position.position_id));
        let (mut gross, mut fees, mut best, mut max_drawdown) =
            (Money::ZERO, Money::ZERO, Money::ZERO, Money::ZERO);
        let mut wins = 0;
        for position in &closed {
            gross = gross.plus(position.realized_pnl)?;
            fees = fees.plus(position.total_fees)?;
            wins += usize::from(position.net_pnl()? > Money::ZERO);
            let net = gross.minus(fees)?;
            best = best.max(net);
            max_drawdown = max_drawdown.max(best.minus(net)?);
        }
        let trades = closed.len();
        let win_rate = Decimal::from(wins).checked_div(Decimal::from(trades)).map(|rate| rate.round_dp(4));
        Ok(Self {
            trades,
            wins,
            win_rate,
            gross_pnl: gross,
            fees,
            net_pnl: gross.minus(fees)?,
            max_drawdown,
            still_live,
            events,
        })
    }
}

async fn positions_in<S: Store>(
    store: &S,
    tenant: TenantId,
    state: PositionState,
) -> Result<Vec<Position>, ReportError> {
    let query = RowQuery::filter("state", Value::Text(state.as_str().to_owned()));
    let rows = store.rows(tenant, &positions_current::TABLE, &query).await?;
    Ok(rows.iter().map(positions_current::entity).collect::<Result<_, _>>()?)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.win_rate.and_then(|rate| rate.checked_mul(Decimal::ONE_HUNDRED));
        let percent = percent.map_or_else(|| "-".to_owned(), |percent| format!("{} %", percent.round_dp(1)));
        writeln!(f, "trades        {:>14}  ({} won, {percent})", self.trades, self.wins)?;
        writeln!(f, "gross PnL     {:>14}", self.gross_pnl.to_cents())?;
        writeln!(f, "fees          {:>14}", self.fees.to_cents())?;
        writeln!(f, "net PnL       {:>14}", self.net_pnl.to_cents())?;
        writeln!(f, "max drawdown  {:>14}", self.max_drawdown.to_cents())?;
        writeln!(f, "still live    {:>14}", self.still_live)?;
        write!(f, "events        {:>14}", self.events)
    }
}

/// How fast a run was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pace {
    /// Ticks taken in.
    pub ticks: u64,
    /// Events appended.
    pub events: u64,
    /// How long it took, by the wall.
    pub elapsed: Duration,
    /// The feed's clock at the end.
    pub feed_at: Timestamp,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.elapsed.as_millis().max(1);
        let per_second = |count: u64| u128::from(count) * 1_000 / millis;
        write!(
            f,
            "{} ticks to {} in {}.{:03} s: {} ticks/s, {} events/s",
            self.ticks,
            self.feed_at,
            millis / 1_000,
            millis % 1_000,
            per_second(self.ticks),
            per_second(self.events)
        )
    }
}
