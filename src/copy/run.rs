//! One copy: archive by archive, objects before manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::bring::{Brought, Carrier};
use super::choose::CopyChoice;
use super::convert::{Converted, Converter, Replacement};
use super::manifest::in_other;
use super::place::refuse_same;
use super::plan::{Plan, Planned, Way, cache_of};
use super::problem::{CopyProblem, CopyProblemKind};
use super::report::{CopiedArchive, CopyOptions, CopyReport, Fate};
use super::same::is_same;
use super::shelf::{Known, Shelf};
use super::stand_in::StandIns;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Millis;
use crate::progress::Progress;
use crate::repository::commit::{Commit, prove};
use crate::repository::copies::is_stored_alike;
use crate::repository::{
    Archive, ArchiveId, Digest, Mended, Repository, StoredBlock, StoredObject,
};
use crate::store::ObjectName;

/// After so many archives, or so many bytes, what has been brought is committed: a run that dies
/// later has not worked for nothing.
const MOST_ARCHIVES: usize = 32;
const MOST_BYTES: u64 = 1 << 30;

/// Objects that are on their way at a time at least, where each request takes a while.
const FAR_WORKERS: usize = 4;

const AGAIN: &str = "run the copy again";

/// Copies the archives of `from` that `choice` means to `to`, at `now`.
///
/// # Errors
///
/// `Locked` when `from` is encrypted and this machine has no identity for it; `Refused` when both
/// are one place, or what this machine signs would count for nothing in `to`; `NotFound` when no
/// archive is meant; when `to` fails or the network to `from`. What is damaged in `from` is no
/// error: the report names it.
pub fn copy(
    from: &Repository,
    to: &Repository,
    choice: &CopyChoice,
    options: &CopyOptions,
    now: Millis,
    progress: &dyn Progress,
) -> Result<CopyReport> {
    from.need_identity()?;
    to.need_to_read()?;
    refuse_same(from, to, now)?;
    let shelf = Shelf::look(to, &cache_of(to, options))?;
    let (plan, problems) = Plan::of(from, &shelf, choice, options, now, progress)?;
    plan.refuse_unheard(to)?;
    let carrier = Carrier::new(from, to, &shelf, progress, now);
    let mut run = Run::new(&carrier, options);
    progress.begin("copying", Some(plan.bytes()));
    let archives = plan.archives.into_iter();
    let archives: Result<Vec<_>> = archives.map(|planned| run.take(planned)).collect();
    let archives = archives.and_then(|archives| run.end().map(|()| archives));
    progress.end();
    let archives = archives?;
    let mut report = CopyReport {
        archives,
        problems,
        ..CopyReport::default()
    };
    report.problems.extend(run.unsound_objects());
    report.converted_blocks = run.converter.blocks;
    report.converted_bytes = run.converter.bytes;
    carrier.report(&mut report);
    Ok(report)
}

/// A copy under way.
pub(super) struct Run<'c, 'a> {
    carrier: &'c Carrier<'a>,
    converter: Converter<'c, 'a>,
    begun: Instant,
    /// What became of the objects that were not there.
    brought: BTreeMap<(ObjectName, Digest), Brought>,
    /// Blocks of which objects are missing, and what stands in for these.
    stood_in: Vec<(StoredBlock, Option<StandIns>)>,
    /// Archives whose objects are there.
    ready: Vec<Archive>,
    /// What stands in for objects of these, and what it stands in for.
    also: BTreeSet<ObjectName>,
    replaced: BTreeSet<ObjectName>,
    /// All that was ever among the first.
    kept: BTreeSet<ObjectName>,
    /// What was brought for archives that are there.
    completed: Vec<StoredObject>,
    committed_bytes: u64,
    /// Objects that are missing: why, and the archives that were left out for it.
    unsound: BTreeMap<ObjectName, (String, Vec<ArchiveId>)>,
}

impl<'c, 'a> Run<'c, 'a> {
    pub(super) fn new(carrier: &'c Carrier<'a>, options: &CopyOptions) -> Self {
        Run {
            carrier,
            converter: Converter::new(carrier, options),
            begun: Instant::now(),
            brought: BTreeMap::new(),
            stood_in: Vec::new(),
            ready: Vec::new(),
            also: BTreeSet::new(),
            replaced: BTreeSet::new(),
            kept: BTreeSet::new(),
            completed: Vec::new(),
            committed_bytes: 0,
            unsound: BTreeMap::new(),
        }
    }

