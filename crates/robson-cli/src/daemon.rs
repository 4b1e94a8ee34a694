//! The daemon, as the command line talks to it: HTTP under `/api/v1`, one request for each command.

use std::time::Duration;

use robson_domain::CommandId;
use serde_json::Value;

use crate::failure::{ExitCode, Failure};
use crate::settings::Settings;

/// A daemon that may or may not be there.
#[derive(Debug)]
pub struct Daemon {
    agent: ureq::Agent,
    url: String,
    token: Option<String>,
    operator: Option<String>,
}

/// What is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A body to a path.
    Post {
        /// The path under `/api/v1`.
        path: String,
        /// The body.
        body: Value,
    },
    /// A body that takes the place of what stands at a path.
    Put {
        /// The path under `/api/v1`.
        path: String,
        /// The body.
        body: Value,
    },
    /// The end of what stands at a path.
    Delete {
        /// The path under `/api/v1`.
        path: String,
    },
}

/// Why a command has no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// Nobody listens, so nothing was asked of anybody.
    Nobody(Failure),
    /// The daemon refused it, or what became of it is not known.
    Failed(Failure),
}

impl Daemon {
    /// The daemon of the settings; nothing is sent yet.
    pub fn of(settings: &Settings) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(2)))
            .timeout_global(Some(Duration::from_secs(30)))
            // A daemon is asked directly: a proxy would see the token.
            .proxy(None)
            .build()
            .new_agent();
        Self {
            agent,
            url: settings.daemon_url.trim_end_matches('/').to_owned(),
            token: settings.token.clone(),
            operator: settings.operator.clone(),
        }
    }

    /// Sends a command and answers with the body of the reply.
    ///
    /// # Errors
    /// See [`Failure::from_transport`] and [`Failure::from_http`].
    pub fn send(&self, id: CommandId, request: &Request) -> Result<Value, Unanswered> {
        let answered = match request {
            Request::Post { path, body } => {
                let builder = self.agent.post(format!("{}/api/v1{path}", self.url));
                self.with_headers(builder, id).send_json(body)
            }
            Request::Put { path, body } => {
                let builder = self.agent.put(format!("{}/api/v1{path}", self.url));
                self.with_headers(builder, id).send_json(body)
            }
            Request::Delete { path } => {
                let builder = self.agent.delete(format!("{}/api/v1{path}", self.url));
                self.with_headers(builder, id).call()
            }
        };
        let mut answer = answered.map_err(|error| {
            let failure = Failure::from_transport(&self.url, &error);
            match failure.code {
                ExitCode::DaemonUnreachable => Unanswered::Nobody(failure),
                _ => Unanswered::Failed(failure),
            }
        })?;
        let status = answer.status();
        let body = answer.body_mut().read_to_string();
        if status.is_success() {
            // It happened, whatever became of the words about it.
            let body = body.unwrap_or_default();
            return Ok(serde_json::from_str(&body).unwrap_or(Value::Null));
        }
        Err(Unanswered::Failed(Failure::from_http(status.as_u16(), &body.unwrap_or_default())))
    }

    fn with_headers<B>(&self, builder: ureq::RequestBuilder<B>, id: CommandId) -> ureq::RequestBuilder<B> {
        let mut builder = builder.header("Idempotency-Key", id.to_string());
        if let Some(token) = &self.token {
            builder = builder.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(operator) = &self.operator {
            builder = builder.header("X-Robson-Operator", operator);
        }
        builder
    }

    /// The version of the daemon that answers.
    ///
    /// # Errors
    /// None answers.
    pub fn health(&self) -> Result<String, Failure> {
        let failed = |error: ureq::Error| Failure::from_transport(&self.url, &error);
        let mut answer = self.agent.get(format!("{}/health", self.url)).call().map_err(failed)?;
        let body: Value = answer.body_mut().read_json().map_err(failed)?;
        let version = body.get("version").and_then(Value::as_str).unwrap_or("of an unknown version");
        Ok(format!("robsond {version}"))
    }
}
