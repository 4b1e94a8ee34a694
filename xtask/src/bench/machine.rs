//! The machine that the figures were measured on, and what its disk does alone.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

const BLOCK: [u8; 16 * 1024] = [b'x'; 16 * 1024];
const BLOCKS: u64 = 64;

/// What it is, in a few words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) commit: String,
    /// Durable writes of 16 KiB that the disk does one after the other, in a second.
    pub(crate) syncs_per_second: f64,
}

impl Machine {
    pub(crate) fn look(folder: &Path) -> Result<Self> {
        let line_of = |file: &str, name: &str| -> Option<String> {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory =
            line_of("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        let unknown = || "unknown".to_owned();
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: line_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: said("uname", &["-sr"]).unwrap_or_else(unknown),
            commit: said("git", &["describe", "--always", "--dirty"]).unwrap_or_else(unknown),
            syncs_per_second: syncs_per_second(folder)?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "cores": self.cores,
            "processor": self.processor,
            "memory_mib": self.memory_mib,
            "kernel": self.kernel,
            "commit": self.commit,
            "fdatasync_per_second": self.syncs_per_second,
        })
    }
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How often a block can be written and forced to the disk.
fn syncs_per_second(folder: &Path) -> Result<f64> {
    let path = folder.join("fdatasync");
    let count = || -> std::io::Result<f64> {
        let mut file = File::create(&path)?;
        (0..BLOCKS).try_for_each(|_| file.write_all(&BLOCK))?;
        file.sync_all()?;
        let (watch, mut count) = (Stopwatch::start(), 0_u32);
        while count < 20 || watch.elapsed() < Duration::from_millis(500) {
            file.seek(SeekFrom::Start(u64::from(count) % BLOCKS * BLOCK.len() as u64))?;
            file.write_all(&BLOCK)?;
            file.sync_data()?;
            count += 1;
        }
        Ok(f64::from(count) / watch.elapsed().as_secs_f64())
    };
    let rate = count().with_context(|| format!("write to {}", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    Ok(rate)
}

/// How many bytes the disk below a folder has left, as `df` tells.
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let said = said("df", &["-Pk", folder.to_str()?])?;
    let kib: u64 = said.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib * 1024)
}

/// Real time, which is what a benchmark measures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time; nothing depends on it")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
