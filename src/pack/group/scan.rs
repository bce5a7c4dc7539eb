//! Decoding the chunks of a group.

use super::histogram::HistogramChunk;
use super::{ChunkShape, MAX_GROUP_SAMPLES, SourceChunk, SourceSeries, Unlike, value_offset};
use crate::chunk::encode::{ChunkEncoder, Xor2Encoder};
use crate::chunk::{
    self, Encoding, Tail, VisitFloats, Xor2Writer, decode, decode_floats, promised_samples,
};
use crate::model::{FloatSample, Millis, Sample};
use crate::pack::hash::NumberMap;
use crate::pack::timeline::{Slice, Timelines};
use crate::pack::version::{ColumnEncoding, PackVersion};

/// A group whose chunks have been decoded.
#[derive(Debug, Default)]
pub(in crate::pack) struct Scanned<'a> {
    pub(super) shapes: Vec<Shape>,
    pub(super) series: Vec<ScannedSeries>,
    /// Values of the series that are not constant: of histograms their sums.
    pub(super) values: Vec<u64>,
    pub(super) exceptions: Vec<Exception<'a>>,
    /// Whether each chunk holds floats in order of time, between the times that the index says.
    pub(in crate::pack) is_sound: bool,
}

/// Times of a series and how they are cut into chunks; shared by all series that are alike in this.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) times: Vec<Millis>,
    pub(super) chunks: Vec<ChunkShape>,
    /// The times as part of a timeline, if [`Scanned::place`] has found one.
    pub(super) slice: Option<Slice>,
}

/// What a series holds.
#[derive(Debug)]
pub(super) struct ScannedSeries {
    pub(super) metric: u32,
    pub(super) shape: usize,
    pub(super) values: Values,
    /// Start timestamps, if any is not 0.
    pub(super) starts: Option<Vec<Millis>>,
    pub(super) histograms: Vec<HistogramChunk>,
}

/// Values of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    None,
    /// All alike.
    Constant(u64),
    /// In the group's vector from here on, one for each of the shape's times.
    Column(usize),
}

/// A chunk that is not what the encoder makes of its samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exception<'a> {
    /// Number of the chunk in the group.
    pub(super) chunk: usize,
    pub(super) what: What<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// It cannot be made from samples at all.
    Verbatim(SourceChunk<'a>),
    /// It can, but not as the others are.
    Unlike(Unlike),
}

/// Decodes the chunks of `series` for a pack of `version`. What cannot be decoded, would not be
/// encoded the same, or has an encoding that the version does not have, is kept as it is.
pub(in crate::pack) fn scan<'a>(series: &[SourceSeries<'a>], version: PackVersion) -> Scanned<'a> {
    let chunks = series.iter().flat_map(|series| &series.chunks);
    let samples: usize = chunks
        .map(|chunk| promised_samples(chunk.encoding, chunk.data, 0).unwrap_or(0) as usize)
        .sum();
    let mut scanner = Scanner {
        counts_left: MAX_GROUP_SAMPLES.saturating_sub(samples),
        version,
        writer: version.xor2_writer(),
        scanned: Scanned {
            is_sound: true,
            ..Scanned::default()
        },
        shapes: NumberMap::default(),
        templates: NumberMap::default(),
        times: Vec::new(),
        starts: Vec::new(),
    };
    let mut chunk = 0;
    for one in series {
        if !scanner.take_from_template(one) {
            scanner.decode(one, chunk);
        }
        chunk += one.chunks.len();
    }
    scanner.scanned
}

impl Scanned<'_> {
    /// Finds the timelines of the group. Groups of a pack must come in their order.
    pub(in crate::pack) fn place(&mut self, timelines: &mut Timelines) {
        for shape in &mut self.shapes {
            if !shape.times.is_empty() {
                shape.slice = timelines.place(&shape.times);
            }
        }
    }
}

impl Scanned<'_> {
    /// Numbers of the timelines that the group refers to.
    pub(in crate::pack) fn timelines(&self) -> impl Iterator<Item = usize> {
        self.shapes
            .iter()
            .filter_map(|shape| Some(shape.slice.as_ref()?.timeline))
    }

    /// Number of chunks that are kept as they are.
    pub(in crate::pack) fn verbatim(&self) -> u64 {
        let verbatim = |exception: &&Exception<'_>| matches!(exception.what, What::Verbatim(_));
        self.exceptions.iter().filter(verbatim).count() as u64
    }
}

