//! What a log directory holds, by names alone.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::error::{Error, Result};

/// One entry below a log directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEntry {
    /// Path relative to the log directory, with `/` between its parts.
    pub path: String,
    /// What it is.
    pub kind: EntryType,
}

/// What an entry of a log directory is. Segments count by what a link leads to, for so Prometheus
/// opens them; a link is no directory of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryType {
    /// A regular file.
    #[default]
    File,
    /// A directory with nothing in it.
    EmptyDirectory,
    /// A directory that holds something.
    Directory,
    /// A named pipe: who opens it waits for a writer.
    Pipe,
    /// A socket, a device, a link to nothing.
    Other,
}

impl EntryType {
    /// Whether it is a directory.
    pub fn is_directory(self) -> bool {
        matches!(self, EntryType::Directory | EntryType::EmptyDirectory)
    }

    /// Its name, with an article.
    pub fn name(self) -> &'static str {
        match self {
            EntryType::File => "a file",
            EntryType::EmptyDirectory => "an empty directory",
            EntryType::Directory => "a directory",
            EntryType::Pipe => "a named pipe",
            EntryType::Other => "neither a file nor a directory",
        }
    }

    /// What lies at `path`, which itself is of `own` type.
    fn of(path: &Path, own: fs::FileType) -> std::io::Result<Self> {
        if own.is_symlink() {
            return Ok(match fs::metadata(path) {
                Ok(target) if target.is_dir() => EntryType::Directory,
                Ok(target) => EntryType::of_file(target.file_type()),
                Err(_) => EntryType::Other,
            });
        }
        if own.is_dir() {
            let empty = fs::read_dir(path)?.next().is_none();
            return Ok(if empty {
                EntryType::EmptyDirectory
            } else {
                EntryType::Directory
            });
        }
        Ok(EntryType::of_file(own))
    }

    fn of_file(kind: fs::FileType) -> Self {
        if kind.is_file() {
            EntryType::File
        } else if kind.is_fifo() {
            EntryType::Pipe
        } else {
            EntryType::Other
        }
    }
}

impl LogEntry {
    /// A file.
    pub fn file(path: impl Into<String>) -> Self {
        LogEntry {
            path: path.into(),
            kind: EntryType::File,
        }
    }

    /// A directory.
    pub fn directory(path: impl Into<String>) -> Self {
        LogEntry {
            path: path.into(),
            kind: EntryType::EmptyDirectory,
        }
    }
}

/// A segment, by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentFile {
    /// Its number. Prometheus takes every decimal integer for one, even with a sign.
    pub number: i64,
    /// Path relative to the log directory.
    pub path: String,
    /// What it is; replay goes well with files only.
    pub kind: EntryType,
}

impl SegmentFile {
    /// The segment `number`, a file at `path`.
    pub fn new(number: i64, path: impl Into<String>) -> Self {
        SegmentFile {
            number,
            path: path.into(),
            kind: EntryType::File,
        }
    }

    /// The file name under which Prometheus opens segment `number`.
    pub fn name_of(number: i64) -> String {
        format!("{number:08}")
    }
}

/// An entry that is neither a segment nor a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extra {
    /// `checkpoint.N.tmp`: a checkpoint that was never finished; removed at the next start.
    UnfinishedCheckpoint(String),
    /// `checkpoint…`, but not a directory: Prometheus does not start.
    CheckpointNotDirectory(String),
    /// `NNNNNNNN.repair`: a damaged segment that an interrupted repair has set aside.
    Repair(String),
    /// `series_state.json` (feature `fast-startup`, since 3.11); advisory.
    SeriesState(String),
    /// Anything else; Prometheus ignores it.
    Foreign(String),
}

/// `checkpoint.N`: what is still needed of all segments up to N, as a log of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    /// The newest segment it replaces.
    pub number: i64,
    /// Path relative to the log directory.
    pub path: String,
    /// Its own segments, by number.
    pub segments: Vec<SegmentFile>,
}

impl Checkpoint {
    /// What the names of checkpoints start with.
    const PREFIX: &str = "checkpoint.";

    /// The number in a checkpoint's `name`; nothing for a name that Prometheus does not take for a
    /// checkpoint's.
    pub fn number_of(name: &str) -> Option<i64> {
        name.strip_prefix(Self::PREFIX)?.parse().ok()
    }
}

