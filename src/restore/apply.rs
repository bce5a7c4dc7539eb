//! Carrying a plan out.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::exact::CutOutcome;
use super::plan::RestorePlan;
use super::salvage::{Relatives, Salvaged};
use super::stage::{LOGS, Stage, Target};
use super::stand_in::{Cover, Past, StandIn, stand_ins};
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::model::{Millis, Succession, TimeRange, Ulid};
use crate::progress::Progress;
use crate::repository::copies::Copies;
use crate::repository::lineage::{gaps, is_damaged, kin};
use crate::repository::portable::{Root, read_stored, spread};
use crate::repository::{
    Archive, ArchiveGap, FilePath, StoredBlock, StoredFile, StoredObject, StoredWal, expect_blocks,
};
use crate::stored::StoredReader;
use crate::stored::{Detour, Fetched, Sink as _, fetch_block, fetch_wal};

/// What a restore did.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// Blocks that are in the target now, under the ULIDs they have there.
    pub blocks: Vec<Ulid>,
    /// What became of the blocks that were to be cut.
    pub cut: Vec<CutOutcome>,
    /// Whether the WAL is.
    pub wal: bool,
    /// Bytes that were written.
    pub bytes: u64,
    /// Begin and end, exclusive, of the time that these blocks and logs are of, as far as
    /// manifests say.
    pub time: Option<(Millis, Millis)>,
    /// What could not be restored.
    pub failed: Vec<Failed>,
    /// What came whole, and not from its own objects alone.
    pub detours: Vec<Detour>,
    /// Blocks that could not be restored, and those that came in their place and hold the same
    /// samples.
    pub stand_ins: Vec<StandIn>,
    /// What was wrong with the former.
    pub reasons: Vec<Failed>,
    /// What could be read of blocks that could not be restored, and came as new blocks.
    pub salvaged: Vec<Salvaged>,
    /// Blocks of which not all small files could be read, and that came with those of another
    /// archive; and what is wrong with their own.
    pub mixed: Vec<Failed>,
    /// Blocks that came in the place of lost ones and hold a part of what those held.
    pub beside: Vec<Ulid>,
    /// Time of blocks that could not be restored, and that no block holds now.
    pub holes: Vec<ArchiveGap>,
    /// Why the hidden directory could not be removed.
    pub left_behind: Option<Error>,
}

/// Something that could not be restored, and why.
#[derive(Debug)]
pub struct Failed {
    /// The block's ULID, or `wal`.
    pub name: String,
    /// What is wrong with it.
    pub error: Error,
    /// Whether something can be read of it, and that was not asked for.
    pub salvageable: bool,
}

