//! What a block says of itself, alone and against its data.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Component, Path};

use sha2::{Digest as _, Sha256};

use super::series::SeriesTotals;
use super::{Subject, lineage};
use crate::block::{META_VERSION, Meta};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::raw::FileBytes;
use crate::verify::{BlockSource, Findings, Kind};

/// What `meta.json`, whose `content` it is, says; nothing when it is no metadata, or could not be
/// read.
pub(in crate::verify) fn read(
    subject: &Subject<'_>,
    content: &Result<FileBytes>,
    findings: &mut Findings,
) -> Option<Meta> {
    let path = subject.files.meta();
    let (kind, detail) = match content {
        Ok(content) => match Meta::parse(content) {
            Ok(meta) => return Some(meta),
            Err(error) => {
                let error = error.context(path.display().to_string());
                (Kind::MetaMalformed, error.chain())
            }
        },
        // A link that leads nowhere is as good as no file.
        Err(error) if error.kind() == ErrorKind::NotFound => (Kind::MetaMissing, error.chain()),
        Err(error) => (Kind::MetaMalformed, error.chain()),
    };
    findings.add(kind, || subject.finding(kind, path).saying(detail));
    None
}

/// Checks `meta` by itself and against the directory's name; `content` is the text it was read
/// from.
pub(in crate::verify) fn check(
    subject: &Subject<'_>,
    (meta, content): (&Meta, &[u8]),
    directory: Option<crate::model::Ulid>,
    findings: &mut Findings,
) {
    let mut find = |kind, detail: String| {
        findings.add(kind, || {
            subject.finding(kind, subject.files.meta()).saying(detail)
        });
    };
    match meta.version {
        META_VERSION => {}
        2 => find(Kind::MetaVersion2, "expected version 1, found 2".to_owned()),
        other => find(
            Kind::MetaVersion,
            format!("expected version 1, found {other}"),
        ),
    }
    // What is not known is not kept by its spelling: the text has it.
    let odd = Meta::misspelled_ulids(content);
    for (is_own, text) in &odd {
        let kind = if *is_own {
            Kind::MetaUlid
        } else {
            Kind::MetaLineage
        };
        find(kind, format!("expected a ULID, found {text:?}"));
    }
    let own_is_odd = odd.iter().any(|(is_own, _)| *is_own);
    if let Some(directory) = directory.filter(|directory| *directory != meta.ulid)
        && !own_is_odd
    {
        find(
            Kind::MetaUlid,
            format!("expected {directory}, found {}", meta.ulid),
        );
    }
    if meta.min_time >= meta.max_time {
        let (min, max) = (meta.min_time, meta.max_time);
        find(
            Kind::MetaRange,
            format!("expected an end after {min}, found {max}"),
        );
    }
    if let Some(detail) = lineage::fault(meta, directory) {
        find(Kind::MetaLineage, detail);
    }
    for (key, known) in Meta::misspelled_keys(content) {
        find(
            Kind::MetaKey,
            format!("expected the key {known}, found {key:?}"),
        );
    }
    for hint in &meta.compaction.hints {
        if !Meta::KNOWN_HINTS.contains(&hint.as_str()) {
            find(
                Kind::MetaHint,
                format!("expected a known hint, found {hint:?}"),
            );
        }
    }
    if meta.compaction.deletable {
        find(Kind::BlockDeletable, String::new());
    }
    if meta.compaction.failed {
        find(Kind::BlockFailed, String::new());
    }
    if let Some(resolution) = meta.downsampled() {
        find(
            Kind::BlockDownsampled,
            format!("one aggregate every {resolution} ms"),
        );
    }
}

/// The block's range of time, unless it makes no sense.
pub(in crate::verify) fn range(meta: &Meta) -> Option<(Millis, Millis)> {
    (meta.min_time < meta.max_time).then_some((meta.min_time, meta.max_time))
}

