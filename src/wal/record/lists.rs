//! Types 3 and 5: tombstones and the markers of the WBL, plain lists of fixed fields.

use std::fmt;

use super::{Decode, HeadSeriesRef};
use crate::model::Millis;
use crate::raw::{Malformed, Reader};

/// A deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TombstoneEntry {
    /// The series.
    pub series: HeadSeriesRef,
    /// First time that is deleted.
    pub min_time: Millis,
    /// Last time that is deleted.
    pub max_time: Millis,
}

/// Decodes tombstones.
#[derive(Clone, Debug)]
pub struct LoggedTombstones;

impl Decode<'_> for LoggedTombstones {
    type Entry = TombstoneEntry;

    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<TombstoneEntry, Malformed> {
        Ok(TombstoneEntry {
            series: HeadSeriesRef(reader.u64()?),
            min_time: reader.varint()?,
            max_time: reader.varint()?,
        })
    }
}

/// Where a chunk stands in `chunks_head`: file number, counted from 1, in the high 32 bits, offset
/// in the low 32. 0 is no chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeadChunkRef(pub u64);

impl HeadChunkRef {
    /// Number in the name of the file.
    pub fn file(self) -> u64 {
        self.0 >> 32
    }

    /// Offset of the chunk in its file, in bytes.
    pub fn offset(self) -> u64 {
        self.0 & 0xffff_ffff
    }
}

impl fmt::Display for HeadChunkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}:{}", self.file(), self.offset())
    }
}

/// Says that everything logged so far for a series is in a head chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerEntry {
    /// The series.
    pub series: HeadSeriesRef,
    /// The chunk.
    pub chunk: HeadChunkRef,
}

/// Decodes markers.
#[derive(Clone, Debug)]
pub struct Markers;

impl Decode<'_> for Markers {
    type Entry = MarkerEntry;

    fn decode(&mut self, reader: &mut Reader<'_>) -> Result<MarkerEntry, Malformed> {
        Ok(MarkerEntry {
            series: HeadSeriesRef(reader.u64()?),
            chunk: HeadChunkRef(reader.u64()?),
        })
    }
}