/// Brings back what `plan` says, from the repository of `copies` into `target`. What is damaged is
/// looked for in all of the repository.
///
/// # Errors
///
/// When the target fails (disk full, permission denied, a name that is taken), in which case
/// nothing that was staged is left; or when nothing at all could be restored, or nothing is left of
/// blocks that are cut. Damage in the repository is not an error as long as anything else is
/// restored: the report names it.
pub fn apply(
    plan: &RestorePlan<'_>,
    copies: &Copies,
    target: &Target,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    let known = OnceCell::new();
    let stage = Stage::new(target, plan.permissions)?;
    progress.begin("restore", Some(plan.bytes()));
    let work = Work::new(copies, &stage, progress);
    let mut report = RestoreReport::default();
    let bytes = |block: &&StoredBlock| block.bytes();
    let mut done: Vec<(&StoredBlock, Staged)> = Vec::new();
    let mut lost: Vec<(&StoredBlock, Error)> = Vec::new();
    let mut queue = plan.blocks.clone();
    let planned: BTreeSet<_> = plan.blocks.iter().map(|block| block.ulid).collect();
    let mut seen: BTreeSet<Ulid> = BTreeSet::new();
    // Each round has other blocks than those before, so it ends.
    while !queue.is_empty() {
        let is_first = seen.is_empty();
        seen.extend(queue.iter().map(|block| block.ulid));
        expect_blocks(copies.store(), &queue);
        let outcomes = spread(&queue, bytes, |block| match &plan.exact {
            Some(exact) if exact.cuts(block) => work.stage_cut(block, exact),
            _ => work.stage_whole(block),
        })?;
        let mut came = Vec::new();
        for (block, outcome) in queue.drain(..).zip(outcomes) {
            match outcome {
                Ok(staged) => came.push((block, staged)),
                Err(error) => lost.push((block, error)),
            }
        }
        if is_first {
            done = came;
        } else {
            let past = known.get_or_init(Past::default);
            lost.extend(put_beside(&mut done, came, past));
        }
        if let Some(source) = plan.kin_of.as_ref().filter(|_| !lost.is_empty()) {
            let all = || copies.archives().iter();
            let blocks = |archive| {
                let archive: &Archive = archive;
                &archive.blocks
            };
            let past = known.get_or_init(|| {
                Past::of(all().flat_map(blocks).chain(plan.blocks.iter().copied()))
            });
            let mut present: Vec<_> = done.iter().map(|(block, _)| kin(block)).collect();
            present.extend(plan.present.iter().cloned());
            // The target is not to lose what it holds.
            let there = |ulid: &Ulid| plan.present.iter().any(|kin| kin.ulid == *ulid);
            let find = |lost: &[&StoredBlock], is_near: bool| {
                let near = all().filter(|archive| !is_near || archive.source_name == *source);
                let mut found = stand_ins(near.flat_map(blocks), lost, &seen, &present, past);
                found.retain(|block| !block.parents.iter().any(there));
                found
            };
            // What only those hold that came in their place and failed as well, nobody asked for.
            let asked = lost
                .iter()
                .filter(|(block, _)| planned.contains(&block.ulid));
            let mut gone: Vec<_> = asked.map(|(block, _)| *block).collect();
            queue = find(&gone, true);
            if queue.is_empty() {
                // A server may have been archived under another name before.
                let came: Vec<_> = done.iter().map(|(block, _)| *block).collect();
                let cover = Cover::of(&came, past);
                gone.retain(|block| cover.by(block).is_none());
                queue = find(&gone, false);
            }
        }
    }
    let came: Vec<_> = done.iter().map(|(block, _)| *block).collect();
    let past = known.get_or_init(Past::default);
    let cover = Cover::of(if lost.is_empty() { &[] } else { &came }, past);
    for (block, error) in lost {
        if let Some(mut stand_in) = cover.by(block) {
            if planned.contains(&block.ulid) {
                if let Some(source) = &plan.kin_of {
                    stand_in.sources = foreign(copies, &stand_in.by, source);
                }
                report.reasons.push(Failed {
                    name: block.ulid.to_string(),
                    error,
                    salvageable: false,
                });
                report.stand_ins.push(stand_in);
            }
        } else if planned.contains(&block.ulid) {
            let (error, salvaged) = work.salvage_lost(plan, block, error)?;
            if let Some(mut salvaged) = salvaged {
                salvaged.reason = error;
                report.salvaged.push(salvaged);
            } else {
                report.failed.push(Failed {
                    name: block.ulid.to_string(),
                    error,
                    salvageable: work.may_salvage(plan, block),
                });
            }
        }
    }
    let mut staged = Vec::new();
    let originals = plan.blocks.iter().map(|block| (block.ulid, *block));
    let originals: BTreeMap<Ulid, &StoredBlock> = originals.collect();
    let came = report.salvaged.iter().filter(|it| it.block.is_some());
    let came: Vec<_> = came
        .filter_map(|it| originals.get(&it.original).copied())
        .collect();
    for block in came {
        report.cover((block.min_time, block.max_time));
    }
    for salvaged in &report.salvaged {
        staged.extend(salvaged.block.map(|made| (made.ulid, made.bytes)));
        if salvaged.others.is_empty() {
            continue;
        }
        // What was read for it stands in for nothing any more.
        let original = originals.get(&salvaged.original);
        done.retain(|(other, _)| {
            planned.contains(&other.ulid)
                || !salvaged.others.contains(&other.ulid)
                || original.is_none_or(|block| !kin(other).atoms.is_subset(&kin(block).atoms))
        });
    }
    let named: BTreeSet<_> = report.stand_ins.iter().flat_map(|it| &it.by).collect();
    let others = done.iter().map(|(block, _)| block.ulid);
    let others = others.filter(|ulid| !planned.contains(ulid) && !named.contains(ulid));
    report.beside = others.collect();
    for failed in &report.failed {
        let ulid = failed.name.parse::<Ulid>().ok();
        if let Some(block) = ulid.and_then(|ulid| originals.get(&ulid)) {
            let range = TimeRange {
                since: block.min_time,
                until: block.max_time,
            };
            let there = done.iter().map(|(block, _)| *block);
            report.holes.extend(gaps(there, range));
        }
    }
    for (block, outcome) in done {
        if !matches!(&outcome, Staged::Cut(CutOutcome { block: None, .. })) {
            let whole = (block.min_time, block.max_time);
            let exact = plan.exact.as_ref().filter(|exact| exact.cuts(block));
            report.cover(exact.map_or(whole, |exact| {
                let range = exact.part.range;
                (whole.0.max(range.since), whole.1.min(range.until))
            }));
        }
        match outcome {
            Staged::Whole => staged.push((block.ulid, block.bytes())),
            Staged::Cut(cut) => {
                staged.extend(cut.block.map(|made| (made.ulid, made.bytes)));
                report.cut.push(cut);
            }
        }
    }
    let mut logs = Vec::new();
    if let Some(wal) = plan.wal {
        match work.stage_wal(wal, plan.kin_of.as_deref())? {
            Ok(staged) => logs = staged,
            // Half a log is worse than none: Prometheus refuses to start, or cuts it.
            Err(error) => report.fail("wal".to_owned(), error),
        }
    }
    progress.end();
    (report.detours, report.mixed) = work.told();
    if staged.is_empty()
        && logs.is_empty()
        && let Some(failed) = report.failed.pop()
    {
        let name = &failed.name;
        let hint = failed.hint();
        let nothing = format!("nothing could be restored: {name}{hint}");
        return Err(failed.error.context(nothing));
    }
    let count = report.cut.len() + report.salvaged.len();
    if staged.is_empty() && logs.is_empty() && count > 0 {
        return Err(Error::not_found(format!(
            "nothing is left of the {count} blocks of this time: no series that is selected has a sample there"
        )));
    }
    for (ulid, bytes) in staged {
        let name = ulid.to_string();
        stage.publish(&name, &name)?;
        report.blocks.push(ulid);
        report.bytes = report.bytes.saturating_add(bytes);
    }
    // A WAL says that the restore is complete: nothing of it may survive a power cut that a block
    // does not.
    stage.sync()?;
    for log in logs {
        stage.publish(&format!("{STAGED_LOGS}/{log}"), log)?;
        report.wal = true;
    }
    let times = |wal: &StoredWal| wal.min_time.zip(wal.end());
    if let Some((first, last)) = plan.wal.filter(|_| report.wal).and_then(times) {
        report.cover((first, last.saturating_add(1)));
    }
    report.left_behind = stage.finish()?;
    Ok(report)
}