#[derive(Debug)]
struct Scanner<'a> {
    scanned: Scanned<'a>,
    shapes: NumberMap<ShapeKey, Vec<usize>>,
    templates: NumberMap<Vec<u8>, Vec<Template<'a>>>,
    times: Vec<Millis>,
    starts: Vec<Millis>,
    /// Counts of histograms that readers still have room for.
    counts_left: usize,
    version: PackVersion,
    /// Whose the chunks of encoding 4 are in that version, if exceptions do not say otherwise.
    writer: Xor2Writer,
}

/// Takes the samples of a XOR chunk.
///
/// Its slices have room for as many as the chunk says it has: unlike vectors that grow, they stay
/// in registers.
struct Floats<'v> {
    times: &'v mut [Millis],
    values: &'v mut [u64],
    /// Samples so far.
    done: usize,
}

impl VisitFloats for Floats<'_> {
    #[inline]
    fn sample(&mut self, sample: FloatSample) {
        if let Some(time) = self.times.get_mut(self.done) {
            *time = sample.time;
        }
        if let Some(value) = self.values.get_mut(self.done) {
            *value = sample.bits;
        }
        self.done += 1;
    }

    #[inline]
    fn repeat(&mut self, before: FloatSample, interval: u64, count: u32) {
        let end = self.done + count as usize;
        let mut time = before.time;
        for slot in self.times.get_mut(self.done..end).unwrap_or_default() {
            time = time.wrapping_add(interval as Millis);
            *slot = time;
        }
        if let Some(values) = self.values.get_mut(self.done..end) {
            values.fill(before.bits);
        }
        self.done = end;
    }
}

/// First time, last time, number of times and of chunks.
type ShapeKey = (Option<Millis>, Option<Millis>, usize, usize);

/// The chunks of a constant series. Others that have the same shape differ from them in the values
/// only, so most constant series need no decoding.
#[derive(Debug)]
struct Template<'a> {
    shape: usize,
    chunks: Vec<SourceChunk<'a>>,
}

impl Template<'_> {
    /// The value of `series`, if it is constant and of this shape.
    fn value_of(&self, series: &SourceSeries<'_>) -> Option<[u8; 8]> {
        if series.chunks.len() != self.chunks.len() {
            return None;
        }
        let mut found = None;
        for (chunk, template) in series.chunks.iter().zip(&self.chunks) {
            let at = value_offset(template.data)?;
            let (before, value, behind) = around(chunk.data, at)?;
            let (template_before, _, template_behind) = around(template.data, at)?;
            let same = chunk.encoding == Encoding::Xor
                && chunk.min_time == template.min_time
                && chunk.max_time == template.max_time
                && before == template_before
                && behind == template_behind;
            if !same || found.is_some_and(|found| found != value) {
                return None;
            }
            found = Some(value);
        }
        found
    }
}

/// Count, zero count and buckets of a sample, if it has any.
fn counts_of(sample: &Sample<'_>) -> usize {
    let (stale, buckets) = match sample {
        Sample::Float(_) => return 0,
        Sample::Histogram(sample) => (
            sample.is_stale(),
            sample.positive.len() + sample.negative.len(),
        ),
        Sample::FloatHistogram(sample) => (
            sample.is_stale(),
            sample.positive.len() + sample.negative.len(),
        ),
    };
    if stale { 0 } else { 2 + buckets }
}

/// Whether `data` are those of `chunk`, but for a zero byte behind them.
fn is_data(data: &[u8], chunk: &SourceChunk<'_>) -> bool {
    matches!(chunk.data.strip_prefix(data), Some([] | [0]))
}

/// What stands before the eight bytes at `at`, those bytes, and what stands behind.
fn around(data: &[u8], at: usize) -> Option<(&[u8], [u8; 8], &[u8])> {
    let (before, rest) = data.split_at_checked(at)?;
    let (value, behind) = rest.split_first_chunk::<8>()?;
    Some((before, *value, behind))
}

/// Sample count and first time of a series' first chunk: what templates are looked up by.
fn template_key(series: &SourceSeries<'_>) -> Option<Vec<u8>> {
    let first = series
        .chunks
        .first()
        .filter(|chunk| chunk.encoding == Encoding::Xor)?;
    let at = value_offset(first.data)?;
    first.data.get(..at).map(<[u8]>::to_vec)
}

impl<'a> Scanner<'a> {
    fn take_from_template(&mut self, series: &SourceSeries<'a>) -> bool {
        let templates = template_key(series).and_then(|key| self.templates.get(&key));
        let found = templates.into_iter().flatten().find_map(|template| {
            let value = template.value_of(series)?;
            Some((template.shape, value))
        });
        let Some((shape, value)) = found else {
            return false;
        };
        self.scanned.series.push(ScannedSeries {
            metric: series.metric,
            shape,
            values: Values::Constant(u64::from_be_bytes(value)),
            starts: None,
            histograms: Vec::new(),
        });
        true
    }