/// The content of a log directory. Each list is sorted, segments and checkpoints by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogListing {
    /// The segments beside the checkpoints.
    pub segments: Vec<SegmentFile>,
    /// The checkpoints with their segments.
    pub checkpoints: Vec<Checkpoint>,
    /// Everything else.
    pub extras: Vec<Extra>,
}

impl LogListing {
    /// Lists the log directory at `path`.
    ///
    /// # Errors
    ///
    /// When it, or a checkpoint in it, cannot be listed.
    pub fn read(path: &Path) -> Result<Self> {
        let mut entries = children(path, "")?;
        let checkpoints: Vec<_> = entries
            .iter()
            .filter(|e| is_checkpoint(e))
            .cloned()
            .collect();
        for checkpoint in checkpoints {
            entries.extend(children(&path.join(&checkpoint.path), &checkpoint.path)?);
        }
        Ok(Self::of(entries))
    }

    /// Sorts `entries`, all that is known of a log directory, by what Prometheus takes them for.
    /// The directory above a nested path need not be listed.
    pub fn of(entries: impl IntoIterator<Item = LogEntry>) -> Self {
        let mut listing = LogListing::default();
        for entry in entries {
            listing.add(entry);
        }
        listing.segments.sort();
        listing.merge_checkpoints();
        listing.extras.sort();
        listing
    }

    fn add(&mut self, LogEntry { path, kind }: LogEntry) {
        match path.split_once('/') {
            Some((parent, name)) => match (Checkpoint::number_of(parent), name.parse()) {
                (Some(checkpoint), Ok(number)) => self.checkpoints.push(Checkpoint {
                    number: checkpoint,
                    path: parent.to_owned(),
                    segments: vec![SegmentFile { number, path, kind }],
                }),
                _ => self.extras.push(Extra::Foreign(path)),
            },
            None if let Ok(number) = path.parse() => {
                self.segments.push(SegmentFile { number, path, kind });
            }
            None if path.starts_with(Checkpoint::PREFIX) => {
                self.add_checkpoint(path, kind.is_directory());
            }
            None => self.extras.push(extra(path)),
        }
    }

    fn add_checkpoint(&mut self, path: String, directory: bool) {
        if !directory {
            self.extras.push(Extra::CheckpointNotDirectory(path));
        } else if let Some(number) = Checkpoint::number_of(&path) {
            self.checkpoints.push(Checkpoint {
                number,
                path,
                segments: Vec::new(),
            });
        } else if path.strip_suffix(".tmp").is_some() {
            self.extras.push(Extra::UnfinishedCheckpoint(path));
        } else {
            self.extras.push(Extra::Foreign(path));
        }
    }

    /// A checkpoint was added once for its directory and once for each of its segments.
    fn merge_checkpoints(&mut self) {
        self.checkpoints.sort();
        self.checkpoints.dedup_by(|next, kept| {
            let same = next.path == kept.path;
            if same {
                kept.segments.append(&mut next.segments);
            }
            same
        });
        for checkpoint in &mut self.checkpoints {
            checkpoint.segments.sort();
        }
    }
}

fn extra(path: String) -> Extra {
    if path == "series_state.json" {
        Extra::SeriesState(path)
    } else if path
        .strip_suffix(".repair")
        .is_some_and(|stem| stem.parse::<i64>().is_ok())
    {
        Extra::Repair(path)
    } else {
        Extra::Foreign(path)
    }
}

fn is_checkpoint(entry: &LogEntry) -> bool {
    entry.kind.is_directory() && Checkpoint::number_of(&entry.path).is_some()
}

/// The entries of the directory at `path`, named relative to the log directory, in which it is
/// called `parent`.
fn children(path: &Path, parent: &str) -> Result<Vec<LogEntry>> {
    let list = || {
        fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let own = entry.file_type()?;
                let mut kind = EntryType::of(&entry.path(), own)?;
                if own.is_symlink() && name.starts_with(Checkpoint::PREFIX) {
                    kind = EntryType::Other;
                }
                let path = if parent.is_empty() {
                    name
                } else {
                    format!("{parent}/{name}")
                };
                Ok(LogEntry { path, kind })
            })
            .collect::<std::io::Result<Vec<_>>>()
    };
    list().map_err(|e| Error::io("list", path, e))
}
