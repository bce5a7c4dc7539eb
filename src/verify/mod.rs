//! Proofs over the reading rooms: every fault of a block, as typed findings.
//!
//! [`verify`] looks at whatever lies at a path; [`verify_block`] at one block. Both go on after every fault, as
//! far as anything can still be read, and say of each what it is ([`Kind`]), where it is, whose samples are lost, and
//! what Prometheus will do. They write nothing.
//!
//! # Cost
//!
//! Every byte is read once. Series entries are found one after the other, and then decoded in parallel with their
//! chunks. Postings are compared with the series through keyed sums: two numbers that are equal if, and
//! but for one chance in 2^64 only if, every list holds exactly the series that carry its label. So memory does
//! not grow with the block (one bit for each symbol apart) unless it is damaged; and then findings are capped
//! ([`KEPT_PER_KIND`]).

mod block;
mod checks;
mod finding;
mod kind;

use std::path::{Path, PathBuf};

pub use block::{BlockStats, BlockVerdict, verify_block};
pub use checks::groups::Group;
pub use finding::{Finding, Findings, KEPT_PER_KIND, Loss};
pub use kind::{Consequence, Consequences, Kind, Severity};

use crate::block::{DataDir, EntryKind, Place};
use crate::error::{ErrorKind, Result};
use crate::progress::Progress;
use crate::raw::ReadMode;
use crate::start::{Assumptions, Plan};
use crate::wal::Logs;

/// How much is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Everything: each chunk is decoded to its end.
    #[default]
    Full,
    /// Structure and checksums; chunks are not decoded.
    Quick,
    /// Only what a start of Prometheus reads of a block before it serves it: metadata, the tables of the index, tombstones and the series
    /// they are for, and headers of segments.
    Opening,
}

/// How verification is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How much is proven.
    pub depth: Depth,
    /// How files are read.
    pub read_mode: ReadMode,
    /// Whether to count by job and metric.
    pub by_group: bool,
    /// The server whose start is foretold.
    pub start: Assumptions,
}

/// What was found at a path.
#[derive(Debug)]
pub struct Verdict {
    /// The path.
    pub path: PathBuf,
    /// What kind of directory it is.
    pub place: Place,
    /// The blocks in it, by name of their directories.
    pub blocks: Vec<BlockVerdict>,
    /// The logs, for a data directory that has any.
    pub logs: Option<Logs>,
    /// What a start would do here; nothing for a single block.
    pub start: Option<Plan>,
    /// What concerns no single block.
    pub findings: Findings,
}

impl Verdict {
    /// All findings: those of the directory, then those of its blocks.
    pub fn all_findings(&self) -> impl Iterator<Item = &Finding> {
        let of_blocks = self.blocks.iter().flat_map(|block| &block.findings);
        self.findings.iter().chain(of_blocks)
    }

    /// Whether anything is more than a note.
    pub fn has_problems(&self) -> bool {
        self.findings.has_problems() || self.blocks.iter().any(|b| b.findings.has_problems())
    }
}

/// Verifies the data directory, Prometheus snapshot or block at `path`.
///
/// # Errors
///
/// When `path` cannot be listed, or holds nothing that could be verified. Whatever is wrong further down is a
/// finding.
pub fn verify(path: &Path, options: Options, progress: &dyn Progress) -> Result<Verdict> {
    let scanned = DataDir::scan(path)?;
    progress.begin("verify", Some(checks::directory::bytes(&scanned)));
    let mut findings = Findings::default();
    checks::directory::data_dir(&scanned, &mut findings);
    // The logs are read by one thread, while others read the blocks.
    let (read, blocks) = rayon::join(
        || {
            let head = checks::head::read(&scanned, options.read_mode);
            let mut found = Findings::default();
            let logs = checks::wal::check(&scanned, head.watch(), options.read_mode, &mut found);
            (head, logs, found)
        },
        || verify_blocks(&scanned, options, progress),
    );
    let (head, logs, found) = read;
    findings.append(found);
    checks::cross::compare(&blocks, &mut findings);
    if scanned.entries().iter().any(|e| e.kind == EntryKind::Wal) {
        checks::cross::served_aggregates(&blocks, &mut findings);
    }
    let read = checks::start::Read {
        scanned: &scanned,
        blocks: &blocks,
        logs: logs.as_ref(),
        head,
    };
    let start = checks::start::foretell(read, options, &mut findings);
    progress.end();
    findings.sort();
    Ok(Verdict {
        path: path.to_owned(),
        place: scanned.place(),
        blocks,
        logs,
        start: (scanned.place() != Place::Block).then_some(start),
        findings,
    })
}

/// The blocks of `scanned`, but for those that a server at work compacted or deleted meanwhile.
fn verify_blocks(
    scanned: &DataDir,
    options: Options,
    progress: &dyn Progress,
) -> Vec<BlockVerdict> {
    let mut blocks = Vec::new();
    for entry in scanned.blocks() {
        match verify_block(&entry.path, options, progress) {
            Ok(block) if !block.findings.has_problems() || entry.path.exists() => {
                blocks.push(block);
            }
            Ok(_) => progress.remark(&format_args!("{} has vanished", entry.path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound && !entry.path.exists() => {
                progress.remark(&format_args!("{} has vanished", entry.path.display()));
            }
            Err(error) => blocks.push(BlockVerdict::unlisted(entry, &error)),
        }
    }
    blocks
}
