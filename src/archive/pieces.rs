//! What of the logs earlier archives hold, so that a run stores only what has come since.
//!
//! Segments are only appended to, and those before the last not even that. A file that is as long
//! as the last archive has it is taken for the same if both its ends are; of one that has grown,
//! all that was archived is read and must have the digest of then. What is not the same is stored
//! whole, as if nobody had seen it.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::raw::ReadMode;
use crate::repository::portable::Staged;
use crate::repository::{
    Digest, FilePath, Hasher, LOG_END_BYTES, LogObjects, LogPart, LogPiece, StoredFile,
    StoredObject, StoredWal,
};
use crate::stored::write::{Section, SourceFile};
use crate::wal::{SegmentFile, SegmentSummary};

/// Most objects that an archive takes its logs from. Where there are as many, the files of which
/// the newest [`STORED_ANEW`] hold something are stored once more, in one: that happens only where
/// there are as many runs in the life of a log, which is some hours.
const MAX_PIECES: usize = 128;

/// How many objects of logs are merged into one at a time.
const STORED_ANEW: usize = 64;

/// The logs as they are now, held against what is stored.
#[derive(Default)]
pub(super) struct Pieces<'f> {
    /// What earlier archives hold, by their objects; those that were stored first before the
    /// others.
    kept: Vec<LogPiece>,
    /// What is to be stored.
    pub(super) new: Vec<NewPart<'f>>,
    /// Digests of the files of which an earlier archive has the beginning, or all.
    digests: BTreeMap<FilePath, Digest>,
    /// Digests of the ends of all files.
    pub(super) ends: BTreeMap<FilePath, Digest>,
}

/// Bytes of a file that no archive holds: those from one on.
pub(super) struct NewPart<'f> {
    pub(super) file: &'f SourceFile,
    pub(super) from: u64,
    /// Their digest, where it is known.
    digest: Option<Digest>,
}

impl<'f> NewPart<'f> {
    /// Its bytes.
    pub(super) fn section(&self) -> Section<'f> {
        self.file.section(self.from..self.file.bytes)
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
        let mut parts: BTreeMap<&FilePath, Vec<(usize, &LogPart)>> = BTreeMap::new();
        for (number, piece) in stored.iter().enumerate() {
            if usable(&piece.object) {
                for part in &piece.parts {
                    parts.entry(&part.name).or_default().push((number, part));
                }
            }
        }
        let known = before.iter().flat_map(|before| &before.files);
        let known: BTreeMap<_, _> = known.map(|file| (&file.name, file)).collect();
        let mut same = Vec::new();
        for file in files {
            let ends = ends_of(file)?;
            let own = parts.remove(&file.name).unwrap_or_default();
            // Nothing is put into the middle of what is there: a file of which something is damaged
            // is stored whole.
            let bytes = own.iter().map(|(_, part)| part.bytes);
            let bytes = bytes.fold(0, u64::saturating_add);
            let known = known.get(&file.name);
            let known = known.filter(|known| !own.is_empty() && known.bytes == bytes);
            let before = before.and_then(|before| before.ends.get(&file.name));
            let found = known.map(|known| recognize(file, known, before == Some(&ends)));
            same.push((file, own, found.transpose()?.flatten()));
            pieces.ends.insert(file.name.clone(), ends);
        }
        let known = same.iter().filter(|(_, _, found)| found.is_some());
        let used: BTreeSet<usize> = known
            .flat_map(|(_, own, _)| own.iter().map(|(number, _)| *number))
            .collect();
        let first_anew = match used.len() {
            MAX_PIECES.. => used.iter().rev().nth(STORED_ANEW - 1).copied(),
            _ => None,
        };
        let is_kept = |number: usize| first_anew.is_none_or(|first| number < first);
        let mut kept: BTreeMap<usize, Vec<LogPart>> = BTreeMap::new();
        for (file, own, found) in same {
            let is_kept = own.iter().all(|(number, _)| is_kept(*number));
            let Some(found) = found.filter(|_| is_kept) else {
                pieces.push(file, 0, None);
                continue;
            };
            for (number, part) in own {
                kept.entry(number).or_default().push(part.clone());
            }
            if let Some((from, digest)) = found.appended {
                pieces.push(file, from, Some(digest));
            }
            pieces.digests.insert(file.name.clone(), found.whole);
        }
        let objects = stored.iter().enumerate();
        pieces.kept = objects
            .filter_map(|(number, piece)| {
                Some(LogPiece {
                    object: piece.object.clone(),
                    parts: kept.remove(&number)?,
                })
            })
            .collect();
        Ok(pieces)
    }

    fn push(&mut self, file: &'f SourceFile, from: u64, digest: Option<Digest>) {
        self.new.push(NewPart { file, from, digest });
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

/// Whether `file` begins as it is `known`; `has_same_ends` says that it is taken for the same where
/// it is as long.
fn recognize(file: &SourceFile, known: &StoredFile, has_same_ends: bool) -> Result<Option<Same>> {
    if known.bytes > file.bytes || (known.bytes == 0 && file.bytes > 0) {
        return Ok(None);
    }
    if known.bytes == file.bytes && has_same_ends {
        return Ok(Some(Same {
            whole: known.sha256,
            appended: None,
        }));
    }
    let mut whole = Hasher::default();
    file.pass_on(0..known.bytes, |bytes| whole.update(bytes))?;
    if whole.clone().finish() != known.sha256 {
        return Ok(None);
    }
    let mut appended = Hasher::default();
    file.pass_on(known.bytes..file.bytes, |bytes| {
        whole.update(bytes);
        appended.update(bytes);
    })?;
    let appended = (known.bytes < file.bytes).then(|| (known.bytes, appended.finish()));
    Ok(Some(Same {
        whole: whole.finish(),
        appended,
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
