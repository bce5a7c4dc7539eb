//! What a manifest says of the logs: their files, and the objects that hold these in parts.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::entries::{StoredFile, StoredObject, total_bytes};
use super::layout::FilePath;
use crate::error::{Error, Result};
use crate::model::Millis;

/// WAL and WBL of an archive; names of files begin with `wal/` or `wbl/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredWal {
    /// The objects that hold them.
    #[serde(flatten)]
    pub held: LogObjects,
    /// All their files.
    pub files: Vec<StoredFile>,
    /// What files of the same length are recognized by: the digest of the ends of each, as
    /// [`LOG_END_BYTES`] says. Missing where nobody has taken it, or the disk could not read all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<FilePath, Digest>,
    /// Time of the first sample in it; `None` when it holds none, or cannot be read.
    #[serde(default)]
    pub min_time: Option<Millis>,
    /// Time of the last sample in it.
    #[serde(default)]
    pub max_time: Option<Millis>,
    /// Samples in it.
    #[serde(default)]
    pub samples: u64,
    /// Those of the samples that the WBL has, which came out of order; `None` where nobody has
    /// counted them, or there is no WBL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wbl_samples: Option<u64>,
    /// Time of the first of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wbl_min_time: Option<Millis>,
    /// Time of the last of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wbl_max_time: Option<Millis>,
    /// Directories without files that a start of Prometheus looks for: the newest checkpoint, or
    /// `wal` beside a WBL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty_dirs: Vec<FilePath>,
    /// What keeps a Prometheus from starting on these logs, as a sentence; missing when nothing
    /// does, or nobody has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_problem: Option<String>,
}

/// The objects that hold the files of logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogObjects {
    /// One object holds all files, whole.
    #[serde(rename = "object")]
    One(StoredObject),
    /// Several hold parts of them, those that were stored first before the others. Segments are
    /// only appended to, so that a run stores what has come since the last one.
    #[serde(rename = "pieces")]
    Pieces(Vec<LogPiece>),
}

/// An object of the logs, and what of the files an archive takes from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// The object. It may hold parts of files that are gone meanwhile.
    pub object: StoredObject,
    /// What is taken of it.
    pub parts: Vec<LogPart>,
}

/// Consecutive bytes of a file of the logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPart {
    /// Name of the file below the data directory.
    pub name: FilePath,
    /// How many bytes of the file are before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub from: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Samples in the records that end in it; missing where nobody has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
}

/// Most pieces of a log that a reader accepts.
const MAX_PIECES: usize = 1024;

/// How many bytes at the beginning and at the end of a file of the logs tell it from another one: a
/// page of the log each. Digests of [`StoredWal::ends`] are of the first that many bytes and of the
/// last that many behind them; of a file that is shorter than both, of all of it.
pub const LOG_END_BYTES: u64 = 32 * 1024;

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl LogPiece {
    /// Samples in what is taken of it, as far as they were counted.
    pub fn samples(&self) -> u64 {
        let samples = self.parts.iter().filter_map(|part| part.samples);
        samples.fold(0, u64::saturating_add)
    }
}

impl LogPart {
    /// The part that is all of `file`.
    pub fn whole(file: &StoredFile) -> Self {
        LogPart {
            name: file.name.clone(),
            from: 0,
            bytes: file.bytes,
            sha256: file.sha256,
            samples: None,
        }
    }

    /// How many bytes of the file are before its end.
    pub fn end(&self) -> u64 {
        self.from.saturating_add(self.bytes)
    }

    /// The part as a file of its object.
    ///
    /// # Errors
    ///
    /// When the name would be too long.
    pub fn member(&self) -> Result<StoredFile> {
        Ok(StoredFile {
            name: log_member(&self.name, self.from)?,
            bytes: self.bytes,
            sha256: self.sha256,
            sidecar: false,
            packed: false,
        })
    }
}

/// The name that the part of the log file `name` from the byte `from` on has in its object: that of
/// the file for its beginning, else with a dot and the ten digits of that number behind it, so that
/// all parts of a file sort in their order.
///
/// # Errors
///
/// When the name would be too long.
pub fn log_member(name: &FilePath, from: u64) -> Result<FilePath> {
    if from == 0 {
        return Ok(name.clone());
    }
    FilePath::new(format!("{name}.{from:010}"))
}

/// The file and the offset in it that `member`, a file in an object of logs, is a part of.
pub fn log_file_of(member: &FilePath) -> (FilePath, u64) {
    let part = member.as_str().rsplit_once('.').and_then(|(name, from)| {
        let is_number = from.len() >= 10 && from.bytes().all(|byte| byte.is_ascii_digit());
        let from = from.parse().ok().filter(|from| is_number && *from > 0)?;
        Some((FilePath::new(name).ok()?, from))
    });
    part.unwrap_or_else(|| (member.clone(), 0))
}

