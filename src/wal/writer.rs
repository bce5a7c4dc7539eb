//! For tests: writes segments as Prometheus does (`WL.log` in `tsdb/wlog/wlog.go`).

use super::compression::Compression;
use super::page::PAGE_BYTES;
use crate::raw::crc32c;

/// The bytes of a segment that is being written.
#[derive(Default)]
pub(crate) struct SegmentWriter {
    pub(crate) bytes: Vec<u8>,
}

impl SegmentWriter {
    /// A segment with these uncompressed records, not padded.
    pub(crate) fn with<'r>(records: impl IntoIterator<Item = &'r [u8]>) -> Vec<u8> {
        let mut writer = SegmentWriter::default();
        for record in records {
            writer.log(record, Compression::None);
        }
        writer.bytes
    }

    pub(crate) fn log(&mut self, record: &[u8], compression: Compression) {
        let (flag, stored) = match compression {
            Compression::None => (0, record.to_vec()),
            Compression::Snappy => (
                0x08,
                snap::raw::Encoder::new().compress_vec(record).unwrap(),
            ),
            Compression::Zstd => (0x10, zstd::bulk::compress(record, 3).unwrap()),
        };
        let mut rest = &stored[..];
        let mut first = true;
        while first || !rest.is_empty() {
            if self.left_in_page() < 7 {
                self.pad();
            }
            let (part, after) = rest.split_at(rest.len().min(self.left_in_page() - 7));
            let position = match (first, after.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.fragment(position | flag, part);
            rest = after;
            first = false;
        }
    }

    /// One fragment with whatever type byte.
    pub(crate) fn fragment(&mut self, kind: u8, payload: &[u8]) {
        self.bytes.push(kind);
        let len = u16::try_from(payload.len()).unwrap();
        self.bytes.extend(len.to_be_bytes());
        self.bytes.extend(crc32c(payload).to_be_bytes());
        self.bytes.extend(payload);
    }

    /// Fills the page with zeros.
    pub(crate) fn pad(&mut self) {
        let end = self.bytes.len().next_multiple_of(Self::page());
        self.bytes.resize(end, 0);
    }

    fn left_in_page(&self) -> usize {
        Self::page() - self.bytes.len() % Self::page()
    }

    fn page() -> usize {
        usize::try_from(PAGE_BYTES).unwrap()
    }
}
