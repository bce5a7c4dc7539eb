//! One backup run: logs first, then blocks until none vanishes any more, then the manifest.

mod missing;
mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::commit::commit;
use super::gone::{Log, Now, Present};
use super::hooks::{Hooks, Moment};
use super::logs::{LogFiles, open_logs};
use super::pipeline::{Failure, Pipeline, Traffic};
use super::plan::{Action, Change, Known, superseded};
use super::proof::Proof;
use super::server::{doubt_server, refuse_other_server};
use super::source::{Miss, SourceFile};
use super::survey::{BlockSurvey, Survey, survey};
use super::{Options, Problem, ProblemKind, Report, Source};
use crate::block::Parent;
use crate::dense::Cache;
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::progress::{Progress, Silent};
use crate::repair::{Catalog, mend};
use crate::repository::damage;
use crate::repository::lineage::{coverage, is_damaged};
use crate::repository::portable::{self, Root, Staged};
use crate::repository::stock::Stock;
use crate::repository::trash::Trash;
use crate::repository::{
    ASKED_FOR, Ahead, Archive, ArchiveId, Damaged, FindingCounts, LeftOut, MANIFEST_VERSION,
    ManifestCache, ManifestName, Mended, PLAIN_MANIFEST_VERSION, Repository, StoredBlock,
    StoredWal, mended_object, wal_object,
};
use crate::start::Reach;
use crate::store::ObjectName;

pub(super) use missing::{held_before, nothing_here};

/// How often the blocks are listed anew because one vanished. Compactions are minutes apart.
const MAX_PASSES: usize = 100;

/// How often a compaction that is waited for is looked at.
const POLL: Duration = Duration::from_millis(50);

/// How often the logs are opened anew because one was cut short while it was being read.
const MAX_LOG_TRIES: usize = 3;

/// How often blocks are stored anew because objects turn out to be damaged while others are stored. Each time it is other objects.
const MAX_DISTRUST: usize = 16;

/// How many archives are looked at for those of other sources.
const MAX_OTHERS: usize = 50;

/// What a run works with.
pub(super) struct Run<'a> {
    pub(super) source: &'a Source,
    pub(super) repository: &'a Repository,
    pub(super) options: &'a Options,
    pub(super) progress: &'a dyn Progress,
    pub(super) hooks: &'a dyn Hooks,
}

/// What a run has gathered so far.
#[derive(Default)]
struct Harvest {
    /// When the run began.
    time: Millis,
    /// What all archives say.
    catalog: Catalog,
    /// Replacements of logs of older archives.
    mended_logs: BTreeSet<ObjectName>,
    known: Known,
    cache: Cache,
    traffic: Traffic,
    blocks: BTreeMap<Ulid, Captured>,
    left_out: BTreeMap<String, String>,
    /// Left out, although it should be archived; by name.
    missed: BTreeMap<String, String>,
    problems: Vec<Problem>,
    /// Objects that turned out to be damaged, and what was wrong with each.
    suspects: Mutex<BTreeMap<ObjectName, String>>,
    /// Parents that are still there, the children they were looked for in, and what came of it.
    proofs: BTreeMap<Ulid, (BTreeSet<Ulid>, Proof)>,
    /// Whether what the logs hold could not be told.
    obscure_logs: bool,
    /// Deletions in the logs.
    deletions_in_log: u64,
    /// Whether the source is a Prometheus snapshot.
    is_snapshot: bool,
    /// Whether something else tells why the samples may end before those of the last archive.
    may_end_early: bool,
}

/// A block that is in the repository, and where it came from.
struct Captured {
    stored: StoredBlock,
    /// What it was made of, and when, as its `meta.json` says.
    parents: Vec<Parent>,
    dir: PathBuf,
}

impl Harvest {
    fn stored(&self) -> impl Iterator<Item = &StoredBlock> {
        self.blocks.values().map(|block| &block.stored)
    }

    /// What is known of the samples of a parent that is still there.
    fn proof(&self, parent: Ulid) -> Proof {
        let proof = self.proofs.get(&parent);
        proof.map_or(Proof::Unknown, |(_, proof)| *proof)
    }

    /// Whether an archive would hold no block and no sample. Logs that cannot be read may hold some.
    fn is_nothing(&self, wal: Option<&StoredWal>) -> bool {
        let is_empty = |wal: &StoredWal| wal.samples == 0 && !self.obscure_logs;
        self.blocks.is_empty() && wal.is_none_or(is_empty)
    }

