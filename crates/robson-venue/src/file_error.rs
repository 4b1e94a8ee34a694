//! A file that a person wrote or recorded, and the line of it that cannot be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What is wrong in a file, and where: prints `FILE:LINE: reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The file as it was named to us.
    pub file: PathBuf,
    /// The line, counted from 1; none where the file as a whole is meant.
    pub line: Option<u64>,
    /// One clause that says what is wrong.
    pub reason: String,
}

/// Why a feed is refused before anything trades.
pub type FeedError = FileError;

/// Why a plan is refused before anything trades.
pub type PlanError = FileError;

impl FileError {
    pub(crate) fn at(file: &Path, line: u64, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: Some(line), reason: reason.into() }
    }

    pub(crate) fn whole(file: &Path, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, reason: reason.into() }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl std::error::Error for FileError {}

/// The whole text of a file and the SHA-256 of its bytes in hex.
pub(crate) fn read_text(file: &Path) -> Result<(String, String), FileError> {
    let bytes = std::fs::read(file).map_err(|source| unreadable(file, &source))?;
    let sha256 = sha256_hex(&bytes);
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        FileError::at(file, line_of(valid), "the text is not UTF-8")
    })?;
    Ok((text, sha256))
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line on which the text after `before` stands.
pub(crate) fn line_of(before: &[u8]) -> u64 {
    before.iter().filter(|&&byte| byte == b'\n').fold(1, |line, _| line + 1)
}

fn unreadable(file: &Path, source: &io::Error) -> FileError {
    let reason = match source.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "the file may not be read".to_owned(),
        _ => format!("the file cannot be read: {source}"),
    };
    FileError::whole(file, reason)
}
