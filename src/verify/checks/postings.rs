//! Postings: every list for itself, and all of them against the series.

use std::collections::HashSet;
use std::ops::Range;

use rayon::prelude::*;

use super::Subject;
use super::budget::Budget;
use super::entries::{Lost, check_padding};
use super::index::Opened;
use super::pairs::{ALL_SERIES, Keys, Pair, PairSum};
use crate::index::{Index, Postings, PostingsEntry, PostingsTable, TOC_LEN};
use crate::model::{Label, Labels, SeriesRef};
use crate::raw::Malformed;
use crate::verify::{Finding, Findings, Kind};

/// What is needed to check postings.
pub(in crate::verify) struct PostingsCheck<'a> {
    pub(in crate::verify) subject: Subject<'a>,
    pub(in crate::verify) opened: &'a Opened<'a>,
    pub(in crate::verify) keys: &'a Keys,
    /// Series entries that could not be read.
    pub(in crate::verify) lost: &'a Lost,
    /// For series entries that wrong references lead to.
    pub(in crate::verify) budget: Budget,
}

/// What the lists hold.
#[derive(Default)]
pub(in crate::verify) struct PostingsTotals {
    /// Sum over the entries of all sound lists.
    pub(in crate::verify) pairs: PairSum,
    /// Sum over the label pairs that have a list.
    pub(in crate::verify) values: PairSum,
    /// Label pairs whose list is damaged.
    pub(in crate::verify) damaged: HashSet<Pair>,
    /// Whether all pairs could be understood, so that the sums can be compared.
    pub(in crate::verify) comparable: bool,
}

/// Lists that are checked at a time.
const BATCH: usize = 4096;

/// Checks of the postings what a start reads: that the offset table can be read, not what stands in
/// the lists.
pub(in crate::verify) fn check_table(
    subject: &Subject<'_>,
    opened: &Opened<'_>,
    findings: &mut Findings,
) {
    if !opened.has_postings {
        return;
    }
    let Some((table, true)) = table(subject, opened, findings) else {
        return;
    };
    let mut entries_read = 0;
    for entry in table.iter() {
        match entry {
            Ok(_) => entries_read += 1,
            Err(malformed) => {
                let kind = kind_of(&malformed, entries_read, &table);
                findings.add(kind, || subject.malformed_index(kind, &malformed));
            }
        }
    }
}

/// What it is that the table cannot be read on behind so many entries: Prometheus reads as many as
/// there are, and as are announced.
fn kind_of(malformed: &Malformed, entries_read: usize, table: &PostingsTable<'_>) -> Kind {
    if entries_read == table.len() {
        Kind::PostingsTableRest
    } else if malformed.offset == table.end() {
        Kind::PostingsTableCount
    } else {
        Kind::PostingsTableMalformed
    }
}

/// The offset table, and whether what stands in it can be believed.
fn table<'a>(
    subject: &Subject<'_>,
    opened: &Opened<'a>,
    findings: &mut Findings,
) -> Option<(PostingsTable<'a>, bool)> {
    let mut sound = opened.sound_symbols().is_some();
    let index = opened.index;
    let section = match index.postings_table_section() {
        Ok(section) => section,
        Err(malformed) => {
            findings.add(Kind::PostingsTableMalformed, || {
                subject.malformed_index(Kind::PostingsTableMalformed, &malformed)
            });
            return None;
        }
    };
    if let Err(malformed) = &section.checksum {
        sound = false;
        findings.add(Kind::PostingsTableChecksum, || {
            subject
                .malformed_index(Kind::PostingsTableChecksum, malformed)
                .beginning_at(section.start)
        });
    }
    let end = (index.bytes().len().saturating_sub(TOC_LEN)) as u64;
    if opened.toc_is_sound && section.checksum.is_ok() && section.end != end {
        findings.add(Kind::IndexGarbage, || {
            subject
                .in_index(Kind::IndexGarbage, "postings offset table", section.end)
                .saying(format!(
                    "expected the table of contents, found {} other bytes before it",
                    end.abs_diff(section.end)
                ))
        });
    }
    match PostingsTable::read(section.content) {
        Ok(table) => Some((table, sound)),
        Err(malformed) => {
            if section.checksum.is_ok() {
                findings.add(Kind::PostingsTableMalformed, || {
                    subject.malformed_index(Kind::PostingsTableMalformed, &malformed)
                });
            }
            None
        }
    }
}