    /// Takes a block into the archive, and notes what is odd about it.
    fn capture(&mut self, block: &BlockSurvey, stored: StoredBlock) {
        let (ulid, dir) = (block.ulid(), block.found.dir.clone());
        self.problems.extend(odd_about(block, self.time));
        for (path, reason) in &block.listing.strange {
            let name = path.strip_prefix(&dir).unwrap_or(path).display();
            let name = format!("{ulid}/{name}");
            let detail = format!("{name} is left out: {reason}");
            self.problems
                .push(ProblemKind::EntryStrange.at(&name, detail));
            self.left_out.insert(name, (*reason).to_owned());
        }
        let told = block.meta.iter();
        let parents = told.flat_map(|meta| &meta.compaction.parents);
        let captured = Captured {
            stored,
            parents: parents.copied().collect(),
            dir,
        };
        self.blocks.insert(ulid, captured);
    }

    /// What the source holds.
    fn now<'h>(&'h self, dir: &'h Path, log: Log) -> Now<'h> {
        let blocks = self.blocks.values();
        let blocks =
            blocks.map(|block| Present::captured(&block.stored, &block.parents, &block.dir));
        Now {
            dir,
            is_snapshot: self.is_snapshot,
            blocks: blocks.collect(),
            left_out: [&self.left_out, &self.missed],
            log,
        }
    }

    fn miss(&mut self, name: impl Into<String>, error: &Error) {
        self.missed.insert(name.into(), error.chain());
    }
}

/// What is odd about a block that is archived all the same.
pub(super) fn odd_about(block: &BlockSurvey, time: Millis) -> Vec<Problem> {
    let ulid = block.ulid();
    let reaches = block
        .meta
        .iter()
        .flat_map(|meta| Reach::of(meta, None, Some(time)));
    let mut odd: Vec<_> = reaches
        .map(|reach| {
            let detail = format!(
                "block {ulid} is archived, but its {reach}: narthex verify says what a start of Prometheus would lose"
            );
            ProblemKind::BlockRange.at(ulid.to_string(), detail)
        })
        .collect();
    if block.found.is_link {
        let detail = format!(
            "block {ulid} is a symbolic link: it is archived, but Prometheus does not see it"
        );
        odd.push(ProblemKind::BlockLink.at(ulid.to_string(), detail));
    }
    odd
}

