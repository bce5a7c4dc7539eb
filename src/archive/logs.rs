//! WAL and WBL of a live directory, opened in the order in which nothing can be lost.
//!
//! Samples move from the logs into blocks, and a log is cut only when the block is complete. So the
//! logs are opened first and blocks are listed afterwards: a sample is then in the logs, in a
//! block, or in both. Inside `wal`, a checkpoint replaces the segments up to its number before they
//! are deleted; if the newest checkpoint has changed or a listed segment has vanished once
//! everything is open, the set is not coherent, and is opened anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{BackupProblem, ProblemKind};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::raw::{Links, ReadMode};
use crate::repository::FilePath;
use crate::stored::write::{Miss, SourceFile};
use crate::wal::{
    EntryType, Extra, Follow, Log, LogEntry, LogListing, LogRecord, Records, Replay, SegmentFile,
    follow,
};

/// How often a log that changes while it is being opened is tried. Checkpoints are minutes apart.
const MAX_TRIES: usize = 100;

/// The logs and the names of their directories, in the order in which they are opened.
const LOGS: [(Log, &str); 2] = [(Log::Wbl, "wbl"), (Log::Wal, "wal")];

/// The open files of `wbl` and `wal`.
#[derive(Debug, Default)]
pub(super) struct LogFiles {
    /// What a replay reads, in its order; the WBL first.
    pub(super) files: Vec<SourceFile>,
    /// What else lies in the directories.
    pub(super) left_out: Vec<PathBuf>,
    /// What a replay would read but nobody can, by name below the data directory, with the reason.
    /// In place of a segment an empty one is among `files`: without, the numbers would not
    /// follow each other, and no Prometheus would start on them.
    pub(super) odd: BTreeMap<String, String>,
    /// Directories without files that a start looks for: the newest checkpoint, and `wal` beside a
    /// WBL.
    pub(super) empty_dirs: Vec<FilePath>,
}

/// What the logs hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogSpan {
    /// Time of the first sample.
    pub(super) min_time: Option<Millis>,
    /// Time of the last sample.
    pub(super) max_time: Option<Millis>,
    /// Number of samples.
    pub(super) samples: u64,
    /// What the WBL has of them: their number, and the times of the first and the last.
    pub(super) late: Option<(u64, Option<(Millis, Millis)>)>,
    /// Number of deletions.
    pub(super) deletions: u64,
    /// What keeps a Prometheus from starting on them, as a sentence.
    pub(super) start_problem: Option<String>,
    /// Samples in each file, by its name.
    pub(super) by_file: BTreeMap<String, u64>,
    /// What is wrong with them. A torn end is not: the server was writing.
    pub(super) problems: Vec<BackupProblem>,
}

impl LogFiles {
    /// Reads the logs and says what a replay would bring back. Samples of the WAL before
    /// `blocks_end`, the end of the newest block that was not made of out-of-order samples, are
    /// not missed.
    pub(super) fn prove(&self, blocks_end: Option<Millis>, mode: ReadMode) -> LogSpan {
        let mut span = LogSpan::default();
        let mut series = Follow::new(blocks_end.unwrap_or(Millis::MIN));
        for log in [Log::Wal, Log::Wbl] {
            self.prove_log(log, &mut series, mode, &mut span);
        }
        span
    }

