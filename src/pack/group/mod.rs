//! Groups: consecutive series, packed and unpacked without the rest.
//!
//! Writing has three steps, so that groups are packed in parallel and yet give the same bytes
//! however many threads there are: [`scan`] decodes the chunks of a group; [`Scanned::place`] finds
//! their timelines, one group after the other; [`write()`] packs the columns. [`read()`] gives the
//! chunks back.

mod histogram;
mod read;
mod scan;
mod shape;
mod write;

pub(super) use read::{parts, read};
pub(super) use scan::{Scanned, scan};
pub(super) use write::{Successors, write};

use crate::chunk::encode::EncodedChunk;
use crate::chunk::{Encoding, Xor2Writer};
use crate::model::Millis;
use crate::pack::version::{ColumnEncoding, PackVersion};

/// Samples after which a group is closed.
pub(super) const GROUP_SAMPLES: usize = 1 << 20;
/// Bytes of chunk data after which a group is closed.
pub(super) const GROUP_BYTES: usize = 4 << 20;
/// Series after which a group is closed; also the most that a reader accepts.
pub(super) const GROUP_SERIES: usize = 1 << 18;
/// Chunks after which a group is closed.
pub(super) const GROUP_CHUNKS: usize = 1 << 18;
/// Samples and counts of histograms after which a group is closed.
pub(super) const GROUP_COUNTS: usize = 1 << 21;
/// Most samples a reader accepts in a group, counts of histograms among them; and again in its
/// shapes. Bounds what a hostile pack can make it allocate. Chunks of histograms that have more are
/// kept as they are.
pub(super) const MAX_GROUP_SAMPLES: usize = 1 << 22;
/// Most chunks a reader accepts in a group, and again in its shapes.
pub(super) const MAX_GROUP_CHUNKS: usize = 1 << 20;

/// A chunk that is to be packed, as index and segment describe it.
#[derive(Clone, Copy, Debug)]
pub(in crate::pack) struct SourceChunk<'a> {
    /// How it is encoded.
    pub(in crate::pack) encoding: Encoding,
    /// Its data, without length, encoding byte and checksum.
    pub(in crate::pack) data: &'a [u8],
    /// Time of the first sample, according to the index.
    pub(in crate::pack) min_time: Millis,
    /// Time of the last sample, according to the index.
    pub(in crate::pack) max_time: Millis,
}

impl<'a> From<&'a EncodedChunk> for SourceChunk<'a> {
    fn from(chunk: &'a EncodedChunk) -> Self {
        SourceChunk {
            encoding: chunk.encoding,
            data: &chunk.data,
            min_time: chunk.min_time,
            max_time: chunk.max_time,
        }
    }
}

/// A series that is to be packed.
#[derive(Clone, Debug)]
pub(in crate::pack) struct SourceSeries<'a> {
    /// Equal for series of one metric; helps to find what is alike.
    pub(in crate::pack) metric: u32,
    /// Its chunks, in their order.
    pub(in crate::pack) chunks: Vec<SourceChunk<'a>>,
}

/// A chunk that was unpacked; its data lies in the group's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pack) struct UnpackedChunk {
    /// How it is encoded.
    pub(in crate::pack) encoding: Encoding,
    /// Length of its data in bytes.
    pub(in crate::pack) length: usize,
    /// Time of its first sample.
    pub(in crate::pack) min_time: Millis,
    /// Time of its last sample.
    pub(in crate::pack) max_time: Millis,
}

/// A group that was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::pack) struct Unpacked {
    /// Number of chunks of each series.
    pub(in crate::pack) series: Vec<usize>,
    /// The chunks of all series.
    pub(in crate::pack) chunks: Vec<UnpackedChunk>,
    /// The data of all chunks, one behind the other.
    pub(in crate::pack) data: Vec<u8>,
}

