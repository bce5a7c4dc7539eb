//! Blocks that come back cut: only the time, only the series that are wanted.

use std::fs;
use std::path::Path;

use super::apply::{Outcome, Staged, Work};
use super::salvage::SalvageOf;
use crate::block::Block;
use crate::cut::cut_block;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::progress::Silent;
use crate::raw::ReadMode;
use crate::repository::StoredBlock;
use crate::repository::lineage::{is_damaged, stream};
use crate::select::Selection;
use crate::stored::Detour;
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
    fn cut(&self, stored: &StoredBlock, whole: &Path) -> Result<Option<CutBlock>> {
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
    let options = VerifyOptions {
        depth: Depth::Full,
        read_mode,
        ..VerifyOptions::default()
    };
    let verdict = verify_block(dir, options, &Silent)?;
    refuse_unsound(stored, &verdict)?;
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
fn refuse_unsound(stored: &StoredBlock, verdict: &BlockVerdict) -> Result<()> {
    let known = |kind: Kind| stored.findings.by_kind.contains_key(kind.id());
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

impl Work<'_> {
    /// Stages what is wanted of `block`, which does not come back whole because of `damage`: if
    /// nothing of that is lost.
    fn stage_sound(
        &self,
        block: &StoredBlock,
        exact: &Exact,
        damage: Error,
    ) -> Result<Outcome<Staged>> {
        let Ok(salvaged) = self.salvage(block, &SalvageOf::exact(exact), false)? else {
            return Ok(Err(damage));
        };
        if salvaged.is_short {
            if let Some(made) = &salvaged.block {
                self.stage.remove(&made.ulid.to_string())?;
            }
            return Ok(Err(damage));
        }
        self.took(Detour {
            name: format!("what is wanted of {}", block.ulid),
            reason: damage,
            from: vec!["what is sound of its objects".to_owned()],
        });
        Ok(Ok(Staged::Cut(CutOutcome {
            original: block.ulid,
            block: salvaged.block,
        })))
    }

    /// Stages what is wanted of `block`. The block itself is staged and proved before, and gone
    /// after.
    pub(super) fn stage_cut(&self, block: &StoredBlock, exact: &Exact) -> Result<Outcome<Staged>> {
        if is_damaged(block) {
            let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
            return Ok(Err(Error::corrupt(format!(
                "expected a sound block to cut, found one that was damaged when it was archived ({}): restore it as \
                 it was, without --exact",
                kinds.join(", ")
            ))));
        }
        let name = format!("{}.whole", block.ulid);
        if let Err(damage) = self.stage_block(block, &name)? {
            self.stage.remove(&name)?;
            return self.stage_sound(block, exact, damage);
        }
        let whole = self.stage.path(&name);
        let cut = exact.cut(block, &whole);
        self.stage.remove(&name)?;
        if let Ok(Some(made)) = &cut {
            self.stage.give_permissions(&made.ulid.to_string())?;
        }
        match cut {
            Ok(cut) => Ok(Ok(Staged::Cut(CutOutcome {
                original: block.ulid,
                block: cut,
            }))),
            // What cannot be written concerns every block.
            Err(error) if is_of_target(&error) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }
}

pub(super) fn is_of_target(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io | ErrorKind::NotFound | ErrorKind::AlreadyExists
    )
}