impl Failed {
    /// What to do about it, behind its name.
    pub fn hint(&self) -> &'static str {
        if self.salvageable {
            " (--salvage brings back what can be read of it)"
        } else {
            ""
        }
    }
}

impl RestoreReport {
    fn cover(&mut self, (begin, end): (Millis, Millis)) {
        let (first, last) = self.time.unwrap_or((begin, end));
        self.time = Some((first.min(begin), last.max(end)));
    }

    fn fail(&mut self, name: String, error: Error) {
        self.failed.push(Failed {
            name,
            error,
            salvageable: false,
        });
    }
}

/// Most rounds in which blocks that would cost others are left out one after the other, before all
/// of them are.
const MAX_ROUNDS: usize = 8;

/// Puts `came`, which stands in for what is lost, beside what is `done`, and takes blocks out of
/// which it holds everything together: Prometheus would delete them, for they are parents. Of what
/// came, that is left out which would cost a parent that is not held so. Gives what was taken out.
fn put_beside<'b>(
    done: &mut Vec<(&'b StoredBlock, Staged)>,
    mut came: Vec<(&'b StoredBlock, Staged)>,
    past: &Past,
) -> Vec<(&'b StoredBlock, Error)> {
    let mut replaced = BTreeMap::new();
    for round in 0..=MAX_ROUNDS {
        let all = done.iter().chain(&came).map(|(block, _)| *block);
        let there: BTreeSet<Ulid> = all.clone().map(|block| block.ulid).collect();
        let succession = Succession::of(all.map(|block| past.kin(block)));
        let parents = |block: &StoredBlock| -> BTreeSet<Ulid> {
            let parents = block.parents.iter().copied();
            parents
                .filter(|parent| *parent != block.ulid && there.contains(parent))
                .collect()
        };
        let named = came.iter().flat_map(|(block, _)| parents(block));
        replaced = named
            .map(|parent| (parent, succession.heirs(parent, None)))
            .collect();
        let is_kept = |parent: &Ulid| {
            let heirs = replaced.get(parent);
            round == MAX_ROUNDS || heirs.is_none_or(BTreeSet::is_empty)
        };
        let before = came.len();
        came.retain(|(block, _)| !parents(block).iter().any(is_kept));
        if came.len() == before {
            break;
        }
        replaced.clear();
    }
    let why = |block: &StoredBlock| {
        let heirs = replaced.get(&block.ulid)?;
        let heirs: Vec<_> = heirs.iter().map(ToString::to_string).collect();
        let heirs = heirs.join(", ");
        Some(Error::refused(format!(
            "a Prometheus would delete it beside {heirs}, which came in the place of another block"
        )))
    };
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for (block, staged) in done.drain(..).chain(came) {
        match why(block) {
            Some(error) => gone.push((block, error)),
            None => kept.push((block, staged)),
        }
    }
    *done = kept;
    gone
}

/// The sources of which archives have those of `blocks` that no archive of `source` has.
fn foreign(copies: &Copies, blocks: &[Ulid], source: &str) -> BTreeSet<String> {
    let names = blocks.iter().filter_map(|ulid| {
        let names = copies.sources_of(*ulid);
        if names.contains(source) {
            None
        } else {
            names.first().map(|name| (*name).to_owned())
        }
    });
    names.collect()
}

/// What became of one block, or of the logs: its own damage, or staged.
pub(super) type Outcome<T = ()> = Result<T>;

/// How a block is staged.
pub(super) enum Staged {
    /// As it was.
    Whole,
    /// What is wanted of it.
    Cut(CutOutcome),
}

pub(super) struct Work<'a> {
    pub(super) copies: &'a Copies,
    pub(super) stage: &'a Stage,
    progress: &'a dyn Progress,
    pub(super) relatives: OnceLock<Relatives<'a>>,
    detours: Mutex<Vec<Detour>>,
    mixed: Mutex<Vec<Failed>>,
}