    /// Brings what is needed for one archive, and commits it sooner or later.
    fn take(&mut self, mut planned: Planned) -> Result<CopiedArchive> {
        if matches!(planned.way, Way::LeftOut | Way::Present) {
            let fate = if planned.way == Way::Present {
                Fate::Present
            } else {
                Fate::LeftOut
            };
            return Ok(planned.told(fate));
        }
        self.bring_all(&planned.needs)?;
        let before = self.carrier.sent();
        let mut missing = self.convert(&mut planned)?;
        missing.append(&mut self.replace(&planned)?);
        let after = self.carrier.sent();
        planned.made = (after.0 - before.0, after.1 - before.1);
        missing.append(&mut self.settle(&planned.archive)?);
        if !missing.is_empty() {
            planned.reason = Some(reason(&missing));
            for (name, why) in missing {
                let (_, archives) = self.unsound.entry(name).or_insert((why, Vec::new()));
                archives.push(planned.archive.id.clone());
            }
            return Ok(planned.told(Fate::LeftOut));
        }
        if planned.way == Way::Incomplete {
            self.keep(&planned.archive)?;
            return Ok(planned.told(Fate::Completed));
        }
        self.ready.push(planned.archive.clone());
        let (_, sent) = self.carrier.sent();
        if self.ready.len() >= MOST_ARCHIVES || sent - self.committed_bytes >= MOST_BYTES {
            self.commit()?;
            self.committed_bytes = sent;
        }
        Ok(planned.told(Fate::Copied))
    }

    /// Stores blocks of the archive anew, where that was asked for, and has it name what they
    /// became. Gives what is missing for that.
    fn convert(&mut self, planned: &mut Planned) -> Result<BTreeMap<ObjectName, String>> {
        let mut missing = BTreeMap::new();
        let mut made = BTreeMap::new();
        let mut as_they_are = Vec::new();
        let apart = &planned.apart;
        let blocks = planned.archive.blocks.iter();
        for block in blocks.filter(|block| apart.contains(&block.ulid)) {
            match self.converter.convert(block)? {
                Converted::Made(stored) => {
                    made.insert(block.ulid, *stored);
                }
                Converted::AsItIs => as_they_are.extend(block.objects().cloned()),
                Converted::Missing(why) => {
                    missing.insert(block.object.name.clone(), why);
                }
            }
        }
        as_they_are.retain(|object| self.brought(object).is_none());
        let know = |object: StoredObject| {
            let known = self.carrier.shelf.know(&object);
            (object, known)
        };
        let needs: Vec<_> = as_they_are.into_iter().map(know).collect();
        self.bring_all(&needs)?;
        let blocks = &mut planned.archive.blocks;
        for block in blocks.iter_mut_where(|block| made.contains_key(&block.ulid)) {
            if let Some(stored) = made.get(&block.ulid) {
                *block = stored.clone();
            }
        }
        Ok(missing)
    }

    /// Stores anew what an archive that is there has lost of blocks that are in other objects where
    /// it is copied from. Gives what is missing for that.
    fn replace(&mut self, planned: &Planned) -> Result<BTreeMap<ObjectName, String>> {
        let mut missing = BTreeMap::new();
        for lost in &planned.lost {
            match self.converter.replace(lost)? {
                Replacement::Made(by) => {
                    self.also.extend(by);
                    self.replaced.extend(lost.objects.iter().cloned());
                }
                Replacement::Missing(why) => {
                    missing.insert(lost.block.object.name.clone(), why);
                }
            }
        }
        Ok(missing)
    }

