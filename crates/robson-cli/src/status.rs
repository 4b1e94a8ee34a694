//! `status`: live positions, the month's budget and balances, from the database alone.

use std::fmt;
use std::time::Duration;

use robson_domain::{AccountId, Month, RiskScope, RiskState};
use robson_eventlog::{Row, RowQuery, Value};
use robson_projector::{balances_current, positions_current, risk_state_current, time_of};
use robsond::questions::{self, Halt, WaitingEntry};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::json;

use crate::args::Status;
use crate::db::Database;
use crate::failure::Failure;
use crate::positions::{self, unreadable};
use crate::printer::{Align, Cell, Listing, Printer, Tone, cents, seconds, short_id};
use crate::tables;

const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// One trade risks 1 % of the base, and at most four such risks fit the month's 4 %.
const SLOTS_MAX: i64 = 4;

/// `status`.
///
/// # Errors
/// As the store says.
pub async fn run(db: &Database, args: &Status, printer: &mut Printer) -> Result<(), Failure> {
    if !args.watch {
        return look(db, false, printer).await;
    }
    let mut looks = tokio::time::interval(LOOK_AGAIN);
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            _ = looks.tick() => {
                printer.wipe()?;
                look(db, true, printer).await?;
                printer.flush()?;
            }
        }
    }
}

/// Whether an account is halted, and what halted it.
#[derive(Debug, Clone, Serialize)]
pub struct AccountHalt {
    account_id: AccountId,
    period: Month,
    halted: bool,
    halt: Option<Halt>,
}

impl fmt::Display for AccountHalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (account, period) = (short_id(self.account_id), self.period);
        match &self.halt {
            None if self.halted => write!(f, "account {account} is halted for the rest of {period}"),
            None => write!(f, "account {account} is not halted in {period}"),
            Some(halt) => {
                let why = halt.reason.as_deref().unwrap_or(halt.limit.as_str());
                let since = seconds(halt.at);
                write!(
                    f,
                    "account {account} is halted for the rest of {period} since {since} by {}: {why}",
                    halt.by
                )
            }
        }
    }
}

/// Which accounts are halted.
///
/// # Errors
/// As the store says.
pub async fn halts(db: &Database) -> Result<Vec<AccountHalt>, Failure> {
    let of_accounts = RowQuery::filter("scope", Value::Text(RiskScope::Account.to_string()));
    let mut halts = Vec::new();
    for row in db.rows(&risk_state_current::TABLE, &of_accounts).await? {
        let risk = risk_state_current::entity(&row).map_err(unreadable)?;
        let halt = match db.tenant() {
            Some(tenant) if risk.halted => questions::halt_of(db.store().as_ref(), tenant, &risk).await?,
            _ => None,
        };
        let (account_id, period, halted) = (risk.key.account_id, risk.period, risk.halted);
        halts.push(AccountHalt { account_id, period, halted, halt });
    }
    Ok(halts)
}

/// The entries that wait for the operator.
///
/// # Errors
/// As the store says.
pub async fn waiting(db: &Database) -> Result<Vec<WaitingEntry>, Failure> {
    match db.tenant() {
        Some(tenant) => Ok(questions::waiting_entries(db.store().as_ref(), tenant).await?),
        None => Ok(Vec::new()),
    }
}

fn waiting_listing(waiting: &[WaitingEntry]) -> Listing {
    let cells = |entry: &WaitingEntry| {
        vec![
            Cell::of(short_id(entry.decision_id)),
            Cell::of(short_id(entry.position_id)),
            Cell::of(&entry.symbol),
            Cell::of(entry.side),
            Cell::of(entry.entry_price),
            Cell::of(entry.stop_price),
            Cell::of(entry.quantity),
            Cell::of(cents(entry.planned_risk.get())),
            Cell::time(entry.expires_at),
        ]
    };
    Listing {
        columns: vec![
            ("DECISION", Align::Left),
            ("POSITION", Align::Left),
            ("SYMBOL", Align::Left),
            ("SIDE", Align::Left),
            ("ENTRY", Align::Right),
            ("STOP", Align::Right),
            ("QUANTITY", Align::Right),
            ("RISK", Align::Right),
            ("WAITS UNTIL", Align::Left),
        ],
        rows: waiting.iter().map(cells).collect(),
        when_empty: "no entry waits",
    }
}

