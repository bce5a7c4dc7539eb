//! Findings, and the collection that keeps memory bounded however much is broken.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::kind::{Consequence, Consequences, FindingSeverity, Kind};
use crate::model::{Labels, Millis, Ulid};
use crate::units::time_text;

/// Most findings of one kind that are kept for one block. The others are counted.
pub const KEPT_PER_KIND: u64 = 1000;

/// Something that verification noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// The block, by the ULID it claims or the name of its directory.
    pub block: Option<Ulid>,
    /// The file or directory.
    pub path: PathBuf,
    /// Where the part begins that is concerned, an entry, a chunk, a list or a section: offset in
    /// the file, in bytes.
    pub offset: Option<u64>,
    /// Part of the file, as the format names it.
    pub section: Option<&'static str>,
    /// Labels of the series concerned; they print as a selector for it.
    pub series: Option<Labels>,
    /// What is lost or wrong because of it.
    pub loss: Option<FaultLoss>,
    /// What was wanted and what was found.
    pub detail: String,
    /// Whether something else keeps Prometheus from opening the block: it then serves without it,
    /// whatever else is wrong in there.
    pub is_unopened: bool,
}

impl Finding {
    /// What Prometheus does about it, by release: of a block that it does not open, no more than
    /// leave it out.
    pub fn consequence(&self) -> Consequences {
        let own = self.kind.consequence();
        if !self.is_unopened {
            return own;
        }
        let bound = |consequence: Consequence| consequence.min(Consequence::SkipsBlock);
        Consequences {
            old: bound(own.old),
            new: bound(own.new),
            since: own.since,
        }
    }

    /// A finding about `path` as a whole; `detail` says what was wanted and what was found.
    pub fn about(kind: Kind, block: Option<Ulid>, path: PathBuf, detail: String) -> Self {
        Finding {
            kind,
            block,
            path,
            offset: None,
            section: None,
            series: None,
            loss: None,
            detail,
            is_unopened: false,
        }
    }
}

/// What a fault puts out of reach, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultLoss {
    /// Times of the first and the last sample concerned; nothing where neither the index nor the
    /// chunks tell.
    pub times: Option<(Millis, Millis)>,
    /// Number of chunks concerned.
    pub chunks: u64,
    /// Number of samples concerned, where the damage leaves a way to know.
    pub samples: Option<u64>,
}

impl FaultLoss {
    /// Both together.
    #[must_use]
    pub fn and(self, other: FaultLoss) -> FaultLoss {
        FaultLoss {
            times: match (self.times, other.times) {
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                (known, other) => known.or(other),
            },
            chunks: self.chunks + other.chunks,
            samples: self.samples.zip(other.samples).map(|(a, b)| a + b),
        }
    }
}

/// Findings with a count for each kind. Of every kind the first [`KEPT_PER_KIND`] are kept.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    kept: Vec<Finding>,
    counts: BTreeMap<Kind, u64>,
}

impl Findings {
    /// Counts a finding, and keeps it if there is room; only then it is made.
    pub fn add(&mut self, kind: Kind, make: impl FnOnce() -> Finding) {
        let count = self.counts.entry(kind).or_insert(0);
        *count += 1;
        if *count <= KEPT_PER_KIND {
            let finding = make();
            debug_assert_eq!(finding.kind, kind);
            self.kept.push(finding);
        }
    }

    /// Says of all of them, which are of one block, that it is not opened, if one keeps every
    /// release from that: metadata are read first.
    pub(super) fn mark_unopened(&mut self) {
        let skips = |kind: &Kind| {
            let consequence = kind.consequence();
            [consequence.old, consequence.new] == [Consequence::SkipsBlock; 2]
        };
        if self.counts.keys().any(skips) {
            for finding in &mut self.kept {
                finding.is_unopened = true;
            }
        }
    }

    /// Adds those of `other`, which come later.
    pub fn append(&mut self, other: Findings) {
        for finding in other.kept {
            let before = self.count(finding.kind);
            let kept = self.counts.entry(finding.kind).or_insert(0);
            if before < KEPT_PER_KIND {
                self.kept.push(finding);
            }
            *kept += 1;
        }
        for (kind, count) in other.counts {
            let beyond = count.saturating_sub(KEPT_PER_KIND);
            *self.counts.entry(kind).or_insert(0) += beyond;
        }
    }

