//! What can be read of blocks that do not come back as they were, as new blocks.
//!
//! Of a dense block that are the groups of its packs that are sound; of a portable one the chunks
//! that its index names and that have the checksum they should have. Where that is not all, other
//! blocks of the same samples are read in the same way. All of it together is written as one
//! new block, which is verified before it becomes visible.

mod losses;
mod lost;
mod sources;

use std::collections::BTreeSet;

use super::exact::{CutBlock, Exact};
use super::plan::Salvage;
use crate::error::Error;
use crate::model::Ulid;
use crate::raw::ReadMode;
use crate::repository::Hasher;
use crate::select::Selection;
pub use losses::{Losses, SalvageLoss};

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
