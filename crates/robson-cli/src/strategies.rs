//! `strategies`: what positions count for, and the limits that each sets for itself.

use robson_domain::{RiskConfig, RiskScope, StrategyId, StrategyState};
use robson_eventlog::{Row, RowQuery};
use robson_projector::{risk_state_current, strategy_state_current};
use robsond::operator::{Command, NewStrategy, StrategyUpdate};
use serde_json::json;

use crate::args::{Limit, Strategies, UpdateStrategy};
use crate::commands::{command_id, execute};
use crate::db::Database;
use crate::failure::Failure;
use crate::positions::unreadable;
use crate::printer::{Align, Cell, Listing, Printer, Tone, cents, short_id};
use crate::settings::Settings;

/// `strategies create|enable|disable|update`.
///
/// # Errors
/// There is no such strategy, or as the daemon says.
pub async fn run(settings: &Settings, args: Strategies, printer: &mut Printer) -> Result<(), Failure> {
    let (retry, did, command) = match args {
        Strategies::List => return list(&Database::read(settings).await?, printer).await,
        Strategies::Create(args) => {
            let risk_config =
                RiskConfig { max_exposure: args.max_exposure, daily_loss_limit: args.daily_loss_limit };
            let strategy = NewStrategy {
                name: args.name,
                kind: args.kind,
                detector_config: args.detector_config,
                risk_config,
            };
            (args.retry, "made", Command::CreateStrategy(strategy))
        }
        Strategies::Enable(args) => {
            let strategy_id = resolve(settings, &args.strategy).await?;
            (args.retry, "enabled", Command::EnableStrategy { strategy_id })
        }
        Strategies::Disable(args) => {
            let strategy_id = resolve(settings, &args.strategy).await?;
            (args.retry, "disabled", Command::DisableStrategy { strategy_id, reason: args.reason })
        }
        Strategies::Update(args) => {
            let strategy = find(&Database::read(settings).await?, &args.strategy).await?;
            (args.retry.clone(), "changed", Command::UpdateStrategy(update(&strategy, args)))
        }
    };
    let done = execute(settings, command_id(&retry), command).await?;
    if printer.is_json {
        return Ok(printer.json(&json!(done), false)?);
    }
    let Some(strategy) = done.strategy else { return Ok(printer.line(format!("{did} as asked"))?) };
    let may = if strategy.is_enabled { "may enter" } else { "may not enter" };
    let name = printer.bold(&strategy.strategy_name);
    Ok(printer.line(format!("{did} {name}: strategy {} {may}", strategy.strategy_id))?)
}

/// The limits as they are to be: all of them are sent, so what is not named is sent as it stands.
fn update(strategy: &StrategyState, args: UpdateStrategy) -> StrategyUpdate {
    let before = &strategy.risk_config;
    let names_limit = args.max_exposure.is_some() || args.daily_loss_limit.is_some();
    let after = |named: Option<Limit>, before| named.map_or(before, |Limit(limit)| limit);
    let risk_config = names_limit.then(|| RiskConfig {
        max_exposure: after(args.max_exposure, before.max_exposure),
        daily_loss_limit: after(args.daily_loss_limit, before.daily_loss_limit),
    });
    StrategyUpdate { strategy_id: strategy.strategy_id, detector_config: args.detector_config, risk_config }
}

/// The strategy that a name or an id means; a whole id is taken as it is.
///
/// # Errors
/// There is none.
pub async fn resolve(settings: &Settings, text: &str) -> Result<StrategyId, Failure> {
    match text.parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(find(&Database::read(settings).await?, text).await?.strategy_id),
    }
}

async fn find(db: &Database, text: &str) -> Result<StrategyState, Failure> {
    let all = read(db).await?;
    let id = text.to_ascii_lowercase();
    let fits = |strategy: &StrategyState| {
        strategy.strategy_name == text || (id.len() >= 8 && strategy.strategy_id.to_string().ends_with(&id))
    };
    let found = all.into_iter().map(|(_, strategy)| strategy).find(fits);
    found.ok_or_else(|| {
        Failure::not_found(format!("there is no strategy {text}: `robson strategies list` lists them"))
    })
}

async fn read(db: &Database) -> Result<Vec<(Row, StrategyState)>, Failure> {
    let rows = db.rows(&strategy_state_current::TABLE, &RowQuery::all()).await?;
    let read = |row: Row| {
        let strategy = strategy_state_current::entity(&row).map_err(unreadable)?;
        Ok((row, strategy))
    };
    rows.into_iter().map(read).collect()
}

/// `strategies list`.
///
/// # Errors
/// As the store says.
pub async fn list(db: &Database, printer: &mut Printer) -> Result<(), Failure> {
    let strategies = read(db).await?;
    if printer.is_json {
        let rows: Vec<_> =
            strategies.iter().map(|(row, _)| row.to_json(&strategy_state_current::TABLE)).collect();
        return Ok(printer.json(&rows.into(), false)?);
    }
    let risks = db.rows(&risk_state_current::TABLE, &RowQuery::all()).await?;
    let risks = risks.iter().map(risk_state_current::entity).collect::<Result<Vec<_>, _>>();
    let risks = risks.map_err(unreadable)?;
    let cells = |strategy: &StrategyState| {
        let scope = RiskScope::Strategy(strategy.strategy_id);
        let risk = risks.iter().find(|risk| risk.key.scope == scope);
        let limits = &strategy.risk_config;
        let entries = if strategy.is_enabled {
            Cell::of("enabled").toned(Tone::Good)
        } else {
            Cell::of("disabled").toned(Tone::Bad)
        };
        vec![
            Cell::of(short_id(strategy.strategy_id)),
            Cell::of(&strategy.strategy_name),
            Cell::of(&strategy.strategy_type),
            entries,
            Cell::of(strategy.total_signals),
            Cell::of(strategy.total_positions),
            Cell::of(strategy.open_positions),
            Cell::maybe(strategy.win_rate),
            Cell::gain(strategy.total_pnl.get()),
            Cell::maybe(risk.map(|risk| cents(risk.total_exposure.get()))),
            Cell::maybe(limits.max_exposure.map(|limit| cents(limit.get()))),
            Cell::maybe(limits.daily_loss_limit.map(|limit| cents(limit.get()))),
        ]
    };
    let listing = Listing {
        columns: vec![
            ("ID", Align::Left),
            ("NAME", Align::Left),
            ("TYPE", Align::Left),
            ("ENTRIES", Align::Left),
            ("SIGNALS", Align::Right),
            ("POSITIONS", Align::Right),
            ("OPEN", Align::Right),
            ("WON", Align::Right),
            ("NET", Align::Right),
            ("EXPOSURE", Align::Right),
            ("AT MOST", Align::Right),
            ("DAY LOSS AT MOST", Align::Right),
        ],
        rows: strategies.iter().map(|(_, strategy)| cells(strategy)).collect(),
        when_empty: "no strategies",
    };
    Ok(printer.table(&listing)?)
}
