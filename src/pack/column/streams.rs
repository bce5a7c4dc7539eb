//! Everything about columns that is not a residual: small streams of bytes, one for each kind of
//! fact, so that each compresses with its like.

use crate::pack::part;
use crate::raw::{Malformed, Reader};

/// A kind of fact. The order is that of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pack) enum Stream {
    /// What each series holds.
    Series,
    /// The shapes: which times, cut into which chunks.
    Shapes,
    /// Which shape each series has.
    ShapeOfSeries,
    /// Values of series that never change.
    Constants,
    /// How floats become integers.
    Scales,
    /// How integers are predicted.
    Plans,
    /// How large residuals are at first.
    Hints,
    /// How many residuals of sparse columns are not zero.
    Counts,
    /// First numbers of columns.
    Firsts,
    /// Common factors of columns.
    Divisors,
    /// Which earlier columns help to predict.
    References,
    /// Values that no scale takes: stale markers, NaN, infinities, negative zero.
    Specials,
    /// Bucket layouts and counter resets.
    Histograms,
    /// Chunks that are not as the encoder would write them: where they are, and what is different.
    Exceptions,
    /// Data of chunks that are kept as they are.
    Verbatim,
}

impl Stream {
    pub(in crate::pack) const ALL: [Stream; 15] = [
        Stream::Series,
        Stream::Shapes,
        Stream::ShapeOfSeries,
        Stream::Constants,
        Stream::Scales,
        Stream::Plans,
        Stream::Hints,
        Stream::Counts,
        Stream::Firsts,
        Stream::Divisors,
        Stream::References,
        Stream::Specials,
        Stream::Histograms,
        Stream::Exceptions,
        Stream::Verbatim,
    ];

    /// What it is called in statistics and errors.
    pub(in crate::pack) fn name(self) -> &'static str {
        match self {
            Stream::Series => "series kinds",
            Stream::Shapes => "shapes",
            Stream::ShapeOfSeries => "shape of each series",
            Stream::Constants => "constants",
            Stream::Scales => "scales",
            Stream::Plans => "plans",
            Stream::Hints => "hints",
            Stream::Counts => "counts of changes",
            Stream::Firsts => "first values",
            Stream::Divisors => "divisors",
            Stream::References => "references",
            Stream::Specials => "special values",
            Stream::Histograms => "histogram layouts",
            Stream::Exceptions => "exceptions",
            Stream::Verbatim => "verbatim chunks",
        }
    }
}

/// Compression level of the streams: they are small beside the residuals.
const LEVEL: i32 = 6;

/// Most bytes a reader accepts in the streams of a group together: bounds what a hostile pack can
/// make it allocate.
const MAX_STREAMS: usize = 64 << 20;

/// The streams of a group while it is written.
#[derive(Debug, Default)]
pub(in crate::pack) struct StreamsWriter([Vec<u8>; Stream::ALL.len()]);

impl StreamsWriter {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "there is one for each variant")]
    pub(in crate::pack) fn get(&mut self, stream: Stream) -> &mut Vec<u8> {
        &mut self.0[stream as usize]
    }

    /// Appends all streams to `out`, as parts in their order.
    pub(in crate::pack) fn finish(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let mut compressor = part::Compressor::new(LEVEL)?;
        self.0
            .iter()
            .try_for_each(|stream| part::write(stream, &mut compressor, out))
    }
}

/// The streams of a group as they come back.
#[derive(Debug)]
pub(in crate::pack) struct Streams {
    raw: Vec<Vec<u8>>,
    /// Bytes that each takes in the pack.
    stored: Vec<u64>,
    offset: u64,
}

impl Streams {
    /// Reads what [`StreamsWriter::finish`] wrote.
    pub(in crate::pack) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let offset = reader.offset();
        let mut left = MAX_STREAMS;
        let mut raw = Vec::with_capacity(Stream::ALL.len());
        let mut decompressor = part::Decompressor::default();
        let mut sizes = Vec::with_capacity(Stream::ALL.len());
        for stream in Stream::ALL {
            let start = reader.offset();
            *reader = reader.named(stream.name());
            let bytes = part::read(reader, &mut decompressor, left)?;
            left -= bytes.len();
            raw.push(bytes);
            sizes.push(reader.offset() - start);
        }
        Ok(Streams {
            raw,
            stored: sizes,
            offset,
        })
    }

    /// Bytes that each stream takes in the pack, in the order of [`Stream::ALL`].
    pub(in crate::pack) fn stored(&self) -> &[u64] {
        &self.stored
    }

    /// Readers of all streams. Positions inside a compressed stream mean nothing in the object:
    /// errors name where the streams begin.
    pub(in crate::pack) fn readers(&self) -> StreamReaders<'_> {
        let mut readers =
            StreamReaders(Stream::ALL.map(|stream| Reader::new(&[], self.offset, stream.name())));
        for (reader, bytes) in readers.0.iter_mut().zip(&self.raw) {
            *reader = Reader::new(bytes, self.offset, reader.section());
        }
        readers
    }
}

/// A reader of each stream.
#[derive(Clone, Debug)]
pub(in crate::pack) struct StreamReaders<'a>([Reader<'a>; Stream::ALL.len()]);

impl<'a> StreamReaders<'a> {
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "there is one for each variant")]
    pub(in crate::pack) fn get(&mut self, stream: Stream) -> &mut Reader<'a> {
        &mut self.0[stream as usize]
    }

    /// Checks that all of every stream was read.
    ///
    /// # Errors
    ///
    /// Names the first that has something left.
    pub(in crate::pack) fn finish(&self) -> Result<(), Malformed> {
        match self.0.iter().find(|reader| !reader.is_empty()) {
            None => Ok(()),
            Some(left) => {
                let found = format!("{} more bytes", left.remaining());
                Err(left.unexpected("the end", "after the last series", found))
            }
        }
    }
}
