//! `doctor`: what a working installation needs, one line each.

use std::path::Path;
use std::time::Duration;

use robson_eventlog::{Clock as _, Store as _, SystemClock};
use robson_store::{AnyStore, BackendReport, DatabaseUrl, OpenOptions};
use serde_json::json;

use crate::daemon::Daemon;
use crate::failure::{ExitCode, Failure};
use crate::printer::{Printer, Tone};
use crate::settings::Settings;

/// Less free space than this is worth a warning: a busy year of the log.
const DISK_WARN_BYTES: u64 = 2 << 30;
/// Less than this and the next commits may fail.
const DISK_FAIL_BYTES: u64 = 64 << 20;
/// Partitions for fewer months to come are worth a warning.
const MONTHS_WARN: i32 = 2;
/// A database that takes longer to answer is slow for what it is asked.
const ANSWER_WARN: Duration = Duration::from_millis(500);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// In order.
    Ok,
    /// Works, and is worth a look.
    Warn,
    /// Does not work.
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warn | Self::Fail => Tone::Bad,
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    name: &'static str,
    verdict: Verdict,
    text: String,
}

impl Check {
    fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, text: text.into() }
    }

    fn warn(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, text: text.into() }
    }

    fn fail(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, text: text.into() }
    }
}

/// `doctor`.
///
/// # Errors
/// A check failed (exit 1, after the report).
pub async fn run(settings: &Settings, printer: &mut Printer) -> Result<(), Failure> {
    let checks = check_all(settings).await;
    if printer.is_json {
        let line = |check: &Check| json!({ "check": check.name, "verdict": check.verdict.as_str(), "text": check.text });
        let lines: Vec<serde_json::Value> = checks.iter().map(line).collect();
        printer.json(&lines.into(), false)?;
    } else {
        for check in &checks {
            let verdict = printer.toned(check.verdict.tone(), &format!("{:<4}", check.verdict.as_str()));
            printer.line(format!("{verdict}  {:<10}  {}", check.name, check.text))?;
        }
    }
    let has_failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    if has_failed { Err(Failure::reported(ExitCode::Error)) } else { Ok(()) }
}

async fn check_all(settings: &Settings) -> Vec<Check> {
    let mut checks = vec![version(), settings_file(settings)];
    checks.extend(database(settings).await);
    checks.push(disk(&settings.database));
    checks.push(daemon(settings));
    checks
}

fn version() -> Check {
    Check::ok("version", format!("robson {} ({})", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH))
}

fn settings_file(settings: &Settings) -> Check {
    match &settings.file {
        Some(file) => Check::ok("settings", file.display().to_string()),
        None => Check::warn("settings", "no robson.toml here: defaults hold; `robson init` writes one"),
    }
}

async fn database(settings: &Settings) -> Vec<Check> {
    let asked_at = tokio::time::Instant::now();
    let store = match AnyStore::open(&settings.database, &OpenOptions::read_only()).await {
        Ok(store) => store,
        Err(error) => return vec![Check::fail("database", error.to_string())],
    };
    let answered_in = asked_at.elapsed();
    let mut checks = match store.describe().await {
        Ok(report) => backend(&report, answered_in),
        Err(error) => vec![Check::fail("database", Failure::from(error).sentence)],
    };
    checks.extend(log(settings, &store).await);
    checks.extend(partitions(&store).await);
    store.close().await;
    checks
}

fn backend(report: &BackendReport, answered_in: Duration) -> Vec<Check> {
    let version = report.version.as_deref().unwrap_or("");
    let text = format!(
        "{} {version} at {}, answers in {} ms",
        report.backend,
        report.location,
        answered_in.as_millis()
    );
    let mut checks = vec![if answered_in > ANSWER_WARN {
        Check::warn("database", text)
    } else {
        Check::ok("database", text)
    }];
    if let Some((database, program)) = report.schema_versions {
        checks.push(Check::ok("migrations", format!("version {database} of {program}")));
    }
    let settings: Vec<String> =
        report.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if !settings.is_empty() {
        checks.push(Check::ok("pragmas", settings.join(", ")));
    }
    checks
}

/// The log, and whether this machine's clock can follow it.
async fn log(settings: &Settings, store: &AnyStore) -> Vec<Check> {
    let tenants = match (store.tenants().await, settings.tenant) {
        (Ok(tenants), Some(wanted)) if !tenants.contains(&wanted) => {
            return vec![Check::fail("log", format!("the tenant {wanted} is not in this database"))];
        }
        (Ok(tenants), _) => tenants,
        (Err(error), _) => return vec![Check::fail("log", Failure::from(error).sentence)],
    };
    if tenants.is_empty() {
        return vec![Check::ok("log", "empty: nothing has written to it yet")];
    }
    let mut checks = Vec::new();
    let now = SystemClock.now();
    for tenant in tenants {
        match store.head(tenant).await {
            Ok(head) => {
                checks.push(Check::ok("log", format!("{} events of tenant {tenant}", head.log_seq)));
                checks.push(if head.ingested_at > now {
                    let behind =
                        format!("{now}: behind the last event, which was appended at {}", head.ingested_at);
                    Check::fail("clock", behind)
                } else {
                    Check::ok("clock", format!("{now}, after the last event"))
                });
            }
            Err(error) => checks.push(Check::fail("log", Failure::from(error).sentence)),
        }
    }
    checks
}

async fn partitions(store: &AnyStore) -> Option<Check> {
    match store.partition_coverage(SystemClock.now()).await {
        Ok(None) => None,
        Ok(Some(months)) if months < MONTHS_WARN => {
            let text = format!("made for {months} months from now on: the daemon makes more when it starts");
            Some(Check::warn("partitions", text))
        }
        Ok(Some(months)) => Some(Check::ok("partitions", format!("made for {months} months from now on"))),
        Err(error) => Some(Check::fail("partitions", Failure::from(error).sentence)),
    }
}

/// The space where a file would grow; that of a server is its own.
fn disk(url: &DatabaseUrl) -> Check {
    let here = Path::new(".");
    let folder = match url {
        DatabaseUrl::Sqlite(path) => path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(here),
        DatabaseUrl::Memory | DatabaseUrl::Postgres(_) => here,
    };
    match fs4::available_space(folder) {
        Ok(bytes) => {
            let text = format!("{} MiB free in {}", bytes >> 20, folder.display());
            match bytes {
                ..DISK_FAIL_BYTES => Check::fail("disk", text),
                DISK_FAIL_BYTES..DISK_WARN_BYTES => Check::warn("disk", text),
                _ => Check::ok("disk", text),
            }
        }
        Err(error) => Check::fail("disk", format!("{}: {error}", folder.display())),
    }
}

fn daemon(settings: &Settings) -> Check {
    match Daemon::of(settings).health() {
        Ok(version) => Check::ok("daemon", format!("{version} answers at {}", settings.daemon_url)),
        Err(_) => Check::warn(
            "daemon",
            format!("none answers at {}: `robsond --paper` starts one", settings.daemon_url),
        ),
    }
}
