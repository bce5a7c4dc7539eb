//! Chunks that are full, in a temporary file: of each series the last says where the one before it
//! is.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::chunk::Encoding;
use crate::chunk::encode::EncodedChunk;
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::raw::temporary_dir;

/// Where a chunk is, one more than its offset in bytes; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(u64);

/// Bytes before the data of a chunk: where the one before it is, its times, its length, its
/// encoding.
const HEADER: usize = 8 + 8 + 8 + 4 + 1;

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 20;

/// Chunks on their way from the log into a block.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<File>,
    end: u64,
}

impl Spool {
    /// An empty one, in a file without a name.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(super) fn new() -> Result<Self> {
        let dir = temporary_dir()?;
        let file = tempfile::tempfile_in(dir.path());
        let file = file.map_err(|e| Error::io("make a file in", dir.path(), e))?;
        Ok(Spool {
            file: BufWriter::with_capacity(BUFFER, file),
            end: 0,
        })
    }

    /// Puts a chunk behind `before`, the last of its series.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn put(&mut self, before: Place, chunk: &EncodedChunk) -> Result<Place> {
        let mut header = [0; HEADER];
        let len = u32::try_from(chunk.data.len()).map_err(|_| {
            Error::invalid("expected a chunk of less than 4 GiB, found a longer one")
        })?;
        let fields = [
            &before.0.to_le_bytes()[..],
            &chunk.min_time.to_le_bytes(),
            &chunk.max_time.to_le_bytes(),
            &len.to_le_bytes(),
            &[chunk.encoding.byte()],
        ];
        let bytes = fields.into_iter().flatten();
        for (to, from) in header.iter_mut().zip(bytes) {
            *to = *from;
        }
        let written = self.file.write_all(&header);
        written
            .and_then(|()| self.file.write_all(&chunk.data))
            .map_err(failed)?;
        let place = Place(self.end + 1);
        self.end += HEADER as u64 + u64::from(len);
        Ok(place)
    }

    /// Makes all of it readable.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn end(&mut self) -> Result<()> {
        self.file.flush().map_err(failed)
    }

    /// The chunks up to `last`, in the order in which they were put there.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(super) fn chain(&self, last: Place) -> Result<Vec<EncodedChunk>> {
        let mut chunks = Vec::new();
        let mut at = last;
        while let Some(offset) = at.0.checked_sub(1) {
            let (before, chunk) = self.read(offset)?;
            chunks.push(chunk);
            // What was put before lies before.
            at = if before.0 < at.0 { before } else { Place(0) };
        }
        chunks.reverse();
        Ok(chunks)
    }

    fn read(&self, offset: u64) -> Result<(Place, EncodedChunk)> {
        let file = self.file.get_ref();
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, offset).map_err(failed)?;
        let number = |at: usize| {
            let bytes = header.get(at..).and_then(<[u8]>::first_chunk);
            bytes.copied().map_or(0, u64::from_le_bytes)
        };
        let len = header.get(24..).and_then(<[u8]>::first_chunk);
        let len = len.copied().map_or(0, u32::from_le_bytes);
        let encoding = header.last().copied().unwrap_or_default();
        let mut data = vec![0; len as usize];
        file.read_exact_at(&mut data, offset + HEADER as u64)
            .map_err(failed)?;
        let chunk = EncodedChunk {
            encoding: Encoding::from_byte(encoding),
            min_time: number(8) as Millis,
            max_time: number(16) as Millis,
            data,
        };
        Ok((Place(number(0)), chunk))
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::io("use a temporary file in", &std::env::temp_dir(), error)
}
