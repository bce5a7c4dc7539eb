//! Records cut into the pages of a segment, as Prometheus does it (`WL.log` in
//! `tsdb/wlog/wlog.go`).

use super::compression::Compression;
use super::page::PAGE_BYTES;
use crate::raw::crc32c;

/// Type byte, 16-bit length, CRC-32C.
const HEADER_BYTES: usize = 7;

/// Frames the records of one segment, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Framer {
    /// Bytes of the page that is being filled which are taken.
    taken: usize,
    compressed: Vec<u8>,
}

impl Framer {
    /// One that goes on at `offset` of a segment, in bytes.
    pub(crate) fn at(offset: u64) -> Self {
        Framer {
            taken: usize::try_from(offset % PAGE_BYTES).unwrap_or_default(),
            compressed: Vec::new(),
        }
    }

    /// Zeros that come before the next record, so that its header is in one page.
    pub(crate) fn padding(&self) -> usize {
        let left = page() - self.taken;
        if left < HEADER_BYTES { left } else { 0 }
    }

    /// Goes on so many bytes later: something else stands there.
    pub(crate) fn skip(&mut self, bytes: u64) {
        let bytes = usize::try_from(bytes % PAGE_BYTES).unwrap_or_default();
        self.taken = (self.taken + bytes) % page();
    }

    /// Appends `record`, compressed as `compression` says, to `out`, which is what the segment goes
    /// on with. `false`, and nothing is appended, where that is not possible: what zstd makes of a
    /// record depends on who wrote it.
    pub(crate) fn frame(
        &mut self,
        record: &[u8],
        compression: Compression,
        out: &mut Vec<u8>,
    ) -> bool {
        match compression {
            Compression::None => {
                self.frame_stored(record, 0, out);
                true
            }
            Compression::Snappy => {
                let mut compressed = std::mem::take(&mut self.compressed);
                compressed.resize(snap::raw::max_compress_len(record.len()), 0);
                let made = snap::raw::Encoder::new().compress(record, &mut compressed);
                let stored = made.ok().and_then(|len| compressed.get(..len));
                if let Some(stored) = stored {
                    self.frame_stored(stored, 0x08, out);
                }
                let is_made = stored.is_some();
                self.compressed = compressed;
                is_made
            }
            Compression::Zstd => false,
        }
    }

    /// Appends a record that is stored as these bytes, with `flag` in all its headers.
    pub(crate) fn frame_stored(&mut self, stored: &[u8], flag: u8, out: &mut Vec<u8>) {
        let mut rest = stored;
        let mut is_first = true;
        while is_first || !rest.is_empty() {
            let padding = self.padding();
            out.resize(out.len() + padding, 0);
            self.skip(padding as u64);
            let room = page() - self.taken - HEADER_BYTES;
            let (part, after) = rest.split_at(rest.len().min(room));
            let position = match (is_first, after.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.fragment(position | flag, part, out);
            rest = after;
            is_first = false;
        }
    }

    /// Appends one fragment, whatever its type byte, which is at most as long as the page allows.
    pub(crate) fn fragment(&mut self, kind: u8, payload: &[u8], out: &mut Vec<u8>) {
        out.push(kind);
        // A page has fewer bytes than 16 bits can say.
        let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        out.extend(len.to_be_bytes());
        out.extend(crc32c(payload).to_be_bytes());
        out.extend(payload);
        self.skip((HEADER_BYTES + payload.len()) as u64);
    }
}

fn page() -> usize {
    usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX)
}
