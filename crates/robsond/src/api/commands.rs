//! Routes that change something: each becomes one command of the operator.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use robson_domain::{
    AccountId, ApprovalMode, CommandId, DecisionId, EntryMode, Fraction, Money, PositionId, PositionState,
    Price, RiskConfig, Side, StrategyId, Symbol, TrailingPolicy,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::failure::Failure;
use super::input::{Body, Exact, MaybeBody, PathId, from_text};
use super::{Api, App};
use crate::operator::{
    AccountStanding, Arm, Command, Done, ManualSignal, NewStrategy, Phase, Refused, Request, StrategyUpdate,
    TouchedPosition, TouchedStrategy, Words,
};

/// The command's id; a retry carries the same.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Who asks.
pub(super) const OPERATOR: HeaderName = HeaderName::from_static("x-robson-operator");

/// How long the trader may take to accept a command, and then to answer it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// What to watch for, as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ArmBody {
    symbol: Symbol,
    #[serde(deserialize_with = "from_text")]
    side: Side,
    account_id: Option<AccountId>,
    entry_policy: Option<EntryPolicy>,
    trailing_policy: Option<TrailingPolicy>,
    capital: Option<Exact<Money>>,
    risk_percent: Option<Exact<Money>>,
    strategy_id: Option<StrategyId>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryPolicy {
    mode: EntryMode,
    approval: Option<ApprovalMode>,
}

/// An entry that the operator decided on, as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignalBody {
    position_id: Option<PositionId>,
    entry_price: Exact<Price>,
    stop_loss: Exact<Price>,
}

/// Why, as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HaltBody {
    reason: Words,
}

/// Whether there may be entries, as it is put.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntriesBody {
    enabled: bool,
    reason: Words,
}

/// A strategy to be, as it is posted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StrategyBody {
    name: Words,
    #[serde(rename = "type")]
    kind: Words,
    detector_config: Option<robson_domain::Json>,
    risk_config: Option<LimitsBody>,
}

/// A strategy's new settings, as they are put.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StrategyConfigBody {
    detector_config: Option<robson_domain::Json>,
    risk_config: Option<LimitsBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    max_exposure: Option<Exact<Money>>,
    daily_loss_limit: Option<Exact<Money>>,
}

impl From<LimitsBody> for RiskConfig {
    fn from(body: LimitsBody) -> Self {
        let value = |limit: Option<Exact<Money>>| limit.map(|limit| limit.0);
        Self { max_exposure: value(body.max_exposure), daily_loss_limit: value(body.daily_loss_limit) }
    }
}

/// Why, where somebody says so.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: Option<Words>,
}

pub(super) async fn arm(
    State(app): State<App>,
    headers: HeaderMap,
    Body(body): Body<ArmBody>,
) -> Result<Response, Failure> {
    let command = Command::Arm(body.into_arm(&app.api)?);
    let (id, done) = submit(&app.api, &headers, command).await?;
    let position = one(&id, done)?;
    Ok(answer(id, (StatusCode::CREATED, Json(position))))
}

pub(super) async fn disarm(
    State(app): State<App>,
    PathId(position_id): PathId<PositionId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (id, _) = submit(&app.api, &headers, Command::Disarm { position_id }).await?;
    Ok(answer(id, StatusCode::NO_CONTENT))
}

pub(super) async fn close(
    State(app): State<App>,
    PathId(position_id): PathId<PositionId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    touch(&app.api, &headers, Command::Close { position_id }).await
}

pub(super) async fn signal(
    State(app): State<App>,
    PathId(position_id): PathId<PositionId>,
    headers: HeaderMap,
    Body(body): Body<SignalBody>,
) -> Result<Response, Failure> {
    if app.api.guard.is_production() {
        return Err(Failure::forbidden("signals by hand are off in production"));
    }
    if body.position_id.is_some_and(|id| id != position_id) {
        return Err(Failure::invalid("position_id: path and body name different positions"));
    }
    let (entry_price, stop_loss) = (body.entry_price.0, body.stop_loss.0);
    let command = Command::Signal(ManualSignal { position_id, entry_price, stop_loss });
    touch(&app.api, &headers, command).await
}

pub(super) async fn clear(
    State(app): State<App>,
    PathId(position_id): PathId<PositionId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    touch(&app.api, &headers, Command::Clear { position_id }).await
}

