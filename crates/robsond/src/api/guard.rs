//! Who may call what.

use axum::http::{HeaderMap, header};

use super::failure::Failure;
use crate::config::{ApiSettings, Environment, Secret};

/// What a route needs of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Open,
    /// The token off loopback and in production.
    Read,
    /// The token, everywhere: where none is set nothing can be changed over HTTP.
    Change,
}

/// Who may call what.
#[derive(Debug, Clone)]
pub struct Guard {
    token: Option<Secret>,
    is_exposed: bool,
    is_production: bool,
}

impl Guard {
    /// The rules for an address and an environment. Exposed without a token it admits nobody, though the
    /// configuration refuses that before.
    pub fn new(settings: &ApiSettings, environment: Environment) -> Self {
        let is_production = environment == Environment::Production;
        let is_exposed = is_production || !settings.address.ip().is_loopback();
        Self { token: settings.token.clone(), is_exposed, is_production }
    }

    /// Whether real work is at stake: then nobody enters a market by hand over HTTP.
    pub(super) const fn is_production(&self) -> bool {
        self.is_production
    }

    pub(super) fn admit(&self, access: Access, headers: &HeaderMap) -> Result<(), Failure> {
        let needs_token = match access {
            Access::Open => false,
            Access::Read => self.is_exposed,
            Access::Change => true,
        };
        if needs_token { self.check_token(headers) } else { Ok(()) }
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), Failure> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match (given, &self.token) {
            (Some(given), Some(token)) if token.matches(given) => Ok(()),
            (_, None) => Err(Failure::unauthorized(
                "no token is set, so nothing can be changed: start the daemon with ROBSON_API_TOKEN",
            )),
            (Some(_), _) => Err(Failure::unauthorized("this is not the token")),
            (None, _) => Err(Failure::unauthorized("send the token: `Authorization: Bearer TOKEN`")),
        }
    }
}
