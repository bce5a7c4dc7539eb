//! The block: series in the order of their labels, the chunks of each in order.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::logs::{Interval, Replay};
use super::series::{SeriesId, SeriesTable};
use crate::block::{BlockOptions, BlockStats, BlockWriter, Compaction, META_VERSION, Meta};
use crate::chunk::encode::EncodedChunk;
use crate::chunk::{OwnedSample, decode_owned, make_chunks_between_resets};
use crate::error::{Error, Result};
use crate::index::SymbolRef;
use crate::model::{CounterReset, Millis, Ulid};

/// Where the samples of a block come from.
pub(super) trait BlockSource {
    /// All series that are known.
    fn series(&self) -> &SeriesTable;

    /// Whether the series has any sample.
    fn has_samples(&self, id: SeriesId) -> bool;

    /// The chunks of a series, in order; it has none afterwards.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn take_chunks(&mut self, id: SeriesId) -> Result<Vec<EncodedChunk>>;
}

impl BlockSource for Replay {
    fn series(&self) -> &SeriesTable {
        &self.series
    }

    fn has_samples(&self, id: SeriesId) -> bool {
        Replay::has_samples(self, id)
    }

    fn take_chunks(&mut self, id: SeriesId) -> Result<Vec<EncodedChunk>> {
        chunks(self, id)
    }
}

/// Writes what `source` has, whose first and last sample are of these `times`, as the block `ulid`
/// into the directory `parent`. Gives the new block's directory and the series in it, in its order;
/// `None`, and nothing is written, when there is no sample.
///
/// # Errors
///
/// When the temporary file cannot be read, or something cannot be written.
pub(super) fn write_block(
    mut source: impl BlockSource,
    (min_time, max_time): (Millis, Millis),
    parent: &Path,
    ulid: Ulid,
) -> Result<Option<(PathBuf, Vec<SeriesId>)>> {
    let (symbols, ranks) = symbols(&source);
    let ids = (0..source.series().len()).filter_map(|at| u32::try_from(at).ok());
    let mut order: Vec<_> = ids.map(SeriesId).collect();
    order.retain(|id| source.has_samples(*id));
    order.sort_unstable_by(|a, b| {
        let ranked = |id| refs(source.series().labels(id), &ranks);
        ranked(*a).cmp(ranked(*b))
    });
    let meta = Meta {
        ulid,
        min_time,
        max_time: max_time.saturating_add(1),
        stats: BlockStats::default(),
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        version: META_VERSION,
        extra: serde_json::Map::new(),
    };
    let mut writer = BlockWriter::create(parent, meta, &symbols, BlockOptions::default())?;
    let mut written = Vec::with_capacity(order.len());
    let mut labels = Vec::new();
    for id in order {
        let chunks = source.take_chunks(id)?;
        if chunks.is_empty() {
            continue;
        }
        labels.clear();
        labels.extend(refs(source.series().labels(id), &ranks));
        writer.add_series(&labels, &chunks)?;
        written.push(id);
    }
    if written.is_empty() {
        return Ok(None);
    }
    Ok(Some((writer.finish()?, written)))
}

/// The strings of all series with samples, sorted, and the empty one; and where each string is
/// among them.
fn symbols(source: &impl BlockSource) -> (Vec<Arc<[u8]>>, Vec<u32>) {
    let strings = source.series().strings();
    let mut is_used = vec![false; strings.len()];
    let ids = (0..source.series().len()).filter_map(|at| u32::try_from(at).ok());
    for id in ids.map(SeriesId).filter(|id| source.has_samples(*id)) {
        for (name, value) in source.series().labels(id) {
            for string in [*name, *value] {
                if let Some(used) = is_used.get_mut(string as usize) {
                    *used = true;
                }
            }
        }
    }
    let mut used: Vec<(&Arc<[u8]>, Option<usize>)> = strings
        .iter()
        .enumerate()
        .filter(|(at, _)| is_used.get(*at) == Some(&true))
        .map(|(at, string)| (string, Some(at)))
        .collect();
    let empty: Arc<[u8]> = Arc::from(&b""[..]);
    if used.iter().all(|(string, _)| !string.is_empty()) {
        used.push((&empty, None));
    }
    used.sort_unstable();
    let mut ranks = vec![u32::MAX; strings.len()];
    for (rank, (_, at)) in used.iter().enumerate() {
        if let Some(own) = at.and_then(|at| ranks.get_mut(at)) {
            *own = u32::try_from(rank).unwrap_or(u32::MAX);
        }
    }
    let symbols = used.into_iter().map(|(string, _)| Arc::clone(string));
    (symbols.collect(), ranks)
}

