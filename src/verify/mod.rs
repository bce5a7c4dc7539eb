//! Proofs over the reading rooms: every fault of a block, as typed findings.
//!
//! [`verify`] looks at whatever lies at a path; [`verify_block`] at one block in a directory, and
//! [`verify_source`] at one that was opened before, wherever it lies. All go on after every fault,
//! as far as anything can still be read, and say of each what it is ([`Kind`]), where it is, whose
//! samples are lost, and what Prometheus will do. They write nothing.
//!
//! # Cost
//!
//! Every byte is read once. Series entries are found one after the other, and then decoded in
//! parallel with their chunks. Postings are compared with the series through keyed sums: two
//! numbers that are equal if, and but for one chance in 2^64 only if, every list holds exactly the
//! series that carry its label. So memory does not grow with the block (one bit for each symbol
//! apart) unless it is damaged; and then findings are capped ([`KEPT_PER_KIND`]).
//!
//! ```
//! use narthex::progress::Silent;
//! use narthex::verify::{VerifyOptions, verify};
//!
//! let verdict = verify("fixtures/night-1".as_ref(), VerifyOptions::default(), &Silent)?;
//! for finding in verdict.all_findings() {
//!     println!("{finding}");
//! }
//! assert!(!verdict.has_problems());
//! # Ok::<(), narthex::Error>(())
//! ```

mod block;
mod checks;
mod finding;
mod kind;
mod options;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use block::{BlockVerdict, VerifiedAmounts, verify_block, verify_source};
use checks::directory::Names;
pub use checks::groups::JobMetric;
use checks::head::Head;
pub use finding::{FaultLoss, Finding, Findings, KEPT_PER_KIND};
pub use kind::{Consequence, Consequences, FindingSeverity, Kind};
pub use options::{Depth, VerifyOptions};
pub use source::BlockSource;

use crate::block::{DataDir, DirKind, EntryKind};
use crate::error::{ErrorKind, Result};
use crate::progress::Progress;
use crate::start::StartPlan;
use crate::wal::Logs;

/// What was found at a path.
#[derive(Debug)]
pub struct Verdict {
    /// The path.
    pub path: PathBuf,
    /// What kind of directory it is.
    pub place: DirKind,
    /// The blocks in it, by name of their directories.
    pub blocks: Vec<BlockVerdict>,
    /// The logs, for a data directory that has any.
    pub logs: Option<Logs>,
    /// What a start would do here; nothing for a single block.
    pub start: Option<StartPlan>,
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

/// How often a directory is looked at again because a server at work has changed it meanwhile.
const MAX_LOOKS: usize = 4;

/// Verifies the data directory, Prometheus snapshot or block at `path`. Where a server at work
/// compacts blocks or truncates its log meanwhile, what has changed is read again.
///
/// # Errors
///
/// When `path` cannot be listed, or holds nothing that could be verified. Whatever is wrong further
/// down is a finding.
pub fn verify(path: &Path, options: VerifyOptions, progress: &dyn Progress) -> Result<Verdict> {
    let mut known = BTreeMap::new();
    let mut looks = 1;
    let look = loop {
        let scanned = DataDir::scan(path)?;
        let names = checks::directory::names(&scanned);
        if looks == 1 {
            progress.begin("verify", Some(checks::directory::bytes(&scanned)));
        }
        let look = Look::at(scanned, &mut known, options, progress);
        if looks == MAX_LOOKS || look.is_whole(&names) {
            break look;
        }
        looks += 1;
        let again = format!("{} has changed meanwhile and is read again", path.display());
        progress.remark(&again);
        known.extend(
            look.blocks
                .into_iter()
                .map(|block| (block.dir.clone(), block)),
        );
    };
    let verdict = look.judge(options);
    progress.end();
    Ok(verdict)
}

/// What was read of a directory in one go.
struct Look {
    scanned: DataDir,
    blocks: Vec<BlockVerdict>,
    head: Head,
    logs: Option<Logs>,
    findings: Findings,
}

impl Look {
    /// Reads what lies in `scanned`, but for the blocks that are `known`.
    fn at(
        scanned: DataDir,
        known: &mut BTreeMap<PathBuf, BlockVerdict>,
        options: VerifyOptions,
        progress: &dyn Progress,
    ) -> Self {
        let mut findings = Findings::default();
        checks::directory::data_dir(&scanned, &mut findings);
        // The logs are read by one thread, while others read the blocks.
        let ((head, logs, found), blocks) = rayon::join(
            || {
                let head = checks::head::read(&scanned, options.read_mode);
                let mut found = Findings::default();
                let watch = head.watch();
                let logs = checks::wal::check(&scanned, watch, options.read_mode, &mut found);
                (head, logs, found)
            },
            || verify_blocks(&scanned, known, options, progress),
        );
        findings.append(found);
        Look {
            scanned,
            blocks,
            head,
            logs,
            findings,
        }
    }

    /// Whether all of `names`, which were listed before, are there still, and no block or
    /// checkpoint is new.
    fn is_whole(&self, names: &Names) -> bool {
        if self.scanned.place() == DirKind::Block {
            return true;
        }
        let now = DataDir::scan(self.scanned.path());
        now.is_ok_and(|now| names.are_in(&checks::directory::names(&now)))
    }

    /// Says what is wrong with the whole.
    fn judge(self, options: VerifyOptions) -> Verdict {
        let Look {
            scanned,
            blocks,
            head,
            logs,
            mut findings,
        } = self;
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
        findings.sort();
        Verdict {
            path: scanned.path().to_owned(),
            place: scanned.place(),
            blocks,
            logs,
            start: (scanned.place() != DirKind::Block).then_some(start),
            findings,
        }
    }
}

/// The blocks of `scanned`, but for those that a server at work compacted or deleted meanwhile;
/// those that are `known` are not read again.
fn verify_blocks(
    scanned: &DataDir,
    known: &mut BTreeMap<PathBuf, BlockVerdict>,
    options: VerifyOptions,
    progress: &dyn Progress,
) -> Vec<BlockVerdict> {
    let mut blocks = Vec::new();
    for entry in scanned.blocks() {
        if let Some(block) = known.remove(&entry.path) {
            blocks.push(block);
            continue;
        }
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
