//! The newest hours of a server, which are in its logs and in no block, as a block that commands
//! read with the others.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::context::Context;
use crate::block::{DataDir, DirKind};
use crate::error::Result;
use crate::model::{Millis, TimeRange, Ulid};
use crate::raw::temporary_dir;
use crate::replay::{Head, HeadFacts};
use crate::units::count_text;

/// Whether the newest hours are read.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct HeadArgs {
    /// Leave out the head: the newest hours, which are in the logs (wal, wbl) and in no block yet
    #[arg(long)]
    pub(crate) no_head: bool,
}

/// What the logs hold that no block does, as a block in a temporary directory, which is removed
/// with this.
#[derive(Debug)]
pub(crate) struct HeadBlock {
    /// Its directory; `None` where the logs hold nothing of the time that was asked for.
    pub(crate) block: Option<(PathBuf, Ulid)>,
    /// Whether something of the logs cannot be read; that has been said.
    pub(crate) incomplete: bool,
    copy: TempDir,
}

impl HeadBlock {
    /// That of `dir`, if it is a data directory, as far as it holds samples of the time `asked`.
    ///
    /// # Errors
    ///
    /// When there is no room for it.
    pub(crate) fn of_dir(
        dir: &DataDir,
        asked: TimeRange,
        context: &Context<'_>,
    ) -> Result<Option<Self>> {
        if dir.place() != DirKind::DataDir {
            return Ok(None);
        }
        let head = Head::read(dir.path(), context.read_mode, context.progress);
        Self::of(head, dir.path(), asked, context).map(Some)
    }

    /// That of the logs in the directory `logs`, which stand beside blocks that end at `since`.
    ///
    /// # Errors
    ///
    /// When there is no room for it.
    pub(crate) fn of_logs(
        logs: &Path,
        since: Option<Millis>,
        asked: TimeRange,
        context: &Context<'_>,
    ) -> Result<Self> {
        let head = Head::of_logs(logs, since, context.read_mode, context.progress);
        Self::of(head, logs, asked, context)
    }

    fn of(
        head: Result<Head>,
        place: &Path,
        asked: TimeRange,
        context: &Context<'_>,
    ) -> Result<Self> {
        let mut made = HeadBlock {
            block: None,
            incomplete: false,
            copy: temporary_dir()?,
        };
        let head = match head {
            Ok(head) => head,
            Err(error) => {
                context.progress.remark(&format_args!(
                    "the head of {} cannot be read: {}",
                    place.display(),
                    error.chain()
                ));
                made.incomplete = true;
                return Ok(made);
            }
        };
        made.incomplete = remark_faults(head.facts(), place, context);
        let times = head.facts().times;
        if times.is_some_and(|(first, last)| asked.overlaps(first, last)) {
            let ulid = head.ulid();
            let block = head.write_block(made.copy.path(), ulid)?;
            made.block = block.map(|dir| (dir, ulid));
        }
        Ok(made)
    }

    /// `text` without the temporary directory in paths.
    pub(crate) fn without_copy(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.copy.path().display()), "head/")
    }
}

/// Says what of the logs at `place` a start of Prometheus does not read; whether anything is lost
/// by that.
pub(crate) fn remark_faults(facts: &HeadFacts, place: &Path, context: &Context<'_>) -> bool {
    for broken in &facts.broken {
        context.progress.remark(&format_args!(
            "{broken}: what follows it in this log is not read, as a start of Prometheus does not read it; narthex verify says more"
        ));
    }
    if facts.unknown > 0 {
        context.progress.remark(&format_args!(
            "{}: {} samples of the log are of series that nothing defines: no start of Prometheus reads them, nor is any of them here",
            place.display(),
            count_text(facts.unknown)
        ));
    }
    !facts.broken.is_empty()
}
