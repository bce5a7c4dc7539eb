//! Which files come back from nothing: a restore that keeps nothing.

use std::collections::BTreeMap;

use super::fetch::{Fetched, Sink, fetch_block, fetch_wal};
use crate::error::Result;
use crate::repository::copies::Copies;
use crate::repository::portable::Silent;
use crate::repository::{FilePath, StoredBlock, StoredWal};
use crate::store::ObjectName;

/// What does not come back.
#[derive(Debug, Default)]
pub struct Missing {
    /// Files that nothing in the repository gives.
    pub files: Vec<FilePath>,
    /// Replacements that were tried and do not give what they should, and why.
    pub failed: BTreeMap<ObjectName, String>,
}

impl From<Fetched> for Missing {
    fn from(fetched: Fetched) -> Self {
        Missing {
            files: fetched.missing,
            failed: fetched.failed,
        }
    }
}

/// What a restore would lack of `block`, whichever way it takes.
pub fn missing_of_block(copies: &Copies, block: &StoredBlock) -> Result<Missing> {
    fetch_block(copies, block, &mut Silent, &mut Silent).map(Missing::from)
}

/// What a restore would lack of `wal`, the logs of an archive of `source`.
pub fn missing_of_logs(copies: &Copies, wal: &StoredWal, source: &str) -> Result<Missing> {
    fetch_wal(copies, wal, Some(source), &mut Silent).map(Missing::from)
}

impl Sink for Silent {
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
