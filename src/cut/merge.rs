//! One block out of all that can be read of several, which may be damaged and may hold the same
//! samples.

use std::borrow::Cow;
use std::collections::{BTreeSet, BinaryHeap};
use std::path::{Path, PathBuf};

use super::chunks::{self, CutChunk, Fate};
use crate::block::{Block, BlockOptions, BlockWriter, Meta};
use crate::chunk::{
    OwnedSample, decode_owned, make_chunks_between_resets, numbers_per_sample, promised_samples,
};
use crate::error::{Error, InFile as _, Result};
use crate::index::{Generation, SymbolRef};
use crate::model::{ChunkMeta, CounterReset, Millis, Ulid};
use crate::raw::Malformed;
use crate::select::{BlockSeries, Lost, ReadProblem, Selection, View};

/// How often the chunks of a block may be read, on average, as when a block is cut.
const PATIENCE: u64 = 2;

/// Most samples, and numbers of histograms, of chunks that overlap and are merged: bounds what a
/// hostile block can make this allocate.
const MAX_MERGED: usize = 1 << 22;

/// Writes what can be read of `part` of `blocks` as the block that `meta` describes into the
/// directory `parent`, and returns the new block's directory. Without anything that can, nothing is
/// written. Of what cannot be read it is said whether `asked` may be concerned.
///
/// Chunks stay as they are. Where some of one series overlap, their samples are merged and encoded
/// anew; of different samples of one time that of the first block counts.
///
/// # Errors
///
/// When an index cannot be opened at all, when a hostile block names the same chunks time and
/// again, or when something cannot be written.
pub fn merge_blocks(
    blocks: &[Block],
    part: &Selection,
    asked: &Selection,
    meta: Meta,
    parent: &Path,
) -> Result<Merged> {
    let part = &part.within(&meta);
    let mut merged = Merged::default();
    if part.range.is_empty() {
        return Ok(merged);
    }
    let mut symbols = BTreeSet::new();
    let mut walk = Merge::open(blocks, part)?;
    while walk.next(&mut |_| ()) {
        if walk.concerns() {
            let labels = walk.labels().iter();
            symbols.extend(labels.flat_map(|(name, value)| [*name, *value]));
        }
    }
    let Some(first) = blocks.first().filter(|_| !symbols.is_empty()) else {
        let mut walk = Merge::open(blocks, part)?;
        while walk.next(&mut |problem| merged.add(&problem, asked)) {}
        return Ok(merged);
    };
    let symbols: Vec<&[u8]> = symbols.into_iter().collect();
    let options = BlockOptions {
        generation: Generation::of(&first.index()?.toc()),
        ..BlockOptions::default()
    };
    let mut writer = BlockWriter::create(parent, meta, &symbols, options)?;
    let mut walk = Merge::open(blocks, part)?;
    let mut is_empty = true;
    let mut refs = Vec::new();
    while walk.next(&mut |problem| merged.add(&problem, asked)) {
        let chunks = walk.chunks(&mut |problem| merged.add(&problem, asked))?;
        if chunks.is_empty() {
            continue;
        }
        refs.clear();
        for (name, value) in walk.labels() {
            refs.push((position(&symbols, name)?, position(&symbols, value)?));
        }
        writer.add_series(&refs, &chunks)?;
        is_empty = false;
    }
    if !is_empty {
        merged.dir = Some(writer.finish()?);
    }
    Ok(merged)
}

/// What came of a merge.
#[derive(Debug, Default)]
pub struct Merged {
    /// The new block's directory.
    pub dir: Option<PathBuf>,
    /// What could not be read of what was wanted, by files.
    pub unread: Vec<Unread>,
}

/// What could not be read of a file.
#[derive(Debug)]
pub struct Unread {
    /// The block.
    pub block: Ulid,
    /// The file.
    pub file: PathBuf,
    /// How many chunks, or stretches of the index.
    pub count: u64,
    /// What is wrong with the first.
    pub first: String,
    /// The time they are from, as far as it is known.
    pub span: Option<(Millis, Millis)>,
    /// Whether one of them may have held what is asked for.
    pub concerns: bool,
}

