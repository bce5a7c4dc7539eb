//! What is wrong with a log, as data: place, kind, and what Prometheus will do about it.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::Log;
use super::follow::Undefined;
use super::listing::EntryType;
use super::oddity::Oddity;
use crate::raw::Malformed;

/// Something wrong or unusual at one place of a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProblem {
    /// The file or directory, relative to the log directory; empty for the log directory itself.
    pub path: String,
    /// Offset in that file, in bytes, where there is one.
    pub offset: Option<u64>,
    /// What is wrong.
    pub kind: ProblemKind,
    /// What Prometheus does at its next start because of this, were this the only problem.
    pub consequence: LogConsequence,
}

/// What is wrong at the place a [`LogProblem`] names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// Segments are missing between two that are there.
    Gap {
        /// The first that is missing.
        from: i64,
        /// The last that is missing.
        to: i64,
    },
    /// Two files have the same segment number.
    DuplicateNumber(i64),
    /// A file counts as a segment, but not under the name by which Prometheus opens that segment.
    OddName {
        /// That name.
        wanted: String,
    },
    /// The segment that replay starts with is missing.
    StartMissing {
        /// Its number: 0, or the checkpoint's plus 1.
        wanted: i64,
    },
    /// No segment is newer than the checkpoint, so that new ones get numbers that replay skips.
    BehindCheckpoint {
        /// The checkpoint's number.
        checkpoint: i64,
    },
    /// A file stands where only directories may: Prometheus refuses to look for checkpoints.
    CheckpointNotDirectory,
    /// A segment or checkpoint segment could not be opened or read.
    Unreadable {
        /// The chain of causes.
        reason: String,
    },
    /// Something else than a file stands where a segment must.
    NotAFile(EntryType),
    /// The log ends inside a record: its writer was interrupted, or still writes.
    TornTail {
        /// Where, and what was expected there.
        malformed: Malformed,
        /// How many bytes of the record there are.
        bytes: u64,
    },
    /// The newest checkpoint is sound but defines no series.
    EmptyCheckpoint,
    /// Entries refer to series that nothing before them defines.
    Undefined(Undefined),
    /// The bytes of a segment are not what was written, or it ends inside a record where it must
    /// not.
    Damaged(Malformed),
    /// Something unusual that replay passes over.
    Odd {
        /// What it is.
        oddity: Oddity,
        /// How many of them the segment holds.
        count: u64,
    },
    /// A segment that an interrupted repair has set aside; its records may be missing from the log.
    RepairLeftover,
    /// A checkpoint that was never finished.
    UnfinishedCheckpoint,
}

/// What Prometheus does about a [`LogProblem`] at its next start (observed with 2.42 and 3.16).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogConsequence {
    /// Nothing: all that was logged is replayed.
    Nothing,
    /// It cuts the torn record off and starts; it replays the WBL only at the start after that.
    CutsTail,
    /// It starts without the records in question.
    Skips,
    /// Releases before 3.4 misread the record or cut the segment there and delete all later ones;
    /// later ones read it.
    CutsInOldReleases,
    /// It starts, but what it logs from then on is not replayed at the start after that.
    LosesNewData,
    /// It starts, and crashes when it encodes these samples: when there are more of the series, at
    /// a query, or when it compacts.
    Crashes,
    /// It cuts the damaged segment, deletes all later ones, and starts. When that is a segment of
    /// the WAL, this start does not replay the WBL.
    Repairs {
        /// What is left of the damaged segment, in bytes.
        cut_at: u64,
        /// The segments it deletes.
        deletes: Later,
    },
    /// It does not start. What is there stays as it is; each attempt may add an empty segment.
    DoesNotStart,
    /// It deletes sound segments and then, as a rule, does not start.
    Destroys {
        /// The segments it deletes.
        deletes: Later,
    },
}

impl LogConsequence {
    /// What an oddity of `log` does to a replay.
    pub(super) fn of(oddity: Oddity, log: Log) -> Self {
        match oddity {
            Oddity::ReservedBits
            | Oddity::MixedZstd
            | Oddity::StrayZstd
            | Oddity::EmptyRecord
            | Oddity::MinValidTimeLength => LogConsequence::Nothing,
            Oddity::MixedCompression => LogConsequence::CutsInOldReleases,
            Oddity::UnknownRecordType(_) | Oddity::UnknownSchema => LogConsequence::Skips,
            // Samples of the WAL are encoded as they are replayed, late ones when their chunk is
            // full or compacted.
            Oddity::HistogramBuckets => match log {
                Log::Wal => LogConsequence::DoesNotStart,
                Log::Wbl => LogConsequence::Crashes,
            },
        }
    }
}

/// Paths of segments that follow one. Those of all places in one log share their memory: there may
/// be as many as segments.
#[derive(Clone)]
pub struct Later {
    all: Arc<[String]>,
    range: Range<usize>,
}

