//! What the disk does alone: a small write, forced to it.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Instant;

use robson_testkit::measure::{Round, Took};

const BLOCK_BYTES: usize = 16 * 1024;
const FILE_BLOCKS: u64 = 64;

/// Writes and forces blocks in the folder of a `sqlite://` URL, one after the other.
pub(crate) fn fdatasync(url: &str, count: u64) -> Round {
    let path = Path::new(url.trim_start_matches("sqlite://")).with_extension("fdatasync");
    let mut file = std::fs::File::create(&path).unwrap();
    let block = [b'x'; BLOCK_BYTES];
    for _ in 0..FILE_BLOCKS {
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
    let mut waits = Vec::new();
    let begun = Instant::now();
    for index in 0..count {
        let at = Instant::now();
        file.seek(SeekFrom::Start(index % FILE_BLOCKS * BLOCK_BYTES as u64)).unwrap();
        file.write_all(&block).unwrap();
        file.sync_data().unwrap();
        waits.push(at.elapsed());
    }
    let took = begun.elapsed();
    std::fs::remove_file(path).unwrap();
    Round::new(count, Took { total: took, waits }).with("block_bytes", BLOCK_BYTES)
}