impl<'a> Work<'a> {
    pub(super) fn new(copies: &'a Copies, stage: &'a Stage, progress: &'a dyn Progress) -> Self {
        Work {
            copies,
            stage,
            progress,
            relatives: OnceLock::new(),
            detours: Mutex::default(),
            mixed: Mutex::default(),
        }
    }

    /// What came in another way than straight from its own objects, and what came with small files
    /// of another archive.
    pub(super) fn told(self) -> (Vec<Detour>, Vec<Failed>) {
        let (detours, mixed) = (self.detours.into_inner(), self.mixed.into_inner());
        (
            detours.unwrap_or_else(PoisonError::into_inner),
            mixed.unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn stage_whole(&self, block: &StoredBlock) -> Result<Outcome<Staged>> {
        let staged = self.stage_block(block, &block.ulid.to_string())?;
        Ok(staged.map(|()| Staged::Whole))
    }

    /// Stages `block` as it was, under `name`.
    pub(super) fn stage_block(&self, block: &StoredBlock, name: &str) -> Result<Outcome> {
        let mut writer = self.stage.writer(name)?;
        let counted = Counted::of(self.progress);
        let straight = match self.doubt(block.objects()) {
            Some(doubt) => Err(doubt),
            None => self.write_block(block, &mut writer, &counted),
        };
        let staged = match straight {
            Err(damage) if !writer.has_failed() => self.fetch_block(block, damage, &mut writer),
            straight => straight,
        };
        let staged = staged.and_then(|()| {
            for dir in &block.empty_dirs {
                writer.make_dir(dir.as_str())?;
            }
            writer.sync()
        });
        // What came another way was not counted as it came.
        let counted = counted.bytes.into_inner();
        self.progress.advance(block.bytes().saturating_sub(counted));
        unless_target_failed(&writer, staged)
    }

    /// Why one of `objects` is not to be read straight away: it has a mark of damage, or not the
    /// size it should have.
    fn doubt<'o>(&self, mut objects: impl Iterator<Item = &'o StoredObject>) -> Option<Error> {
        objects.find_map(|object| {
            let name = &object.name;
            if self.copies.is_marked(name) {
                return Some(Error::corrupt(format!(
                    "object {name} has a mark of damage"
                )));
            }
            match self.copies.store().size(name) {
                Ok(bytes) if bytes == object.bytes => None,
                Ok(bytes) => Some(Error::corrupt(format!(
                    "object {name}: expected {} bytes, found {bytes}",
                    object.bytes
                ))),
                Err(error) => Some(error),
            }
        })
    }

    fn write_block(
        &self,
        block: &StoredBlock,
        writer: &mut Writer,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut index = writer.beside();
        let reader = StoredReader::new(self.copies.store(), block);
        let written = reader.read_all(writer, &mut index, progress);
        writer.join(index);
        written
    }

    fn fetch_block(&self, block: &StoredBlock, damage: Error, writer: &mut Writer) -> Result<()> {
        let name = block.ulid.to_string();
        let fetched = self.fetch(block, writer)?;
        let missing = fetched.missing.clone();
        let damage = match fetched.outcome(&name, Some(damage)) {
            Ok(detour) => {
                self.took(detour);
                return Ok(());
            }
            Err(damage) => damage,
        };
        // Other archives may have the same samples beside other metadata and tombstones.
        let has_own = |other: &StoredBlock, name: &FilePath| {
            other.files.iter().any(|file| {
                let mut own = block.files.iter();
                file.name == *name && own.any(|own| own.name == *name && own.sha256 == file.sha256)
            })
        };
        for other in self.copies.variants(block.ulid) {
            let may_be = other.fingerprint == block.fingerprint
                && !is_damaged(other)
                && !missing.iter().any(|name| has_own(other, name));
            if may_be && self.fetch(other, writer)?.outcome(&name, None).is_ok() {
                let mixed = self.mixed.lock();
                let mut mixed = mixed.unwrap_or_else(PoisonError::into_inner);
                mixed.push(Failed {
                    name,
                    error: damage,
                    salvageable: false,
                });
                return Ok(());
            }
        }
        Err(damage)
    }

    fn fetch(&self, block: &StoredBlock, writer: &mut Writer) -> Result<Fetched> {
        writer.clear()?;
        let mut index = writer.beside();
        let fetched = fetch_block(self.copies, block, writer, &mut index);
        writer.join(index);
        fetched
    }

    pub(super) fn took(&self, detour: Detour) {
        let detours = self.detours.lock();
        detours.unwrap_or_else(PoisonError::into_inner).push(detour);
    }

    /// Stages the logs and says which there are.
    fn stage_wal(
        &self,
        wal: &StoredWal,
        kin_of: Option<&str>,
    ) -> Result<Result<Vec<&'static str>>> {
        if let Some(odd) = wal.files.iter().find(|file| log_of(file).is_none()) {
            let name = &odd.name;
            let refused = Error::refused(format!("expected a file of the WAL, found {name}"));
            return Ok(Err(refused));
        }
        if let Some(odd) = wal
            .empty_dirs
            .iter()
            .find(|dir| !LOGS.contains(&log_above(dir)))
        {
            let refused = Error::refused(format!("expected a directory of the WAL, found {odd}"));
            return Ok(Err(refused));
        }
        let mut writer = self.stage.writer(STAGED_LOGS)?;
        let doubt = self.doubt(std::iter::once(&wal.object));
        let straight = doubt.map_or(Ok(()), Err).and_then(|()| {
            let (store, root) = (self.copies.store(), Root::Data);
            read_stored(
                store,
                &wal.object,
                root,
                &wal.files,
                &mut writer,
                self.progress,
            )
        });
        let staged = match straight {
            Err(damage) if !writer.has_failed() => {
                writer.clear()?;
                fetch_wal(self.copies, wal, kin_of, &mut writer)
                    .and_then(|fetched| fetched.outcome("wal", Some(damage)))
                    .map(|detour| self.took(detour))
            }
            straight => straight,
        };
        let staged = staged
            .and_then(|()| {
                let mut dirs = wal.empty_dirs.iter();
                dirs.try_for_each(|dir| writer.make_dir(dir.as_str()))
            })
            .and_then(|()| writer.sync());
        let has = |log: &&str| {
            wal.files.iter().any(|file| log_of(file) == Some(log))
                || wal.empty_dirs.iter().any(|dir| log_above(dir) == *log)
        };
        Ok(unless_target_failed(&writer, staged)?.map(|()| LOGS.into_iter().filter(has).collect()))
    }
}