pub(super) async fn approve(
    State(app): State<App>,
    PathId(decision_id): PathId<DecisionId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    touch(&app.api, &headers, Command::Approve { decision_id }).await
}

pub(super) async fn deny(
    State(app): State<App>,
    PathId(decision_id): PathId<DecisionId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    touch(&app.api, &headers, Command::Deny { decision_id }).await
}

pub(super) async fn halt(
    State(app): State<App>,
    headers: HeaderMap,
    Body(body): Body<HaltBody>,
) -> Result<Response, Failure> {
    let (id, done) = submit(&app.api, &headers, Command::Halt { reason: body.reason }).await?;
    let standing = account(id, &done)?;
    let body = json!({ "halted": standing.halted, "period": standing.period, "positions": done.positions });
    Ok(answer(id, Json(body)))
}

pub(super) async fn entries(
    State(app): State<App>,
    headers: HeaderMap,
    Body(body): Body<EntriesBody>,
) -> Result<Response, Failure> {
    let command = Command::Entries { enabled: body.enabled, reason: body.reason };
    let (id, done) = submit(&app.api, &headers, command).await?;
    let standing = account(id, &done)?;
    Ok(answer(id, Json(standing)))
}

pub(super) async fn create_strategy(
    State(app): State<App>,
    headers: HeaderMap,
    Body(body): Body<StrategyBody>,
) -> Result<Response, Failure> {
    let strategy = NewStrategy {
        name: body.name,
        kind: body.kind,
        detector_config: body.detector_config,
        risk_config: body.risk_config.unwrap_or_default().into(),
    };
    let (id, done) = submit(&app.api, &headers, Command::CreateStrategy(strategy)).await?;
    Ok(answer(id, (StatusCode::CREATED, Json(strategy_of(id, done)?))))
}

pub(super) async fn update_strategy(
    State(app): State<App>,
    PathId(strategy_id): PathId<StrategyId>,
    headers: HeaderMap,
    Body(body): Body<StrategyConfigBody>,
) -> Result<Response, Failure> {
    let StrategyConfigBody { detector_config, risk_config } = body;
    let update = StrategyUpdate { strategy_id, detector_config, risk_config: risk_config.map(Into::into) };
    let (id, done) = submit(&app.api, &headers, Command::UpdateStrategy(update)).await?;
    Ok(answer(id, Json(strategy_of(id, done)?)))
}

pub(super) async fn enable_strategy(
    State(app): State<App>,
    PathId(strategy_id): PathId<StrategyId>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (id, done) = submit(&app.api, &headers, Command::EnableStrategy { strategy_id }).await?;
    Ok(answer(id, Json(strategy_of(id, done)?)))
}

pub(super) async fn disable_strategy(
    State(app): State<App>,
    PathId(strategy_id): PathId<StrategyId>,
    headers: HeaderMap,
    MaybeBody(body): MaybeBody<ReasonBody>,
) -> Result<Response, Failure> {
    let command = Command::DisableStrategy { strategy_id, reason: body.reason };
    let (id, done) = submit(&app.api, &headers, command).await?;
    Ok(answer(id, Json(strategy_of(id, done)?)))
}

