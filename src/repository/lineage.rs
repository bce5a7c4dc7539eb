//! What blocks have to do with each other: whose samples they hold, which time they cover. Pure
//! functions over what manifests say.

use std::collections::BTreeSet;

use super::digest::Hasher;
use super::entries::{NOTE, StoredBlock};
use super::manifest::{ArchiveGap, Coverage};
use crate::model::{Kin, KinContent, Millis, Stream, TimeRange, Ulid};

/// The severity, as `narthex verify` calls it, of findings that cost no sample.
const WARNING: &str = "warning";

/// Whether some of the block's range lies in `range`.
pub fn touches(range: TimeRange, block: &StoredBlock) -> bool {
    range.overlaps_block(block.min_time, block.max_time)
}

/// The level-1 blocks whose samples `block` holds; itself, where it does not say.
///
/// A level-1 block is an atom: compaction merges whole blocks and writes down which atoms went in.
/// Two blocks can hold the same samples only as far as their atoms agree; whether they do, [`kin`]
/// tells.
pub fn atoms(block: &StoredBlock) -> BTreeSet<Ulid> {
    if block.sources.is_empty() {
        BTreeSet::from([block.ulid])
    } else {
        block.sources.iter().copied().collect()
    }
}

/// What of its atoms' samples `block` holds, as far as the manifest says.
pub fn stream(block: &StoredBlock) -> Stream {
    Stream {
        resolution: block.resolution.unwrap_or(0).max(0),
        labels: block.external_labels.clone(),
        selected: Stream::is_selected(block.hints.iter().map(String::as_str)),
    }
}

/// What `block` is to others.
pub fn kin(block: &StoredBlock) -> Kin {
    let mut digest = Hasher::default();
    let files = block.files.iter();
    let mut data: Vec<_> = files.filter(|file| file.name.is_immutable()).collect();
    data.sort_by_key(|file| &file.name);
    for file in data {
        digest.update(file.name.as_str().as_bytes());
        digest.update(&[0]);
        digest.update(file.sha256.as_bytes());
    }
    Kin {
        ulid: block.ulid,
        atoms: atoms(block),
        parents: block.parents.clone(),
        range: (block.min_time, block.max_time),
        stream: stream(block),
        content: KinContent {
            series: block.series,
            chunks: block.chunks,
            samples: block.samples,
            digest: Some(*digest.finish().as_bytes()),
        },
    }
}

/// What `later` says otherwise than `earlier`, where both are of one block with the same index and
/// chunks, and its `meta.json` never changes: as `maxTime 7, before 5`. Prometheus and Thanos
/// rewrite only what a manifest does not repeat of it (counts of deletions, marks, labels). Nothing
/// where one of the two knows no metadata.
pub fn contradictions(earlier: &StoredBlock, later: &StoredBlock) -> Vec<String> {
    let is_same = earlier.ulid == later.ulid && earlier.fingerprint == later.fingerprint;
    let is_told = |block: &StoredBlock| block.min_time < block.max_time;
    if !is_same || !is_told(earlier) || !is_told(later) {
        return Vec::new();
    }
    let ulids = |ulids: &[Ulid]| match ulids {
        [] => "none".to_owned(),
        [first] => first.to_string(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    };
    let number = |value: Option<i64>| value.map_or_else(String::new, |value| value.to_string());
    let count = |value: u64| value.to_string();
    let told = |block: &StoredBlock| {
        [
            ("minTime", block.min_time.to_string()),
            ("maxTime", block.max_time.to_string()),
            ("level", count(block.level)),
            ("numSeries", count(block.series)),
            ("numChunks", count(block.chunks)),
            ("numSamples", count(block.samples)),
            ("resolution", number(block.resolution)),
            ("sources", ulids(&block.sources)),
            ("parents", ulids(&block.parents)),
        ]
    };
    let lists = |name: &str| match name {
        "sources" => earlier.sources != later.sources,
        "parents" => earlier.parents != later.parents,
        _ => false,
    };
    let both = told(earlier).into_iter().zip(told(later));
    both.filter(|((name, before), (_, now))| {
        let unknown = before.is_empty() || now.is_empty();
        !unknown && (before != now || lists(name))
    })
    .map(|((name, before), (_, now))| format!("{name} {now}, before {before}"))
    .collect()
}

/// Whether the verifier found samples of `block` lost, wrong or out of reach.
pub fn is_damaged(block: &StoredBlock) -> bool {
    let mut severities = block.findings.by_severity.keys();
    severities.any(|severity| severity != NOTE && severity != WARNING)
}

/// Whether the verifier found more in `block` than what is unusual but legal.
pub fn has_problems(block: &StoredBlock) -> bool {
    let mut severities = block.findings.by_severity.keys();
    severities.any(|severity| severity != NOTE)
}

/// Whether `copy` is the same block as `block`, in which the verifier found nothing wrong, while in
/// `block` it did and the metadata says otherwise: the index and chunks of both are the same, and
/// it is `copy` that says what they hold.
pub fn is_better_told(copy: &StoredBlock, block: &StoredBlock) -> bool {
    has_problems(block) && !has_problems(copy) && !contradictions(copy, block).is_empty()
}

/// Spans inside `range`, or between the first and the last block where the range is open, that no
/// block covers.
///
/// A block begins with its first sample, not where the one before it ends: a span shorter than a
/// twentieth of both its neighbours is the pause between two scrapes, and no gap.
pub fn gaps<'a>(
    blocks: impl IntoIterator<Item = &'a StoredBlock>,
    range: TimeRange,
) -> Vec<ArchiveGap> {
    let edge = |time, open| Some((time, time)).filter(|_| time != open);
    let spans = spans(blocks, range)
        .into_iter()
        .chain(edge(range.until, Millis::MAX));
    let mut before = edge(range.since, Millis::MIN);
    let mut gaps = Vec::new();
    for span in spans {
        let Some(earlier) = before else {
            before = Some(span);
            continue;
        };
        if span.0.saturating_sub(earlier.1) > pause(earlier, span) {
            gaps.push(ArchiveGap {
                min_time: earlier.1,
                max_time: span.0,
            });
        }
        if span.1 > earlier.1 {
            before = Some(span);
        }
    }
    gaps
}

