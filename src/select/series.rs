//! The selected series of one block, in the order of its index.

#![deny(clippy::wildcard_enum_match_arm)]

use std::cmp::Ordering;

use super::LabelSlices;
use super::cursor::{SeriesCursor, Unread};
use super::deleted::Interval;
use super::problem::{Fault, Lost, ReadProblem};
use super::selector::Selector;
use super::view::View;
use crate::block::Block;
use crate::chunk::{self, Aggregate, ChunkRecord, Encoding};
use crate::index::{Index, SeriesEntry};
use crate::model::{ChunkMeta, Label, Labels, Millis, Sample};
use crate::raw::Malformed;

/// Where the data of a chunk stand.
pub(crate) struct ChunkData {
    /// Absolute offset in the segment.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) len: u64,
}

/// Stands at one series of a block. As a heap's element it is greater the earlier its labels come.
pub(crate) struct BlockSeries<'a> {
    block: &'a Block,
    /// Position of the block among all that are dumped.
    pub(crate) position: usize,
    /// What of it is dumped.
    view: View,
    cursor: SeriesCursor<'a>,
    /// Labels that the series has in the index.
    own: Vec<(&'a [u8], &'a [u8])>,
    /// Labels that all series have beside those.
    added: Vec<(&'a [u8], &'a [u8])>,
    /// Both.
    labels: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> BlockSeries<'a> {
    /// Stands before the first series of `block`, whose index is `index`.
    ///
    /// # Errors
    ///
    /// When there is no symbol table to read labels with.
    pub(crate) fn open(
        block: &'a Block,
        index: Index<'a>,
        position: usize,
        view: View,
        selectors: &'a [Selector],
    ) -> Result<Self, Malformed> {
        let added = view.labels(block);
        Ok(BlockSeries {
            block,
            position,
            view,
            cursor: SeriesCursor::open(block, index, selectors, &added)?,
            own: Vec::new(),
            added,
            labels: Vec::new(),
        })
    }

    /// Moves to the next selected series; `false` when there is none. Entries that cannot be read
    /// go to `report`.
    pub(crate) fn advance(&mut self, report: &mut dyn FnMut(ReadProblem)) -> bool {
        while let Some(found) = self.cursor.advance() {
            let fault = match found {
                Ok(entry) => match self.name(&entry) {
                    Ok(()) => return true,
                    Err(fault) => self.entry_problem(&entry, fault),
                },
                Err(Unread::Entry(entry, fault)) => self.entry_problem(&entry, fault),
                Err(Unread::Lost(fault, lost)) => ReadProblem::of_index(self.block, fault, lost),
            };
            report(fault);
        }
        false
    }

    /// Reads the labels of the series it stands at.
    fn name(&mut self, entry: &SeriesEntry<'a>) -> Result<(), Malformed> {
        let symbols = self.cursor.symbols();
        self.own.clear();
        for (name, value) in &self.cursor.series().labels {
            let name = symbols.get(*name, entry.offset)?;
            self.own.push((name, symbols.get(*value, entry.offset)?));
        }
        self.labels.clear();
        self.labels.extend_from_slice(&self.own);
        if !self.added.is_empty() {
            self.labels.extend_from_slice(&self.added);
            self.labels.sort_by_key(|(name, _)| *name);
        }
        Ok(())
    }

    /// Series entries read so far, selected or not.
    pub(super) fn seen(&self) -> u64 {
        self.cursor.seen
    }

    fn entry_problem(&self, entry: &SeriesEntry<'a>, fault: Malformed) -> ReadProblem {
        let series = self.cursor.series();
        let (index, symbols) = (self.cursor.index(), self.cursor.symbols());
        let (chunks, labels) = (&series.chunks, index.labels(symbols, series, entry.offset));
        ReadProblem {
            series: labels.ok().filter(|labels| !labels.0.is_empty()),
            span: chunks
                .first()
                .zip(chunks.last())
                .map(|(first, last)| (first.min_time, last.max_time)),
            ..ReadProblem::of_index(self.block, fault, Lost::Series)
        }
    }

    /// Labels of the series.
    pub(crate) fn labels(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.labels
    }

    /// What decides which series come first: the view, and then the labels in the index.
    pub(super) fn key(&self) -> (View, &LabelSlices<'a>) {
        (self.view, &self.own)
    }

    /// Whether it is the view that says what is wrong with entries and records, and counts them.
    pub(super) fn is_first(&self) -> bool {
        self.view == View::Samples
    }

    /// Chunks of the series.
    pub(crate) fn chunks(&self) -> &[ChunkMeta] {
        &self.cursor.series().chunks
    }

    /// Deleted ranges of the series, sorted; none of them touch.
    pub(crate) fn deleted(&self) -> &[Interval] {
        self.cursor.deleted()
    }

    /// Lends the samples of a chunk to `visit`.
    ///
    /// # Errors
    ///
    /// The fault at which decoding stopped, and how many samples the chunk's header promises if
    /// there is one.
    pub(crate) fn decode(
        &self,
        chunk: &ChunkMeta,
        visit: impl FnMut(Sample<'_>),
    ) -> Result<ChunkData, (Malformed, Option<u32>)> {
        let record = self
            .block
            .chunk(chunk.reference)
            .map_err(|fault| (fault, self.promised(chunk)));
        let record = match record {
            Err(_) if !self.is_first() => return Ok(ChunkData::NONE),
            record => record?,
        };
        if let View::Aggregate(_, aggregate) = self.view {
            return decode_aggregate(&record, aggregate, visit);
        }
        if record.encoding == Encoding::Aggregates && self.block.meta().downsampled().is_some() {
            return match chunk::aggregates(record.data, record.data_offset) {
                Ok(_) => Ok(ChunkData::of(&record)),
                Err(fault) => Err((fault, None)),
            };
        }
        chunk::decode(record.encoding, record.data, record.data_offset, visit)
            .map(|_| ChunkData::of(&record))
            .map_err(|fault| (fault, self.promised(chunk)))
    }

    /// The number of samples in the header of a chunk, whatever its checksum says.
    fn promised(&self, chunk: &ChunkMeta) -> Option<u32> {
        let segment = self.block.segments().nth(chunk.reference.segment())?;
        let record = segment.record(chunk.reference.offset()).ok()?;
        chunk::promised_samples(record.encoding, record.data, record.data_offset).ok()
    }

    /// A fault of a chunk of this series.
    pub(crate) fn chunk_problem(
        &self,
        chunk: &ChunkMeta,
        fault: Malformed,
        lost: Lost,
    ) -> ReadProblem {
        let label = |(name, value): &(&[u8], &[u8])| Label {
            name: (*name).into(),
            value: (*value).into(),
        };
        ReadProblem {
            block: self.block.meta().ulid,
            file: self.block.segment_path(chunk.reference.segment()),
            fault: Fault::Malformed(fault),
            series: Some(Labels(self.labels.iter().map(label).collect())),
            span: Some((chunk.min_time, chunk.max_time)),
            lost,
        }
    }

    /// The problem of a chunk at `offset` whose samples begin or end elsewhere than the index says.
    /// Not every aggregate is there of every span of time.
    pub(super) fn range_problem(
        &self,
        chunk: &ChunkMeta,
        found: Option<(Millis, Millis)>,
        offset: u64,
    ) -> Option<ReadProblem> {
        if found == Some((chunk.min_time, chunk.max_time)) {
            return None;
        }
        let is_within =
            found.is_none_or(|(first, last)| first >= chunk.min_time && last <= chunk.max_time);
        let has_aggregates = || {
            let record = self.block.chunk(chunk.reference);
            record.is_ok_and(|record| record.encoding == Encoding::Aggregates)
        };
        if is_within && (!self.is_first() || found.is_none() && has_aggregates()) {
            return None;
        }
        let wanted = format!(
            "from {} to {}, as in the index",
            chunk.min_time, chunk.max_time
        );
        let found = match found {
            Some((first, last)) => format!("{first} to {last}"),
            None => "no samples".to_owned(),
        };
        let fault = Malformed::unexpected("chunk data", offset, "samples", wanted, found);
        Some(self.chunk_problem(chunk, fault, Lost::Nothing))
    }
}

