//! Files of logs whose parts lie in several objects, put together.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::repository::portable::{FileEntry, Object, Root, Visitor};
use crate::repository::{Digest, FilePath, Hasher, LogPart, LogPiece, StoredFile, StoredWal};
use crate::store::{ObjectName, Store};

/// Passes the files of `wal`, one after the other, to `visitor`, each from the objects that hold
/// its parts: the way of a restore from what is sound. Parts and files are held against their
/// digests, and objects to nothing else.
///
/// # Errors
///
/// When an object is damaged or gone, or `visitor` says so; part of a file has been passed on then.
pub fn read_pieces(
    store: &dyn Store,
    wal: &StoredWal,
    visitor: &mut dyn Visitor,
    progress: &dyn Progress,
) -> Result<()> {
    let pieces = wal.pieces();
    let mut joiner = Joiner::default();
    let parts = parts_by_name(&pieces);
    for file in &wal.files {
        visitor.begin(&file.name, file.bytes)?;
        let mut hasher = Hasher::default();
        for (piece, part) in parts.get(&file.name).into_iter().flatten() {
            let mut take = |bytes: &[u8]| {
                hasher.update(bytes);
                progress.advance(bytes.len() as u64);
                visitor.data(bytes)
            };
            let place = (store, &piece.object.name);
            joiner.pass(place, piece, part, file.bytes, &mut take)?;
        }
        let sha256 = hasher.finish();
        expect_digest(file, sha256)?;
        visitor.end(&file.name, sha256)?;
    }
    Ok(())
}

/// Length and digest of the file that `parts` make.
///
/// # Errors
///
/// When a part does not come back.
pub(in crate::stored) fn digest_joined(
    store: &dyn Store,
    parts: &[(&LogPiece, &LogPart)],
) -> Result<(u64, Digest)> {
    let end = parts.iter().map(|(_, part)| part.end()).max().unwrap_or(0);
    if let [(_, only)] = parts {
        return Ok((end, only.sha256));
    }
    let mut joiner = Joiner::default();
    let mut hasher = Hasher::default();
    for (piece, part) in parts {
        let place = (store, &piece.object.name);
        let mut take = |bytes: &[u8]| {
            hasher.update(bytes);
            Ok(())
        };
        joiner.pass(place, piece, part, end, &mut take)?;
    }
    Ok((end, hasher.finish()))
}

/// Refuses a file that has not the digest it should have.
fn expect_digest(file: &StoredFile, sha256: Digest) -> Result<()> {
    if file.sha256 == sha256 {
        return Ok(());
    }
    let (name, wanted) = (&file.name, file.sha256);
    Err(Error::corrupt(format!(
        "expected file {name} to have SHA-256 {wanted}, found {sha256}"
    )))
}

/// The parts of each file, in their order.
pub(in crate::stored) fn parts_by_name(
    pieces: &[LogPiece],
) -> BTreeMap<&FilePath, Vec<(&LogPiece, &LogPart)>> {
    let mut parts: BTreeMap<&FilePath, Vec<_>> = BTreeMap::new();
    for piece in pieces {
        for part in &piece.parts {
            parts.entry(&part.name).or_default().push((piece, part));
        }
    }
    for own in parts.values_mut() {
        own.sort_by_key(|(_, part)| (part.from, part.bytes));
    }
    parts
}

/// Reads parts, and remembers where they stand in the objects.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// The files of each object that was opened, by where it was read; of several of one name the
    /// longest.
    entries: BTreeMap<ObjectName, BTreeMap<FilePath, FileEntry>>,
    /// Whether what can be told of a damaged object is read.
    reads_damaged: bool,
}

impl Joiner {
    /// Reads what can be told of damaged objects, too.
    pub(super) fn of_damaged() -> Self {
        Joiner {
            reads_damaged: true,
            ..Joiner::default()
        }
    }

    /// Passes `part`, up to the byte `end` of its file, from the object of `piece` in `store` to
    /// `take`. What `store` gives as this object lies in `place`.
    pub(super) fn pass(
        &mut self,
        (store, place): (&dyn Store, &ObjectName),
        piece: &LogPiece,
        part: &LogPart,
        end: u64,
        take: &mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    ) -> Result<()> {
        let name = &piece.object.name;
        let context = |e: Error| e.context(format!("object {name}"));
        piece.object.codec.expect_files().map_err(context)?;
        let mut object = if self.reads_damaged {
            Object::open_damaged(store, name, Root::Data)?
        } else {
            Object::open(store, name, Root::Data)?
        };
        if !self.entries.contains_key(place) {
            let entries = if self.reads_damaged {
                let members: Vec<_> = piece
                    .parts
                    .iter()
                    .filter_map(|it| it.member().ok())
                    .collect();
                object.likely_entries(&members.iter().collect::<Vec<_>>()).0
            } else {
                object.entries()?
            };
            let mut by_name: BTreeMap<FilePath, FileEntry> = BTreeMap::new();
            for entry in entries {
                let known = by_name.entry(entry.name.clone());
                let known = known.or_insert_with(|| entry.clone());
                if known.bytes < entry.bytes {
                    *known = entry;
                }
            }
            self.entries.insert(place.clone(), by_name);
        }
        let member = part.member()?;
        let wanted = part.bytes.min(end.saturating_sub(part.from));
        let entries = self.entries.get(place);
        let entry = entries.and_then(|entries| entries.get(&member.name));
        let Some(mut entry) = entry.filter(|entry| entry.bytes >= wanted).cloned() else {
            let member = &member.name;
            return Err(context(Error::corrupt(format!(
                "expected file {member} of {wanted} bytes at least, found none"
            ))));
        };
        entry.bytes = wanted;
        let mut passed = Passed { take, sha256: None };
        object.pass_on(&entry, &mut passed)?;
        match passed.sha256 {
            Some(sha256) if wanted == part.bytes => expect_digest(&member, sha256).map_err(context),
            _ => Ok(()),
        }
    }
}

/// Passes the bytes of one part on.
struct Passed<'t> {
    take: &'t mut (dyn FnMut(&[u8]) -> Result<()> + Send),
    sha256: Option<Digest>,
}

impl Visitor for Passed<'_> {
    fn begin(&mut self, _name: &FilePath, _bytes: u64) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        (self.take)(bytes)
    }

    fn end(&mut self, _name: &FilePath, sha256: Digest) -> Result<()> {
        self.sha256 = Some(sha256);
        Ok(())
    }
}
