//! One backup run: logs first, then blocks until none vanishes any more, then the manifest.

mod blocks;
mod decide;
mod learn;
mod logs;
mod missing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use super::gone::{Log, Now, Present};
use super::hooks::Hooks;
use super::logs::LogFiles;
use super::plan::{Action, Change, Known};
use super::proof::Proof;
use super::server::{doubt_server, refuse_other_server};
use super::survey::{BlockSurvey, Survey};
use super::{BackupOptions, BackupProblem, BackupReport, ProblemKind, Source};
use crate::block::{DataDir, Parent};
use crate::dense::Cache;
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::progress::Progress;
use crate::repair::{Catalog, mend};
use crate::repository::commit::Commit;
use crate::repository::early::EarlyClaim;
use crate::repository::lineage::coverage;
use crate::repository::portable::Staged;
use crate::repository::{
    Ahead, Archive, ArchiveId, Damaged, FindingCounts, Latest, LeftOut, ManifestCache,
    ManifestLink, ManifestName, RememberedManifests, Repository, StoredBlock, StoredWal, original,
    wal_object,
};
use crate::start::Reach;
use crate::store::ObjectName;
use crate::stored::write::{Failure, Traffic};

pub(super) use learn::{known, solve};
pub(super) use missing::{held_before, nothing_here};

/// How often the logs are opened anew because one was cut short while it was being read.
const MAX_LOG_TRIES: usize = 3;

