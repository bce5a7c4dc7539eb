//! Other blocks with the same samples, for blocks that do not come back themselves.

use std::collections::BTreeSet;

use super::choose::choose;
use crate::model::{Held, Kin, Ulid};
use crate::repository::lineage::{TimeRange, is_damaged, kin};
use crate::repository::{Archive, StoredBlock};

/// Blocks that came in place of one that could not, or that was damaged when it was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// The block that did not come.
    pub ulid: Ulid,
    /// The blocks that hold its samples.
    pub by: Vec<Ulid>,
}

/// Blocks of `chain` that hold something of what `lost` holds, beside blocks that hold `present`. Those of `passed_over` are none.
///
/// A child whose parent is present is among them: whoever takes it leaves its parents out.
pub(super) fn stand_ins<'a>(
    chain: &'a [Archive],
    lost: &[&StoredBlock],
    passed_over: &BTreeSet<Ulid>,
    present: &[Kin],
) -> Vec<&'a StoredBlock> {
    let lost: Vec<Kin> = lost.iter().map(|block| kin(block)).collect();
    let atoms: BTreeSet<Ulid> = lost.iter().flat_map(|kin| &kin.atoms).copied().collect();
    let there: BTreeSet<Ulid> = present.iter().map(|kin| kin.ulid).collect();
    let all = chain.iter().flat_map(|archive| &archive.blocks);
    let related = all.filter(|block| {
        let is_new = !passed_over.contains(&block.ulid) && !there.contains(&block.ulid);
        // Metadata of a damaged block may have been lost, and its sources with it.
        let same = lost.iter().any(|kin| kin.ulid == block.ulid);
        let shares =
            || block.sources.iter().any(|atom| atoms.contains(atom)) || atoms.contains(&block.ulid);
        is_new && !is_damaged(block) && (same || shares())
    });
    let choice = choose(related, present, TimeRange::ALL);
    let mut found = choice.blocks;
    found.extend(choice.excluded);
    found
}

/// Those of `blocks` that hold samples of `lost`, if together they hold all of them.
pub(super) fn cover(lost: &StoredBlock, blocks: &[&StoredBlock]) -> Option<Vec<Ulid>> {
    let lost = kin(lost);
    let kins: Vec<Kin> = blocks.iter().map(|block| kin(block)).collect();
    let same = kins.iter().filter(|kin| kin.ulid == lost.ulid);
    let same: Vec<Ulid> = same.map(|kin| kin.ulid).collect();
    if !same.is_empty() {
        return Some(same);
    }
    if !Held::by(&kins).covers(&lost.atoms, &lost.stream) {
        return None;
    }
    let by = kins
        .iter()
        .filter(|kin| !kin.atoms.is_disjoint(&lost.atoms));
    Some(by.map(|kin| kin.ulid).collect())
}