/// One line of JSON where it is one of many.
async fn look(db: &Database, is_one_of_many: bool, printer: &mut Printer) -> Result<(), Failure> {
    let head = db.head().await?;
    let live = positions::live(db).await?;
    let of_accounts = RowQuery::filter("scope", Value::Text(RiskScope::Account.to_string()));
    let risk = db.rows(&risk_state_current::TABLE, &of_accounts).await?;
    let balances = db.rows(&balances_current::TABLE, &RowQuery::all()).await?;
    let waiting = waiting(db).await?;
    let states =
        risk.iter().map(risk_state_current::entity).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    if printer.is_json {
        let positions: Vec<_> = live.iter().map(|(row, _)| row.to_json(&positions_current::TABLE)).collect();
        let budgets: Vec<_> = risk.iter().zip(&states).map(|(row, state)| budget_json(row, state)).collect();
        let balances: Vec<_> = balances.iter().map(|row| row.to_json(&balances_current::TABLE)).collect();
        let json = json!({
            "tenant_id": db.tenant().map(|tenant| tenant.to_string()),
            "log_seq": head.log_seq,
            "ingested_at": (head.log_seq > 0).then(|| head.ingested_at.to_string()),
            "active_positions": live.len(),
            "positions": positions,
            "budgets": budgets,
            "balances": balances,
            "approvals": waiting,
        });
        return Ok(printer.json(&json, is_one_of_many)?);
    }
    let log = match head.log_seq {
        0 => "the log is empty".to_owned(),
        count => format!("{count} events, the last at {} UTC", seconds(time_of(head.ingested_at))),
    };
    printer.line(printer.toned(Tone::Faint, &log))?;
    printer.line("")?;
    printer.table(&positions::listing(live.iter().map(|(_, position)| position), "no live positions"))?;
    printer.line("")?;
    if !waiting.is_empty() {
        printer.table(&waiting_listing(&waiting))?;
        printer.line("")?;
    }
    printer.table(&budgets(&states))?;
    printer.line("")?;
    Ok(printer.table(&tables::balances(&balances)?)?)
}

/// What a month permits and what is left of it.
struct Budget {
    total: Decimal,
    consumed: Decimal,
    remaining: Decimal,
    slots: Decimal,
}

impl Budget {
    /// Shown, never decided on: the risk gate computes its own. What does not fit decimals shows as zero.
    fn of(state: &RiskState) -> Self {
        let base = state.capital_base.get();
        let total = base.checked_mul(state.max_drawdown.get()).unwrap_or_default();
        let consumed = (-state.realized_net.get()).max(Decimal::ZERO);
        let remaining = total.checked_sub(consumed).and_then(|d| d.checked_sub(state.latent_risk.get()));
        let remaining = remaining.unwrap_or_default();
        let one = base.checked_div(Decimal::ONE_HUNDRED).unwrap_or_default();
        let slots = remaining.max(Decimal::ZERO).checked_div(one).unwrap_or_default();
        Self { total, consumed, remaining, slots: slots.floor().min(Decimal::from(SLOTS_MAX)) }
    }
}

fn budget_json(row: &Row, state: &RiskState) -> serde_json::Value {
    let budget = Budget::of(state);
    let mut json = row.to_json(&risk_state_current::TABLE);
    if let Some(fields) = json.as_object_mut() {
        fields.insert("budget".to_owned(), json!(budget.total.normalize().to_string()));
        fields.insert("consumed".to_owned(), json!(budget.consumed.normalize().to_string()));
        fields.insert("remaining".to_owned(), json!(budget.remaining.normalize().to_string()));
        fields.insert("slots".to_owned(), json!(budget.slots.normalize().to_string()));
    }
    json
}

fn budgets(states: &[RiskState]) -> Listing {
    let cells = |state: &RiskState| {
        let budget = Budget::of(state);
        let entries = match (state.halted, state.entries_stopped) {
            (true, _) => Cell::of("halted").toned(Tone::Bad),
            (false, true) => Cell::of("stopped").toned(Tone::Bad),
            (false, false) => Cell::of("open").toned(Tone::Good),
        };
        vec![
            Cell::of(short_id(state.key.account_id)),
            Cell::of(state.period),
            Cell::of(cents(state.capital_base.get())),
            Cell::of(cents(budget.total)),
            Cell::gain(state.realized_net.get()),
            Cell::of(cents(state.latent_risk.get())),
            Cell::of(cents(budget.remaining)),
            Cell::of(budget.slots.normalize()),
            entries,
        ]
    };
    Listing {
        columns: vec![
            ("ACCOUNT", Align::Left),
            ("MONTH", Align::Left),
            ("BASE", Align::Right),
            ("BUDGET", Align::Right),
            ("REALIZED", Align::Right),
            ("AT RISK", Align::Right),
            ("REMAINING", Align::Right),
            ("SLOTS", Align::Right),
            ("ENTRIES", Align::Left),
        ],
        rows: states.iter().map(cells).collect(),
        when_empty: "no account yet",
    }
}
