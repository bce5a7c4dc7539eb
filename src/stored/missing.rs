//! Which files come back from nothing: a restore that keeps nothing.

use std::collections::BTreeMap;

use super::fetch::{Fetched, Sink, fetch_block, fetch_wal};
use crate::error::Result;
use crate::repository::copies::Copies;
use crate::repository::portable::NoVisitor;
use crate::repository::{FilePath, StoredBlock, StoredWal};
use crate::store::ObjectName;

/// What does not come back.
#[derive(Debug, Default)]
pub struct MissingContent {
    /// Files that nothing in the repository gives.
    pub files: Vec<FilePath>,
    /// Replacements that were tried and do not give what they should, and why.
    pub failed: BTreeMap<ObjectName, String>,
}

impl From<Fetched> for MissingContent {
    fn from(fetched: Fetched) -> Self {
        MissingContent {
            files: fetched.missing,
            failed: fetched.failed,
        }
    }
}

/// What a restore would lack of `block`, whichever way it takes.
pub fn missing_of_block(copies: &Copies, block: &StoredBlock) -> Result<MissingContent> {
    fetch_block(copies, block, &mut NoVisitor, &mut NoVisitor).map(MissingContent::from)
}

/// What a restore would lack of `wal`, the logs of an archive of `source`.
pub fn missing_of_logs(copies: &Copies, wal: &StoredWal, source: &str) -> Result<MissingContent> {
    fetch_wal(copies, wal, Some(source), &mut NoVisitor).map(MissingContent::from)
}

impl Sink for NoVisitor {
    fn takes(&self, _name: &FilePath) -> bool {
        true
    }

    fn abandon(&mut self) -> Result<()> {
        Ok(())
    }

    fn has_failed(&self) -> bool {
        false
    }
}
