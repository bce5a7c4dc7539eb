//! What blocks say of one another.

use crate::block::Meta;
use crate::model::Ulid;
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
        });
    };
    same_ulid(&known, &mut add);
    families(&known, &mut add);
    overlaps(&known, &mut add);
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
    for (child, meta) in known {
        for (other, theirs) in known {
            if meta.ulid == theirs.ulid {
                continue;
            }
            let is_parent = meta
                .compaction
                .parents
                .iter()
                .any(|p| p.ulid == theirs.ulid);
            let (small, big) = (&theirs.compaction.sources, &meta.compaction.sources);
            let is_held = small.iter().all(|source| big.binary_search(source).is_ok());
            if is_parent && is_held {
                add(
                    Kind::ParentPresent,
                    other,
                    format!("compacted into {}", meta.ulid),
                );
            } else if is_parent {
                let detail = format!("expected all its sources in {}, found others", meta.ulid);
                add(Kind::ParentUncovered, other, detail);
            } else if is_held && !small.is_empty() && same_family(meta, theirs) {
                let is_older = (big.len(), child.ulid) < (small.len(), other.ulid);
                if big.len() > small.len() || is_older {
                    add(
                        Kind::SourcesDuplicate,
                        other,
                        format!("all its sources are in {}", meta.ulid),
                    );
                }
            }
        }
    }
}

/// Shards and downsampled blocks share their sources legally; so does what was selected from a block.
fn same_family(a: &Meta, b: &Meta) -> bool {
    let is_selected =
        |meta: &Meta| meta.has_hint("from-selected-series") || meta.has_hint("from-stale-series");
    a.extra.get("thanos").map(labels_and_resolution)
        == b.extra.get("thanos").map(labels_and_resolution)
        && !is_selected(a)
        && !is_selected(b)
}

fn labels_and_resolution(thanos: &serde_json::Value) -> [Option<&serde_json::Value>; 2] {
    [thanos.get("labels"), thanos.get("downsample")]
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