impl Unpacked {
    /// The chunks of each series.
    pub(in crate::pack) fn all_series(&self) -> impl Iterator<Item = Vec<SourceChunk<'_>>> {
        let (mut chunk, mut data) = (0, 0);
        self.series.iter().map(move |count| {
            let own: Vec<_> = self.chunks_from(chunk, data, *count).collect();
            chunk += count;
            data += own.iter().map(|chunk| chunk.data.len()).sum::<usize>();
            own
        })
    }

    /// So many chunks from the one of this number on, whose data stands at `data`.
    pub(in crate::pack) fn chunks_from(
        &self,
        chunk: usize,
        data: usize,
        count: usize,
    ) -> impl Iterator<Item = SourceChunk<'_>> {
        let mut data = self.data.get(data..).unwrap_or_default();
        let chunks = self.chunks.iter().skip(chunk).take(count);
        chunks.map(move |chunk| {
            let (own, behind) = data.split_at_checked(chunk.length).unwrap_or_default();
            data = behind;
            SourceChunk {
                encoding: chunk.encoding,
                data: own,
                min_time: chunk.min_time,
                max_time: chunk.max_time,
            }
        })
    }
}

/// How the samples of a series are cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ChunkShape {
    /// Its encoding, and the number of samples.
    Packed(ColumnEncoding, u32),
    /// The chunk is kept as it is; its samples are in no column.
    Verbatim,
}

impl ChunkShape {
    fn is_histogram(self) -> bool {
        matches!(self, ChunkShape::Packed(encoding, _) if encoding.get().is_histogram())
    }

    fn samples(self) -> usize {
        match self {
            ChunkShape::Packed(_, samples) => samples as usize,
            ChunkShape::Verbatim => 0,
        }
    }
}

/// Bits of a series' kind that say what its values are.
const VALUES: u8 = 0x03;
/// A whole number, always the same.
const CONSTANT_INTEGER: u8 = 0;
/// Another float, always the same.
const CONSTANT_BITS: u8 = 1;
/// A column.
const COLUMN: u8 = 2;
/// There are none.
const NO_VALUES: u8 = 3;
/// Flag in a series' kind: a column of start timestamps follows.
const WITH_STARTS: u8 = 0x04;
/// Flag in a series' kind: histogram chunks follow.
const WITH_HISTOGRAMS: u8 = 0x08;

/// Where a shape's times are: there are none; in a column of their own; more than that: in so many
/// runs of a timeline more than [`OWN_TIMES`].
const NO_TIMES: u64 = 0;
const OWN_TIMES: u64 = 1;

/// Code of an exception: a chunk that is kept as it is. The others are what its data are unlike, as
/// bits.
const VERBATIM: u8 = 0;
/// A zero byte stands behind the samples.
const EXTRA_ZERO: u8 = 1;
/// A chunk of encoding 4 in a pack of version 3 that the writer before Prometheus 3.16 made.
const EARLIER_WRITER: u8 = 2;

/// In what a chunk differs from what the encoder makes of its samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unlike {
    /// A zero byte stands behind them.
    extra_zero: bool,
    /// Of encoding 4, and of the earlier writer.
    earlier_writer: bool,
}

impl Unlike {
    /// The code of the exception; [`VERBATIM`] stands for no difference here.
    fn code(self) -> u8 {
        let bit = |set, bit| if set { bit } else { 0 };
        bit(self.extra_zero, EXTRA_ZERO) | bit(self.earlier_writer, EARLIER_WRITER)
    }

    /// What `code` stands for in a pack of `version`.
    fn of_code(code: u8, version: PackVersion) -> Option<Self> {
        let known = match version.xor2_writer() {
            Xor2Writer::Before316 => EXTRA_ZERO,
            Xor2Writer::Since316 => EXTRA_ZERO | EARLIER_WRITER,
        };
        (code & !known == 0).then_some(Unlike {
            extra_zero: code & EXTRA_ZERO != 0,
            earlier_writer: code & EARLIER_WRITER != 0,
        })
    }
}