impl Run<'_> {
    /// Makes an archive and commits it.
    pub(super) fn archive(&self, time: Millis) -> Result<Report> {
        let begun = Instant::now();
        let id = ArchiveId::random();
        // An archive that cannot be named is not begun.
        ManifestName::new(time, &id)
            .map_err(|e| e.context("the clock of this machine is wrong"))?;
        let repository = &self.repository.descriptor().id;
        let dir = self.options.cache.as_ref();
        let cache = dir.map(|dir| Cache::new(dir, repository));
        let manifests = dir.map(|dir| ManifestCache::new(dir, repository));
        let mut harvest = Harvest {
            time,
            catalog: Catalog::read(self.repository, &manifests.unwrap_or_default())?,
            cache: cache.unwrap_or_default(),
            ..Harvest::default()
        };
        let newest = self.newest(time, &mut harvest)?;
        harvest.known = known(self.repository, harvest.catalog.stock(), newest.as_ref())?;
        let (wal, staged) = self.harvest(&id, newest.as_ref(), &mut harvest)?.unzip();
        self.settle(&mut harvest);
        let committed = !harvest.is_nothing(wal.as_ref());
        self.name_gone(newest.as_ref(), wal.as_ref(), committed, &mut harvest);
        let changes: Vec<_> = harvest
            .stored()
            .map(|block| harvest.known.change(block))
            .collect();
        let count = |wanted| changes.iter().filter(|change| **change == wanted).count();
        let cache = std::mem::take(&mut harvest.cache);
        let mut catalog = std::mem::take(&mut harvest.catalog);
        let stored: Vec<_> = harvest.stored().collect();
        let mut mending = mend(
            self.repository,
            &mut catalog,
            &cache,
            &stored,
            self.progress,
        )?;
        mending.objects.append(&mut harvest.mended_logs);
        let may_end_early = harvest.may_end_early;
        let mut report = Report {
            new_blocks: count(Change::New),
            updated_blocks: count(Change::Updated),
            unchanged_blocks: count(Change::None),
            read_bytes: harvest.traffic.read(),
            stored_bytes: harvest.traffic.written(),
            mended: std::mem::take(&mut mending.mended),
            problems: std::mem::take(&mut harvest.problems),
            committed,
            archive: self.manifest(id, time, wal, harvest)?,
        };
        if !committed {
            return Ok(report);
        }
        if let Some(newest) = newest.filter(|_| !self.options.force && !may_end_early) {
            let earlier = self.ends_before(&newest, &report.archive, &catalog);
            report.problems.extend(earlier);
        }
        let passed = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = time.saturating_add(passed);
        commit(
            self.repository,
            &report.archive,
            staged,
            &mending.objects,
            now,
        )?;
        cache.sweep();
        Ok(report)
    }

    /// The newest archive of this source. Manifests that cannot be read are a problem, but no obstacle.
    fn newest(&self, time: Millis, harvest: &mut Harvest) -> Result<Option<Archive>> {
        let latest = self.repository.latest(&self.source.filter(), time)?;
        harvest.problems.extend(latest.damaged.iter().map(unread));
        harvest.problems.extend(latest.ahead.iter().map(told));
        Ok(latest.archive)
    }

    /// Opens the logs, lists the blocks, reads the logs, stores the blocks: in this order no sample slips
    /// through. When a log shrinks under the reader (the server was started anew and mended it), everything
    /// starts over.
    fn harvest(
        &self,
        id: &ArchiveId,
        newest: Option<&Archive>,
        harvest: &mut Harvest,
    ) -> Result<Option<(StoredWal, Staged)>> {
        let mut tries = 1;
        let (wal, blocks, compacting) = loop {
            harvest.missed.clear();
            let logs = self.open_logs(harvest);
            let blocks = self.look(harvest)?;
            refuse_other_server(
                self.source,
                self.repository,
                self.options.force,
                newest,
                &blocks,
            )?;
            self.progress.begin(
                "backup",
                Some(bytes_to_read(&harvest.known, &blocks, &logs)),
            );
            let compacting = logs.compacting(self.options.verify.read_mode);
            let compacting = compacting.map(Path::to_owned);
            match self.stage_logs(id, &logs, blocks.in_order_end(), harvest) {
                Ok(wal) => break (wal, blocks, compacting),
                Err(Failure::Store(error)) => return Err(error),
                Err(Failure::Source(_)) if tries < MAX_LOG_TRIES => tries += 1,
                Err(Failure::Source(miss)) => {
                    harvest.miss("wal", &miss.into_error(&self.source.dir));
                    break (None, blocks, None);
                }
            }
        };
        let doubt = doubt_server(
            self.source,
            self.repository,
            self.options.force,
            newest,
            &blocks,
        )?;
        harvest.problems.extend(doubt);
        self.store_blocks(blocks, harvest)?;
        if let Some(segment) = compacting {
            self.await_compaction(&segment, harvest);
            let blocks = self.look(harvest)?;
            self.store_blocks(blocks, harvest)?;
        }
        if let Some(newest) = newest.filter(|_| !self.options.force) {
            self.look_for_gone(newest, harvest)?;
        }
        self.store_distrusted(harvest)?;
        self.progress.end();
        Ok(wal)
    }

    /// Waits until the compaction that works on the WBL `segment` has written its blocks and deletes the segment.
    /// It never does when the server has died meanwhile.
    fn await_compaction(&self, segment: &Path, harvest: &mut Harvest) {
        let begun = Instant::now();
        while segment.exists() && begun.elapsed() < self.options.patience {
            self.hooks.reached(Moment::Waiting);
            std::thread::sleep(POLL);
        }
        if segment.exists() {
            let detail = format!(
                "an out-of-order compaction did not end within {} s: Prometheus will not replay some samples of \
                 the WBL, which is archived as it is",
                self.options.patience.as_secs()
            );
            harvest
                .problems
                .push(ProblemKind::CompactionUnfinished.at("wbl", detail));
        }
    }

    fn open_logs(&self, harvest: &mut Harvest) -> LogFiles {
        if !self.options.logs {
            for log in ["wal", "wbl"] {
                if self.source.dir.join(log).is_dir() {
                    harvest
                        .left_out
                        .insert(log.to_owned(), ASKED_FOR.to_owned());
                }
            }
            return LogFiles::default();
        }
        let opened = |log: &Path| self.hooks.reached(Moment::LogOpened(log));
        let logs = open_logs(&self.source.dir, self.options.links, &opened);
        harvest.missed.extend(logs.odd.clone());
        logs
    }

    /// Writes the object of the logs, which is not published yet.
    fn stage_logs(
        &self,
        id: &ArchiveId,
        logs: &LogFiles,
        blocks_end: Option<Millis>,
        harvest: &mut Harvest,
    ) -> Result<Option<(StoredWal, Staged)>, Failure> {
        for path in &logs.left_out {
            let name = path.strip_prefix(&self.source.dir).unwrap_or(path);
            let name = name.to_string_lossy().into_owned();
            harvest
                .left_out
                .insert(name, "not needed for replay".into());
        }
        if logs.files.is_empty() {
            return Ok(None);
        }
        let name = wal_object(id).map_err(Failure::Store)?;
        let files: Vec<_> = logs.files.iter().collect();
        let staged = self.pipeline(harvest).write(&name, Root::Data, &files)?;
        let span = logs.prove(blocks_end, self.options.verify.read_mode);
        harvest.obscure_logs = !span.problems.is_empty();
        harvest.deletions_in_log = span.deletions;
        harvest.problems.extend(span.problems);
        self.mend_logs(&logs.files, harvest)?;
        let late = span.late.and_then(|(_, times)| times).unzip();
        let wal = StoredWal {
            object: staged.object().clone(),
            files: staged.files().to_vec(),
            min_time: span.min_time,
            max_time: span.max_time,
            samples: span.samples,
            wbl_samples: span.late.map(|(samples, _)| samples),
            wbl_min_time: late.0,
            wbl_max_time: late.1,
            empty_dirs: logs.empty_dirs.clone(),
            start_problem: span.start_problem,
        };
        Ok(Some((wal, staged)))
    }

    /// Stores anew the logs of older archives whose object is damaged or gone, where `files` still have all their bytes: segments only
    /// ever grow.
    fn mend_logs(&self, files: &[SourceFile], harvest: &mut Harvest) -> Result<(), Failure> {
        let store = self.repository.store();
        for broken in harvest.catalog.broken_logs() {
            let wanted = broken.files.iter();
            let prefixes = wanted.map(|wanted| {
                let here = files.iter().find(|file| file.name == wanted.name)?;
                (here.bytes >= wanted.bytes).then_some((here, wanted.bytes))
            });
            let Some(prefixes) = prefixes.collect::<Option<Vec<_>>>() else {
                continue;
            };
            let prefixes: Vec<_> = prefixes
                .iter()
                .map(|(file, bytes)| file.prefix(*bytes))
                .collect();
            let sources = broken.files.iter().zip(&prefixes);
            let sources: Vec<_> = sources
                .map(|(wanted, content)| portable::SourceFile {
                    name: wanted.name.clone(),
                    content,
                })
                .collect();
            let name = mended_object(store, &broken.object.name).map_err(Failure::Store)?;
            let level = self.options.level;
            let staged = portable::write(store, &name, Root::Data, &sources, level, &Silent);
            // What changes under the reader is no replacement.
            let Ok(staged) = staged else {
                continue;
            };
            if staged.files() == broken.files {
                staged.publish().map_err(Failure::Store)?;
                self.progress.remark(&format_args!(
                    "the log {} of an older archive is stored anew",
                    broken.object.name
                ));
                harvest.mended_logs.insert(name);
            }
        }
        Ok(())
    }

    /// Lists the source and looks at every block that has not been captured.
    fn look(&self, harvest: &mut Harvest) -> Result<Survey> {
        let captured: BTreeSet<Ulid> = harvest.blocks.keys().copied().collect();
        let survey = survey(&self.source.dir, &captured, self.options.links, self.hooks)?;
        harvest.is_snapshot = survey.is_snapshot;
        let left_out = survey.left_out.iter();
        let left_out = left_out.map(|(name, reason)| (name.clone(), (*reason).to_owned()));
        harvest.left_out.extend(left_out);
        for (name, error) in &survey.unreadable {
            harvest.miss(name, error);
        }
        solve(self.repository, &mut harvest.known, &survey.blocks)?;
        Ok(survey)
    }

    /// Stores what was looked at, and looks again until one pass has seen nothing vanish.
    fn store_blocks(&self, first: Survey, harvest: &mut Harvest) -> Result<()> {
        let mut survey = first;
        for _ in 0..MAX_PASSES {
            let mut vanished = survey.vanished;
            for wave in waves(survey.blocks) {
                vanished |= self.store_wave(wave, harvest)?;
            }
            self.hooks.reached(Moment::PassDone);
            vanished |= drop_half_deleted(harvest);
            if !vanished {
                return Ok(());
            }
            harvest.missed.retain(|name, _| is_of_log(name));
            survey = self.look(harvest)?;
        }
        let detail = format!("blocks vanished in each of {MAX_PASSES} passes: some may be missing");
        harvest
            .problems
            .push(ProblemKind::BlocksUnsettled.at("", detail));
        Ok(())
    }

    /// Captures blocks, and says whether any of them vanished.
    fn store_wave(&self, wave: Vec<BlockSurvey>, harvest: &mut Harvest) -> Result<bool> {
        let superseded = superseded(harvest.stored());
        self.prove(&superseded, harvest);
        let mut jobs = Vec::new();
        for block in wave {
            let ulid = block.ulid();
            if superseded.contains_key(&ulid) && harvest.proof(ulid) == Proof::Held {
                continue;
            }
            match harvest.known.decide(&block) {
                Action::Keep(stored) => harvest.capture(&block, block.tell(stored)),
                Action::Refresh(stored) => jobs.push((block, Some(stored))),
                Action::Store => jobs.push((block, None)),
            }
        }
        let mut vanished = false;
        let outcomes = self.pipeline(harvest).run(&jobs)?;
        for ((block, _), outcome) in jobs.iter().zip(outcomes) {
            match outcome {
                Ok(stored) => {
                    harvest.known.take_in(stored.clone());
                    harvest.capture(block, stored);
                }
                Err(Miss::Vanished) => vanished = true,
                Err(Miss::Unreadable(error)) => harvest.miss(block.ulid().to_string(), &error),
            }
        }
        Ok(vanished)
    }

    fn pipeline<'h>(&'h self, harvest: &'h Harvest) -> Pipeline<'h> {
        Pipeline {
            store: self.repository.store(),
            known: &harvest.known,
            options: self.options,
            progress: self.progress,
            hooks: self.hooks,
            traffic: &harvest.traffic,
            cache: &harvest.cache,
            suspects: &harvest.suspects,
        }
    }

    /// Stores blocks anew that rely on what turned out to be damaged while others were stored, until none does.
    fn store_distrusted(&self, harvest: &mut Harvest) -> Result<()> {
        for _ in 0..MAX_DISTRUST {
            let relying = self.distrust_suspects(harvest);
            if relying.is_empty() {
                return Ok(());
            }
            harvest.blocks.retain(|ulid, _| !relying.contains(ulid));
            let blocks = self.look(harvest)?;
            self.store_blocks(blocks, harvest)?;
        }
        for ulid in self.distrust_suspects(harvest) {
            let detail = format!(
                "block {ulid} rests on objects that are damaged, and so did what it was stored anew on, {MAX_DISTRUST} times: is the disk of \
                 the repository sound? What is damaged is marked, and the next run stores the block anew"
            );
            harvest
                .problems
                .push(ProblemKind::ObjectsUnsettled.at(ulid.to_string(), detail));
        }
        Ok(())
    }

    /// Marks what turned out to be damaged while blocks were stored, and gives the captured blocks that rely on it.
    fn distrust_suspects(&self, harvest: &mut Harvest) -> BTreeSet<Ulid> {
        let suspects = std::mem::take(&mut harvest.suspects);
        let suspects = suspects
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for (object, found) in &suspects {
            let store = self.repository.store();
            // Without a mark the archives that name it have to wait for a check that reads it.
            let _ = damage::mark(store, object, found, harvest.time);
            self.progress
                .remark(&format_args!("object {object} is damaged: {found}"));
        }
        harvest.known.distrust(suspects.keys());
        let blocks = harvest.stored().filter(|block| {
            let mut objects = block.objects();
            objects.any(|object| suspects.contains_key(&object.name))
        });
        blocks.map(|block| block.ulid).collect()
    }

    fn manifest(
        &self,
        id: ArchiveId,
        time: Millis,
        wal: Option<StoredWal>,
        harvest: Harvest,
    ) -> Result<Archive> {
        let mended = Mended::list(self.repository.store())?;
        let format_version = if mended.is_empty() {
            PLAIN_MANIFEST_VERSION
        } else {
            MANIFEST_VERSION
        };
        let mut blocks: Vec<_> = harvest
            .blocks
            .into_values()
            .map(|block| block.stored)
            .collect();
        blocks.sort_by_key(|block| (block.min_time, block.max_time, block.ulid));
        let mut findings = FindingCounts::default();
        for block in &blocks {
            findings.add(&block.findings);
        }
        let mut left_out = harvest.left_out;
        left_out.extend(harvest.missed);
        Ok(Archive {
            format_version,
            id,
            time,
            host: self.source.host.clone(),
            source: self.source.dir.to_string_lossy().into_owned(),
            source_name: self.source.name.clone(),
            labels: self.options.labels.clone(),
            narthex_version: env!("CARGO_PKG_VERSION").to_owned(),
            repository: Some(self.repository.descriptor().id.clone()).filter(|id| !id.is_empty()),
            coverage: coverage(&blocks),
            blocks: blocks.into(),
            wal,
            left_out: left_out
                .into_iter()
                .map(|(name, reason)| LeftOut { name, reason })
                .collect(),
            findings,
        })
    }
}

