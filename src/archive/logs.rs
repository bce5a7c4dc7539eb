//! WAL and WBL of a live directory, opened in the order in which nothing can be lost.
//!
//! Samples move from the logs into blocks, and a log is cut only when the block is complete. So the logs are
//! opened first and blocks are listed afterwards: a sample is then in the logs, in a block, or in both. Inside
//! `wal`, a checkpoint replaces the segments up to its number before they are deleted; if the newest checkpoint
//! has changed or a listed segment has vanished once everything is open, the set is not coherent, and is
//! opened anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::source::{Miss, SourceFile};
use crate::error::{Error, ErrorKind, Result};
use crate::repository::FilePath;

/// How often a log that changes while it is being opened is tried. Checkpoints are minutes apart.
const MAX_TRIES: usize = 100;

/// The open files of `wbl` and `wal`.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    /// Segments of the WBL, then the newest checkpoint, then the segments after it; in replay order.
    pub(super) files: Vec<SourceFile>,
    /// What lies in the directories and is not needed for replay.
    pub(super) left_out: Vec<PathBuf>,
}

/// Opens the logs of the data directory `dir`; a log that does not exist has no files.
///
/// `before_recheck` is called between opening and listing again (tests make things vanish there).
pub(super) fn open_logs(dir: &Path, before_recheck: &dyn Fn(&Path)) -> Result<LogFiles> {
    let mut logs = LogFiles::default();
    for name in ["wbl", "wal"] {
        let log = open_log(dir, name, before_recheck)?;
        logs.files.extend(log.files);
        logs.left_out.extend(log.left_out);
    }
    Ok(logs)
}

fn open_log(dir: &Path, name: &str, before_recheck: &dyn Fn(&Path)) -> Result<LogFiles> {
    let path = dir.join(name);
    for _ in 0..MAX_TRIES {
        match try_open_log(dir, name, before_recheck) {
            Ok(log) => return Ok(log),
            Err(Miss::Vanished) => {}
            Err(Miss::Unreadable(error)) => return Err(error),
        }
    }
    Err(Error::new(
        ErrorKind::Io,
        format!(
            "{} changed {MAX_TRIES} times while it was being opened",
            path.display()
        ),
    ))
}

fn try_open_log(dir: &Path, name: &str, before_recheck: &dyn Fn(&Path)) -> Result<LogFiles, Miss> {
    let path = &dir.join(name);
    let Some(listing) = LogListing::of(path)? else {
        return Ok(LogFiles::default());
    };
    let mut files = Vec::new();
    for part in listing.needed() {
        let name = FilePath::new(format!("{name}/{part}"))?;
        files.push(SourceFile::open(dir, name)?);
    }
    before_recheck(path);
    let again = LogListing::of(path)?.ok_or(Miss::Vanished)?;
    if !again.still_has(&listing) {
        return Err(Miss::Vanished);
    }
    Ok(LogFiles {
        files,
        left_out: listing.not_needed(path),
    })
}

/// What a log directory held.
#[derive(Debug, Default, PartialEq, Eq)]
struct LogListing {
    /// Segment files by number.
    segments: BTreeMap<u64, String>,
    /// The newest checkpoint, and the segments inside it by number.
    checkpoint: Option<Checkpoint>,
    others: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Checkpoint {
    number: u64,
    name: String,
    segments: BTreeMap<u64, String>,
}

impl LogListing {
    /// Lists the log at `path`; `None` when there is none.
    fn of(path: &Path) -> Result<Option<Self>> {
        let Some(names) = list(path)? else {
            return Ok(None);
        };
        let mut listing = LogListing::default();
        let mut checkpoints = BTreeMap::new();
        for (name, is_dir) in names {
            match (
                number(&name),
                name.strip_prefix("checkpoint.").and_then(number),
            ) {
                (Some(number), _) if !is_dir => {
                    listing.segments.insert(number, name);
                }
                (_, Some(number)) if is_dir => {
                    checkpoints.insert(number, name);
                }
                _ => listing.others.push(name),
            }
        }
        if let Some((number, name)) = checkpoints.pop_last() {
            listing.checkpoint = Checkpoint::of(path, number, name)?;
        }
        listing.others.extend(checkpoints.into_values());
        Ok(Some(listing))
    }

    /// Paths, relative to the log, of what a replay reads.
    fn needed(&self) -> Vec<String> {
        let inside = self.checkpoint.iter().flat_map(|checkpoint| {
            let segments = checkpoint.segments.values();
            segments.map(|segment| format!("{}/{segment}", checkpoint.name))
        });
        inside.chain(self.segments_to_replay().cloned()).collect()
    }

