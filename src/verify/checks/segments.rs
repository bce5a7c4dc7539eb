//! The segments of a block: their headers, and which of them is which.

use std::path::PathBuf;

use super::Subject;
use crate::chunk::{SEGMENT_HEADER, SEGMENT_LIMIT, Segment};
use crate::error::Result;
use crate::model::ChunkRef;
use crate::raw::FileBytes;
use crate::verify::{Findings, Kind};

/// A segment as chunk references count them.
#[derive(Debug)]
pub(in crate::verify) struct Slot {
    /// Where it is, or would be.
    pub(in crate::verify) path: PathBuf,
    /// Its content; nothing if it is missing or cannot be read.
    bytes: Option<FileBytes>,
}

/// The segments of a block, by the position that chunk references give them.
#[derive(Debug, Default)]
pub(in crate::verify) struct Segments {
    slots: Vec<Slot>,
}

impl Segments {
    /// Takes the segments, opened in the order of their names, and checks their headers. `last`
    /// finds the last reference in the index: it tells how many segments there should be, and is
    /// asked only when their names leave that open.
    pub(in crate::verify) fn of(
        subject: &Subject<'_>,
        opened: Vec<Result<FileBytes>>,
        last: impl FnOnce() -> Option<ChunkRef>,
        findings: &mut Findings,
    ) -> Self {
        let files = subject.files;
        if !files.has_chunks_dir {
            let path = files.dir.join("chunks");
            findings.add(Kind::ChunksMissing, || {
                subject.finding(Kind::ChunksMissing, path)
            });
        }
        let last = check_names(subject, findings).and_then(|()| last());
        let mut segments = Segments::default();
        let mut opened = opened.into_iter();
        for position in positions(&files.segments, last) {
            segments.slots.push(match position {
                Position::File(name) => slot(subject, name, opened.next(), findings),
                Position::Missing(name) => Slot {
                    path: files.segment(&name),
                    bytes: None,
                },
            });
        }
        segments
    }

    /// The segment at `position`, if it is there.
    #[inline]
    pub(in crate::verify) fn get(&self, position: usize) -> Option<Segment<'_>> {
        let bytes = self.slots.get(position)?.bytes.as_ref()?;
        Some(Segment::new(bytes))
    }

    /// Number of segments, missing ones included.
    pub(in crate::verify) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Path of the segment at `position`.
    pub(in crate::verify) fn path(&self, subject: &Subject<'_>, position: usize) -> PathBuf {
        let slot = self.slots.get(position).map(|slot| slot.path.clone());
        slot.unwrap_or_else(|| {
            subject
                .files
                .segment(&format!("{:06}", position.saturating_add(1)))
        })
    }

    /// The files that could be opened.
    pub(in crate::verify) fn files(&self) -> impl Iterator<Item = &FileBytes> {
        self.slots.iter().filter_map(|slot| slot.bytes.as_ref())
    }

    /// Bytes of all segments.
    pub(in crate::verify) fn bytes(&self) -> u64 {
        let len = |slot: &Slot| slot.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.slots.iter().map(len).sum()
    }
}

enum Position<'a> {
    File(&'a str),
    Missing(String),
}

/// Which file is which segment. Prometheus counts by position in the sorted list. When a file was
/// lost that shifts all later ones: then the names tell, provided they explain the last reference
/// and positions do not. Files are given out in the order of their names.
fn positions(names: &[String], last: Option<ChunkRef>) -> Vec<Position<'_>> {
    let numbers: Vec<usize> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let wanted = last.map_or(0, |last| last.segment().saturating_add(1));
    let by_name = numbers.len() == names.len()
        && numbers.is_sorted()
        && numbers.first() >= Some(&1)
        && wanted > names.len()
        && numbers.last() <= Some(&wanted)
        // References of 32 bits of segments would otherwise let a damaged index ask for 4 billion
        // slots.
        && wanted <= names.len() + MOST_MISSING;
    if !by_name {
        return names.iter().map(|name| Position::File(name)).collect();
    }
    let mut files = numbers.iter().zip(names).peekable();
    (1..=wanted)
        .map(|number| match files.next_if(|(n, _)| **n == number) {
            Some((_, name)) => Position::File(name),
            None => Position::Missing(format!("{number:06}")),
        })
        .collect()
}

