//! Reading commands on stored blocks: a copy of what they need, in a temporary directory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::args::{REPO_VARIABLE, open_repository, parse_label};
use super::{Context, logs};
use crate::block::{BlockFiles, DataDir, read_meta};
use crate::error::{Error, Result};
use crate::inspect::MARK_FILES;
use crate::model::{Millis, TimeRange, Ulid, now};
use crate::raw::temporary_dir;
use crate::report;
use crate::repository::claim::NO_FILE;
use crate::repository::copies::Copies;
use crate::repository::{
    Archive, LeftOut, LeftOutKind, Repository, SourceFilter, StoredBlock, StoredFile,
};
use crate::restore::{self, Salvage, Target, TargetContent, Wanted};
use crate::select::Selection;
use crate::store::Location;
use crate::stored::StoredReader;
use crate::stored::{Detour, fetch_file};
use crate::wal::{Log, LogFacts};

/// Largest small file (`meta.json`, tombstones) that is fetched for a skeleton, in bytes.
const MAX_SMALL: u64 = 16 << 20;

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
    /// With --archive: directory of the repository; `NARTHEX_REPO` may say it instead
    // No `env` here: clap takes a variable that is set for an option that is given, and would ask
    // for --archive.
    #[arg(long, value_name = "REPO", requires = "archive", help_heading = ARCHIVE_HEADING)]
    repo: Option<Location>,
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
    let chosen = repository.find(selector, filter, now())?;
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

impl StoredArgs {
    /// Whether an archive is read, and not the directories themselves.
    pub(crate) fn is_of_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// The directories `paths`; or, with an archive, a copy of its blocks that `paths` name, all of
    /// them if none is named.
    pub(crate) fn open(
        &self,
        paths: &[PathBuf],
        need: Need<'_>,
        context: &Context<'_>,
    ) -> Result<Opened> {
        let Some(selector) = &self.archive else {
            return Ok(Opened::of_paths(paths.to_vec()));
        };
        let repository = open_repository(&self.location()?)?;
        let asked = match need {
            Need::Samples(selection) => selection.range,
            _ => TimeRange::ALL,
        };
        let (archive, doubts) = find(&repository, selector, &self.filter(), asked, context)?;
        let ulids = paths
            .iter()
            .map(|path| ulid(path))
            .collect::<Result<Vec<_>>>()?;
        let mut opened = Opened::of_archive(&repository, &archive, &ulids, need, context)?;
        opened.incomplete |= !doubts.is_empty();
        if paths.is_empty() {
            opened.incomplete |= remark_missed(&archive, context);
        }
        Ok(opened)
    }

    /// Names the logs beside the blocks that `paths` and the archive stand for, which the command
    /// does not read. Says whether that leaves out something of the range of time that was
    /// `asked` for, or everything.
    pub(crate) fn remark_unread(
        &self,
        paths: &[PathBuf],
        asked: Option<TimeRange>,
        context: &Context<'_>,
    ) -> Result<bool> {
        let Some(selector) = &self.archive else {
            return logs::remark_unread(paths, asked, context);
        };
        if !paths.is_empty() {
            return Ok(false);
        }
        let repository = open_repository(&self.location()?)?;
        let chosen = repository.find(selector, &self.filter(), now())?;
        Ok(logs::remark_unread_of(&chosen.archive, asked, context))
    }

