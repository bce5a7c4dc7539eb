//! One parallel pass over the series of a block, for whoever counts something.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::costs::{Costs, PairId};
use super::fixed::FixedBytes;
use crate::block::Block;
use crate::chunk::{ChunkRecord, Segment, promised_samples};
use crate::error::{InFile as _, Result};
use crate::index::{Index, Series, SeriesEntry, SymbolRef};
use crate::inspect::{Faults, sound_parts};
use crate::model::{ChunkMeta, Millis, SeriesRef, TimeRange};
use crate::raw::Malformed;
use crate::select::{Filter, Selection};

/// One chunk of a series, its checksum compared.
#[derive(Clone, Copy, Debug)]
pub struct ChunkView<'a> {
    /// What the series entry says of it.
    pub meta: ChunkMeta,
    /// The record.
    pub record: ChunkRecord<'a>,
    /// Samples, as its header says.
    pub samples: u32,
}

impl ChunkView<'_> {
    /// Bytes of the record in its segment: length, encoding, data, checksum.
    pub fn bytes(&self) -> u64 {
        self.record.end - self.record.offset
    }
}

/// One series, lent for the time of a call.
#[derive(Debug)]
pub struct SeriesView<'a, 'b> {
    /// How postings refer to it.
    pub reference: SeriesRef,
    /// Labels as symbols of [`Costs::symbols`].
    pub labels: &'b [(SymbolRef, SymbolRef)],
    /// The pair each label is; nothing for one that damaged postings do not have.
    pub pairs: &'b [Option<PairId>],
    /// Its chunks that are wanted and can be read.
    pub chunks: &'b [ChunkView<'a>],
    /// Bytes of these chunks.
    pub chunk_bytes: u64,
    /// Bytes of its entry, padding before it included.
    pub entry_bytes: u64,
    /// What it bears of postings, symbols and label indices.
    pub index_share: FixedBytes,
    /// Samples of its chunks, as their headers say.
    pub samples: u64,
    /// Bytes of its other chunks that could be framed.
    pub other_chunk_bytes: u64,
    /// Whether it is selected and has a chunk that is wanted.
    pub selected: bool,
}

impl SeriesView<'_, '_> {
    /// Time of the first sample of its chunks.
    pub fn min_time(&self) -> Option<Millis> {
        self.chunks.iter().map(|chunk| chunk.meta.min_time).min()
    }

    /// Time of the last sample of its chunks.
    pub fn max_time(&self) -> Option<Millis> {
        self.chunks.iter().map(|chunk| chunk.meta.max_time).max()
    }

    /// All bytes it bears of the index.
    pub fn index_bytes(&self) -> FixedBytes {
        FixedBytes::bytes(self.entry_bytes).plus(self.index_share)
    }
}

/// What is walked through.
#[derive(Clone, Copy, Debug)]
pub struct Walked<'a> {
    /// The block.
    pub block: &'a Block,
    /// Its index.
    pub index: Index<'a>,
    /// Its names and pairs.
    pub costs: &'a Costs<'a>,
    /// What of it counts.
    pub selection: &'a Selection,
}

/// Shows every series of a block to `visit`: each of `workers` accumulators made by `init` sees
/// some of them, in no particular order, and `merge` puts them together. Series that are not
/// selected are shown as well, their chunks unread. What cannot be read goes to `faults`.
pub fn fold_series<A: Send>(
    walked: Walked<'_>,
    workers: usize,
    faults: &mut Faults,
    init: impl Fn() -> A + Sync,
    visit: impl Fn(&mut A, &SeriesView<'_, '_>, &mut Faults) + Sync,
    merge: impl Fn(A, A) -> A + Sync,
) -> A {
    let parts = parts(walked, faults);
    let next = AtomicUsize::new(0);
    let done = (0..workers.max(1))
        .into_par_iter()
        .map(|_| {
            let mut accumulator = init();
            let mut reader = Reader::new(walked);
            while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                reader.part(part, |view, faults| visit(&mut accumulator, view, faults));
            }
            (accumulator, reader.faults)
        })
        .reduce_with(|(a, mut faults), (b, more)| {
            faults.merge(more);
            (merge(a, b), faults)
        });
    match done {
        Some((accumulator, more)) => {
            faults.merge(more);
            accumulator
        }
        None => init(),
    }
}

/// Shows every series of a block to `visit`, in the order of the index, with what it costs.
///
/// # Errors
///
/// When the block's symbol table cannot be read. Other damage goes to `faults`.
pub fn for_each_series(
    block: &Block,
    selection: &Selection,
    faults: &mut Faults,
    mut visit: impl FnMut(&Costs<'_>, &SeriesView<'_, '_>),
) -> Result<()> {
    let index = block.index()?;
    let costs = Costs::measure(&index, faults).in_file(&block.files().index())?;
    let walked = Walked {
        block,
        index,
        costs: &costs,
        selection,
    };
    each_series(walked, faults, |view| visit(&costs, view));
    Ok(())
}

/// As [`for_each_series`], for names and pairs that are measured already.
pub fn each_series(
    walked: Walked<'_>,
    faults: &mut Faults,
    mut visit: impl FnMut(&SeriesView<'_, '_>),
) {
    let mut reader = Reader::new(walked);
    for part in parts(walked, faults) {
        reader.part(&part, |view, _| visit(view));
    }
    faults.merge(reader.faults);
}

/// Parts of sound entries. Pages are given back behind the reader, here and in [`Reader`]: no more
/// of a block than what is just read should count as memory.
fn parts(walked: Walked<'_>, faults: &mut Faults) -> Vec<Range<u64>> {
    sound_parts(&walked.index, faults, |part| {
        walked.block.release_index(part);
    })
}

/// Reads parts of the series section; its vectors keep their memory.
struct Reader<'a> {
    walked: Walked<'a>,
    segments: Vec<Segment<'a>>,
    filter: Filter<'a>,
    series: Series,
    pairs: Vec<Option<PairId>>,
    chunks: Vec<ChunkView<'a>>,
    faults: Faults,
    /// The part of a segment that was read last.
    touched: (usize, Range<u64>),
}

