//! Shapes: the times of series and how they are cut into chunks.

use super::{ChunkShape, MAX_GROUP_CHUNKS, MAX_GROUP_SAMPLES, NO_TIMES, OWN_TIMES, value_offset};
use crate::chunk::Encoding;
use crate::chunk::encode::{TimeCodes, XorEncoder};
use crate::model::Millis;
use crate::pack::column::{ColumnReader, Stream};
use crate::pack::timeline::{Run, times_of};
use crate::pack::version::PackVersion;
use crate::raw::{Malformed, Reader};

/// Times of series and how they are cut into chunks.
#[derive(Default)]
pub(super) struct Shape {
    pub(super) times: Vec<Millis>,
    pub(super) chunks: Vec<ChunkShape>,
    /// Chunks of a series that is always 0, and where in each the value stands; made when first
    /// needed.
    pub(super) template: Option<Vec<(Vec<u8>, usize)>>,
    /// The times of each chunk as XOR chunks have them; made when first needed.
    pub(super) codes: Vec<TimeCodes>,
}

impl Shape {
    pub(super) fn make_codes(&mut self) {
        if self.codes.is_empty() {
            let mut rest = &self.times[..];
            let codes = self.chunks.iter().map(|chunk| {
                let (own, behind) = rest.split_at_checked(chunk.samples()).unwrap_or_default();
                rest = behind;
                TimeCodes::new(own)
            });
            self.codes = codes.collect();
        }
    }
}

/// The chunks of a series that is always 0; `None` if not all of its chunks are XOR.
pub(super) fn template(times: &[Millis], chunks: &[ChunkShape]) -> Option<Vec<(Vec<u8>, usize)>> {
    let mut rest = times;
    let chunk = |chunk: &ChunkShape| {
        if !matches!(chunk, ChunkShape::Packed(encoding, _) if encoding.get() == Encoding::Xor) {
            return None;
        }
        let (own, behind) = rest.split_at_checked(chunk.samples())?;
        rest = behind;
        let mut encoder = XorEncoder::new();
        for time in own {
            encoder.push(*time, 0).ok()?;
        }
        let data = encoder.finish();
        let at = value_offset(&data)?;
        Some((data, at))
    };
    chunks.iter().map(chunk).collect()
}

/// What the shapes of a group may still hold.
struct Room {
    samples: usize,
    chunks: usize,
}

/// Reads the shapes of a group of so many series, of which each has one, in a pack of `version`.
pub(super) fn read_shapes<'t>(
    columns: &mut ColumnReader<'_>,
    version: PackVersion,
    series: usize,
    timeline: impl Fn(usize) -> Option<&'t [Millis]>,
) -> Result<Vec<Shape>, Malformed> {
    let stream = columns.stream(Stream::Shapes);
    let at = *stream;
    let count = stream.count(2)?;
    if count > series {
        return Err(at.unexpected("shapes", format!("of {series} series"), count));
    }
    let mut left = Room {
        samples: MAX_GROUP_SAMPLES,
        chunks: MAX_GROUP_CHUNKS,
    };
    let mut shapes = Vec::with_capacity(count);
    for _ in 0..count {
        let shape = read_shape(columns, version, &timeline, &mut left)?;
        columns.add_times(&shape.times);
        shapes.push(shape);
    }
    Ok(shapes)
}

fn read_shape<'t>(
    columns: &mut ColumnReader<'_>,
    version: PackVersion,
    timeline: impl Fn(usize) -> Option<&'t [Millis]>,
    left: &mut Room,
) -> Result<Shape, Malformed> {
    let stream = columns.stream(Stream::Shapes);
    let at = *stream;
    let too_many = || at.unexpected("shapes", "of up to 4,194,304 samples", "more");
    let times = match stream.uvarint()? {
        NO_TIMES => Vec::new(),
        OWN_TIMES => {
            let count = usize::try_from(stream.uvarint()?)
                .ok()
                .filter(|count| *count <= left.samples);
            let mut times = Vec::new();
            columns.integers(count.ok_or_else(too_many)?, &mut times)?;
            times
        }
        runs => {
            if runs - OWN_TIMES > left.samples as u64 {
                return Err(too_many());
            }
            let number = stream.uvarint()?;
            let runs = (OWN_TIMES..runs)
                .map(|_| read_run(stream))
                .collect::<Result<Vec<_>, _>>()?;
            let line = usize::try_from(number).ok().and_then(&timeline);
            let found = line.and_then(|line| times_of(line, &runs));
            found.ok_or_else(|| {
                at.unexpected("times", "within a timeline", format!("some of {number}"))
            })?
        }
    };
    let samples = left.samples.checked_sub(times.len());
    left.samples = samples.ok_or_else(too_many)?;
    let stream = columns.stream(Stream::Shapes);
    let at = *stream;
    let count = stream.count(1)?;
    let Some(rest) = left.chunks.checked_sub(count) else {
        let wanted = format!("of up to {MAX_GROUP_CHUNKS} chunks");
        return Err(at.unexpected("shapes", wanted, "more"));
    };
    left.chunks = rest;
    let mut chunks = Vec::with_capacity(count);
    let mut samples = 0;
    for _ in 0..count {
        let at_encoding = stream.offset();
        let encoding = stream.u8()?;
        if encoding == 0 {
            chunks.push(ChunkShape::Verbatim);
            continue;
        }
        let encoding = Encoding::from_byte(encoding);
        let Some(encoding) = version.column_encoding(encoding) else {
            return Err(version.lacks(encoding, at.section(), at_encoding));
        };
        let count = stream.uvarint()?;
        let count = u32::try_from(count)
            .ok()
            .filter(|count| *count > 0 && u16::try_from(*count).is_ok());
        let count =
            count.ok_or_else(|| at.unexpected("chunk", "of 1 to 65,535 samples", "another"))?;
        let shape = ChunkShape::Packed(encoding, count);
        samples += shape.samples();
        chunks.push(shape);
    }
    if samples != times.len() {
        return Err(at.unexpected("chunks", format!("of {} samples", times.len()), samples));
    }
    Ok(Shape {
        times,
        chunks,
        ..Shape::default()
    })
}

fn read_run(stream: &mut Reader<'_>) -> Result<Run, Malformed> {
    let (skip, length) = (stream.uvarint()?, stream.uvarint()?);
    Ok(Run {
        skip: usize::try_from(skip).unwrap_or(usize::MAX),
        length: usize::try_from(length).unwrap_or(usize::MAX),
    })
}