impl PostingsCheck<'_> {
    /// Checks the offset table and every list in it.
    pub(in crate::verify) fn run(&self, findings: &mut Findings) -> Option<PostingsTotals> {
        if !self.opened.has_postings {
            return None;
        }
        let (table, comparable) = table(&self.subject, self.opened, findings)?;
        let mut totals = PostingsTotals {
            comparable,
            ..PostingsTotals::default()
        };
        let mut extents = Extents::default();
        let mut repeats = Repeats {
            index: self.opened.index,
            frontier: 0,
            budget: Budget::of(self.opened.index.bytes().len() as u64),
        };
        let mut entries = table.iter();
        let mut entries_read = 0;
        let mut before: Option<PostingsEntry<'_>> = None;
        loop {
            let mut batch = Vec::with_capacity(BATCH.min(table.len()));
            for entry in entries.by_ref().take(BATCH) {
                match entry {
                    Ok(entry) => {
                        if comparable {
                            self.check_order(before, entry, findings);
                        }
                        before = Some(entry);
                        entries_read += 1;
                        batch.push(entry);
                    }
                    Err(malformed) => {
                        let kind = kind_of(&malformed, entries_read, &table);
                        totals.comparable &= kind == Kind::PostingsTableCount;
                        if comparable {
                            findings.add(kind, || self.subject.malformed_index(kind, &malformed));
                        }
                    }
                }
            }
            if batch.is_empty() {
                break;
            }
            let batch: Vec<_> = batch
                .into_iter()
                .map(|entry| (entry, repeats.may_read(entry.list)))
                .collect();
            let lists: Vec<_> = batch
                .par_iter()
                .map(|(entry, may_read)| self.check_list(*entry, comparable, *may_read))
                .collect();
            for (list, found) in lists {
                findings.append(found);
                totals.comparable &= list.pair.is_some() || list.is_reported;
                match list.pair {
                    Some(pair) if list.is_damaged => {
                        totals.damaged.insert(pair);
                    }
                    _ => totals.pairs.append(list.sum),
                }
                if let Some(pair) = list.pair.filter(|pair| *pair != ALL_SERIES) {
                    totals.values.add(self.keys.mix(pair, SeriesRef(u64::MAX)));
                }
                extents.add(list.extent);
            }
        }
        if self.opened.toc_is_sound {
            extents.check(self, findings);
        }
        Some(totals)
    }

    /// Tables of version 1 were not sorted.
    fn check_order(
        &self,
        before: Option<PostingsEntry<'_>>,
        entry: PostingsEntry<'_>,
        findings: &mut Findings,
    ) {
        let ascends = before.is_none_or(|b| (b.name, b.value) < (entry.name, entry.value));
        if ascends || self.opened.index.format() == crate::index::IndexFormat::V1 {
            return;
        }
        findings.add(Kind::PostingsTableUnsorted, || Finding {
            series: shown_pair(entry),
            ..self
                .subject
                .in_index(
                    Kind::PostingsTableUnsorted,
                    "postings offset table",
                    entry.offset,
                )
                .saying("expected label pairs to ascend")
        });
    }

    /// The label pair of an entry as symbols.
    pub(super) fn pair(&self, entry: PostingsEntry<'_>) -> Option<Pair> {
        if entry.name.is_empty() && entry.value.is_empty() {
            return Some(ALL_SERIES);
        }
        let symbols = self.opened.sound_symbols()?;
        Some((symbols.find(entry.name)?, symbols.find(entry.value)?))
    }

    /// Checks the list of one entry; `believed` says whether the entry itself can be. A list that
    /// may not be read is one that many entries share.
    fn check_list(
        &self,
        entry: PostingsEntry<'_>,
        believed: bool,
        may_read: bool,
    ) -> (List, Findings) {
        let mut findings = Findings::default();
        let mut list = List {
            pair: if believed { self.pair(entry) } else { None },
            ..List::default()
        };
        if list.pair.is_none() && believed {
            list.is_reported = true;
            findings.add(Kind::PostingsExtra, || Finding {
                series: shown_pair(entry),
                ..self
                    .subject
                    .in_index(Kind::PostingsExtra, "postings offset table", entry.offset)
                    .saying(
                        "expected a label of some series, found one that is not among the symbols",
                    )
            });
        }
        if !may_read {
            findings.add(Kind::PostingsShared, || Finding {
                series: shown_pair(entry),
                ..self
                    .subject
                    .in_index(Kind::PostingsShared, "postings offset table", entry.offset)
                    .saying("expected a list of its own, found one that many label pairs share")
            });
            let unread = List {
                is_reported: false,
                ..List::default()
            };
            return (unread, findings);
        }
        let read = self
            .opened
            .index
            .postings_section(entry.list)
            .and_then(|section| {
                list.extent = section.start..section.end;
                list.is_damaged = section.checksum.is_err();
                section.checksum.clone().map(|()| section)
            });
        let kind = if list.is_damaged {
            Kind::PostingsChecksum
        } else {
            Kind::PostingsMalformed
        };
        let kind = of_list(entry, kind);
        match read.and_then(|section| Postings::read(&section)) {
            Ok(postings) => self.sum(entry, &postings, &mut list, &mut findings),
            Err(malformed) => {
                list.is_damaged = true;
                findings.add(kind, || Finding {
                    series: shown_pair(entry),
                    ..self
                        .subject
                        .malformed_index(kind, &malformed)
                        .beginning_at(entry.list)
                });
            }
        }
        (list, findings)
    }

    fn sum(
        &self,
        entry: PostingsEntry<'_>,
        postings: &Postings<'_>,
        list: &mut List,
        findings: &mut Findings,
    ) {
        let format = self.opened.index.format();
        let pair = list.pair.unwrap_or(ALL_SERIES);
        let mut before: Option<SeriesRef> = None;
        // One finding a list, however many references are out of order: a hostile table may name
        // one list many times.
        let mut unsorted: Option<(usize, SeriesRef)> = None;
        let mut more = 0u64;
        for (position, reference) in postings.iter().enumerate() {
            if before.is_some_and(|before| before >= reference) {
                match unsorted {
                    None => unsorted = Some((position, reference)),
                    Some(_) => more += 1,
                }
            }
            before = Some(reference);
            if list.pair.is_some() && !self.lost.may_hold(reference, format) {
                list.sum.add(self.keys.mix(pair, reference));
            }
        }
        if let Some((position, reference)) = unsorted {
            let offset = postings.offset_of(position);
            let kind = of_list(entry, Kind::PostingsUnsorted);
            findings.add(kind, || Finding {
                series: shown_pair(entry),
                ..self
                    .subject
                    .in_index(kind, "postings", offset)
                    .saying(format!(
                        "expected references to ascend, found {reference}, and {more} more out of order"
                    ))
            });
        }
    }
}

