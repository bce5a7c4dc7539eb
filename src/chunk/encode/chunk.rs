//! One encoder for whatever encoding, and the compactor's rule for cutting floats into chunks.

use super::{FloatHistogramEncoder, HistogramEncoder, Xor2Encoder, XorEncoder};
use crate::chunk::{Encoding, Xor2Writer};
use crate::error::{Error, Result};
use crate::model::{FloatSample, Millis, Sample};

/// The compactor never puts more samples into a chunk (Prometheus `storage/series.go`).
pub const SAMPLES_PER_CHUNK: u16 = 120;

/// A chunk as it goes into a block, with its data in `D`: owned if just encoded, borrowed if only
/// copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk<D = Vec<u8>> {
    /// How the data is encoded.
    pub encoding: Encoding,
    /// Time of the first sample.
    pub min_time: Millis,
    /// Time of the last sample.
    pub max_time: Millis,
    /// The chunk's data, without length, encoding byte and checksum.
    pub data: D,
}

/// Encodes one chunk of any known encoding.
#[derive(Clone, Debug)]
pub struct ChunkEncoder {
    encoding: Encoding,
    encoder: Encoder,
    min_time: Millis,
    max_time: Millis,
}

#[derive(Clone, Debug)]
enum Encoder {
    Xor(XorEncoder),
    Xor2(Xor2Encoder),
    Histogram(HistogramEncoder),
    FloatHistogram(FloatHistogramEncoder),
}

impl ChunkEncoder {
    /// An encoder for one chunk of `encoding`; XOR2 as Prometheus before 3.16 writes it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an encoding that there is no
    /// encoder for.
    pub fn new(encoding: Encoding) -> Result<Self> {
        Self::of_writer(encoding, Xor2Writer::Before316)
    }

    /// An encoder for one chunk of `encoding`; XOR2 as `writer` writes it.
    ///
    /// # Errors
    ///
    /// As [`ChunkEncoder::new`].
    pub fn of_writer(encoding: Encoding, writer: Xor2Writer) -> Result<Self> {
        let encoder = match encoding {
            Encoding::Xor => Encoder::Xor(XorEncoder::new()),
            Encoding::Xor2 => Encoder::Xor2(Xor2Encoder::new(writer)),
            Encoding::Histogram => Encoder::Histogram(HistogramEncoder::new(false)),
            Encoding::HistogramSt => Encoder::Histogram(HistogramEncoder::new(true)),
            Encoding::FloatHistogram => Encoder::FloatHistogram(FloatHistogramEncoder::new(false)),
            Encoding::FloatHistogramSt => Encoder::FloatHistogram(FloatHistogramEncoder::new(true)),
            Encoding::Aggregates | Encoding::Unknown(_) => {
                let (byte, wanted) = (
                    encoding.byte(),
                    "expected a chunk encoding that can be written",
                );
                return Err(Error::unsupported(format!(
                    "{wanted}, found {byte} ({encoding})"
                )));
            }
        };
        Ok(ChunkEncoder {
            encoding,
            encoder,
            min_time: 0,
            max_time: 0,
        })
    }

    /// Appends a sample.
    ///
    /// # Errors
    ///
    /// When the encoding cannot hold it, or it belongs into a new chunk. Nothing has been written
    /// then.
    pub fn push(&mut self, sample: &Sample<'_>) -> Result<()> {
        let first = self.samples() == 0;
        match (&mut self.encoder, sample) {
            (Encoder::Xor(encoder), Sample::Float(float)) if float.start == 0 => {
                encoder.push(float.time, float.bits)?;
            }
            (Encoder::Xor2(encoder), Sample::Float(float)) => encoder.push(*float)?,
            (Encoder::Histogram(encoder), Sample::Histogram(histogram)) => {
                encoder.push(histogram)?;
            }
            (Encoder::FloatHistogram(encoder), Sample::FloatHistogram(histogram)) => {
                encoder.push(histogram)?;
            }
            _ => return Err(self.misfit()),
        }
        if first {
            self.min_time = sample.time();
        }
        self.max_time = sample.time();
        Ok(())
    }

    /// How the data is encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Samples so far.
    pub fn samples(&self) -> u16 {
        match &self.encoder {
            Encoder::Xor(encoder) => encoder.samples(),
            Encoder::Xor2(encoder) => encoder.samples(),
            Encoder::Histogram(encoder) => encoder.samples(),
            Encoder::FloatHistogram(encoder) => encoder.samples(),
        }
    }

    /// The chunk; its times are 0 if it has no sample.
    pub fn finish(self) -> EncodedChunk {
        EncodedChunk {
            encoding: self.encoding,
            min_time: self.min_time,
            max_time: self.max_time,
            data: match self.encoder {
                Encoder::Xor(encoder) => encoder.finish(),
                Encoder::Xor2(encoder) => encoder.finish(),
                Encoder::Histogram(encoder) => encoder.finish(),
                Encoder::FloatHistogram(encoder) => encoder.finish(),
            },
        }
    }

    #[cold]
    fn misfit(&self) -> Error {
        let encoding = self.encoding;
        Error::invalid(format!(
            "expected a sample that encoding {encoding} holds, found another"
        ))
    }
}

/// Cuts `samples` into chunks as the compactor of Prometheus 3.16 does: 120 to a chunk, in the
/// `preferred` float encoding, but XOR2 as soon as a sample has a start timestamp.
///
/// # Errors
///
/// When `preferred` is not a float encoding.
pub fn float_chunks(
    samples: impl IntoIterator<Item = FloatSample>,
    preferred: Encoding,
) -> Result<Vec<EncodedChunk>> {
    let mut chunks = Vec::new();
    let mut open: Option<ChunkEncoder> = None;
    for sample in samples {
        let goes_on = |open: &ChunkEncoder| {
            let holds_start = sample.start == 0 || open.encoding.has_starts();
            holds_start && open.samples() < SAMPLES_PER_CHUNK
        };
        if !open.as_ref().is_some_and(goes_on) {
            let encoding = match sample.start {
                0 => preferred,
                _ => Encoding::Xor2,
            };
            chunks.extend(open.take().map(ChunkEncoder::finish));
            open = Some(ChunkEncoder::of_writer(encoding, Xor2Writer::Since316)?);
        }
        if let Some(open) = &mut open {
            open.push(&Sample::Float(sample))?;
        }
    }
    chunks.extend(open.map(ChunkEncoder::finish));
    Ok(chunks)
}
