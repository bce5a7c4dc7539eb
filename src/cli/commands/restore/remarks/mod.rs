//! What a restore tells beside what it brings back.

mod logs;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;

use crate::cli::stored::missed_text;
use crate::error::Result;
use crate::model::{MAX_META_BYTES, TimeRange, Ulid};
use crate::report::{self, Value};
use crate::repository::copies::Copies;
use crate::repository::lineage::stream;
use crate::repository::{
    Archive, ArchiveGap, LeftOutKind, Repository, SourceFilter, StoredBlock, learn_streams,
    read_meta,
};
use crate::restore::{
    self, HeadPlan, Permissions, ProblemKind, RestorePlan, Target, TargetContent, Wanted,
};
use crate::stored::fetch_file;
use crate::units::count_text;
pub(super) use logs::remark_wal;
pub(super) use told::Told;

/// Says what came otherwise than it should, or not at all.
pub(super) fn remark_report(report: &restore::RestoreReport, wanted: &Wanted, told: &Told<'_>) {
    for detour in &report.detours {
        told.tell(ProblemKind::Detour.at(detour.name.as_str(), report::backup::detour(detour)));
    }
    for failed in &report.failed {
        let (name, error) = (&failed.name, failed.error.chain());
        let hint = failed.hint();
        told.tell(ProblemKind::NotRestored.at(
            name.as_str(),
            format!("{name} could not be restored{hint}: {error}"),
        ));
    }
    for ulid in &report.beside {
        told.tell(ProblemKind::PartOnly.at(ulid.to_string(), format!(
            "block {ulid} comes in the place of what could not be restored, of which it holds a part"
        )));
    }
    for mixed in &report.mixed {
        told.tell(ProblemKind::Mixed.at(mixed.name.as_str(), report::backup::mixed(mixed)));
    }
    let broken = report.head.iter().flat_map(|head| &head.broken);
    for broken in broken {
        told.tell(ProblemKind::HeadShort.at("head", format!(
            "{broken}: what follows it in this log is in no block; --head log brings the log itself back"
        )));
    }
    let unknown = report.head.as_ref().map_or(0, |head| head.unknown);
    if unknown > 0 {
        told.tell(ProblemKind::HeadUnknown.at("head", format!(
            "{} samples of the log are of series that nothing defines: no start of Prometheus reads them, and they are in no block",
            count_text(unknown)
        )));
    }
    if let Some(error) = &report.left_behind {
        let error = error.chain();
        told.tell(ProblemKind::StageLeft.at("", format!(
            "everything is restored, and a hidden directory is left, which may be removed: {error}"
        )));
    }
    for salvaged in &report.salvaged {
        for line in report::backup::salvaged(salvaged) {
            told.tell(ProblemKind::Salvaged.at(salvaged.original.to_string(), line));
        }
    }
    // Of an archive its own blocks are asked for, of a range of time its samples.
    let is_range = matches!(wanted, Wanted::Range(_));
    for (stand_in, reason) in report.stand_ins.iter().zip(&report.reasons) {
        let text = report::backup::stand_in(stand_in, reason);
        told.say(
            !is_range || stand_in.undeleted,
            ProblemKind::StandIn.at(stand_in.ulid.to_string(), text),
        );
    }
}

/// Names blocks that are in the target already, and are not what any of `stored` is.
pub(super) fn remark_different<'a>(
    target: &Target,
    plan: &RestorePlan<'_>,
    stored: impl Iterator<Item = &'a StoredBlock>,
    told: &Told<'_>,
) {
    let mut variants: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for block in stored {
        variants.entry(block.ulid).or_default().push(block);
    }
    // The samples of others are there in other blocks.
    let there: BTreeSet<Ulid> = plan.present.iter().map(|kin| kin.ulid).collect();
    let already = plan.already_there.iter();
    for ulid in already.filter(|ulid| there.contains(ulid)) {
        let mut variants = variants.get(ulid).into_iter().flatten();
        let differences: Option<Vec<_>> = variants.try_fold(Vec::new(), |mut all, block| {
            all.push(target.difference(block)?);
            Some(all)
        });
        let Some(difference) = differences.and_then(|them| them.into_iter().next()) else {
            continue;
        };
        told.tell(ProblemKind::BlockDiffers.at(ulid.to_string(), format!(
            "block {ulid} is in {} already, but not as it was archived, and is not restored: {difference}; --replace-damaged instead of --add-missing verifies it, and replaces it if it is damaged",
            target.dir().display()
        )));
    }
}

