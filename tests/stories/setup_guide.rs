//! The commands of docs/database-setup.md, run from top to bottom as a reader would run them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use robson_eventlog::Store as _;
use robson_store::{AnyStore, OpenOptions};
use robson_stories::{Ran, program, repository};
use robson_testkit::PrivateServer;
use robson_testkit::postgres_server;

/// The names that the guide uses for a superuser's and a trader's server.
const SUPERUSER: &str = "postgres://postgres@localhost";
const TRADER: &str = "postgres://trader:secret@localhost";

/// A block of the guide: what stands behind the fence's language, and the text.
#[derive(Debug)]
struct Block {
    kind: String,
    text: String,
    line: usize,
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in guide.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(kind), None) => {
                open = Some(Block { kind: kind.to_owned(), text: String::new(), line: index + 1 });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// A reader at a shell: one folder, one environment, and a server of its own.
struct Reader {
    folder: tempfile::TempDir,
    server: PrivateServer,
    search: std::ffi::OsString,
}

impl Reader {
    fn new() -> Result<Self> {
        let server = PrivateServer::start()?;
        let binaries = program("robson")?.parent().context("a program stands in a folder")?.to_owned();
        let system = std::env::var_os("PATH").unwrap_or_default();
        let folders = [binaries, server.programs().to_owned()];
        let search = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&system)))?;
        Ok(Self { folder: tempfile::tempdir()?, server, search })
    }

    /// The guide's text with this reader's server in it.
    fn here(&self, text: &str) -> String {
        let own = self.server.url("");
        let own = own.trim_end_matches('/');
        let host = own.rsplit_once('@').map_or(own, |(_, host)| host);
        text.replace(SUPERUSER, own).replace(TRADER, &format!("postgres://trader:secret@{host}"))
    }

    /// Runs lines of shell, after those that set the environment.
    fn run(&self, environment: &str, text: &str) -> Result<()> {
        let script = format!("set -euo pipefail\n{environment}\n{}", self.here(text));
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(script).current_dir(self.folder.path()).env_clear();
        shell.env("PATH", &self.search).env("HOME", self.folder.path());
        Ran::to_end(&mut shell)?.printed().map(drop)
    }

    async fn query(&self, url: &str, text: &str) -> Result<()> {
        let url = self.here(url).replace("sqlite://", &format!("sqlite://{}/", self.folder.path().display()));
        let store = AnyStore::open(&url.parse()?, &OpenOptions::read_only()).await?;
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in text.join("\n").split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            let outcome = match &store {
                AnyStore::Sqlite(store) => store.execute_foreign(statement).await,
                AnyStore::Postgres(store) => store.execute_foreign(statement).await,
                AnyStore::Memory(_) => Ok(0),
            };
            outcome.with_context(|| format!("run `{statement}`"))?;
        }
        store.close().await;
        Ok(())
    }
}

fn guide() -> Result<(PathBuf, String)> {
    let path = repository("docs/database-setup.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Ok((path, text))
}

fn told<T>(path: &Path, block: &Block, outcome: Result<T>) -> Result<T> {
    outcome.with_context(|| format!("{}:{}\n{}", path.display(), block.line, block.text))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_guide_does_what_it_says() -> Result<()> {
    let (path, text) = guide()?;
    let reader = Reader::new()?;
    let (mut environment, mut ran) = (String::new(), 0);
    for block in blocks(&text) {
        let urls: &[&str] = match block.kind.as_str() {
            "sh" => {
                told(&path, &block, reader.run(&environment, &block.text))?;
                let exports = block.text.lines().filter(|line| line.starts_with("export "));
                environment.extend(exports.map(|line| reader.here(line) + "\n"));
                ran += 1;
                continue;
            }
            "sh install" => {
                let known = postgres_server::install_commands();
                ensure!(
                    known.iter().any(|command| *command == block.text.trim()),
                    "{}:{}: a new machine is set up with {known:?}",
                    path.display(),
                    block.line
                );
                continue;
            }
            "sql both" => &["postgres://trader:secret@localhost/robson", "sqlite://robson-demo.db"],
            "sql postgres" => &["postgres://trader:secret@localhost/robson"],
            "sql sqlite" => &["sqlite://robson-demo.db"],
            other => {
                anyhow::bail!("{}:{}: a block of `{other}` is run by nobody", path.display(), block.line)
            }
        };
        for url in urls {
            told(&path, &block, reader.query(url, &block.text).await)?;
        }
        ran += 1;
    }
    ensure!(ran >= 10, "the guide has lost its commands: {ran} blocks were run");
    Ok(())
}
