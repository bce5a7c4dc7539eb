//! Reading commands on stored blocks: a copy of what they need, in a temporary directory.

mod blocks;
mod opened;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::args::parse_label;
use super::cache::{remark_vanished, unless_vanished, vanished_parts};
use super::config::RepoName;
use super::context::Context;
use super::heads::{HeadArgs, HeadBlock};
use super::logs;
use super::repo::{REPO_VARIABLE, choose_to_read, open_repository};
use crate::block::{BlockFiles, DataDir, read_meta};
use crate::error::{Error, Result};
use crate::model::{Millis, TimeRange, Ulid, now};
use crate::repository::claim::NO_FILE;
use crate::repository::{Archive, Archives, LeftOut, LeftOutKind, Parts, Repository, SourceFilter};
use crate::restore;
use crate::select::Selection;
use crate::store::Location;
pub(crate) use blocks::Blocks;
pub(crate) use opened::Opened;

/// What these options stand under in help texts. Said of each: clap would carry a heading of all
/// over to the options behind them.
const ARCHIVE_HEADING: &str = "Reading an archive";

/// An archive to read instead of a directory.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StoredArgs {
    /// Read blocks of this archive (the beginning of its id, or `latest`); paths are then ULIDs of
    /// blocks. They are unpacked into a temporary directory (TMPDIR), which must have room for
    /// them
    #[arg(long, value_name = "ARCHIVE", help_heading = ARCHIVE_HEADING)]
    archive: Option<String>,
    /// With --archive: the repository, its directory or its name in the configuration;
    /// `NARTHEX_REPO` may say it instead
    // No `env` here: clap takes a variable that is set for an option that is given, and would ask
    // for --archive.
    #[arg(long, value_name = "REPO", requires = "archive", help_heading = ARCHIVE_HEADING)]
    repo: Option<RepoName>,
    /// With --archive: only archives from this host
    #[arg(long, requires = "archive", help_heading = ARCHIVE_HEADING)]
    host: Option<String>,
    /// With --archive: only archives of the source of this name
    #[arg(long, value_name = "NAME", requires = "archive", help_heading = ARCHIVE_HEADING)]
    source: Option<String>,
    /// With --archive: only archives that were made with this --label; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label, requires = "archive", help_heading = ARCHIVE_HEADING)]
    labels: Vec<(String, String)>,
}

/// The archive that `selector` means, of which samples of the time `asked` are wanted, and why
/// somebody should look whether it is the one that was meant: that has been said.
pub(crate) fn find(
    repository: &Repository,
    selector: &str,
    filter: &SourceFilter,
    asked: TimeRange,
    context: &Context<'_>,
) -> Result<(Archive, Vec<String>)> {
    let chosen = unless_vanished(repository.find(selector, filter, now()), repository)?;
    let mut doubts: Vec<_> = chosen.remarks().collect();
    if selector == "latest" && asked != TimeRange::NONE {
        let longer = repository.longer(&chosen.archive, asked)?;
        doubts.extend(longer.map(|longer| {
            let other = longer.id.short();
            format!(
                "{longer}: a clock was wrong, or the latest was made of an older copy of the data; if archive {other} is meant, name it instead of latest"
            )
        }));
    }
    for doubt in &doubts {
        context.progress.remark(doubt);
    }
    Ok((chosen.archive, doubts))
}

/// Says what lies where parts are and cannot be seen, and which parts are gone of which this
/// machine remembers archives; whether there is anything.
pub(crate) fn remark_unseen(parts: &Parts, context: &Context<'_>) -> Result<bool> {
    let unseen = parts.unseen()?;
    for name in &unseen {
        context.progress.remark(&format_args!(
            "{name} is no part that can be seen: a link, a file, or a directory with another name; what archives are in it is not known"
        ));
    }
    let mut any = !unseen.is_empty();
    for part in vanished_parts(parts)? {
        any |= remark_vanished(&part, context)?;
    }
    Ok(any)
}

/// Says which manifests of `part` cannot be seen, of which `archives` were found, or that there are
/// none where data lies or this machine remembers some. Returns whether there was anything to say.
pub(crate) fn remark_absent(
    part: &Repository,
    archives: &Archives,
    context: &Context<'_>,
) -> Result<bool> {
    let is_empty = archives.archives.is_empty() && archives.damaged.is_empty();
    let has_vanished = is_empty && remark_vanished(part, context)?;
    Ok(remark_hidden(part, context)? || has_vanished)
}

