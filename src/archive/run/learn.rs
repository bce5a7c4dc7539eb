//! What a run knows of the repository before it stores anything.

use std::collections::BTreeSet;

use crate::archive::plan::Known;
use crate::archive::survey::BlockSurvey;
use crate::error::Result;
use crate::repository::stock::Stock;
use crate::repository::{Archive, Repository};

/// How many archives are looked at for those of other sources.
const MAX_OTHERS: usize = 50;

/// What is stored, by one listing, and what the newest archive says of it.
pub(in crate::archive) fn known(
    repository: &Repository,
    stock: &Stock,
    newest: Option<&Archive>,
) -> Result<Known> {
    let objects = stock
        .listed
        .iter()
        .map(|(name, bytes)| (name.clone(), *bytes));
    let mut known = Known::new(objects, stock.trash.clone(), &stock.damage);
    match newest {
        Some(newest) => known.learn(newest),
        // Perhaps it is a copy of one that is archived under another name, or a Prometheus snapshot
        // of it.
        None => learn_others(repository, &mut known)?,
    }
    Ok(known)
}

/// Learns what the newest archives say, one of each source.
fn learn_others(repository: &Repository, known: &mut Known) -> Result<()> {
    let names = repository.manifest_names()?;
    let mut sources = BTreeSet::new();
    for name in names.iter().rev().take(MAX_OTHERS) {
        if let Ok(archive) = repository.archive(name)
            && sources.insert((archive.host.clone(), archive.source_name.clone()))
        {
            known.learn(&archive);
        }
    }
    Ok(())
}

/// Reads older archives until they tell of all objects that seem to hold one of `blocks`. Objects
/// that no archive tells of were left by a run that died.
pub(in crate::archive) fn solve(
    repository: &Repository,
    known: &mut Known,
    blocks: &[BlockSurvey],
) -> Result<()> {
    if !blocks.iter().any(|block| known.is_riddle(block)) {
        return Ok(());
    }
    let mut names = repository.manifest_names()?;
    while blocks.iter().any(|block| known.is_riddle(block))
        && let Some(name) = names.pop()
    {
        // A damaged manifest is the business of `check`; here it just does not help.
        if let Ok(archive) = repository.archive(&name) {
            known.learn(&archive);
        }
    }
    Ok(())
}