impl StoredWal {
    /// Logs whose `files` are in one `object`, and of which nothing else is known.
    pub fn of(object: StoredObject, files: Vec<StoredFile>) -> Self {
        StoredWal {
            held: LogObjects::One(object),
            files,
            ends: BTreeMap::new(),
            min_time: None,
            max_time: None,
            samples: 0,
            wbl_samples: None,
            wbl_min_time: None,
            wbl_max_time: None,
            empty_dirs: Vec::new(),
            start_problem: None,
        }
    }

    /// The objects that hold them, those that were stored first before the others.
    pub fn objects(&self) -> impl Iterator<Item = &StoredObject> + Clone {
        let (one, pieces) = match &self.held {
            LogObjects::One(object) => (Some(object), &[][..]),
            LogObjects::Pieces(pieces) => (None, &pieces[..]),
        };
        one.into_iter()
            .chain(pieces.iter().map(|piece| &piece.object))
    }

    /// The same, to be changed.
    pub(super) fn objects_mut(&mut self) -> impl Iterator<Item = &mut StoredObject> {
        let (one, pieces) = match &mut self.held {
            LogObjects::One(object) => (Some(object), &mut [][..]),
            LogObjects::Pieces(pieces) => (None, &mut pieces[..]),
        };
        let pieces = pieces.iter_mut().map(|piece| &mut piece.object);
        one.into_iter().chain(pieces)
    }

    /// The objects that hold them with what of each is needed, those that were stored first before
    /// the others.
    pub fn pieces(&self) -> Cow<'_, [LogPiece]> {
        match &self.held {
            LogObjects::Pieces(pieces) => Cow::Borrowed(pieces),
            LogObjects::One(object) => Cow::Owned(vec![LogPiece {
                object: object.clone(),
                parts: self.files.iter().map(LogPart::whole).collect(),
            }]),
        }
    }

    /// Refuses parts that do not make the files.
    ///
    /// # Errors
    ///
    /// `Corrupt` where a part is missing or is there twice, or is of no file, or there are too many
    /// pieces.
    pub(crate) fn refuse_holes(&self) -> Result<()> {
        let LogObjects::Pieces(pieces) = &self.held else {
            return Ok(());
        };
        if pieces.len() > MAX_PIECES {
            return Err(Error::corrupt(format!(
                "expected logs in at most {MAX_PIECES} pieces, found {}",
                pieces.len()
            )));
        }
        // The parts of each file, by where they begin.
        let mut parts: BTreeMap<&FilePath, BTreeMap<u64, u64>> = BTreeMap::new();
        for piece in pieces {
            let mut names = BTreeSet::new();
            for part in &piece.parts {
                part.member()?;
                let own = parts.entry(&part.name).or_default();
                let is_new = own.insert(part.from, part.bytes).is_none();
                if !is_new || !names.insert(&part.name) {
                    let name = &part.name;
                    return Err(Error::corrupt(format!(
                        "expected one part of {name} in a piece, and from each byte on, found two"
                    )));
                }
            }
        }
        for file in &self.files {
            let name = &file.name;
            let mut end = 0;
            let own = parts.remove(name).unwrap_or_default();
            let is_empty = own.is_empty();
            for (from, bytes) in own {
                if from != end || (bytes == 0 && file.bytes > 0) {
                    return Err(no_part(name, end));
                }
                end = end.saturating_add(bytes);
            }
            if is_empty || end != file.bytes {
                return Err(no_part(name, end));
            }
        }
        match parts.keys().next() {
            None => Ok(()),
            Some(name) => Err(Error::corrupt(format!(
                "expected parts of the files of the logs, found one of {name}"
            ))),
        }
    }

    /// Times, both included, between which samples lie that came out of order. Until a compaction
    /// has made a block of them they are in the WBL only, whatever blocks hold their time. Of a
    /// WBL whose samples nobody has counted they may lie anywhere.
    pub fn late_times(&self) -> Option<(Millis, Millis)> {
        if self.wbl_samples.is_some() {
            return self.wbl_min_time.zip(self.wbl_max_time);
        }
        let is_late = |file: &StoredFile| file.name.as_str().starts_with("wbl/") && file.bytes > 0;
        let times = (self.min_time.unwrap_or(Millis::MIN), self.max_time?);
        self.files.iter().any(is_late).then_some(times)
    }

    /// Time of the last sample that a start brings back of it: without a WAL nothing defines the
    /// series of the WBL.
    pub fn end(&self) -> Option<Millis> {
        let has_wal = |file: &StoredFile| file.name.as_str().starts_with("wal/");
        let is_replayed = self.samples > 0 && self.files.iter().any(has_wal);
        self.max_time.filter(|_| is_replayed)
    }

    /// Total size of its files in bytes.
    pub fn bytes(&self) -> u64 {
        total_bytes(&self.files)
    }
}