/// Which lists have been read before.
struct Repeats<'a> {
    index: Index<'a>,
    /// Where the list ends that ends last of all so far.
    frontier: u64,
    budget: Budget,
}

impl Repeats<'_> {
    /// Whether the list at `offset` may be read: the first time always, again within limits.
    fn may_read(&mut self, offset: u64) -> bool {
        let len = self.index.section_len(offset).unwrap_or(0);
        if offset >= self.frontier {
            self.frontier = offset.saturating_add(len);
            return true;
        }
        self.budget.take(len)
    }
}

/// One list.
#[derive(Default)]
struct List {
    pair: Option<Pair>,
    /// Its pair is not known, and that has been said.
    is_reported: bool,
    is_damaged: bool,
    sum: PairSum,
    extent: Range<u64>,
}

/// The label pair of an entry, as a selector can be made of it; nothing for the list of all series.
pub(in crate::verify) fn shown_pair(entry: PostingsEntry<'_>) -> Option<Labels> {
    let is_all = entry.name.is_empty() && entry.value.is_empty();
    let is_short = entry.name.len() + entry.value.len() < 4096;
    (!is_all && is_short).then(|| {
        Labels(vec![Label {
            name: entry.name.into(),
            value: entry.value.into(),
        }])
    })
}

/// The kind of a fault in the list of `entry`: queries read the lists of label pairs, only
/// compactions that of all series.
pub(super) fn of_list(entry: PostingsEntry<'_>, kind: Kind) -> Kind {
    if entry.name.is_empty() && entry.value.is_empty() {
        Kind::AllPostingsDamaged
    } else {
        kind
    }
}

/// Where lists stand. They normally follow one another; each irregularity costs one element.
#[derive(Default)]
struct Extents(Vec<Range<u64>>);

impl Extents {
    fn add(&mut self, extent: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.end == extent.start => last.end = extent.end,
            _ if extent.is_empty() => {}
            _ => self.0.push(extent),
        }
    }

    /// The lists fill the section between the entries before it and the tables behind it, and do
    /// not overlap.
    fn check(mut self, check: &PostingsCheck<'_>, findings: &mut Findings) {
        let toc = check.opened.index.toc();
        let index = check.opened.index;
        let end = match index.label_indices() {
            Some(_) => toc.label_indices_table,
            None => toc.postings_table,
        };
        self.0.sort_unstable_by_key(|extent| extent.start);
        let mut covered = toc.postings;
        let mut first = true;
        for extent in self.0.into_iter().chain(std::iter::once(end..end)) {
            let aligned = covered.next_multiple_of(4);
            if extent.start < covered {
                findings.add(Kind::PostingsShared, || {
                    check
                        .subject
                        .in_index(Kind::PostingsShared, "postings", extent.start)
                        .saying(format!(
                            "expected a list from offset {covered} on, found {}",
                            extent.start
                        ))
                });
            } else if first && extent.start == aligned {
                check_padding(&check.subject, index, covered..aligned, findings);
            } else if extent.start > covered && can_tell_gaps(findings) {
                findings.add(Kind::IndexGarbage, || {
                    check
                        .subject
                        .in_index(Kind::IndexGarbage, "postings", covered)
                        .saying(format!(
                            "expected a list that the table names, found {} other bytes",
                            extent.start - covered
                        ))
                });
            }
            first = false;
            covered = covered.max(extent.end);
        }
    }
}

/// Whether a gap between lists is a fault of its own: a damaged list or table leaves some.
fn can_tell_gaps(findings: &Findings) -> bool {
    [
        Kind::PostingsMalformed,
        Kind::PostingsTableChecksum,
        Kind::PostingsTableMalformed,
        Kind::PostingsChecksum,
        Kind::AllPostingsDamaged,
        Kind::PostingsTableRest,
    ]
    .iter()
    .all(|kind| findings.count(*kind) == 0)
}