    fn decode(&mut self, series: &SourceSeries<'a>, first_chunk: usize) {
        self.times.clear();
        let first_value = self.scanned.values.len();
        self.starts.clear();
        let mut chunks = Vec::with_capacity(series.chunks.len());
        let mut histograms = Vec::new();
        let mut is_plain = true;
        for (at, chunk) in series.chunks.iter().enumerate() {
            let number = first_chunk + at;
            let done = (
                self.times.len(),
                self.scanned.values.len(),
                self.starts.len(),
            );
            let histograms_done = histograms.len();
            let packed = self.decode_chunk(chunk, &mut histograms);
            let what = match packed {
                Some((_, unlike)) if unlike == Unlike::default() => None,
                Some((_, unlike)) => Some(What::Unlike(unlike)),
                None => {
                    self.times.truncate(done.0);
                    self.scanned.values.truncate(done.1);
                    self.starts.truncate(done.2);
                    histograms.truncate(histograms_done);
                    Some(What::Verbatim(*chunk))
                }
            };
            is_plain &= what.is_none() && chunk.encoding == Encoding::Xor;
            let samples = u32::try_from(self.times.len() - done.0).unwrap_or(u32::MAX);
            chunks.push(packed.map_or(ChunkShape::Verbatim, |(encoding, _)| {
                ChunkShape::Packed(encoding, samples)
            }));
            self.scanned.exceptions.extend(what.map(|what| Exception {
                chunk: number,
                what,
            }));
            self.check_times(chunk, done.0);
        }
        let shape = self.shape(chunks);
        let own = self.scanned.values.get(first_value..).unwrap_or_default();
        let values = match own.split_first() {
            None => Values::None,
            Some((first, rest)) if rest.iter().all(|value| value == first) => {
                Values::Constant(*first)
            }
            Some(_) => Values::Column(first_value),
        };
        if !matches!(values, Values::Column(_)) {
            self.scanned.values.truncate(first_value);
        }
        if is_plain
            && matches!(values, Values::Constant(_))
            && let Some(key) = template_key(series)
        {
            let chunks = series.chunks.clone();
            self.templates
                .entry(key)
                .or_default()
                .push(Template { shape, chunks });
        }
        let starts = self.starts();
        self.scanned.series.push(ScannedSeries {
            metric: series.metric,
            shape,
            values,
            starts,
            histograms,
        });
    }

    /// Appends the samples of a chunk, and says how columns hold it; `None` if it cannot be rebuilt
    /// from them.
    fn decode_chunk(
        &mut self,
        chunk: &SourceChunk<'_>,
        histograms: &mut Vec<HistogramChunk>,
    ) -> Option<(ColumnEncoding, Unlike)> {
        let encoding = self.version.column_encoding(chunk.encoding)?;
        let shape = match encoding.get() {
            Encoding::Xor => self.decode_xor(chunk)?,
            Encoding::Xor2 => self.decode_xor2(chunk)?,
            Encoding::Histogram
            | Encoding::FloatHistogram
            | Encoding::HistogramSt
            | Encoding::FloatHistogramSt => self.decode_histograms(chunk, histograms)?,
            Encoding::Aggregates | Encoding::Unknown(_) => return None,
        };
        // A chunk without samples has no times to say when it is.
        if !shape.canonical || shape.samples == 0 {
            return None;
        }
        let extra_zero = match shape.tail {
            Tail::Padding => false,
            Tail::ExtraZeroByte => true,
            Tail::Unexpected { .. } => return None,
        };
        let writer = shape.xor2_writer.unwrap_or(self.writer);
        // Of the later writer there are chunks in packs that say so only.
        let unlike = Unlike {
            extra_zero,
            earlier_writer: writer < self.writer,
        };
        (writer <= self.writer).then_some((encoding, unlike))
    }

    fn decode_xor(&mut self, chunk: &SourceChunk<'_>) -> Option<chunk::Shape> {
        let samples = promised_samples(chunk.encoding, chunk.data, 0).ok()? as usize;
        let (times, values) = (self.times.len(), self.scanned.values.len());
        self.times.resize(times + samples, 0);
        self.scanned.values.resize(values + samples, 0);
        let floats = Floats {
            times: self.times.get_mut(times..)?,
            values: self.scanned.values.get_mut(values..)?,
            done: 0,
        };
        let (shape, floats) = decode_floats(chunk.encoding, chunk.data, 0, floats).ok()?;
        (floats.done == samples).then_some(shape)
    }