/// Says so if the target has logs that are not those of `archive`: by the names and sizes of their
/// files.
pub(super) fn remark_other_logs(
    plan: &RestorePlan<'_>,
    archive: &Archive,
    target: &Target,
    told: &Told<'_>,
) {
    let Some(wal) = archive.wal.as_ref().filter(|_| plan.has_wal) else {
        return;
    };
    let dir = target.dir();
    let differs = wal.files.iter().find(|file| {
        let there = std::fs::symlink_metadata(dir.join(file.name.as_str()));
        !there.is_ok_and(|there| there.is_file() && there.len() == file.bytes)
    });
    if let Some(file) = differs {
        told.tell(ProblemKind::LogDiffers.at(file.name.as_str(), format!(
            "there is a log in {} already, and it is not the one that was archived ({} is not there, or has another size): the archived one is not restored, \
             and what only it holds does not come back; move wal and wbl away and restore again, or say --no-wal",
            dir.display(),
            file.name
        )));
    }
}

/// Names blocks that were asked for by their ULIDs and are in the target already: nobody has looked
/// whether they are sound.
pub(super) fn remark_there(
    plan: &RestorePlan<'_>,
    wanted: &Wanted,
    target: &Target,
    told: &Told<'_>,
) {
    if !matches!(wanted, Wanted::Blocks(_)) {
        return;
    }
    // The samples of others are there in other blocks.
    let there: BTreeSet<Ulid> = plan.present.iter().map(|kin| kin.ulid).collect();
    let already = plan.already_there.iter();
    for ulid in already.filter(|ulid| there.contains(ulid)) {
        told.tell(ProblemKind::BlockThere.at(ulid.to_string(), format!(
            "block {ulid} is in {} already and is not restored: only the names and sizes of its files were compared; --replace-damaged instead of --add-missing verifies it, and replaces it if it is damaged",
            target.dir().display()
        )));
    }
}

/// Names blocks that were damaged when they were archived, and what becomes of them.
pub(super) fn remark_damaged(plan: &RestorePlan<'_>, wanted: &Wanted, told: &Told<'_>) {
    let hint = match wanted {
        Wanted::Range(_) => "",
        Wanted::Archive | Wanted::Blocks(_) => " (--as-archived brings it as it was)",
    };
    for replaced in &plan.replaced {
        let text = report::backup::replaced(replaced);
        told.tell(
            ProblemKind::BlockReplaced.at(replaced.ulid.to_string(), format!("{text}{hint}")),
        );
    }
    for block in plan.damaged() {
        let kinds: Vec<_> = block.findings.by_kind.keys().map(String::as_str).collect();
        let then = if plan.cuts(block) {
            "cannot be cut"
        } else {
            "comes back as it was"
        };
        told.tell(ProblemKind::BlockDamaged.at(
            block.ulid.to_string(),
            format!(
                "block {} was damaged when it was archived and {then}: {}",
                block.ulid,
                kinds.join(", ")
            ),
        ));
    }
}

/// Says so if what is restored by root will not belong to the owner of the target, or of what is
/// above it.
pub(super) fn remark_owner(target: &Target, permissions: Permissions, told: &Told<'_>) {
    let own = nix::unistd::Uid::effective();
    let dir = target.existing();
    let Ok(there) = std::fs::metadata(dir) else {
        return;
    };
    let owner = permissions.owner.map_or(own.as_raw(), |(user, _)| user);
    if own.is_root() && there.uid() != owner {
        let (dir, user, mode) = (dir.display(), user_text(there.uid()), permissions.mode);
        told.tell(ProblemKind::OwnerDiffers.at(dir.to_string(), format!(
            "what is restored belongs to {} ({mode:04o}), and {dir} to {user}: a server that runs as {user} cannot read it unless it is given to it, with --chown {user} or chown -R",
            user_text(owner)
        )));
    }
}

