//! The life of a position: which event is lawful in which state, and where it leads.
//!
//! One table, written as one `match`; what an event does besides (quantities, stops, risk) is the business
//! of the event's own file.

use crate::PositionState;
use PositionState as S;

/// What happens to a position, as far as its state is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// The operator takes an arm back.
    Disarm,
    /// The signal that was already acted on is reported again.
    SignalAgain,
    /// Stop, risk or approval refused the signal.
    SignalRefused,
    /// The entry's intent is durable.
    EntryIntent,
    /// Nobody knows whether the venue took the entry.
    EntryUnknown,
    /// The entry provably ended without a fill.
    EntryEnded,
    /// Some of the entry filled.
    EntryFill,
    /// The stop tightened.
    StopMoved,
    /// The price touched the stop.
    StopTouched,
    /// The operator, a panic or a halt closes it.
    Close,
    /// An exit provably ended without closing the position.
    ExitRefused,
    /// Some of an exit filled and something is left.
    ExitFillSome,
    /// An exit filled and nothing is left but dust.
    ExitFillAll,
    /// The venue holds nothing, and there is evidence.
    VenueFlat,
    /// Something that must not be is.
    InvariantBroken,
    /// The operator has looked at the error.
    Clear,
}

impl Happening {
    /// Every happening, in the order of declaration.
    pub const ALL: &[Self] = &[
        Self::Disarm,
        Self::SignalAgain,
        Self::SignalRefused,
        Self::EntryIntent,
        Self::EntryUnknown,
        Self::EntryEnded,
        Self::EntryFill,
        Self::StopMoved,
        Self::StopTouched,
        Self::Close,
        Self::ExitRefused,
        Self::ExitFillSome,
        Self::ExitFillAll,
        Self::VenueFlat,
        Self::InvariantBroken,
        Self::Clear,
    ];

    /// The happening in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disarm => "disarm",
            Self::SignalAgain => "same signal again",
            Self::SignalRefused => "signal refused",
            Self::EntryIntent => "entry intent",
            Self::EntryUnknown => "entry outcome unknown",
            Self::EntryEnded => "entry ended without fill",
            Self::EntryFill => "entry fill",
            Self::StopMoved => "stop moved",
            Self::StopTouched => "stop touched",
            Self::Close => "close",
            Self::ExitRefused => "exit refused",
            Self::ExitFillSome => "exit fill, some left",
            Self::ExitFillAll => "exit fill, nothing left",
            Self::VenueFlat => "venue flat",
            Self::InvariantBroken => "invariant broken",
            Self::Clear => "operator clears",
        }
    }
}

/// What the table must know of the position besides its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether any quantity is held.
    pub holds: bool,
    /// Whether it was closed while its entry was under way.
    pub closing: bool,
}

/// Where a happening leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The state afterwards.
    pub to: PositionState,
    /// What else follows, for those who act.
    pub then: Option<Consequence>,
}

/// What follows from a step besides the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The operator must be told.
    Alarm,
    /// The venue and the books differ.
    Discrepancy,
    /// The venue is asked about the order.
    Probe,
    /// The working entry is to be cancelled.
    CancelEntry,
    /// The exit is tried again.
    NextAttempt,
}

/// An event that the state of a position does not permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event}: not possible while the position is {state}")]
pub struct WrongState {
    /// The state.
    pub state: PositionState,
    /// What was attempted.
    pub event: &'static str,
}

/// A live position stands where another was to be armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a live position of this symbol and side exists already: it is {state}")]
pub struct DuplicatePosition {
    /// The state of the twin.
    pub state: PositionState,
}

/// The state of a new position, given its twins: the positions of its account, symbol and side.
///
/// # Errors
/// `DuplicatePosition` when one of them is live.
pub fn arm(twins: impl IntoIterator<Item = PositionState>) -> Result<PositionState, DuplicatePosition> {
    match twins.into_iter().find(|state| state.is_live()) {
        Some(state) => Err(DuplicatePosition { state }),
        None => Ok(S::Armed),
    }
}

