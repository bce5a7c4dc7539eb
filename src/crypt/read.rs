//! Decrypting ranges of a stored object.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use age::Decryptor;
use age_core::format::FileKey;

use super::envelope::{Envelope, Fetch, fetch_exactly, slice, spoiled};
use super::identity::Identities;
use super::layout::CHUNK;
use super::unwrap::{Known, unwrap_key};
use super::window::Window;
use crate::error::{Error, Result};

/// The whole plaintext of an object that is in memory as it is stored.
///
/// # Errors
///
/// As [`Envelope::read`] and [`RangeReader::new`].
pub fn decrypt(stored: &[u8], identities: &Identities) -> Result<Vec<u8>> {
    let envelope = Envelope::parse(stored, stored.len() as u64)?;
    let key = unwrap_key(&envelope, identities)?;
    let span = envelope.layout().header()..envelope.layout().stored();
    let chunks = slice(stored, &span).unwrap_or_default();
    decrypt_range(&envelope, &key, chunks, 0..envelope.plain_size())
}

/// Decrypts ranges of one object: knows its key, its sizes, and its last chunk. It is to be kept
/// for as long as the object is read: what it knows is not asked for again.
pub struct RangeReader {
    envelope: Envelope,
    key: FileKey,
    /// Where the plaintext of the last chunk begins, and it.
    last: (u64, Vec<u8>),
}

impl RangeReader {
    /// Finds the key of the object, and proves by its last chunk that nothing was cut off. `first`
    /// is what [`Envelope::read`] has read; if the last chunk is not in it, that is fetched: it is
    /// also what most formats are read by first.
    ///
    /// # Errors
    ///
    /// `Refused`, when it is encrypted to others than `identities`; `Corrupt`, when header or last
    /// chunk are not what was encrypted, or another chunk is the last; what `fetch` says.
    pub fn new(
        envelope: Envelope,
        first: &[u8],
        identities: &Identities,
        fetch: Fetch<'_>,
    ) -> Result<Self> {
        let key = unwrap_key(&envelope, identities)?;
        let (begin, span) = envelope.layout().last();
        let fetched;
        let chunk = if let Some(chunk) = slice(first, &span) {
            chunk
        } else {
            fetched = fetch_exactly(span, fetch)?;
            &fetched
        };
        let plain = decrypt_range(&envelope, &key, chunk, begin..envelope.plain_size())?;
        Ok(RangeReader {
            envelope,
            key,
            last: (begin, plain),
        })
    }

    /// Bytes of the plaintext.
    pub fn plain_size(&self) -> u64 {
        self.envelope.plain_size()
    }

    /// Bytes of the object as it is stored.
    pub fn stored_size(&self) -> u64 {
        self.envelope.stored_size()
    }

    /// The plaintext in `range`. Fetches the chunks that hold it in one read, or nothing, if that
    /// is the last chunk.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when the plaintext ends before the range does, or a chunk is not what was
    /// encrypted; what `fetch` says.
    pub fn read(&self, range: Range<u64>, fetch: Fetch<'_>) -> Result<Vec<u8>> {
        let plain = self.plain_size();
        if range.start > range.end || range.end > plain {
            return Err(Error::corrupt(format!(
                "expected an object to hold bytes {} to {}, found {plain} bytes",
                range.start, range.end
            )));
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (begin, last) = &self.last;
        if let Some(start) = range.start.checked_sub(*begin) {
            let end = range.end.saturating_sub(*begin);
            let known = slice(last, &(start..end)).unwrap_or_default();
            return Ok(known.to_vec());
        }
        let chunks = fetch_exactly(self.envelope.layout().span(&range), fetch)?;
        decrypt_range(&self.envelope, &self.key, &chunks, range)
    }
}

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = (self.plain_size(), self.stored_size());
        f.debug_tuple("RangeReader").field(&sizes).finish()
    }
}

/// The plaintext in `range`, which is not beyond the end, of `chunks`, which hold it.
fn decrypt_range(
    envelope: &Envelope,
    key: &FileKey,
    chunks: &[u8],
    range: Range<u64>,
) -> Result<Vec<u8>> {
    let layout = envelope.layout();
    let whole = range.end == layout.plain();
    let begin = if range.is_empty() {
        layout.header()
    } else {
        layout.span(&range).start
    };
    let window = Window::new(envelope.header(), begin, chunks, layout.stored());
    let known = Known(key);
    let decryptor = Decryptor::new_buffered(window).map_err(spoiled)?;
    let mut stream = decryptor
        .decrypt([&known as &dyn age::Identity].into_iter())
        .map_err(spoiled)?;
    let length = usize::try_from(range.end.saturating_sub(range.start));
    let mut plain = vec![0; length.map_err(|_| Error::invalid("a range beyond all memory"))?];
    let mut read = || {
        if range.start.is_multiple_of(CHUNK) && range.start > 0 {
            // At the first byte of a chunk the stream would look for the last chunk, which is not
            // in the window. From the second byte on it only goes back.
            stream.seek(SeekFrom::Start(range.start.saturating_add(1)))?;
        }
        stream.seek(SeekFrom::Start(range.start))?;
        stream.read_exact(&mut plain)?;
        // Only what comes behind says that the last chunk is the last.
        if whole && stream.read(&mut [0])? != 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    };
    read().map_err(|e: io::Error| {
        Error::corrupt(
            "an encrypted object was changed since it was encrypted, was cut off, or is another's",
        )
        .with_source(e)
    })?;
    Ok(plain)
}