/// Passes progress on, and keeps account of the bytes.
struct Counted<'p> {
    inner: &'p dyn Progress,
    bytes: AtomicU64,
}

impl<'p> Counted<'p> {
    fn of(inner: &'p dyn Progress) -> Self {
        Counted {
            inner,
            bytes: AtomicU64::new(0),
        }
    }
}

impl Progress for Counted<'_> {
    fn begin(&self, phase: &str, total: Option<u64>) {
        self.inner.begin(phase, total);
    }

    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.inner.advance(bytes);
    }

    fn end(&self) {
        self.inner.end();
    }

    fn remark(&self, text: &dyn std::fmt::Display) {
        self.inner.remark(text);
    }
}

/// Where the logs are staged, all of them together.
const STAGED_LOGS: &str = "logs";

/// The log that `file` is in.
fn log_of(file: &StoredFile) -> Option<&str> {
    let (log, _) = file.name.as_str().split_once('/')?;
    LOGS.contains(&log).then_some(log)
}

/// The log that the directory `dir` is or is in; another name when it is in none.
fn log_above(dir: &FilePath) -> &str {
    dir.as_str().split('/').next().unwrap_or_default()
}

/// The target's failure is everybody's, any other is the block's own.
fn unless_target_failed(writer: &Writer, staged: Result<()>) -> Result<Outcome> {
    match staged {
        Err(error) if writer.has_failed() => Err(error),
        outcome => Ok(outcome),
    }
}