    fn prove_log(&self, log: Log, series: &mut Follow, mode: ReadMode, span: &mut LogSpan) {
        let dir = log.name();
        let names = self.files.iter().map(|file| file.name.as_str());
        let inside = names.filter_map(|name| name.strip_prefix(dir)?.strip_prefix('/'));
        let empty = self.empty_dirs.iter();
        let empty = empty.filter_map(|name| name.as_str().strip_prefix(dir)?.strip_prefix('/'));
        let entries = inside
            .map(LogEntry::file)
            .chain(empty.map(LogEntry::directory));
        let listing = LogListing::of(entries);
        if listing == LogListing::default() {
            return;
        }
        let summary = follow(&listing, log, series, |segment| {
            let name = format!("{dir}/{}", segment.path);
            let file = self.files.iter().find(|file| file.name.as_str() == name);
            file.ok_or_else(|| Error::not_found(name))?.content(mode)
        });
        if let Some((min, max)) = summary.replayed.times {
            span.min_time = Some(span.min_time.map_or(min, |time| time.min(min)));
            span.max_time = span.max_time.max(Some(max));
        }
        span.samples += summary.replayed.samples();
        let segments = summary.checkpoint.iter().chain(&summary.segments);
        span.by_file.extend(segments.map(|segment| {
            let name = format!("{dir}/{}", segment.path);
            (name, segment.contents.samples())
        }));
        if log == Log::Wbl {
            span.late = Some((summary.replayed.samples(), summary.replayed.times));
        }
        span.deletions += summary.replayed.tombstones;
        let outcome = summary.outcome();
        if span.start_problem.is_none() && outcome.keeps_from_starting() {
            let first = summary.problems.iter();
            let mut first = first.filter(|problem| problem.consequence == *outcome);
            span.start_problem = first.next().map(|problem| format!("{dir}/{problem}"));
        }
        let problems = summary.problems.iter();
        let problems = problems.filter(|problem| !problem.is_harmless());
        span.problems.extend(problems.map(|problem| {
            let place = match problem.path.as_str() {
                "" => dir.to_owned(),
                path => format!("{dir}/{path}"),
            };
            ProblemKind::LogFaulty.at(place, format!("{dir}/{problem}"))
        }));
    }

    /// The WBL segment that an out-of-order compaction was working on when the logs were opened.
    ///
    /// Such a compaction begins a new segment and logs markers with reference 0 there. Replay takes
    /// them as "all that was logged for this series before is elsewhere", but until the
    /// compaction has written its blocks it is nowhere else; then the segments before the
    /// markers are deleted. So while the one just before them is there, logs and blocks
    /// together do not bring every sample back.
    pub(super) fn compacting(&self, mode: ReadMode) -> Option<&Path> {
        let in_wbl = |file: &&SourceFile| file.name.as_str().starts_with("wbl/");
        let segments: Vec<_> = self.files.iter().filter(in_wbl).collect();
        let pairs = segments.iter().zip(segments.iter().skip(1));
        let mut disowned = pairs.filter(|(_, next)| next.content(mode).is_ok_and(|c| disowns(&c)));
        disowned.next_back().map(|(segment, _)| segment.path())
    }