/// Says which manifests cannot be seen, or that there are none where data lies. Returns whether
/// there was anything to say.
pub(crate) fn remark_hidden(repository: &Repository, context: &Context<'_>) -> Result<bool> {
    let unseen = repository.unseen()?;
    for name in &unseen {
        context.progress.remark(&format_args!("{name}: {NO_FILE}"));
    }
    let bereft = repository.bereft()?;
    if let Some(bereft) = &bereft {
        context.progress.remark(bereft);
    }
    Ok(bereft.is_some() || !unseen.is_empty())
}

/// Names what the backup of `archive` missed, and that is not in it therefore. Returns whether
/// there is anything.
pub(crate) fn remark_missed(archive: &Archive, context: &Context<'_>) -> bool {
    let missed: Vec<_> = archive.missed().collect();
    for left_out in &missed {
        context.progress.remark(&missed_text(left_out));
    }
    !missed.is_empty()
}

/// Why something that an archive should hold, or may have held, is not in it, as a sentence.
pub(crate) fn missed_text(left_out: &LeftOut) -> String {
    let (name, reason) = (&left_out.name, &left_out.reason);
    match left_out.kind() {
        LeftOutKind::Unknown => format!("this archive was {reason}"),
        LeftOutKind::Gone => {
            format!("{name} was missed when this archive was made: it is {reason}")
        }
        _ => format!("{name} is not in this archive, for it could not be read: {reason}"),
    }
}

/// What of each block is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need<'a> {
    /// Metadata, and files of the right size with nothing in them.
    Sizes,
    /// Everything.
    Blocks,
    /// Samples: of a block that does not come back as it was, all that can be read. Nothing is
    /// missing where this part of it can be.
    Samples(&'a Selection),
    /// Everything, and the logs.
    BlocksAndLogs,
}

impl Need<'_> {
    /// The time of which samples are needed.
    fn asked(self) -> TimeRange {
        match self {
            Need::Samples(selection) => selection.range,
            Need::Sizes | Need::Blocks | Need::BlocksAndLogs => TimeRange::ALL,
        }
    }
}

impl StoredArgs {
    /// Whether an archive is read, and not the directories themselves.
    pub(crate) fn is_of_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// The directories `paths`; or, with an archive, a copy of its blocks that `paths` name, all of
    /// them if none is named. The newest hours of directories, and of an archive of which no block
    /// is named, are there as `head` says.
    pub(crate) fn open_with_head(
        &self,
        paths: &[PathBuf],
        need: Need<'_>,
        head: HeadArgs,
        context: &Context<'_>,
    ) -> Result<Opened> {
        let opened = self.open_or_unpack(paths, need, !head.no_head, context)?;
        if head.no_head || self.archive.is_some() && !paths.is_empty() {
            return Ok(opened);
        }
        opened.with_heads(need.asked(), context)
    }

    /// The directories `paths`; or, with an archive, a copy of its blocks that `paths` name, all of
    /// them if none is named.
    pub(crate) fn open(
        &self,
        paths: &[PathBuf],
        need: Need<'_>,
        context: &Context<'_>,
    ) -> Result<Opened> {
        self.open_or_unpack(paths, need, false, context)
    }

    fn open_or_unpack(
        &self,
        paths: &[PathBuf],
        need: Need<'_>,
        with_head: bool,
        context: &Context<'_>,
    ) -> Result<Opened> {
        let Some(selector) = &self.archive else {
            return Ok(Opened::of_paths(paths.to_vec()));
        };
        let repository = self.repository(selector)?;
        let asked = need.asked();
        let (archive, doubts) = find(&repository, selector, &self.filter(), asked, context)?;
        let ulids = paths
            .iter()
            .map(|path| ulid(path))
            .collect::<Result<Vec<_>>>()?;
        let logs = with_head && logs::has_head(&archive, asked);
        let mut opened = Opened::of_archive(&repository, &archive, &ulids, need, logs, context)?;
        opened.incomplete |= !doubts.is_empty();
        if paths.is_empty() {
            opened.incomplete |= remark_missed(&archive, context);
        }
        Ok(opened)
    }

