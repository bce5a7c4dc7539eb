//! What is wrong with the head's files, and what a start does about it.

use std::path::PathBuf;

/// What a start does about a [`HeadProblem`], the same in 2.42 and 3.16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkFate {
    /// It removes the file, in which nothing is.
    Removed,
    /// A chunk that was being written: it and what follows is dropped and rebuilt from the logs.
    Torn,
    /// It and all files after it are removed and rebuilt from the logs.
    Rebuilt,
    /// All files are removed and rebuilt from the logs.
    AllRebuilt,
    /// The chunk snapshot is not used: the logs are replayed from their beginning.
    Ignored,
    /// The server does not start.
    DoesNotStart,
    /// The server dies as it reads there.
    Crashes,
}

impl ChunkFate {
    /// Whether no server starts.
    pub fn ends_start(self) -> bool {
        matches!(self, ChunkFate::DoesNotStart | ChunkFate::Crashes)
    }
}

/// Something wrong with a file of `chunks_head`, or with a chunk snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadProblem {
    /// The file or directory.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: Option<u64>,
    /// Part of the file, as the format names it.
    pub section: Option<&'static str>,
    /// What was wanted and what was found.
    pub detail: String,
    /// What a start does about it.
    pub fate: ChunkFate,
}
