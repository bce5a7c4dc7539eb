//! What of the logs earlier archives hold, so that a run stores only what has come since.
//!
//! Segments are only appended to, and those before the last not even that. A file that is as long
//! as the last archive has it is taken for the same if both its ends are; of one that has grown,
//! all that was archived is read and must have the digest of then. What is not the same is stored
//! whole, as if nobody had seen it.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::raw::ReadMode;
use crate::repository::portable::Staged;
use crate::repository::{
    Digest, FilePath, Hasher, LOG_END_BYTES, LogObjects, LogPart, LogPiece, StoredFile,
    StoredObject, StoredWal,
};
use crate::stored::write::{Section, SourceFile};
use crate::wal::{SegmentFile, SegmentSummary};

/// Most objects that an archive takes its logs from. Where there are as many, what the newest
/// [`STORED_ANEW`] hold is stored once more, in one: so each sample of a log is stored twice at
/// most, and that only where there are as many runs in the life of a log.
const MAX_PIECES: usize = 128;

/// How many objects of logs are merged into one at a time.
const STORED_ANEW: usize = 64;

/// How much of a file is read at a time, in bytes.
const STEP: u64 = 1 << 20;

/// The logs as they are now, held against what is stored.
#[derive(Default)]
pub(super) struct Pieces<'f> {
    /// What earlier archives hold, by their objects; those that were stored first before the
    /// others.
    pub(super) kept: Vec<LogPiece>,
    /// What is to be stored.
    pub(super) new: Vec<NewPart<'f>>,
    /// Digests of the files of which an earlier archive has the beginning, or all.
    pub(super) digests: BTreeMap<FilePath, Digest>,
    /// Digests of the ends of all files.
    pub(super) ends: BTreeMap<FilePath, Digest>,
}

/// Bytes of a file that no archive holds, from one byte up to another.
pub(super) struct NewPart<'f> {
    pub(super) file: &'f SourceFile,
    pub(super) from: u64,
    to: u64,
    /// Their digest, where it is known.
    pub(super) digest: Option<Digest>,
}

impl<'f> NewPart<'f> {
    /// Its bytes.
    pub(super) fn section(&self) -> Section<'f> {
        self.file.section(self.from..self.to)
    }
}

impl<'f> Pieces<'f> {
    /// Holds `files` against `before`, the logs of an earlier archive, of whose objects those that
    /// are `usable` are to be relied on.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(super) fn of(
        files: &'f [SourceFile],
        before: Option<&StoredWal>,
        usable: &dyn Fn(&StoredObject) -> bool,
    ) -> Result<Self> {
        let mut pieces = Pieces::default();
        let stored = before.map(StoredWal::pieces).unwrap_or_default();
        let usable = stored.iter().filter(|piece| usable(&piece.object));
        let mut kept: Vec<_> = usable
            .map(|piece| LogPiece {
                object: piece.object.clone(),
                parts: Vec::new(),
            })
            .collect();
        if kept.len() >= MAX_PIECES {
            kept.truncate(kept.len() - STORED_ANEW);
        }
        for file in files {
            let ends = ends_of(file)?;
            let same = before
                .map(|before| recognize(file, ends, before))
                .transpose()?;
            pieces.ends.insert(file.name.clone(), ends);
            let Some(same) = same.flatten() else {
                pieces.push(file, 0, file.bytes, None);
                continue;
            };
            let mut own: Vec<(usize, &LogPart)> = Vec::new();
            for (number, piece) in kept.iter().enumerate() {
                let there = stored.iter().find(|it| it.object.name == piece.object.name);
                let parts = there.into_iter().flat_map(|piece| &piece.parts);
                own.extend(
                    parts
                        .filter(|part| part.name == file.name)
                        .map(|part| (number, part)),
                );
            }
            own.sort_by_key(|(_, part)| (part.from, part.bytes));
            if own.is_empty() {
                pieces.push(file, 0, file.bytes, None);
                continue;
            }
            let mut end = 0;
            for (number, part) in own {
                if part.from > end {
                    pieces.push(file, end, part.from, None);
                }
                end = part.end();
                if let Some(piece) = kept.get_mut(number) {
                    piece.parts.push(part.clone());
                }
            }
            if end < file.bytes {
                let digest = same.appended.filter(|(from, _)| *from == end);
                pieces.push(file, end, file.bytes, digest.map(|(_, digest)| digest));
            }
            pieces.digests.insert(file.name.clone(), same.whole);
        }
        kept.retain(|piece| !piece.parts.is_empty());
        pieces.kept = kept;
        Ok(pieces)
    }

    fn push(&mut self, file: &'f SourceFile, from: u64, to: u64, digest: Option<Digest>) {
        self.new.push(NewPart {
            file,
            from,
            to,
            digest,
        });
    }

    /// What a manifest says of `files`, of which `staged` holds what is new, and which have so
    /// many `samples` each, by name. `None` where what was stored is not what had been read.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(super) fn described(
        &self,
        files: &[SourceFile],
        staged: Option<&Staged>,
        samples: &BTreeMap<String, u64>,
        mode: ReadMode,
    ) -> Result<Option<(LogObjects, Vec<StoredFile>)>> {
        let stored = staged.map(Staged::files).unwrap_or_default();
        if stored.len() != self.new.len() {
            return Ok(None);
        }
        let mut kept = self.kept.clone();
        let mut new: Vec<LogPart> = Vec::new();
        for (part, stored) in self.new.iter().zip(stored) {
            if part.digest.is_some_and(|digest| digest != stored.sha256) {
                return Ok(None);
            }
            new.push(LogPart {
                name: part.file.name.clone(),
                from: part.from,
                bytes: stored.bytes,
                sha256: stored.sha256,
                samples: None,
            });
        }
        for file in files {
            let of_file = |part: &&mut LogPart| part.name == file.name;
            let old = kept.iter_mut().flat_map(|piece| &mut piece.parts);
            let own: Vec<_> = old.chain(&mut new).filter(of_file).collect();
            count(file, samples.get(file.name.as_str()).copied(), own, mode)?;
        }
        let files = files.iter().map(|file| {
            let whole = new.iter().find(|part| part.name == file.name);
            let digest = self.digests.get(&file.name).copied();
            Some(StoredFile {
                name: file.name.clone(),
                bytes: file.bytes,
                sha256: digest.or(whole.map(|part| part.sha256))?,
                sidecar: false,
                packed: false,
            })
        });
        let Some(files) = files.collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let object = staged.map(|staged| staged.object().clone());
        let held = match object {
            Some(object) if kept.is_empty() => LogObjects::One(object),
            object => {
                let new = object.map(|object| LogPiece { object, parts: new });
                LogObjects::Pieces(kept.into_iter().chain(new).collect())
            }
        };
        Ok(Some((held, files)))
    }
}