impl Ord for BlockSeries<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.key(), other.position).cmp(&(self.key(), self.position))
    }
}

impl PartialOrd for BlockSeries<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for BlockSeries<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for BlockSeries<'_> {}

impl ChunkData {
    /// Nothing was read.
    const NONE: ChunkData = ChunkData { offset: 0, len: 0 };

    fn of(record: &ChunkRecord<'_>) -> Self {
        ChunkData {
            offset: record.data_offset,
            len: record.data.len() as u64,
        }
    }
}

/// Lends one aggregate of a chunk to `visit`, if it has that. A counter may end with a sample of
/// the time of the one before, which says nothing new of the aggregate and is passed over. What
/// cannot be taken apart is another view's to report.
fn decode_aggregate(
    record: &ChunkRecord<'_>,
    aggregate: Aggregate,
    mut visit: impl FnMut(Sample<'_>),
) -> Result<ChunkData, (Malformed, Option<u32>)> {
    if record.encoding != Encoding::Aggregates {
        return Ok(ChunkData::NONE);
    }
    let Ok(parts) = chunk::aggregates(record.data, record.data_offset) else {
        return Ok(ChunkData::NONE);
    };
    let Some(part) = parts.iter().find(|part| part.aggregate == aggregate) else {
        return Ok(ChunkData::NONE);
    };
    let mut last = None;
    let decoded = chunk::decode(part.encoding, part.data, part.offset, |sample| {
        let time = sample.time();
        if last.replace(time) != Some(time) {
            visit(sample);
        }
    });
    match decoded {
        Ok(_) => Ok(ChunkData {
            offset: part.offset,
            len: part.data.len() as u64,
        }),
        Err(fault) => {
            let promised = chunk::promised_samples(part.encoding, part.data, part.offset);
            Err((fault, promised.ok()))
        }
    }
}