/// Whether what is missed under this name belongs to a log.
fn is_of_log(name: &str) -> bool {
    let top = name.split_once('/').map_or(name, |(top, _)| top);
    ["wal", "wbl"].contains(&top)
}

/// What is said of a manifest that cannot be read.
pub(super) fn unread(damaged: &Damaged) -> Problem {
    ProblemKind::ManifestUnread.at(damaged.name.as_str(), damaged.error.chain())
}

/// What is said of an archive from the future.
pub(super) fn told(ahead: &Ahead) -> Problem {
    let detail =
        format!("{ahead}: compare this machine's with another one before anything is removed");
    ProblemKind::ArchiveAhead.at(ahead.id.short(), detail)
}

/// What is stored, by one listing, and what the newest archive says of it.
pub(super) fn known(
    repository: &Repository,
    stock: &Stock,
    newest: Option<&Archive>,
) -> Result<Known> {
    let objects = stock
        .listed
        .iter()
        .map(|(name, bytes)| (name.clone(), *bytes));
    let trash = Trash::list(repository.store())?;
    let mut known = Known::new(objects, trash, &stock.damage);
    match newest {
        Some(newest) => known.learn(newest),
        // Perhaps it is a copy of one that is archived under another name, or a Prometheus snapshot of it.
        None => learn_others(repository, &mut known)?,
    }
    Ok(known)
}

