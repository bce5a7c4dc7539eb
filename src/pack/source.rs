//! A block as it comes from disk, walked in the only order that can be packed: that of its series,
//! chunk behind chunk.

use super::group::{
    GROUP_BYTES, GROUP_CHUNKS, GROUP_COUNTS, GROUP_SAMPLES, GROUP_SERIES, MAX_GROUP_CHUNKS,
    MAX_GROUP_SAMPLES, SourceChunk, SourceSeries,
};
use crate::chunk::{SEGMENT_HEADER, Segment, counts_per_sample, promised_samples, record_len};
use crate::index::{Index, IndexFormat, Series, SymbolRef, Symbols};
use crate::model::{ChunkRef, Millis};
use crate::raw::Malformed;

/// The files of a block whose place a pack takes.
#[derive(Clone, Debug)]
pub struct BlockBytes<'a> {
    /// The index file.
    pub index: &'a [u8],
    /// The segment files, in the order of their names.
    pub segments: Vec<&'a [u8]>,
}

/// Why a block cannot be packed; it is then to be stored some other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpackable {
    /// A file is damaged, or of a format that packs do not know.
    Malformed(Malformed),
    /// It is sound, but not laid out as Prometheus does.
    Unusual(&'static str),
}

impl std::fmt::Display for Unpackable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unpackable::Malformed(malformed) => malformed.fmt(f),
            Unpackable::Unusual(why) => f.write_str(why),
        }
    }
}

impl From<Malformed> for Unpackable {
    fn from(malformed: Malformed) -> Self {
        Unpackable::Malformed(malformed)
    }
}

/// Index and segments of a block that looks as if it could be packed.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) index: Index<'a>,
    pub(super) symbols: Symbols<'a>,
    segments: Vec<&'a [u8]>,
}

impl<'a> Source<'a> {
    pub(super) fn open(block: &BlockBytes<'a>) -> Result<Self, Unpackable> {
        let index = Index::open(block.index)?;
        if index.format() != IndexFormat::V2 {
            return Err(Unpackable::Unusual("its index is of version 1"));
        }
        for bytes in &block.segments {
            let segment = Segment::new(bytes);
            segment.check_header()?;
            if !segment.has_clean_padding() {
                return Err(Unpackable::Unusual(
                    "a segment's header ends in other bytes than zeros",
                ));
            }
        }
        Ok(Source {
            symbols: index.symbols()?,
            index,
            segments: block.segments.clone(),
        })
    }

    /// Walks the chunks of all series, which must fill the segments in the order of the series.
    pub(super) fn walk(&self) -> Walk<'_, 'a> {
        Walk {
            source: self,
            entries: self.index.series(),
            place: Place {
                segment: 0,
                offset: SEGMENT_HEADER,
            },
            series: Series::default(),
            chunks_in_segments: vec![0; self.segments.len()],
        }
    }
}

/// Consecutive series with their chunks, and what is in them.
#[derive(Debug, Default)]
pub(super) struct SourceGroup<'a> {
    pub(super) series: Vec<SourceSeries<'a>>,
    pub(super) chunks: u64,
    pub(super) samples: u64,
    /// Counts of its histograms.
    counts: usize,
    pub(super) chunk_bytes: u64,
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    /// Where the chunks stand.
    pub(super) places: Vec<ChunkRef>,
    /// Labels of the first series, and of the last.
    pub(super) ends: Option<[Vec<(SymbolRef, SymbolRef)>; 2]>,
}

/// Where the next chunk must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: usize,
    offset: u64,
}

/// The series of a block, in their order.
#[derive(Debug)]
pub(super) struct Walk<'s, 'a> {
    source: &'s Source<'a>,
    entries: crate::index::SeriesEntries<'a>,
    place: Place,
    series: Series,
    /// Number of chunks in each segment so far.
    chunks_in_segments: Vec<u64>,
}

/// A series that was read: its labels, its chunks, and how many samples they have.
#[derive(Debug)]
pub(super) struct WalkedSeries<'a> {
    pub(super) labels: Vec<(SymbolRef, SymbolRef)>,
    pub(super) series: SourceSeries<'a>,
    /// Where its chunks stand.
    pub(super) places: Vec<ChunkRef>,
    samples: usize,
    counts: usize,
    bytes: usize,
}

/// Cuts series into groups.
#[derive(Debug, Default)]
pub(super) struct Grouping<'a> {
    /// The series that did not fit the group before.
    pending: Option<WalkedSeries<'a>>,
}

impl<'a> Grouping<'a> {
    /// The next group, of series that `next_series` gives; `None` behind the last.
    pub(super) fn next(
        &mut self,
        mut next_series: impl FnMut() -> Result<Option<WalkedSeries<'a>>, Unpackable>,
    ) -> Result<Option<SourceGroup<'a>>, Unpackable> {
        let mut group = SourceGroup::default();
        loop {
            let next = match self.pending.take() {
                Some(pending) => Some(pending),
                None => next_series()?,
            };
            let Some(next) = next else {
                break;
            };
            let samples = usize::try_from(group.samples)
                .unwrap_or(usize::MAX)
                .saturating_add(next.samples);
            let full = samples > GROUP_SAMPLES
                || samples
                    .saturating_add(group.counts)
                    .saturating_add(next.counts)
                    > GROUP_COUNTS
                || group.series.len() >= GROUP_SERIES
                || group.chunks + next.series.chunks.len() as u64 > GROUP_CHUNKS as u64
                || group.chunk_bytes + next.bytes as u64 > GROUP_BYTES as u64;
            if full && !group.series.is_empty() {
                self.pending = Some(next);
                break;
            }
            group.add(next);
        }
        Ok((!group.series.is_empty()).then_some(group))
    }
}