impl Merged {
    fn add(&mut self, problem: &ReadProblem, asked: &Selection) {
        let concerns = match (&problem.series, problem.span) {
            (Some(series), Some((first, last))) => {
                let labels = series.0.iter();
                let labels: Vec<_> = labels.map(|label| (&*label.name, &*label.value)).collect();
                asked.concerns_series(&labels, first, last)
            }
            _ => true,
        };
        let known = self.unread.iter_mut();
        let mut known = known.filter(|known| known.file == problem.file);
        let Some(known) = known.next() else {
            self.unread.push(Unread {
                block: problem.block,
                file: problem.file.clone(),
                count: 1,
                first: problem.fault.to_string(),
                span: problem.span,
                concerns,
            });
            return;
        };
        known.count += 1;
        known.concerns |= concerns;
        known.span = match (known.span, problem.span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (known, new) => known.or(new),
        };
    }
}

/// Where `symbol` stands among `symbols`.
fn position(symbols: &[&[u8]], symbol: &[u8]) -> Result<SymbolRef> {
    let found = symbols.binary_search(&symbol).ok();
    found
        .and_then(|position| u32::try_from(position).ok())
        .map(SymbolRef)
        .ok_or_else(|| Error::corrupt("expected the same labels when read again, found others"))
}

/// Stands at one series of several blocks.
struct Merge<'a> {
    blocks: &'a [Block],
    part: &'a Selection,
    /// Where each block stands, that with the least labels first.
    heads: BinaryHeap<BlockSeries<'a>>,
    /// The series as each block has it.
    same: Vec<BlockSeries<'a>>,
    labels: Vec<(&'a [u8], &'a [u8])>,
    /// For each block, bytes of chunks that may still be read.
    patience: Vec<u64>,
}

impl<'a> Merge<'a> {
    fn open(blocks: &'a [Block], part: &'a Selection) -> Result<Self> {
        let patience = blocks.iter();
        let patience = patience.map(|block| block.chunk_bytes().saturating_mul(PATIENCE));
        let mut merge = Merge {
            blocks,
            part,
            heads: BinaryHeap::with_capacity(blocks.len()),
            same: Vec::new(),
            labels: Vec::new(),
            patience: patience.collect(),
        };
        for (position, block) in blocks.iter().enumerate() {
            let index = block.index()?;
            let opened = BlockSeries::open(block, index, position, View::Samples, &part.selectors);
            merge.same.push(opened.in_file(&block.files().index())?);
        }
        Ok(merge)
    }

    /// Goes to the next series; `false` when there is none.
    fn next(&mut self, report: &mut dyn FnMut(ReadProblem)) -> bool {
        for mut series in std::mem::take(&mut self.same) {
            // Series that come again or out of their order cannot be written in order.
            while series.advance(report) {
                if self.labels.is_empty() || *series.labels() > *self.labels {
                    self.heads.push(series);
                    break;
                }
                let fault = Malformed::unexpected(
                    "index",
                    0,
                    "series",
                    "in the order of their labels",
                    "another order",
                );
                if let Some(chunk) = series.chunks().first() {
                    report(series.chunk_problem(chunk, fault.clone(), Lost::Series));
                }
            }
        }
        let Some(first) = self.heads.pop() else {
            return false;
        };
        self.labels = first.labels().to_vec();
        self.same.push(first);
        while let Some(next) = self.heads.peek()
            && *next.labels() == *self.labels
        {
            self.same.extend(self.heads.pop());
        }
        true
    }

    fn labels(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.labels
    }

    /// Whether the series has chunks that may have something of what is wanted.
    fn concerns(&self) -> bool {
        let mut chunks = self.same.iter().flat_map(|series| {
            let chunks = series.chunks().iter();
            chunks.map(|chunk| Fate::of(chunk, self.part, series.deleted()))
        });
        chunks.any(|fate| fate != Fate::Goes)
    }