    /// Brings objects, several at a time, about in this order.
    pub(super) fn bring_all(&mut self, needs: &[(StoredObject, Known)]) -> Result<()> {
        let (from, to) = (self.carrier.from.store(), self.carrier.to.store());
        let (unproven, soon): (Vec<_>, Vec<_>) = needs
            .iter()
            .partition(|(_, known)| *known == Known::Unproven);
        // What archives of the one say of how an object is encrypted is not so in the other.
        let is_of_from = |object: &StoredObject| {
            object.encrypted.is_some() == self.carrier.from.is_encrypted()
                && (object.encrypted.is_none() || !self.carrier.shelf.describes(object))
        };
        let soon = soon.into_iter().map(|(object, _)| object);
        let soon = soon.filter(|object| is_of_from(object));
        let soon = soon.map(StoredObject::listed);
        from.expect(&soon.collect::<Vec<_>>());
        // In which form they are stored there is another matter.
        let listed = &self.carrier.shelf.stock.listed;
        let unproven = unproven.into_iter();
        let unproven = unproven.filter_map(|(object, _)| {
            let (name, bytes) = listed.get_key_value(&object.name)?;
            Some((name.clone(), *bytes))
        });
        to.expect(&unproven.collect::<Vec<_>>());
        let far = if from.is_far() || to.is_far() {
            FAR_WORKERS
        } else {
            1
        };
        let workers = rayon::current_num_threads().max(far).min(needs.len());
        let next = AtomicUsize::new(0);
        let found: Mutex<Vec<(usize, Brought)>> = Mutex::default();
        let failed: Mutex<Option<Error>> = Mutex::default();
        let work = || {
            while let Some((at, (object, _))) = {
                let at = next.fetch_add(1, Ordering::Relaxed);
                needs.get(at).map(|need| (at, need))
            } {
                match self.carrier.bring(object) {
                    Ok(brought) => {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((at, brought));
                    }
                    Err(error) => {
                        next.store(needs.len(), Ordering::Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        for (at, brought) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some((object, _)) = needs.get(at) {
                self.brought
                    .insert((object.name.clone(), object.sha256), brought);
            }
        }
        Ok(())
    }

    /// What became of `object`; `None` when it was not brought.
    pub(super) fn brought(&self, object: &StoredObject) -> Option<&Brought> {
        self.brought.get(&(object.name.clone(), object.sha256))
    }

    /// Why `archive` cannot be committed; `None` when all that it needs is there.
    pub(super) fn missing(&mut self, archive: &Archive) -> Result<Option<String>> {
        let missing = self.settle(archive)?;
        Ok((!missing.is_empty()).then(|| reason(&missing)))
    }

    /// Notes what was brought for `archive`, which is there: at the end it is proved that nobody
    /// deletes it.
    pub(super) fn keep(&mut self, archive: &Archive) -> Result<()> {
        self.settle(archive)?;
        let brought = archive.objects().map(|(_, object)| object);
        let brought = brought.filter(|object| matches!(self.brought(object), Some(Brought::Sound)));
        let brought: Vec<_> = brought.cloned().collect();
        self.completed.extend(brought);
        Ok(())
    }

    /// What the archive needs and is missing for good. Notes what stands in for the rest.
    fn settle(&mut self, archive: &Archive) -> Result<BTreeMap<ObjectName, String>> {
        let mut missing = BTreeMap::new();
        for (_, object) in archive.objects() {
            match self.brought.get(&(object.name.clone(), object.sha256)) {
                None | Some(Brought::Sound) => {}
                Some(Brought::Replaced(by)) => {
                    self.also.insert(by.clone());
                    self.replaced.insert(object.name.clone());
                }
                Some(Brought::Missing(why)) => {
                    missing.insert(object.name.clone(), why.clone());
                }
            }
        }
        if missing.is_empty() {
            return Ok(missing);
        }
        let lacks = |block: &StoredBlock| block.objects().any(|it| missing.contains_key(&it.name));
        let mut all = Vec::new();
        for block in archive.blocks.iter().filter(|block| lacks(block)) {
            let known = self
                .stood_in
                .iter()
                .find(|(known, _)| is_stored_alike(known, block));
            let stand_ins = if let Some((_, known)) = known {
                known.clone()
            } else {
                let found = self.carrier.stand_in_for_block(block, &missing)?;
                self.stood_in.push((block.clone(), found.clone()));
                found
            };
            all.push(stand_ins);
        }
        if let Some(wal) = &archive.wal
            && wal.objects().any(|it| missing.contains_key(&it.name))
        {
            all.push(self.carrier.stand_in_for_logs(archive, wal, &missing)?);
        }
        let Some(all) = all.into_iter().collect::<Option<Vec<_>>>() else {
            return Ok(missing);
        };
        for stand_ins in all {
            self.also.extend(stand_ins.objects);
            self.replaced.extend(stand_ins.replaced);
        }
        Ok(BTreeMap::new())
    }

    /// Commits the archives that are ready.
    fn commit(&mut self) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.kept.extend(self.also.iter().cloned());
        if ready.is_empty() {
            return Ok(());
        }
        loop {
            match self.commit_these(&ready, false) {
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                    let before = ready.len();
                    ready.retain(|archive| !self.is_committed(archive));
                    if ready.len() == before {
                        return Err(taken);
                    }
                }
                committed => {
                    committed?;
                    break;
                }
            }
        }
        self.also.clear();
        self.replaced.clear();
        Ok(())
    }

    /// Whether another run has copied `archive` meanwhile.
    fn is_committed(&self, archive: &Archive) -> bool {
        let name = archive.manifest_name();
        let there = name.and_then(|name| self.carrier.to.archive(&name));
        there.is_ok_and(|there| is_same(archive, &there))
    }

    /// Commits these archives. With `displaces_damaged`, a manifest that is damaged gives way.
    pub(super) fn commit_these(&self, archives: &[Archive], displaces_damaged: bool) -> Result<()> {
        let to = self.carrier.to;
        let has_mended = !Mended::list(to.store())?.is_empty();
        for (_, object) in archives.iter().flat_map(Archive::objects) {
            // What was not brought is in the form in which it is there.
            let form = self.carrier.shelf.form_of(object);
            self.carrier.keep_form(object, form);
        }
        let stored = self
            .carrier
            .stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let archives = archives.iter();
        let archives = archives.map(|archive| in_other(archive, to, &stored, has_mended));
        let archives: Vec<_> = archives.collect();
        let commit = Commit {
            early: None,
            archives: &archives.iter().collect::<Vec<_>>(),
            claimed_by: &ArchiveId::random(),
            logs: None,
            also: &self.also,
            replaced: &self.replaced,
            displaces_damaged,
            again: AGAIN,
        };
        let passed = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        commit.run(to, self.carrier.now.saturating_add(passed))
    }

    /// Commits what is left, and proves that nobody deletes what was brought for archives that are
    /// there.
    pub(super) fn end(&mut self) -> Result<()> {
        self.commit()?;
        if self.completed.is_empty() && self.kept.is_empty() {
            return Ok(());
        }
        prove(self.carrier.to, self.completed.iter(), &self.kept, AGAIN)
    }

    fn unsound_objects(&mut self) -> Vec<CopyProblem> {
        let unsound = std::mem::take(&mut self.unsound).into_iter();
        let place = self.carrier.from.store().describe();
        let problem = |(name, (why, archives)): (ObjectName, (String, Vec<ArchiveId>))| {
            let ids: Vec<_> = archives.iter().map(ArchiveId::short).collect();
            let detail = format!(
                "{name} cannot be read as it should be in {place}, so archives {} are not copied: {why}",
                ids.join(", ")
            );
            CopyProblemKind::ObjectUnsound.at(name.as_str(), detail)
        };
        unsound.map(problem).collect()
    }
}

fn reason(missing: &BTreeMap<ObjectName, String>) -> String {
    let first = missing.iter().next();
    let (name, why) = first.map_or(("", ""), |(name, why)| (name.as_str(), why.as_str()));
    let more = match missing.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more objects", many - 1),
    };
    format!("{name}{more} cannot be read as it should be: {why}")
}

impl Carrier<'_> {
    /// Number and size of the objects that were sent so far.
    fn sent(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (load(&self.sent), load(&self.sent_bytes))
    }

    /// Takes down what was done.
    fn report(&self, report: &mut CopyReport) {
        (report.objects, report.bytes) = self.sent();
        report.taken_over = self.proved.load(Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.sort_by(|a, b| (a.kind, &a.place).cmp(&(b.kind, &b.place)));
        told.dedup();
        report.problems.append(&mut told);
    }
}
