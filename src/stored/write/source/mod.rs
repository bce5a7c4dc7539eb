//! Files of a live directory, opened before anything is read of them.
//!
//! Prometheus never changes a block's index and segments, replaces `meta.json` and `tombstones` by
//! rename, and deletes by unlinking: an open file therefore keeps the content it had, whatever
//! happens to its name. What can race is the opening; [`OpenBlock::open`] notices and says
//! [`Miss::Vanished`], never half a block.
//!
//! A process may have only so many files open. Beyond half of that, files are opened anew for each
//! read, and one that is then gone, or another one under its name, makes the whole block vanish.

mod block;
mod file;
mod slots;
#[cfg(test)]
mod tests;

pub(crate) use block::{Listing, OpenBlock};
pub(crate) use file::{Content, Section, SourceFile};

use std::path::Path;

use crate::error::{Error, ErrorKind};

/// Why a block or log could not be opened as a whole.
#[derive(Debug)]
pub(crate) enum Miss {
    /// It was deleted, or is being deleted or replaced: list again.
    Vanished,
    /// It is there but cannot be read.
    Unreadable(Error),
}

impl Miss {
    /// As an error about `path`.
    pub(crate) fn into_error(self, path: &Path) -> Error {
        match self {
            Miss::Vanished => Error::not_found(format!("{} vanished", path.display())),
            Miss::Unreadable(error) => error,
        }
    }
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Miss::Vanished,
            _ => Miss::Unreadable(error),
        }
    }
}
