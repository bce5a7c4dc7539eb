//! One block: which check comes after which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::checks::budget::Budget;
use super::checks::chunks::Absent;
use super::checks::entries::Lost;
use super::checks::groups::JobMetric;
use super::checks::index::Opened;
use super::checks::label_indices;
use super::checks::pairs::Keys;
use super::checks::postings::PostingsCheck;
use super::checks::segments::Segments;
use super::checks::series::{SeriesCheck, SeriesTotals};
use super::checks::{Subject, coverage, directory, meta, postings, tombstones, unreadable};
use super::source::meta_of_unlisted;
use super::{BlockSource, Depth, Finding, Findings, Kind, VerifyOptions};
use crate::block::{DirEntry, Meta, Tombstones};
use crate::chunk::Encodings;
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::progress::Progress;
use crate::raw::FileBytes;

/// What was counted while a block was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifiedAmounts {
    /// Series whose entries could be read.
    pub series: u64,
    /// Chunks they refer to.
    pub chunks: u64,
    /// Samples in the chunks that could be read. Quick verification believes the chunks' headers.
    pub samples: u64,
    /// Of those, native histograms.
    pub histograms: u64,
    /// Bytes of index, segments and tombstones.
    pub bytes: u64,
    /// Time of the first and the last sample, by the index.
    pub times: Option<(Millis, Millis)>,
    /// The encodings of its chunks, as far as they could be read.
    pub encodings: Encodings,
}

/// What was found in a block.
#[derive(Debug)]
pub struct BlockVerdict {
    /// The block's directory.
    pub dir: PathBuf,
    /// The name of the directory as ULID, or else the one `meta.json` gives.
    pub ulid: Option<Ulid>,
    /// What `meta.json` says, if it can be read.
    pub meta: Option<Meta>,
    /// What was counted.
    pub stats: VerifiedAmounts,
    /// The same by job and metric, in no order, if that was asked for and the index could be
    /// opened.
    pub groups: Vec<JobMetric>,
    /// What is wrong or unusual, by file and offset.
    pub findings: Findings,
    /// Whether the disk cannot read what a start of Prometheus reads of the block.
    pub crashes_start: bool,
}

impl BlockVerdict {
    /// Of a block whose files cannot be listed, for `error`: without its directory Prometheus
    /// leaves it out, without its chunks it does not start.
    pub(super) fn unlisted(entry: &DirEntry, error: &Error) -> Self {
        let kind = match fs::read_dir(&entry.path) {
            Ok(_) => Kind::Unreadable,
            Err(_) => Kind::BlockUnlistable,
        };
        let meta = meta_of_unlisted(&entry.path);
        let mut findings = Findings::default();
        findings.add(kind, || directory::about(kind, entry).saying(error.chain()));
        BlockVerdict {
            dir: entry.path.clone(),
            ulid: directory_ulid(&entry.path),
            meta,
            stats: VerifiedAmounts::default(),
            groups: Vec::new(),
            findings,
            crashes_start: false,
        }
    }
}

/// Verifies the block in `dir`. Whatever is wrong in it is a finding.
///
/// `progress` is told of bytes, not of phases, so that several blocks can be one phase.
///
/// # Errors
///
/// When the directory cannot be listed; [`NotFound`](crate::ErrorKind::NotFound) when there is
/// none.
pub fn verify_block(
    dir: &Path,
    options: VerifyOptions,
    progress: &dyn Progress,
) -> Result<BlockVerdict> {
    let source = BlockSource::open(dir, options.read_mode)?;
    Ok(verify_source(source, options, progress))
}

/// Verifies the block whose files are `source`. Whatever is wrong in it is a finding.
///
/// `progress` is told as by [`verify_block`].
pub fn verify_source(
    mut source: BlockSource,
    options: VerifyOptions,
    progress: &dyn Progress,
) -> BlockVerdict {
    let files = std::mem::take(&mut source.files);
    let directory = directory_ulid(&files.dir);
    let mut verdict = BlockVerdict {
        dir: files.dir.clone(),
        ulid: directory,
        meta: None,
        stats: VerifiedAmounts::default(),
        groups: Vec::new(),
        findings: Findings::default(),
        crashes_start: false,
    };
    let mut subject = Subject {
        ulid: directory,
        files: &files,
        options,
        progress,
    };
    verdict.meta = meta::read(&subject, &source.meta, &mut verdict.findings);
    verdict.ulid = directory.or(verdict.meta.as_ref().map(|meta| meta.ulid));
    subject.ulid = verdict.ulid;
    verify_files(subject, source, directory, &mut verdict);
    verdict.findings.mark_unopened();
    verdict.findings.sort();
    verdict
}

/// The ULID that the directory's name is.
fn directory_ulid(dir: &Path) -> Option<Ulid> {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name()?.to_str()?.parse().ok()
}

