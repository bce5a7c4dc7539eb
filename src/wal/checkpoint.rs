//! Checkpoints, and what of a log Prometheus replays.

use super::Log;
use super::listing::{Checkpoint, Extra, LogListing, SegmentFile};
use super::problem::{LogConsequence, LogProblem, ProblemKind};

/// What Prometheus replays of a log, in this order, and what in the names stands against it.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    /// The newest checkpoint.
    pub checkpoint: Option<&'a Checkpoint>,
    /// The segments after it.
    pub segments: Vec<&'a SegmentFile>,
    /// Segments that the checkpoint replaces. They are not read any more, and deleted some time.
    pub superseded: Vec<&'a SegmentFile>,
    /// What is wrong with the names, in the order in which a start meets it.
    pub problems: Vec<LogProblem>,
}

impl<'a> Replay<'a> {
    /// What it reads, in its order.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = &'a SegmentFile> + '_ {
        let checkpoint = self.checkpoint.map_or(&[][..], |point| &point.segments);
        checkpoint.iter().chain(self.segments.iter().copied())
    }
}

impl LogListing {
    /// What Prometheus replays of this directory as a `log` of that kind.
    pub fn replay(&self, log: Log) -> Replay<'_> {
        let checkpoint = match log {
            Log::Wal => self.checkpoints.last(),
            Log::Wbl => None,
        };
        let covered = |segment: &&SegmentFile| {
            checkpoint.is_some_and(|checkpoint| segment.number <= checkpoint.number)
        };
        let (superseded, segments): (Vec<_>, Vec<_>) = self.segments.iter().partition(covered);
        let mut problems = gaps(&self.segments, "");
        problems.extend(self.extras.iter().filter_map(|extra| left_over(extra, log)));
        if let Some(checkpoint) = checkpoint {
            problems.extend(gaps(&checkpoint.segments, &checkpoint.path));
        }
        if log == Log::Wal {
            problems.extend(start(checkpoint, &segments));
        }
        problems.extend(segments.iter().copied().filter_map(odd_name));
        Replay {
            checkpoint,
            segments,
            superseded,
            problems,
        }
    }
}

fn problem(path: &str, kind: ProblemKind, consequence: LogConsequence) -> LogProblem {
    LogProblem {
        path: path.to_owned(),
        offset: None,
        kind,
        consequence,
    }
}

/// Numbers that do not follow each other in `segments`, which stand in directory `path`.
fn gaps(segments: &[SegmentFile], path: &str) -> Vec<LogProblem> {
    let pairs = segments.iter().zip(segments.iter().skip(1));
    let faulty = pairs.filter_map(|(before, after)| {
        // Numbers are sorted, so that the difference fits after the first comparison.
        if before.number == after.number {
            Some(ProblemKind::DuplicateNumber(after.number))
        } else if before.number.checked_add(1) != Some(after.number) {
            Some(ProblemKind::Gap {
                from: before.number.saturating_add(1),
                to: after.number.saturating_sub(1),
            })
        } else {
            None
        }
    });
    faulty
        .map(|kind| problem(path, kind, LogConsequence::DoesNotStart))
        .collect()
}

fn left_over(extra: &Extra, log: Log) -> Option<LogProblem> {
    match extra {
        Extra::CheckpointNotDirectory(path) if log == Log::Wal => Some(problem(
            path,
            ProblemKind::CheckpointNotDirectory,
            LogConsequence::DoesNotStart,
        )),
        Extra::UnfinishedCheckpoint(path) => Some(problem(
            path,
            ProblemKind::UnfinishedCheckpoint,
            LogConsequence::Nothing,
        )),
        Extra::Repair(path) => Some(problem(
            path,
            ProblemKind::RepairLeftover,
            LogConsequence::Skips,
        )),
        Extra::CheckpointNotDirectory(_) | Extra::SeriesState(_) | Extra::Foreign(_) => None,
    }
}

/// Whether the WAL starts where replay does.
fn start(checkpoint: Option<&Checkpoint>, segments: &[&SegmentFile]) -> Option<LogProblem> {
    let wanted = checkpoint.map_or(0, |checkpoint| checkpoint.number.saturating_add(1));
    match (checkpoint, segments.first()) {
        (Some(checkpoint), None) => Some(problem(
            &checkpoint.path,
            ProblemKind::BehindCheckpoint {
                checkpoint: checkpoint.number,
            },
            LogConsequence::LosesNewData,
        )),
        // An earlier first segment (there are negative numbers) is no obstacle: replay passes over
        // it.
        (_, Some(first)) if first.number > wanted => Some(problem(
            "",
            ProblemKind::StartMissing { wanted },
            LogConsequence::DoesNotStart,
        )),
        (_, Some(_)) | (None, None) => None,
    }
}

