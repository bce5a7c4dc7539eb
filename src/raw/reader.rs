//! The cursor every parser in narthex reads through.

use std::ops::RangeInclusive;

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use super::malformed::Malformed;
use super::{crc32c, varint};

/// A cursor over borrowed bytes. It knows where in the file it stands and what it is reading; no
/// method panics.
///
/// Fixed-width integers are big-endian, as everywhere in the TSDB formats, where a method does not
/// say otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: u64,
    section: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, which stand at absolute `offset` in their file and are part of `section`.
    pub fn new(bytes: &'a [u8], offset: u64, section: &'static str) -> Self {
        Reader {
            rest: bytes,
            offset,
            section,
        }
    }

    /// Absolute offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The section named in errors.
    pub fn section(&self) -> &'static str {
        self.section
    }

    /// The same place, under another section name.
    #[must_use]
    pub fn named(self, section: &'static str) -> Self {
        Reader { section, ..self }
    }

    /// Bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Number of bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.truncated(len as u64));
        };
        self.rest = rest;
        self.offset += len as u64;
        Ok(taken)
    }

    /// The next `len` bytes as a reader of their own, under the name `section`.
    pub fn sub(&mut self, len: usize, section: &'static str) -> Result<Reader<'a>, Malformed> {
        let offset = self.offset;
        Ok(Reader::new(self.take(len)?, offset, section))
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        match self.take(1)? {
            [byte] => Ok(*byte),
            _ => Err(self.truncated(1)),
        }
    }

    /// 16 bits, big-endian.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.take(2).map(BigEndian::read_u16)
    }

    /// 32 bits, big-endian.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(BigEndian::read_u32)
    }

    /// 64 bits, big-endian.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.take(8).map(BigEndian::read_u64)
    }

    /// 32 bits, little-endian.
    #[inline]
    pub fn u32_le(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(LittleEndian::read_u32)
    }

    /// 64 bits, little-endian.
    #[inline]
    pub fn u64_le(&mut self) -> Result<u64, Malformed> {
        self.take(8).map(LittleEndian::read_u64)
    }

    /// The magic number `wanted`, in 32 bits, big-endian.
    ///
    /// # Errors
    ///
    /// When there is another one.
    pub fn magic(&mut self, wanted: u32) -> Result<(), Malformed> {
        let at = *self;
        let found = self.u32()?;
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (format!("{wanted:#010x}"), format!("{found:#010x}"));
        Err(at.unexpected("magic number", wanted, found))
    }

    /// The magic number `wanted`, in the letters of a word.
    ///
    /// # Errors
    ///
    /// When there is another one.
    pub fn magic_word(&mut self, wanted: &[u8]) -> Result<(), Malformed> {
        let at = *self;
        let found = self.take(wanted.len())?;
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (wanted.escape_ascii(), found.escape_ascii());
        Err(at.unexpected("magic number", wanted.to_string(), found))
    }

    /// A version in one byte, which must be one of `known`; `what` it is the version of, in errors.
    ///
    /// # Errors
    ///
    /// [`MalformedProblem::Unknown`](super::MalformedProblem::Unknown), when it is another one.
    pub fn version(
        &mut self,
        what: &'static str,
        known: RangeInclusive<u8>,
    ) -> Result<u8, Malformed> {
        let at = *self;
        let version = self.u8()?;
        if known.contains(&version) {
            return Ok(version);
        }
        Err(Malformed::unknown(
            at.section,
            at.offset,
            what,
            i64::from(version),
        ))
    }

    /// An unsigned LEB128 varint of up to 64 bits.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, Malformed> {
        let Some((value, len)) = varint::read_uvarint(self.rest) else {
            return Err(self.bad_varint());
        };
        self.take(len)?;
        Ok(value)
    }

    /// A zig-zag varint of up to 64 bits.
    #[inline]
    pub fn varint(&mut self) -> Result<i64, Malformed> {
        self.uvarint().map(varint::unzigzag)
    }

    /// A varint that counts things of at least `item_bytes` bytes each that follow in this reader.
    ///
    /// This bounds what a caller may reserve for them: a count that cannot fit the rest is refused
    /// here.
    pub fn count(&mut self, item_bytes: usize) -> Result<usize, Malformed> {
        let at = *self;
        let count = self.uvarint()?;
        self.fits(at, count, item_bytes)
    }

    /// Like [`Reader::count`] for a count stored as 32 bits, big-endian.
    pub fn count_u32(&mut self, item_bytes: usize) -> Result<usize, Malformed> {
        let at = *self;
        let count = u64::from(self.u32()?);
        self.fits(at, count, item_bytes)
    }

    fn fits(&self, at: Reader<'a>, count: u64, item_bytes: usize) -> Result<usize, Malformed> {
        usize::try_from(count)
            .ok()
            .filter(|count| {
                count
                    .checked_mul(item_bytes)
                    .is_some_and(|bytes| bytes <= self.remaining())
            })
            .ok_or_else(|| at.truncated(count.saturating_mul(item_bytes as u64)))
    }

    /// A length-prefixed string: bytes, not necessarily UTF-8.
    #[inline]
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.count(1)?;
        self.take(len)
    }

    /// Bytes `content`, already taken, followed by their CRC-32C here.
    pub fn checksum_of(&mut self, content: &[u8]) -> Result<(), Malformed> {
        let at = *self;
        let stored = self.u32()?;
        let computed = crc32c(content);
        if stored == computed {
            return Ok(());
        }
        Err(Malformed::checksum(at.section, at.offset, stored, computed))
    }

    /// An error at this place: a value the format does not allow.
    #[cold]
    pub fn unexpected(
        &self,
        what: &'static str,
        wanted: impl Into<std::borrow::Cow<'static, str>>,
        found: impl std::fmt::Display,
    ) -> Malformed {
        Malformed::unexpected(self.section, self.offset, what, wanted, found)
    }

    #[cold]
    fn truncated(&self, wanted: u64) -> Malformed {
        Malformed::truncated(self.section, self.offset, wanted, self.rest.len() as u64)
    }

    #[cold]
    fn bad_varint(&self) -> Malformed {
        if self.rest.len() < varint::MAX_LEN && self.rest.iter().all(|byte| *byte >= 0x80) {
            self.truncated(self.rest.len() as u64 + 1)
        } else {
            self.unexpected("varint", "of at most 64 bits", "a longer one")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::MalformedProblem;
    use super::*;

    #[test]
    fn errors_name_section_and_absolute_offset() {
        let mut reader = Reader::new(&[0, 0, 1], 100, "postings");
        assert_eq!(reader.u16(), Ok(0));
        assert_eq!(
            reader.u32().unwrap_err().to_string(),
            "postings at offset 102: expected 4 more bytes, found 1"
        );
        assert_eq!(reader.u8(), Ok(1), "a failed read takes nothing");
    }

    #[test]
    fn magic_numbers_and_versions_are_told_where_they_stand() {
        let mut reader = Reader::new(b"\xba\xaa\xd7\x00narthexP\x04", 7, "header");
        let mut wrong = reader;
        assert_eq!(
            wrong.magic(0x85bd_40dd).unwrap_err().to_string(),
            "header at offset 7: expected magic number 0x85bd40dd, found 0xbaaad700"
        );
        assert_eq!(reader.magic(0xbaaa_d700), Ok(()));
        wrong = reader;
        assert_eq!(
            wrong.magic_word(b"narthexS").unwrap_err().to_string(),
            "header at offset 11: expected magic number narthexS, found narthexP"
        );
        assert_eq!(reader.magic_word(b"narthexP"), Ok(()));
        wrong = reader;
        assert_eq!(
            wrong.version("version", 1..=3),
            Err(Malformed::unknown("header", 19, "version", 4))
        );
        assert_eq!(reader.version("version", 4..=4), Ok(4));
        assert!(reader.is_empty());
    }

    #[test]
    fn little_endian_words_are_read_as_such() {
        let mut reader = Reader::new(&[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1], 0, "x");
        assert_eq!(reader.u32_le(), Ok(1));
        assert_eq!(reader.u64_le(), Ok(2 | 1 << 56));
        assert!(reader.u32_le().is_err());
    }

    #[test]
    fn a_count_that_cannot_fit_is_refused_before_anything_is_reserved() {
        let mut reader = Reader::new(&[0xff, 0xff, 0x03, 1, 2], 0, "series");
        assert!(reader.count(2).is_err());
    }

    #[test]
    fn a_varint_cut_off_is_truncated_and_one_too_long_is_not() {
        let cut = Reader::new(&[0x80, 0x80], 0, "x").uvarint().unwrap_err();
        assert!(matches!(cut.problem, MalformedProblem::Truncated { .. }));
        let long = Reader::new(&[0x80; 12], 0, "x").uvarint().unwrap_err();
        assert!(matches!(long.problem, MalformedProblem::Unexpected { .. }));
    }
}
