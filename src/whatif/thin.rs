//! Fewer samples: what the chunks of a series would take at a longer interval, by encoding them.
//!
//! Source: Prometheus `tsdb/head_append.go`: a chunk ends with its two hours, and those that end
//! earlier share them evenly.

#![deny(clippy::wildcard_enum_match_arm)]

use super::layout::Piece;
use super::{BlockAmounts, Measured, scaled};
use crate::capacity::ChunkView;
use crate::chunk::encode::ChunkEncoder;
use crate::chunk::{self, ChunkRecord, Encoding, Xor2Writer, record_len};
use crate::index::IndexLayout;
use crate::model::{ChunkMeta, ChunkRef, Millis, STALE_NAN, Sample};
use crate::raw::Malformed;

/// No chunk of Prometheus spans a multiple of this.
const WINDOW: Millis = 7_200_000;
const SAMPLES_PER_CHUNK: i64 = 120;
/// Fewest samples of a histogram chunk that is cut by its size.
const HISTOGRAM_SAMPLES: u64 = 10;

/// A series is scraped less often only if its interval is shorter than this share of the new one.
const SHORTER: f64 = 0.9;

/// What a longer interval saves of a block: all series that have a shorter one are counted, some of
/// them are encoded anew.
#[derive(Default)]
pub(super) struct Thinning {
    float: Kind,
    histogram: Kind,
}

/// Series of floats, or of histograms: these shrink differently.
#[derive(Clone, Copy, Default)]
struct Kind {
    series: u64,
    all: BlockAmounts,
    measured_series: u64,
    /// Of the series that were encoded anew: what they are.
    old: BlockAmounts,
    /// And what they would be.
    new: BlockAmounts,
}

impl Thinning {
    /// Adds a series, whose chunks are `pieces`; each `stride`th of those that have a shorter
    /// interval is encoded from its `chunks`.
    pub(super) fn add(
        &mut self,
        interval: Millis,
        stride: u64,
        pieces: &[Piece],
        chunks: &[ChunkView<'_>],
    ) {
        let Some(present) = present_interval(pieces) else {
            return;
        };
        if present as f64 > interval as f64 * SHORTER {
            return;
        }
        let encoding = chunks
            .first()
            .map_or(Encoding::Xor, |chunk| chunk.record.encoding);
        // Aggregates are no scrapes: another interval leaves them as they are.
        if encoding == Encoding::Aggregates {
            return;
        }
        let kind = if encoding.is_float() {
            &mut self.float
        } else {
            &mut self.histogram
        };
        let amounts = amounts(pieces);
        kind.series += 1;
        kind.all = kind.all.plus(amounts);
        if !(kind.series - 1).is_multiple_of(stride) {
            return;
        }
        let samples: u64 = pieces.iter().map(|piece| piece.samples).sum();
        let per_chunk = samples / (pieces.len() as u64).max(1);
        let mut thinner = Thinner::new(interval, present, encoding, per_chunk);
        // A chunk that cannot be decoded, or encoded anew, leaves the sample, and its series is
        // estimated as the others are.
        let is_encodable = |record: &ChunkRecord<'_>| !record.encoding.encoders().is_empty();
        if chunks.len() == pieces.len()
            && chunks
                .iter()
                .all(|chunk| is_encodable(&chunk.record) && thinner.take(&chunk.record).is_ok())
        {
            kind.measured_series += 1;
            kind.old = kind.old.plus(amounts);
            kind.new = kind.new.plus(self::amounts(&thinner.finish()));
        }
    }

    /// What is saved of all these series, in the proportion that was measured.
    pub(super) fn saved(&self) -> BlockAmounts {
        self.float.saved().plus(self.histogram.saved())
    }

    pub(super) fn measured(&self) -> Measured {
        let mut measured = Measured::default();
        for kind in [self.float, self.histogram] {
            measured.series += kind.series;
            measured.measured_series += kind.measured_series;
            measured.bytes += kind.all.chunk_bytes;
            measured.measured_bytes += kind.old.chunk_bytes;
        }
        measured
    }
}

impl Kind {
    fn saved(&self) -> BlockAmounts {
        let share = |all: u64, old: u64, new: u64| {
            let kept = if old == 0 {
                1.0
            } else {
                new as f64 / old as f64
            };
            all.saturating_sub(scaled(all, kept))
        };
        let (all, old, new) = (self.all, self.old, self.new);
        BlockAmounts {
            series: 0,
            samples: share(all.samples, old.samples, new.samples),
            chunk_bytes: share(all.chunk_bytes, old.chunk_bytes, new.chunk_bytes),
            index_bytes: share(all.index_bytes, old.index_bytes, new.index_bytes),
        }
    }
}

/// Samples, bytes of records and bytes of the index that chunks of a series have.
fn amounts(pieces: &[Piece]) -> BlockAmounts {
    let mut amounts = BlockAmounts::default();
    let mut metas = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let reference = ChunkRef(amounts.chunk_bytes);
        metas.push(ChunkMeta {
            min_time: piece.min_time,
            max_time: piece.max_time,
            reference,
        });
        amounts.samples += piece.samples;
        amounts.chunk_bytes += record_len(piece.len as u64);
    }
    amounts.index_bytes = IndexLayout::chunks_len(&metas);
    amounts
}

