//! Pages and fragments: the framing below records.

use super::oddity::{Oddities, Oddity};
use crate::raw::{Malformed, MalformedProblem, Reader};

/// Size of a page. A fragment does not reach beyond the page it starts in; what is left of a page
/// is zero.
pub const PAGE_BYTES: u64 = 32 * 1024;

/// Type byte, 16-bit length, CRC-32C.
const HEADER_BYTES: usize = 7;

const SECTION: &str = "WAL fragment";

const POSITION_BITS: u8 = 0x07;
const SNAPPY_BIT: u8 = 0x08;
const ZSTD_BIT: u8 = 0x10;
const RESERVED_BITS: u8 = 0xe0;

/// Which part of its record a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Full,
    First,
    Middle,
    Last,
}

impl Position {
    /// Nothing for the numbers the format leaves free. 0 is no fragment but the end of a page.
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Position::Full),
            2 => Some(Position::First),
            3 => Some(Position::Middle),
            4 => Some(Position::Last),
            _ => None,
        }
    }

    /// Whether a record starts here.
    pub(super) fn starts(self) -> bool {
        matches!(self, Position::Full | Position::First)
    }

    /// Whether a record ends here.
    pub(super) fn ends(self) -> bool {
        matches!(self, Position::Full | Position::Last)
    }
}

/// Why no further record can be read from a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The segment ends inside a record: its writer was interrupted, or still writes. In the last
    /// segment of a live or crashed server this is normal: the next start drops the torn record
    /// (and replays the WBL only at the start after that).
    #[error("{0}")]
    Torn(Malformed),
    /// The bytes are not what was written.
    #[error("{0}")]
    Damaged(Malformed),
}

impl Broken {
    /// What is wrong, and where.
    pub fn malformed(&self) -> &Malformed {
        match self {
            Broken::Torn(malformed) | Broken::Damaged(malformed) => malformed,
        }
    }
}

/// A part of a record, its checksum proven.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    /// Offset of the type byte in the segment.
    pub(super) offset: u64,
    pub(super) position: Position,
    /// The record is compressed with snappy; goes before `zstd`.
    pub(super) snappy: bool,
    pub(super) zstd: bool,
    pub(super) payload: &'a [u8],
    /// How many zeros belong behind that: a segment that ends inside a page counts as if zeros
    /// filled it.
    pub(super) zeros: usize,
    /// Whether any of header and payload are such zeros.
    pub(super) is_padded: bool,
}

/// The fragments of one segment.
#[derive(Debug)]
pub(super) struct Fragments<'a> {
    reader: Reader<'a>,
    pub(super) oddities: Oddities,
}

impl<'a> Fragments<'a> {
    pub(super) fn new(segment: &'a [u8]) -> Self {
        Fragments {
            reader: Reader::new(segment, 0, SECTION),
            oddities: Oddities::default(),
        }
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// The next fragment; nothing at the end of the segment.
    pub(super) fn next_fragment(&mut self) -> Result<Option<Fragment<'a>>, Broken> {
        while !self.reader.is_empty() {
            let start = self.reader;
            let kind = self.reader.u8().map_err(Broken::Torn)?;
            if kind & RESERVED_BITS != 0 {
                self.oddities.note(Oddity::ReservedBits, start.offset());
            }
            if kind & POSITION_BITS == 0 {
                if kind & (SNAPPY_BIT | ZSTD_BIT) != 0 {
                    self.oddities.note(Oddity::ReservedBits, start.offset());
                }
                self.skip_padding()?;
            } else {
                return self.fragment(start, kind).map(Some);
            }
        }
        Ok(None)
    }

    /// Passes over the rest of a page, which must be zero.
    fn skip_padding(&mut self) -> Result<(), Broken> {
        let in_page = self.reader.offset() % PAGE_BYTES;
        if in_page == 0 {
            return Ok(());
        }
        let start = self.reader.offset();
        let rest = usize::try_from(PAGE_BYTES - in_page).unwrap_or(usize::MAX);
        let len = rest.min(self.reader.remaining());
        let padding = self.reader.take(len).map_err(Broken::Torn)?;
        match padding.iter().position(|byte| *byte != 0) {
            None => Ok(()),
            Some(at) => Err(Broken::Damaged(Malformed::unexpected(
                "WAL page padding",
                start + at as u64,
                "byte",
                "0",
                "another value",
            ))),
        }
    }