    fn segments_to_replay(&self) -> impl Iterator<Item = &String> {
        let replaced = self.checkpoint.as_ref().map(|checkpoint| checkpoint.number);
        self.segments
            .iter()
            .filter(move |(number, _)| replaced.is_none_or(|replaced| **number > replaced))
            .map(|(_, name)| name)
    }

    fn not_needed(&self, path: &Path) -> Vec<PathBuf> {
        let needed: Vec<_> = self.segments_to_replay().collect();
        self.segments
            .values()
            .filter(|name| !needed.contains(name))
            .chain(&self.others)
            .map(|name| path.join(name))
            .collect()
    }

    /// Whether everything that `earlier` needed is still there, under the same newest checkpoint. Newer
    /// segments do not matter: what they hold was written after the backup began.
    fn still_has(&self, earlier: &LogListing) -> bool {
        self.checkpoint == earlier.checkpoint
            && earlier
                .segments_to_replay()
                .all(|name| self.segments.values().any(|here| here == name))
    }
}

impl Checkpoint {
    /// `None` when it was deleted since its directory was listed.
    fn of(path: &Path, number: u64, name: String) -> Result<Option<Self>> {
        let Some(names) = list(&path.join(&name))? else {
            return Ok(None);
        };
        let segments = names
            .into_iter()
            .filter_map(|(name, is_dir)| Some((self::number(&name)?, name)).filter(|_| !is_dir));
        Ok(Some(Checkpoint {
            number,
            segments: segments.collect(),
            name,
        }))
    }
}

/// Names in a directory and whether each is a directory; `None` when there is no such directory. Names that are
/// not UTF-8 mean nothing to Prometheus.
fn list(path: &Path) -> Result<Option<Vec<(String, bool)>>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("list", path, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", path, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push((name, entry.path().is_dir()));
        }
    }
    names.sort();
    Ok(Some(names))
}

/// Segment and checkpoint numbers are decimal, with any number of leading zeros.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn write(dir: &Path, names: &[&str]) {
        for name in names {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }

    fn names(logs: &LogFiles) -> Vec<&str> {
        logs.files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn the_newest_checkpoint_and_what_follows_it_are_opened_after_the_wbl() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &[
                "wal/checkpoint.00000003/00000000",
                "wal/checkpoint.00000010/00000000",
                "wal/checkpoint.00000010/00000001",
                "wal/checkpoint.00000011.tmp/00000000",
                "wal/00000010",
                "wal/00000011",
                "wal/000012",
                "wal/series_state.json",
                "wbl/00000004",
            ],
        );
        let logs = open_logs(dir.path(), &|_| ()).unwrap();
        assert_eq!(
            names(&logs),
            [
                "wbl/00000004",
                "wal/checkpoint.00000010/00000000",
                "wal/checkpoint.00000010/00000001",
                "wal/00000011",
                "wal/000012",
            ]
        );
        let left_out: Vec<_> = logs
            .left_out
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            left_out,
            [
                "00000010",
                "checkpoint.00000011.tmp",
                "series_state.json",
                "checkpoint.00000003"
            ]
        );
    }

    #[test]
    fn a_directory_without_logs_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(open_logs(dir.path(), &|_| ()).unwrap().files.is_empty());
    }

    #[test]
    fn a_checkpoint_made_meanwhile_makes_it_start_over() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &["wal/00000000", "wal/00000001", "wal/00000002"],
        );
        let tries = Cell::new(0);
        let logs = open_logs(dir.path(), &|log| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 {
                write(dir.path(), &["wal/checkpoint.00000001/00000000"]);
                fs::remove_file(log.join("00000000")).unwrap();
            }
        })
        .unwrap();
        assert_eq!(tries.get(), 2);
        assert_eq!(
            names(&logs),
            ["wal/checkpoint.00000001/00000000", "wal/00000002"]
        );
    }

    #[test]
    fn a_segment_that_vanishes_makes_it_start_over_and_one_that_appears_does_not() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["wbl/00000007", "wbl/00000008"]);
        let tries = Cell::new(0);
        let logs = open_logs(dir.path(), &|log| {
            tries.set(tries.get() + 1);
            write(dir.path(), &["wbl/00000009"]);
            if tries.get() == 1 {
                fs::remove_file(log.join("00000007")).unwrap();
            }
        })
        .unwrap();
        assert_eq!(tries.get(), 2);
        assert_eq!(names(&logs), ["wbl/00000008", "wbl/00000009"]);
    }

    #[test]
    fn a_log_that_never_holds_still_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["wal/00000000"]);
        let next = Cell::new(0);
        let error = open_logs(dir.path(), &|log| {
            fs::remove_file(log.join(format!("{:08}", next.get()))).unwrap();
            next.set(next.get() + 1);
            fs::write(log.join(format!("{:08}", next.get())), b"x").unwrap();
        })
        .unwrap_err();
        assert!(error.to_string().contains("changed 100 times"), "{error}");
    }
}
