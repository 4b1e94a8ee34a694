//! Where the server's programs are, and how to get them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::ServerError;

/// The oldest supported server.
const MAJOR_MIN: u32 = 15;

/// Folders that hold one version each: the parent, what stands before the version, what comes after.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

#[derive(Debug, Clone)]
pub(super) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    pub(super) fn find_or_install() -> Result<Self, ServerError> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        let tried = install();
        Self::find().ok_or(ServerError::Missing { tried })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    fn find() -> Option<Self> {
        let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        on_path
            .unwrap_or_default()
            .into_iter()
            .chain(pg_config_folder())
            .chain(VERSIONED.iter().flat_map(|(parent, before, after)| versions(parent, before, after)))
            .find_map(Self::at)
    }

    /// The folder that the programs really are in: a link on the PATH may name only some of them.
    fn at(folder: PathBuf) -> Option<Self> {
        let folder = fs::canonicalize(folder.join("initdb")).ok()?.parent()?.to_path_buf();
        let found = Self { folder };
        let output = Command::new(found.path("postgres")).arg("--version").output().ok()?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
        (major >= MAJOR_MIN).then_some(found)
    }
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_once(')')?.1.trim_start();
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

fn pg_config_folder() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Newest first.
fn versions(parent: &str, before: &str, after: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(before)?.parse().ok()?;
            Some((version, entry.path().join(after)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

struct PackageManager {
    program: &'static str,
    as_root: bool,
    steps: &'static [&'static [&'static str]],
}

const PACKAGE_MANAGERS: [PackageManager; 6] = [
    PackageManager {
        program: "apt-get",
        as_root: true,
        steps: &[&["update"], &["install", "-y", "--no-install-recommends", "postgresql"]],
    },
    PackageManager { program: "dnf", as_root: true, steps: &[&["install", "-y", "postgresql-server"]] },
    PackageManager { program: "apk", as_root: true, steps: &[&["add", "--no-cache", "postgresql"]] },
    PackageManager {
        program: "pacman",
        as_root: true,
        steps: &[&["-Sy", "--noconfirm", "--needed", "postgresql"]],
    },
    PackageManager {
        program: "zypper",
        as_root: true,
        steps: &[&["--non-interactive", "install", "postgresql-server"]],
    },
    PackageManager { program: "brew", as_root: false, steps: &[&["install", "postgresql@17"]] },
];

/// Installs the server with the first package manager that exists; returns what was tried.
fn install() -> String {
    let Some(manager) = PACKAGE_MANAGERS.iter().find(|manager| exists(manager.program)) else {
        return "no known package manager to install it with".into();
    };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    let mut tried = Vec::new();
    for step in manager.steps {
        // `-n`: a password prompt would hang a run that nobody watches.
        let prefix: &[&str] = if manager.as_root && !is_root { &["sudo", "-n"] } else { &[] };
        let words: Vec<&str> = prefix.iter().chain(&[manager.program]).chain(*step).copied().collect();
        let line = words.join(" ");
        eprintln!("no PostgreSQL server found; running `{line}`");
        let outcome = Command::new(words[0])
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output();
        let ended = match outcome {
            Ok(output) if output.status.success() => "done".to_owned(),
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr);
                format!("{}: {}", output.status, errors.trim().lines().last().unwrap_or_default())
            }
            Err(error) => error.to_string(),
        };
        tried.push(format!("`{line}`: {ended}"));
    }
    tried.join(", ")
}

/// The lines that install a server, one for each package manager, without what only refreshes a list.
pub(super) fn install_commands() -> Vec<String> {
    let line = |manager: &PackageManager| {
        let words = manager.steps.last().copied().unwrap_or_default();
        [&[manager.program], words].concat().join(" ")
    };
    PACKAGE_MANAGERS.iter().map(line).collect()
}

fn exists(program: impl AsRef<OsStr>) -> bool {
    let program = Path::new(program.as_ref());
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn the_major_version_is_read_from_every_vendor_s_text() {
        let check = |text, expected| assert_eq!(major_version(text), expected, "{text}");
        check("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15));
        check("postgres (PostgreSQL) 17.2 (Homebrew)\n", Some(17));
        check("postgres (PostgreSQL) 18beta1\n", Some(18));
        check("something else", None);
    }
}