    /// Appends the samples of a chunk of encoding 4.
    fn decode_xor2(&mut self, chunk: &SourceChunk<'_>) -> Option<chunk::Shape> {
        // Samples of XOR chunks before have no start timestamps.
        self.starts.resize(self.times.len(), 0);
        let first = (self.times.len(), self.scanned.values.len());
        let (times, values, starts) = (&mut self.times, &mut self.scanned.values, &mut self.starts);
        let visit = |sample: Sample<'_>| {
            if let Sample::Float(FloatSample { time, start, bits }) = sample {
                times.push(time);
                values.push(bits);
                starts.push(start);
            }
        };
        let shape = decode(chunk.encoding, chunk.data, 0, visit).ok()?;
        let mut encoder = Xor2Encoder::new(shape.xor2_writer.unwrap_or_default());
        let times = self.times.get(first.0..)?.iter();
        let starts = self.starts.get(first.0..)?;
        let values = self.scanned.values.get(first.1..)?;
        for ((time, start), bits) in times.zip(starts).zip(values) {
            let (time, start, bits) = (*time, *start, *bits);
            encoder.push(FloatSample { time, start, bits }).ok()?;
        }
        is_data(&encoder.finish(), chunk).then_some(shape)
    }

    /// Appends the samples of a chunk of histograms.
    fn decode_histograms(
        &mut self,
        chunk: &SourceChunk<'_>,
        histograms: &mut Vec<HistogramChunk>,
    ) -> Option<chunk::Shape> {
        let mut open: Option<HistogramChunk> = None;
        let mut encoder = ChunkEncoder::new(chunk.encoding).ok()?;
        let mut same = true;
        let mut counts_left = self.counts_left;
        // Samples of XOR chunks before have no start timestamps.
        self.starts.resize(self.times.len(), 0);
        let (times, values, starts) = (&mut self.times, &mut self.scanned.values, &mut self.starts);
        let shape = decode(chunk.encoding, chunk.data, 0, |sample| {
            let fits = counts_left.checked_sub(counts_of(&sample));
            counts_left = fits.unwrap_or(0);
            same &= fits.is_some() && encoder.push(&sample).is_ok();
            if !same {
                return;
            }
            times.push(sample.time());
            let (bits, start) = match sample {
                // No encoding of histograms holds one.
                Sample::Float(sample) => (sample.bits, sample.start),
                Sample::Histogram(sample) => {
                    open.get_or_insert_with(|| HistogramChunk::new(&sample))
                        .push_integers(&sample);
                    (sample.sum, sample.start)
                }
                Sample::FloatHistogram(sample) => {
                    open.get_or_insert_with(|| HistogramChunk::new(&sample))
                        .push_floats(&sample);
                    (sample.sum, sample.start)
                }
            };
            values.push(bits);
            starts.push(start);
        })
        .ok()?;
        if !same || !is_data(&encoder.finish().data, chunk) {
            return None;
        }
        histograms.extend(open);
        self.counts_left = counts_left;
        Some(shape)
    }

    /// Notes if the samples of a chunk, those from `first` on, are not what the index says.
    fn check_times(&mut self, chunk: &SourceChunk<'_>, first: usize) {
        let times = self.times.get(first..).unwrap_or_default();
        let ends = (times.first(), times.last()) == (Some(&chunk.min_time), Some(&chunk.max_time));
        self.scanned.is_sound &=
            ends && times.is_sorted_by(|a, b| a < b) && chunk.encoding.is_float();
    }

    /// The start timestamps, one for each sample, if any is not 0.
    fn starts(&mut self) -> Option<Vec<Millis>> {
        let any = self.starts.iter().any(|start| *start != 0);
        any.then(|| {
            self.starts.resize(self.times.len(), 0);
            self.starts.clone()
        })
    }

    /// The number of the shape of `times` cut into `chunks`.
    fn shape(&mut self, chunks: Vec<ChunkShape>) -> usize {
        let times = &self.times;
        let key = (
            times.first().copied(),
            times.last().copied(),
            times.len(),
            chunks.len(),
        );
        let alike = self.shapes.entry(key).or_default();
        let shapes = &mut self.scanned.shapes;
        let known = alike.iter().copied().find(|number| {
            shapes
                .get(*number)
                .is_some_and(|shape| shape.chunks == chunks && shape.times == *times)
        });
        known.unwrap_or_else(|| {
            alike.push(shapes.len());
            shapes.push(Shape {
                times: times.clone(),
                chunks,
                slice: None,
            });
            shapes.len() - 1
        })
    }
}