    /// The blocks in the directories `paths`; or, with an archive, its blocks that `paths` name,
    /// all of them if none is named. They are sorted by their start. Those that hold nothing of
    /// the time that is `asked` for are left out; those whose metadata cannot be
    /// read come last.
    pub(crate) fn blocks(
        &self,
        paths: &[PathBuf],
        asked: &Selection,
        context: &Context<'_>,
    ) -> Result<Blocks> {
        let concerns = |min, max| asked.range.overlaps_block(min, max);
        let Some(selector) = &self.archive else {
            let mut dirs = Vec::new();
            for path in paths {
                let dir = DataDir::scan(path)?;
                dirs.extend(dir.blocks().map(|entry| entry.path.clone()));
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
            return Ok(Blocks::Dirs(
                blocks.into_iter().map(|(_, dir)| dir).collect(),
            ));
        };
        let repository = open_repository(&self.location()?)?;
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
        let doubtful = !doubts.is_empty() | (paths.is_empty() && remark_missed(&archive, context));
        Ok(Blocks::Stored {
            repository,
            archive: Box::new(archive),
            chosen,
            doubtful,
            asked: asked.clone(),
        })
    }

    fn filter(&self) -> SourceFilter {
        SourceFilter {
            host: self.host.clone(),
            source_name: self.source.clone(),
            labels: self.labels.iter().cloned().collect(),
        }
    }

    fn location(&self) -> Result<Location> {
        match (&self.repo, std::env::var(REPO_VARIABLE)) {
            (Some(typed), _) => Ok(typed.clone()),
            (None, Ok(set)) => set.parse(),
            (None, Err(_)) => Err(Error::invalid(format!(
                "expected --repo or {REPO_VARIABLE} beside --archive, found neither"
            ))),
        }
    }
}

/// After all that is [`by_time`].
const LAST: (bool, Millis, Millis) = (true, 0, 0);

fn by_time(min: Millis, max: Millis) -> (bool, Millis, Millis) {
    (false, min, max)
}

/// Blocks that are read one after the other.
#[derive(Debug)]
pub(crate) enum Blocks {
    /// Directories of blocks.
    Dirs(Vec<PathBuf>),
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
            Blocks::Dirs(dirs) => dirs.len(),
            Blocks::Stored { chosen, .. } => chosen.len(),
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
        let (repository, archive, chosen, doubtful, asked) = match self {
            Blocks::Dirs(dirs) => {
                let bytes = |dir: &PathBuf| BlockFiles::scan(dir).map_or(0, |files| files.bytes());
                let sizes: Vec<_> = dirs.iter().map(bytes).collect();
                context.progress.begin("read", Some(sizes.iter().sum()));
                for (dir, bytes) in dirs.iter().zip(sizes) {
                    visit(dir)?;
                    context.progress.advance(bytes);
                }
                context.progress.end();
                return Ok(Left::default());
            }
            Blocks::Stored {
                repository,
                archive,
                chosen,
                doubtful,
                asked,
            } => (repository, archive, chosen, *doubtful, asked),
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
            match unpack(&copies, archive, &[*ulid], need, &dir, context) {
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
        Ok(left)
    }
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

/// What came of an archive.
#[derive(Default)]
struct Unpacked {
    /// What could not be read: the block's ULID or `wal`, and why.
    unread: Vec<(String, String)>,
    /// Blocks of which only what can be read is there, and under which name.
    salvaged: BTreeMap<Ulid, Ulid>,
    /// Whether of those something is missing that was asked for.
    is_short: bool,
}

fn unpack(
    copies: &Copies,
    archive: &Archive,
    ulids: &[Ulid],
    need: Need<'_>,
    dir: &Path,
    context: &Context<'_>,
) -> Result<Unpacked> {
    let wanted = if ulids.is_empty() {
        Wanted::Archive
    } else {
        Wanted::Blocks(ulids.iter().copied().collect())
    };
    let target = Target::new(dir, false)?;
    let with_logs = matches!(need, Need::BlocksAndLogs);
    let logs = with_logs && ulids.is_empty();
    let mut plan = restore::plan(&wanted, archive, &[], logs, &TargetContent::default())?;
    if let Need::Samples(asked) = need {
        plan.salvage = Some(Salvage {
            asked: asked.clone(),
            bring: true,
            read_mode: context.read_mode,
        });
    }
    if with_logs {
        // What is verified are the archive's own blocks.
        plan.kin_of = None;
    }
    target.refuse_without_room(&plan)?;
    let report = restore::apply(&plan, copies, &target, context.progress)?;
    for detour in &report.detours {
        context.progress.remark(&report::backup::detour(detour));
    }
    for (stand_in, reason) in report.stand_ins.iter().zip(&report.reasons) {
        context
            .progress
            .remark(&report::backup::stand_in(stand_in, reason));
    }
    for mixed in &report.mixed {
        context.progress.remark(&report::backup::mixed(mixed));
    }
    let failed = report.failed.iter();
    let unread: Vec<_> = failed
        .map(|failed| (failed.name.clone(), failed.error.chain()))
        .collect();
    for (name, error) in &unread {
        context.progress.remark(&format_args!("{name}: {error}"));
    }
    let mut unpacked = Unpacked {
        unread,
        is_short: !report.mixed.is_empty() || report.stand_ins.iter().any(|one| one.undeleted),
        ..Unpacked::default()
    };
    for salvaged in &report.salvaged {
        for line in report::backup::salvaged(salvaged) {
            context.progress.remark(&line);
        }
        unpacked.is_short |= salvaged.is_short;
        let made = salvaged.block.map(|made| (salvaged.original, made.ulid));
        unpacked.salvaged.extend(made);
    }
    Ok(unpacked)
}

/// Makes empty logs, and blocks whose small files are real, and whose others have nothing but their
/// size. Whether a small file could not be read; it has been named, and nothing but its size is
/// there.
fn sketch(
    repository: &Repository,
    archive: &Archive,
    ulids: &[Ulid],
    dir: &Path,
    context: &Context<'_>,
) -> Result<bool> {
    let mut incomplete = false;
    let copies = Copies::new(repository)?;
    fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
    let known: BTreeSet<Ulid> = archive.blocks.iter().map(|block| block.ulid).collect();
    for ulid in ulids {
        if !known.contains(ulid) {
            let id = archive.id.short();
            return Err(Error::not_found(format!(
                "archive {id} has no block {ulid}"
            )));
        }
    }
    let wal = archive.wal.as_ref().filter(|_| ulids.is_empty());
    for name in [Log::Wal, Log::Wbl].map(Log::name) {
        // Nothing is in it: what the logs hold stands in the manifest.
        let is_in = |file: &StoredFile| Path::new(file.name.as_str()).starts_with(name);
        if wal.is_some_and(|wal| wal.files.iter().any(is_in)) {
            let path = dir.join(name);
            fs::create_dir(&path).map_err(|e| Error::io("create", &path, e))?;
        }
    }
    let ulids: BTreeSet<&Ulid> = ulids.iter().collect();
    let chosen = |block: &&StoredBlock| ulids.is_empty() || ulids.contains(&block.ulid);
    for block in archive.blocks.iter().filter(chosen) {
        let dir = dir.join(block.ulid.to_string());
        for file in &block.files {
            let path = dir.join(&file.name);
            let parent = path.parent().unwrap_or(&dir);
            fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
            let made = File::create_new(&path).and_then(|made| made.set_len(file.bytes));
            made.map_err(|e| Error::io("create", &path, e))?;
        }
        let reader = StoredReader::new(repository.store(), block);
        let small = |file: &&StoredFile| is_small(file.name.as_str()) && !file.packed;
        for file in block.files.iter().filter(small) {
            let content = match reader.content(file, MAX_SMALL) {
                Ok(content) => content,
                Err(damage) => match fetch_file(&copies, block, file, MAX_SMALL) {
                    Ok((content, from)) => {
                        context.progress.remark(&report::backup::detour(&Detour {
                            name: format!("{} of {}", file.name, block.ulid),
                            reason: damage,
                            from,
                        }));
                        content
                    }
                    Err(error) => {
                        let (name, ulid) = (&file.name, block.ulid);
                        let error = error.chain();
                        context
                            .progress
                            .remark(&format_args!("{name} of {ulid}: {error}"));
                        incomplete = true;
                        continue;
                    }
                },
            };
            let path = dir.join(&file.name);
            fs::write(&path, content).map_err(|e| Error::io("write", &path, e))?;
        }
    }
    Ok(incomplete)
}

fn is_small(name: &str) -> bool {
    ["meta.json", "tombstones"].contains(&name) || MARK_FILES.contains(&name)
}