/// A span of time that blocks cover without a gap, as [`gaps`] sees gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its begin.
    pub begin: Millis,
    /// Its end, exclusive.
    pub end: Millis,
    /// How long a pause before it, and one behind it, may be.
    pauses: (Millis, Millis),
}

impl Run {
    /// Whether there is no gap in `range` beside it.
    pub fn leaves_no_gap_in(&self, range: TimeRange) -> bool {
        let touches = self.begin < range.until && self.end > range.since;
        touches
            && self.begin.saturating_sub(range.since) <= self.pauses.0
            && range.until.saturating_sub(self.end) <= self.pauses.1
    }
}

/// The spans that `blocks` cover without a gap, by their time.
pub fn runs<'a>(blocks: impl IntoIterator<Item = &'a StoredBlock>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut last: Option<(Millis, Millis)> = None;
    for span in spans(blocks, TimeRange::ALL) {
        let edge = pause(span, (span.0, span.0));
        let is_joined = last.is_some_and(|last| span.0.saturating_sub(last.1) <= pause(last, span));
        match runs.last_mut().filter(|_| is_joined) {
            Some(run) if span.1 > run.end => (run.end, run.pauses.1) = (span.1, edge),
            Some(_) => {}
            None => runs.push(Run {
                begin: span.0,
                end: span.1,
                pauses: (edge, edge),
            }),
        }
        if last.is_none_or(|last| span.1 > last.1) {
            last = Some(span);
        }
    }
    runs
}

/// How long a pause between two neighbours may be; the edges of a range have no length and no say.
fn pause(earlier: (Millis, Millis), later: (Millis, Millis)) -> Millis {
    let lengths = [earlier, later].map(|(begin, end)| end.saturating_sub(begin));
    let shorter = lengths.into_iter().filter(|length| *length > 0).min();
    shorter.unwrap_or(0) / 20
}

/// What of the time line `blocks` cover.
pub fn coverage(blocks: &[StoredBlock]) -> Coverage {
    let spans = spans(blocks, TimeRange::ALL);
    Coverage {
        min_time: spans.iter().map(|span| span.0).min(),
        max_time: spans.iter().map(|span| span.1).max(),
        gaps: gaps(blocks, TimeRange::ALL),
    }
}