fn verify_files(
    subject: Subject<'_>,
    source: BlockSource,
    directory: Option<Ulid>,
    verdict: &mut BlockVerdict,
) {
    let findings = &mut verdict.findings;
    directory::block(&subject, findings);
    let meta = verdict.meta.as_ref();
    if let Some(meta) = meta {
        let content = source.meta.as_deref().unwrap_or_default();
        meta::check(&subject, (meta, content), directory, findings);
        meta::check_declared_files(&subject, meta, &source, findings);
    }
    let tombstones = tombstones::read(&subject, source.tombstones, findings);
    let bytes = index_bytes(&subject, source.index, findings);
    let is_2_1 = meta.is_some_and(|meta| meta.version == 2);
    let opened = bytes
        .as_ref()
        .and_then(|bytes| Opened::open(&subject, bytes, is_2_1, findings));
    let last = || opened.as_ref().and_then(Opened::last_chunk);
    let segments = Segments::of(&subject, source.segments, last, findings);
    verdict.stats.bytes = segments.bytes() + bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);

    if subject.options.depth == Depth::Opening {
        if let Some(opened) = &opened {
            postings::check_table(&subject, opened, findings);
            if let Some(tombstones) = &tombstones {
                let index = Some((opened.index, &Lost::default()));
                tombstones::check(&subject, tombstones, index, findings);
            }
        }
    } else if let Some(opened) = &opened {
        verify_opened(subject, opened, &segments, tombstones.as_ref(), verdict);
    } else if let Some(found) = coverage::walk_all(&subject, &segments, findings) {
        verdict.stats.chunks = found.chunks;
        verdict.stats.samples = found.samples.unwrap_or(0);
    }
    for file in bytes.iter().chain(segments.files()) {
        verdict.crashes_start |= unreadable::report(&subject, file, &mut verdict.findings);
    }
}

/// What an index that opened, its segments and tombstones say of each other.
fn verify_opened(
    subject: Subject<'_>,
    opened: &Opened<'_>,
    segments: &Segments,
    tombstones: Option<&Tombstones>,
    verdict: &mut BlockVerdict,
) {
    let findings = &mut verdict.findings;
    let meta = verdict.meta.as_ref();
    let totals = verify_index(subject, opened, segments, meta, findings);
    subject.progress.advance(opened.index.bytes().len() as u64);
    let index = Some((opened.index, &totals.lost));
    if let Some(tombstones) = tombstones {
        tombstones::check(&subject, tombstones, index, findings);
    }
    let intervals = tombstones.map(|found| (found.records.len() as u64, tombstones::merged(found)));
    if let Some(meta) = meta.filter(|_| opened.toc_is_sound) {
        meta::check_stats(&subject, meta, &totals, intervals, findings);
    }
    verdict.groups = totals.groups.named(opened);
    verdict.stats = VerifiedAmounts {
        series: totals.series,
        chunks: totals.counts.chunks,
        samples: totals.counts.floats + totals.counts.histograms,
        histograms: totals.counts.histograms,
        times: totals.times,
        encodings: totals.counts.encodings,
        ..verdict.stats
    };
}

fn index_bytes(
    subject: &Subject<'_>,
    content: Result<FileBytes>,
    findings: &mut Findings,
) -> Option<FileBytes> {
    let path = subject.files.index();
    let kind = if subject.files.has_index {
        Kind::Unreadable
    } else {
        Kind::IndexMissing
    };
    match content {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            findings.add(kind, || subject.finding(kind, path).saying(error.chain()));
            None
        }
    }
}

/// Series with their chunks, then what no series refers to, then postings.
fn verify_index(
    subject: Subject<'_>,
    opened: &Opened<'_>,
    segments: &Segments,
    meta: Option<&Meta>,
    findings: &mut Findings,
) -> SeriesTotals {
    let keys = Keys::random();
    let series = SeriesCheck {
        subject,
        opened,
        segments,
        range: meta.and_then(meta::range),
        keys: &keys,
    };
    let mut totals = series.run(findings);
    report_absent(&subject, segments, &totals.absent, findings);
    report_aggregates(&subject, meta, &totals, findings);
    let foreign = report_foreign(&subject, segments, &totals, findings);
    let series_lost = !totals.lost.is_empty() || !opened.toc_is_sound;
    let coverage = std::mem::take(&mut totals.coverage);
    coverage.check(&subject, segments, (series_lost, &foreign), findings);

    let postings = PostingsCheck {
        subject,
        opened,
        keys: &keys,
        lost: &totals.lost,
        budget: Budget::of(opened.index.bytes().len() as u64),
    };
    let lists = postings.run(findings);
    if let Some(lists) = lists.as_ref().filter(|lists| lists.comparable)
        && (lists.pairs != totals.pairs || !lists.damaged.is_empty())
    {
        postings.compare(lists, findings);
    }
    let values = lists
        .filter(|lists| lists.comparable)
        .map(|lists| lists.values);
    label_indices::check(&subject, opened, &keys, values, findings);
    totals
}

