//! One file of `chunks_head/`: a header, and chunks one after the other.

use crate::chunk::Encoding;
use crate::model::Millis;
use crate::raw::{Malformed, Reader, crc32c};

/// First four bytes of a file of `chunks_head`.
pub const MAGIC: u32 = 0x0130_bc91;
/// Bytes before the first chunk: magic, version, three bytes of zero.
pub const FILE_HEADER: usize = 8;
const VERSION: u8 = 1;
const CRC: usize = 4;
/// Where fewer bytes than the longest frame of a chunk are left, they must all be zero.
const LONGEST_FRAME: usize = 8 + 2 * 8 + 1 + 5 + CRC;
/// Set in the encoding of chunks with out-of-order samples.
const OUT_OF_ORDER: u8 = 0x80;
/// Longest length of a chunk that Prometheus reads, in bytes of its varint.
const LENGTH_BYTES: usize = 5;

/// A chunk of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadChunk<'a> {
    /// Offset in its file, in bytes.
    pub offset: u64,
    /// The number under which the log knows the series.
    pub series: u64,
    /// Time of the first sample.
    pub min_time: Millis,
    /// Time of the last sample.
    pub max_time: Millis,
    /// How the data is encoded.
    pub encoding: Encoding,
    /// Whether its samples came out of order; such chunks may overlap others of their series.
    pub out_of_order: bool,
    /// The chunk's data.
    pub data: &'a [u8],
}

/// The chunks of one file, in order. It ends at the first damage: nothing says where the next chunk
/// begins.
#[derive(Clone, Debug)]
pub struct HeadChunkFile<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> HeadChunkFile<'a> {
    /// Takes `bytes` as a file; checks nothing yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        HeadChunkFile {
            bytes,
            next: FILE_HEADER,
        }
    }

    /// Whether the file was created and never written: too short for a magic number, or that is
    /// zero. Where it is the last one, a start removes it.
    pub fn is_unwritten(&self) -> bool {
        self.bytes.get(..4).is_none_or(|magic| magic == [0; 4])
    }

    /// Checks magic number and version, without which no server starts.
    ///
    /// # Errors
    ///
    /// [`Malformed`] naming the first that is wrong.
    pub fn check_header(&self) -> Result<(), Malformed> {
        let mut reader = Reader::new(self.bytes, 0, "head chunk file header");
        reader.magic(MAGIC)?;
        reader.version("head chunk file version", VERSION..=VERSION)?;
        reader.take(3).map(|_| ())
    }

    /// The next chunk; `None` at the end of what was written.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when the bytes at the next offset are no sound chunk. Nothing follows then.
    pub fn next_chunk(&mut self) -> Result<Option<HeadChunk<'a>>, Malformed> {
        let at = self.next;
        let rest = self.bytes.get(at..).unwrap_or_default();
        // Until the chunk is known to be sound.
        self.next = self.bytes.len();
        if rest.is_empty() {
            return Ok(None);
        }
        let offset = at as u64;
        if rest.len() < LONGEST_FRAME {
            if rest.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let wanted = LONGEST_FRAME as u64;
            return Err(Malformed::truncated(
                "head chunk",
                offset,
                wanted,
                rest.len() as u64,
            ));
        }
        let mut reader = Reader::new(rest, offset, "head chunk");
        let series = reader.u64()?;
        let min_time = reader.u64()? as Millis;
        let max_time = reader.u64()? as Millis;
        if (series, min_time, max_time) == (0, 0, 0) {
            return Ok(None);
        }
        let encoding = reader.u8()?;
        let data = data_of(&mut reader)?;
        let length = rest.len() - reader.remaining();
        let stored = reader.u32()?;
        let computed = crc32c(rest.get(..length).unwrap_or_default());
        if stored != computed {
            return Err(Malformed::checksum("head chunk", offset, stored, computed));
        }
        self.next = at + length + CRC;
        Ok(Some(HeadChunk {
            offset,
            series,
            min_time,
            max_time,
            encoding: Encoding::from_byte(encoding & !OUT_OF_ORDER),
            out_of_order: encoding & OUT_OF_ORDER != 0,
            data,
        }))
    }
}