/// Most missing segments that names can tell of: a block of that many would be 2 TiB.
const MOST_MISSING: usize = 4096;

fn slot(
    subject: &Subject<'_>,
    name: &str,
    opened: Option<Result<FileBytes>>,
    findings: &mut Findings,
) -> Slot {
    let path = subject.files.segment(name);
    let bytes = match opened {
        Some(Ok(bytes)) => bytes,
        // Fewer were opened than there are names: that is for the caller to explain.
        None => return Slot { path, bytes: None },
        Some(Err(error)) => {
            findings.add(Kind::Unreadable, || {
                subject
                    .finding(Kind::Unreadable, path.clone())
                    .saying(error.chain())
            });
            return Slot { path, bytes: None };
        }
    };
    check_header(subject, &path, &Segment::new(&bytes), findings);
    Slot {
        path,
        bytes: Some(bytes),
    }
}

fn check_header(
    subject: &Subject<'_>,
    path: &std::path::Path,
    segment: &Segment<'_>,
    findings: &mut Findings,
) {
    let finding = |kind| subject.finding(kind, path.to_owned());
    if segment.is_empty() {
        let detail = format!("expected at least {SEGMENT_HEADER} bytes, found 0");
        findings.add(Kind::SegmentEmpty, || {
            finding(Kind::SegmentEmpty).saying(detail)
        });
    } else if let Err(malformed) = segment.check_header() {
        findings.add(Kind::SegmentHeader, || {
            finding(Kind::SegmentHeader).at(&malformed)
        });
    }
    if segment.len() > SEGMENT_LIMIT {
        let detail = format!("found {} bytes", segment.len());
        findings.add(Kind::SegmentOversize, || {
            finding(Kind::SegmentOversize).saying(detail)
        });
    }
    if segment.len() >= SEGMENT_HEADER && !segment.has_clean_padding() {
        findings.add(Kind::SegmentPadding, || {
            let mut padding = finding(Kind::SegmentPadding);
            padding.section = Some("segment header");
            padding.offset = Some(5);
            padding
        });
    }
}

/// Returns something when the names are not those that Prometheus gives.
fn check_names(subject: &Subject<'_>, findings: &mut Findings) -> Option<()> {
    let names = &subject.files.segments;
    let (name, number) = names
        .iter()
        .zip(1..)
        .find(|(name, number)| **name != format!("{number:06}"))?;
    findings.add(Kind::SegmentNames, || {
        let path = subject.files.segment(name);
        let detail = format!("expected {number:06}, found {name}");
        subject.finding(Kind::SegmentNames, path).saying(detail)
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arranged(names: &[&str], last: Option<u32>) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        positions(&names, last.map(|segment| ChunkRef::new(segment, 8)))
            .into_iter()
            .map(|position| match position {
                Position::File(name) => name.to_owned(),
                Position::Missing(name) => format!("-{name}"),
            })
            .collect()
    }

    #[test]
    fn position_counts_unless_only_the_names_explain_the_index() {
        assert_eq!(
            arranged(&["000001", "000002"], Some(1)),
            ["000001", "000002"]
        );
        assert_eq!(arranged(&["000002"], Some(0)), ["000002"], "renamed");
        assert_eq!(
            arranged(&["000002"], Some(1)),
            ["-000001", "000002"],
            "lost"
        );
        assert_eq!(
            arranged(&["000001", "000003"], Some(2)),
            ["000001", "-000002", "000003"]
        );
        assert_eq!(arranged(&["000001"], Some(1)), ["000001", "-000002"]);
        assert_eq!(
            arranged(&["000000", "000005"], Some(3)),
            ["000000", "000005"]
        );
        assert_eq!(arranged(&["000001"], Some(u32::MAX)), ["000001"]);
        assert_eq!(arranged(&["000001"], None), ["000001"]);
    }
}