/// One finding for each segment that is missing or ends too early.
fn report_absent(
    subject: &Subject<'_>,
    segments: &Segments,
    absent: &Absent,
    findings: &mut Findings,
) {
    for (&position, &(offset, loss)) in absent {
        let (kind, detail) = match segments.get(position) {
            Some(segment) => (
                Kind::SegmentTruncated,
                format!(
                    "expected a chunk at offset {offset}, found the end of the file at {}",
                    segment.len()
                ),
            ),
            None => (
                Kind::SegmentMissing,
                format!("expected segment {}", position.saturating_add(1)),
            ),
        };
        findings.add(kind, || Finding {
            offset: Some(offset),
            loss: Some(loss),
            ..subject
                .finding(kind, segments.path(subject, position))
                .saying(detail)
        });
    }
}

/// When most references to a segment lead astray and it is sound by itself, they are references to
/// another one. Says of which segments that is so.
fn report_foreign(
    subject: &Subject<'_>,
    segments: &Segments,
    totals: &SeriesTotals,
    findings: &mut Findings,
) -> BTreeSet<usize> {
    let mut foreign = BTreeSet::new();
    for (&position, fit) in &totals.fits {
        // A wrong time alone is a damaged index; another block's segments also answer with records
        // that do not begin there.
        if fit.unframed > 0
            && fit.astray * 2 > fit.all
            && coverage::is_sound_by_itself(segments, position)
        {
            foreign.insert(position);
            findings.add(Kind::ChunksForeign, || {
                subject
                    .finding(Kind::ChunksForeign, segments.path(subject, position))
                    .saying(format!(
                        "{} of {} references do not fit the chunks in it, which are themselves sound",
                        fit.astray, fit.all
                    ))
            });
        } else if let Some((offset, count)) = fit.unread {
            findings.add(Kind::ChunkShared, || Finding {
                offset: Some(offset),
                section: Some("chunk"),
                detail: format!(
                    "expected chunks of their own, found {count} references to ones that too many share to read them all"
                ),
                ..subject.finding(Kind::ChunkShared, segments.path(subject, position))
            });
        }
    }
    foreign
}

/// Thanos aggregates in a block that does not say it was downsampled.
fn report_aggregates(
    subject: &Subject<'_>,
    meta: Option<&Meta>,
    totals: &SeriesTotals,
    findings: &mut Findings,
) {
    let count = totals.counts.aggregates;
    if count > 0 && meta.is_none_or(|meta| meta.downsampled().is_none()) {
        findings.add(Kind::BlockDownsampled, || {
            subject
                .finding(Kind::BlockDownsampled, subject.files.dir.join("chunks"))
                .saying(format!("{count} chunks are aggregates"))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockFiles, DataDir, EntryKind};
    use crate::progress::Silent;
    use crate::raw::ReadMode;

    #[test]
    fn a_block_that_lies_in_no_directory_is_verified_like_one_that_does() {
        let options = VerifyOptions {
            read_mode: ReadMode::Read,
            ..VerifyOptions::default()
        };
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/night-1");
        for entry in DataDir::scan(&fixtures).unwrap().blocks() {
            let here = verify_block(&entry.path, options, &Silent).unwrap();
            let mut source = BlockSource::open(&entry.path, options.read_mode).unwrap();
            source.files.dir = Path::new("/nowhere").join(entry.name());
            source.declared_in = None;
            let there = verify_source(source, options, &Silent);
            assert_eq!((here.ulid, here.stats), (there.ulid, there.stats));
            assert!(there.stats.samples > 0);
            assert_eq!(there.findings.iter().count(), here.findings.iter().count());
        }
    }

    #[test]
    fn what_could_not_be_opened_is_a_finding() {
        let lost = || Err(Error::refused("no"));
        let source = BlockSource {
            files: BlockFiles {
                dir: Path::new("/nowhere").join(Ulid::ZERO.to_string()),
                has_index: true,
                has_chunks_dir: true,
                segments: vec!["000001".to_owned()],
                ..BlockFiles::default()
            },
            meta: lost(),
            index: lost(),
            tombstones: Some(lost()),
            segments: vec![lost()],
            declared_in: None,
        };
        let verdict = verify_source(source, VerifyOptions::default(), &Silent);
        let kinds: Vec<_> = verdict
            .findings
            .iter()
            .map(|finding| finding.kind)
            .collect();
        let unreadable = kinds.iter().filter(|kind| **kind == Kind::Unreadable);
        assert_eq!(unreadable.count(), 3, "{kinds:?}");
        assert!(kinds.contains(&Kind::MetaMalformed));
    }

    #[test]
    fn metadata_of_a_block_that_cannot_be_listed_are_not_waited_for() {
        use rustix::fs::{CWD, Mode, mkfifoat};
        let dir = tempfile::tempdir().unwrap();
        mkfifoat(CWD, dir.path().join("meta.json"), Mode::RWXU).unwrap();
        let entry = DirEntry {
            path: dir.path().to_owned(),
            kind: EntryKind::Block,
            ulid: None,
        };
        let verdict = BlockVerdict::unlisted(&entry, &Error::refused("no"));
        assert_eq!(verdict.meta, None);
    }
}
