//! Writing segment files: where each chunk goes, and the files themselves.
//!
//! Source: Prometheus `tsdb/chunks/chunks.go`, `Writer.WriteChunks`; the cutting rule is that of
//! 2.15 and later.

use std::path::PathBuf;

use super::Encoding;
use super::segment::{CRC, MAGIC, SEGMENT_HEADER, VERSION};
use crate::error::{Error, Result};
use crate::model::ChunkRef;
use crate::raw::{DurableFile, crc32c, crc32c_append, varint};

/// The size in bytes at which Prometheus begins a new segment, unless told otherwise.
pub const SEGMENT_LIMIT: u64 = 512 << 20;

/// What a chunk's length is taken to need, however short it is.
const LENGTH_ESTIMATE: u64 = 5;
const ENCODING_BYTE: u64 = 1;

/// Where the chunks of a block go: Prometheus' rule, without any file.
///
/// The chunks of a series are placed together, because the rule looks at them together.
#[derive(Clone, Debug)]
pub struct SegmentLayout {
    limit: u64,
    /// Segments begun.
    segments: u32,
    /// Bytes in the last one; 0 before the first.
    position: u64,
}

impl SegmentLayout {
    /// A layout whose segments are cut at `limit` bytes. A segment is longer only if a single chunk
    /// is.
    pub fn new(limit: u64) -> Self {
        SegmentLayout {
            limit,
            segments: 0,
            position: 0,
        }
    }

    /// Places the chunks of the next series, given the lengths of their data in bytes.
    ///
    /// # Errors
    ///
    /// When a chunk would stand beyond what a chunk reference can say, which needs a limit of 4 GiB
    /// or more.
    pub fn place(&mut self, lengths: impl IntoIterator<Item = usize>) -> Result<Vec<ChunkRef>> {
        // The rule adds up estimates from where the series began: the position reached plays no
        // part.
        let begun_at = self.position;
        let mut in_begun_segment = begun_at > SEGMENT_HEADER;
        let mut batch = 0;
        let mut references = Vec::new();
        for length in lengths {
            let length = length as u64;
            let estimate = LENGTH_ESTIMATE + ENCODING_BYTE + length + CRC as u64;
            batch += estimate;
            let cut = if in_begun_segment {
                batch + begun_at > self.limit
            } else {
                !references.is_empty() && batch + SEGMENT_HEADER > self.limit
            };
            if cut {
                in_begun_segment = false;
                batch = estimate;
            }
            if cut || self.segments == 0 {
                self.segments += 1;
                self.position = SEGMENT_HEADER;
            }
            references.push(self.here()?);
            self.position += record_len(length);
        }
        Ok(references)
    }

    fn here(&self) -> Result<ChunkRef> {
        let offset = u32::try_from(self.position).map_err(|_| {
            Error::invalid("expected a segment limit below 4 GiB, the range of chunk references")
        })?;
        Ok(ChunkRef::new(self.segments.saturating_sub(1), offset))
    }
}

/// Bytes of the record of a chunk whose data has `length` bytes.
pub fn record_len(length: u64) -> u64 {
    varint::uvarint_len(length) + ENCODING_BYTE + length + CRC as u64
}

/// Writes the segment files `000001` and so on of a new block.
#[derive(Debug)]
pub struct SegmentWriter {
    dir: PathBuf,
    layout: SegmentLayout,
    /// Files begun; the last one is open.
    files: usize,
    open: Option<DurableFile>,
}

impl SegmentWriter {
    /// Writes into the existing, empty directory `dir`; segments are cut at `limit` bytes.
    pub fn new(dir: impl Into<PathBuf>, limit: u64) -> Self {
        SegmentWriter {
            dir: dir.into(),
            layout: SegmentLayout::new(limit),
            files: 0,
            open: None,
        }
    }