impl<'a> Reader<'a> {
    fn new(walked: Walked<'a>) -> Self {
        Reader {
            walked,
            segments: walked.block.segments().collect(),
            filter: Filter::new(&walked.selection.selectors, walked.costs.symbols()),
            series: Series::default(),
            pairs: Vec::new(),
            chunks: Vec::new(),
            faults: Faults::default(),
            touched: (0, 0..0),
        }
    }

    /// Remembers that a record was read.
    fn touch(&mut self, segment: usize, record: &ChunkRecord<'_>) {
        let (of, part) = &mut self.touched;
        if *of == segment && !part.is_empty() {
            part.start = part.start.min(record.offset);
            part.end = part.end.max(record.end);
            return;
        }
        self.release();
        self.touched = (segment, record.offset..record.end);
    }

    fn release(&mut self) {
        let (segment, part) = &mut self.touched;
        self.walked.block.release_segment(*segment, part);
        part.end = part.start;
    }

    fn part(&mut self, part: &Range<u64>, mut visit: impl FnMut(&SeriesView<'_, '_>, &mut Faults)) {
        let mut before = part.start;
        // Their checksums were compared when the parts were made.
        for entry in self.walked.index.series_between(part.start, part.end) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(fault) => {
                    self.faults.index(fault);
                    break;
                }
            };
            let bytes = entry.end.saturating_sub(before);
            before = entry.end;
            match entry.decode(&mut self.series) {
                Ok(()) => self.show(&entry, bytes, &mut visit),
                Err(fault) => self.faults.index(fault),
            }
        }
        self.release();
        self.walked.block.release_index(part);
    }

    fn show(
        &mut self,
        entry: &SeriesEntry<'_>,
        entry_bytes: u64,
        visit: &mut impl FnMut(&SeriesView<'_, '_>, &mut Faults),
    ) {
        let costs = self.walked.costs;
        let symbols = costs.symbols();
        let mut index_share = FixedBytes::default();
        self.pairs.clear();
        for (name, value) in &self.series.labels {
            let pair = costs.pair(*name, *value);
            index_share =
                index_share.plus(pair.map_or(FixedBytes::default(), |pair| costs.each(pair)));
            self.pairs.push(pair);
        }
        let chosen = match self.filter.selects(&self.series, symbols, entry.offset) {
            Ok(chosen) => chosen,
            Err(fault) => {
                self.faults.index(fault);
                false
            }
        };
        self.chunks.clear();
        let (mut chunk_bytes, mut other_chunk_bytes, mut samples) = (0u64, 0u64, 0u64);
        let mut concerned = false;
        let metas = std::mem::take(&mut self.series.chunks);
        for meta in &metas {
            if !(chosen && self.walked.selection.concerns(meta)) {
                if let Ok(record) = record(&self.segments, meta) {
                    other_chunk_bytes =
                        other_chunk_bytes.saturating_add(record.end - record.offset);
                }
                continue;
            }
            concerned = true;
            match chunk(&self.segments, meta) {
                Ok(chunk) => {
                    chunk_bytes = chunk_bytes.saturating_add(chunk.bytes());
                    samples = samples.saturating_add(u64::from(chunk.samples));
                    self.touch(meta.reference.segment(), &chunk.record);
                    self.chunks.push(chunk);
                }
                Err(fault) => {
                    let segment = meta.reference.segment();
                    self.faults.segment(self.walked.block, segment, fault);
                    if let Ok(record) = record(&self.segments, meta) {
                        other_chunk_bytes =
                            other_chunk_bytes.saturating_add(record.end - record.offset);
                    }
                }
            }
        }
        self.series.chunks = metas;
        let all = self.walked.selection.range == TimeRange::ALL;
        let view = SeriesView {
            reference: entry.reference,
            labels: &self.series.labels,
            pairs: &self.pairs,
            chunks: &self.chunks,
            chunk_bytes,
            entry_bytes,
            index_share,
            samples,
            other_chunk_bytes,
            selected: chosen && (concerned || all),
        };
        visit(&view, &mut self.faults);
    }
}

fn record<'a>(segments: &[Segment<'a>], chunk: &ChunkMeta) -> Result<ChunkRecord<'a>, Malformed> {
    let place = chunk.reference;
    let segment = segments.get(place.segment()).ok_or_else(|| {
        let wanted = format!("of {} segments", segments.len());
        let found = place.segment().saturating_add(1);
        Malformed::unexpected("chunk", place.offset(), "segment", wanted, found)
    })?;
    segment.record(place.offset())
}

fn chunk<'a>(segments: &[Segment<'a>], meta: &ChunkMeta) -> Result<ChunkView<'a>, Malformed> {
    let record = record(segments, meta)?;
    record.check()?;
    let samples = promised_samples(record.encoding, record.data, record.data_offset)?;
    Ok(ChunkView {
        meta: *meta,
        record,
        samples,
    })
}