/// Compares the counts in `meta` with those of the data; `tombstones` are the intervals, as records
/// and as merged.
pub(in crate::verify) fn check_stats(
    subject: &Subject<'_>,
    meta: &Meta,
    totals: &SeriesTotals,
    tombstones: Option<(u64, u64)>,
    findings: &mut Findings,
) {
    let stats = meta.stats;
    let counts = totals.counts;
    let mut odd = Vec::new();
    let mut compare = |what: &str, said: u64, found: u64| {
        if said != found {
            odd.push(format!("{said} {what}, found {found}"));
        }
    };
    if totals.lost.is_empty() {
        compare("series", stats.num_series, totals.series);
        compare("chunks", stats.num_chunks, counts.chunks);
        let all_counted = counts.uncounted == 0 && counts.aggregates == 0;
        if all_counted {
            compare(
                "samples",
                stats.num_samples,
                counts.floats + counts.histograms,
            );
            // Prometheus before 3.6 did not count them apart; 3.11 and 3.12 left XOR2 samples out.
            let is_split = stats.num_float_samples > 0 || stats.num_histogram_samples > 0;
            let without_xor2 = counts.floats - counts.xor2;
            if is_split && stats.num_float_samples != without_xor2 {
                compare("float samples", stats.num_float_samples, counts.floats);
            }
            if is_split {
                compare(
                    "histogram samples",
                    stats.num_histogram_samples,
                    counts.histograms,
                );
            }
        }
    }
    if let Some((records, merged)) = tombstones
        && stats.num_tombstones != merged
    {
        compare("tombstones", stats.num_tombstones, records);
    }
    if !odd.is_empty() {
        findings.add(Kind::MetaStats, || {
            subject
                .finding(Kind::MetaStats, subject.files.meta())
                .saying(format!("expected {}", odd.join("; ")))
        });
    }
}

/// Compares the sizes of files with those that a Thanos section declares.
pub(in crate::verify) fn check_declared_files(
    subject: &Subject<'_>,
    meta: &Meta,
    source: &BlockSource,
    findings: &mut Findings,
) {
    let declared = meta
        .extra
        .get("thanos")
        .and_then(|thanos| thanos.get("files"));
    let Some(lying) = source.declared() else {
        return;
    };
    let mut seen = BTreeSet::new();
    for file in declared
        .and_then(|files| files.as_array())
        .into_iter()
        .flatten()
    {
        let path = file
            .get("rel_path")
            .and_then(|path| path.as_str())
            .map(Path::new);
        // Each once: what is declared a thousand times is not read a thousand times.
        let Some(name) = path.filter(|path| stays_below(path) && seen.insert(*path)) else {
            continue;
        };
        // meta.json itself is declared without a size: it cannot know its own.
        let Some(size) = file.get("size_bytes").and_then(serde_json::Value::as_u64) else {
            continue;
        };
        let path = subject.files.dir.join(name);
        let found = lying.named.file(name).and_then(|file| {
            let metadata = file.metadata();
            metadata.map_err(|error| Error::io("stat", &path, error))
        });
        let found = found.ok().map(|metadata| metadata.len());
        if found != Some(size) {
            let found = found.map_or("no such file".to_owned(), |found| found.to_string());
            findings.add(Kind::DeclaredSize, || {
                subject
                    .finding(Kind::DeclaredSize, path)
                    .saying(format!("expected {size} bytes, found {found}"))
            });
        } else if subject.is_full()
            && let Some(wanted) = declared_digest(file)
            // What a link leads to may be nobody's business.
            && let Ok(content) = lying.own.file(name)
            && let Ok(found) = digest_of(content.take(size))
            && !found.eq_ignore_ascii_case(wanted)
        {
            findings.add(Kind::DeclaredHash, || {
                subject
                    .finding(Kind::DeclaredHash, path)
                    .saying(format!("expected SHA-256 {wanted}, found {found}"))
            });
        }
    }
}

/// The SHA-256 digest that Thanos declares of a file, if it does.
fn declared_digest(file: &serde_json::Value) -> Option<&str> {
    let hash = file.get("hash")?;
    let is_known = hash.get("func")?.as_str()? == "SHA256";
    hash.get("value")?.as_str().filter(|_| is_known)
}

/// SHA-256 of `content`, in hexadecimal digits.
fn digest_of(mut content: impl Read) -> std::io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let len = content.read(&mut buffer)?;
        let Some(part) = buffer.get(..len).filter(|part| !part.is_empty()) else {
            break;
        };
        digest.update(part);
    }
    let mut text = String::with_capacity(64);
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// Whether a path from the file leads to somewhere below the block.
fn stays_below(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}