/// Begin and end of the blocks that touch `range` and whose time makes sense, sorted.
fn spans<'a>(
    blocks: impl IntoIterator<Item = &'a StoredBlock>,
    range: TimeRange,
) -> Vec<(Millis, Millis)> {
    let mut spans: Vec<_> = blocks
        .into_iter()
        .filter(|block| block.min_time < block.max_time && touches(range, block))
        .map(|block| (block.min_time, block.max_time))
        .collect();
    spans.sort_unstable();
    spans
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::digest::Digest;
    use super::super::entries::{FindingCounts, StoredObject};
    use super::super::layout::{Fingerprint, block_object};
    use super::*;
    use crate::repository::ObjectCodec;

    pub(crate) fn ulid(number: u64) -> Ulid {
        Ulid::from_parts(1_000_000 + number as i64, u128::from(number))
    }

    /// A block with these atoms (all level-1 ULIDs) and parents; nothing stored.
    pub(crate) fn block(
        number: u64,
        (min_time, max_time): (Millis, Millis),
        level: u64,
        sources: &[u64],
        parents: &[u64],
    ) -> StoredBlock {
        let fingerprint = Fingerprint::of(&number.to_be_bytes());
        StoredBlock {
            ulid: ulid(number),
            object: StoredObject {
                name: block_object(ulid(number), &fingerprint).unwrap(),
                codec: ObjectCodec::Portable,
                bytes: 0,
                sha256: Digest::of(b""),
                raw_bytes: 0,
                encrypted: None,
            },
            fingerprint,
            min_time,
            max_time,
            level,
            sources: sources.iter().copied().map(ulid).collect(),
            parents: parents.iter().copied().map(ulid).collect(),
            resolution: Some(0),
            external_labels: std::collections::BTreeMap::new(),
            hints: Vec::new(),
            series: 0,
            chunks: 0,
            samples: 0,
            statistics: false,
            packs: Vec::new(),
            sidecar: None,
            files: Vec::new(),
            empty_dirs: Vec::new(),
            findings: FindingCounts::default(),
        }
    }

    fn gap(min_time: Millis, max_time: Millis) -> ArchiveGap {
        ArchiveGap { min_time, max_time }
    }

    #[test]
    fn gaps_are_what_no_block_covers_of_the_range() {
        let blocks = [
            block(1, (0, 2), 1, &[1], &[]),
            block(2, (1, 5), 1, &[2], &[]),
            block(3, (7, 9), 1, &[3], &[]),
            block(4, (6, 6), 1, &[4], &[]),
        ];
        let within = |since, until| gaps(&blocks, TimeRange { since, until });
        assert_eq!(gaps(&blocks, TimeRange::ALL), [gap(5, 7)]);
        assert_eq!(within(-1, 12), [gap(-1, 0), gap(5, 7), gap(9, 12)]);
        assert_eq!(within(2, Millis::MAX), [gap(5, 7)]);
        assert_eq!(within(20, 30), [gap(20, 30)]);
        let hours = [
            block(1, (7, 7_200_000), 1, &[1], &[]),
            block(2, (7_214_993, 14_400_000), 1, &[2], &[]),
        ];
        assert!(
            gaps(&hours, TimeRange::ALL).is_empty(),
            "one scrape interval"
        );
        assert!(gaps(&[], TimeRange::ALL).is_empty());
    }

    #[test]
    fn what_metadata_says_otherwise_of_the_same_index_and_chunks_is_a_contradiction() {
        let one = block(4, (0, 6), 2, &[1, 2], &[1, 2]);
        assert!(contradictions(&one, &one).is_empty());
        let mut other = one.clone();
        (other.max_time, other.sources[1]) = (7, ulid(3));
        let found = contradictions(&one, &other);
        let first = ulid(1);
        let sources = format!("sources {first} and 1 more, before {first} and 1 more");
        assert_eq!(found, ["maxTime 7, before 6".to_owned(), sources]);
        other.resolution = Some(0);
        other.max_time = 0;
        assert!(
            contradictions(&one, &other).is_empty(),
            "nothing is known of it"
        );
    }

    #[test]
    fn a_run_leaves_no_gap_where_gaps_finds_none() {
        const HOUR: Millis = 3_600_000;
        let blocks = [
            block(1, (0, 2 * HOUR), 1, &[1], &[]),
            block(2, (2 * HOUR + 9000, 4 * HOUR), 1, &[2], &[]),
            block(3, (HOUR, 2 * HOUR), 1, &[3], &[]),
            block(4, (6 * HOUR, 8 * HOUR), 1, &[4], &[]),
        ];
        let runs = runs(&blocks);
        assert_eq!(runs.len(), 2);
        let times = [
            -HOUR,
            -4000,
            0,
            HOUR,
            2 * HOUR,
            4 * HOUR,
            4 * HOUR + 4000,
            5 * HOUR,
            7 * HOUR,
            9 * HOUR,
        ];
        for since in times {
            for until in times.into_iter().filter(|until| *until > since) {
                let range = TimeRange { since, until };
                let none = runs.iter().any(|run| run.leaves_no_gap_in(range));
                assert_eq!(none, gaps(&blocks, range).is_empty(), "{range:?}");
            }
        }
    }

    #[test]
    fn coverage_of_nothing_is_nothing() {
        assert_eq!(coverage(&[]), Coverage::default());
        let blocks = [
            block(1, (4, 6), 1, &[1], &[]),
            block(2, (-2, 0), 1, &[2], &[]),
        ];
        let covered = coverage(&blocks);
        assert_eq!((covered.min_time, covered.max_time), (Some(-2), Some(6)));
        assert_eq!(covered.gaps, [gap(0, 4)]);
    }
}