impl Later {
    /// Those of `all` in `range`.
    pub(super) fn of(all: &Arc<[String]>, range: Range<usize>) -> Self {
        Later {
            all: Arc::clone(all),
            range,
        }
    }
}

impl Deref for Later {
    type Target = [String];

    fn deref(&self) -> &[String] {
        self.all.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<Vec<String>> for Later {
    fn from(paths: Vec<String>) -> Self {
        let range = 0..paths.len();
        Later {
            all: paths.into(),
            range,
        }
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Later {}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Later {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl LogProblem {
    /// Whether a segment's content is at fault, not a name or a rarity.
    pub fn is_damage(&self) -> bool {
        matches!(
            self.kind,
            ProblemKind::Damaged(_) | ProblemKind::Unreadable { .. } | ProblemKind::NotAFile(_)
        )
    }

    /// Whether no sample is lost because of it.
    pub fn is_harmless(&self) -> bool {
        matches!(
            self.consequence,
            LogConsequence::Nothing | LogConsequence::CutsTail
        )
    }
}

impl LogConsequence {
    /// Whether Prometheus does not start.
    pub fn keeps_from_starting(&self) -> bool {
        matches!(
            self,
            LogConsequence::DoesNotStart | LogConsequence::Destroys { .. }
        )
    }

    /// Whether replay ends here, so that later problems have no say.
    pub fn ends_replay(&self) -> bool {
        match self {
            LogConsequence::Nothing
            | LogConsequence::CutsTail
            | LogConsequence::Skips
            | LogConsequence::CutsInOldReleases
            | LogConsequence::LosesNewData
            | LogConsequence::Crashes => false,
            LogConsequence::Repairs { .. }
            | LogConsequence::DoesNotStart
            | LogConsequence::Destroys { .. } => true,
        }
    }
}

impl fmt::Display for LogProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        self.kind.fmt(f)?;
        if let (ProblemKind::Odd { .. }, Some(offset)) = (&self.kind, self.offset) {
            write!(f, ", first at offset {offset}")?;
        }
        write!(f, " (Prometheus {})", self.consequence)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProblemKind::Gap { from, to } if from == to => write!(f, "segment {from} is missing"),
            ProblemKind::Gap { from, to } => write!(f, "segments {from} to {to} are missing"),
            ProblemKind::DuplicateNumber(number) => {
                write!(f, "segment number {number} occurs twice")
            }
            ProblemKind::OddName { wanted } => write!(f, "expected file name {wanted}"),
            ProblemKind::StartMissing { wanted } => {
                write!(f, "replay starts with segment {wanted}, which is missing")
            }
            ProblemKind::BehindCheckpoint { checkpoint } => {
                write!(f, "expected a segment newer than checkpoint {checkpoint}")
            }
            ProblemKind::CheckpointNotDirectory => f.write_str("expected a directory"),
            ProblemKind::Unreadable { reason } => f.write_str(reason),
            ProblemKind::NotAFile(found) => write!(f, "expected a file, found {}", found.name()),
            ProblemKind::TornTail { malformed, bytes } => {
                write!(f, "{malformed}: the record is torn after {bytes} bytes")
            }
            ProblemKind::EmptyCheckpoint => {
                f.write_str("expected series in the checkpoint, found none")
            }
            ProblemKind::Undefined(undefined) => undefined.fmt(f),
            ProblemKind::Damaged(malformed) => malformed.fmt(f),
            ProblemKind::Odd { oddity, count } => write!(f, "{oddity}, {count} times"),
            ProblemKind::RepairLeftover => f.write_str("set aside by an interrupted repair"),
            ProblemKind::UnfinishedCheckpoint => f.write_str("unfinished checkpoint"),
        }
    }
}

impl fmt::Display for LogConsequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogConsequence::Nothing => f.write_str("replays everything"),
            LogConsequence::CutsTail => f.write_str(
                "cuts it off and starts; it replays the WBL only at the start after that",
            ),
            LogConsequence::Skips => f.write_str("starts without these records"),
            LogConsequence::CutsInOldReleases => f.write_str(
                "3.4 and newer read it; 2.42 misreads the record, or cuts the segment here and deletes all later ones",
            ),
            LogConsequence::LosesNewData => {
                f.write_str("starts, but loses new samples at its next restart")
            }
            LogConsequence::Crashes => f.write_str("crashes when it encodes them"),
            LogConsequence::Repairs { deletes, .. } if deletes.is_empty() => {
                f.write_str("cuts the segment here and starts")
            }
            LogConsequence::Repairs { deletes, .. } => {
                write!(
                    f,
                    "cuts the segment here, deletes {} later segments and starts",
                    deletes.len()
                )
            }
            LogConsequence::DoesNotStart => f.write_str("does not start"),
            LogConsequence::Destroys { deletes } => {
                write!(
                    f,
                    "deletes {} sound segments and does not start",
                    deletes.len()
                )
            }
        }
    }
}