/// What a run works with.
pub(super) struct Run<'a> {
    pub(super) source: &'a Source,
    pub(super) repository: &'a Repository,
    pub(super) options: &'a BackupOptions,
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
    problems: Vec<BackupProblem>,
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
    /// Whether this run has marked something as damaged.
    has_marked: bool,
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

    /// Whether an archive would hold no block and no sample. Logs that cannot be read may hold
    /// some.
    fn is_nothing(&self, wal: Option<&StoredWal>) -> bool {
        let is_empty = |wal: &StoredWal| wal.samples == 0 && !self.obscure_logs;
        self.blocks.is_empty() && wal.is_none_or(is_empty)
    }

    /// Whether a block is in something that was put into `mended/`.
    fn names_mended(&self) -> bool {
        let mut objects = self.stored().flat_map(StoredBlock::objects);
        objects.any(|object| original(&object.name).is_some())
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
pub(super) fn odd_about(block: &BlockSurvey, time: Millis) -> Vec<BackupProblem> {
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
    pub(super) fn archive(&self, time: Millis) -> Result<BackupReport> {
        let begun = Instant::now();
        let id = ArchiveId::random();
        // An archive that cannot be named is not begun.
        ManifestName::new(time, &id)
            .map_err(|e| e.context("the clock of this machine is wrong"))?;
        self.repository.refuse_unheard(&self.source.name)?;
        let repository = &self.repository.local_id();
        let dir = self.options.cache.as_ref();
        let cache = dir.map(|dir| Cache::new(dir, repository));
        let manifests = dir.map(|dir| ManifestCache::new(dir, repository));
        let manifests = manifests.unwrap_or_default();
        let remembered = manifests.load();
        let is_first = remembered.is_empty();
        let early = self.claim_early(&id, &remembered, time)?;
        let looked = early.is_none().then(|| self.repository.look());
        let looked = looked.transpose()?.unwrap_or_default();
        let seen = early.as_ref().map_or(&*looked, EarlyClaim::seen);
        let mut harvest = Harvest {
            time,
            catalog: Catalog::of(self.repository, remembered, seen)?,
            cache: cache.unwrap_or_default(),
            ..Harvest::default()
        };
        let newest = self.newest(time, &mut harvest)?;
        harvest.known = known(self.repository, harvest.catalog.stock(), newest.as_ref())?;
        let (wal, staged) = self.harvest(&id, newest.as_ref(), &mut harvest)?.unzip();
        self.decide(&mut harvest);
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
            harvest.has_marked,
            self.progress,
        )?;
        mending.objects.append(&mut harvest.mended_logs);
        // What lies in `mended/`, or has been put there by this run.
        let has_mended = !catalog.stock().mended.is_empty()
            || harvest.names_mended()
            || mending.objects.iter().any(|name| original(name).is_some());
        let may_end_early = harvest.may_end_early;
        let previous = newest.as_ref().map(|newest| self.repository.link(newest));
        let previous = previous.transpose()?.flatten();
        let mut report = BackupReport {
            new_blocks: count(Change::New),
            updated_blocks: count(Change::Updated),
            unchanged_blocks: count(Change::None),
            read_bytes: harvest.traffic.read(),
            stored_bytes: harvest.traffic.written(),
            mended: std::mem::take(&mut mending.mended),
            problems: std::mem::take(&mut harvest.problems),
            committed,
            archive: self.manifest(id, time, wal, previous, has_mended, harvest),
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
        let commit = Commit {
            archives: &[&report.archive],
            claimed_by: &report.archive.id,
            logs: staged.flatten(),
            also: &mending.objects,
            replaced: &BTreeSet::new(),
            displaces_damaged: false,
            again: "run the backup again",
            early,
        };
        commit.run(self.repository, now)?;
        cache.sweep();
        // What was seen once is missed when it is gone.
        if is_first || self.repository.store().is_far() {
            manifests.add(self.repository, &report.archive);
        }
        self.repository
            .remember(&report.archive, catalog.archives().0)?;
        Ok(report)
    }

    /// Where every request takes a while, and no block has come as far as names tell: claims what
    /// the archive of the last run named, and the logs of archive `id`.
    fn claim_early(
        &self,
        id: &ArchiveId,
        remembered: &RememberedManifests,
        time: Millis,
    ) -> Result<Option<EarlyClaim<'_>>> {
        if !self.repository.store().is_far() {
            return Ok(None);
        }
        let Some(newest) = remembered.newest(&self.source.filter()) else {
            return Ok(None);
        };
        let known: BTreeSet<_> = newest.blocks.iter().map(|block| block.ulid).collect();
        let is_known = |ulid: Option<Ulid>| ulid.is_some_and(|ulid| known.contains(&ulid));
        // What is wrong with the directory is said by whoever reads it.
        let dir = DataDir::scan(&self.source.dir);
        if !dir.is_ok_and(|dir| dir.blocks().all(|entry| is_known(entry.ulid))) {
            return Ok(None);
        }
        let blocks = newest.blocks.iter().flat_map(StoredBlock::objects);
        let mut objects: BTreeSet<_> = blocks.map(|object| object.name.clone()).collect();
        let logs = newest.wal.iter().flat_map(StoredWal::objects);
        objects.extend(logs.map(|object| object.name.clone()));
        objects.insert(wal_object(id)?);
        EarlyClaim::publish(self.repository, objects, time).map(Some)
    }

    /// The newest archive of this source. Manifests that cannot be read are a problem, but no
    /// obstacle.
    fn newest(&self, time: Millis, harvest: &mut Harvest) -> Result<Option<Archive>> {
        let filter = self.source.filter();
        let latest = match harvest.catalog.archives() {
            (archives, []) => Latest::of(archives, &filter, time),
            // One that cannot be read may be the latest.
            _ => self.repository.latest(&filter, time)?,
        };
        harvest.problems.extend(latest.damaged.iter().map(unread));
        harvest.problems.extend(latest.ahead.iter().map(told));
        Ok(latest.archive)
    }

    /// Opens the logs, lists the blocks, reads the logs, stores the blocks: in this order no sample
    /// slips through. When a log shrinks under the reader (the server was started anew and
    /// mended it), everything starts over.
    fn harvest(
        &self,
        id: &ArchiveId,
        newest: Option<&Archive>,
        harvest: &mut Harvest,
    ) -> Result<Option<(StoredWal, Option<Staged>)>> {
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
            match self.stage_logs(id, newest, &logs, blocks.in_order_end(), harvest) {
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

    fn manifest(
        &self,
        id: ArchiveId,
        time: Millis,
        wal: Option<StoredWal>,
        previous: Option<ManifestLink>,
        has_mended: bool,
        harvest: Harvest,
    ) -> Archive {
        let format_version = self.repository.manifest_version(has_mended, wal.as_ref());
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
        Archive {
            format_version,
            id,
            time,
            host: self.source.host.clone(),
            source: self.source.dir.to_string_lossy().into_owned(),
            source_name: self.source.name.clone(),
            labels: self.options.labels.clone(),
            narthex_version: env!("CARGO_PKG_VERSION").to_owned(),
            repository: Some(self.repository.descriptor().id.clone()).filter(|id| !id.is_empty()),
            previous,
            coverage: coverage(&blocks),
            blocks: blocks.into(),
            wal,
            left_out: left_out
                .into_iter()
                .map(|(name, reason)| LeftOut { name, reason })
                .collect(),
            findings,
        }
    }
}

/// What is said of a manifest that cannot be read.
pub(super) fn unread(damaged: &Damaged) -> BackupProblem {
    ProblemKind::ManifestUnread.at(damaged.name.as_str(), damaged.error.chain())
}

/// What is said of an archive from the future.
pub(super) fn told(ahead: &Ahead) -> BackupProblem {
    let detail =
        format!("{ahead}: compare this machine's with another one before anything is removed");
    ProblemKind::ArchiveAhead.at(ahead.id.short(), detail)
}

/// How much will be read of the source, in bytes.
fn bytes_to_read(known: &Known, blocks: &Survey, logs: &LogFiles) -> u64 {
    let new = blocks
        .blocks
        .iter()
        .filter(|block| known.decide(block) == Action::Store);
    logs.bytes() + new.map(|block| block.bytes).sum::<u64>()
}
