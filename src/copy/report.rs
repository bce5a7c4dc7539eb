//! What a copy did, or would do.

use std::path::PathBuf;

use super::problem::CopyProblem;
use crate::model::Millis;
use crate::raw::ReadMode;
use crate::repository::ArchiveId;
use crate::stored::Codec;

/// How to copy.
#[derive(Clone, Debug, Default)]
pub struct CopyOptions {
    /// Directory in which manifests are remembered.
    pub cache: Option<PathBuf>,
    /// The codec that blocks are to have in the repository copied to; `None` leaves each in the
    /// one it has.
    pub codec: Option<Codec>,
    /// How unpacked files are read.
    pub read_mode: ReadMode,
}

/// What became of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there now.
    Copied,
    /// It was there, and objects that it lacked are there now.
    Completed,
    /// It was there, and its objects were.
    Present,
    /// It could not be copied.
    LeftOut,
    /// It would be copied.
    Planned,
}

impl Fate {
    /// Its name in reports.
    pub fn id(self) -> &'static str {
        match self {
            Fate::Copied => "copied",
            Fate::Completed => "completed",
            Fate::Present => "present",
            Fate::LeftOut => "left out",
            Fate::Planned => "planned",
        }
    }
}

/// An archive that was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedArchive {
    /// What became of it.
    pub fate: Fate,
    /// Its id.
    pub id: ArchiveId,
    /// When its backup began.
    pub time: Millis,
    /// The machine its source was on.
    pub host: String,
    /// Name of its source.
    pub source_name: String,
    /// Objects that it needs and that were not there, nor brought for an archive before.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Why it was left out.
    pub reason: Option<String>,
}

/// What a copy did, or would do.
#[derive(Clone, Debug, Default)]
pub struct CopyReport {
    /// The archives that were meant, oldest first.
    pub archives: Vec<CopiedArchive>,
    /// Objects that were sent.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Objects of dead runs that were proved and taken over.
    pub taken_over: u64,
    /// Blocks that were stored anew in the codec that was asked for.
    pub converted_blocks: u64,
    /// The size of their files in bytes.
    pub converted_bytes: u64,
    /// What is wrong, or worth knowing.
    pub problems: Vec<CopyProblem>,
}

impl CopyReport {
    /// Adds what was done in other parts of the two repositories.
    pub fn absorb(&mut self, other: CopyReport) {
        self.archives.extend(other.archives);
        self.archives
            .sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        self.objects += other.objects;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.taken_over += other.taken_over;
        self.converted_blocks += other.converted_blocks;
        self.converted_bytes = self.converted_bytes.saturating_add(other.converted_bytes);
        self.problems.extend(other.problems);
    }

    /// How many archives have this fate.
    pub fn count(&self, fate: Fate) -> u64 {
        let of = self.archives.iter().filter(|archive| archive.fate == fate);
        of.count() as u64
    }
}