    /// The fragment at `start`, of which the type byte `kind` has been read.
    fn fragment(&mut self, start: Reader<'a>, kind: u8) -> Result<Fragment<'a>, Broken> {
        let is_header_whole = self.reader.remaining() >= HEADER_BYTES - 1;
        let (payload, zeros) = self.payload(start)?;
        let Some(position) = Position::from_bits(kind & POSITION_BITS) else {
            let bits = kind & POSITION_BITS;
            return Err(Broken::Damaged(start.unexpected(
                "type",
                "from 0 to 4",
                bits,
            )));
        };
        Ok(Fragment {
            offset: start.offset(),
            position,
            snappy: kind & SNAPPY_BIT != 0,
            zstd: kind & ZSTD_BIT != 0,
            payload,
            zeros,
            is_padded: zeros > 0 || !is_header_whole,
        })
    }

    /// What stands behind the type byte of the fragment at `start`, and how many zeros behind that.
    fn payload(&mut self, start: Reader<'a>) -> Result<(&'a [u8], usize), Broken> {
        let (len, stored) = self.length_and_checksum(start)?;
        let max = usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX) - HEADER_BYTES;
        if len > max {
            let wanted = format!("of at most {max} bytes");
            return Err(Broken::Damaged(start.unexpected("length", wanted, len)));
        }
        let in_page = start.offset() % PAGE_BYTES + (HEADER_BYTES + len) as u64;
        let payload = match self.reader.take(len) {
            Ok(payload) => payload,
            // A write that was cut short ends inside the page. A length that points beyond the page
            // was never written that way.
            Err(_) if in_page > PAGE_BYTES => {
                let wanted = "that ends inside its page";
                return Err(Broken::Damaged(start.unexpected("length", wanted, len)));
            }
            Err(truncated) => {
                return self.padded(len, stored).ok_or(Broken::Torn(truncated));
            }
        };
        let computed = crate::raw::crc32c(payload);
        if stored != computed {
            return Err(Broken::Damaged(Malformed {
                section: SECTION,
                offset: start.offset(),
                problem: MalformedProblem::Checksum { stored, computed },
            }));
        }
        Ok((payload, 0))
    }

    /// The rest of the header of the fragment at `start`, as far as it is there.
    fn length_and_checksum(&mut self, start: Reader<'a>) -> Result<(usize, u32), Broken> {
        let mut header = [0; HEADER_BYTES - 1];
        let rest = self.reader.rest();
        let there = rest.len().min(header.len());
        if there < header.len() && start.offset() % PAGE_BYTES + HEADER_BYTES as u64 > PAGE_BYTES {
            let truncated = self.reader.take(header.len()).map(drop);
            return Err(truncated.map_or_else(Broken::Torn, |()| {
                Broken::Damaged(start.unexpected("header", "in one page", "its end"))
            }));
        }
        let found = self.reader.take(there).map_err(Broken::Torn)?;
        header
            .iter_mut()
            .zip(found)
            .for_each(|(byte, found)| *byte = *found);
        let [high, low, checksum @ ..] = header;
        Ok((
            usize::from(u16::from_be_bytes([high, low])),
            u32::from_be_bytes(checksum),
        ))
    }

    /// The rest of the segment as the beginning of a payload of `len` bytes, if zeros behind it
    /// make one with that checksum.
    fn padded(&mut self, len: usize, stored: u32) -> Option<(&'a [u8], usize)> {
        let rest = self.reader.rest();
        let mut whole = rest.to_vec();
        whole.resize(len, 0);
        if crate::raw::crc32c(&whole) != stored {
            return None;
        }
        self.reader.take(rest.len()).ok()?;
        Some((rest, len - rest.len()))
    }
}
