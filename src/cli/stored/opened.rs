//! What a command reads: directories that are there, or a copy of an archive's blocks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use super::unpack::{sketch, unpack};
use super::{Need, missed_text};
use crate::block::DataDir;
use crate::cli::context::Context;
use crate::cli::logs;
use crate::error::Result;
use crate::model::Ulid;
use crate::raw::temporary_dir;
use crate::repository::copies::Copies;
use crate::repository::{Archive, Repository};
use crate::wal::LogFacts;

/// What is to be read, and the temporary directory it is in, if any.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Directories to read.
    pub(crate) paths: Vec<PathBuf>,
    /// Whether something of the archive could not be read, or it may not be the one that was
    /// meant; that has been said.
    pub(crate) incomplete: bool,
    /// The logs of the archive at a glance, when all of it is asked for.
    pub(crate) logs: Vec<LogFacts>,
    /// What could not be read: the block's ULID or `wal`, and why.
    pub(crate) unread: Vec<(String, String)>,
    copy: Option<TempDir>,
}

impl Opened {
    /// Directories that are there.
    pub(crate) fn of_paths(paths: Vec<PathBuf>) -> Self {
        Opened {
            paths,
            incomplete: false,
            logs: Vec::new(),
            unread: Vec::new(),
            copy: None,
        }
    }

    /// A copy of the blocks `ulids` of `archive`, of all of them if none is named.
    pub(crate) fn of_archive(
        repository: &Repository,
        archive: &Archive,
        ulids: &[Ulid],
        need: Need<'_>,
        context: &Context<'_>,
    ) -> Result<Self> {
        let copy = temporary_dir()?;
        let dir = copy.path().join(format!("archive-{}", archive.id.short()));
        let (mut incomplete, mut unread) = (false, Vec::new());
        let mut salvaged = BTreeMap::new();
        match need {
            Need::Sizes => incomplete = sketch(repository, archive, ulids, &dir, context)?,
            Need::Blocks | Need::Samples(_) | Need::BlocksAndLogs => {
                let copies = Copies::new(repository)?;
                let unpacked = unpack(&copies, archive, ulids, need, &dir, context)?;
                incomplete |= unpacked.is_short;
                salvaged = unpacked.salvaged;
                unread = unpacked.unread;
                if matches!(need, Need::BlocksAndLogs) && ulids.is_empty() {
                    unread.extend(
                        archive
                            .missed()
                            .map(|left| (left.name.clone(), missed_text(left))),
                    );
                }
            }
        }
        incomplete |= !unread.is_empty();
        let logs = if ulids.is_empty() && matches!(need, Need::Sizes) {
            logs::stored(archive, DataDir::scan(&dir)?.in_order_end())
        } else {
            Vec::new()
        };
        let paths = if ulids.is_empty() {
            vec![dir]
        } else {
            let name = |ulid: &Ulid| salvaged.get(ulid).unwrap_or(ulid).to_string();
            ulids.iter().map(|ulid| dir.join(name(ulid))).collect()
        };
        Ok(Opened {
            paths,
            incomplete,
            logs,
            unread,
            copy: Some(copy),
        })
    }
}

impl Opened {
    /// `text` without the temporary directory in paths: what is called `archive-…` in it is gone
    /// when somebody reads that.
    pub(crate) fn without_copy(&self, text: &str) -> String {
        match &self.copy {
            Some(copy) => text.replace(&format!("{}/", copy.path().display()), ""),
            None => text.to_owned(),
        }
    }

    /// The same of every string in `value`.
    pub(crate) fn json_without_copy(&self, value: &mut serde_json::Value) {
        use serde_json::Value as Json;
        match value {
            Json::String(text) => *text = self.without_copy(text),
            Json::Array(values) => values.iter_mut().for_each(|it| self.json_without_copy(it)),
            Json::Object(map) => map.values_mut().for_each(|it| self.json_without_copy(it)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}
