//! Blocks that are read one after the other, each unpacked for as long as it is read.

use std::path::{Path, PathBuf};

use super::Need;
use super::unpack::{unpack, unpack_logs};
use crate::block::BlockFiles;
use crate::cli::context::Context;
use crate::cli::heads::HeadBlock;
use crate::error::Result;
use crate::model::Ulid;
use crate::raw::temporary_dir;
use crate::repository::copies::Copies;
use crate::repository::{Archive, Repository};
use crate::restore::in_order_end;
use crate::select::Selection;

/// Blocks that are read one after the other.
#[derive(Debug)]
pub(crate) enum Blocks {
    /// Directories of blocks.
    Dirs {
        /// These.
        dirs: Vec<PathBuf>,
        /// What was made of logs: it is there as long as this is.
        heads: Vec<HeadBlock>,
    },
    /// Blocks of an archive.
    Stored {
        /// The repository.
        repository: Repository,
        /// The archive.
        archive: Box<Archive>,
        /// Which of its blocks.
        chosen: Vec<Ulid>,
        /// Whether it may not be the one that was meant, or lacks something; it has been said why.
        doubtful: bool,
        /// What will be read of them.
        asked: Selection,
        /// Whether its logs are read as well.
        with_head: bool,
    },
}

/// What could not be visited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Left {
    /// Whether something could not be read.
    pub(crate) incomplete: bool,
    /// Blocks of which nothing could.
    pub(crate) blocks: u64,
}

impl Blocks {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Blocks::Dirs { dirs, .. } => dirs.len(),
            Blocks::Stored {
                chosen, with_head, ..
            } => chosen.len() + usize::from(*with_head),
        }
    }

    /// Calls `visit` with the directory of each block. Blocks of an archive are unpacked one by
    /// one, and removed behind `visit`: there never is more than one. What of the archive
    /// cannot be read is named, and the other blocks are visited all the same.
    pub(crate) fn for_each(
        &self,
        context: &Context<'_>,
        mut visit: impl FnMut(&Path) -> Result<()>,
    ) -> Result<Left> {
        let (repository, archive, chosen, doubtful, asked, with_head) = match self {
            Blocks::Dirs { dirs, heads } => {
                let bytes = |dir: &PathBuf| BlockFiles::scan(dir).map_or(0, |files| files.bytes());
                let sizes: Vec<_> = dirs.iter().map(bytes).collect();
                context.progress.begin("read", Some(sizes.iter().sum()));
                for (dir, bytes) in dirs.iter().zip(sizes) {
                    visit(dir)?;
                    context.progress.advance(bytes);
                }
                context.progress.end();
                return Ok(Left {
                    incomplete: heads.iter().any(|head| head.incomplete),
                    ..Left::default()
                });
            }
            Blocks::Stored {
                repository,
                archive,
                chosen,
                doubtful,
                asked,
                with_head,
            } => (repository, archive, chosen, *doubtful, asked, *with_head),
        };
        let mut left = Left {
            incomplete: doubtful,
            ..Left::default()
        };
        let copies = Copies::new(repository)?;
        for ulid in chosen {
            let copy = temporary_dir()?;
            let dir = copy.path().join(format!("archive-{}", archive.id.short()));
            let mut name = *ulid;
            let need = Need::Samples(asked);
            match unpack(&copies, archive, &[*ulid], need, false, &dir, context) {
                Ok(unpacked) => {
                    left.incomplete |= unpacked.is_short || !unpacked.unread.is_empty();
                    name = unpacked.salvaged.get(ulid).copied().unwrap_or(name);
                }
                Err(error) => {
                    context.progress.remark(&error.chain());
                    left.incomplete = true;
                }
            }
            let block = dir.join(name.to_string());
            if block.is_dir() {
                visit(&block)?;
            } else {
                left.blocks += 1;
            }
        }
        if with_head {
            let copy = temporary_dir()?;
            let dir = copy.path().join(format!("archive-{}", archive.id.short()));
            if let Err(error) = unpack_logs(&copies, archive, &dir, context) {
                context.progress.remark(&error.chain());
                left.incomplete = true;
                return Ok(left);
            }
            let end = in_order_end(archive);
            let head = HeadBlock::of_logs(&dir, end, asked.range, context)?;
            left.incomplete |= head.incomplete;
            if let Some((block, _)) = &head.block {
                visit(block)?;
            }
        }
        Ok(left)
    }
}
