//! What a log holds as a whole, and what Prometheus will make of it.

mod segment;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;

use super::Log;
use super::contents::Contents;
use super::follow::{Follow, Undefined};
use super::listing::{EntryType, LogListing, SegmentFile};
use super::problem::{Later, LogConsequence, LogProblem, ProblemKind};
use crate::error::Result;
use crate::raw::{FileBytes, Malformed, ReadMode};
use segment::All;
pub use segment::{End, SegmentSummary};

/// A whole log as replay sees it.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The segments of the newest checkpoint.
    pub checkpoint: Vec<SegmentSummary>,
    /// The segments after it.
    pub segments: Vec<SegmentSummary>,
    /// Segments that the checkpoint replaces; they were not read.
    pub superseded: Vec<SegmentFile>,
    /// What replay brings back: everything up to the first damage.
    pub replayed: Contents,
    /// What stands after the first damage, sound but lost to Prometheus.
    pub dropped: Contents,
    /// Entries that replay passes over because nothing before them defines their series. Nothing
    /// unless the log was [followed](follow).
    pub undefined: Undefined,
    /// Everything wrong or unusual, in the order in which a start meets it.
    pub problems: Vec<LogProblem>,
}

impl Summary {
    /// Size in bytes of all segments that replay reads.
    pub fn bytes(&self) -> u64 {
        self.replay_order().map(|segment| segment.bytes).sum()
    }

    /// The torn record at the end of the log, if there is one: its segment, and where that was cut
    /// off.
    pub fn torn_tail(&self) -> Option<(&SegmentSummary, &Malformed)> {
        let tail = self.segments.get(self.tail()?)?;
        match &tail.end {
            End::Torn(malformed) => Some((tail, malformed)),
            End::Clean | End::Damaged(_) | End::Unreadable(_) | End::NotAFile(_) => None,
        }
    }

    /// The first damage that replay meets.
    pub fn first_damage(&self) -> Option<&LogProblem> {
        self.problems.iter().find(|problem| problem.is_damage())
    }

    /// What a start of Prometheus comes to: the first problem that ends it or its replay, else the
    /// worst.
    pub fn outcome(&self) -> &LogConsequence {
        let all = || self.problems.iter().map(|problem| &problem.consequence);
        all()
            .find(|consequence| consequence.ends_replay())
            .or_else(|| all().max())
            .unwrap_or(&LogConsequence::Nothing)
    }

    fn replay_order(&self) -> impl Iterator<Item = &SegmentSummary> {
        self.checkpoint.iter().chain(&self.segments)
    }

    /// Position of the last segment with anything in it. Every start opens a new one, which stays
    /// empty for a while.
    fn tail(&self) -> Option<usize> {
        self.segments.iter().rposition(|segment| segment.bytes > 0)
    }

    /// Adds the problems inside the segments. `all` are the segments beside the checkpoints, read
    /// or not.
    fn judge(&mut self, log: Log, all: &[SegmentFile]) {
        let all = &All::of(all);
        let tail = self.tail();
        let mut problems = Vec::new();
        for segment in &self.checkpoint {
            let consequence = |deletes| LogConsequence::Destroys { deletes };
            problems.extend(segment.problems(log, all, consequence));
        }
        for (i, segment) in self.segments.iter().enumerate() {
            if Some(i) == tail
                && let End::Torn(malformed) = &segment.end
            {
                problems.extend(segment.odd(log));
                problems.push(LogProblem {
                    path: segment.path.clone(),
                    offset: Some(segment.sound_bytes),
                    kind: ProblemKind::TornTail {
                        malformed: malformed.clone(),
                        bytes: segment.torn_bytes(),
                    },
                    consequence: LogConsequence::CutsTail,
                });
                continue;
            }
            let cut_at = segment.sound_bytes;
            // A directory with something in it cannot be deleted as a segment is: there it ends.
            let consequence = |deletes: Later| match all.before_full(segment.number) {
                None => LogConsequence::Repairs { cut_at, deletes },
                Some(none) if none.is_empty() => LogConsequence::DoesNotStart,
                Some(deletes) => LogConsequence::Destroys { deletes },
            };
            problems.extend(segment.problems(log, all, consequence));
        }
        self.problems.extend(problems);
    }

