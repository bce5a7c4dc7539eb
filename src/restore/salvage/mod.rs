//! What can be read of blocks that do not come back as they were, as new blocks.
//!
//! Of a dense block that are the groups of its packs that are sound; of a portable one the chunks
//! that its index names and that have the checksum they should have. Where that is not all, other
//! blocks of the same samples are read in the same way. All of it together is written as one
//! new block, which is verified before it becomes visible.

mod losses;
mod relatives;
mod sources;

use std::collections::BTreeSet;

use super::apply::{Outcome, Work};
use super::exact::{CutBlock, Exact, is_of_target};
use super::plan::RestorePlan;
use crate::error::{Error, Result};
use crate::model::Ulid;
use crate::raw::ReadMode;
use crate::repository::lineage::{is_damaged, stream};
use crate::repository::{Hasher, StoredBlock};
use crate::select::Selection;
use crate::stored::{has_index, with_sound_packs};
pub use losses::{Losses, SalvageLoss};
pub(super) use relatives::Relatives;
use sources::Sources;

/// Most ways in which one block is stored, and most other blocks, that are read for one.
const MAX_WAYS: usize = 8;

/// What is done about blocks that do not come back as they were.
#[derive(Clone, Debug)]
pub struct Salvage {
    /// What will be read of what comes back: where that is sound, nothing is missing. All of it
    /// comes back nevertheless.
    pub asked: Selection,
    /// Whether what can be read of them is brought back; else it is only said that there is
    /// something.
    pub bring: bool,
    /// How staged files are read.
    pub read_mode: ReadMode,
}

/// What of a block is salvaged.
pub(super) struct SalvageOf {
    /// What is written.
    part: Selection,
    /// What may not be missing.
    asked: Selection,
    read_mode: ReadMode,
}

impl SalvageOf {
    /// What `exact` says.
    pub(super) fn exact(exact: &Exact) -> Self {
        SalvageOf {
            part: exact.part.clone(),
            asked: exact.part.clone(),
            read_mode: exact.read_mode,
        }
    }

    /// All of the block.
    fn all(salvage: &Salvage) -> Self {
        SalvageOf {
            part: Selection::default(),
            asked: salvage.asked.clone(),
            read_mode: salvage.read_mode,
        }
    }
}

/// What came back of a block that did not come back as it was.
#[derive(Debug)]
pub struct Salvaged {
    /// The block that was archived.
    pub original: Ulid,
    /// What could be read of it, as a new block; `None` when that is nothing of what is wanted.
    pub block: Option<CutBlock>,
    /// Series and samples that it is short of, by what the manifest says; `None` where not all of
    /// the block was wanted, or samples of it were deleted, which the manifest counts.
    pub short_of: Option<(u64, u64)>,
    /// What could not be read of its own objects.
    pub losses: Losses,
    /// What is wrong with them.
    pub reason: Error,
    /// Whether something that is wanted may be missing, or deleted samples have come back.
    pub is_short: bool,
    /// Other blocks of which everything that was read for it is in it.
    pub(super) others: BTreeSet<Ulid>,
}

/// The name of what is salvaged of the block `ulid`: always the same, so that whoever does it twice
/// has it once.
pub(super) fn salvaged_ulid(ulid: Ulid) -> Ulid {
    let mut hasher = Hasher::default();
    hasher.update(b"salvaged by narthex from ");
    hasher.update(ulid.to_string().as_bytes());
    let digest = hasher.finish();
    let random = digest.as_bytes().iter().take(10);
    let random = random.fold(0u128, |random, byte| random << 8 | u128::from(*byte));
    Ulid::from_parts(ulid.time(), random)
}

impl Work<'_> {
    /// Whether something can be read of `block`, which nothing brings back, and `plan` does not ask
    /// for that. Reads no samples.
    pub(super) fn may_salvage(&self, plan: &RestorePlan<'_>, block: &StoredBlock) -> bool {
        if plan.brings(block) || plan.salvage.is_none() || is_damaged(block) {
            return false;
        }
        if block.packs.is_empty() {
            has_index(self.copies, block)
        } else {
            with_sound_packs(self.copies, block, |_| Ok(())).is_ok_and(|sound| sound.is_some())
        }
    }

    /// Stages what can be read of `block`, which nothing brings back because of `reason`, as far as
    /// `plan` asks for that.
    pub(super) fn salvage_lost(
        &self,
        plan: &RestorePlan<'_>,
        block: &StoredBlock,
        reason: Error,
    ) -> Result<(Error, Option<Salvaged>)> {
        if !plan.brings(block) {
            return Ok((reason, None));
        }
        let exact = plan.exact.as_ref().filter(|exact| exact.cuts(block));
        let wanted = match (exact, &plan.salvage) {
            (Some(exact), _) => SalvageOf::exact(exact),
            (None, Some(salvage)) => SalvageOf::all(salvage),
            (None, None) => return Ok((reason, None)),
        };
        // Aggregates are asked for by labels that they do not have in their blocks.
        let mut wanted = wanted;
        if stream(block).is_aggregate() {
            wanted.asked.selectors.clear();
        }
        let is_asked = plan.salvage.as_ref().is_some_and(|salvage| salvage.bring);
        if is_damaged(block) && !is_asked {
            return Ok((reason, None));
        }
        let ulid = salvaged_ulid(block.ulid);
        if plan.present.iter().any(|kin| kin.ulid == ulid) {
            let there = format!("what could be read of it is there already, as {ulid}");
            return Ok((reason.context(there), None));
        }
        let nothing = match self.salvage(block, &wanted, true)? {
            Ok(salvaged) if salvaged.block.is_some() || !salvaged.is_short => {
                return Ok((reason, Some(salvaged)));
            }
            Ok(_) => "nothing of what is wanted can be read of it".to_owned(),
            Err(error) => format!("it cannot be salvaged ({})", error.chain()),
        };
        Ok((reason.context(nothing), None))
    }

    /// Stages what can be read of what is `wanted` of `block`, which does not come back as it was;
    /// the caller says why. With `with_kin`, blocks of the same samples are read as well, if
    /// its own objects do not give all.
    pub(super) fn salvage(
        &self,
        block: &StoredBlock,
        wanted: &SalvageOf,
        with_kin: bool,
    ) -> Result<Outcome<Salvaged>> {
        let name = format!("{}.salvage", block.ulid);
        let mut sources = Sources::of(self, block, wanted, &name)?;
        let read = sources.read(with_kin);
        let has_failed = sources.has_failed();
        let merged = read.and_then(|losses| sources.merge(losses));
        drop(sources);
        self.stage.remove(&name)?;
        match merged {
            Ok(salvaged) => {
                if let Some(made) = &salvaged.block {
                    self.stage.give_permissions(&made.ulid.to_string())?;
                }
                Ok(Ok(salvaged))
            }
            Err(error) if has_failed || is_of_target(&error) => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }
}
