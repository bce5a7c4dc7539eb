//! What a command reads: directories that are there, or a copy of an archive's blocks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::unpack::{sketch, unpack};
use super::{Need, missed_text};
use crate::block::DataDir;
use crate::cli::context::Context;
use crate::cli::heads::HeadBlock;
use crate::cli::logs;
use crate::error::Result;
use crate::model::{TimeRange, Ulid};
use crate::raw::temporary_dir;
use crate::replay::ListedHead;
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
    /// Its head, likewise.
    pub(crate) head: Option<ListedHead>,
    /// What could not be read: the block's ULID or `wal`, and why.
    pub(crate) unread: Vec<(String, String)>,
    copy: Option<TempDir>,
    /// The heads of those directories that have one, if they are wanted.
    heads: BTreeMap<PathBuf, HeadBlock>,
}

impl Opened {
    /// Directories that are there.
    pub(crate) fn of_paths(paths: Vec<PathBuf>) -> Self {
        Opened {
            paths,
            incomplete: false,
            logs: Vec::new(),
            head: None,
            unread: Vec::new(),
            copy: None,
            heads: BTreeMap::new(),
        }
    }

    /// The same, with the newest hours of each directory that has logs, as far as they have to do
    /// with the time `asked`.
    pub(crate) fn with_heads(mut self, asked: TimeRange, context: &Context<'_>) -> Result<Self> {
        for path in &self.paths {
            // Who reads it says what is wrong with a directory.
            let Ok(dir) = DataDir::scan(path) else {
                continue;
            };
            if let Some(head) = HeadBlock::of_dir(&dir, asked, context)? {
                self.incomplete |= head.incomplete;
                self.heads.insert(path.clone(), head);
            }
        }
        Ok(self)
    }

    /// One of the directories, with its head among its blocks.
    pub(crate) fn scan(&self, path: &Path) -> Result<DataDir> {
        let mut dir = DataDir::scan(path)?;
        let head = self.heads.get(path).and_then(|head| head.block.clone());
        if let Some((block, ulid)) = head {
            dir.add_head(block, ulid);
        }
        Ok(dir)
    }

    /// The first of the directories, with its head among its blocks.
    pub(crate) fn scan_first(&self) -> Result<DataDir> {
        self.scan(self.paths.first().map_or(Path::new(""), PathBuf::as_path))
    }

    /// A copy of the blocks `ulids` of `archive`, of all of them if none is named, and with `logs`
    /// also those.
    pub(crate) fn of_archive(
        repository: &Repository,
        archive: &Archive,
        ulids: &[Ulid],
        need: Need<'_>,
        logs: bool,
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
                let logs = logs || matches!(need, Need::BlocksAndLogs);
                let unpacked = unpack(&copies, archive, ulids, need, logs, &dir, context)?;
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
        let is_listing = ulids.is_empty() && matches!(need, Need::Sizes);
        let (logs, head) = if is_listing {
            let end = DataDir::scan(&dir)?.in_order_end();
            (logs::stored(archive, end), logs::listed_head(archive))
        } else {
            (Vec::new(), None)
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
            head,
            unread,
            copy: Some(copy),
            heads: BTreeMap::new(),
        })
    }
}

impl Opened {
    /// `text` without the temporary directory in paths: what is called `archive-…` in it is gone
    /// when somebody reads that.
    pub(crate) fn without_copy(&self, text: &str) -> String {
        let mut text = match &self.copy {
            Some(copy) => text.replace(&format!("{}/", copy.path().display()), ""),
            None => text.to_owned(),
        };
        for head in self.heads.values() {
            text = head.without_copy(&text);
        }
        text
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
