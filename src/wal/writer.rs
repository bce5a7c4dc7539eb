//! For tests: writes segments as Prometheus does.

use super::compression::Compression;
use super::frame::Framer;
use super::page::PAGE_BYTES;

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
        let mut framer = self.framer();
        if !framer.frame(record, compression, &mut self.bytes) {
            let stored = zstd::bulk::compress(record, 3).unwrap();
            framer.frame_stored(&stored, 0x10, &mut self.bytes);
        }
    }

    /// One fragment with whatever type byte.
    pub(crate) fn fragment(&mut self, kind: u8, payload: &[u8]) {
        self.framer().fragment(kind, payload, &mut self.bytes);
    }

    /// Fills the page with zeros.
    pub(crate) fn pad(&mut self) {
        let page = usize::try_from(PAGE_BYTES).unwrap();
        let end = self.bytes.len().next_multiple_of(page);
        self.bytes.resize(end, 0);
    }

    fn framer(&self) -> Framer {
        Framer::at(self.bytes.len() as u64)
    }
}