/// The labels as positions in the symbol table.
fn refs<'r>(
    labels: &'r [(u32, u32)],
    ranks: &'r [u32],
) -> impl Iterator<Item = (SymbolRef, SymbolRef)> + 'r {
    let rank = |string: u32| SymbolRef(ranks.get(string as usize).copied().unwrap_or(u32::MAX));
    labels
        .iter()
        .map(move |(name, value)| (rank(*name), rank(*value)))
}

/// The chunks of a series: those of both logs, without what was deleted.
fn chunks(replay: &mut Replay, id: SeriesId) -> Result<Vec<EncodedChunk>> {
    let in_order = replay.in_order.take(id, &replay.spool)?;
    let late = replay.late.take(id, &replay.spool)?;
    let deleted = replay.deleted.remove(&id).unwrap_or_default();
    if late.is_empty() && deleted.is_empty() {
        return Ok(in_order);
    }
    let in_order = in_order.into_iter().map(|chunk| (false, chunk));
    let late = late.into_iter().map(|chunk| (true, chunk));
    let mut chunks: Vec<_> = in_order.chain(late).collect();
    chunks.sort_by_key(|(_, chunk)| chunk.min_time);
    let mut settled = Vec::new();
    let mut rest = chunks.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut end = first.1.max_time;
        let mut cluster = vec![first];
        while let Some(next) = rest.next_if(|(_, next)| next.min_time <= end) {
            end = end.max(next.1.max_time);
            cluster.push(next);
        }
        settle(cluster, &deleted, &mut settled)?;
    }
    Ok(settled)
}

/// Chunks that overlap in time become some that do not; without what was deleted.
fn settle(
    cluster: Vec<(bool, EncodedChunk)>,
    deleted: &[Interval],
    settled: &mut Vec<EncodedChunk>,
) -> Result<()> {
    let touches = |chunk: &EncodedChunk| {
        let mut deleted = deleted.iter();
        deleted.any(|(first, last)| *first <= chunk.max_time && chunk.min_time <= *last)
    };
    if cluster.len() == 1 && !cluster.iter().any(|(_, chunk)| touches(chunk)) {
        settled.extend(cluster.into_iter().map(|(_, chunk)| chunk));
        return Ok(());
    }
    let (mut in_order, mut late) = (Vec::new(), Vec::new());
    let mut header = CounterReset::Unknown;
    for (is_late, chunk) in &cluster {
        let samples = if *is_late { &mut late } else { &mut in_order };
        let decoded = decode_owned(chunk.encoding, &chunk.data, samples);
        let (found, _) = decoded.map_err(|malformed| {
            Error::new(
                malformed.kind(),
                "cannot read a chunk that was made of a log",
            )
            .with_source(malformed)
        })?;
        if found == CounterReset::Gauge {
            header = found;
        }
    }
    late.sort_by_key(OwnedSample::time);
    late.dedup_by_key(|sample| sample.time());
    let mut samples = merge(in_order, late);
    samples.retain(|sample| {
        let time = sample.time();
        !deleted
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&time))
    });
    settled.extend(make_chunks_between_resets(&samples, header)?);
    Ok(())
}

/// Both in the order of time, each time once. Where both have a sample of one time, a server
/// answers with that of the one that did not have the sample before it (`chainSampleIterator` in
/// Prometheus `storage/merge.go`).
fn merge(in_order: Vec<OwnedSample>, late: Vec<OwnedSample>) -> Vec<OwnedSample> {
    let mut merged = Vec::with_capacity(in_order.len() + late.len());
    let (mut in_order, mut late) = (in_order.into_iter().peekable(), late.into_iter().peekable());
    let mut was_late = false;
    loop {
        let order = match (in_order.peek(), late.peek()) {
            (None, None) => return merged,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.time().cmp(&other.time()),
        };
        let takes_late = match order {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => !was_late,
        };
        let (one, other) = if takes_late {
            (&mut late, &mut in_order)
        } else {
            (&mut in_order, &mut late)
        };
        merged.extend(one.next());
        if order == Ordering::Equal {
            other.next();
        }
        was_late = takes_late;
    }
}
