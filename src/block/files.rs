//! Which files a block directory holds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What stands in a block directory, without having looked into any file.
#[derive(Clone, Debug, Default)]
pub struct BlockFiles {
    /// The directory.
    pub dir: PathBuf,
    /// Whether `meta.json` is there.
    pub has_meta: bool,
    /// Whether `index` is there.
    pub has_index: bool,
    /// Whether `tombstones` is there. Without it nothing is deleted.
    pub has_tombstones: bool,
    /// Whether the directory `chunks` is there.
    pub has_chunks_dir: bool,
    /// Segment files in the order Prometheus counts them: names that are numbers, sorted as text.
    pub segments: Vec<String>,
    /// Everything else, as paths relative to `dir`: leftovers, marks of Thanos, strangers.
    pub others: Vec<PathBuf>,
}

impl BlockFiles {
    /// Lists `dir`. Missing files are not an error; a directory that cannot be listed is.
    ///
    /// # Errors
    ///
    /// When `dir` or its `chunks` cannot be listed.
    pub fn scan(dir: &Path) -> Result<Self> {
        let mut files = BlockFiles {
            dir: dir.to_owned(),
            ..BlockFiles::default()
        };
        for name in names_in(dir)? {
            match name.to_str() {
                Some("meta.json") => files.has_meta = true,
                Some("index") => files.has_index = true,
                Some("tombstones") => files.has_tombstones = true,
                Some("chunks") if dir.join(&name).is_dir() => files.has_chunks_dir = true,
                _ => files.others.push(name),
            }
        }
        if files.has_chunks_dir {
            for name in names_in(&dir.join("chunks"))? {
                match name.to_str() {
                    Some(number) if is_segment_name(number) => {
                        files.segments.push(number.to_owned());
                    }
                    _ => files.others.push(Path::new("chunks").join(name)),
                }
            }
        }
        Ok(files)
    }

    /// Path of `meta.json`.
    pub fn meta(&self) -> PathBuf {
        self.dir.join("meta.json")
    }

    /// Path of `index`.
    pub fn index(&self) -> PathBuf {
        self.dir.join("index")
    }

    /// Path of `tombstones`.
    pub fn tombstones(&self) -> PathBuf {
        self.dir.join("tombstones")
    }

    /// Path of the segment called `name`.
    pub fn segment(&self, name: &str) -> PathBuf {
        self.dir.join("chunks").join(name)
    }

    /// Bytes of the index and the segments, as far as they can be asked for.
    pub fn bytes(&self) -> u64 {
        let len = |path: PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let segments = self.segments.iter().map(|name| len(self.segment(name)));
        segments.fold(len(self.index()), u64::saturating_add)
    }
}

/// Whether Prometheus takes a file of this name in `chunks/` for a segment: a decimal number of 64
/// bits.
fn is_segment_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit()) && name.parse::<u64>().is_ok()
}

/// The names in `dir`, sorted.
fn names_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = |e| Error::io("list", dir, e);
    let mut names = fs::read_dir(dir)
        .map_err(list)?
        .map(|entry| {
            entry
                .map(|entry| PathBuf::from(entry.file_name()))
                .map_err(list)
        })
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