    /// Writes the chunks of one series, each as encoding and data, and says where they stand.
    ///
    /// # Errors
    ///
    /// When a file cannot be created or written, or as [`SegmentLayout::place`].
    pub fn write_series<'a>(
        &mut self,
        chunks: impl Iterator<Item = (Encoding, &'a [u8])> + Clone,
    ) -> Result<Vec<ChunkRef>> {
        let lengths = chunks.clone().map(|(_, data)| data.len());
        let references = self.layout.place(lengths)?;
        let mut record = Vec::new();
        for (reference, (encoding, data)) in references.iter().zip(chunks) {
            if reference.segment() >= self.files {
                self.begin_segment()?;
            }
            if let Some(file) = &mut self.open {
                record.clear();
                put_record(&mut record, encoding, data);
                file.append(&record)?;
            }
        }
        Ok(references)
    }

    /// Waits until all segments are on the disk. Their names are after a sync of the directory.
    ///
    /// # Errors
    ///
    /// When a file cannot be written or synced.
    pub fn finish(mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), DurableFile::finish)
    }

    fn begin_segment(&mut self) -> Result<()> {
        self.open.take().map_or(Ok(()), DurableFile::finish)?;
        self.files += 1;
        let mut file = DurableFile::create(self.dir.join(format!("{:06}", self.files)))?;
        file.append(&MAGIC.to_be_bytes())?;
        file.append(&[VERSION, 0, 0, 0])?;
        self.open = Some(file);
        Ok(())
    }
}

/// First bytes of a segment file.
pub fn segment_header() -> [u8; 8] {
    let [a, b, c, d] = MAGIC.to_be_bytes();
    [a, b, c, d, VERSION, 0, 0, 0]
}

/// Appends a chunk record to `out`: length, encoding, data, checksum.
pub fn put_record(out: &mut Vec<u8>, encoding: Encoding, data: &[u8]) {
    varint::write_uvarint(out, data.len() as u64);
    out.push(encoding.byte());
    out.extend_from_slice(data);
    let crc = crc32c_append(crc32c(&[encoding.byte()]), data);
    out.extend_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Estimated and real size of a record whose data has one byte: 5 + 1 + 1 + 4, and 7.
    const ESTIMATE: u64 = 11;

    fn place(limit: u64, series: &[usize]) -> Vec<Vec<(usize, u64)>> {
        let mut layout = SegmentLayout::new(limit);
        let chunks = |count: &usize| vec![1; *count];
        let place = |lengths: Vec<usize>| layout.place(lengths).unwrap();
        let plain = |r: &ChunkRef| (r.segment(), r.offset());
        series
            .iter()
            .map(chunks)
            .map(place)
            .map(|references| references.iter().map(plain).collect())
            .collect()
    }

    #[test]
    fn a_series_is_cut_where_the_estimate_passes_the_limit() {
        let two_fit = SEGMENT_HEADER + 2 * ESTIMATE;
        assert_eq!(place(two_fit, &[3]), [[(0, 8), (0, 15), (1, 8)]]);
        assert_eq!(place(two_fit - 1, &[3]), [[(0, 8), (1, 8), (2, 8)]]);
    }

    #[test]
    fn the_first_chunk_of_a_series_may_begin_a_segment() {
        // One record ends at 15; another is estimated to end at 26.
        assert_eq!(place(26, &[1, 1]), [[(0, 8)], [(0, 15)]]);
        assert_eq!(place(25, &[1, 1]), [[(0, 8)], [(1, 8)]]);
    }

    #[test]
    fn a_chunk_longer_than_the_limit_gets_a_segment_of_its_own() {
        assert_eq!(
            place(1, &[2, 0, 1]),
            [vec![(0, 8), (1, 8)], vec![], vec![(2, 8)]]
        );
    }

    #[test]
    fn offsets_beyond_32_bits_are_refused() {
        let mut layout = SegmentLayout::new(u64::MAX);
        let error = layout.place([usize::MAX >> 16, 1]).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Invalid);
    }
}
