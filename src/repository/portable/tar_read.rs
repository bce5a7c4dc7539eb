//! Reading the tar stream. Only what [`super::tar_write`] produces is accepted: regular files, long
//! names in GNU's way, two zero blocks at the end. The `tar` crate would follow longer promises
//! from hostile bytes than memory allows.

use super::tar_write::{BLOCK, BLOCK_BYTES};
use super::{MAX_FILES, Root, TAR};
use crate::error::{Error, Result};
use crate::raw::{Malformed, Reader};
use crate::repository::layout::FilePath;

/// Longest name with its root and the zero after it; see [`FilePath`].
const MAX_NAME_BYTES: u64 = 2048;

/// What a header announces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The name of the next entry, in the next so many bytes.
    LongName(usize),
    /// A file of so many bytes, and its path.
    File(Vec<u8>, u64),
    /// Nothing more; zeros follow.
    End,
}

/// Reads the header that stands at `offset` of the stream.
pub(super) fn parse_header(bytes: &[u8], offset: u64) -> Result<Header, Malformed> {
    let at = Reader::new(bytes, offset, TAR);
    let block = at.clone().take(BLOCK_BYTES)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(Header::End);
    }
    let header = tar::Header::from_byte_slice(block);
    let bad = |what: &'static str| move |e: std::io::Error| at.unexpected(what, "in octal", e);
    let stored = header.cksum().map_err(bad("header checksum"))?;
    let computed = checksum(block);
    if stored != computed {
        return Err(at.unexpected("header checksum", computed.to_string(), stored));
    }
    let bytes = header.entry_size().map_err(bad("file size"))?;
    match header.entry_type() {
        tar::EntryType::Regular => Ok(Header::File(header.path_bytes().into_owned(), bytes)),
        tar::EntryType::GNULongName => match usize::try_from(bytes) {
            Ok(len) if (1..=MAX_NAME_BYTES).contains(&bytes) => Ok(Header::LongName(len)),
            _ => Err(at.unexpected("name length", format!("up to {MAX_NAME_BYTES}"), bytes)),
        },
        other => Err(at.unexpected("entry type", "0 or L", char::from(other.as_byte()))),
    }
}

/// Reads the long name of `len` bytes, the last of them zero, that stands at `offset` of the
/// stream.
pub(super) fn parse_long_name(bytes: &[u8], len: usize, offset: u64) -> Result<Vec<u8>, Malformed> {
    let at = Reader::new(bytes, offset, TAR);
    match at.clone().take(len)? {
        [name @ .., 0] => Ok(name.to_vec()),
        _ => Err(at.unexpected("long name", "that ends with a zero", "none")),
    }
}

/// A long name must be followed by the file it belongs to; `header` is the one that follows, at
/// `offset`.
pub(super) fn belongs(
    header: &Header,
    long_name: Option<&[u8]>,
    offset: u64,
) -> Result<(), Malformed> {
    match (header, long_name) {
        (Header::File(..), _) | (_, None) => Ok(()),
        _ => {
            let at = Reader::new(&[], offset, TAR);
            Err(at.unexpected("file", "after its long name", "none"))
        }
    }
}