pub(super) async fn panic(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failure> {
    let (id, done) = submit(&app.api, &headers, Command::Panic).await?;
    let closed = done.positions.iter().filter(|position| position.state == PositionState::Closed);
    let closed: Vec<PositionId> = closed.map(|position| position.position_id).collect();
    let body = json!({ "closed_positions": closed, "count": closed.len(), "positions": done.positions });
    Ok(answer(id, Json(body)))
}

impl ArmBody {
    fn into_arm(self, api: &Api) -> Result<Arm, Failure> {
        if let Some(account) = self.account_id.filter(|account| *account != api.account_id) {
            return Err(Failure::not_found(format!("account_id: the account {account} is not traded here")));
        }
        let approval = self.entry_policy.as_ref().and_then(|policy| policy.approval);
        let capital = self.capital.map(|capital| capital.0);
        if let Some(capital) = capital.filter(|capital| *capital <= Money::ZERO) {
            return Err(Failure::invalid(format!("capital: {capital} is not above 0")));
        }
        Ok(Arm {
            symbol: self.symbol,
            side: self.side,
            entry: self.entry_policy.map_or(EntryMode::ConfirmedTrend, |policy| policy.mode),
            trailing: self.trailing_policy.unwrap_or(TrailingPolicy::Continuous),
            capital,
            risk: self.risk_percent.map(|percent| fraction_of(percent.0)).transpose()?,
            approval: approval.unwrap_or(ApprovalMode::Automatic),
            strategy_id: self.strategy_id,
        })
    }
}

/// 1 is 1 %.
fn fraction_of(percent: Money) -> Result<Fraction, Failure> {
    let in_range = percent > Money::ZERO && percent.get() <= Decimal::ONE;
    let fraction = percent.get().checked_div(Decimal::ONE_HUNDRED).and_then(|part| Fraction::new(part).ok());
    fraction.filter(|_| in_range).ok_or_else(|| {
        Failure::invalid(format!("risk_percent: {percent} is not above 0 and at most 1, which is 1 %"))
    })
}

/// Hands a command to the trader and waits for its answer.
async fn submit(api: &Api, headers: &HeaderMap, command: Command) -> Result<(CommandId, Done), Failure> {
    let command_id = command_id(api, headers)?;
    let actor = actor(headers)?;
    check_phase(&api.phase.borrow())?;
    let (reply, answer) = oneshot::channel();
    let request = Request { command_id, actor, command, reply };
    match tokio::time::timeout(QUEUE_TIMEOUT, api.commands.send(request)).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Err(Refused::NotReady("the trader has stopped".to_owned()).into()),
        Err(_) => return Err(Refused::NotReady("the trader is busy: try again".to_owned()).into()),
    }
    let unknown = |why: &str| {
        Refused::Unknown(format!("{why}: ask again with the header `Idempotency-Key: {command_id}`"))
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(Ok(outcome)) => Ok((command_id, outcome?)),
        Ok(Err(_)) => Err(unknown("the trader stopped before it answered").into()),
        Err(_) => Err(unknown("the trader has not answered yet").into()),
    }
}

pub(super) fn check_phase(phase: &Phase) -> Result<(), Refused> {
    match phase {
        Phase::Active { .. } | Phase::FeedEnded => Ok(()),
        Phase::Starting => Err(Refused::NotReady("the daemon is starting".to_owned())),
        Phase::Standby { writer } => {
            Err(Refused::NotReady(format!("this daemon stands by while {writer} trades")))
        }
        Phase::Stopping => Err(Refused::NotReady("the daemon is stopping".to_owned())),
    }
}

pub(super) fn command_id(api: &Api, headers: &HeaderMap) -> Result<CommandId, Failure> {
    let Some(given) = headers.get(IDEMPOTENCY_KEY) else { return Ok(CommandId((api.new_command_id)())) };
    let id = given.to_str().ok().and_then(|text| text.parse::<Uuid>().ok());
    id.map(CommandId).ok_or_else(|| Failure::invalid("Idempotency-Key: this is not a UUID"))
}

pub(super) fn actor(headers: &HeaderMap) -> Result<String, Failure> {
    let Some(given) = headers.get(OPERATOR) else { return Ok("http".to_owned()) };
    let name = given.to_str().ok().filter(|name| (1..=64).contains(&name.len()));
    name.map(ToOwned::to_owned)
        .ok_or_else(|| Failure::invalid("X-Robson-Operator: a name has 1 to 64 visible ASCII characters"))
}

/// Hands over a command about one position and tells how that stands then.
async fn touch(api: &Api, headers: &HeaderMap, command: Command) -> Result<Response, Failure> {
    let (id, done) = submit(api, headers, command).await?;
    let position = one(&id, done)?;
    Ok(answer(id, Json(position)))
}

fn account(id: CommandId, done: &Done) -> Result<AccountStanding, Failure> {
    done.account.ok_or_else(|| Failure::broken(format!("the command {id} touched no account")))
}

fn strategy_of(id: CommandId, done: Done) -> Result<TouchedStrategy, Failure> {
    done.strategy.ok_or_else(|| Failure::broken(format!("the command {id} touched no strategy")))
}

fn one(id: &CommandId, done: Done) -> Result<TouchedPosition, Failure> {
    let position = done.positions.into_iter().next();
    position.ok_or_else(|| Failure::broken(format!("the command {id} touched no position")))
}

/// Tells the command's id, so that the same can be asked again.
pub(super) fn answer(id: CommandId, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(IDEMPOTENCY_KEY, id);
    }
    response
}
