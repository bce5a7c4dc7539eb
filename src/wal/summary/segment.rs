//! What one segment holds, and how it ends.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::raw::Malformed;
use crate::wal::Log;
use crate::wal::ahead::for_each_record;
use crate::wal::contents::{Contents, contents_of};
use crate::wal::follow::Follow;
use crate::wal::listing::{EntryType, SegmentFile};
use crate::wal::oddity::{Oddities, Oddity, Seen};
use crate::wal::page::Broken;
use crate::wal::problem::{Later, LogConsequence, LogProblem, ProblemKind};

/// How the readable part of a segment ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With the segment.
    Clean,
    /// Inside a record that was not, or not yet, written completely.
    Torn(Malformed),
    /// With damage.
    Damaged(Malformed),
    /// Before it began: the segment could not be opened.
    Unreadable(String),
    /// Before it began: it is no file.
    NotAFile(EntryType),
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its number.
    pub number: i64,
    /// Path relative to the log directory.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Size of what replay keeps, in bytes: up to the end of the last sound record, or all.
    pub sound_bytes: u64,
    /// What stands in its sound records.
    pub contents: Contents,
    /// What is unusual in it.
    pub oddities: Oddities,
    /// How it ends.
    pub end: End,
}

impl SegmentSummary {
    /// Reads segment `file`, whose content is `bytes`, up to its end or the first damage.
    pub fn of(file: &SegmentFile, bytes: &[u8]) -> Self {
        Self::following(file, bytes, &mut Follow::default())
    }

    pub(super) fn following(file: &SegmentFile, bytes: &[u8], follow: &mut Follow) -> Self {
        let mut contents = Contents::default();
        let mut odd = Oddities::default();
        let mut sound = 0;
        let mut malformed = None;
        let read = for_each_record(bytes, |record| {
            match contents_of(record, &mut odd, follow) {
                Ok(found) => {
                    contents.add(&found);
                    follow.commit(&file.path, record.offset);
                    sound = record.end;
                    ControlFlow::Continue(())
                }
                Err(fault) => {
                    follow.discard();
                    malformed = Some((fault, record.is_padded));
                    ControlFlow::Break(())
                }
            }
        });
        let end = match (malformed, read.broken) {
            (Some((fault, true)), _) | (None, Some(Broken::Torn(fault))) => End::Torn(fault),
            (Some((fault, false)), _) | (None, Some(Broken::Damaged(fault))) => End::Damaged(fault),
            (None, None) => End::Clean,
        };
        odd.add(&read.oddities);
        if end != End::Clean {
            follow.end();
        }
        let bytes = bytes.len() as u64;
        SegmentSummary {
            number: file.number,
            path: file.path.clone(),
            bytes,
            sound_bytes: if end == End::Clean { bytes } else { sound },
            contents,
            oddities: odd,
            end,
        }
    }

    /// What is wrong with it; `consequence` is that of damage, given the segments that are later
    /// than this one in `all`.
    pub(super) fn problems(
        &self,
        log: Log,
        all: &All,
        consequence: impl FnOnce(Later) -> LogConsequence,
    ) -> Vec<LogProblem> {
        let mut problems = self.odd(log);
        let ends = match &self.end {
            End::Clean => return problems,
            End::Unreadable(reason) => LogProblem {
                path: self.path.clone(),
                offset: None,
                kind: ProblemKind::Unreadable {
                    reason: reason.clone(),
                },
                consequence: LogConsequence::DoesNotStart,
            },
            End::NotAFile(found) => {
                let later = all.after(self.number);
                LogProblem {
                    path: self.path.clone(),
                    offset: None,
                    kind: ProblemKind::NotAFile(*found),
                    consequence: match found {
                        EntryType::EmptyDirectory => consequence(later),
                        EntryType::Directory => LogConsequence::Destroys { deletes: later },
                        EntryType::File | EntryType::Pipe | EntryType::Other => {
                            LogConsequence::DoesNotStart
                        }
                    },
                }
            }
            End::Torn(malformed) | End::Damaged(malformed) => {
                let later = all.after(self.number);
                LogProblem {
                    path: self.path.clone(),
                    offset: Some(malformed.offset),
                    kind: ProblemKind::Damaged(malformed.clone()),
                    consequence: consequence(later),
                }
            }
        };
        problems.push(ends);
        problems
    }

    pub(super) fn odd(&self, log: Log) -> Vec<LogProblem> {
        let problem = |(oddity, seen): (Oddity, Seen)| LogProblem {
            path: self.path.clone(),
            offset: Some(seen.first),
            kind: ProblemKind::Odd {
                oddity,
                count: seen.count,
            },
            consequence: LogConsequence::of(oddity, log),
        };
        self.oddities.iter().map(problem).collect()
    }

    /// What replay does not keep of it.
    pub(super) fn torn_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.sound_bytes)
    }

    pub(super) fn ended(file: &SegmentFile, end: End) -> Self {
        SegmentSummary {
            number: file.number,
            path: file.path.clone(),
            bytes: 0,
            sound_bytes: 0,
            contents: Contents::default(),
            oddities: Oddities::default(),
            end,
        }
    }
}

/// All segments beside the checkpoints, read or not, by their numbers.
pub(super) struct All {
    numbers: Vec<i64>,
    paths: Arc<[String]>,
    /// Places of the directories with something in them.
    full: Vec<usize>,
}

impl All {
    pub(super) fn of(segments: &[SegmentFile]) -> Self {
        let is_full = |segment: &SegmentFile| segment.kind == EntryType::Directory;
        let places = segments.iter().enumerate();
        All {
            numbers: segments.iter().map(|segment| segment.number).collect(),
            paths: segments
                .iter()
                .map(|segment| segment.path.clone())
                .collect(),
            full: places
                .filter(|(_, segment)| is_full(segment))
                .map(|(place, _)| place)
                .collect(),
        }
    }

    fn first_after(&self, number: i64) -> usize {
        self.numbers.partition_point(|other| *other <= number)
    }

    /// The segments behind that of this number.
    fn after(&self, number: i64) -> Later {
        Later::of(&self.paths, self.first_after(number)..self.paths.len())
    }

    /// The segments behind that of this number, up to the first directory with something in it, if
    /// there is one.
    pub(super) fn before_full(&self, number: i64) -> Option<Later> {
        let first = self.first_after(number);
        let next = self.full.partition_point(|place| *place < first);
        let end = self.full.get(next)?;
        Some(Later::of(&self.paths, first..*end))
    }
}