/// Tells `parts`, all that `file` has, how many samples each has, where that is not known; in all
/// there are `samples`.
fn count(
    file: &SourceFile,
    samples: Option<u64>,
    mut parts: Vec<&mut LogPart>,
    mode: ReadMode,
) -> Result<()> {
    parts.sort_by_key(|part| part.from);
    let Some((last, before)) = parts.split_last_mut() else {
        return Ok(());
    };
    let mut sum = 0u64;
    for part in before {
        let own = match part.samples {
            Some(own) => own,
            // Of an archive that had all in one object.
            None => samples_up_to(file, part.end(), mode)?.saturating_sub(sum),
        };
        part.samples = Some(own);
        sum = sum.saturating_add(own);
    }
    last.samples = samples.map(|samples| samples.saturating_sub(sum));
    Ok(())
}

/// Samples in the records of `file` that end before the byte `end`.
fn samples_up_to(file: &SourceFile, end: u64, mode: ReadMode) -> Result<u64> {
    let content = file.content(mode)?;
    let end = usize::try_from(end).map_or(content.len(), |end| end.min(content.len()));
    let segment = SegmentFile::new(0, file.name.as_str());
    let head = content.get(..end).unwrap_or_default();
    Ok(SegmentSummary::of(&segment, head).contents.samples())
}

/// A file of which an earlier archive has the beginning, or all.
struct Same {
    /// Its digest.
    whole: Digest,
    /// Where what is new begins, and the digest of that.
    appended: Option<(u64, Digest)>,
}

/// Whether `file`, whose ends have the digest `ends`, begins as `before` has it.
fn recognize(file: &SourceFile, ends: Digest, before: &StoredWal) -> Result<Option<Same>> {
    let known = before.files.iter().find(|known| known.name == file.name);
    let begins =
        |known: &&StoredFile| known.bytes == file.bytes || (1..file.bytes).contains(&known.bytes);
    let Some(known) = known.filter(begins) else {
        return Ok(None);
    };
    if known.bytes == file.bytes && before.ends.get(&file.name) == Some(&ends) {
        return Ok(Some(Same {
            whole: known.sha256,
            appended: None,
        }));
    }
    let mut whole = Hasher::default();
    read(file, 0, known.bytes, |bytes| whole.update(bytes))?;
    if whole.clone().finish() != known.sha256 {
        return Ok(None);
    }
    let mut appended = Hasher::default();
    read(file, known.bytes, file.bytes, |bytes| {
        whole.update(bytes);
        appended.update(bytes);
    })?;
    Ok(Some(Same {
        whole: whole.finish(),
        appended: Some((known.bytes, appended.finish())),
    }))
}

/// The digest of both ends of `file`, as [`LOG_END_BYTES`] says.
fn ends_of(file: &SourceFile) -> Result<Digest> {
    let mut hasher = Hasher::default();
    hasher.update(&file.read_at(0, LOG_END_BYTES)?);
    let last = file.bytes.saturating_sub(LOG_END_BYTES).max(LOG_END_BYTES);
    hasher.update(&file.read_at(last, LOG_END_BYTES)?);
    Ok(hasher.finish())
}

/// Passes the bytes of `file` from `from` up to `to` on.
fn read(file: &SourceFile, from: u64, to: u64, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut at = from;
    while at < to {
        let bytes = file.read_at(at, STEP.min(to - at))?;
        take(&bytes);
        at += STEP;
    }
    Ok(())
}
