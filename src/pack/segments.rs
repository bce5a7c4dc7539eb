//! Putting chunks into segments.

use crate::chunk::{Encoding, SEGMENT_HEADER, put_record, segment_header};
use crate::error::{Error, Result};
use crate::model::ChunkRef;

/// Bytes of a segment that are passed on at a time.
const STEP: usize = 1 << 20;

/// Receives the segments of a block while it is unpacked.
pub trait SegmentSink {
    /// More bytes of the segment that has this position, counted from 0. Segments come one after
    /// the other.
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()>;
}

/// Puts chunks into segments.
pub(super) struct SegmentFiles<'s> {
    sink: &'s mut dyn SegmentSink,
    /// Chunks still to come in the open segment, and how many the later ones have.
    left: u64,
    later: std::slice::Iter<'s, u64>,
    /// Number of segments begun.
    begun: u32,
    /// Bytes in the open one.
    position: u64,
    buffer: Vec<u8>,
}

impl<'s> SegmentFiles<'s> {
    /// Segments of so many chunks each.
    pub(super) fn new(segments: &'s [u64], sink: &'s mut dyn SegmentSink) -> Self {
        SegmentFiles {
            sink,
            left: 0,
            later: segments.iter(),
            begun: 0,
            position: 0,
            buffer: Vec::new(),
        }
    }

    /// Puts the next chunk, and says where it stands.
    pub(super) fn put(&mut self, encoding: Encoding, data: &[u8]) -> Result<ChunkRef> {
        while self.left == 0 {
            self.begin_segment()?;
        }
        let offset = u32::try_from(self.position)
            .map_err(|_| Error::corrupt("expected segments below 4 GiB, found a longer one"))?;
        let before = self.buffer.len();
        put_record(&mut self.buffer, encoding, data);
        self.position += (self.buffer.len() - before) as u64;
        self.left -= 1;
        if self.buffer.len() >= STEP {
            self.flush()?;
        }
        Ok(ChunkRef::new(self.begun.saturating_sub(1), offset))
    }

    /// Begins the next segment that has chunks; segments without any get their header, too.
    fn begin_segment(&mut self) -> Result<()> {
        let Some(chunks) = self.later.next() else {
            return Err(Error::corrupt(
                "expected as many chunks as the segments have, found more",
            ));
        };
        self.flush()?;
        self.begun += 1;
        self.left = *chunks;
        self.buffer.extend_from_slice(&segment_header());
        self.position = SEGMENT_HEADER;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.sink
                .segment(self.begun.saturating_sub(1) as usize, &self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Ends the last segment.
    ///
    /// # Errors
    ///
    /// When chunks are missing.
    pub(super) fn finish(mut self) -> Result<()> {
        while self.left == 0 && !self.later.as_slice().is_empty() {
            self.begin_segment()?;
        }
        if self.left > 0 {
            return Err(Error::corrupt(
                "expected as many chunks as the segments have, found fewer",
            ));
        }
        self.flush()
    }
}
