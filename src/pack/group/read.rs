//! Unpacking a group.

use super::histogram::HistogramChunk;
use super::shape::{Shape, read_shapes, template};
use super::write::Successors;
use super::{
    COLUMN, CONSTANT_BITS, CONSTANT_INTEGER, ChunkShape, GROUP_SERIES, MAX_GROUP_CHUNKS,
    MAX_GROUP_SAMPLES, NO_VALUES, Unlike, Unpacked, UnpackedChunk, VALUES, VERBATIM,
    WITH_HISTOGRAMS, WITH_STARTS,
};
use crate::chunk::encode::{ChunkEncoder, XorChunks};
use crate::chunk::{ChunkKind, Encoding, Xor2Writer};
use crate::error::Error;
use crate::model::{FloatSample, Millis, Sample};
use crate::pack::column::{ColumnReader, Stream, Streams};
use crate::pack::hash::NumberMap;
use crate::pack::version::PackVersion;
use crate::raw::{Malformed, Reader};

/// Unpacks the group `bytes`, which stands at `offset` of a pack of `version`; `timeline` gives the
/// timelines it refers to.
///
/// # Errors
///
/// Where the group is damaged, or has an encoding that packs of this version do not have. Memory is
/// bounded by [`MAX_GROUP_SAMPLES`] and the group's size.
pub(in crate::pack) fn read<'t>(
    bytes: &[u8],
    offset: u64,
    version: PackVersion,
    timeline: impl Fn(usize) -> Option<&'t [Millis]>,
) -> Result<Unpacked, Malformed> {
    let mut reader = Reader::new(bytes, offset, "group");
    let streams = Streams::read(&mut reader)?;
    let mut columns = ColumnReader::new(&streams, reader.rest(), reader.offset())?;
    let exceptions = read_exceptions(&mut columns, version)?;
    let series = columns.stream(Stream::Series);
    let at = *series;
    let count = series.count(1)?;
    if count > GROUP_SERIES {
        return Err(at.unexpected("series", format!("of up to {GROUP_SERIES}"), count));
    }
    let shapes = read_shapes(&mut columns, version, count, timeline)?;
    let mut group = GroupReader {
        columns,
        shapes,
        exceptions,
        budget: MAX_GROUP_SAMPLES,
        offset,
        writer: version.xor2_writer(),
        successors: Successors::default(),
        xor: XorChunks::default(),
        unpacked: Unpacked::default(),
        values: Vec::new(),
    };
    for _ in 0..count {
        group.read_series()?;
    }
    if !group.exceptions.is_empty() {
        return Err(group.malformed("exceptions", "of chunks that exist", "others"));
    }
    group.columns.finish()?;
    Ok(group.unpacked)
}

/// What a group consists of: the name of each part, and its bytes.
///
/// # Errors
///
/// As [`read()`].
pub(in crate::pack) fn parts(
    bytes: &[u8],
    offset: u64,
) -> Result<Vec<(&'static str, u64)>, Malformed> {
    let mut reader = Reader::new(bytes, offset, "group");
    let streams = Streams::read(&mut reader)?;
    let mut parts: Vec<_> = Stream::ALL
        .iter()
        .map(|stream| stream.name())
        .zip(streams.stored().iter().copied())
        .collect();
    parts.push(("residuals", reader.remaining() as u64));
    Ok(parts)
}

enum Exception<'a> {
    Unlike(Unlike),
    Verbatim(UnpackedChunk, &'a [u8]),
}

struct GroupReader<'a> {
    columns: ColumnReader<'a>,
    shapes: Vec<Shape>,
    exceptions: NumberMap<usize, Exception<'a>>,
    /// Samples that the rest of the group may have.
    budget: usize,
    offset: u64,
    writer: Xor2Writer,
    successors: Successors,
    xor: XorChunks,
    unpacked: Unpacked,
    values: Vec<u64>,
}

