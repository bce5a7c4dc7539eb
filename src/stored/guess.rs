//! Lost small files again: a `meta.json` from what archives say of a block, tombstones that delete
//! nothing. Whether they are the same, their digests decide.

use serde::Serialize as _;
use serde_json::Map;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::block::{BlockStats, Compaction, META_VERSION, Meta, Parent, Tombstones};
use crate::model::{Millis, Ulid};
use crate::repository::{Digest, StoredBlock, StoredFile};

/// The content of the file `wanted`, if it is one that says nothing: as empty as Prometheus writes
/// it.
pub fn guess_empty(wanted: &StoredFile) -> Option<Vec<u8>> {
    let guesses = [Vec::new(), Tombstones::EMPTY_FILE.to_vec()];
    guesses.into_iter().find(|guess| is(guess, wanted))
}

fn is(content: &[u8], wanted: &StoredFile) -> bool {
    content.len() as u64 == wanted.bytes && Digest::of(content) == wanted.sha256
}

/// The content of the `meta.json` `wanted`, if Prometheus would write it for `block`. `samples` are
/// those of floats and of histograms; `range_of` tells the ranges of blocks it was compacted from.
pub fn guess(
    block: &StoredBlock,
    wanted: &StoredFile,
    samples: [u64; 2],
    range_of: &dyn Fn(Ulid) -> Option<(Millis, Millis)>,
) -> Option<Vec<u8>> {
    let parents = block.parents.iter().map(|ulid| {
        let (min_time, max_time) = range_of(*ulid)?;
        Some(Parent {
            ulid: *ulid,
            min_time,
            max_time,
        })
    });
    let parents: Vec<Parent> = parents.collect::<Option<_>>()?;
    let [floats, histograms] = samples;
    // Releases since 3.6 count both kinds.
    let counted = [(0, 0), (floats, histograms)];
    // Older manifests do not say which hints there were.
    let out_of_order = vec!["from-out-of-order".to_owned()];
    let hints = [block.hints.clone(), Vec::new(), out_of_order];
    let mut guesses = counted
        .into_iter()
        .flat_map(|counted| hints.iter().map(move |hints| (counted, hints)));
    guesses.find_map(|((floats, histograms), hints)| {
        let meta = Meta {
            ulid: block.ulid,
            min_time: block.min_time,
            max_time: block.max_time,
            stats: BlockStats {
                num_samples: block.samples,
                num_float_samples: floats,
                num_histogram_samples: histograms,
                num_series: block.series,
                num_chunks: block.chunks,
                num_tombstones: 0,
            },
            compaction: Compaction {
                level: i64::try_from(block.level).ok()?,
                sources: block.sources.clone(),
                parents: parents.clone(),
                hints: hints.clone(),
                ..Compaction::default()
            },
            version: META_VERSION,
            extra: Map::new(),
        };
        let content = text(&meta)?;
        is(&content, wanted).then_some(content)
    })
}

/// As Prometheus writes it.
fn text(meta: &Meta) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let tabs = PrettyFormatter::with_indent(b"\t");
    let mut serializer = Serializer::with_formatter(&mut content, tabs);
    meta.serialize(&mut serializer).ok()?;
    Some(content)
}
