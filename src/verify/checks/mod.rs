//! The checks, one file for each subject. What they find goes into [`Findings`](super::Findings);
//! what they learn goes to the next.

pub(super) mod again;
mod aggregates;
pub(super) mod budget;
pub(super) mod chunks;
pub(super) mod counts;
pub(super) mod coverage;
pub(super) mod cross;
pub(super) mod differences;
pub(super) mod directory;
pub(super) mod entries;
pub(super) mod groups;
pub(super) mod head;
pub(super) mod hidden;
pub(super) mod histogram;
pub(super) mod index;
pub(super) mod label_indices;
mod lineage;
pub(super) mod meta;
pub(super) mod pairs;
pub(super) mod postings;
pub(super) mod segments;
pub(super) mod series;
mod sound_entries;
pub(super) mod start;
pub(super) mod times;
pub(super) mod tombstones;
pub(super) mod unreadable;
pub(super) mod wal;

use std::path::PathBuf;

use super::{Depth, Finding, Kind, VerifyOptions};
use crate::block::BlockFiles;
use crate::model::Ulid;
use crate::progress::Progress;
use crate::raw::Malformed;

/// The block under verification.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) ulid: Option<Ulid>,
    pub(super) files: &'a BlockFiles,
    pub(super) options: VerifyOptions,
    pub(super) progress: &'a dyn Progress,
}

impl Subject<'_> {
    /// A finding about the file or directory at `path`.
    pub(super) fn finding(&self, kind: Kind, path: PathBuf) -> Finding {
        Finding {
            kind,
            block: self.ulid,
            path,
            offset: None,
            section: None,
            series: None,
            loss: None,
            detail: String::new(),
            is_unopened: false,
        }
    }

    /// A finding about the index.
    pub(super) fn in_index(&self, kind: Kind, section: &'static str, offset: u64) -> Finding {
        Finding {
            offset: Some(offset),
            section: Some(section),
            ..self.finding(kind, self.files.index())
        }
    }

    /// A finding about the index, in the words of `malformed`.
    pub(super) fn malformed_index(&self, kind: Kind, malformed: &Malformed) -> Finding {
        self.in_index(kind, malformed.section, malformed.offset)
            .saying(malformed.problem.to_string())
    }

    /// Whether chunks are decoded.
    pub(super) fn is_full(&self) -> bool {
        self.options.depth == Depth::Full
    }
}

impl Finding {
    /// With what was wanted and found.
    pub(super) fn saying(self, detail: impl Into<String>) -> Self {
        Finding {
            detail: detail.into(),
            ..self
        }
    }

    /// With the place where the part of the file begins that it is about.
    pub(super) fn beginning_at(self, offset: u64) -> Self {
        Finding {
            offset: Some(offset),
            ..self
        }
    }

    /// With a place and words from `malformed`.
    pub(super) fn at(self, malformed: &Malformed) -> Self {
        Finding {
            offset: Some(malformed.offset),
            section: Some(malformed.section),
            detail: malformed.problem.to_string(),
            ..self
        }
    }
}