impl GroupReader<'_> {
    fn read_series(&mut self) -> Result<(), Malformed> {
        let code = self.columns.stream(Stream::ShapeOfSeries).uvarint()?;
        let number = self.successors.number(code);
        let Some((number, mut shape)) =
            number.and_then(|number| Some((number, self.take_shape(number)?)))
        else {
            return Err(self.malformed("shape", "that exists", code));
        };
        let read = self.read_series_of(number, &mut shape);
        if let Some(place) = self.shapes.get_mut(number) {
            *place = shape;
        }
        read
    }

    /// Lends a shape out; an empty one stands in for it.
    fn take_shape(&mut self, number: usize) -> Option<Shape> {
        self.shapes.get_mut(number).map(std::mem::take)
    }

    fn read_series_of(&mut self, number: usize, shape: &mut Shape) -> Result<(), Malformed> {
        let kind = self.columns.stream(Stream::Series).u8()?;
        if kind & !(VALUES | WITH_STARTS | WITH_HISTOGRAMS) != 0 {
            return Err(self.malformed("kind of series", "below 16", kind));
        }
        let samples = shape.times.len();
        let Some(left) = self.budget.checked_sub(samples) else {
            return Err(self.malformed("group", "of up to 4,194,304 samples", "more"));
        };
        self.budget = left;
        if shape.chunks.len() > MAX_GROUP_CHUNKS - self.unpacked.chunks.len() {
            let wanted = format!("of up to {MAX_GROUP_CHUNKS} chunks");
            return Err(self.malformed("group", wanted, "more"));
        }
        let has_histograms = shape.chunks.iter().any(|chunk| chunk.is_histogram());
        if has_histograms != (kind & WITH_HISTOGRAMS != 0) {
            return Err(self.malformed("kind of series", "that fits its chunks", kind));
        }
        self.unpacked.series.push(shape.chunks.len());
        self.values.clear();
        let constant = match kind & VALUES {
            CONSTANT_INTEGER => {
                Some((self.columns.stream(Stream::Constants).varint()? as f64).to_bits())
            }
            CONSTANT_BITS => Some(self.columns.stream(Stream::Constants).u64()?),
            COLUMN => {
                let mut values = std::mem::take(&mut self.values);
                self.columns.floats(samples, Some(number), &mut values)?;
                self.values = values;
                None
            }
            _ => None,
        };
        if (kind & VALUES == NO_VALUES) != (samples == 0) {
            return Err(self.malformed(
                "values",
                format!("of {samples} samples"),
                format!("kind {kind}"),
            ));
        }
        if let Some(bits) = constant
            && kind & (WITH_STARTS | WITH_HISTOGRAMS) == 0
            && self.write_constant(shape, bits)?
        {
            return Ok(());
        }
        if let Some(bits) = constant {
            self.values.resize(samples, bits);
        }
        let mut starts = Vec::new();
        if kind & WITH_STARTS != 0 {
            self.columns.integers(samples, &mut starts)?;
        }
        let values = std::mem::take(&mut self.values);
        let written = self.write_chunks(shape, &values, &starts);
        self.values = values;
        written
    }

    /// Writes the chunks of a series that is always the same from the shape's template; `false` if
    /// there can be none.
    fn write_constant(&mut self, shape: &mut Shape, bits: u64) -> Result<bool, Malformed> {
        if shape.template.is_none() {
            shape.template = template(&shape.times, &shape.chunks);
        }
        let first = self.unpacked.chunks.len();
        let numbers = first..first + shape.chunks.len();
        let is_plain = self.exceptions.is_empty()
            || numbers
                .clone()
                .all(|number| !self.exceptions.contains_key(&number));
        let Some(template) = shape.template.as_ref().filter(|_| is_plain) else {
            return Ok(false);
        };
        let mut times = &shape.times[..];
        for ((data, at), chunk) in template.iter().zip(&shape.chunks) {
            let own = self.take_times(&mut times, *chunk)?;
            let start = self.unpacked.data.len();
            self.unpacked.data.extend_from_slice(data);
            if let Some(value) = self.unpacked.data.get_mut(start + at..start + at + 8) {
                value.copy_from_slice(&bits.to_be_bytes());
            }
            self.unpacked
                .chunks
                .push(packed(Encoding::Xor, data.len(), own));
        }
        Ok(true)
    }

    fn write_chunks(
        &mut self,
        shape: &mut Shape,
        values: &[u64],
        starts: &[Millis],
    ) -> Result<(), Malformed> {
        shape.make_codes();
        let (mut times, mut values, mut starts) = (&shape.times[..], values, starts);
        for (&chunk, codes) in shape.chunks.iter().zip(&shape.codes) {
            let exception = self.exceptions.remove(&self.unpacked.chunks.len());
            let ChunkShape::Packed(column_encoding, _) = chunk else {
                let Some(Exception::Verbatim(verbatim, data)) = exception else {
                    return Err(self.malformed("chunk", "kept as it is", "none"));
                };
                self.unpacked.data.extend_from_slice(data);
                self.unpacked.chunks.push(verbatim);
                continue;
            };
            let unlike = match exception {
                Some(Exception::Verbatim(..)) => {
                    return Err(self.malformed("chunk", "in columns", "one kept as it is, too"));
                }
                Some(Exception::Unlike(unlike)) => unlike,
                None => Unlike::default(),
            };
            let own = self.take_times(&mut times, chunk)?;
            let (own_values, rest) = values.split_at_checked(own.len()).unwrap_or_default();
            values = rest;
            let (own_starts, rest) = starts.split_at_checked(own.len()).unwrap_or_default();
            starts = rest;
            let start = self.unpacked.data.len();
            let encoding = column_encoding.get();
            if encoding == Encoding::Xor && own_starts.iter().all(|start| *start == 0) {
                let data = self.xor.encode(codes, own_values);
                let data = data.map_err(|error| misfit(self.offset, &error))?;
                self.unpacked.data.extend_from_slice(data);
            } else {
                self.encode(encoding, unlike, own, own_values, own_starts)?;
            }
            if unlike.earlier_writer && encoding != Encoding::Xor2 {
                return Err(self.malformed("chunk", "of encoding 4", encoding));
            }
            if unlike.extra_zero {
                self.unpacked.data.push(0);
            }
            let length = self.unpacked.data.len() - start;
            self.unpacked.chunks.push(packed(encoding, length, own));
        }
        Ok(())
    }

    /// The times of a chunk, which are the first of `times`.
    fn take_times<'s>(
        &self,
        times: &mut &'s [Millis],
        chunk: ChunkShape,
    ) -> Result<&'s [Millis], Malformed> {
        let Some((own, rest)) = times.split_at_checked(chunk.samples()) else {
            return Err(self.malformed("chunk", "with as many times as samples", "fewer"));
        };
        *times = rest;
        Ok(own)
    }

    /// Appends the data of a chunk, made as Prometheus' encoder makes it.
    fn encode(
        &mut self,
        encoding: Encoding,
        unlike: Unlike,
        times: &[Millis],
        values: &[u64],
        starts: &[Millis],
    ) -> Result<(), Malformed> {
        let offset = self.offset;
        let misfit = |error: Error| misfit(offset, &error);
        let data = match encoding {
            Encoding::Xor | Encoding::Xor2 => {
                let writer = if unlike.earlier_writer {
                    Xor2Writer::Before316
                } else {
                    self.writer
                };
                let encoder = ChunkEncoder::of_writer(encoding, writer);
                let mut encoder = encoder.map_err(misfit)?;
                for (at, (time, bits)) in times.iter().zip(values).enumerate() {
                    let start = starts.get(at).copied().unwrap_or(0);
                    let sample = FloatSample {
                        time: *time,
                        start,
                        bits: *bits,
                    };
                    encoder.push(&Sample::Float(sample)).map_err(misfit)?;
                }
                encoder.finish().data
            }
            Encoding::Histogram
            | Encoding::HistogramSt
            | Encoding::FloatHistogram
            | Encoding::FloatHistogramSt => {
                let floats = encoding.kind() == ChunkKind::FloatHistograms;
                let histogram =
                    HistogramChunk::read(&mut self.columns, values, floats, &mut self.budget)?;
                let mut encoder = ChunkEncoder::new(encoding).map_err(misfit)?;
                histogram.samples(times, starts, values, |sample| {
                    encoder.push(sample).map_err(misfit)
                })?;
                encoder.finish().data
            }
            Encoding::Aggregates | Encoding::Unknown(_) => {
                return Err(self.malformed("encoding", "that columns hold", encoding));
            }
        };
        self.unpacked.data.extend_from_slice(&data);
        Ok(())
    }

    #[cold]
    fn malformed(
        &self,
        what: &'static str,
        wanted: impl Into<std::borrow::Cow<'static, str>>,
        found: impl std::fmt::Display,
    ) -> Malformed {
        Malformed::unexpected("group", self.offset, what, wanted, found)
    }
}

