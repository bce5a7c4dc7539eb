//! What comes in the place of lost blocks, beside those that came themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::model::{Succession, Ulid};
use crate::repository::StoredBlock;
use crate::restore::stand_in::Past;
use crate::restore::work::Staged;

/// Most rounds in which blocks that would cost others are left out one after the other, before all
/// of them are.
const MAX_ROUNDS: usize = 8;

/// Puts `came`, which stands in for what is lost, beside what is `done`, and takes blocks out of
/// which it holds everything together: Prometheus would delete them, for they are parents. Of what
/// came, that is left out which would cost a parent that is not held so. Gives what was taken out.
pub(super) fn put_beside<'b>(
    done: &mut Vec<(&'b StoredBlock, Staged)>,
    mut came: Vec<(&'b StoredBlock, Staged)>,
    past: &Past,
) -> Vec<(&'b StoredBlock, Error)> {
    let mut replaced = BTreeMap::new();
    for round in 0..=MAX_ROUNDS {
        let all = done.iter().chain(&came).map(|(block, _)| *block);
        let there: BTreeSet<Ulid> = all.clone().map(|block| block.ulid).collect();
        let succession = Succession::of(all.map(|block| past.kin(block)));
        let parents = |block: &StoredBlock| -> BTreeSet<Ulid> {
            let parents = block.parents.iter().copied();
            parents
                .filter(|parent| *parent != block.ulid && there.contains(parent))
                .collect()
        };
        let named = came.iter().flat_map(|(block, _)| parents(block));
        replaced = named
            .map(|parent| (parent, succession.heirs(parent, None)))
            .collect();
        let is_kept = |parent: &Ulid| {
            let heirs = replaced.get(parent);
            round == MAX_ROUNDS || heirs.is_none_or(BTreeSet::is_empty)
        };
        let before = came.len();
        came.retain(|(block, _)| !parents(block).iter().any(is_kept));
        if came.len() == before {
            break;
        }
        replaced.clear();
    }
    let why = |block: &StoredBlock| {
        let heirs = replaced.get(&block.ulid)?;
        let heirs: Vec<_> = heirs.iter().map(ToString::to_string).collect();
        let heirs = heirs.join(", ");
        Some(Error::refused(format!(
            "a Prometheus would delete it beside {heirs}, which came in the place of another block"
        )))
    };
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for (block, staged) in done.drain(..).chain(came) {
        match why(block) {
            Some(error) => gone.push((block, error)),
            None => kept.push((block, staged)),
        }
    }
    *done = kept;
    gone
}