/// Where a happening leads a position.
///
/// # Errors
/// `WrongState` when the state does not permit it.
pub const fn step(
    state: PositionState,
    happening: Happening,
    standing: Standing,
) -> Result<Step, WrongState> {
    use Consequence as C;
    use Happening as H;
    let ended = matches!(state, S::Closed | S::Cancelled);
    match (happening, state) {
        (H::Disarm, S::Armed) => to(S::Cancelled),
        (H::Disarm, S::Error) if !standing.holds => to(S::Cancelled),

        (H::SignalAgain, _) | (H::SignalRefused, S::Armed) => to(state),

        (H::EntryIntent, S::Armed) => to(S::Entering),

        (H::EntryUnknown, S::Entering) => then(state, C::Probe),
        (H::EntryUnknown | H::EntryEnded, S::Active | S::Exiting | S::Closed | S::Cancelled | S::Error) => {
            to(state)
        }
        (H::EntryEnded, S::Entering) if standing.closing => to(S::Cancelled),
        (H::EntryEnded, S::Entering) => to(S::Armed),

        (H::EntryFill, S::Armed) => then(S::Active, C::Alarm),
        (H::EntryFill, S::Entering) if standing.closing => to(S::Exiting),
        (H::EntryFill, S::Entering) => to(S::Active),
        (H::EntryFill, S::Active | S::Exiting | S::Error) => to(state),

        (H::StopMoved, S::Active) => to(state),

        (H::StopTouched, S::Active) => to(S::Exiting),
        (H::StopTouched, S::Exiting | S::Closed | S::Cancelled | S::Error) => to(state),

        (H::Close, S::Armed) => to(S::Cancelled),
        (H::Close, S::Entering) => then(state, C::CancelEntry),
        (H::Close, S::Active) => to(S::Exiting),
        (H::Close, S::Error) if standing.holds => to(S::Exiting),
        (H::Close, S::Exiting | S::Closed | S::Cancelled | S::Error) => to(state),

        (H::ExitRefused, S::Exiting) => then(state, C::NextAttempt),
        (H::ExitRefused, S::Error) => to(state),

        (H::ExitFillSome, S::Active | S::Exiting) => to(S::Exiting),
        (H::ExitFillSome, S::Error) => to(state),
        (H::ExitFillAll | H::VenueFlat, S::Active | S::Exiting | S::Error) => to(S::Closed),
        (H::EntryFill | H::ExitFillSome | H::ExitFillAll, _) if ended => then(state, C::Discrepancy),
        (H::VenueFlat, _) => to(state),

        (H::InvariantBroken, _) if ended => to(state),
        (H::InvariantBroken, _) => to(S::Error),

        (H::Clear, S::Error) if standing.holds => to(S::Active),
        (H::Clear, S::Error) => to(S::Cancelled),

        _ => Err(WrongState { state, event: happening.as_str() }),
    }
}

const fn to(state: PositionState) -> Result<Step, WrongState> {
    Ok(Step { to: state, then: None })
}

const fn then(state: PositionState, consequence: Consequence) -> Result<Step, WrongState> {
    Ok(Step { to: state, then: Some(consequence) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: armed, entering, active, exiting, closed, cancelled, error. `W` is a refusal, `=` no change;
    /// `a/b` is a without and b with a quantity held (error) or a close asked for (entering).
    const TABLE: &[(Happening, [&str; 7])] = &[
        (Happening::Disarm, ["cancelled", "W", "W", "W", "W", "W", "cancelled/W"]),
        (Happening::SignalAgain, ["=", "=", "=", "=", "=", "=", "="]),
        (Happening::SignalRefused, ["=", "W", "W", "W", "W", "W", "W"]),
        (Happening::EntryIntent, ["entering", "W", "W", "W", "W", "W", "W"]),
        (Happening::EntryUnknown, ["W", "= Probe", "=", "=", "=", "=", "="]),
        (Happening::EntryEnded, ["W", "armed/cancelled", "=", "=", "=", "=", "="]),
        (
            Happening::EntryFill,
            ["active Alarm", "active/exiting", "=", "=", "= Discrepancy", "= Discrepancy", "="],
        ),
        (Happening::StopMoved, ["W", "W", "=", "W", "W", "W", "W"]),
        (Happening::StopTouched, ["W", "W", "exiting", "=", "=", "=", "="]),
        (Happening::Close, ["cancelled", "= CancelEntry", "exiting", "=", "=", "=", "=/exiting"]),
        (Happening::ExitRefused, ["W", "W", "W", "= NextAttempt", "W", "W", "="]),
        (Happening::ExitFillSome, ["W", "W", "exiting", "=", "= Discrepancy", "= Discrepancy", "="]),
        (Happening::ExitFillAll, ["W", "W", "closed", "closed", "= Discrepancy", "= Discrepancy", "closed"]),
        (Happening::VenueFlat, ["=", "=", "closed", "closed", "=", "=", "closed"]),
        (Happening::InvariantBroken, ["error", "error", "error", "error", "=", "=", "="]),
        (Happening::Clear, ["W", "W", "W", "W", "W", "W", "cancelled/active"]),
    ];

    fn written(state: PositionState, happening: Happening, standing: Standing) -> String {
        match step(state, happening, standing) {
            Err(wrong) => {
                assert_eq!(wrong, WrongState { state, event: happening.as_str() });
                "W".to_owned()
            }
            Ok(Step { to, then }) => {
                let to = if to == state { "=" } else { to.as_str() };
                then.map_or_else(|| to.to_owned(), |c| format!("{to} {c:?}"))
            }
        }
    }

    #[test]
    fn every_state_answers_every_happening_as_the_table_says() {
        assert_eq!(TABLE.iter().map(|(h, _)| *h).collect::<Vec<_>>(), Happening::ALL);
        for (happening, row) in TABLE {
            for (state, expect) in PositionState::ALL.iter().zip(row) {
                let (plain, special) = expect.split_once('/').unwrap_or((expect, expect));
                let alone = Standing::default();
                let special_standing = match state {
                    PositionState::Entering => Standing { closing: true, ..alone },
                    _ => Standing { holds: true, ..alone },
                };
                assert_eq!(written(*state, *happening, alone), plain, "{state} {happening:?}");
                assert_eq!(
                    written(*state, *happening, special_standing),
                    special,
                    "{state} {happening:?} special"
                );
            }
        }
    }

    #[test]
    fn a_position_is_armed_only_where_no_live_twin_stands() {
        for state in PositionState::ALL {
            let expected = match state {
                PositionState::Closed | PositionState::Cancelled => Ok(PositionState::Armed),
                state => Err(DuplicatePosition { state: *state }),
            };
            assert_eq!(arm([PositionState::Closed, *state]), expected);
        }
        assert_eq!(arm([]), Ok(PositionState::Armed));
    }
}