    /// The chunks of the series that can be read.
    fn chunks(&mut self, report: &mut dyn FnMut(ReadProblem)) -> Result<Vec<CutChunk<'a>>> {
        let mut chunks = Vec::new();
        for series in &self.same {
            let (Some(block), Some(patience)) = (
                self.blocks.get(series.position),
                self.patience.get_mut(series.position),
            ) else {
                continue;
            };
            for chunk in series.chunks() {
                if let Some(kept) = read_chunk(block, series, chunk, self.part, patience, report)? {
                    chunks.push((kept, series, chunk));
                }
            }
        }
        Ok(into_order(chunks, report))
    }
}

/// What is wanted of a chunk; nothing if it cannot be read.
fn read_chunk<'a>(
    block: &'a Block,
    series: &BlockSeries<'a>,
    chunk: &ChunkMeta,
    part: &Selection,
    patience: &mut u64,
    report: &mut dyn FnMut(ReadProblem),
) -> Result<Option<CutChunk<'a>>> {
    let fate = Fate::of(chunk, part, series.deleted());
    if fate == Fate::Goes {
        return Ok(None);
    }
    let record = match block.chunk(chunk.reference) {
        Ok(record) => record,
        Err(fault) => {
            report(series.chunk_problem(chunk, fault, Lost::Samples(None)));
            return Ok(None);
        }
    };
    *patience = patience
        .checked_sub(record.data.len() as u64)
        .ok_or_else(|| {
            let path = block.segment_path(chunk.reference.segment());
            Error::corrupt("expected each chunk to be named once, found them named time and again")
                .context(path.display().to_string())
        })?;
    let mut range: Option<(Millis, Millis)> = None;
    let decoded = series.decode(chunk, |sample| {
        let time = sample.time();
        range = Some((range.map_or(time, |(first, _)| first), time));
    });
    if let Err((fault, samples)) = decoded {
        report(series.chunk_problem(chunk, fault, Lost::Samples(samples)));
        return Ok(None);
    }
    // The samples say better than the index from when they are. Aggregates were not looked into.
    let (min_time, max_time) = range.unwrap_or((chunk.min_time, chunk.max_time));
    let found = ChunkMeta {
        min_time,
        max_time,
        ..*chunk
    };
    match Fate::of(&found, part, series.deleted()) {
        Fate::Goes => Ok(None),
        Fate::Stays => Ok(Some(chunks::copy(&record, &found))),
        Fate::Trimmed if range.is_none() => Ok(Some(chunks::copy(&record, &found))),
        Fate::Trimmed => chunks::trim(&record, &found, part, series.deleted()),
    }
}

/// Puts the chunks of a series into the order of their time; those that overlap are merged.
fn into_order<'a>(
    mut chunks: Vec<(CutChunk<'a>, &BlockSeries<'a>, &ChunkMeta)>,
    report: &mut dyn FnMut(ReadProblem),
) -> Vec<CutChunk<'a>> {
    // Equal ones come to lie beside each other.
    chunks.sort_by(|(a, ..), (b, ..)| {
        let times = |chunk: &CutChunk<'_>| (chunk.min_time, chunk.max_time);
        let by_time = times(a).cmp(&times(b));
        by_time.then_with(|| a.data.cmp(&b.data))
    });
    chunks.dedup_by(|(later, ..), (first, ..)| later == first);
    let mut settled: Vec<CutChunk<'a>> = Vec::with_capacity(chunks.len());
    let mut rest = chunks.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut end = first.0.max_time;
        let mut weight = weight(&first.0);
        let mut cluster = vec![first];
        while let Some(next) = rest.next_if(|(next, ..)| next.min_time <= end) {
            let (chunk, series, meta) = &next;
            let more = self::weight(chunk);
            if weight.saturating_add(more) > MAX_MERGED {
                let wanted = format!("samples that overlap others, up to {MAX_MERGED} of them");
                report(series.chunk_problem(meta, misfit(meta, wanted), Lost::Samples(None)));
                continue;
            }
            weight += more;
            end = end.max(chunk.max_time);
            cluster.push(next);
        }
        // Of different samples of one time the first block's counts, whichever chunk begins first.
        cluster.sort_by_key(|(_, series, _)| series.position);
        let merged = merge(cluster.iter().map(|(chunk, ..)| chunk));
        let mut cluster = cluster.into_iter();
        if let Some(merged) = merged {
            settled.extend(merged);
            continue;
        }
        settled.extend(cluster.next().map(|(chunk, ..)| chunk));
        for (_, series, meta) in cluster {
            let wanted = "samples, or no chunk that overlaps it".to_owned();
            report(series.chunk_problem(meta, misfit(meta, wanted), Lost::Samples(None)));
        }
    }
    settled
}