/// Sum of the bytes of a header, its checksum field (bytes 148 to 155) counted as spaces.
fn checksum(block: &[u8]) -> u32 {
    let bytes = block.iter().enumerate();
    bytes
        .map(|(i, byte)| match i {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum()
}

/// What the stream tells as it passes by.
pub(super) trait Entries {
    /// A file of `bytes` bytes begins.
    fn begin(&mut self, name: FilePath, bytes: u64) -> Result<()>;
    /// More bytes of it.
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    /// It has ended.
    fn end(&mut self) -> Result<()>;
}

/// Takes a tar stream piece by piece.
#[derive(Debug)]
pub(super) struct TarParser {
    root: Root,
    /// Offset in the stream of the next byte.
    offset: u64,
    /// What is being collected, until it is whole.
    partial: Vec<u8>,
    state: State,
    long_name: Option<Vec<u8>>,
    files: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    LongName { len: usize },
    File { left: u64, padding: u64 },
    Padding { left: u64 },
    End,
}

impl TarParser {
    pub(super) fn new(root: Root) -> Self {
        TarParser {
            root,
            offset: 0,
            partial: Vec::new(),
            state: State::Header,
            long_name: None,
            files: 0,
        }
    }

    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, mut bytes: &[u8], entries: &mut dyn Entries) -> Result<()> {
        while !bytes.is_empty() {
            let taken = self.step(bytes, entries)?;
            self.offset += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// The stream has ended.
    pub(super) fn finish(&self) -> Result<()> {
        match self.state {
            State::End => Ok(()),
            _ => Err(malformed(Malformed::truncated(TAR, self.offset, BLOCK, 0))),
        }
    }

    /// Takes some of `bytes`, at least one, and says how many.
    fn step(&mut self, bytes: &[u8], entries: &mut dyn Entries) -> Result<usize> {
        match self.state {
            State::Header => self.collect(bytes, BLOCK_BYTES, |parser, header, start| {
                let header = parse_header(header, start).map_err(malformed)?;
                belongs(&header, parser.long_name.as_deref(), start).map_err(malformed)?;
                match header {
                    Header::LongName(len) => parser.state = State::LongName { len },
                    Header::File(path, bytes) => return parser.begin(path, bytes, entries),
                    Header::End => parser.state = State::End,
                }
                Ok(())
            }),
            State::LongName { len } => {
                let padded = len.next_multiple_of(BLOCK_BYTES);
                self.collect(bytes, padded, |parser, name, start| {
                    let name = parse_long_name(name, len, start).map_err(malformed)?;
                    parser.long_name = Some(name);
                    parser.state = State::Header;
                    Ok(())
                })
            }
            State::File { left, padding } => {
                let part = prefix(bytes, left);
                entries.data(part)?;
                self.state = State::File {
                    left: left - part.len() as u64,
                    padding,
                };
                self.end_file(entries)?;
                Ok(part.len())
            }
            State::Padding { left } => {
                let part = prefix(bytes, left);
                self.state = match left - part.len() as u64 {
                    0 => State::Header,
                    left => State::Padding { left },
                };
                Ok(part.len())
            }
            State::End if bytes.iter().all(|byte| *byte == 0) => Ok(bytes.len()),
            State::End => {
                let at = Reader::new(bytes, self.offset, TAR);
                Err(malformed(at.unexpected("end", "of zeros", "other bytes")))
            }
        }
    }

    /// Takes bytes until there are `wanted`, which `complete` then gets with their offset.
    fn collect(
        &mut self,
        bytes: &[u8],
        wanted: usize,
        complete: impl FnOnce(&mut Self, &[u8], u64) -> Result<()>,
    ) -> Result<usize> {
        let start = self.offset - self.partial.len() as u64;
        let part = prefix(bytes, (wanted - self.partial.len()) as u64);
        self.partial.extend_from_slice(part);
        if self.partial.len() == wanted {
            let whole = std::mem::take(&mut self.partial);
            complete(self, &whole, start)?;
        }
        Ok(part.len())
    }

    fn begin(&mut self, path: Vec<u8>, bytes: u64, entries: &mut dyn Entries) -> Result<()> {
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(Error::unsupported(format!(
                "expected at most {MAX_FILES} files, found more"
            )));
        }
        let path = self.long_name.take().unwrap_or(path);
        entries.begin(file_name(self.root, &path)?, bytes)?;
        self.state = State::File {
            left: bytes,
            padding: padding(bytes),
        };
        self.end_file(entries)
    }

    fn end_file(&mut self, entries: &mut dyn Entries) -> Result<()> {
        let State::File { left: 0, padding } = self.state else {
            return Ok(());
        };
        self.state = match padding {
            0 => State::Header,
            left => State::Padding { left },
        };
        entries.end()
    }
}

/// The file that has `path` in the stream.
pub(super) fn file_name(root: Root, path: &[u8]) -> Result<FilePath> {
    match std::str::from_utf8(path) {
        Ok(path) => root.name(path),
        Err(_) => Err(Error::corrupt(format!(
            "expected a file name in UTF-8, found {:?}",
            String::from_utf8_lossy(path)
        ))),
    }
}

/// Bytes between the end of a file and the next header.
pub(super) fn padding(bytes: u64) -> u64 {
    (BLOCK - bytes % BLOCK) % BLOCK
}

fn prefix(bytes: &[u8], len: u64) -> &[u8] {
    usize::try_from(len)
        .ok()
        .and_then(|len| bytes.get(..len))
        .unwrap_or(bytes)
}

#[cold]
fn malformed(malformed: Malformed) -> Error {
    Error::new(malformed.kind(), "damaged content").with_source(malformed)
}
