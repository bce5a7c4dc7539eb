//! Segment files: `chunks/000001` and so on.

use super::Encoding;
use crate::model::ChunkRef;
use crate::raw::{Malformed, Reader};

/// First four bytes of a segment file.
pub const MAGIC: u32 = 0x85bd_40dd;
/// Bytes before the first record: magic, version, three bytes of zero.
pub const SEGMENT_HEADER: u64 = 8;
pub(super) const VERSION: u8 = 1;
pub(super) const CRC: usize = 4;

/// One segment file's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    bytes: &'a [u8],
}

/// One chunk record: length, encoding, data, checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRecord<'a> {
    /// Offset of the record in its segment, in bytes.
    pub offset: u64,
    /// How the data is encoded.
    pub encoding: Encoding,
    /// The chunk's data.
    pub data: &'a [u8],
    /// Absolute offset of the data in the segment.
    pub data_offset: u64,
    /// Offset just behind the record.
    pub end: u64,
    body: &'a [u8],
    stored_crc: u32,
}

impl<'a> Segment<'a> {
    /// Takes `bytes` as a segment; checks nothing yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Segment { bytes }
    }

    /// Checks magic number and version, which Prometheus checks when it opens a block.
    ///
    /// # Errors
    ///
    /// [`Malformed`] naming the first that is wrong.
    pub fn check_header(&self) -> Result<(), Malformed> {
        let mut reader = Reader::new(self.bytes, 0, "segment header");
        reader.magic(MAGIC)?;
        reader.version("segment version", VERSION..=VERSION)?;
        reader.take(3).map(|_| ())
    }

    /// Whether the three bytes behind the version are zero, as every known writer leaves them.
    pub fn has_clean_padding(&self) -> bool {
        self.bytes.get(5..8) == Some(&[0, 0, 0])
    }

    /// Size of the file in bytes.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether the file is empty, which Prometheus cannot map.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The record at `offset`. Its checksum is not looked at: see [`ChunkRecord::check`].
    ///
    /// # Errors
    ///
    /// When the offset or the length found there lies outside the file.
    #[inline]
    pub fn record(&self, offset: u64) -> Result<ChunkRecord<'a>, Malformed> {
        let rest = usize::try_from(offset)
            .ok()
            .filter(|_| offset >= SEGMENT_HEADER)
            .and_then(|start| self.bytes.get(start..))
            .ok_or_else(|| self.outside(offset))?;
        ChunkRecord::read(rest, offset)
    }

    #[cold]
    fn outside(&self, offset: u64) -> Malformed {
        let wanted = format!(
            "between {SEGMENT_HEADER} and the file's {} bytes",
            self.len()
        );
        Malformed::unexpected("chunk", offset, "chunk offset", wanted, offset)
    }
}

impl<'a> ChunkRecord<'a> {
    /// The record with which `bytes` begin, that stand at `offset` of their segment. Its checksum
    /// is not looked at: see [`ChunkRecord::check`].
    ///
    /// # Errors
    ///
    /// When it is longer than `bytes`.
    #[inline]
    pub fn read(bytes: &'a [u8], offset: u64) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, offset, "chunk");
        let at = reader;
        let length = reader.uvarint()?;
        let length = usize::try_from(length)
            .ok()
            .filter(|length| {
                reader
                    .remaining()
                    .checked_sub(1 + CRC)
                    .is_some_and(|room| *length <= room)
            })
            .ok_or_else(|| {
                let wanted = length.saturating_add(1 + CRC as u64);
                Malformed::truncated("chunk", at.offset(), wanted, reader.remaining() as u64)
            })?;
        let mut body = reader.sub(1 + length, "chunk")?;
        let whole = body.rest();
        let encoding = Encoding::from_byte(body.u8()?);
        let stored_crc = reader.u32()?;
        Ok(ChunkRecord {
            offset,
            encoding,
            data: body.rest(),
            data_offset: body.offset(),
            end: reader.offset(),
            body: whole,
            stored_crc,
        })
    }

    /// Compares the stored checksum with that of encoding byte and data.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with both checksums.
    #[inline]
    pub fn check(&self) -> Result<(), Malformed> {
        let computed = crate::raw::crc32c(self.body);
        if computed == self.stored_crc {
            return Ok(());
        }
        let stored = self.stored_crc;
        Err(Malformed::checksum("chunk", self.offset, stored, computed))
    }

    /// The reference to this record when its segment has position `segment`.
    pub fn reference(&self, segment: u32) -> Option<ChunkRef> {
        u32::try_from(self.offset)
            .ok()
            .map(|offset| ChunkRef::new(segment, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The segment of the tiny block in Prometheus' golden vectors: two chunks of three samples
    /// each.
    const TINY: &[u8] = b"\x85\xbd\x40\xdd\x01\x00\x00\x00\x17\x01\x00\x03\x80\xa0\xab\xfe\xf9\x62\x3f\xf0\x00\x00\x00\x00\x00\x00\x98\x75\xc2\x5f\xff\x6c\x06\xb2\x9c\x40\x6d\x18\x01\x00\x03\x80\xa0\xab\xfe\xf9\x62\x00\x00\x00\x00\x00\x00\x00\x00\x98\x75\xc4\x57\xfe\xc2\x5f\xff\xeb\xec\xa9\x8d";

    #[test]
    fn records_follow_one_another_to_the_end_of_the_file() {
        let segment = Segment::new(TINY);
        segment.check_header().unwrap();
        let first = segment.record(8).unwrap();
        first.check().unwrap();
        let second = segment.record(first.end).unwrap();
        second.check().unwrap();
        assert_eq!((first.encoding, second.end), (Encoding::Xor, segment.len()));
    }

    #[test]
    fn every_flip_in_a_record_is_noticed() {
        for byte in 8..TINY.len() {
            let mut bytes = TINY.to_vec();
            bytes[byte] ^= 0x10;
            let segment = Segment::new(&bytes);
            let ok = segment.record(8).and_then(|first| {
                first.check()?;
                segment.record(first.end)?.check()
            });
            assert!(ok.is_err(), "byte {byte}");
        }
    }

    #[test]
    fn offsets_outside_the_file_are_refused() {
        for offset in [0, 7, TINY.len() as u64 + 1, u64::MAX] {
            assert!(Segment::new(TINY).record(offset).is_err());
        }
    }
}