fn misfit(meta: &ChunkMeta, wanted: String) -> Malformed {
    Malformed::unexpected(
        "chunk data",
        meta.reference.offset(),
        "content",
        wanted,
        "others",
    )
}

/// How many numbers the samples of `chunk` have together, or more.
fn weight(chunk: &CutChunk<'_>) -> usize {
    let samples = promised_samples(chunk.encoding, &chunk.data, 0).unwrap_or(0) as usize;
    let each = numbers_per_sample(chunk.encoding, &chunk.data).unwrap_or(0);
    samples.saturating_mul(each.saturating_add(1))
}

/// Chunks with the samples of `cluster`, each time once, of the first that has it; `None` when they
/// cannot be merged.
fn merge<'a, 'c>(
    cluster: impl ExactSizeIterator<Item = &'c CutChunk<'c>>,
) -> Option<Vec<CutChunk<'a>>> {
    if cluster.len() < 2 {
        return None;
    }
    let mut samples = Vec::new();
    // Of resets nothing can be said once samples come between others.
    let mut header = CounterReset::Unknown;
    for chunk in cluster {
        let (found, _) = decode_owned(chunk.encoding, &chunk.data, &mut samples).ok()?;
        if found == CounterReset::Gauge {
            header = found;
        }
    }
    samples.sort_by_key(OwnedSample::time);
    samples.dedup_by_key(|sample| sample.time());
    let made = make_chunks_between_resets(&samples, header)
        .ok()?
        .into_iter();
    let made = made.map(|chunk| CutChunk {
        encoding: chunk.encoding,
        min_time: chunk.min_time,
        max_time: chunk.max_time,
        data: Cow::Owned(chunk.data),
    });
    Some(made.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::make_chunks;
    use crate::model::{HistogramLayout, HistogramSample, Sample, Span};

    /// A chunk of histograms with these times, and as many observations in their only bucket.
    fn observed(samples: &[(Millis, u64)]) -> CutChunk<'static> {
        let layout = HistogramLayout {
            positive: vec![Span {
                offset: 0,
                length: 1,
            }],
            ..HistogramLayout::default()
        };
        let sample = |&(time, count): &(Millis, u64)| {
            OwnedSample::from(&Sample::Histogram(HistogramSample {
                time,
                start: 0,
                counter_reset: CounterReset::Unknown,
                layout: &layout,
                sum: 0,
                count,
                zero_count: 0,
                positive: &[count as i64],
                negative: &[],
            }))
        };
        let samples: Vec<_> = samples.iter().map(sample).collect();
        let made = make_chunks(&samples, CounterReset::Unknown)
            .unwrap()
            .remove(0);
        CutChunk {
            encoding: made.encoding,
            min_time: made.min_time,
            max_time: made.max_time,
            data: Cow::Owned(made.data),
        }
    }

    #[test]
    fn chunks_that_are_merged_end_where_a_counter_was_reset() {
        let chunks = [observed(&[(1, 10), (3, 11)]), observed(&[(2, 5), (4, 6)])];
        let merged = merge(chunks.iter()).unwrap();
        let begins: Vec<_> = merged.iter().map(|chunk| chunk.min_time).collect();
        // 10, 5, 11, 6: each but the third is fewer than the one before.
        assert_eq!(begins, [1, 2, 4]);
    }
}
