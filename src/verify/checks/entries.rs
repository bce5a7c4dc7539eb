//! Finds the series entries in the file, one after the other, also behind damage.

use std::ops::Range;

use super::Subject;
use super::chunks::loss;
use super::index::Opened;
use super::sound_entries::aligned;
use crate::index::{Index, IndexFormat, Series, SeriesEntries, SeriesEntry};
use crate::model::SeriesRef;
use crate::raw::Malformed;
use crate::verify::{FaultLoss, Finding, Findings, Kind};

/// Parts of the series section in which entries could not be read, ascending.
#[derive(Clone, Debug, Default)]
pub(in crate::verify) struct Lost(Vec<Range<u64>>);

impl Lost {
    /// Whether nothing was lost.
    pub(in crate::verify) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The part of the file from `start` to `end` is lost.
    pub(in crate::verify) fn add(&mut self, part: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if (last.start..=last.end).contains(&part.start) => {
                last.end = last.end.max(part.end);
            }
            _ => self.0.push(part),
        }
    }

    /// The parts.
    pub(in crate::verify) fn parts(self) -> impl Iterator<Item = Range<u64>> {
        self.0.into_iter()
    }

    /// Puts the parts in order, after parallel readers have added theirs.
    pub(in crate::verify) fn sort(&mut self) {
        self.0.sort_unstable_by_key(|part| part.start);
    }

    /// Whether the entry that `reference` names may have been there.
    pub(in crate::verify) fn may_hold(&self, reference: SeriesRef, format: IndexFormat) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let offset = match format {
            IndexFormat::V1 => reference.0,
            IndexFormat::V2 => reference.0.saturating_mul(crate::index::SERIES_ALIGNMENT),
        };
        let next = self.0.partition_point(|part| part.end <= offset);
        self.0.get(next).is_some_and(|part| part.contains(&offset))
    }
}

/// Consecutive entries whose frames and checksums are right.
#[derive(Debug)]
pub(in crate::verify) struct Batch<'a> {
    /// The entry before the first, for comparing.
    pub(in crate::verify) before: Option<SeriesEntry<'a>>,
    /// The entries.
    pub(in crate::verify) entries: Vec<SeriesEntry<'a>>,
}

/// Entries in a batch: enough to keep a core busy for a millisecond or more.
const BATCH: usize = 512;

/// Walks the series section in batches and reports what is not an entry.
pub(in crate::verify) struct Walk<'a> {
    subject: Subject<'a>,
    opened: &'a Opened<'a>,
    entries: SeriesEntries<'a>,
    before: Option<SeriesEntry<'a>>,
    /// Whether the bytes before the next entry are padding, which is not so behind damage.
    in_step: bool,
    done: bool,
    pub(in crate::verify) lost: Lost,
}

impl<'a> Walk<'a> {
    pub(in crate::verify) fn new(subject: Subject<'a>, opened: &'a Opened<'a>) -> Self {
        Walk {
            subject,
            opened,
            entries: opened.index.series(),
            before: None,
            in_step: true,
            done: false,
            lost: Lost::default(),
        }
    }

    /// The next batch; nothing at the end of the section.
    pub(in crate::verify) fn next_batch(&mut self, findings: &mut Findings) -> Option<Batch<'a>> {
        let before = self.before.clone();
        let mut entries = Vec::with_capacity(BATCH);
        while entries.len() < BATCH && !self.done {
            if let Some(entry) = self.next_entry(findings) {
                self.before = Some(entry.clone());
                entries.push(entry);
            }
        }
        (!entries.is_empty()).then_some(Batch { before, entries })
    }

    fn next_entry(&mut self, findings: &mut Findings) -> Option<SeriesEntry<'a>> {
        let position = self.entries.position();
        let Some(next) = self.entries.next() else {
            self.done = true;
            self.check_end(position, findings);
            return None;
        };
        let entry = match next {
            Ok(entry) => entry,
            Err(malformed) => {
                self.skip(
                    aligned(self.opened.index, position),
                    None,
                    &malformed,
                    findings,
                );
                return None;
            }
        };
        if let Err(malformed) = entry.check() {
            self.skip(entry.offset, Some(&entry), &malformed, findings);
            return None;
        }
        if entry.is_empty() {
            let found = "no counts";
            let malformed =
                Malformed::unexpected("series", entry.offset, "an entry", "with counts", found);
            self.skip(entry.offset, None, &malformed, findings);
            return None;
        }
        if self.in_step {
            check_padding(
                &self.subject,
                self.opened.index,
                position..entry.offset,
                findings,
            );
        }
        self.in_step = true;
        Some(entry)
    }

    /// Reports what stands at `offset` and goes on behind it.
    fn skip(
        &mut self,
        offset: u64,
        entry: Option<&SeriesEntry<'a>>,
        malformed: &Malformed,
        findings: &mut Findings,
    ) {
        self.in_step = false;
        let end = self.opened.index.toc().series_end();
        // Entries of version 1 are not aligned: their own length is all there is to go by.
        let goes_on = match (self.opened.index.format(), entry) {
            (IndexFormat::V1, Some(entry)) => entry.end < end,
            _ => self.entries.resync(offset),
        };
        self.done = !goes_on;
        let resumed = if goes_on {
            self.entries.position()
        } else {
            end
        };
        self.lost.add(offset..resumed);
        let kind = match entry {
            Some(_) => Kind::SeriesChecksum,
            None => Kind::SeriesMalformed,
        };
        findings.add(kind, || {
            let finding = self.subject.malformed_index(kind, malformed);
            let finding = Finding {
                detail: format!(
                    "{}; {} bytes up to the next sound entry",
                    finding.detail,
                    resumed - offset
                ),
                ..finding
            };
            match entry {
                Some(entry) => self.as_far_as_readable(entry, finding),
                None => finding,
            }
        });
    }

    /// Labels and chunks of an entry whose checksum is wrong. One byte of them is not what it was.
    fn as_far_as_readable(&self, entry: &SeriesEntry<'a>, finding: Finding) -> Finding {
        let mut series = Series::default();
        if entry.decode(&mut series).is_err() {
            return finding;
        }
        let losses = series.chunks.iter().map(|&meta| loss(meta, None));
        Finding {
            series: self.opened.labels(&series),
            loss: losses.reduce(FaultLoss::and),
            ..finding
        }
    }

    fn check_end(&self, position: u64, findings: &mut Findings) {
        let end = self.opened.index.toc().series_end();
        if self.opened.toc_is_sound && position < end {
            findings.add(Kind::IndexGarbage, || {
                self.subject
                    .in_index(Kind::IndexGarbage, "series", position)
                    .saying(format!(
                        "expected the end of the section, found {} bytes more",
                        end - position
                    ))
            });
        }
    }
}

/// Checks that the bytes in `range` are zero.
pub(in crate::verify) fn check_padding(
    subject: &Subject<'_>,
    index: Index<'_>,
    range: Range<u64>,
    findings: &mut Findings,
) {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    let padding = index.bytes().get(start..end).unwrap_or_default();
    if let Some(odd) = padding.iter().position(|byte| *byte != 0) {
        findings.add(Kind::IndexPadding, || {
            let offset = range.start + odd as u64;
            subject
                .in_index(Kind::IndexPadding, "padding", offset)
                .saying("expected only bytes of zero")
        });
    }
}
