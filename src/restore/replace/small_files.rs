//! `meta.json` and `tombstones` of a damaged block, which a server rewrites: they stay.

use std::path::Path;

use super::{DataBlock, Replacer, TOMBSTONES};
use crate::block::{Meta, Tombstones, read_meta_file};
use crate::error::Result;
use crate::model::{MAX_TOMBSTONES_BYTES, Millis};
use crate::progress::Progress;
use crate::raw::read_bounded;
use crate::restore::plan::stamp;
use crate::restore::stage::Stage;
use crate::restore::{ProblemKind, RestoreProblem};
use crate::verify::BlockVerdict;

impl Replacer {
    /// Puts `meta.json` and `tombstones` of the damaged block into its copy, as far as they are
    /// sound and fit.
    pub(super) fn keep_small_files(
        &self,
        block: &DataBlock,
        copy: &BlockVerdict,
        stage: &Stage,
        archive: Option<&(String, Millis)>,
        told: &mut Vec<RestoreProblem>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let staged = stage.path(&block.name);
        let own = own_small_files(block, copy);
        let differs = |(name, content): &(&str, Vec<u8>)| {
            read_bounded(&staged.join(name), MAX_TOMBSTONES_BYTES)
                .ok()
                .as_ref()
                != Some(content)
        };
        let own: Vec<_> = own.into_iter().filter(differs).collect();
        let has_deletions = |content: &[u8]| content != Tombstones::EMPTY_FILE;
        let deletions = own.iter().find(|(name, _)| *name == TOMBSTONES);
        let are_own_lost = deletions.is_none() && !is_sound_file(&block.dir.join(TOMBSTONES));
        let archived: Vec<_> = own
            .iter()
            .map(|(name, _)| {
                (
                    *name,
                    read_bounded(&staged.join(name), MAX_TOMBSTONES_BYTES).ok(),
                )
            })
            .collect();
        for (name, content) in &own {
            stage.rewrite(&block.name, name, Some(content))?;
        }
        let fits = own.is_empty() || self.prove(block, stage, progress).is_ok();
        if !fits {
            for (name, content) in &archived {
                stage.rewrite(&block.name, name, content.as_deref())?;
            }
        }
        let is_lost = !fits && deletions.is_some_and(|(_, content)| has_deletions(content));
        if is_lost || are_own_lost {
            let of = archive.map_or_else(String::new, |(id, time)| {
                format!(" of archive {id}, {}", stamp(*time))
            });
            let ulid = block.ulid;
            told.push(ProblemKind::DeletionsDiffer.at(ulid.to_string(), format!(
                "the deletions of block {ulid} could not be kept, and are those{of}: samples that were deleted later are there again"
            )));
        }
        Ok(())
    }
}

/// Whether there is such a file of deletions and it can be read to its end, or there is none.
fn is_sound_file(path: &Path) -> bool {
    match read_bounded(path, MAX_TOMBSTONES_BYTES) {
        Ok(content) => Tombstones::read(&content).faults.is_empty(),
        Err(error) => error.kind() == crate::ErrorKind::NotFound,
    }
}

/// `meta.json` and `tombstones` of `block`, as far as they are sound and of the same block as
/// `copy`.
fn own_small_files(block: &DataBlock, copy: &BlockVerdict) -> Vec<(&'static str, Vec<u8>)> {
    let mut own = Vec::new();
    let is_same = |meta: &Meta, other: &Meta| {
        meta.ulid == other.ulid
            && (meta.min_time, meta.max_time) == (other.min_time, other.max_time)
            && meta.stats.num_series == other.stats.num_series
            && meta.stats.num_samples == other.stats.num_samples
            && meta.stats.num_chunks == other.stats.num_chunks
            && meta.compaction.level == other.compaction.level
            && meta.compaction.sources == other.compaction.sources
            && meta.compaction.parents == other.compaction.parents
    };
    let metas = block.meta.as_ref().zip(copy.meta.as_ref());
    if metas.is_some_and(|(meta, other)| is_same(meta, other))
        && let Ok(content) = read_meta_file(&block.dir.join("meta.json"))
    {
        own.push(("meta.json", content.to_vec()));
    }
    let tombstones = read_bounded(&block.dir.join(TOMBSTONES), MAX_TOMBSTONES_BYTES).ok();
    own.extend(
        tombstones
            .filter(|content| Tombstones::read(content).faults.is_empty())
            .map(|content| (TOMBSTONES, content)),
    );
    own
}
