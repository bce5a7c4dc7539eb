//! Names the label pairs whose postings differ from the series, once the sums have shown that some
//! do; and then the series that are missing from a list or too much in it.

use std::collections::HashMap;

use super::pairs::{ALL_SERIES, Pair};
use super::postings::{PostingsCheck, PostingsTotals, of_list, shown_pair};
use super::sound_entries::SoundEntries;
use crate::index::{Postings, PostingsEntry, PostingsTable, Series, SeriesEntry};
use crate::model::SeriesRef;
use crate::verify::{Finding, Findings, Kind};

/// Label pairs that are compared in one pass over the index.
const PAIRS_PER_PASS: u64 = 1 << 18;

/// References that are held while lists are compared one by one.
const REFS_PER_PASS: usize = 1 << 21;

/// Passes over the series that are spent on comparing lists one by one. In each of them many lists
/// are compared; a block that needs more is damaged all over.
const MOST_PASSES: usize = 64;

/// How the two sides of a pair differ.
#[derive(Default)]
struct Difference<'a> {
    /// Sum of the series' side minus sum of the list.
    sum: u64,
    /// Where the table names the list.
    entry: Option<PostingsEntry<'a>>,
}

impl<'a> PostingsCheck<'a> {
    /// Compares lists and series pair by pair.
    pub(in crate::verify) fn compare(&self, totals: &PostingsTotals, findings: &mut Findings) {
        let Ok(table) = self.opened.index.postings_table() else {
            return;
        };
        let parts = table.len() as u64 / PAIRS_PER_PASS + 1;
        let mut passes = 0;
        for part in 0..parts {
            let mut differing = self.differing(&table, (part, parts), totals);
            differing.sort_unstable_by_key(|(pair, d)| (d.entry.map(|entry| entry.offset), *pair));
            let mut rest = differing.as_slice();
            while !rest.is_empty() && passes < MOST_PASSES {
                let mut lists = self.take_lists(&mut rest);
                self.compare_lists(&mut lists, findings);
                passes += 1;
            }
        }
    }

    /// The pairs that differ, of one of several parts.
    fn differing(
        &self,
        table: &PostingsTable<'a>,
        (part, parts): (u64, u64),
        totals: &PostingsTotals,
    ) -> Vec<(Pair, Difference<'a>)> {
        let mut pairs: HashMap<Pair, Difference<'a>> = HashMap::new();
        let is_mine =
            |pair: Pair| self.keys.part(pair, parts) == part && !totals.damaged.contains(&pair);
        for entry in table.iter().map_while(Result::ok) {
            let Some(pair) = self.pair(entry).filter(|pair| is_mine(*pair)) else {
                continue;
            };
            let difference = pairs.entry(pair).or_default();
            difference.entry = Some(entry);
            for reference in self.list(entry).iter().flat_map(Postings::iter) {
                if !self.may_be_lost(reference) {
                    let mixed = self.keys.mix(pair, reference);
                    difference.sum = difference.sum.wrapping_sub(mixed);
                }
            }
        }
        // Only a hostile file has many more pairs in its series than in its table.
        let room = pairs.len().saturating_add(1 << 20);
        self.for_each_series(|entry, series| {
            for pair in pairs_of(series).filter(|pair| is_mine(*pair)) {
                if pairs.len() < room || pairs.contains_key(&pair) {
                    let mixed = self.keys.mix(pair, entry.reference);
                    let difference = pairs.entry(pair).or_default();
                    difference.sum = difference.sum.wrapping_add(mixed);
                }
            }
        });
        pairs.retain(|_, difference| difference.sum != 0);
        pairs.into_iter().collect()
    }