#[cold]
fn no_part(name: &FilePath, at: u64) -> Error {
    Error::corrupt(format!(
        "expected a part of {name} from byte {at} on, up to its end in all, found another or none"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::{ArchiveId, ObjectCodec, wal_object};

    fn object() -> StoredObject {
        StoredObject {
            name: wal_object(&ArchiveId::random()).unwrap(),
            codec: ObjectCodec::Portable,
            bytes: 1,
            sha256: Digest::of(b""),
            raw_bytes: 1,
            encrypted: None,
        }
    }

    fn name(name: &str) -> FilePath {
        FilePath::new(name).unwrap()
    }

    /// Logs of one file of ten bytes, in pieces of one part each.
    fn in_parts(parts: &[(&str, u64, u64)]) -> StoredWal {
        let file = StoredFile {
            name: name("wal/00000003"),
            bytes: 10,
            sha256: Digest::of(b"0123456789"),
            sidecar: false,
            packed: false,
        };
        let pieces = parts.iter().map(|(of, from, bytes)| LogPiece {
            object: object(),
            parts: vec![LogPart {
                name: name(of),
                from: *from,
                bytes: *bytes,
                sha256: Digest::of(b""),
                samples: Some(2),
            }],
        });
        StoredWal {
            held: LogObjects::Pieces(pieces.collect()),
            ..StoredWal::of(object(), vec![file])
        }
    }

    #[test]
    fn parts_make_their_files_without_holes_and_without_anything_twice() {
        let own = "wal/00000003";
        for sound in [
            &[(own, 0, 10)][..],
            &[(own, 0, 4), (own, 4, 6)],
            &[(own, 4, 6), (own, 0, 4)],
        ] {
            in_parts(sound).refuse_holes().unwrap();
        }
        for (parts, wanted) in [
            (&[][..], "a part of wal/00000003 from byte 0 on"),
            (&[(own, 0, 4)], "from byte 4 on"),
            (&[(own, 0, 4), (own, 5, 5)], "from byte 4 on"),
            (&[(own, 0, 4), (own, 3, 7)], "from byte 4 on"),
            (&[(own, 0, 4), (own, 4, 7)], "from byte 11 on"),
            (
                &[(own, 0, 10), (own, 0, 10)],
                "one part of wal/00000003 in a piece, and from each byte on, found two",
            ),
            (
                &[(own, 0, 10), ("wal/00000004", 0, 1)],
                "found one of wal/00000004",
            ),
            (&[(own, 0, u64::MAX), (own, u64::MAX, 2)], "from byte"),
        ] {
            let error = in_parts(parts).refuse_holes().unwrap_err().chain();
            assert!(error.contains(wanted), "{parts:?}: {error}");
        }
    }

    #[test]
    fn the_name_of_a_part_tells_file_and_offset() {
        let file = name("wal/checkpoint.00000003/00000000");
        for from in [0, 1, 65_536, 9_999_999_999, 10_000_000_000] {
            let member = log_member(&file, from).unwrap();
            assert_eq!(log_file_of(&member), (file.clone(), from));
        }
        assert_eq!(
            log_member(&file, 7).unwrap().as_str(),
            "wal/checkpoint.00000003/00000000.0000000007"
        );
        // What is no part is a file of that name.
        for odd in [
            "wal/00000003.tmp",
            "wal/00000003.007",
            "wal/00000003.0000000000",
        ] {
            assert_eq!(log_file_of(&name(odd)), (name(odd), 0));
        }
        let long = name(&format!("wal/{}", "1".repeat(250)));
        assert!(log_member(&long, 1).is_err());
    }

    #[test]
    fn a_manifest_says_one_object_as_ever_and_pieces_where_there_are_several() {
        let one = StoredWal::of(object(), Vec::new());
        let json = serde_json::to_value(&one).unwrap();
        assert!(
            json.get("object").is_some() && json.get("pieces").is_none(),
            "{json}"
        );
        assert_eq!(serde_json::from_value::<StoredWal>(json).unwrap(), one);
        let several = in_parts(&[("wal/00000003", 0, 4), ("wal/00000003", 4, 6)]);
        let json = serde_json::to_value(&several).unwrap();
        assert!(json.get("object").is_none(), "{json}");
        assert_eq!(json["pieces"][0]["parts"][0].get("from"), None, "{json}");
        assert_eq!(json["pieces"][1]["parts"][0]["from"], 4, "{json}");
        assert_eq!(serde_json::from_value::<StoredWal>(json).unwrap(), several);
        assert_eq!(several.objects().count(), 2);
    }
}