    /// The blocks in the directories `paths`; or, with an archive, its blocks that `paths` name,
    /// all of them if none is named; and the newest hours, as `head` says. They are sorted by their
    /// start. Those that hold nothing of the time that is `asked` for are left out; those whose
    /// metadata cannot be read come last.
    pub(crate) fn blocks(
        &self,
        paths: &[PathBuf],
        asked: &Selection,
        head: HeadArgs,
        context: &Context<'_>,
    ) -> Result<Blocks> {
        let concerns = |min, max| asked.range.overlaps_block(min, max);
        let Some(selector) = &self.archive else {
            let (mut dirs, mut heads) = (Vec::new(), BTreeMap::new());
            for path in paths {
                let dir = DataDir::scan(path)?;
                dirs.extend(dir.blocks().map(|entry| entry.path.clone()));
                // A directory that is named twice is one.
                let place = path.canonicalize().unwrap_or_else(|_| path.clone());
                if head.no_head || heads.contains_key(&place) {
                    continue;
                }
                if let Some(head) = HeadBlock::of_dir(&dir, asked.range, context)? {
                    dirs.extend(head.block.iter().map(|(block, _)| block.clone()));
                    heads.insert(place, head);
                }
            }
            // A block that is named twice, or beside its directory, is one.
            let mut seen = BTreeSet::new();
            dirs.retain(|dir| seen.insert(dir.canonicalize().unwrap_or_else(|_| dir.clone())));
            let mut blocks: Vec<_> = dirs
                .into_iter()
                .map(|dir| {
                    (
                        BlockFiles::scan(&dir).and_then(|files| read_meta(&files)),
                        dir,
                    )
                })
                .filter(|(meta, _)| {
                    let meta = meta.as_ref();
                    meta.map_or(true, |meta| concerns(meta.min_time, meta.max_time))
                })
                .map(|(meta, dir)| {
                    (
                        meta.map_or(LAST, |meta| by_time(meta.min_time, meta.max_time)),
                        dir,
                    )
                })
                .collect();
            blocks.sort();
            return Ok(Blocks::Dirs {
                dirs: blocks.into_iter().map(|(_, dir)| dir).collect(),
                heads: heads.into_values().collect(),
            });
        };
        let repository = self.repository(selector)?;
        let (archive, doubts) = find(&repository, selector, &self.filter(), asked.range, context)?;
        let named = paths
            .iter()
            .map(|path| ulid(path))
            .collect::<Result<BTreeSet<_>>>()?;
        let known: BTreeSet<Ulid> = archive.blocks.iter().map(|block| block.ulid).collect();
        if let Some(unknown) = named.difference(&known).next() {
            return Err(restore::no_block(&archive, *unknown));
        }
        let mut chosen: Vec<_> = archive
            .blocks
            .iter()
            .filter(|block| named.is_empty() || named.contains(&block.ulid))
            .filter(|block| concerns(block.min_time, block.max_time))
            .map(|block| (by_time(block.min_time, block.max_time), block.ulid))
            .collect();
        chosen.sort();
        let chosen = chosen.into_iter().map(|(_, ulid)| ulid).collect();
        let with_head = !head.no_head && paths.is_empty() && logs::has_head(&archive, asked.range);
        let doubtful = !doubts.is_empty() | (paths.is_empty() && remark_missed(&archive, context));
        Ok(Blocks::Stored {
            repository,
            archive: Box::new(archive),
            chosen,
            doubtful,
            asked: asked.clone(),
            with_head,
        })
    }

    fn filter(&self) -> SourceFilter {
        SourceFilter {
            host: self.host.clone(),
            source_name: self.source.clone(),
            labels: self.labels.iter().cloned().collect(),
        }
    }

    /// Where the archive is that `selector` means.
    fn repository(&self, selector: &str) -> Result<Repository> {
        let parts = open_repository(&self.location()?)?;
        parts.holding(selector, &self.filter(), now())
    }

    fn location(&self) -> Result<Location> {
        let chosen = choose_to_read(self.repo.as_ref(), self.source.as_deref())?;
        chosen.ok_or_else(|| {
            Error::invalid(format!(
                "expected --repo or {REPO_VARIABLE} beside --archive, found neither"
            ))
        })
    }
}

/// After all that is [`by_time`].
const LAST: (bool, Millis, Millis) = (true, 0, 0);

fn by_time(min: Millis, max: Millis) -> (bool, Millis, Millis) {
    (false, min, max)
}

fn ulid(path: &Path) -> Result<Ulid> {
    let parsed = path.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| {
        let path = path.display();
        Error::invalid(format!(
            "expected the ULID of a block beside --archive, found {path}"
        ))
    })
}
