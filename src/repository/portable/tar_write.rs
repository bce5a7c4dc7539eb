//! The tar stream of some files, laid out before a byte of them is read, so that any part of it can
//! be read by any thread.

use super::{Root, SourceContent as _, SourceFile, TAR};
use crate::error::{Error, ErrorKind, Result};
use crate::repository::digest::Hasher;
use crate::repository::entries::StoredFile;

/// Tar's unit: headers are one, files are padded to whole ones.
pub(crate) const BLOCK_BYTES: usize = 512;
pub(crate) const BLOCK: u64 = BLOCK_BYTES as u64;

/// What GNU tar calls an entry that carries a long name for the next one.
const LONG_NAME_ENTRY: &str = "././@LongLink";

/// A tar stream that does not exist yet. What lies between its pieces is zeros.
pub(super) struct TarStream<'a> {
    files: &'a [SourceFile<'a>],
    pieces: Vec<Piece>,
    bytes: u64,
}

/// A part of the stream.
struct Piece {
    start: u64,
    body: Body,
}

enum Body {
    Header(Vec<u8>),
    File { index: usize, bytes: u64 },
}

impl Piece {
    fn bytes(&self) -> u64 {
        match &self.body {
            Body::Header(header) => header.len() as u64,
            Body::File { bytes, .. } => *bytes,
        }
    }
}

impl<'a> TarStream<'a> {
    /// Lays out `files` in their order; their sizes are asked for here.
    pub(super) fn new(root: Root, files: &'a [SourceFile<'a>]) -> Result<Self> {
        let mut stream = TarStream {
            files,
            pieces: Vec::new(),
            bytes: 0,
        };
        for (index, file) in files.iter().enumerate() {
            let bytes = file.content.size().map_err(|e| read_error(file, e))?;
            stream.push(Body::Header(header(&root.path(&file.name), bytes)?));
            stream.push(Body::File { index, bytes });
        }
        stream.bytes += 2 * BLOCK;
        Ok(stream)
    }

    fn push(&mut self, body: Body) {
        let piece = Piece {
            start: self.bytes,
            body,
        };
        self.bytes += piece.bytes().next_multiple_of(BLOCK);
        self.pieces.push(piece);
    }

    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The pieces that `len` bytes from `start` on touch: piece, offset in it, range in those
    /// bytes.
    fn touching(
        &self,
        start: u64,
        len: usize,
    ) -> impl Iterator<Item = (&Piece, u64, std::ops::Range<usize>)> {
        let end = start + len as u64;
        let first = self
            .pieces
            .partition_point(|piece| piece.start + piece.bytes() <= start);
        let pieces = self.pieces.iter().skip(first);
        pieces
            .take_while(move |piece| piece.start < end)
            .filter_map(move |piece| {
                let from = piece.start.max(start);
                let until = (piece.start + piece.bytes()).min(end).max(from);
                let within =
                    usize::try_from(from - start).ok()?..usize::try_from(until - start).ok()?;
                Some((piece, from - piece.start, within))
            })
    }

    /// Reads `len` bytes from `start` on into `raw`, which is empty.
    pub(super) fn read(&self, start: u64, len: usize, raw: &mut Vec<u8>) -> Result<()> {
        raw.resize(len, 0);
        for (piece, offset, within) in self.touching(start, len) {
            let Some(target) = raw.get_mut(within) else {
                continue;
            };
            match &piece.body {
                Body::Header(header) => header
                    .as_slice()
                    .read_exact_at(target, offset)
                    .map_err(|e| Error::new(ErrorKind::Io, TAR).with_source(e))?,
                Body::File { index, .. } => {
                    if let Some(file) = self.files.get(*index) {
                        let read = file.content.read_exact_at(target, offset);
                        read.map_err(|e| read_error(file, e))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Digests of the files in a [`TarStream`], from its bytes in order.
pub(super) struct FileDigests<'s, 'a> {
    stream: &'s TarStream<'a>,
    hashers: Vec<Hasher>,
}

impl<'s, 'a> FileDigests<'s, 'a> {
    pub(super) fn new(stream: &'s TarStream<'a>) -> Self {
        FileDigests {
            stream,
            hashers: vec![Hasher::default(); stream.files.len()],
        }
    }

    /// Takes the next bytes `raw` of the stream, which begin at `start`.
    pub(super) fn update(&mut self, start: u64, raw: &[u8]) {
        for (piece, _, within) in self.stream.touching(start, raw.len()) {
            if let Body::File { index, .. } = piece.body
                && let (Some(hasher), Some(bytes)) = (self.hashers.get_mut(index), raw.get(within))
            {
                hasher.update(bytes);
            }
        }
    }

    /// The files as stored, once the whole stream has been taken.
    ///
    /// # Errors
    ///
    /// When a file has another size now than when the stream was laid out.
    pub(super) fn finish(self) -> Result<Vec<StoredFile>> {
        let sizes = self
            .stream
            .pieces
            .iter()
            .filter_map(|piece| match piece.body {
                Body::File { bytes, .. } => Some(bytes),
                Body::Header(_) => None,
            });
        let files = self.stream.files.iter().zip(sizes).zip(self.hashers);
        files
            .map(|((file, bytes), hasher)| {
                let now = file.content.size().map_err(|e| read_error(file, e))?;
                if now != bytes {
                    return Err(Error::refused(format!(
                        "expected file {} to stay at {bytes} bytes, found {now} after reading it",
                        file.name
                    )));
                }
                Ok(StoredFile {
                    name: file.name.clone(),
                    bytes,
                    sha256: hasher.finish(),
                    sidecar: false,
                    packed: false,
                })
            })
            .collect()
    }
}

#[cold]
fn read_error(file: &SourceFile<'_>, source: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("cannot read file {}", file.name)).with_source(source)
}

/// The tar header of a regular file of `bytes` bytes; for a long name two headers with the name
/// between them, as in GNU tar.
///
/// # Errors
///
/// When `path` is none that tar can store, such as one that leads upwards.
pub(crate) fn header(path: &str, bytes: u64) -> Result<Vec<u8>> {
    let mut header = bare_header(tar::EntryType::Regular, bytes);
    if header.set_path(path).is_ok() {
        header.set_cksum();
        return Ok(header.as_bytes().to_vec());
    }
    let mut long = bare_header(tar::EntryType::GNULongName, path.len() as u64 + 1);
    let named = long
        .set_path(LONG_NAME_ENTRY)
        .and_then(|()| header.set_path(cut(path)));
    named.map_err(|e| Error::invalid(format!("cannot store {path:?} in tar")).with_source(e))?;
    long.set_cksum();
    header.set_cksum();
    let mut all = long.as_bytes().to_vec();
    all.extend_from_slice(path.as_bytes());
    let whole = all.len() + 1;
    all.resize(whole.next_multiple_of(BLOCK_BYTES), 0);
    all.extend_from_slice(header.as_bytes());
    Ok(all)
}

/// As much of a long path as fits the name field, whole characters; readers take the long name
/// instead.
fn cut(path: &str) -> &str {
    path.get(..path.floor_char_boundary(99)).unwrap_or(path)
}

/// A header without name and checksum; nothing in it depends on where or when it is written.
fn bare_header(kind: tar::EntryType, bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