    /// Length of all files together, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Whether a segment holds a marker with reference 0.
fn disowns(segment: &[u8]) -> bool {
    let mut records = Records::new(segment);
    while let Ok(Some(record)) = records.next_record() {
        if let Ok(Some(LogRecord::Markers(markers))) = record.decode()
            && markers.flatten().any(|marker| marker.chunk.0 == 0)
        {
            return true;
        }
    }
    false
}

/// Opens the logs of the data directory `dir`; a log that does not exist has no files.
///
/// `before_recheck` is called between opening and listing again (tests make things vanish there).
pub(super) fn open_logs(dir: &Path, links: Links, before_recheck: &dyn Fn(&Path)) -> LogFiles {
    let mut logs = LogFiles::default();
    for (log, name) in LOGS {
        match open_log(dir, links, (log, name), before_recheck) {
            Ok(opened) => {
                logs.files.extend(opened.files);
                logs.left_out.extend(opened.left_out);
                logs.odd.extend(opened.odd);
                logs.empty_dirs.extend(opened.empty_dirs);
            }
            Err(error) => {
                logs.odd.insert(name.to_owned(), error.chain());
            }
        }
    }
    if logs.files.is_empty() {
        // A start makes what it needs when there is no log at all.
        logs.empty_dirs.clear();
    }
    logs
}

fn open_log(
    dir: &Path,
    links: Links,
    log: (Log, &str),
    before_recheck: &dyn Fn(&Path),
) -> Result<LogFiles> {
    let name = log.1;
    let path = dir.join(name);
    let is_there = || path.symlink_metadata().is_ok();
    if is_there() && !path.is_dir() {
        // On a disk that is not mounted, for example.
        let found = if path.is_symlink() {
            "a link to nothing, or to no directory"
        } else {
            "something else"
        };
        let path = path.display();
        return Err(Error::new(
            ErrorKind::Io,
            format!("{path}: expected a directory, found {found}"),
        ));
    }
    for _ in 0..MAX_TRIES {
        match try_open_log(dir, links, log, before_recheck) {
            Ok(opened) => return Ok(opened),
            Err(Miss::Vanished) if !is_there() => return Ok(LogFiles::default()),
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

fn try_open_log(
    dir: &Path,
    links: Links,
    (log, name): (Log, &str),
    before_recheck: &dyn Fn(&Path),
) -> Result<LogFiles, Miss> {
    let path = dir.join(name);
    let listing = LogListing::read(&path)?;
    let replay = listing.replay(log);
    let mut opened = LogFiles::default();
    for segment in replay.files() {
        let file = FilePath::new(format!("{name}/{}", segment.path))?;
        match open_segment(dir, links, segment, &file)? {
            Ok(source) => opened.files.push(source),
            Err(reason) => {
                opened.odd.insert(
                    file.to_string(),
                    format!("{reason}; an empty segment is archived in its place"),
                );
                opened.files.push(SourceFile::empty(dir, file));
            }
        }
    }
    if let Some(empty) = replay.checkpoint.filter(|point| point.segments.is_empty()) {
        let empty = format!("{name}/{}", empty.path);
        opened.empty_dirs.push(FilePath::new(empty)?);
    } else if opened.files.is_empty() {
        opened.empty_dirs.push(FilePath::new(name.to_owned())?);
    }
    before_recheck(&path);
    let again = LogListing::read(&path)?;
    if !still_has(&again.replay(log), &replay) {
        return Err(Miss::Vanished);
    }
    let left_out = not_needed(&listing, &replay);
    opened.left_out = left_out.map(|name| path.join(name)).collect();
    Ok(opened)
}

/// Opens the file `name` of `segment`, or says why it cannot be archived.
fn open_segment(
    dir: &Path,
    links: Links,
    segment: &SegmentFile,
    name: &FilePath,
) -> Result<Result<SourceFile, String>, Miss> {
    if segment.kind != EntryType::File {
        let found = segment.kind.name();
        return Ok(Err(format!("expected a file, found {found}")));
    }
    match SourceFile::open(dir, name.clone(), links).map_err(Miss::from) {
        Ok(source) => Ok(Ok(source)),
        Err(Miss::Vanished) => Err(Miss::Vanished),
        Err(Miss::Unreadable(error)) => Ok(Err(error.chain())),
    }
}

/// What else there is, by name.
fn not_needed<'a>(
    listing: &'a LogListing,
    replay: &'a Replay<'a>,
) -> impl Iterator<Item = &'a String> {
    let old = listing.checkpoints.iter();
    let old = old.filter(|point| Some(*point) != replay.checkpoint);
    let extras = listing.extras.iter().map(|extra| match extra {
        Extra::UnfinishedCheckpoint(name)
        | Extra::CheckpointNotDirectory(name)
        | Extra::Repair(name)
        | Extra::SeriesState(name)
        | Extra::Foreign(name) => name,
    });
    let superseded = replay.superseded.iter().map(|segment| &segment.path);
    superseded.chain(old.map(|point| &point.path)).chain(extras)
}

/// Whether everything that `earlier` needed is still there, under the same newest checkpoint. Newer
/// segments do not matter: what they hold was written after the backup began.
fn still_has(now: &Replay<'_>, earlier: &Replay<'_>) -> bool {
    now.checkpoint == earlier.checkpoint
        && earlier
            .segments
            .iter()
            .all(|segment| now.segments.contains(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;

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
        let logs = open_logs(dir.path(), Links::Refused, &|_| ());
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
                "checkpoint.00000003",
                "checkpoint.00000011.tmp",
                "series_state.json",
            ]
        );
    }

    #[test]
    fn a_directory_without_logs_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            open_logs(dir.path(), Links::Refused, &|_| ())
                .files
                .is_empty()
        );
    }

    #[test]
    fn a_checkpoint_made_meanwhile_makes_it_start_over() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            &["wal/00000000", "wal/00000001", "wal/00000002"],
        );
        let tries = Cell::new(0);
        let logs = open_logs(dir.path(), Links::Refused, &|log| {
            tries.set(tries.get() + 1);
            if tries.get() == 1 {
                write(dir.path(), &["wal/checkpoint.00000001/00000000"]);
                fs::remove_file(log.join("00000000")).unwrap();
            }
        });
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
        let logs = open_logs(dir.path(), Links::Refused, &|log| {
            tries.set(tries.get() + 1);
            write(dir.path(), &["wbl/00000009"]);
            if tries.get() == 1 {
                fs::remove_file(log.join("00000007")).unwrap();
            }
        });
        assert_eq!(tries.get(), 2);
        assert_eq!(names(&logs), ["wbl/00000008", "wbl/00000009"]);
    }

    #[test]
    fn a_log_that_never_holds_still_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["wal/00000000"]);
        let next = Cell::new(0);
        let logs = open_logs(dir.path(), Links::Refused, &|log| {
            fs::remove_file(log.join(format!("{:08}", next.get()))).unwrap();
            next.set(next.get() + 1);
            fs::write(log.join(format!("{:08}", next.get())), b"x").unwrap();
        });
        let error = &logs.odd["wal"];
        assert!(error.contains("changed 100 times"), "{error}");
    }

    #[test]
    fn one_odd_entry_costs_that_entry_and_leaves_an_empty_segment_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = "wal/checkpoint.00000003/00000000";
        write(
            dir.path(),
            &["wal/00000004", "wal/00000008", checkpoint, "target"],
        );
        let wal = dir.path().join("wal");
        fs::create_dir(wal.join("00000005")).unwrap();
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            wal.join("00000006"),
            rustix::fs::Mode::RWXU,
        )
        .unwrap();
        std::os::unix::fs::symlink("../target", wal.join("00000007")).unwrap();
        fs::remove_file(dir.path().join(checkpoint)).unwrap();
        fs::create_dir_all(dir.path().join(checkpoint).join("x")).unwrap();
        let logs = open_logs(dir.path(), Links::Refused, &|_| ());
        let expected = [
            (checkpoint, 0),
            ("wal/00000004", 12),
            ("wal/00000005", 0),
            ("wal/00000006", 0),
            ("wal/00000007", 0),
            ("wal/00000008", 12),
        ];
        let found: Vec<_> = logs
            .files
            .iter()
            .map(|f| (f.name.as_str(), f.bytes))
            .collect();
        assert_eq!(found, expected);
        for (name, reason) in [
            (checkpoint, "expected a file, found a directory; an empty"),
            (
                "wal/00000005",
                "expected a file, found an empty directory; an empty",
            ),
            (
                "wal/00000006",
                "expected a file, found a named pipe; an empty",
            ),
            ("wal/00000007", "link"),
        ] {
            assert!(logs.odd[name].contains(reason), "{}", logs.odd[name]);
        }
        assert_eq!(logs.odd.len(), 4);
        assert!(logs.files[2].content(ReadMode::Map).unwrap().is_empty());
    }

    #[test]
    fn empty_directories_that_a_start_looks_for_are_told() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &["wal/00000004"]);
        fs::create_dir(dir.path().join("wal/checkpoint.00000003")).unwrap();
        let logs = open_logs(dir.path(), Links::Refused, &|_| ());
        assert_eq!(logs.empty_dirs[0].as_str(), "wal/checkpoint.00000003");
        assert_eq!(logs.prove(None, ReadMode::Map).start_problem, None);

        fs::remove_dir(dir.path().join("wal/checkpoint.00000003")).unwrap();
        let logs = open_logs(dir.path(), Links::Refused, &|_| ());
        let problem = logs.prove(None, ReadMode::Map).start_problem.unwrap();
        assert!(
            problem.contains("replay starts with segment 0, which is missing"),
            "{problem}"
        );
    }
}
