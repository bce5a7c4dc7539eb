//! Chunk snapshots, `chunk_snapshot.N.M/`: the open chunks of the head as of offset M in segment N
//! of the WAL. Servers with the feature `memory-snapshot-on-shutdown` write and read them.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::problem::{ChunkFate, HeadProblem};
use crate::chunk::Encoding;
use crate::error::{Error, Result};
use crate::raw::{FileBytes, Malformed, ReadMode, Reader};
use crate::wal::{Broken, LogListing, Records};

/// What the names of chunk snapshots begin with.
const PREFIX: &str = "chunk_snapshot.";
/// Record types of a chunk snapshot.
const SERIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const EXEMPLARS: u8 = 3;

/// A file or directory, where in it, and what is wrong there.
type Fault = (PathBuf, Option<u64>, String);

/// The chunk snapshot that a start would use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshots {
    /// The newest one, with segment and offset of the WAL from which replay goes on.
    pub newest: Option<(PathBuf, i64, i64)>,
    /// The numbers of the series in it.
    pub series: HashSet<u64>,
    /// What is wrong, so that it is not used.
    pub problems: Vec<HeadProblem>,
}

impl Snapshots {
    /// Looks for chunk snapshots in the data directory at `path`, and reads the newest.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed.
    pub fn read(path: &Path, mode: ReadMode) -> Result<Self> {
        let failed = |e| Error::io("list", path, e);
        let mut found = Snapshots::default();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(rest) = name.and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            // Whatever its name is behind that: a start stops looking.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let detail = "expected a directory, found something else".to_owned();
                found.problem((path, None, detail));
                continue;
            }
            if let Some((segment, offset)) = numbers(rest)
                && found
                    .newest
                    .as_ref()
                    .is_none_or(|(_, a, b)| (segment, offset) > (*a, *b))
            {
                found.newest = Some((path, segment, offset));
            }
        }
        if let Some((newest, ..)) = found.newest.clone()
            && let Err(fault) = found.read_series(&newest, mode)
        {
            found.problem(fault);
        }
        Ok(found)
    }

    /// Why a WAL that ends with segment `last` does not fit it: a snapshot must not be ahead of the
    /// segment after that, which a start adds before it looks.
    pub fn ahead_of(&self, last: Option<i64>) -> Option<String> {
        let (_, segment, _) = self.newest.as_ref()?;
        (next(last) < *segment).then(|| {
            let found = last.map_or("none".to_owned(), |last| format!("its last segment {last}"));
            format!("expected a WAL that reaches segment {segment}, found {found}")
        })
    }

    /// Whether it ends inside the segment that a start adds to a WAL which ends with segment
    /// `last`: what the server writes there is not replayed up to that place.
    pub fn reaches_into_next(&self, last: Option<i64>) -> Option<String> {
        let (_, segment, offset) = self.newest.as_ref()?;
        (next(last) == *segment && *offset > 0)
            .then(|| format!("expected segment {segment} up to offset {offset}, found none"))
    }

    fn problem(&mut self, (path, offset, detail): Fault) {
        self.problems.push(HeadProblem {
            path,
            offset,
            section: None,
            detail,
            fate: ChunkFate::Ignored,
        });
    }

    /// Reads the files of the snapshot in `dir` up to the first fault.
    fn read_series(&mut self, dir: &Path, mode: ReadMode) -> Result<(), Fault> {
        let whole = |error: Error| (dir.to_owned(), None, error.chain());
        let listing = LogListing::read(dir).map_err(whole)?;
        for pair in listing.segments.windows(2) {
            if let [before, after] = pair
                && before.number.checked_add(1) != Some(after.number)
            {
                let wanted = before.number.saturating_add(1);
                let detail = format!("expected segment {wanted}, found {}", after.number);
                return Err((dir.join(&after.path), None, detail));
            }
        }
        for file in &listing.segments {
            let path = dir.join(&file.path);
            let bytes = FileBytes::open(&path, mode);
            let bytes = bytes.map_err(|error| (path.clone(), None, error.chain()))?;
            let mut records = Records::new(&bytes);
            loop {
                let record = match records.next_record() {
                    Ok(None) => break,
                    Ok(Some(record)) => record,
                    Err(Broken::Torn(bad) | Broken::Damaged(bad)) => {
                        return Err((path, Some(bad.offset), bad.problem.to_string()));
                    }
                };
                match record.type_byte().unwrap_or(0) {
                    SERIES => {
                        let series = series_of(record.payload);
                        let series = series.map_err(|malformed| {
                            (path.clone(), Some(record.offset), malformed.to_string())
                        })?;
                        self.series.insert(series);
                    }
                    TOMBSTONES | EXEMPLARS => {}
                    kind => {
                        let detail = format!("expected a record of type 1, 2 or 3, found {kind}");
                        return Err((path, Some(record.offset), detail));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The number of the segment that a start adds.
fn next(last: Option<i64>) -> i64 {
    last.map_or(0, |last| last.saturating_add(1))
}

/// The number of the series that a record holds, which is read to the beginning of what it says of
/// the last sample.
fn series_of(record: &[u8]) -> Result<u64, Malformed> {
    let mut reader = Reader::new(record, 0, "chunk snapshot record");
    reader.u8()?;
    let series = reader.u64()?;
    // A label is two strings of at least their length byte.
    for _ in 0..reader.count(2)? {
        reader.string()?;
        reader.string()?;
    }
    reader.u64()?;
    if reader.uvarint()? != 0 {
        reader.u64()?;
        reader.u64()?;
        let at = reader.offset();
        let encoding = reader.u8()?;
        // No Prometheus reads aggregates.
        if Encoding::from_byte(encoding).since().is_none() {
            let encoding = i64::from(encoding);
            return Err(Malformed::unknown(
                "chunk snapshot record",
                at,
                "chunk encoding",
                encoding,
            ));
        }
        reader.string()?;
    }
    Ok(series)
}

/// Segment and offset in the rest of a name; Prometheus passes over names that are not made so.
fn numbers(rest: &str) -> Option<(i64, i64)> {
    let (segment, offset) = rest.split_once('.')?;
    Some((segment.parse().ok()?, offset.parse().ok()?))
}
