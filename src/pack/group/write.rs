//! Packing a scanned group.

use super::scan::{Exception, Scanned, ScannedSeries, Shape, Values, What};
use super::{
    COLUMN, CONSTANT_BITS, CONSTANT_INTEGER, ChunkShape, NO_TIMES, NO_VALUES, OWN_TIMES, VERBATIM,
    WITH_HISTOGRAMS, WITH_STARTS,
};
use crate::pack::column::{ColumnWriter, Place, Stream};
use crate::pack::hash::NumberMap;
use crate::raw::varint::{write_uvarint, write_varint};

/// Packs a group whose timelines have been found, and appends it to `out`.
///
/// # Errors
///
/// When the compressor fails, which it does for want of memory only.
pub(in crate::pack) fn write(scanned: &Scanned<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut writer = ColumnWriter::default();
    write_uvarint(writer.stream(Stream::Shapes), scanned.shapes.len() as u64);
    for shape in &scanned.shapes {
        write_shape(&mut writer, shape);
        writer.add_times(&shape.times);
    }
    write_uvarint(writer.stream(Stream::Series), scanned.series.len() as u64);
    let mut shapes = Successors::default();
    for series in &scanned.series {
        write_uvarint(
            writer.stream(Stream::ShapeOfSeries),
            shapes.code(series.shape),
        );
        write_series(&mut writer, scanned, series);
    }
    write_exceptions(&mut writer, &scanned.exceptions);
    writer.finish(out)
}

fn write_shape(writer: &mut ColumnWriter, shape: &Shape) {
    let out = writer.stream(Stream::Shapes);
    match &shape.slice {
        None if shape.times.is_empty() => write_uvarint(out, NO_TIMES),
        None => {
            write_uvarint(out, OWN_TIMES);
            write_uvarint(out, shape.times.len() as u64);
            writer.integers(&shape.times);
        }
        Some(slice) => {
            write_uvarint(out, OWN_TIMES + slice.runs.len() as u64);
            write_uvarint(out, slice.timeline as u64);
            for run in &slice.runs {
                write_uvarint(out, run.skip as u64);
                write_uvarint(out, run.length as u64);
            }
        }
    }
    let out = writer.stream(Stream::Shapes);
    write_uvarint(out, shape.chunks.len() as u64);
    for chunk in &shape.chunks {
        match chunk {
            ChunkShape::Verbatim => out.push(0),
            ChunkShape::Packed(encoding, samples) => {
                out.push(encoding.get().byte());
                write_uvarint(out, u64::from(*samples));
            }
        }
    }
}

fn write_series(writer: &mut ColumnWriter, scanned: &Scanned<'_>, series: &ScannedSeries) {
    let mut kind = 0;
    if series.starts.is_some() {
        kind |= WITH_STARTS;
    }
    if !series.histograms.is_empty() {
        kind |= WITH_HISTOGRAMS;
    }
    match series.values {
        Values::None => writer.stream(Stream::Series).push(kind | NO_VALUES),
        Values::Constant(bits) => write_constant(writer, kind, bits),
        Values::Column(start) => {
            writer.stream(Stream::Series).push(kind | COLUMN);
            let length = scanned
                .shapes
                .get(series.shape)
                .map_or(0, |shape| shape.times.len());
            let values = scanned
                .values
                .get(start..start + length)
                .unwrap_or_default();
            let place = Place {
                times: series.shape,
                metric: series.metric,
            };
            writer.floats(values, Some(place));
        }
    }
    if let Some(starts) = &series.starts {
        writer.integers(starts);
    }
    for histogram in &series.histograms {
        histogram.write(writer);
    }
}

fn write_constant(writer: &mut ColumnWriter, kind: u8, bits: u64) {
    let value = f64::from_bits(bits);
    #[expect(clippy::cast_possible_truncation, reason = "compared with the value")]
    let integer = value as i64;
    if (integer as f64).to_bits() == bits && integer != i64::MAX {
        writer.stream(Stream::Series).push(kind | CONSTANT_INTEGER);
        write_varint(writer.stream(Stream::Constants), integer);
    } else {
        writer.stream(Stream::Series).push(kind | CONSTANT_BITS);
        writer
            .stream(Stream::Constants)
            .extend_from_slice(&bits.to_be_bytes());
    }
}

fn write_exceptions(writer: &mut ColumnWriter, exceptions: &[Exception<'_>]) {
    write_uvarint(writer.stream(Stream::Exceptions), exceptions.len() as u64);
    let mut next = 0;
    for exception in exceptions {
        let out = writer.stream(Stream::Exceptions);
        write_uvarint(out, (exception.chunk - next) as u64);
        next = exception.chunk + 1;
        match exception.what {
            What::Unlike(unlike) => out.push(unlike.code()),
            What::Verbatim(chunk) => {
                out.push(VERBATIM);
                out.push(chunk.encoding.byte());
                write_varint(out, chunk.min_time);
                write_varint(out, chunk.max_time.wrapping_sub(chunk.min_time));
                write_uvarint(out, chunk.data.len() as u64);
                writer
                    .stream(Stream::Verbatim)
                    .extend_from_slice(chunk.data);
            }
        }
    }
}

/// Numbers that tend to follow one another: 0 stands for what followed the last time, others for
/// themselves plus one.
#[derive(Debug, Default)]
pub(in crate::pack) struct Successors {
    last: usize,
    followed_by: NumberMap<usize, usize>,
}

impl Successors {
    /// What stands for `number`.
    pub(in crate::pack) fn code(&mut self, number: usize) -> u64 {
        let expected = self.followed_by.insert(self.last, number);
        self.last = number;
        if expected == Some(number) {
            0
        } else {
            number as u64 + 1
        }
    }

    /// The number that `code` stands for; `None` for 0 where nothing has followed yet.
    pub(in crate::pack) fn number(&mut self, code: u64) -> Option<usize> {
        let number = match code.checked_sub(1) {
            None => self.followed_by.get(&self.last).copied()?,
            Some(number) => usize::try_from(number).ok()?,
        };
        self.followed_by.insert(self.last, number);
        self.last = number;
        Some(number)
    }
}
