//! A private PostgreSQL server for a command of the developer's own.

use std::io::{Read, stdin};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use robson_testkit::PrivateServer;
use robson_testkit::postgres_server::{Durability, TEST_DATABASE_URL};

pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let (durability, words) = match words.split_first() {
        Some((first, rest)) if first == "--durable" => (Durability::Durable, rest),
        _ => (Durability::Fast, words),
    };
    let server = PrivateServer::start_with(durability)?;
    let url = server.url("postgres");
    let Some((program, arguments)) = words.split_first() else {
        println!("{url}");
        stdin().read_to_end(&mut Vec::new()).context("wait for the end of the input")?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut command = Command::new(program);
    let status = command.args(arguments).env(TEST_DATABASE_URL, url).status();
    let status = status.with_context(|| format!("run `{program}`"))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
