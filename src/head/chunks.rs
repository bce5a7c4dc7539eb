//! `chunks_head/` as a whole, in the order in which a start reads it.

#![deny(clippy::wildcard_enum_match_arm)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::file::HeadChunkFile;
use super::problem::{ChunkFate, HeadProblem};
use crate::chunk::Encoding;
use crate::error::{Error, Result};
use crate::model::Millis;
use crate::raw::{FileBytes, ReadMode};
use crate::wal::HeadSpan;

/// What is known of the times that the head may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor(
    /// In-order chunks that end before it are in blocks already, and are passed over.
    pub Millis,
);

/// What `chunks_head/` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadChunks {
    /// Files that are read.
    pub files: u64,
    /// Bytes of all files, as the size rule of retention counts them.
    pub bytes: u64,
    /// Sound chunks.
    pub chunks: u64,
    /// Of those, chunks in order and not older than the floor.
    pub in_order: u64,
    /// Times of the first and the last sample of the latter.
    pub times: Option<(Millis, Millis)>,
    /// These chunks.
    pub spans: Vec<HeadSpan>,
    /// Times of the first and the last sample in chunks of samples that came late.
    pub late: Option<(Millis, Millis)>,
    /// What is wrong, in the order in which a start meets it.
    pub problems: Vec<HeadProblem>,
}

/// A file by its number.
struct Numbered {
    number: u64,
    path: PathBuf,
}

impl HeadChunks {
    /// Reads the directory at `path` as a start does that takes samples before `floor` for stored.
    ///
    /// # Errors
    ///
    /// When the directory cannot be listed. What is wrong with its files is a problem in the
    /// result.
    pub fn read(path: &Path, floor: Floor, mode: ReadMode) -> Result<Self> {
        let files = list(path)?;
        let mut found = HeadChunks {
            bytes: files.iter().map(|file| length(&file.path)).sum(),
            ..HeadChunks::default()
        };
        let kept = found.check_names(&files);
        let mut ends = HashMap::new();
        for (i, file) in kept.iter().enumerate() {
            found.read_file(file, i + 1 == kept.len(), floor, mode, &mut ends);
        }
        // Whether a server starts is decided by names and headers, before any chunk is read.
        found
            .problems
            .sort_by_key(|problem| !problem.fate.ends_start());
        Ok(found)
    }

    /// Whether a server starts on the directory.
    pub fn starts(&self) -> bool {
        self.problems.iter().all(|it| !it.fate.ends_start())
    }

    /// Whether a start keeps all that is in it.
    pub fn is_kept(&self) -> bool {
        self.problems.iter().all(|it| it.fate == ChunkFate::Removed)
    }

