//! Blocks of an archive in a directory: as they were, or as skeletons.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::Path;

use super::Need;
use crate::cli::context::Context;
use crate::error::{Error, Result};
use crate::inspect::MARK_FILES;
use crate::model::Ulid;
use crate::report;
use crate::repository::copies::Copies;
use crate::repository::{Archive, Repository, StoredBlock, StoredFile};
use crate::restore::{self, Salvage, Target, TargetContent, Wanted};
use crate::stored::{Detour, StoredReader, fetch_file};
use crate::wal::Log;

/// Largest small file (`meta.json`, tombstones) that is fetched for a skeleton, in bytes.
const MAX_SMALL: u64 = 16 << 20;

/// What came of an archive.
#[derive(Default)]
pub(super) struct Unpacked {
    /// What could not be read: the block's ULID or `wal`, and why.
    pub(super) unread: Vec<(String, String)>,
    /// Blocks of which only what can be read is there, and under which name.
    pub(super) salvaged: BTreeMap<Ulid, Ulid>,
    /// Whether of those something is missing that was asked for.
    pub(super) is_short: bool,
}

/// Brings what `need` says of the blocks `ulids` of `archive`, of all of them if none is named,
/// into the directory `dir`; with `logs` also those, if all are meant.
pub(super) fn unpack(
    copies: &Copies,
    archive: &Archive,
    ulids: &[Ulid],
    need: Need<'_>,
    logs: bool,
    dir: &Path,
    context: &Context<'_>,
) -> Result<Unpacked> {
    let wanted = if ulids.is_empty() {
        Wanted::Archive
    } else {
        Wanted::Blocks(ulids.iter().copied().collect())
    };
    let target = Target::new(dir, false)?;
    let logs = logs && ulids.is_empty();
    let mut plan = restore::plan(&wanted, archive, &[], logs, &TargetContent::default())?;
    if let Need::Samples(asked) = need {
        plan.salvage = Some(Salvage {
            asked: asked.clone(),
            bring: true,
            read_mode: context.read_mode,
        });
    }
    if matches!(need, Need::BlocksAndLogs) {
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

/// Brings the logs of `archive` into the directory `dir`.
///
/// # Errors
///
/// When they cannot be read, or there is no room for them.
pub(super) fn unpack_logs(
    copies: &Copies,
    archive: &Archive,
    dir: &Path,
    context: &Context<'_>,
) -> Result<()> {
    let target = Target::new(dir, false)?;
    let none = Wanted::Blocks(BTreeSet::new());
    let plan = restore::plan(&none, archive, &[], true, &TargetContent::default())?;
    target.refuse_without_room(&plan)?;
    let report = restore::apply(&plan, copies, &target, context.progress)?;
    for detour in &report.detours {
        context.progress.remark(&report::backup::detour(detour));
    }
    // Nothing else could come: what failed is an error.
    Ok(())
}

/// Makes empty logs, and blocks whose small files are real, and whose others have nothing but their
/// size. Whether a small file could not be read; it has been named, and nothing but its size is
/// there.
pub(super) fn sketch(
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
