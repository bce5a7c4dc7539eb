//! Blocks that come back cut: only the time, only the series that are wanted.

use std::fs;
use std::path::Path;

use crate::block::Block;
use crate::cut::cut_block;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::progress::Silent;
use crate::raw::ReadMode;
use crate::repository::StoredBlock;
use crate::repository::lineage::stream;
use crate::select::Selection;
use crate::verify::{BlockVerdict, Depth, FindingSeverity, Kind, VerifyOptions, verify_block};

/// What blocks are cut down to.
#[derive(Clone, Debug)]
pub struct Exact {
    /// What is wanted.
    pub part: Selection,
    /// How staged files are read.
    pub read_mode: ReadMode,
}

/// What became of a block that was to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOutcome {
    /// The block that was archived.
    pub original: Ulid,
    /// What was cut out of it; `None` when no sample of it is wanted.
    pub block: Option<CutBlock>,
}

/// A block that was cut out of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutBlock {
    /// Its new ULID.
    pub ulid: Ulid,
    /// Series in it.
    pub series: u64,
    /// Samples in it.
    pub samples: u64,
    /// Size of its files, in bytes.
    pub bytes: u64,
}

impl Exact {
    /// Whether `block` holds, or may hold, something that is not wanted. Blocks of aggregates are
    /// not cut: an aggregate stands for a span of time.
    pub fn cuts(&self, block: &StoredBlock) -> bool {
        !stream(block).is_aggregate() && !self.part.covers_block(block.min_time, block.max_time)
    }

    /// Writes what is wanted of the block in `whole`, which is `stored`, beside it, and verifies
    /// it.
    pub(super) fn cut(&self, stored: &StoredBlock, whole: &Path) -> Result<Option<CutBlock>> {
        let parent = whole.parent().unwrap_or(whole);
        let ulid = Ulid::generate();
        let block = Block::open(whole, self.read_mode)?;
        let Some(dir) = cut_block(&block, &self.part, parent, ulid)? else {
            return Ok(None);
        };
        verified(stored, &dir, self.read_mode).map(Some)
    }
}

/// The new block in `dir`, which was made of `stored`, once it has been verified.
pub(super) fn verified(stored: &StoredBlock, dir: &Path, read_mode: ReadMode) -> Result<CutBlock> {
    let known = |kind: Kind| stored.findings.by_kind.contains_key(kind.id());
    verified_block(dir, read_mode, known)
}

/// The new block in `dir`, once it has been verified. Oddities that are `known` are none.
pub(super) fn verified_block(
    dir: &Path,
    read_mode: ReadMode,
    known: impl Fn(Kind) -> bool,
) -> Result<CutBlock> {
    let options = VerifyOptions {
        depth: Depth::Full,
        read_mode,
        ..VerifyOptions::default()
    };
    let verdict = verify_block(dir, options, &Silent)?;
    refuse_unsound(known, &verdict)?;
    let ulid = dir.file_name().and_then(|name| name.to_str()?.parse().ok());
    let mut bytes = verdict.stats.bytes;
    for name in ["meta.json", "tombstones"] {
        let path = dir.join(name);
        let file = fs::metadata(&path).map_err(|e| Error::io("stat", &path, e))?;
        bytes = bytes.saturating_add(file.len());
    }
    Ok(CutBlock {
        ulid: ulid.ok_or_else(|| Error::invalid(dir.display().to_string()))?,
        series: verdict.stats.series,
        samples: verdict.stats.samples,
        bytes,
    })
}

/// An oddity that the original has as well, and that costs no sample, is no reason to refuse.
fn refuse_unsound(known: impl Fn(Kind) -> bool, verdict: &BlockVerdict) -> Result<()> {
    let kinds = verdict.findings.counts().map(|(kind, _)| kind);
    let new = kinds.filter(|kind| match kind.severity() {
        FindingSeverity::Note => false,
        FindingSeverity::Warning => !known(*kind),
        _ => true,
    });
    let ids: Vec<_> = new.map(Kind::id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "expected a sound block after cutting, found {}: restore the block whole, without --exact",
        ids.join(", ")
    )))
}

/// Whether it is the target that failed, which concerns every block.
pub(super) fn is_of_target(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::NotFound | ErrorKind::AlreadyExists
    )
}