/// The data behind its length.
fn data_of<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let at = reader.offset();
    let before = reader.remaining();
    let length = reader.uvarint()?;
    let is_long = before - reader.remaining() > LENGTH_BYTES;
    let room = reader.remaining().saturating_sub(CRC);
    match usize::try_from(length) {
        Ok(length) if length <= room && !is_long => reader.take(length),
        _ => {
            let wanted = length.saturating_add(CRC as u64);
            let found = reader.remaining() as u64;
            Err(Malformed::truncated("head chunk", at, wanted, found))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A chunk as Prometheus writes it, with `data` of encoding byte `encoding`.
    pub(in crate::head) fn chunk(
        series: u64,
        times: (i64, i64),
        encoding: u8,
        data: &[u8],
    ) -> Vec<u8> {
        let mut bytes = series.to_be_bytes().to_vec();
        bytes.extend(times.0.to_be_bytes());
        bytes.extend(times.1.to_be_bytes());
        bytes.push(encoding);
        bytes.push(u8::try_from(data.len()).unwrap());
        bytes.extend(data);
        bytes.extend(crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// A file of these chunks, with a preallocated tail.
    pub(in crate::head) fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = MAGIC.to_be_bytes().to_vec();
        bytes.extend([1, 0, 0, 0]);
        bytes.extend(chunks.concat());
        bytes.extend([0; 100]);
        bytes
    }

    fn all(bytes: &[u8]) -> (Vec<(u64, bool)>, Option<Malformed>) {
        let mut file = HeadChunkFile::new(bytes);
        let mut found = Vec::new();
        loop {
            match file.next_chunk() {
                Ok(None) => return (found, None),
                Ok(Some(chunk)) => found.push((chunk.series, chunk.out_of_order)),
                Err(malformed) => return (found, Some(malformed)),
            }
        }
    }

    #[test]
    fn chunks_are_read_up_to_the_preallocated_tail() {
        let bytes = file(&[
            chunk(1, (5, 9), 1, &[7; 20]),
            chunk(2, (5, 9), 0x81, &[8; 20]),
        ]);
        assert!(HeadChunkFile::new(&bytes).check_header().is_ok());
        assert_eq!(all(&bytes), (vec![(1, false), (2, true)], None));
        // Fewer zeros than a frame, or none at all, are an end as well.
        for kept in [99, 34, 33, 1, 0] {
            let end = bytes.len() - 100 + kept;
            assert_eq!(all(&bytes[..end]).1, None, "{kept}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_chunk_is_noticed_and_no_prefix_panics() {
        let bytes = file(&[chunk(1, (5, 9), 1, &[7; 20])]);
        let end = bytes.len() - 100;
        for at in 8..end {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(all(&flipped).1.is_some(), "byte {at} bit {bit}");
            }
        }
        for length in 0..bytes.len() {
            let _ = all(&bytes[..length]);
            let _ = HeadChunkFile::new(&bytes[..length]).check_header();
        }
    }

    #[test]
    fn a_wrong_header_is_told_from_one_that_was_never_written() {
        let sound = file(&[]);
        let mut bad = sound.clone();
        bad[3] ^= 1;
        let error = HeadChunkFile::new(&bad).check_header().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("expected magic number 0x0130bc91"),
            "{error}"
        );
        assert!(!HeadChunkFile::new(&bad).is_unwritten());
        let mut newer = sound;
        newer[4] = 2;
        let error = HeadChunkFile::new(&newer).check_header().unwrap_err();
        assert!(
            error
                .to_string()
                .contains("unknown head chunk file version 2"),
            "{error}"
        );
        assert!(HeadChunkFile::new(&[0; 200]).is_unwritten());
        assert!(HeadChunkFile::new(&[]).is_unwritten());
    }
}
