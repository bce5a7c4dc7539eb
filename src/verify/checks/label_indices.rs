//! Label indices of Prometheus before 3.7. Nobody reads them, so what is wrong with them hurts nobody; but it
//! shows that bytes have changed.

use super::Subject;
use super::entries::check_padding;
use super::index::Opened;
use super::pairs::{Keys, PairSum};
use crate::index::{LabelIndex, LabelIndexEntry, LabelIndices};
use crate::model::SeriesRef;
use crate::raw::Malformed;
use crate::verify::{Findings, Kind};

/// Checks every label index and their offset table. `values` is the sum over the label pairs that have a postings
/// list, where those could all be read.
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
        next: opened.index.toc().label_indices,
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
    /// Where the next label index should begin, but for padding.
    next: u64,
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
        if self.sound && self.next != toc.postings {
            let found = format!("offset {}", self.next);
            let wanted = format!("at offset {}", toc.postings);
            return Err(Malformed::unexpected(
                "label index",
                self.next,
                "the end of the last one",
                wanted,
                found,
            ));
        }
        Ok(())
    }

    /// Without the table, the label indices still follow one another.
    fn walk(&mut self, findings: &mut Findings) -> Result<(), Malformed> {
        let end = self.opened.index.toc().postings;
        let mut at = self.next.next_multiple_of(4);
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
        let section = self.indices.section(entry.index)?;
        let aligned = self.next.next_multiple_of(4);
        if section.start == aligned {
            check_padding(
                self.subject,
                self.opened.index,
                self.next..aligned,
                findings,
            );
        } else {
            // Written in no particular order before Prometheus 2.15, so only the end of all of them tells.
            self.next = self.next.max(section.start);
        }
        self.next = self.next.max(section.end);
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