    /// The lists of the next pairs, as many as may be held at a time, and at least one.
    fn take_lists(&self, rest: &mut &[(Pair, Difference<'a>)]) -> HashMap<Pair, Compared<'a>> {
        let mut lists = HashMap::new();
        let mut held = 0;
        while let Some(((pair, difference), more)) = rest.split_first() {
            let postings = difference.entry.and_then(|entry| self.list(entry));
            held += postings.map_or(1, |postings| postings.len() + 1);
            if held > REFS_PER_PASS && !lists.is_empty() {
                break;
            }
            lists.insert(*pair, Compared::new(difference.entry, postings));
            *rest = more;
        }
        lists
    }

    fn compare_lists(&self, lists: &mut HashMap<Pair, Compared<'a>>, findings: &mut Findings) {
        self.for_each_series(|entry, series| {
            for pair in pairs_of(series) {
                if let Some(list) = lists.get_mut(&pair) {
                    let found = list.skip_to(entry.reference, |extra| {
                        self.report_extra(&extra, findings);
                    });
                    if !found {
                        self.report_missing(pair, list, entry, series, findings);
                    }
                }
            }
        });
        let mut rest: Vec<_> = lists.values_mut().collect();
        rest.sort_unstable_by_key(|list| list.entry.map(|entry| entry.offset));
        for list in rest {
            list.skip_to(SeriesRef(u64::MAX), |extra| {
                self.report_extra(&extra, findings);
            });
        }
    }

    fn report_missing(
        &self,
        pair: Pair,
        list: &Compared<'_>,
        entry: &SeriesEntry<'_>,
        series: &Series,
        findings: &mut Findings,
    ) {
        let table = self.opened.index.toc().postings_table;
        let (section, offset, of) = match list.entry {
            Some(found) => ("postings", found.list, describe(found)),
            None => (
                "postings offset table",
                table,
                if pair == ALL_SERIES {
                    "all series, which does not exist".to_owned()
                } else {
                    "a label that has none".to_owned()
                },
            ),
        };
        let kind = if pair == ALL_SERIES {
            Kind::AllPostingsMissing
        } else {
            Kind::PostingsMissing
        };
        findings.add(kind, || Finding {
            series: self.opened.labels(series),
            ..self.subject.in_index(kind, section, offset).saying(format!(
                "expected reference {} in the list of {of}",
                entry.reference
            ))
        });
    }

    fn report_extra(&self, extra: &Extra<'_>, findings: &mut Findings) {
        let &Extra {
            entry,
            postings,
            position,
            reference,
        } = extra;
        if self.may_be_lost(reference) {
            return;
        }
        let mut series = Series::default();
        let exists = self.opened.index.series_at(reference).is_ok_and(|found| {
            self.budget.take(found.end - found.offset)
                && found.check().is_ok()
                && !found.is_empty()
                && found.decode(&mut series).is_ok()
        });
        let (kind, detail) = if exists {
            let of = describe(entry);
            let detail = format!("expected only series with {of}, found reference {reference}");
            (Kind::PostingsExtra, detail)
        } else {
            let detail = format!("expected references to series, found {reference}");
            (of_list(entry, Kind::PostingsDangling), detail)
        };
        findings.add(kind, || Finding {
            series: if exists {
                self.opened.labels(&series)
            } else {
                shown_pair(entry)
            },
            ..self
                .subject
                .in_index(kind, "postings", postings.offset_of(position))
                .saying(detail)
        });
    }

    fn may_be_lost(&self, reference: SeriesRef) -> bool {
        self.lost.may_hold(reference, self.opened.index.format())
    }

    /// The list of a table entry.
    fn list(&self, entry: PostingsEntry<'a>) -> Option<Postings<'a>> {
        let section = self.opened.index.postings_section(entry.list).ok()?;
        Postings::read(&section).ok()
    }

    fn for_each_series(&self, mut act: impl FnMut(&SeriesEntry<'a>, &Series)) {
        let mut series = Series::default();
        for entry in SoundEntries::of(self.opened.index) {
            if entry.decode(&mut series).is_ok() {
                act(&entry, &series);
            }
        }
    }
}

/// The lists that a series should be in.
fn pairs_of(series: &Series) -> impl Iterator<Item = Pair> + '_ {
    series.labels.iter().copied().chain([ALL_SERIES])
}

/// The label pair of an entry in words.
fn describe(entry: PostingsEntry<'_>) -> String {
    match shown_pair(entry) {
        Some(pair) => pair.to_string(),
        None if entry.name.is_empty() => "all series".to_owned(),
        None => "a very long label".to_owned(),
    }
}

/// A reference that should not be in a list.
struct Extra<'a> {
    entry: PostingsEntry<'a>,
    postings: Postings<'a>,
    position: usize,
    reference: SeriesRef,
}

/// A list that is being compared with the series, which come in ascending order.
struct Compared<'a> {
    entry: Option<PostingsEntry<'a>>,
    postings: Option<Postings<'a>>,
    /// Its references in ascending order, each once, with their positions.
    refs: Vec<(SeriesRef, usize)>,
    next: usize,
}

impl<'a> Compared<'a> {
    fn new(entry: Option<PostingsEntry<'a>>, postings: Option<Postings<'a>>) -> Self {
        let refs = postings
            .iter()
            .flat_map(|postings| postings.iter().zip(0..));
        let mut refs: Vec<_> = refs.collect();
        refs.sort_unstable();
        refs.dedup_by_key(|(reference, _)| *reference);
        Compared {
            entry,
            postings,
            refs,
            next: 0,
        }
    }

    /// Goes forward to `reference` and says whether it is there; those before it belong to no
    /// series that was seen.
    fn skip_to(&mut self, reference: SeriesRef, mut extra: impl FnMut(Extra<'a>)) -> bool {
        while let Some(&(next, position)) = self.refs.get(self.next)
            && next <= reference
        {
            self.next += 1;
            if next == reference {
                return true;
            }
            if let Some((entry, postings)) = self.entry.zip(self.postings) {
                extra(Extra {
                    entry,
                    postings,
                    position,
                    reference: next,
                });
            }
        }
        false
    }
}