/// The name of a user, or the number of one that is not known.
fn user_text(number: u32) -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(number));
    user.ok()
        .flatten()
        .map_or_else(|| number.to_string(), |user| user.name)
}

/// Says so if there is no room for `plan`.
pub(super) fn remark_room(plan: &RestorePlan<'_>, target: &Target, told: &Told<'_>) {
    if let Err(error) = target.refuse_without_room(plan) {
        let dir = target.dir().display().to_string();
        told.tell(ProblemKind::NoRoom.at(dir, error.chain()));
    }
}

/// Names what the backup could not archive, unless another archive holds it.
pub(super) fn remark_missed(
    wanted: &Wanted,
    archive: &Archive,
    chain: &[Archive],
    plan: &RestorePlan<'_>,
    told: &Told<'_>,
) {
    let is_range = match wanted {
        Wanted::Archive => false,
        Wanted::Range(_) => true,
        Wanted::Blocks(_) => return,
    };
    // By itself, or by a block that was made of it. That no time is without a block says nothing:
    // blocks may overlap. Of what holds a part of its sources, nobody knows whether it held
    // more.
    let mut held = BTreeSet::new();
    for block in chain.iter().flat_map(|archive| &archive.blocks) {
        held.insert(block.ulid);
        let stream = stream(block);
        if !stream.is_aggregate() && !stream.selected && stream.shard().is_none() {
            held.extend(block.sources.iter().chain(&block.parents).copied());
        }
    }
    let uncovered = uncovered(plan, range(wanted));
    for left_out in archive.left_out.iter().filter(|left| left.is_missed()) {
        let name = &left_out.name;
        let of = name.split('/').next().unwrap_or(name);
        let may_lack = match of.parse() {
            Ok(ulid) => !is_range || !held.contains(&ulid),
            Err(_) => {
                !is_range || plan.wal.is_some() || plan.head.is_some() || !uncovered.is_empty()
            }
        };
        if left_out.kind() == LeftOutKind::Unknown || may_lack {
            told.tell(ProblemKind::Missed.at(name.as_str(), missed_text(left_out)));
        }
    }
}

/// Fills in what blocks hold of their sources where manifests of earlier versions do not say and it
/// matters: of blocks that may hold the same, and of those that come back.
pub(super) fn learn(
    copies: &Copies,
    wanted: &Wanted,
    archive: &mut Archive,
    chain: &mut [Archive],
    with_wal: bool,
    present: &TargetContent,
    told: &Told<'_>,
) -> Result<()> {
    let read = |block: &StoredBlock| {
        read_meta(copies.store(), block).or_else(|error| {
            let mut files = block.files.iter();
            let meta = files.find(|file| file.name.as_str() == "meta.json");
            let found = meta.map(|meta| fetch_file(copies, block, meta, MAX_META_BYTES));
            found.and_then(Result::ok).map(|found| found.0).ok_or(error)
        })
    };
    let mut asked = BTreeSet::new();
    let mut failed = BTreeSet::new();
    if !matches!(wanted, Wanted::Range(_)) {
        // Where there is a chain, its blocks may come in the place of damaged ones.
        let all = chain.iter().flat_map(|archive| &archive.blocks);
        asked.extend(all.map(|block| block.ulid));
    }
    loop {
        for archives in [&mut *chain, std::slice::from_mut(&mut *archive)] {
            for (ulid, error) in learn_streams(&read, archives, &asked) {
                if failed.insert(ulid) {
                    let error = error.chain();
                    told.tell(ProblemKind::SourcesUnknown.at(
                        ulid.to_string(),
                        format!("block {ulid}: cannot read what it holds of its sources: {error}"),
                    ));
                }
            }
        }
        let plan = restore::plan(wanted, archive, chain, with_wal, present)?;
        let unknown = plan.blocks.iter().filter(|b| b.resolution.is_none());
        let before = asked.len();
        asked.extend(unknown.map(|block| block.ulid));
        if asked.len() == before {
            return Ok(());
        }
    }
}