/// Learns what the newest archives say, one of each source.
fn learn_others(repository: &Repository, known: &mut Known) -> Result<()> {
    let names = repository.manifest_names()?;
    let mut sources = BTreeSet::new();
    for name in names.iter().rev().take(MAX_OTHERS) {
        if let Ok(archive) = repository.archive(name)
            && sources.insert((archive.host.clone(), archive.source_name.clone()))
        {
            known.learn(&archive);
        }
    }
    Ok(())
}

/// Reads older archives until they tell of all objects that seem to hold one of `blocks`. Objects that no archive
/// tells of were left by a run that died.
pub(super) fn solve(
    repository: &Repository,
    known: &mut Known,
    blocks: &[BlockSurvey],
) -> Result<()> {
    let mut names = repository.manifest_names()?;
    while blocks.iter().any(|block| known.is_riddle(block))
        && let Some(name) = names.pop()
    {
        // A damaged manifest is the business of `check`; here it just does not help.
        if let Ok(archive) = repository.archive(&name) {
            known.learn(&archive);
        }
    }
    Ok(())
}

/// How much will be read of the source, in bytes.
fn bytes_to_read(known: &Known, blocks: &Survey, logs: &LogFiles) -> u64 {
    let new = blocks
        .blocks
        .iter()
        .filter(|block| known.decide(block) == Action::Store);
    logs.bytes() + new.map(|block| block.bytes).sum::<u64>()
}

/// Blocks that others name as parents come after those: with their child captured, they are not needed.
fn waves(blocks: Vec<BlockSurvey>) -> [Vec<BlockSurvey>; 2] {
    let parents: BTreeSet<Ulid> = blocks.iter().flat_map(BlockSurvey::parents).collect();
    let (parents, others) = blocks
        .into_iter()
        .partition(|block| parents.contains(&block.ulid()));
    [others, parents]
}

/// A block that is damaged and now gone was being deleted file by file. Says whether there was one.
fn drop_half_deleted(harvest: &mut Harvest) -> bool {
    let before = harvest.blocks.len();
    harvest
        .blocks
        .retain(|_, block| !is_damaged(&block.stored) || block.dir.is_dir());
    harvest.blocks.len() < before
}
