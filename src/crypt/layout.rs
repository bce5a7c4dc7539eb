//! Where in an age file what lies: sizes and places follow from the lengths of the file and of its
//! header.

use std::ops::Range;

use crate::error::{Error, Result};

/// Bytes of plaintext in a chunk; only the last chunk may have fewer.
pub const CHUNK: u64 = 64 << 10;

/// What a chunk is longer by when it is encrypted, in bytes.
pub const TAG: u64 = 16;

/// A chunk, encrypted.
const STORED_CHUNK: u64 = CHUNK + TAG;

/// Sizes and places in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkLayout {
    /// Where the first chunk begins: header and nonce come first.
    header: u64,
    /// Bytes of the whole file.
    stored: u64,
    chunks: u64,
}

impl ChunkLayout {
    /// The layout of a file of `stored` bytes whose chunks begin at `header`.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when no file has that size.
    pub(super) fn new(header: u64, stored: u64) -> Result<Self> {
        let chunks = stored.saturating_sub(header).div_ceil(STORED_CHUNK);
        let layout = ChunkLayout {
            header,
            stored,
            chunks,
        };
        let last = stored.saturating_sub(layout.begin(chunks.saturating_sub(1)));
        // A last chunk without plaintext is there in the empty file alone.
        let least = if chunks == 1 { TAG } else { TAG + 1 };
        if stored < header || last < least {
            return Err(Error::corrupt(format!(
                "expected an encrypted object of whole chunks, found one of {stored} bytes: cut off"
            )));
        }
        Ok(layout)
    }

    /// Bytes of the plaintext.
    pub(super) fn plain(&self) -> u64 {
        self.stored
            .saturating_sub(self.header)
            .saturating_sub(self.chunks.saturating_mul(TAG))
    }

    /// Bytes of the file.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Where the first chunk begins.
    pub(super) fn header(&self) -> u64 {
        self.header
    }

    /// Where chunk `number` begins.
    fn begin(&self, number: u64) -> u64 {
        number
            .saturating_mul(STORED_CHUNK)
            .saturating_add(self.header)
    }

    /// The bytes of the file that hold the plaintext `range`: whole chunks. An empty range needs
    /// none.
    pub(super) fn span(&self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return self.header..self.header;
        }
        let begin = self.begin(range.start / CHUNK);
        let end = self.begin(range.end.div_ceil(CHUNK)).min(self.stored);
        begin..end
    }

    /// Where the plaintext of the last chunk begins, and the bytes of the file that hold it.
    pub(super) fn last(&self) -> (u64, Range<u64>) {
        let last = self.chunks.saturating_sub(1);
        (last.saturating_mul(CHUNK), self.begin(last)..self.stored)
    }
}

/// Most bytes that `plain` bytes take when they are encrypted, behind a header of `header` bytes.
pub(super) fn stored_bytes(plain: u64, header: u64) -> u64 {
    let tags = plain.div_ceil(CHUNK).max(1).saturating_mul(TAG);
    plain.saturating_add(tags).saturating_add(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u64; 9] = [
        0,
        1,
        CHUNK - 1,
        CHUNK,
        CHUNK + 1,
        2 * CHUNK - 1,
        2 * CHUNK,
        2 * CHUNK + 1,
        1 << 40,
    ];

    #[test]
    fn sizes_are_told_from_one_another() {
        for plain in EDGES {
            let stored = stored_bytes(plain, 200);
            assert_eq!(ChunkLayout::new(200, stored).unwrap().plain(), plain);
        }
    }

    #[test]
    fn no_plaintext_has_the_sizes_between() {
        // Neither a part of a tag, nor a second chunk that holds nothing.
        for stored in [0, 199, 200, 215] {
            assert!(ChunkLayout::new(200, stored).is_err(), "{stored}");
        }
        for rest in 1..=TAG {
            let stored = 200 + STORED_CHUNK + rest;
            assert!(ChunkLayout::new(200, stored).is_err(), "{rest}");
        }
        assert!(ChunkLayout::new(u64::MAX, u64::MAX).is_err());
        assert!(ChunkLayout::new(0, u64::MAX).is_ok_and(|layout| layout.plain() > 0));
    }

    #[test]
    fn a_range_needs_the_chunks_it_touches() {
        let layout = ChunkLayout::new(200, stored_bytes(3 * CHUNK + 5, 200)).unwrap();
        let chunk = |number: u64| 200 + number * STORED_CHUNK;
        let end = layout.stored();
        for (range, span) in [
            (0..1, 0..1),
            (0..CHUNK, 0..1),
            (CHUNK - 1..CHUNK + 1, 0..2),
            (CHUNK..2 * CHUNK, 1..2),
            (CHUNK + 1..2 * CHUNK + 1, 1..3),
        ] {
            assert_eq!(layout.span(&range), chunk(span.start)..chunk(span.end));
        }
        assert_eq!(layout.span(&(3 * CHUNK..3 * CHUNK + 5)), chunk(3)..end);
        assert_eq!(layout.span(&(0..3 * CHUNK + 5)), 200..end);
        assert!(layout.span(&(7..7)).is_empty());
        assert_eq!(layout.last(), (3 * CHUNK, chunk(3)..end));
    }
}