/// Says what was chosen of blocks that hold the same, or do not go together.
pub(super) fn remark_choice(plan: &RestorePlan<'_>, wanted: &Wanted, told: &Told<'_>) {
    for block in &plan.aggregates_left_out {
        let (ulid, every) = (block.ulid, resolution_text(block));
        told.tell(ProblemKind::AggregatesLeftOut.at(ulid.to_string(), format!(
            "block {ulid} holds aggregates of {every} and is left out: finer blocks hold its time"
        )));
    }
    for ulids in &plan.doubtful {
        let ulids: Vec<_> = ulids.iter().map(ToString::to_string).collect();
        let ulids = ulids.join(", ");
        told.tell(ProblemKind::SameSources.at(
            ulids.as_str(),
            format!(
                "blocks of the same sources may be parts or copies, and all are taken: {ulids}"
            ),
        ));
    }
    for block in &plan.excluded {
        let ulid = block.ulid;
        told.tell(ProblemKind::BlockExcluded.at(ulid.to_string(), format!(
            "block {ulid} holds samples that nothing else does and is left out: Prometheus would delete it, or its parent, \
             beside the others; restore it alone with --block {ulid}"
        )));
    }
    // The archive as it is is what was asked for.
    let is_archive = !matches!(wanted, Wanted::Range(_)) && plan.exact.is_none();
    for block in plan.aggregates() {
        let (ulid, every) = (block.ulid, resolution_text(block));
        let whole = match plan.exact {
            Some(_) => "; it is not cut and comes back whole",
            None => "",
        };
        told.say(!is_archive, ProblemKind::Aggregates.at(ulid.to_string(), format!(
            "block {ulid} holds aggregates of {every}: a Prometheus starts with it, and cannot answer queries of its time{whole}"
        )));
    }
}

/// How far apart the samples of a block of aggregates are.
pub(super) fn resolution_text(block: &StoredBlock) -> Value {
    Value::Duration(block.resolution.unwrap_or(0))
}

/// The time that is wanted.
pub(super) fn range(wanted: &Wanted) -> TimeRange {
    match wanted {
        Wanted::Range(range) => *range,
        Wanted::Archive | Wanted::Blocks(_) => TimeRange::ALL,
    }
}

/// The gaps between the blocks of `plan`, and what of `range` lies before and behind all of them.
fn uncovered(plan: &RestorePlan<'_>, range: TimeRange) -> Vec<ArchiveGap> {
    let head = plan.head.as_ref().and_then(HeadPlan::times);
    let begins = plan.blocks.iter().map(|block| block.min_time);
    let begins = begins.chain(head.map(|(first, _)| first));
    let ends = plan.blocks.iter().map(|block| block.max_time);
    let ends = ends.chain(head.map(|(_, last)| last.saturating_add(1)));
    let (first, last) = (begins.min(), ends.max());
    let before = ArchiveGap {
        min_time: range.since,
        max_time: first.unwrap_or(range.until),
    };
    let behind = ArchiveGap {
        min_time: last.unwrap_or(range.until),
        max_time: range.until,
    };
    let edges = [before, behind].into_iter();
    let edges = edges.filter(|gap| gap.min_time < gap.max_time);
    plan.gaps.iter().copied().chain(edges).collect()
}

/// All archives of the same source as `archive` that fit `filter`. A name may have moved from one
/// host to another, with its blocks or without them: that is said.
pub(super) fn chain(
    repository: &Repository,
    archive: &Archive,
    filter: &SourceFilter,
    told: &Told<'_>,
) -> Result<Vec<Archive>> {
    let mut all = repository.archives()?;
    for damaged in &all.damaged {
        told.tell(ProblemKind::ManifestUnread.at(damaged.name.as_str(), damaged.error.chain()));
    }
    all.archives
        .retain(|other| other.source_name == archive.source_name && filter.matches(other));
    let hosts: BTreeSet<_> = all.archives.iter().map(|other| &*other.host).collect();
    if hosts.len() > 1 {
        let hosts: Vec<_> = hosts.into_iter().collect();
        told.tell(ProblemKind::SeveralHosts.at("", format!(
            "{} was archived on several hosts ({}), whose archives are taken together: --host takes those of one",
            archive.source_name,
            hosts.join(", ")
        )));
    }
    Ok(all.archives)
}