    /// Adds what was found while series were followed; `checkpoint` is the path of the newest
    /// checkpoint.
    fn judge_series(&mut self, found: Undefined, checkpoint: Option<&str>) {
        let lost = found.samples > 0 || found.lost_track;
        if let Some(path) = checkpoint
            && self
                .checkpoint
                .iter()
                .all(|segment| segment.contents.series == 0 && segment.end == End::Clean)
        {
            self.problems.push(LogProblem {
                path: path.to_owned(),
                offset: None,
                kind: ProblemKind::EmptyCheckpoint,
                consequence: if lost {
                    LogConsequence::Skips
                } else {
                    LogConsequence::Nothing
                },
            });
        }
        if !found.is_empty() || found.lost_track {
            let (path, offset) = found.first.clone().unzip();
            self.problems.push(LogProblem {
                path: path.unwrap_or_default(),
                offset,
                kind: ProblemKind::Undefined(found.clone()),
                consequence: if lost {
                    LogConsequence::Skips
                } else {
                    LogConsequence::Nothing
                },
            });
        }
        self.undefined = found;
    }

    /// Puts the problems into the order in which a start meets them.
    fn sort_problems(&mut self) {
        let order: HashMap<String, usize> = self
            .replay_order()
            .enumerate()
            .map(|(i, segment)| (segment.path.clone(), i))
            .collect();
        let in_checkpoint = self.checkpoint.len();
        self.problems.sort_by_key(|problem| match problem.kind {
            ProblemKind::StartMissing { .. } | ProblemKind::BehindCheckpoint { .. } => {
                (2, in_checkpoint)
            }
            _ => match order.get(&problem.path) {
                None => (0, 0),
                Some(&i) if i < in_checkpoint => (1, i),
                Some(&i) => (3, i),
            },
        });
    }

    /// Adds up what the segments hold on either side of the first damage.
    fn add_up(&mut self) {
        let (mut replayed, mut dropped) = (Contents::default(), Contents::default());
        let mut ended = false;
        for segment in self.replay_order() {
            let side = if ended { &mut dropped } else { &mut replayed };
            side.add(&segment.contents);
            ended |= segment.end != End::Clean;
        }
        (self.replayed, self.dropped) = (replayed, dropped);
    }
}

/// Reads the log directory at `path`.
///
/// # Errors
///
/// When the directory cannot be listed. A segment that cannot be read is a problem in the summary.
pub fn summarize_dir(path: &Path, log: Log, mode: ReadMode) -> Result<Summary> {
    let listing = LogListing::read(path)?;
    Ok(summarize(&listing, log, |file| {
        FileBytes::open(&path.join(&file.path), mode)
    }))
}

/// Reads the log that `listing` lists; `open` gives the content of a segment. One segment is held
/// at a time. Which series entries belong to is not asked, see [`follow`].
pub fn summarize<B: Deref<Target = [u8]>>(
    listing: &LogListing,
    log: Log,
    open: impl FnMut(&SegmentFile) -> Result<B>,
) -> Summary {
    let mut blind = Follow::default();
    blind.end();
    read(listing, log, &mut blind, open)
}

/// As [`summarize`]; `series` says which series the entries belong to, and says so of the WBL when
/// that is read after the WAL.
pub fn follow<B: Deref<Target = [u8]>>(
    listing: &LogListing,
    log: Log,
    series: &mut Follow,
    open: impl FnMut(&SegmentFile) -> Result<B>,
) -> Summary {
    series.begin(log);
    let mut summary = read(listing, log, series, open);
    let checkpoint = listing.replay(log).checkpoint.map(|point| &point.path[..]);
    summary.judge_series(series.take_found(), checkpoint);
    summary.sort_problems();
    summary
}

fn read<B: Deref<Target = [u8]>>(
    listing: &LogListing,
    log: Log,
    series: &mut Follow,
    mut open: impl FnMut(&SegmentFile) -> Result<B>,
) -> Summary {
    let replay = listing.replay(log);
    let mut read = |number: i64, file: &SegmentFile| {
        series.segment(number);
        let end = if file.kind == EntryType::File {
            match open(file) {
                Ok(bytes) => return SegmentSummary::following(file, &bytes, series),
                Err(error) => End::Unreadable(error.chain()),
            }
        } else {
            End::NotAFile(file.kind)
        };
        series.end();
        SegmentSummary::ended(file, end)
    };
    let (number, checkpoint) = match replay.checkpoint {
        Some(checkpoint) => (checkpoint.number, &checkpoint.segments[..]),
        None => (-1, &[][..]),
    };
    let segments = replay.segments.into_iter();
    let mut summary = Summary {
        checkpoint: checkpoint.iter().map(|file| read(number, file)).collect(),
        segments: segments.map(|file| read(file.number, file)).collect(),
        superseded: replay.superseded.into_iter().cloned().collect(),
        replayed: Contents::default(),
        dropped: Contents::default(),
        undefined: Undefined::default(),
        problems: replay.problems,
    };
    summary.judge(log, &listing.segments);
    summary.sort_problems();
    summary.add_up();
    summary
}