/// The average distance of samples in their chunks, in milliseconds.
fn present_interval(pieces: &[Piece]) -> Option<Millis> {
    let (mut length, mut gaps) = (0u64, 0u64);
    for piece in pieces {
        length = length.saturating_add(piece.max_time.abs_diff(piece.min_time));
        gaps = gaps.saturating_add(piece.samples.saturating_sub(1));
    }
    let interval = length.checked_div(gaps)?;
    Millis::try_from(interval)
        .ok()
        .filter(|interval| *interval > 0)
}

/// Encodes the samples of one series anew, as if they were scraped less often.
struct Thinner {
    interval: Millis,
    /// The interval that the series has.
    present: Millis,
    /// Samples of a chunk.
    target: i64,
    last: Option<Millis>,
    open: Option<ChunkEncoder>,
    /// Who wrote the series' chunks of encoding 4, as the last one that tells says.
    writer: Xor2Writer,
    window: Millis,
    pieces: Vec<Piece>,
}

impl Thinner {
    /// For a series whose samples are `present` milliseconds apart, `per_chunk` of them in a chunk.
    fn new(interval: Millis, present: Millis, encoding: Encoding, per_chunk: u64) -> Self {
        let in_window = (WINDOW / interval.max(1)).max(1);
        let target = if encoding.is_float() {
            in_window / (in_window / SAMPLES_PER_CHUNK).max(1)
        } else {
            // These are cut by their bytes, which a sample has as many of as before.
            i64::try_from(per_chunk.max(HISTOGRAM_SAMPLES)).unwrap_or(i64::MAX)
        };
        Thinner {
            interval,
            present,
            target,
            last: None,
            open: None,
            writer: Xor2Writer::Since316,
            window: Millis::MIN,
            pieces: Vec::new(),
        }
    }

    /// Takes the next chunk of the series.
    fn take(&mut self, record: &ChunkRecord<'_>) -> Result<(), Malformed> {
        let shape = chunk::decode(record.encoding, record.data, record.data_offset, |sample| {
            self.sample(record.encoding, &sample);
        })?;
        self.writer = shape.xor2_writer.unwrap_or(self.writer);
        Ok(())
    }

    /// The chunks.
    fn finish(mut self) -> Vec<Piece> {
        self.close();
        self.pieces
    }

    fn sample(&mut self, encoding: Encoding, sample: &Sample<'_>) {
        let time = sample.time();
        // Scrapes come a little early or late: what is nearer to the next one counts as it.
        let due = self.last.is_none_or(|last| {
            time.saturating_sub(last) >= self.interval.saturating_sub(self.present / 2)
        });
        // The marker that ends a series is written whenever it ends.
        if !due && !is_stale(sample) {
            return;
        }
        self.last = Some(time);
        let window = time.div_euclid(WINDOW);
        let full = self
            .open
            .as_ref()
            .is_some_and(|open| i64::from(open.samples()) >= self.target);
        if full || window != self.window {
            self.close();
        }
        self.window = window;
        if let Some(open) = &mut self.open {
            if open.push(sample).is_ok() {
                return;
            }
            // Another layout of buckets, or an encoding that cannot hold it.
            self.close();
        }
        if let Ok(mut open) = ChunkEncoder::of_writer(encoding, self.writer)
            && open.push(sample).is_ok()
        {
            self.open = Some(open);
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let samples = u64::from(open.samples());
        let chunk = open.finish();
        self.pieces.push(Piece {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            len: chunk.data.len(),
            samples,
        });
    }
}

fn is_stale(sample: &Sample<'_>) -> bool {
    match sample {
        Sample::Float(sample) => sample.bits == STALE_NAN,
        Sample::Histogram(sample) => sample.is_stale(),
        Sample::FloatHistogram(sample) => sample.is_stale(),
    }
}