/// In a XOR chunk of one and the same value, where the value stands: behind the sample count and
/// the first time.
fn value_offset(data: &[u8]) -> Option<usize> {
    let (_, length) = crate::raw::varint::read_uvarint(data.get(2..)?)?;
    Some(2 + length).filter(|at| data.len() >= at + 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::encode::ChunkEncoder;
    use crate::model::{FloatSample, Sample};
    use crate::pack::column::{ColumnWriter, Stream};
    use crate::pack::timeline::Timelines;

    fn chunk(encoding: Encoding, start: Millis, times: std::ops::Range<i64>) -> EncodedChunk {
        let mut encoder = ChunkEncoder::new(encoding).unwrap();
        for time in times {
            let bits = (time as f64 / 4.0).to_bits();
            let sample = FloatSample { time, start, bits };
            encoder.push(&Sample::Float(sample)).unwrap();
        }
        encoder.finish()
    }

    #[test]
    fn series_whose_later_chunks_have_no_start_timestamps_come_back() {
        let encoded = [
            chunk(Encoding::Xor2, 5, 10..70),
            chunk(Encoding::Xor, 0, 70..130),
        ];
        let series = SourceSeries {
            metric: 0,
            chunks: encoded.iter().map(SourceChunk::from).collect(),
        };
        let mut scanned = scan(&[series], PackVersion::PLAIN);
        assert_eq!((scanned.verbatim(), scanned.is_sound), (0, true));
        let mut timelines = Timelines::default();
        scanned.place(&mut timelines);
        let mut bytes = Vec::new();
        write(&scanned, &mut bytes).unwrap();
        let line = |number: usize| timelines.lines().get(number).map(|line| &**line);
        let unpacked = read(&bytes, 0, PackVersion::PLAIN, line).unwrap();
        assert_eq!(unpacked.series, [2]);
        assert_eq!(
            unpacked.data,
            [&encoded[0].data[..], &encoded[1].data].concat()
        );
    }

    #[test]
    fn chunks_of_encodings_that_no_columns_hold_are_kept_as_they_are() {
        let plain = chunk(Encoding::Xor, 0, 70..130);
        let foreign = [
            Encoding::Unknown(0),
            Encoding::Unknown(254),
            Encoding::Aggregates,
        ];
        let foreign = foreign.map(|encoding| EncodedChunk {
            encoding,
            ..plain.clone()
        });
        let series = SourceSeries {
            metric: 0,
            chunks: [&plain]
                .into_iter()
                .chain(&foreign)
                .map(SourceChunk::from)
                .collect(),
        };
        let mut scanned = scan(std::slice::from_ref(&series), PackVersion::PLAIN);
        assert_eq!((scanned.verbatim(), scanned.is_sound), (3, false));
        let mut timelines = Timelines::default();
        scanned.place(&mut timelines);
        let mut bytes = Vec::new();
        write(&scanned, &mut bytes).unwrap();
        let line = |number: usize| timelines.lines().get(number).map(|line| &**line);
        let unpacked = read(&bytes, 0, PackVersion::PLAIN, line).unwrap();
        let found = unpacked.all_series().next().unwrap();
        let parts = |chunk: &SourceChunk<'_>| (chunk.encoding, chunk.data.to_vec());
        assert!(found.iter().map(parts).eq(series.chunks.iter().map(parts)));
    }

    #[test]
    fn an_encoding_that_the_version_lacks_is_unsupported_and_named_with_those_it_has() {
        for encoding in [254, 255] {
            let mut writer = ColumnWriter::default();
            // One shape without times, and in it a chunk of one sample.
            writer.stream(Stream::Shapes).extend([1, 0, 1, encoding, 1]);
            writer.stream(Stream::Series).extend([1, 3]);
            writer.stream(Stream::Exceptions).push(0);
            let mut bytes = Vec::new();
            writer.finish(&mut bytes).unwrap();
            let error = read(&bytes, 0, PackVersion::PLAIN, |_| None).unwrap_err();
            assert!(error.is_unsupported(), "{error}");
            let wanted = "expected an encoding that columns of pack version 2 hold (1, 2, 3, 4, 5, 6), found ";
            let error = error.to_string();
            assert!(error.ends_with(&format!("{wanted}{encoding}")), "{error}");
        }
    }
}
