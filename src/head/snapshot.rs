//! Chunk snapshots, `chunk_snapshot.N.M/`: the open chunks of the head as of offset M in segment N of the WAL. Servers with
//! the feature `memory-snapshot-on-shutdown` write and read them.

use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{Fate, HeadProblem};
use crate::error::{Error, Result};
use crate::raw::{FileBytes, ReadMode};
use crate::wal::{Broken, Records};

/// What the names of chunk snapshots begin with.
const PREFIX: &str = "chunk_snapshot.";
/// Record types of a chunk snapshot: series, tombstones, exemplars.
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 1..=3;

/// The chunk snapshot that a start would use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// The newest one, with segment and offset of the WAL from which replay goes on.
    pub newest: Option<(PathBuf, i64, i64)>,
    /// What is wrong with it.
    pub problems: Vec<HeadProblem>,
}

impl Snapshots {
    /// Looks for chunk snapshots in the data directory at `path`, whose WAL ends with segment `last`, if it has any.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed.
    pub fn read(path: &Path, last: Option<i64>, mode: ReadMode) -> Result<Self> {
        let failed = |e| Error::io("list", path, e);
        let mut found = Snapshots::default();
        for entry in fs::read_dir(path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(rest) = name.and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            if let Some((segment, offset)) = numbers(rest)
                && found
                    .newest
                    .as_ref()
                    .is_none_or(|(_, a, b)| (segment, offset) > (*a, *b))
            {
                found.newest = Some((path, segment, offset));
            }
        }
        if let Some((newest, segment, offset)) = &found.newest {
            let problem = |file: PathBuf, detail: String| HeadProblem {
                path: file,
                offset: None,
                section: None,
                detail,
                fate: Fate::Ignored,
            };
            if last.is_none_or(|last| last < *segment) {
                let detail = format!(
                    "expected a WAL that reaches segment {segment}, found {}",
                    last.map_or("none".to_owned(), |last| format!("its last segment {last}"))
                );
                found.problems.push(problem(newest.clone(), detail));
            } else if Some(*segment) == last
                && let Some(length) = segment_length(path, *segment)
                && u64::try_from(*offset).is_ok_and(|offset| offset > length)
            {
                let detail = format!(
                    "expected at least {offset} bytes in segment {segment} of the WAL, found {length}"
                );
                found.problems.push(problem(newest.clone(), detail));
            }
            if let Some((file, at, detail)) = fault(newest, mode) {
                found.problems.push(HeadProblem {
                    offset: at,
                    ..problem(file, detail)
                });
            }
        }
        Ok(found)
    }
}

/// Segment and offset in the rest of a name; Prometheus passes over names that are not made so.
fn numbers(rest: &str) -> Option<(i64, i64)> {
    let (segment, offset) = rest.split_once('.')?;
    Some((segment.parse().ok()?, offset.parse().ok()?))
}

fn segment_length(path: &Path, segment: i64) -> Option<u64> {
    let file = path
        .join("wal")
        .join(crate::wal::SegmentFile::name_of(segment));
    fs::metadata(file).ok().map(|found| found.len())
}

/// The first fault in the files of the snapshot in `dir`: where, and what.
fn fault(dir: &Path, mode: ReadMode) -> Option<(PathBuf, Option<u64>, String)> {
    let listing = match crate::wal::Listing::read(dir) {
        Ok(listing) => listing,
        Err(error) => return Some((dir.to_owned(), None, error.chain())),
    };
    for file in &listing.segments {
        let path = dir.join(&file.path);
        let bytes = match FileBytes::open(&path, mode) {
            Ok(bytes) => bytes,
            Err(error) => return Some((path, None, error.chain())),
        };
        let mut records = Records::new(&bytes);
        loop {
            match records.next_record() {
                Ok(None) => break,
                Ok(Some(record)) => {
                    let kind = record.type_byte().unwrap_or(0);
                    if !RECORD_TYPES.contains(&kind) {
                        let detail = format!("expected a record of type 1, 2 or 3, found {kind}");
                        return Some((path, Some(record.offset), detail));
                    }
                }
                Err(Broken::Torn(bad) | Broken::Damaged(bad)) => {
                    return Some((path, Some(bad.offset), bad.problem.to_string()));
                }
            }
        }
    }
    None
}
