//! What a log holds as a whole, and what Prometheus will make of it.

use std::collections::HashMap;
use std::ops::{ControlFlow, Deref};
use std::path::Path;
use std::sync::Arc;

use super::Log;
use super::ahead::for_each_record;
use super::contents::{Contents, contents_of};
use super::follow::{Follow, Undefined};
use super::listing::{EntryType, LogListing, SegmentFile};
use super::oddity::{Oddities, Oddity, Seen};
use super::problem::{Later, LogConsequence, LogProblem, ProblemKind};
use super::segment::Broken;
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

    fn following(file: &SegmentFile, bytes: &[u8], follow: &mut Follow) -> Self {
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
    fn problems(
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

    fn odd(&self, log: Log) -> Vec<LogProblem> {
        let problem = |(oddity, seen): (Oddity, Seen)| LogProblem {
            path: self.path.clone(),
            offset: Some(seen.first),
            kind: ProblemKind::Odd {
                oddity,
                count: seen.count,
            },
            consequence: oddity.consequence(log),
        };
        self.oddities.iter().map(problem).collect()
    }

    /// What replay does not keep of it.
    fn torn_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.sound_bytes)
    }

    fn ended(file: &SegmentFile, end: End) -> Self {
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
struct All {
    numbers: Vec<i64>,
    paths: Arc<[String]>,
    /// Places of the directories with something in them.
    full: Vec<usize>,
}

impl All {
    fn of(segments: &[SegmentFile]) -> Self {
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
    fn before_full(&self, number: i64) -> Option<Later> {
        let first = self.first_after(number);
        let next = self.full.partition_point(|place| *place < first);
        let end = self.full.get(next)?;
        Some(Later::of(&self.paths, first..*end))
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

#[cfg(test)]
mod tests {
    use super::super::listing::LogEntry;
    use super::super::record::RecordType;
    use super::super::writer::SegmentWriter;
    use super::*;
    use crate::error::Error;

    /// One float sample at `time`.
    fn sample(time: i64) -> Vec<u8> {
        let base = [&[2][..], &[0; 8], &time.to_be_bytes()].concat();
        [&base[..], &[0, 0], &[1; 8]].concat()
    }

    fn segment(time: i64) -> Vec<u8> {
        SegmentWriter::with([&sample(time)[..], &sample(time + 1)])
    }

    /// The second record begins after 7 bytes of header and 27 of sample.
    const CUT: u64 = 34;

    fn torn(time: i64) -> Vec<u8> {
        let mut bytes = segment(time);
        bytes.pop();
        bytes
    }

    fn damaged(time: i64) -> Vec<u8> {
        let mut bytes = segment(time);
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    }

    fn summary(log: Log, files: &[(&str, Vec<u8>)]) -> Summary {
        let listing = LogListing::of(files.iter().map(|(path, _)| LogEntry::file(*path)));
        summarize(&listing, log, |file| {
            let found = files.iter().find(|(path, _)| *path == file.path);
            found
                .map(|(_, bytes)| &bytes[..])
                .ok_or_else(|| Error::not_found("gone"))
        })
    }

    fn paths(paths: &[&str]) -> Later {
        let paths: Vec<_> = paths.iter().map(ToString::to_string).collect();
        paths.into()
    }

    #[test]
    fn a_sound_wal_is_added_up_from_its_checkpoint_on() {
        let summary = summary(
            Log::Wal,
            &[
                ("checkpoint.00000004/00000000", segment(50)),
                ("00000004", damaged(0)),
                ("00000005", segment(100)),
                ("00000006", segment(200)),
                ("00000007", Vec::new()),
            ],
        );
        assert_eq!(summary.problems, []);
        assert_eq!(summary.outcome(), &LogConsequence::Nothing);
        assert_eq!(summary.replayed.samples(), 6);
        assert_eq!(summary.replayed.times, Some((50, 201)));
        assert_eq!(summary.dropped, Contents::default());
        assert_eq!(summary.superseded[0].path, "00000004");
        assert_eq!(summary.bytes(), 3 * 68);
    }

    #[test]
    fn a_torn_tail_is_legal_at_the_end_of_the_log_only() {
        let at_end = [
            ("00000000", segment(100)),
            ("00000001", torn(200)),
            ("00000002", Vec::new()),
        ];
        let live = summary(Log::Wal, &at_end);
        assert_eq!(live.outcome(), &LogConsequence::CutsTail);
        assert!(live.problems.iter().all(LogProblem::is_harmless));
        assert_eq!(
            live.problems[0].kind.to_string(),
            "WAL fragment at offset 41: expected 27 more bytes, found 26: the record is torn after 33 bytes"
        );
        let (tail, malformed) = live.torn_tail().unwrap();
        assert_eq!((tail.number, tail.sound_bytes), (1, CUT));
        assert_eq!(malformed.offset, CUT + 7);
        assert_eq!(live.replayed.times, Some((100, 200)));

        let [first, second, _] = at_end;
        let early = summary(Log::Wal, &[first, second, ("00000002", segment(300))]);
        assert_eq!(
            early.outcome(),
            &LogConsequence::Repairs {
                cut_at: CUT,
                deletes: paths(&["00000002"])
            }
        );
        assert_eq!(early.torn_tail(), None);
        assert_eq!(early.dropped.times, Some((300, 301)));
    }

    #[test]
    fn damage_in_either_log_costs_all_that_follows_it() {
        for log in [Log::Wal, Log::Wbl] {
            let summary = summary(
                log,
                &[
                    ("00000000", segment(100)),
                    ("00000001", damaged(200)),
                    ("00000002", segment(300)),
                    ("00000003", torn(400)),
                ],
            );
            let deletes = paths(&["00000002", "00000003"]);
            let cut_at = CUT;
            assert_eq!(
                summary.outcome(),
                &LogConsequence::Repairs { cut_at, deletes }
            );
            let damage = summary.first_damage().unwrap();
            assert_eq!((&damage.path[..], damage.offset), ("00000001", Some(CUT)));
            assert_eq!(summary.replayed.times, Some((100, 200)));
            assert_eq!(summary.dropped.samples(), 3);
        }
    }

    #[test]
    fn a_damaged_or_torn_checkpoint_costs_the_wal() {
        for bytes in [damaged(50), torn(50)] {
            let summary = summary(
                Log::Wal,
                &[
                    ("checkpoint.00000004/00000000", bytes),
                    ("00000004", segment(90)),
                    ("00000005", segment(100)),
                    ("00000006", segment(200)),
                ],
            );
            let deletes = paths(&["00000004", "00000005", "00000006"]);
            assert_eq!(summary.outcome(), &LogConsequence::Destroys { deletes });
            assert_eq!(summary.dropped.times, Some((100, 201)));
        }
    }

    #[test]
    fn a_record_that_does_not_decode_is_dropped_as_a_whole() {
        let bad = SegmentWriter::with([&sample(1)[..], &[&sample(2)[..], &[0]].concat()]);
        let summary = summary(Log::Wal, &[("00000000", bad)]);
        let damage = summary.first_damage().unwrap().to_string();
        assert!(
            damage.starts_with("00000000: samples record at offset 34: "),
            "{damage}"
        );
        assert_eq!(summary.replayed.times, Some((1, 1)));
        assert_eq!(summary.segments[0].sound_bytes, CUT);
    }

    #[test]
    fn the_outcome_is_that_of_the_problem_a_start_meets_first() {
        let missing_and_damaged = summary(Log::Wal, &[("00000003", damaged(1))]);
        assert_eq!(missing_and_damaged.outcome(), &LogConsequence::DoesNotStart);
        let checkpoint_first = summary(
            Log::Wal,
            &[
                ("checkpoint.00000001/00000000", damaged(50)),
                ("00000005", segment(100)),
            ],
        );
        assert_eq!(
            checkpoint_first.outcome(),
            &LogConsequence::Destroys {
                deletes: paths(&["00000005"])
            }
        );
        let gap_first = summary(
            Log::Wal,
            &[
                ("checkpoint.00000001/00000000", damaged(50)),
                ("00000002", segment(100)),
                ("00000004", segment(100)),
            ],
        );
        assert_eq!(gap_first.outcome(), &LogConsequence::DoesNotStart);
    }

    #[test]
    fn unknown_and_empty_records_are_told_and_do_not_end_the_segment() {
        let odd = SegmentWriter::with([&[99, 1, 2][..], &[], &[15], &[14, 0], &sample(5)]);
        let summary = summary(Log::Wal, &[("00000000", odd)]);
        let said: Vec<_> = summary.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "00000000: empty record, 1 times, first at offset 10 (Prometheus replays everything)",
                "00000000: unknown record type 15, 1 times, first at offset 17 (Prometheus starts without these \
                 records)",
                "00000000: unknown record type 99, 1 times, first at offset 0 (Prometheus starts without these \
                 records)",
                "00000000: minimum valid time record of another length than 9 bytes, 1 times, first at offset 25 \
                 (Prometheus replays everything)",
            ]
        );
        assert_eq!(summary.outcome(), &LogConsequence::Skips);
        assert_eq!(summary.replayed.times, Some((5, 5)));
    }

    #[test]
    fn the_minimum_valid_time_of_a_checkpoint_is_read_and_counted() {
        let record = [&[14][..], &1_795_939_200_000_i64.to_be_bytes()].concat();
        let checkpoint = SegmentWriter::with([&record[..], &sample(5)]);
        let summary = summary(
            Log::Wal,
            &[
                ("checkpoint.00000001/00000000", checkpoint),
                ("00000002", segment(7)),
            ],
        );
        assert_eq!(summary.problems, []);
        assert_eq!(summary.replayed.min_valid_time, Some(1_795_939_200_000));
        assert_eq!(summary.replayed.records[&RecordType::MinValidTime], 1);
    }

    /// Definitions of series with one label each.
    fn series(references: &[u64]) -> Vec<u8> {
        let one = |reference: &u64| [&reference.to_be_bytes()[..], b"\x01\x01a\x01b"].concat();
        let all: Vec<_> = references.iter().map(one).collect();
        [&[1][..], &all.concat()].concat()
    }

    /// A sample of each of the series, all at `time`.
    fn samples(references: &[u64], time: i64) -> Vec<u8> {
        references
            .iter()
            .flat_map(|reference| {
                [
                    &[2][..],
                    &reference.to_be_bytes(),
                    &time.to_be_bytes(),
                    &[0, 0],
                    &[0; 8],
                ]
                .concat()
            })
            .collect()
    }

    fn followed(log: Log, series: &mut Follow, files: &[(&str, Vec<u8>)]) -> Summary {
        let listing = LogListing::of(files.iter().map(|(path, _)| LogEntry::file(*path)));
        follow(&listing, log, series, |file| {
            let found = files.iter().find(|(path, _)| *path == file.path);
            found
                .map(|(_, bytes)| &bytes[..])
                .ok_or_else(|| Error::not_found("gone"))
        })
    }

    #[test]
    fn samples_count_as_lost_until_their_series_is_defined_and_ever_after_if_it_never_is() {
        let early = SegmentWriter::with([
            &samples(&[7], 10)[..],
            &series(&[7]),
            &samples(&[7], 11),
            &samples(&[9], 12),
            &samples(&[9], 13),
        ]);
        let mut known = Follow::default();
        let wal = followed(Log::Wal, &mut known, &[("00000000", early)]);
        let undefined = &wal.undefined;
        assert_eq!((undefined.samples, undefined.series), (3, 2));
        assert_eq!(undefined.times, Some((10, 13)));
        assert_eq!(undefined.first, Some(("00000000".into(), 0)));
        assert_eq!(wal.outcome(), &LogConsequence::Skips);

        let late = SegmentWriter::with([&samples(&[7], 5)[..], &samples(&[9], 6)]);
        let wbl = followed(Log::Wbl, &mut known, &[("00000003", late)]);
        assert_eq!((wbl.undefined.samples, wbl.undefined.series), (1, 1));
        assert_eq!(wbl.undefined.first, Some(("00000003".into(), 34)));
    }

    #[test]
    fn samples_that_blocks_hold_are_not_missed_except_in_the_wbl() {
        let log = SegmentWriter::with([&samples(&[7], 99)[..], &samples(&[7], 100)]);
        let mut known = Follow::new(100);
        let wal = followed(Log::Wal, &mut known, &[("00000000", log.clone())]);
        assert_eq!(wal.undefined.samples, 1);
        let wbl = followed(Log::Wbl, &mut known, &[("00000000", log.clone())]);
        assert_eq!(wbl.undefined.samples, 2);

        // A checkpoint may say a later time than the blocks.
        let checkpoint = SegmentWriter::with([&[&[14][..], &101_i64.to_be_bytes()].concat()[..]]);
        let files = [
            ("checkpoint.00000001/00000000", checkpoint),
            ("00000002", log),
        ];
        let mut known = Follow::new(100);
        let wal = followed(Log::Wal, &mut known, &files);
        assert_eq!(wal.undefined, Undefined::default());
        assert_eq!(known.min_valid_time(), 101);
        assert!(
            wal.problems.iter().all(LogProblem::is_harmless),
            "{:?}",
            wal.problems
        );
    }

    /// Integer histograms of the schema 0 with one span of this length and these buckets, all of
    /// one series at 10.
    fn histogram(reference: u64, length: u8, buckets: &[u8], sum: u64) -> Vec<u8> {
        let stamp = [&reference.to_be_bytes()[..], &10_i64.to_be_bytes()].concat();
        let head = [&[7][..], &stamp, &[0, 0, 0, 0], &[0; 8], &[0, 5]].concat();
        let spans = [1, 0, length, 0, u8::try_from(buckets.len()).unwrap()];
        [&head[..], &sum.to_be_bytes(), &spans, buckets, &[0]].concat()
    }

    #[test]
    fn histograms_with_other_buckets_than_their_spans_say_end_the_start_that_replays_them() {
        let outcome = |log, record: Vec<u8>| {
            let mut known = Follow::new(10);
            let series = SegmentWriter::with([&series(&[7])[..]]);
            followed(Log::Wal, &mut known, &[("00000000", series.clone())]);
            let records = SegmentWriter::with([&series[7..], &record]);
            let files = [("00000000", records)];
            followed(log, &mut known, &files).outcome().clone()
        };
        let sound = 1_f64.to_bits();
        for (length, buckets) in [(5, &[2][..]), (1, &[2, 2, 2]), (0x7f, &[])] {
            let bad = || histogram(7, length, buckets, sound);
            assert_eq!(outcome(Log::Wal, bad()), LogConsequence::DoesNotStart);
            assert_eq!(outcome(Log::Wbl, bad()), LogConsequence::Crashes);
            // A marker of staleness has no buckets to a head, whatever stands there.
            let stale = histogram(7, length, buckets, crate::model::STALE_NAN);
            assert_eq!(outcome(Log::Wal, stale), LogConsequence::Nothing);
        }
        let fits = histogram(7, 2, &[2, 2], sound);
        assert_eq!(outcome(Log::Wal, fits), LogConsequence::Nothing);
        // Nobody looks at what blocks hold already.
        let mut stored = Follow::new(11);
        let bad = histogram(7, 5, &[2], sound);
        let log = SegmentWriter::with([&series(&[7])[..], &bad]);
        let wal = followed(Log::Wal, &mut stored, &[("00000000", log)]);
        assert_eq!(wal.outcome(), &LogConsequence::Nothing);
    }

    #[test]
    fn a_checkpoint_without_series_is_a_problem_where_the_log_needs_them() {
        let segment = SegmentWriter::with([&samples(&[7], 10)[..]]);
        let files = [
            ("checkpoint.00000001/00000000", Vec::new()),
            ("00000002", segment),
        ];
        let wal = followed(Log::Wal, &mut Follow::default(), &files);
        let kinds: Vec<_> = wal.problems.iter().map(|p| p.kind.to_string()).collect();
        assert_eq!(
            kinds,
            [
                "expected series in the checkpoint, found none",
                "1 samples refer to 1 series that nothing before them defines"
            ]
        );
        assert!(!wal.problems[0].is_harmless());
    }

    #[test]
    fn what_replay_drops_as_a_whole_is_not_told_twice() {
        let mut broken = SegmentWriter::with([&series(&[7])[..], &samples(&[8], 10)]);
        *broken.last_mut().unwrap() ^= 1;
        let files = [
            ("00000000", broken),
            ("00000001", SegmentWriter::with([&samples(&[9], 11)[..]])),
        ];
        let wal = followed(Log::Wal, &mut Follow::default(), &files);
        assert_eq!(wal.undefined, Undefined::default());
        assert_eq!(wal.dropped.samples(), 1);
    }

    #[test]
    fn a_series_that_was_logged_as_gone_is_not_defined_any_more() {
        let gone = [
            &[3][..],
            &7_u64.to_be_bytes(),
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ]
        .concat();
        let log = SegmentWriter::with([
            &series(&[7])[..],
            &samples(&[7], 10),
            &gone,
            &samples(&[7], 11),
        ]);
        let wal = followed(Log::Wal, &mut Follow::default(), &[("00000000", log)]);
        let replayed = &wal.replayed;
        assert_eq!((replayed.tombstones, replayed.gone), (1, 1));
        assert_eq!(wal.undefined.samples, 1);
    }

    #[test]
    fn something_else_than_a_file_costs_what_a_start_makes_of_it() {
        let outcome = |kind| {
            let mut listing =
                LogListing::of(["00000000", "00000001", "00000002"].map(LogEntry::file));
            listing.segments[1].kind = kind;
            let summary = summarize(&listing, Log::Wal, |_| Ok(Vec::new()));
            summary.outcome().clone()
        };
        let deletes = paths(&["00000002"]);
        assert_eq!(
            outcome(EntryType::EmptyDirectory),
            LogConsequence::Repairs {
                cut_at: 0,
                deletes: deletes.clone()
            }
        );
        assert_eq!(
            outcome(EntryType::Directory),
            LogConsequence::Destroys { deletes }
        );
        for kind in [EntryType::Pipe, EntryType::Other] {
            assert_eq!(outcome(kind), LogConsequence::DoesNotStart);
        }
    }

    #[test]
    fn a_segment_that_does_not_open_is_a_problem_not_an_error() {
        let listing = LogListing::of([LogEntry::file("00000000"), LogEntry::file("00000001")]);
        let summary = summarize(&listing, Log::Wal, |file| {
            if file.number == 0 {
                Err(Error::refused("no"))
            } else {
                Ok(segment(1))
            }
        });
        assert_eq!(summary.outcome(), &LogConsequence::DoesNotStart);
        assert_eq!(
            summary.first_damage().unwrap().to_string(),
            "00000000: no (Prometheus does not start)"
        );
        assert_eq!(summary.dropped.samples(), 2);
    }
}