    /// Checks that numbers follow one another. An unwritten last file is removed first, and is not
    /// among the result.
    fn check_names<'a>(&mut self, files: &'a [Numbered]) -> &'a [Numbered] {
        let mut kept = files;
        if let Some((last, before)) = files.split_last()
            && last.number > 0
            && is_unwritten(&last.path)
        {
            self.problem(
                &last.path,
                "created and never written".to_owned(),
                ChunkFate::Removed,
            );
            kept = before;
        }
        for (before, after) in kept.iter().zip(kept.iter().skip(1)) {
            if before.number.checked_add(1) != Some(after.number) {
                let detail = format!(
                    "expected file {:06}, found {:06}",
                    before.number.saturating_add(1),
                    after.number
                );
                self.problem(&after.path, detail, ChunkFate::DoesNotStart);
            }
        }
        kept
    }

    fn read_file(
        &mut self,
        file: &Numbered,
        is_last: bool,
        floor: Floor,
        mode: ReadMode,
        ends: &mut HashMap<u64, (Millis, Millis)>,
    ) {
        if !fs::metadata(&file.path).is_ok_and(|found| found.is_file()) {
            let detail = "expected a file".to_owned();
            return self.problem(&file.path, detail, ChunkFate::DoesNotStart);
        }
        let bytes = match FileBytes::open(&file.path, mode) {
            Ok(bytes) => bytes,
            Err(error) => return self.problem(&file.path, error.chain(), ChunkFate::DoesNotStart),
        };
        self.read_bytes(file, &bytes, is_last, floor, ends);
    }

    fn read_bytes(
        &mut self,
        file: &Numbered,
        bytes: &FileBytes,
        is_last: bool,
        floor: Floor,
        ends: &mut HashMap<u64, (Millis, Millis)>,
    ) {
        let mut chunks = HeadChunkFile::new(bytes);
        let header = chunks.check_header();
        if self.is_unreadable(file, bytes) {
            return;
        }
        if let Err(malformed) = header {
            return self.malformed(file, &malformed, ChunkFate::DoesNotStart);
        }
        self.files += 1;
        loop {
            let next = chunks.next_chunk();
            if self.is_unreadable(file, bytes) {
                return;
            }
            match next {
                Ok(None) => return,
                Ok(Some(chunk)) => {
                    self.chunks += 1;
                    let is_stored = chunk.max_time < floor.0;
                    let is_unknown = matches!(chunk.encoding, Encoding::Unknown(_));
                    let times = (chunk.min_time, chunk.max_time);
                    if chunk.out_of_order && !is_unknown {
                        let (first, last) = self.late.unwrap_or(times);
                        self.late = Some((first.min(times.0), last.max(times.1)));
                    }
                    if chunk.out_of_order || is_stored || is_unknown {
                        continue;
                    }
                    if let Some(before) = ends.insert(chunk.series, times)
                        && before.1 >= chunk.min_time
                    {
                        let detail = format!(
                            "expected the next chunk of series {} to begin after {}, found {}",
                            chunk.series, before.1, chunk.min_time
                        );
                        self.problems.push(HeadProblem {
                            path: file.path.clone(),
                            offset: Some(chunk.offset),
                            section: Some("head chunk"),
                            detail,
                            fate: ChunkFate::AllRebuilt,
                        });
                        // One is enough for a start to drop everything.
                        return;
                    }
                    self.in_order += 1;
                    self.spans.push(HeadSpan {
                        series: chunk.series,
                        times,
                        samples: samples_of(chunk.data),
                    });
                    self.see(times);
                }
                Err(malformed) => {
                    // A buffer is written as a whole, but a copy of a running server may catch half
                    // of it.
                    let is_torn = is_last && is_torn(bytes, malformed.offset);
                    let fate = if is_torn {
                        ChunkFate::Torn
                    } else {
                        ChunkFate::Rebuilt
                    };
                    return self.malformed(file, &malformed, fate);
                }
            }
        }
    }

    /// Whether the disk cannot read what was read of the file last, which then was taken for zeros.
    fn is_unreadable(&mut self, file: &Numbered, bytes: &FileBytes) -> bool {
        let Some(unreadable) = bytes.unreadable() else {
            return false;
        };
        self.problems.push(HeadProblem {
            path: file.path.clone(),
            offset: unreadable.offsets.first().copied(),
            section: None,
            detail: unreadable.extent(),
            fate: ChunkFate::Crashes,
        });
        true
    }

    fn see(&mut self, (min, max): (Millis, Millis)) {
        let (first, last) = self.times.unwrap_or((min, max));
        self.times = Some((first.min(min), last.max(max)));
    }

    fn malformed(&mut self, file: &Numbered, malformed: &crate::raw::Malformed, fate: ChunkFate) {
        self.problems.push(HeadProblem {
            path: file.path.clone(),
            offset: Some(malformed.offset),
            section: Some(malformed.section),
            detail: malformed.problem.to_string(),
            fate,
        });
    }

    fn problem(&mut self, path: &Path, detail: String, fate: ChunkFate) {
        self.problems.push(HeadProblem {
            path: path.to_owned(),
            offset: None,
            section: None,
            detail,
            fate,
        });
    }
}

/// How many samples a chunk says that it has: whatever its encoding, it begins with that.
fn samples_of(data: &[u8]) -> u64 {
    let count = data.first_chunk().copied().map(u16::from_be_bytes);
    count.map_or(0, u64::from)
}

/// Whether what is damaged at `offset` ends with a page, as a copy does that was made while the
/// page after it was written.
fn is_torn(bytes: &[u8], offset: u64) -> bool {
    const PAGE: usize = 4096;
    let written = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    written as u64 > offset && written % PAGE == 0
}

/// The files, by number. Prometheus takes every name for one that is a decimal number of 64 bits.
fn list(path: &Path) -> Result<Vec<Numbered>> {
    let failed = |e| Error::io("list", path, e);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
        if let Some(number) = number.and_then(|name| name.parse().ok()) {
            let path = entry.path();
            files.push(Numbered { number, path });
        }
    }
    files.sort_by(|a, b| (a.number, &a.path).cmp(&(b.number, &b.path)));
    Ok(files)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn is_unwritten(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    // Anything else than a file, a pipe for example, might never answer.
    if !fs::metadata(path).is_ok_and(|found| found.is_file()) {
        return false;
    }
    match fs::File::open(path).map(|mut file| file.read_exact(&mut magic)) {
        Ok(Ok(())) => magic == [0; 4],
        Ok(Err(error)) => error.kind() == std::io::ErrorKind::UnexpectedEof,
        Err(_) => false,
    }
}
