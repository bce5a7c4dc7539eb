//! Sections while they are written and read: zstd frames that are never whole in memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek as _, Write};

use super::Section;
use crate::error::{Error, Result};
use crate::raw::{temporary_dir, varint};

/// How hard zstd tries. What repeats, repeats from scrape to scrape, which every level finds.
const LEVEL: i32 = 9;

/// Distance at which repetitions are found, as a power of two. Both sides hold as many bytes in
/// memory, the writer several times, for each section.
const WINDOW_LOG: u32 = 21;

/// One section on its way into the file.
pub(super) struct SectionWriter(zstd::Encoder<'static, BufWriter<File>>);

impl SectionWriter {
    /// An empty one, in a file without a name.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(super) fn new() -> Result<Self> {
        let dir = temporary_dir()?;
        let file = tempfile::tempfile_in(dir.path());
        let made = file.and_then(|file| {
            let mut encoder = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
            encoder.window_log(WINDOW_LOG)?;
            Ok(encoder)
        });
        made.map(SectionWriter)
            .map_err(|e| Error::io("make a file in", dir.path(), e))
    }

    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(unusable)
    }

    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn put_number(&mut self, number: u64) -> Result<()> {
        let mut bytes = Vec::with_capacity(varint::MAX_LEN);
        varint::write_uvarint(&mut bytes, number);
        self.put(&bytes)
    }

    /// The file, to be read from its start, and its length in bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn finish(self) -> Result<(File, u64)> {
        let written = self.0.finish().and_then(|file| {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            let bytes = file.stream_position()?;
            file.rewind()?;
            Ok((file, bytes))
        });
        written.map_err(unusable)
    }
}

fn unusable(error: io::Error) -> Error {
    Error::io("use a temporary file in", &std::env::temp_dir(), error)
}

/// One section that is read from its start.
pub(super) struct SectionReader<'a> {
    section: Section,
    content: BufReader<zstd::Decoder<'a, &'a [u8]>>,
    taken: Vec<u8>,
}

impl<'a> SectionReader<'a> {
    /// The one that is stored as these bytes.
    ///
    /// # Errors
    ///
    /// When the decoder cannot be made.
    pub(super) fn new(section: Section, stored: &'a [u8]) -> Result<Self> {
        let made = zstd::Decoder::with_buffer(stored).and_then(|mut decoder| {
            decoder.window_log_max(WINDOW_LOG)?;
            Ok(decoder)
        });
        let decoder = made.map_err(|error| broken(section, &error))?;
        Ok(SectionReader {
            section,
            content: BufReader::new(decoder),
            taken: Vec::new(),
        })
    }

    /// # Errors
    ///
    /// When the section is damaged, or ends here.
    pub(super) fn byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        let read = self.content.read_exact(&mut byte);
        read.map_err(|error| broken(self.section, &error))?;
        Ok(byte[0])
    }

    /// # Errors
    ///
    /// As [`SectionReader::byte`]; when there is no such number.
    pub(super) fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; varint::MAX_LEN];
        let mut len = 0;
        for to in &mut bytes {
            *to = self.byte()?;
            len += 1;
            if *to < 0x80 {
                break;
            }
        }
        let number = varint::read_uvarint(bytes.get(..len).unwrap_or_default());
        let found = number.map(|(number, _)| number);
        found.ok_or_else(|| self.unexpected("a number of at most 64 bits", "a longer one"))
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// As [`SectionReader::byte`]; when `len` is more than `max`.
    pub(super) fn take(&mut self, len: u64, max: usize) -> Result<&[u8]> {
        if len > max as u64 {
            let wanted = format!("at most {max} bytes at once");
            return Err(self.unexpected(&wanted, len));
        }
        self.taken.clear();
        let content = &mut self.content;
        let read = content.take(len).read_to_end(&mut self.taken);
        let read = read.map_err(|error| broken(self.section, &error))?;
        if read as u64 == len {
            Ok(&self.taken)
        } else {
            let wanted = format!("{len} more bytes");
            Err(self.unexpected(&wanted, read))
        }
    }

    #[cold]
    pub(super) fn unexpected(&self, wanted: &str, found: impl std::fmt::Display) -> Error {
        let section = self.section.name();
        Error::corrupt(format!("{section}: expected {wanted}, found {found}"))
    }
}

#[cold]
fn broken(section: Section, error: &io::Error) -> Error {
    let section = section.name();
    Error::corrupt(format!("{section}: expected a zstd frame, found: {error}"))
}