    /// Takes out those of the kept ones that `wanted` selects.
    pub(super) fn take(&mut self, wanted: impl Fn(&Finding) -> bool) -> Vec<Finding> {
        let taken: Vec<_> = self
            .kept
            .extract_if(.., |finding| wanted(finding))
            .collect();
        for finding in &taken {
            if let Some(count) = self.counts.get_mut(&finding.kind) {
                *count -= 1;
            }
        }
        self.counts.retain(|_, count| *count > 0);
        taken
    }

    /// Puts them in the order of files and offsets.
    pub fn sort(&mut self) {
        self.kept.sort_by(|a, b| {
            (&a.path, a.offset, a.kind, &a.detail).cmp(&(&b.path, b.offset, b.kind, &b.detail))
        });
    }

    /// Those that were kept.
    pub fn as_slice(&self) -> &[Finding] {
        &self.kept
    }

    /// Those that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.kept.iter()
    }

    /// How many there are of `kind`, kept or not.
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// How many there are of each kind, kept or not.
    pub fn counts(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// How many are of `severity`.
    pub fn of_severity(&self, severity: FindingSeverity) -> u64 {
        self.counts()
            .filter(|(kind, _)| kind.severity() == severity)
            .map(|(_, count)| count)
            .sum()
    }

    /// The worst severity among them.
    pub fn worst(&self) -> Option<FindingSeverity> {
        self.counts.keys().map(|kind| kind.severity()).max()
    }

    /// Whether any of them is more than a note.
    pub fn has_problems(&self) -> bool {
        self.worst() > Some(FindingSeverity::Note)
    }

    /// How many are not kept.
    pub fn omitted(&self) -> u64 {
        self.counts.values().sum::<u64>() - self.kept.len() as u64
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Severity, kind, place, what was found, whose samples, what Prometheus does.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.kind.severity();
        let path = self.path.display();
        write!(f, "{severity:<8} {:<24} {path}", self.kind)?;
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        if let Some(section) = self.section {
            write!(f, " ({section})")?;
        }
        if self.detail.is_empty() {
            write!(f, ": {}", self.kind.sentence().trim_end_matches('.'))?;
        } else {
            write!(f, ": {}", self.detail)?;
        }
        if let Some(series) = &self.series {
            write!(f, "; {series}")?;
        }
        if let Some(loss) = self.loss {
            write!(f, "; {}", Lost(loss))?;
        }
        if severity > FindingSeverity::Note {
            write!(f, "; Prometheus: {}", self.consequence())?;
        }
        Ok(())
    }
}

struct Lost(FaultLoss);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost(loss) = self;
        match (loss.samples, loss.chunks) {
            (Some(samples), 0) => write!(f, "{samples} samples")?,
            (Some(samples), chunks) => write!(f, "{samples} samples in {}", counted(chunks))?,
            (None, chunks) => f.write_str(&counted(chunks))?,
        }
        match loss.times {
            Some((first, last)) => write!(f, " from {} to {}", time_text(first), time_text(last)),
            None => f.write_str(" of unknown time"),
        }
    }
}

fn counted(chunks: u64) -> String {
    let noun = if chunks == 1 { "chunk" } else { "chunks" };
    format!("{chunks} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: Kind, offset: u64) -> Finding {
        Finding {
            kind,
            block: None,
            path: PathBuf::from("index"),
            offset: Some(offset),
            section: None,
            series: None,
            loss: None,
            detail: String::new(),
            is_unopened: false,
        }
    }

    fn many(kind: Kind, offsets: std::ops::Range<u64>) -> Findings {
        let mut findings = Findings::default();
        for offset in offsets {
            findings.add(kind, || finding(kind, offset));
        }
        findings
    }

    #[test]
    fn the_first_of_each_kind_are_kept_and_all_are_counted() {
        let mut all = many(Kind::ChunkChecksum, 0..700);
        all.append(many(Kind::ChunkChecksum, 700..2200));
        all.append(many(Kind::IndexPadding, 0..1));
        assert_eq!(all.count(Kind::ChunkChecksum), 2200);
        assert_eq!(all.omitted(), 1200);
        let last = all
            .iter()
            .rev()
            .find(|finding| finding.kind == Kind::ChunkChecksum);
        assert_eq!(last.unwrap().offset, Some(999));
        assert_eq!(all.worst(), Some(FindingSeverity::Damaged));
        assert_eq!(all.of_severity(FindingSeverity::Warning), 1);
    }

    #[test]
    fn notes_are_no_problem() {
        assert!(!many(Kind::SymbolUnused, 0..1).has_problems());
        assert!(!Findings::default().has_problems());
    }
}
