//! What a log holds as a whole, and what Prometheus will make of it.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;

use super::Log;
use super::contents::{Contents, contents_of};
use super::listing::{Listing, SegmentFile};
use super::oddity::{Oddities, Oddity, Seen};
use super::problem::{Consequence, Problem, ProblemKind};
use super::segment::{Broken, Records};
use crate::error::Result;
use crate::raw::{FileBytes, Malformed, ReadMode};

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
        let mut records = Records::new(bytes);
        let mut contents = Contents::default();
        let mut odd = Oddities::default();
        let mut sound = 0;
        let end = loop {
            match records.next_record() {
                Ok(None) => break End::Clean,
                Err(Broken::Torn(malformed)) => break End::Torn(malformed),
                Err(Broken::Damaged(malformed)) => break End::Damaged(malformed),
                Ok(Some(record)) => match contents_of(&record, &mut odd) {
                    Ok(found) => contents.add(&found),
                    Err(malformed) => break End::Damaged(malformed),
                },
            }
            sound = records.whole_until();
        };
        odd.add(records.oddities());
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

    /// What is wrong with it; `consequence` is that of damage, given the paths of the segments that are later than
    /// this one in `all`.
    fn problems(
        &self,
        all: &[SegmentFile],
        consequence: impl FnOnce(Vec<String>) -> Consequence,
    ) -> Vec<Problem> {
        let mut problems = self.odd();
        let ends = match &self.end {
            End::Clean => return problems,
            End::Unreadable(reason) => Problem {
                path: self.path.clone(),
                offset: None,
                kind: ProblemKind::Unreadable {
                    reason: reason.clone(),
                },
                consequence: Consequence::DoesNotStart,
            },
            End::Torn(malformed) | End::Damaged(malformed) => {
                let later = all.iter().filter(|other| other.number > self.number);
                Problem {
                    path: self.path.clone(),
                    offset: Some(malformed.offset),
                    kind: ProblemKind::Damaged(malformed.clone()),
                    consequence: consequence(later.map(|other| other.path.clone()).collect()),
                }
            }
        };
        problems.push(ends);
        problems
    }

    fn odd(&self) -> Vec<Problem> {
        let problem = |(oddity, seen): (Oddity, Seen)| Problem {
            path: self.path.clone(),
            offset: Some(seen.first),
            kind: ProblemKind::Odd {
                oddity,
                count: seen.count,
            },
            consequence: oddity.consequence(),
        };
        self.oddities.iter().map(problem).collect()
    }

    fn unreadable(file: &SegmentFile, reason: String) -> Self {
        SegmentSummary {
            number: file.number,
            path: file.path.clone(),
            bytes: 0,
            sound_bytes: 0,
            contents: Contents::default(),
            oddities: Oddities::default(),
            end: End::Unreadable(reason),
        }
    }
}

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
    /// Everything wrong or unusual, in the order in which a start meets it.
    pub problems: Vec<Problem>,
}

impl Summary {
    /// Size in bytes of all segments that replay reads.
    pub fn bytes(&self) -> u64 {
        self.replay_order().map(|segment| segment.bytes).sum()
    }

    /// The torn record at the end of the log, if there is one: its segment, and where that was cut off.
    pub fn torn_tail(&self) -> Option<(&SegmentSummary, &Malformed)> {
        let tail = self.segments.get(self.tail()?)?;
        match &tail.end {
            End::Torn(malformed) => Some((tail, malformed)),
            End::Clean | End::Damaged(_) | End::Unreadable(_) => None,
        }
    }

    /// The first damage that replay meets.
    pub fn first_damage(&self) -> Option<&Problem> {
        self.problems.iter().find(|problem| problem.is_damage())
    }

    /// What a start of Prometheus comes to: the first problem that ends it or its replay, else the worst.
    pub fn outcome(&self) -> &Consequence {
        let all = || self.problems.iter().map(|problem| &problem.consequence);
        all()
            .find(|consequence| consequence.ends_replay())
            .or_else(|| all().max())
            .unwrap_or(&Consequence::Nothing)
    }

    fn replay_order(&self) -> impl Iterator<Item = &SegmentSummary> {
        self.checkpoint.iter().chain(&self.segments)
    }

    /// Position of the last segment with anything in it. Every start opens a new one, which stays empty for a while.
    fn tail(&self) -> Option<usize> {
        self.segments.iter().rposition(|segment| segment.bytes > 0)
    }

    /// Adds the problems inside the segments. `all` are the segments beside the checkpoints, read or not.
    fn judge(&mut self, all: &[SegmentFile]) {
        let mut problems = Vec::new();
        for segment in &self.checkpoint {
            let consequence = |deletes| Consequence::Destroys { deletes };
            problems.extend(segment.problems(all, consequence));
        }
        for (i, segment) in self.segments.iter().enumerate() {
            if Some(i) == self.tail() && matches!(segment.end, End::Torn(_)) {
                problems.extend(segment.odd());
                continue;
            }
            let cut_at = segment.sound_bytes;
            let consequence = |deletes| Consequence::Repairs { cut_at, deletes };
            problems.extend(segment.problems(all, consequence));
        }
        self.problems.extend(problems);
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
    let listing = Listing::read(path)?;
    Ok(summarize(&listing, log, |file| {
        FileBytes::open(&path.join(&file.path), mode)
    }))
}

/// Reads the log that `listing` lists; `open` gives the content of a segment. One segment is held at a time.
pub fn summarize<B: Deref<Target = [u8]>>(
    listing: &Listing,
    log: Log,
    mut open: impl FnMut(&SegmentFile) -> Result<B>,
) -> Summary {
    let replay = listing.replay(log);
    let mut read = |file: &SegmentFile| match open(file) {
        Ok(bytes) => SegmentSummary::of(file, &bytes),
        Err(error) => SegmentSummary::unreadable(file, error.chain()),
    };
    let checkpoint = replay.checkpoint.map_or(&[][..], |c| &c.segments);
    let mut summary = Summary {
        checkpoint: checkpoint.iter().map(&mut read).collect(),
        segments: replay.segments.into_iter().map(&mut read).collect(),
        superseded: replay.superseded.into_iter().cloned().collect(),
        replayed: Contents::default(),
        dropped: Contents::default(),
        problems: replay.problems,
    };
    summary.judge(&listing.segments);
    summary.sort_problems();
    summary.add_up();
    summary
}
