//! The daemon's HTTP interface, as a client has it.

use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use robson_testkit::wait_until;
use serde_json::Value;
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::program::Daemon;

/// What a daemon says before it tells where it listens.
const LISTENS: &str = "the HTTP interface listens address=";

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Http {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

impl Http {
    /// A client of a daemon that was started with `--api-port 0`, once it listens.
    ///
    /// # Errors
    /// It ends before, or takes too long.
    pub fn of(daemon: &mut Daemon) -> Result<Self> {
        daemon.wait_to_say(LISTENS)?;
        let said = daemon.said();
        let address = said.split(LISTENS).nth(1).and_then(|rest| rest.split_whitespace().next());
        let url = format!("http://{}", address.context("it says where it listens")?);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .proxy(None)
            .build()
            .new_agent();
        Ok(Self { agent, url, headers: Vec::new() })
    }

    /// The same client, with a header on each request.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(known, _)| known != name);
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    /// Where the daemon listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer> {
        answer(self.prepared(self.agent.get(format!("{}{path}", self.url))).call()?)
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        answer(self.prepared(self.agent.post(format!("{}{path}", self.url))).send_json(body)?)
    }

    /// Deletes.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn delete(&self, path: &str) -> Result<Answer> {
        answer(self.prepared(self.agent.delete(format!("{}{path}", self.url))).call()?)
    }

    /// The ids of the first events of a stream.
    ///
    /// # Errors
    /// It ends before there were so many.
    pub fn stream(&self, path: &str, count: usize) -> Result<Vec<String>> {
        let request = self.prepared(self.agent.get(format!("{}{path}", self.url)));
        let mut response = request.header("Accept", "text/event-stream").call()?;
        let mut ids = Vec::new();
        for line in BufReader::new(response.body_mut().as_reader()).lines() {
            ids.extend(line?.strip_prefix("id:").map(|id| id.trim().to_owned()));
            if ids.len() == count {
                return Ok(ids);
            }
        }
        anyhow::bail!("the stream ended after {ids:?}")
    }

    /// Asks again and again until an answer is as wanted.
    ///
    /// # Errors
    /// It takes more than a minute; the last answer is told.
    pub fn wait_for(&self, path: &str, mut is_wanted: impl FnMut(&Answer) -> bool) -> Result<Answer> {
        let mut last = None;
        let has_come = wait_until(60, || {
            last = self.get(path).ok();
            last.as_ref().is_some_and(&mut is_wanted)
        });
        ensure!(has_come, "{path} never answered as wanted: {last:?}");
        last.context("there was an answer")
    }

    fn prepared<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

fn answer(mut response: Response<Body>) -> Result<Answer> {
    Ok(Answer { status: response.status().as_u16(), text: response.body_mut().read_to_string()? })
}
