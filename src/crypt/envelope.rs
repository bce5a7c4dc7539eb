//! What an encrypted object begins with.

use std::ops::Range;

use age::{DecryptError, Decryptor};

use super::layout::{CHUNK, ChunkLayout};
use super::window::{NONCE, Window};
use crate::error::{Error, ErrorKind, Result};

/// Longest header that is read, in bytes, with the nonce behind it: what is read first of an object
/// holds it.
pub const MAX_HEADER: u64 = 16 << 10;

/// An object of at most so many stored bytes is read in one go.
const SMALL: u64 = MAX_HEADER + CHUNK;

/// How every age file begins, whatever its version.
const ANY_MAGIC: &[u8] = b"age-encryption.org/";

/// How one of version 1 begins.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// How the last line of a header begins.
const LAST_LINE: &[u8] = b"--- ";

/// Reads ranges of the stored bytes of an object.
pub type Fetch<'a> = &'a dyn Fn(Range<u64>) -> Result<Vec<u8>>;

/// What can be told of an encrypted object without any key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The header and the nonce behind it.
    header: Vec<u8>,
    layout: ChunkLayout,
}

impl Envelope {
    /// Reads the header of an object of `stored` bytes, in one read; an object of up to 80 KiB is
    /// read whole. Gives back what was read, too, which
    /// [`RangeReader::new`](super::RangeReader::new) makes use of.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when it is no age file, or one that was cut off; `Unsupported`, when it is one of
    /// another version or has a header of more than [`MAX_HEADER`] bytes; what `fetch` says.
    pub fn read(stored: u64, fetch: Fetch<'_>) -> Result<(Self, Vec<u8>)> {
        let wanted = if stored <= SMALL { stored } else { MAX_HEADER };
        let first = fetch_exactly(0..wanted, fetch)?;
        let envelope = Self::parse(&first, stored)?;
        Ok((envelope, first))
    }

    /// The same of the first bytes of an object of `stored` bytes.
    pub fn parse(first: &[u8], stored: u64) -> Result<Self> {
        let header = find_header(first, stored)?.to_vec();
        Decryptor::new_buffered(Window::header(&header)).map_err(spoiled)?;
        let layout = ChunkLayout::new(header.len() as u64, stored)?;
        Ok(Envelope { header, layout })
    }

    /// Bytes of the plaintext, if nobody has changed anything: only
    /// [`RangeReader::new`](super::RangeReader::new) proves it.
    pub fn plain_size(&self) -> u64 {
        self.layout.plain()
    }

    /// Bytes of the object as it is stored.
    pub fn stored_size(&self) -> u64 {
        self.layout.stored()
    }
}

impl Envelope {
    pub(super) fn layout(&self) -> &ChunkLayout {
        &self.layout
    }

    /// Header and nonce.
    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }
}

/// Header and nonce, which are what an age file begins with; `first` are its first bytes, `stored`
/// is how many it has.
fn find_header(first: &[u8], stored: u64) -> Result<&[u8]> {
    if !first.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(first) {
            cut_off()
        } else if first.starts_with(ANY_MAGIC) {
            Error::unsupported("expected an age file of version 1, found another version")
        } else {
            Error::corrupt("expected an encrypted object (age), found something else")
        });
    }
    let limit = usize::try_from(MAX_HEADER).unwrap_or(usize::MAX);
    let begin = first.get(..limit.saturating_sub(NONCE)).unwrap_or(first);
    let mut lines = begin.split_inclusive(|byte| *byte == b'\n');
    let mut length = 0_usize;
    let ended = lines.any(|line| {
        length = length.saturating_add(line.len());
        line.starts_with(LAST_LINE) && line.ends_with(b"\n")
    });
    let header = first.get(..length.saturating_add(NONCE));
    match header.filter(|_| ended) {
        Some(header) => Ok(header),
        None if !ended && stored > MAX_HEADER => Err(Error::unsupported(format!(
            "expected the header of an encrypted object within {MAX_HEADER} bytes, found a longer \
             one"
        ))),
        None => Err(cut_off()),
    }
}

fn cut_off() -> Error {
    Error::corrupt("the header of an encrypted object is cut off")
}

/// Those of `bytes` that `range` says.
pub(super) fn slice<'b>(bytes: &'b [u8], range: &Range<u64>) -> Option<&'b [u8]> {
    let start = usize::try_from(range.start).ok()?;
    let end = usize::try_from(range.end).ok()?;
    bytes.get(start..end)
}

pub(super) fn fetch_exactly(range: Range<u64>, fetch: Fetch<'_>) -> Result<Vec<u8>> {
    let wanted = range.end.saturating_sub(range.start);
    let fetched = fetch(range)?;
    if fetched.len() as u64 == wanted {
        return Ok(fetched);
    }
    Err(Error::corrupt(format!(
        "expected {wanted} bytes of an encrypted object, found {}",
        fetched.len()
    )))
}

pub(super) fn spoiled(error: DecryptError) -> Error {
    let kind = match error {
        DecryptError::ExcessiveWork { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::Corrupt,
    };
    Error::new(kind, "the header of an encrypted object is damaged").with_source(error)
}