impl<'a> WalkedSeries<'a> {
    /// A series of these chunks.
    pub(super) fn new(
        labels: Vec<(SymbolRef, SymbolRef)>,
        series: SourceSeries<'a>,
        places: Vec<ChunkRef>,
    ) -> Result<Self, Unpackable> {
        let (mut samples, mut counts, mut bytes) = (0usize, 0usize, 0);
        for chunk in &series.chunks {
            // A chunk that does not even say how many samples it has is kept as it is, and has
            // none.
            let promised = promised_samples(chunk.encoding, chunk.data, 0).unwrap_or(0) as usize;
            let each = counts_per_sample(chunk.encoding, chunk.data).unwrap_or(0);
            samples += promised;
            counts = counts.saturating_add(promised.saturating_mul(each));
            bytes += chunk.data.len();
        }
        if samples > MAX_GROUP_SAMPLES {
            return Err(Unpackable::Unusual(
                "a series has more than 4,194,304 samples",
            ));
        }
        if series.chunks.len() > MAX_GROUP_CHUNKS {
            return Err(Unpackable::Unusual(
                "a series has more than 1,048,576 chunks",
            ));
        }
        Ok(WalkedSeries {
            labels,
            series,
            places,
            samples,
            counts,
            bytes,
        })
    }
}

impl<'a> Walk<'_, 'a> {
    /// Number of chunks in each segment, once all series have been read.
    pub(super) fn finish(self) -> Result<Vec<u64>, Unpackable> {
        let mut place = self.place;
        while place.segment < self.source.segments.len() {
            self.end_segment(&mut place)?;
        }
        Ok(self.chunks_in_segments)
    }

    /// The next series; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<WalkedSeries<'a>>, Unpackable> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        let entry = entry?;
        entry.check()?;
        let mut series = std::mem::take(&mut self.series);
        entry.decode(&mut series)?;
        let mut places = Vec::with_capacity(series.chunks.len());
        let mut chunks = Vec::with_capacity(series.chunks.len());
        for meta in &series.chunks {
            let wanted = Place {
                segment: meta.reference.segment(),
                offset: meta.reference.offset(),
            };
            while self.place.segment < wanted.segment {
                let mut place = self.place;
                self.end_segment(&mut place)?;
                self.place = place;
            }
            if self.place != wanted {
                return Err(Unpackable::Unusual(
                    "its chunks are not in the order of its series",
                ));
            }
            let segment = self.source.segments.get(wanted.segment);
            let segment = segment.ok_or(Unpackable::Unusual(
                "a chunk reference names a segment that does not exist",
            ))?;
            let record = Segment::new(segment).record(wanted.offset)?;
            record.check()?;
            if record.end - record.offset != record_len(record.data.len() as u64) {
                return Err(Unpackable::Unusual(
                    "a chunk's length takes more bytes than it needs",
                ));
            }
            places.push(meta.reference);
            self.place.offset = record.end;
            if let Some(count) = self.chunks_in_segments.get_mut(wanted.segment) {
                *count += 1;
            }
            chunks.push(SourceChunk {
                encoding: record.encoding,
                data: record.data,
                min_time: meta.min_time,
                max_time: meta.max_time,
            });
        }
        let labels = series.labels.clone();
        self.series = series;
        let metric = self.metric(&labels);
        WalkedSeries::new(labels, SourceSeries { metric, chunks }, places).map(Some)
    }

    /// Goes to the beginning of the next segment, if this one ends here.
    fn end_segment(&self, place: &mut Place) -> Result<(), Unpackable> {
        let length = self
            .source
            .segments
            .get(place.segment)
            .map(|bytes| bytes.len() as u64);
        if length != Some(place.offset) {
            return Err(Unpackable::Unusual(
                "a segment holds more than the chunks of its series",
            ));
        }
        *place = Place {
            segment: place.segment + 1,
            offset: SEGMENT_HEADER,
        };
        Ok(())
    }

    /// The symbol of the metric's name; without one, of the first value.
    fn metric(&self, labels: &[(SymbolRef, SymbolRef)]) -> u32 {
        let is_name = |name: SymbolRef| {
            self.source
                .symbols
                .get(name, 0)
                .is_ok_and(|name| name == b"__name__")
        };
        let named = labels.iter().find(|(name, _)| is_name(*name));
        named.or(labels.first()).map_or(0, |(_, value)| value.0)
    }
}

impl<'a> SourceGroup<'a> {
    fn add(&mut self, next: WalkedSeries<'a>) {
        for chunk in &next.series.chunks {
            if self.chunks == 0 {
                (self.min_time, self.max_time) = (chunk.min_time, chunk.max_time);
            }
            self.min_time = self.min_time.min(chunk.min_time);
            self.max_time = self.max_time.max(chunk.max_time);
            self.chunks += 1;
        }
        self.places.extend_from_slice(&next.places);
        self.samples += next.samples as u64;
        self.counts = self.counts.saturating_add(next.counts);
        self.chunk_bytes += next.bytes as u64;
        self.ends = Some(match self.ends.take() {
            None => [next.labels.clone(), next.labels],
            Some([first, _]) => [first, next.labels],
        });
        self.series.push(next.series);
    }
}
