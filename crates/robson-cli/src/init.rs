//! `init`: writes the settings file with a token of its own, and makes the database.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use robsond::schema::Schema;
use serde_json::json;

use crate::commands::random_bytes;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::settings::{DATABASE, FILE, Settings};

/// `init`; a settings file that is there already is kept.
///
/// # Errors
/// The file cannot be written, or the database does not open.
pub async fn run(settings: &Settings, database: Option<&str>, printer: &mut Printer) -> Result<(), Failure> {
    let path = settings.file.as_deref().unwrap_or_else(|| Path::new(FILE));
    let is_new = settings.file.is_none();
    // The database first: a file that names one which cannot be opened would be in the way of the next try.
    let report = Schema::init(&settings.database).await?;
    if is_new {
        write(path, database.unwrap_or(DATABASE))?;
    }
    if printer.is_json {
        let json = json!({
            "settings": path.display().to_string(),
            "settings_written": is_new,
            "database": settings.database.to_string(),
            "applied": report.applied,
        });
        return Ok(printer.json(&json, false)?);
    }
    let did = if is_new { "wrote" } else { "kept" };
    printer.line(format!("{did} {}", path.display()))?;
    let made = if report.applied.is_empty() { "is ready" } else { "was made" };
    let version = report.database_version.unwrap_or_default();
    printer.line(format!("{} {made}, at version {version}", settings.database))?;
    Ok(printer.line("next: `robson demo`, or `robsond --paper --feed FILE`")?)
}

fn write(path: &Path, database: &str) -> Result<(), Failure> {
    let token: String =
        [random_bytes(), random_bytes()].concat().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "# Robson's settings. The environment wins over this file, and flags win over both.\n\
         # `robsond config` prints all of them, with where each comes from.\n\
         \n\
         [database]\n\
         url = {}\n\
         \n\
         [api]\n\
         host = \"127.0.0.1\"\n\
         port = 8080\n\
         # Whoever has it can trade: keep it to yourself.\n\
         token = \"{token}\"\n",
        toml::Value::from(database)
    );
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::error(format!("{} is there already: it was kept", path.display()))
        }
        _ => Failure::error(format!("cannot write {}: {error}", path.display())),
    })
}
