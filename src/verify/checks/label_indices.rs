//! Label indices of Prometheus before 3.7. Nobody reads them, so what is wrong with them hurts
//! nobody; but it shows that bytes have changed.

use std::ops::Range;

use super::Subject;
use super::budget::Budget;
use super::entries::check_padding;
use super::index::Opened;
use super::pairs::{Keys, PairSum};
use crate::index::{LabelIndex, LabelIndexEntry, LabelIndices};
use crate::model::SeriesRef;
use crate::raw::Malformed;
use crate::verify::{Findings, Kind};

/// Checks every label index and their offset table. `values` is the sum over the label pairs that
/// have a postings list, where those could all be read.
pub(in crate::verify) fn check(
    subject: &Subject<'_>,
    opened: &Opened<'_>,
    keys: &Keys,
    values: Option<PairSum>,
    findings: &mut Findings,
) {
    let Some(indices) = opened.index.label_indices().filter(|_| opened.toc_is_sound) else {
        return;
    };
    let mut check = Check {
        subject,
        opened,
        indices,
        keys,
        found: PairSum::default(),
        sound: true,
        framed: true,
        extents: Vec::new(),
        budget: Budget::of(opened.index.bytes().len() as u64),
    };
    if let Err(malformed) = check.table(findings) {
        check.fail(Kind::LabelIndexMalformed, &malformed, findings);
    }
    if check.sound && values.is_some_and(|values| values != check.found) {
        let offset = opened.index.toc().label_indices_table;
        findings.add(Kind::LabelIndexContent, || {
            subject
                .in_index(Kind::LabelIndexContent, "label index offset table", offset)
                .saying("expected the values that the postings offset table has")
        });
    }
}

struct Check<'a> {
    subject: &'a Subject<'a>,
    opened: &'a Opened<'a>,
    indices: LabelIndices<'a>,
    keys: &'a Keys,
    found: PairSum,
    sound: bool,
    /// Whether it is known of all label indices where they stand.
    framed: bool,
    /// Where they stand. They normally follow one another; each irregularity costs one element.
    extents: Vec<Range<u64>>,
    budget: Budget,
}

impl Check<'_> {
    fn fail(&mut self, kind: Kind, malformed: &Malformed, findings: &mut Findings) {
        self.sound = false;
        findings.add(kind, || self.subject.malformed_index(kind, malformed));
    }

    fn table(&mut self, findings: &mut Findings) -> Result<(), Malformed> {
        let toc = self.opened.index.toc();
        let table = self.indices.table_section()?;
        if let Err(malformed) = &table.checksum {
            self.fail(Kind::LabelIndexChecksum, malformed, findings);
            return self.walk(findings);
        }
        if table.end != toc.postings_table {
            let found = format!("offset {}", table.end);
            let wanted = format!("at offset {}", toc.postings_table);
            return Err(Malformed::unexpected(
                "label index offset table",
                table.start,
                "its end",
                wanted,
                found,
            ));
        }
        for entry in self.indices.entries(&table)? {
            if let Err(malformed) = entry.and_then(|entry| self.one(entry, findings)) {
                self.fail(Kind::LabelIndexMalformed, &malformed, findings);
            }
        }
        if !self.framed {
            return Ok(());
        }
        let end = self.check_gaps(findings);
        if end == toc.postings {
            return Ok(());
        }
        let wanted = format!("at offset {}", toc.postings);
        let found = format!("offset {end}");
        let what = "the end of the last one";
        Err(Malformed::unexpected(
            "label index",
            end,
            what,
            wanted,
            found,
        ))
    }

    /// Looks at the bytes between label indices and returns where the last one ends. Before
    /// Prometheus 2.15 the table named them in no particular order.
    fn check_gaps(&mut self, findings: &mut Findings) -> u64 {
        self.extents.sort_unstable_by_key(|extent| extent.start);
        let mut covered = self.opened.index.toc().label_indices;
        for extent in &self.extents {
            let aligned = covered.next_multiple_of(4);
            if extent.start == aligned {
                let padding = covered..aligned;
                check_padding(self.subject, self.opened.index, padding, findings);
            } else if extent.start > covered {
                findings.add(Kind::IndexGarbage, || {
                    self.subject
                        .in_index(Kind::IndexGarbage, "label index", covered)
                        .saying(format!(
                            "expected a label index that the table names, found {} other bytes",
                            extent.start - covered
                        ))
                });
            }
            covered = covered.max(extent.end);
        }
        covered
    }

    /// Whether the label index at `offset` may be read: how often several names may share one is
    /// limited.
    fn may_read(&self, offset: u64) -> bool {
        let is_new = self.extents.last().is_none_or(|last| last.end <= offset);
        let len = self.opened.index.section_len(offset).unwrap_or(0);
        is_new || self.budget.take(len)
    }

    /// Without the table, the label indices still follow one another.
    fn walk(&mut self, findings: &mut Findings) -> Result<(), Malformed> {
        let end = self.opened.index.toc().postings;
        self.framed = false;
        let mut at = self.opened.index.toc().label_indices.next_multiple_of(4);
        while at < end {
            let section = self.indices.section(at)?;
            at = section.end.next_multiple_of(4);
            if let Err(malformed) = section.checksum {
                self.fail(Kind::LabelIndexChecksum, &malformed, findings);
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        entry: LabelIndexEntry<'_>,
        findings: &mut Findings,
    ) -> Result<(), Malformed> {
        if !self.may_read(entry.index) {
            (self.sound, self.framed) = (false, false);
            findings.add(Kind::LabelIndexContent, || {
                let table = "label index offset table";
                self.subject
                    .in_index(Kind::LabelIndexContent, table, entry.offset)
                    .saying("expected a label index of its own, found one that many names share")
            });
            return Ok(());
        }
        let section = match self.indices.section(entry.index) {
            Ok(section) => section,
            Err(malformed) => {
                self.framed = false;
                return Err(malformed);
            }
        };
        match self.extents.last_mut() {
            Some(last) if last.end == section.start => last.end = section.end,
            _ => self.extents.push(section.start..section.end),
        }
        if let Err(malformed) = &section.checksum {
            self.fail(Kind::LabelIndexChecksum, malformed, findings);
            return Ok(());
        }
        let name = self
            .opened
            .sound_symbols()
            .and_then(|symbols| symbols.find(entry.name));
        let Some(name) = name else {
            self.sound = false;
            if self.opened.sound_symbols().is_some() {
                let table = "label index offset table";
                findings.add(Kind::LabelIndexContent, || {
                    self.subject
                        .in_index(Kind::LabelIndexContent, table, section.start)
                        .saying(
                            "expected the name of a label, found one that is not among the symbols",
                        )
                });
            }
            return Ok(());
        };
        for value in LabelIndex::read(&section)?.iter() {
            let mixed = self.keys.mix((name, value), SeriesRef(u64::MAX));
            self.found.add(mixed);
        }
        Ok(())
    }
}
