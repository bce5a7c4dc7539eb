//! Records of one segment: fragments joined and decompressed.

use super::compression::{Compression, decompress};
use super::oddity::{Oddities, Oddity};
use super::page::{Fragment, Fragments, Position};
use crate::raw::{Malformed, Reader};

/// Why no further record can be read from a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The segment ends inside a record: its writer was interrupted, or still writes. In the last segment of a
    /// live or crashed server this is normal.
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

/// One record, decompressed but not yet decoded. Lent until the next one is read.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'b> {
    /// Offset of its first fragment in the segment, in bytes.
    pub offset: u64,
    /// How it is stored.
    pub compression: Compression,
    /// Type byte and content.
    pub payload: &'b [u8],
}

/// Reads the records of one segment in order.
///
/// A segment that ends in the middle of a page counts as padded with zeros, as Prometheus reads it. After an error
/// there are no more records.
#[derive(Debug)]
pub struct Records<'a> {
    fragments: Fragments<'a>,
    /// The fragments of a record that has several.
    joined: Vec<u8>,
    decompressed: Vec<u8>,
    whole_until: u64,
    fused: bool,
}

/// What is known of a record when its last fragment has been read.
struct Joined<'a> {
    offset: u64,
    compression: Compression,
    /// Its stored bytes, when they are one piece of the segment; else they are in [`Records::joined`].
    piece: Option<&'a [u8]>,
}

impl<'a> Records<'a> {
    /// Reads `segment`, the content of a segment file.
    pub fn new(segment: &'a [u8]) -> Self {
        Records {
            fragments: Fragments::new(segment),
            joined: Vec::new(),
            decompressed: Vec::new(),
            whole_until: 0,
            fused: false,
        }
    }

    /// Offset of the end of the last record that was read whole: where Prometheus cuts when the next is broken.
    pub fn whole_until(&self) -> u64 {
        self.whole_until
    }

    /// What was unusual in the framing so far.
    pub fn oddities(&self) -> &Oddities {
        &self.fragments.oddities
    }

    /// The next record; nothing at the end of the segment.
    ///
    /// # Errors
    ///
    /// When the segment is torn or damaged here. From then on the answer is that there are no more records.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_>>, Broken> {
        if self.fused {
            return Ok(None);
        }
        self.fused = true;
        let Some(record) = self.join()? else {
            return Ok(None);
        };
        let Joined {
            offset,
            compression,
            piece,
        } = record;
        let stored = piece.unwrap_or(&self.joined);
        let payload = decompress(compression, stored, offset, &mut self.decompressed)
            .map_err(Broken::Damaged)?;
        self.whole_until = self.fragments.offset();
        self.fused = false;
        Ok(Some(RawRecord {
            offset,
            compression,
            payload,
        }))
    }

    /// Collects the fragments of the next record.
    fn join(&mut self) -> Result<Option<Joined<'a>>, Broken> {
        self.joined.clear();
        let mut first: Option<Fragment<'a>> = None;
        while let Some(fragment) = self.fragments.next_fragment()? {
            if fragment.position.starts() == first.is_some() {
                return Err(out_of_order(&fragment, first.is_some()));
            }
            let begin = *first.get_or_insert(fragment);
            self.note_compression(&begin, &fragment);
            if fragment.position != Position::Full {
                self.joined.extend_from_slice(fragment.payload);
            }
            if fragment.position.ends() {
                return Ok(Some(Joined {
                    offset: begin.offset,
                    compression: compression_of(&fragment),
                    piece: (fragment.position == Position::Full).then_some(fragment.payload),
                }));
            }
        }
        match first {
            None => Ok(None),
            Some(begin) => Err(Broken::Torn(Malformed::unexpected(
                "WAL record",
                begin.offset,
                "record",
                "with a last fragment",
                "the end of the segment",
            ))),
        }
    }

    fn note_compression(&mut self, begin: &Fragment<'_>, fragment: &Fragment<'_>) {
        let mixed = (begin.snappy, begin.zstd) != (fragment.snappy, fragment.zstd);
        if mixed || (fragment.snappy && fragment.zstd) {
            self.fragments
                .oddities
                .note(Oddity::MixedCompression, fragment.offset);
        }
    }
}

/// Prometheus heeds the flags of the last fragment, and snappy's before zstd's.
fn compression_of(last: &Fragment<'_>) -> Compression {
    match (last.snappy, last.zstd) {
        (true, _) => Compression::Snappy,
        (false, true) => Compression::Zstd,
        (false, false) => Compression::None,
    }
}

#[cold]
fn out_of_order(fragment: &Fragment<'_>, inside: bool) -> Broken {
    let wanted = if inside {
        "middle or last, as a record is open"
    } else {
        "full or first, as no record is open"
    };
    let found = match fragment.position {
        Position::Full => "full",
        Position::First => "first",
        Position::Middle => "middle",
        Position::Last => "last",
    };
    let at = Reader::new(&[], fragment.offset, "WAL fragment");
    Broken::Damaged(at.unexpected("type", wanted, found))
}
