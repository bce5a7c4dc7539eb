//! Deleted ranges of time.

use super::Subject;
use super::budget::Budget;
use super::entries::Lost;
use super::unreadable;
use crate::block::Tombstones;
use crate::error::{ErrorKind, Result};
use crate::index::Index;
use crate::raw::{FileBytes, MalformedProblem};
use crate::verify::{Finding, Findings, Kind};

/// Reads the tombstones of the block, whose `content` was opened, and checks the file; nothing when
/// it could not be read.
pub(in crate::verify) fn read(
    subject: &Subject<'_>,
    content: Option<Result<FileBytes>>,
    findings: &mut Findings,
) -> Option<Tombstones> {
    let path = subject.files.tombstones();
    let Some(content) = content else {
        findings.add(Kind::TombstonesMissing, || {
            subject.finding(Kind::TombstonesMissing, path)
        });
        return Some(Tombstones::default());
    };
    let content = match content {
        Ok(content) => content,
        // The name is there, and behind it nothing: Prometheus only looks at the second.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            findings.add(Kind::TombstonesLink, || {
                subject
                    .finding(Kind::TombstonesLink, path)
                    .saying("expected a file behind the link, found none")
            });
            return Some(Tombstones::default());
        }
        Err(error) => {
            findings.add(Kind::Unreadable, || {
                subject
                    .finding(Kind::Unreadable, path)
                    .saying(error.chain())
            });
            return None;
        }
    };
    let tombstones = Tombstones::read(&content);
    for malformed in &tombstones.faults {
        let kind = match malformed.problem {
            MalformedProblem::Checksum { .. } => Kind::TombstonesChecksum,
            MalformedProblem::Truncated { .. }
            | MalformedProblem::Unexpected { .. }
            | MalformedProblem::Unsupported { .. }
            | MalformedProblem::Unknown { .. } => Kind::TombstonesMalformed,
        };
        findings.add(kind, || subject.finding(kind, path.clone()).at(malformed));
    }
    unreadable::report(subject, &content, findings);
    tombstones.faults.is_empty().then_some(tombstones)
}

/// Checks that each record is for a series of `index`, and a range.
pub(in crate::verify) fn check(
    subject: &Subject<'_>,
    tombstones: &Tombstones,
    index: Option<(Index<'_>, &Lost)>,
    findings: &mut Findings,
) {
    let budget = Budget::of(index.map_or(0, |(index, _)| index.bytes().len() as u64));
    let finding = |kind, detail: String| Finding {
        section: Some("tombstones"),
        ..subject
            .finding(kind, subject.files.tombstones())
            .saying(detail)
    };
    for record in &tombstones.records {
        let (min, max) = (record.min_time, record.max_time);
        if min > max {
            findings.add(Kind::TombstoneRange, || {
                finding(
                    Kind::TombstoneRange,
                    format!(
                        "series {}: expected an end from {min} on, found {max}",
                        record.series
                    ),
                )
            });
        }
        let is_gone = index.is_some_and(|(index, lost)| {
            let is_sound = index.series_at(record.series).is_ok_and(|entry| {
                // A deleted series has a handful of records; thousands for one that is large are
                // made up.
                let may_read = budget.take(entry.end - entry.offset);
                !entry.is_empty() && (!may_read || entry.check().is_ok())
            });
            !is_sound && !lost.may_hold(record.series, index.format())
        });
        if is_gone {
            findings.add(Kind::TombstoneSeries, || {
                finding(
                    Kind::TombstoneSeries,
                    format!("expected references to series, found {}", record.series),
                )
            });
        }
    }
}

/// How many intervals Prometheus counts: those of one series that overlap or touch are one.
pub(in crate::verify) fn merged(tombstones: &Tombstones) -> u64 {
    let mut records: Vec<_> = tombstones
        .records
        .iter()
        .map(|record| (record.series, record.min_time, record.max_time))
        .collect();
    records.sort_unstable();
    let mut count = 0;
    let mut before = None;
    for (series, min, max) in records {
        before = match before {
            Some((same, end)) if same == series && min <= i64::saturating_add(end, 1) => {
                Some((series, end.max(max)))
            }
            _ => {
                count += 1;
                Some((series, max))
            }
        };
    }
    count
}
