//! Level, sources and parents of a block against one another and against its range: what no
//! compaction of Prometheus leaves.

use crate::block::{Meta, Parent};
use crate::model::Ulid;

/// What is wrong with the lineage that `meta` gives, of the block in a directory called
/// `directory`.
///
/// Thanos and Mimir have compactions of their own, so what only Prometheus promises is asked only
/// of blocks without their sections.
pub(super) fn fault(meta: &Meta, directory: Option<Ulid>) -> Option<String> {
    let compaction = &meta.compaction;
    if compaction.level < 1 {
        let level = compaction.level;
        return Some(format!("expected a level of at least 1, found {level}"));
    }
    if compaction.sources.is_empty() {
        return Some("expected at least one source, found none".to_owned());
    }
    if !compaction.sources.is_sorted_by(|a, b| a < b) {
        return Some("expected sources to ascend".to_owned());
    }
    let own = [Some(meta.ulid), directory];
    if compaction
        .parents
        .iter()
        .any(|p| own.contains(&Some(p.ulid)))
    {
        return Some("expected other blocks as parents, found the block itself".to_owned());
    }
    if !meta.extra.is_empty() {
        return None;
    }
    of_level(meta)
        .or_else(|| of_ranges(meta))
        .or_else(|| of_times(meta))
        .or_else(|| misspelled(meta))
}

/// Level against number of sources and parents.
fn of_level(meta: &Meta) -> Option<String> {
    let (level, sources) = (meta.compaction.level, &meta.compaction.sources);
    let parents = &meta.compaction.parents;
    let is_source = |parent: &Parent| sources.binary_search(&parent.ulid).is_ok();
    if level == 1 && parents.is_empty() && *sources != [meta.ulid] {
        return Some("expected a block of level 1 to be its own source".to_owned());
    }
    if level == 1 && sources.len() > 1 {
        return Some(format!(
            "expected one source of a block of level 1, found {}",
            sources.len()
        ));
    }
    if level == 1 && parents.len() > 1 {
        return Some(format!(
            "expected at most one parent of a block of level 1, found {}",
            parents.len()
        ));
    }
    if level > 1 && parents.is_empty() && sources.len() == 1 {
        return Some(format!(
            "expected parents of a block of level {level}, found none"
        ));
    }
    // A rewrite of one block leaves its level and its sources.
    if parents.len() < 2 {
        return None;
    }
    if level == 2 && sources.len() != parents.len() {
        return Some(format!(
            "expected as many sources as parents of a block of level 2, found {} and {}",
            sources.len(),
            parents.len()
        ));
    }
    (level > 2 && parents.iter().all(is_source)).then(|| {
        format!("expected level 2 of a block whose parents are its sources, found {level}")
    })
}

/// The range is that of all parents together; those cut from out-of-order data at the head have
/// none.
fn of_ranges(meta: &Meta) -> Option<String> {
    let parents = &meta.compaction.parents;
    if parents.is_empty() || parents.iter().any(|parent| parent.ulid == Ulid::ZERO) {
        return of_head(parents, meta);
    }
    if let Some(odd) = parents.iter().find(|p| p.min_time >= p.max_time) {
        return Some(format!(
            "expected the parent {} to end after {}, found {}",
            odd.ulid, odd.min_time, odd.max_time
        ));
    }
    let first = parents.iter().map(|p| p.min_time).min()?;
    let last = parents.iter().map(|p| p.max_time).max()?;
    let (min, max) = (meta.min_time, meta.max_time);
    (first != min || last != max).then(|| {
        format!("expected parents from {min} to {max} as the block, found {first} to {last}")
    })
}

/// A block that is cut from the head before its time, of late samples or of some series, names one
/// parent, all zero, with a hint that says so.
fn of_head(parents: &[Parent], meta: &Meta) -> Option<String> {
    let is_hinted = !meta.is_in_order();
    let is_nameless = parents.iter().any(|p| p.ulid == Ulid::ZERO);
    (is_nameless && (parents.len() > 1 || !is_hinted))
        .then(|| "expected the ULIDs of all parents, found one of zeros".to_owned())
}

/// A ULID holds the time at which its block was made: sources and parents are older than the block,
/// and not older than the samples that it holds of them.
fn of_times(meta: &Meta) -> Option<String> {
    let made = meta.ulid.time();
    let parents = meta.compaction.parents.iter();
    let parents = parents.map(|parent| (parent.ulid, parent.min_time));
    let sources = meta
        .compaction
        .sources
        .iter()
        .map(|&ulid| (ulid, meta.min_time));
    let others = parents.chain(sources);
    let others = others.filter(|(ulid, _)| *ulid != Ulid::ZERO && *ulid != meta.ulid);
    for (ulid, begin) in others {
        let time = ulid.time();
        if time > made {
            return Some(format!(
                "expected {ulid} to be older than the block made of it"
            ));
        }
        if time < begin && made >= begin {
            return Some(format!(
                "expected {ulid} to be younger than its samples from {begin} on"
            ));
        }
    }
    None
}

/// Two ULIDs are random: where a source and a parent differ in one character only, one of them was
/// changed.
fn misspelled(meta: &Meta) -> Option<String> {
    let parents = &meta.compaction.parents;
    // Of hostile lists not every pair is looked at.
    for source in meta.compaction.sources.iter().take(MOST_COMPARED) {
        let near = parents
            .iter()
            .take(MOST_COMPARED)
            .find(|p| nearly_same(*source, p.ulid));
        if let Some(parent) = near {
            return Some(format!(
                "expected the source {source} and the parent {} to be the same, found them differ in one character",
                parent.ulid
            ));
        }
    }
    None
}

/// Most sources and parents that are compared with one another.
const MOST_COMPARED: usize = 1000;

/// Whether two ULIDs are spelt alike but for one character.
fn nearly_same(a: Ulid, b: Ulid) -> bool {
    if a == b {
        return false;
    }
    // Each character is five bits, but for the first, which is three.
    let differing = a.bits() ^ b.bits();
    differing >> (differing.trailing_zeros() / 5 * 5) < 32
}