#[cold]
fn misfit(offset: u64, error: &Error) -> Malformed {
    Malformed::unexpected(
        "group",
        offset,
        "samples",
        "that their encoding takes",
        error.chain(),
    )
}

fn packed(encoding: Encoding, length: usize, times: &[Millis]) -> UnpackedChunk {
    UnpackedChunk {
        encoding,
        length,
        min_time: times.first().copied().unwrap_or(0),
        max_time: times.last().copied().unwrap_or(0),
    }
}

fn read_exceptions<'a>(
    columns: &mut ColumnReader<'a>,
    version: PackVersion,
) -> Result<NumberMap<usize, Exception<'a>>, Malformed> {
    let stream = columns.stream(Stream::Exceptions);
    let at = *stream;
    let count = stream.count(2)?;
    if count > MAX_GROUP_CHUNKS {
        let wanted = format!("of up to {MAX_GROUP_CHUNKS} chunks");
        return Err(at.unexpected("exceptions", wanted, count));
    }
    let mut exceptions = NumberMap::default();
    let mut next = 0usize;
    for _ in 0..count {
        let stream = columns.stream(Stream::Exceptions);
        let at = *stream;
        let gap = stream.uvarint()?;
        let chunk = usize::try_from(gap)
            .ok()
            .and_then(|gap| next.checked_add(gap));
        let chunk =
            chunk.ok_or_else(|| at.unexpected("exception", "of a chunk of the group", gap))?;
        next = chunk.saturating_add(1);
        let exception = match stream.u8()? {
            VERBATIM => {
                let encoding = Encoding::from_byte(stream.u8()?);
                let min_time = stream.varint()?;
                let max_time = min_time.wrapping_add(stream.varint()?);
                let length = stream.uvarint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let data = columns.stream(Stream::Verbatim).take(length)?;
                Exception::Verbatim(
                    UnpackedChunk {
                        encoding,
                        length,
                        min_time,
                        max_time,
                    },
                    data,
                )
            }
            code => {
                let unlike = Unlike::of_code(code, version).ok_or_else(|| {
                    let (section, offset) = (at.section(), at.offset());
                    Malformed::unknown(section, offset, "exception", i64::from(code))
                })?;
                Exception::Unlike(unlike)
            }
        };
        exceptions.insert(chunk, exception);
    }
    Ok(exceptions)
}