fn odd_name(segment: &SegmentFile) -> Option<LogProblem> {
    let wanted = SegmentFile::name_of(segment.number);
    (segment.path != wanted).then(|| {
        problem(
            &segment.path,
            ProblemKind::OddName { wanted },
            LogConsequence::DoesNotStart,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::listing::LogEntry;
    use super::*;

    fn wal(names: &[&str]) -> LogListing {
        let entry = |name: &&str| match name.strip_suffix('/') {
            Some(name) => LogEntry::directory(name),
            None => LogEntry::file(*name),
        };
        LogListing::of(names.iter().map(entry))
    }

    fn said(listing: &LogListing, log: Log) -> Vec<String> {
        let problems = listing.replay(log).problems;
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn replay_takes_the_newest_checkpoint_and_the_segments_after_it() {
        let listing = wal(&[
            "00000007",
            "checkpoint.00000003/",
            "00000005",
            "checkpoint.00000005/00000001",
            "00000006",
            "checkpoint.00000005/00000000",
            "series_state.json",
            "README",
        ]);
        let replay = listing.replay(Log::Wal);
        let checkpoint = replay.checkpoint.unwrap();
        assert_eq!(checkpoint.number, 5);
        assert_eq!(checkpoint.segments[0].path, "checkpoint.00000005/00000000");
        assert_eq!(checkpoint.segments[1].number, 1);
        let numbers: Vec<_> = replay.segments.iter().map(|s| s.number).collect();
        assert_eq!(numbers, [6, 7]);
        assert_eq!(replay.superseded.len(), 1);
        assert_eq!(replay.problems, []);
        assert_eq!(listing.checkpoints.len(), 2);
        assert_eq!(
            listing.extras,
            [
                Extra::SeriesState("series_state.json".into()),
                Extra::Foreign("README".into())
            ]
        );
    }

    #[test]
    fn every_disease_of_the_names_is_told_with_its_consequence() {
        let fatal = "(Prometheus does not start)";
        for (names, wanted) in [
            (&["00000000", "00000007"][..], format!("segments 1 to 6 are missing {fatal}")),
            (&["00000000", "00000002"], format!("segment 1 is missing {fatal}")),
            (
                &["00000003", "00000004"],
                format!("replay starts with segment 0, which is missing {fatal}"),
            ),
            (
                &["checkpoint.00000005/", "00000008", "00000009"],
                format!("replay starts with segment 6, which is missing {fatal}"),
            ),
            (
                &["checkpoint.00000005/", "00000004"],
                "checkpoint.00000005: expected a segment newer than checkpoint 5 (Prometheus starts, but loses new \
                 samples at its next restart)"
                    .into(),
            ),
            (
                &["checkpoint.00000000/00000000", "checkpoint.00000000/00000002", "00000001"],
                format!("checkpoint.00000000: segment 1 is missing {fatal}"),
            ),
            (&["000000"], format!("000000: expected file name 00000000 {fatal}")),
            (&["checkpoint.x"], format!("checkpoint.x: expected a directory {fatal}")),
            (
                &["00000000.repair", "00000000"],
                "00000000.repair: set aside by an interrupted repair (Prometheus starts without these records)".into(),
            ),
            (
                &["checkpoint.00000001.tmp/"],
                "checkpoint.00000001.tmp: unfinished checkpoint (Prometheus replays everything)".into(),
            ),
        ] {
            assert_eq!(said(&wal(names), Log::Wal), [wanted], "{names:?}");
        }
    }

    #[test]
    fn two_names_for_one_number_are_told() {
        let problems = wal(&["00000000", "0"]).replay(Log::Wal).problems;
        assert_eq!(problems[0].kind, ProblemKind::DuplicateNumber(0));
    }

    #[test]
    fn a_wbl_may_start_anywhere_and_an_empty_wal_is_sound() {
        assert!(said(&wal(&["00000004", "00000005"]), Log::Wbl).is_empty());
        assert!(said(&wal(&[]), Log::Wal).is_empty());
        assert_eq!(said(&wal(&["00000004", "00000006"]), Log::Wbl).len(), 1);
    }

    #[test]
    fn absurd_numbers_neither_panic_nor_pass() {
        let least = i64::MIN.to_string();
        let most = i64::MAX.to_string();
        let newest = format!("checkpoint.{most}/");
        let listing = wal(&[&least, &most, &newest, "99999999999999999999", "-", "+1"]);
        let replay = listing.replay(Log::Wal);
        assert!(
            replay.problems.iter().any(|p| matches!(
                p.kind,
                ProblemKind::Gap { from, to: 0 } if from == i64::MIN + 1
            )),
            "{:?}",
            replay.problems
        );
    }
}
