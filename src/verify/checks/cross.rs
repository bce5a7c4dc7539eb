//! What blocks say of one another.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::HashMap;

use crate::block::Meta;
use crate::chunk::Encoding;
use crate::model::{Held, Kin, Ulid, inherit_atoms};
use crate::verify::{BlockVerdict, Finding, Findings, Kind};

/// Compares the blocks of one directory.
pub(in crate::verify) fn compare(blocks: &[BlockVerdict], findings: &mut Findings) {
    let mut known: Vec<(&BlockVerdict, &Meta)> = blocks
        .iter()
        .filter_map(|block| Some((block, block.meta.as_ref()?)))
        .collect();
    known.sort_by_key(|(block, meta)| (meta.min_time, meta.max_time, &block.dir));
    let mut add = |kind, block: &BlockVerdict, detail: String| {
        findings.add(kind, || Finding {
            kind,
            block: block.ulid,
            path: block.dir.clone(),
            offset: None,
            section: None,
            series: None,
            loss: None,
            detail,
            is_unopened: false,
        });
    };
    same_ulid(&known, &mut add);
    families(&known, &mut add);
    overlaps(&known, &mut add);
}

/// Names blocks of aggregates, where there is a WAL beside them: a Prometheus works here.
pub(in crate::verify) fn served_aggregates(blocks: &[BlockVerdict], findings: &mut Findings) {
    for block in blocks {
        let resolution = block.meta.as_ref().and_then(Meta::downsampled);
        let detail = match resolution {
            Some(resolution) => format!("one aggregate every {resolution} ms"),
            None if block.stats.encodings.contains(Encoding::Aggregates) => {
                "expected metadata that say so of chunks of aggregates, found none".to_owned()
            }
            None => continue,
        };
        let kind = Kind::BlockDownsampledServed;
        findings.add(kind, || {
            Finding::about(kind, block.ulid, block.dir.clone(), detail)
        });
    }
}

type Known<'a> = [(&'a BlockVerdict, &'a Meta)];

fn same_ulid(known: &Known<'_>, add: &mut dyn FnMut(Kind, &BlockVerdict, String)) {
    let mut by_ulid: Vec<_> = known.iter().collect();
    by_ulid.sort_by_key(|(block, meta)| (meta.ulid, &block.dir));
    for ((first, a), (second, b)) in by_ulid.iter().zip(by_ulid.iter().skip(1)) {
        if a.ulid == b.ulid {
            let detail = format!(
                "expected one block {}, found it in {} as well",
                a.ulid,
                first.dir.display()
            );
            add(Kind::UlidDuplicate, second, detail);
        }
    }
}

/// Blocks that were compacted from one another, or hold the same samples.
fn families(known: &Known<'_>, add: &mut dyn FnMut(Kind, &BlockVerdict, String)) {
    let mut kins: Vec<Kin> = known.iter().map(|(_, meta)| meta.kin(meta.ulid)).collect();
    inherit_atoms(&mut kins);
    // Only of blocks that are here: a hostile block names any number of parents.
    let mut children: HashMap<Ulid, Vec<&Kin>> =
        kins.iter().map(|kin| (kin.ulid, Vec::new())).collect();
    for kin in &kins {
        for parent in kin.parents.iter().filter(|parent| **parent != kin.ulid) {
            if let Some(children) = children.get_mut(parent)
                && children.last().is_none_or(|last| !std::ptr::eq(*last, kin))
            {
                children.push(kin);
            }
        }
    }
    for ((other, theirs), small) in known.iter().zip(&kins) {
        let children = children.get(&theirs.ulid).into_iter().flatten();
        let children: Vec<Kin> = children.copied().cloned().collect();
        if children.is_empty() {
            continue;
        }
        let ulids: Vec<_> = children.iter().map(|kin| kin.ulid.to_string()).collect();
        let ulids = ulids.join(", ");
        if Held::by(&children).covers(&small.atoms, &small.stream) {
            add(
                Kind::ParentPresent,
                other,
                format!("compacted into {ulids}"),
            );
        } else {
            let detail = format!("expected all its sources in {ulids}, found others");
            add(Kind::ParentUncovered, other, detail);
        }
    }
    for ((child, meta), big) in known.iter().zip(&kins) {
        for ((other, theirs), small) in known.iter().zip(&kins) {
            let is_known = big.parents.contains(&small.ulid) || meta.ulid == theirs.ulid;
            if is_known || theirs.compaction.sources.is_empty() || !repeats(big, small) {
                continue;
            }
            let is_older = (big.atoms.len(), child.ulid) < (small.atoms.len(), other.ulid);
            if big.atoms.len() > small.atoms.len() || is_older {
                let detail = format!("all its sources are in {}", meta.ulid);
                add(Kind::SourcesDuplicate, other, detail);
            }
        }
    }
}

/// Whether all that `small` holds must be in `big`. Shards and downsampled blocks share their
/// sources legally, so does what was selected from a block; and blocks of the same sources that
/// differ may be parts of a whole.
fn repeats(big: &Kin, small: &Kin) -> bool {
    let is_alike = big.stream == small.stream && !big.stream.selected;
    is_alike
        && small.atoms.is_subset(&big.atoms)
        && (small.atoms.len() < big.atoms.len() || big.is_copy_of(small))
}

/// Blocks that overlap the one before, or another before that which ends later.
fn overlaps(known: &Known<'_>, add: &mut dyn FnMut(Kind, &BlockVerdict, String)) {
    let mut latest: Option<(Ulid, i64)> = None;
    for (block, meta) in known {
        if let Some((ulid, end)) = latest
            && meta.min_time < end
            && ulid != meta.ulid
        {
            let detail = format!(
                "from {} to {}, as does {ulid}",
                meta.min_time,
                end.min(meta.max_time)
            );
            add(Kind::BlocksOverlap, block, detail);
        }
        if latest.is_none_or(|(_, end)| meta.max_time > end) {
            latest = Some((meta.ulid, meta.max_time));
        }
    }
}
