//! From an open block to an object in the repository: verified, compressed, published.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::densely::is_same_part;
use super::fingerprint::deep_fingerprint;
use super::hooks::{Hooks, Moment};
use super::plan::Known;
use super::source::{Miss, OpenBlock, SourceFile};
use super::statistics::{Verified, take_statistics};
use super::survey::BlockSurvey;
use super::{BackupOptions, Codec};
use crate::block::Meta;
use crate::dense::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, Ulid};
use crate::progress::{Progress, Silent};
use crate::repository::lineage::has_problems;
use crate::repository::portable::{self, Object, Root, Staged};
use crate::repository::{
    Digest, FilePath, FindingCounts, Fingerprint, STATISTICS_FILE, StoredBlock, StoredFile,
    StoredObject, block_object, mended_object, side_object,
};
use crate::store::{ObjectName, Store};
use crate::verify::{Depth, Findings, Kind};

/// Why a block was not stored.
pub(super) enum Failure {
    /// The source's fault: the others go on.
    Source(Miss),
    /// The repository's fault: nothing can go on.
    Store(Error),
}

impl From<Miss> for Failure {
    fn from(miss: Miss) -> Self {
        Failure::Source(miss)
    }
}

/// A block to be stored; with what is known of it, if only some of its files have changed.
pub(super) type Job = (BlockSurvey, Option<StoredBlock>);

/// What became of a block.
pub(super) type Outcome = Result<StoredBlock, Miss>;

/// Stores blocks.
pub(super) struct Pipeline<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) known: &'a Known,
    pub(super) options: &'a BackupOptions,
    pub(super) progress: &'a dyn Progress,
    pub(super) hooks: &'a dyn Hooks,
    pub(super) traffic: &'a Traffic,
    pub(super) cache: &'a Cache,
    /// Receives objects that turn out to be damaged, and what is wrong with each.
    pub(super) suspects: &'a Mutex<BTreeMap<ObjectName, String>>,
}

/// Bytes in and out of a [`Pipeline`].
#[derive(Debug, Default)]
pub(super) struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    /// Bytes of the source that were compressed.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the objects they became.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Counts `read` bytes that became `written`.
    pub(super) fn add(&self, read: u64, written: u64) {
        self.read.fetch_add(read, Ordering::Relaxed);
        self.written.fetch_add(written, Ordering::Relaxed);
    }
}

/// An immutable part that is in the repository.
pub(super) struct Held {
    pub(super) fingerprint: Fingerprint,
    pub(super) object: StoredObject,
    /// Whether the object holds statistics.
    pub(super) statistics: bool,
    pub(super) packs: Vec<StoredObject>,
    /// Everything in these, which is how the block was when it was stored first.
    pub(super) files: Vec<StoredFile>,
    pub(super) findings: FindingCounts,
}

impl Pipeline<'_> {
    /// Stores blocks, and says what became of each, in their order.
    ///
    /// # Errors
    ///
    /// When the repository fails. Faults of the source are outcomes.
    pub(super) fn run(&self, jobs: &[Job]) -> Result<Vec<Outcome>> {
        let bytes = |(survey, _): &Job| survey.bytes;
        portable::spread(jobs, bytes, |job| match self.do_job(job) {
            Ok(stored) => Ok(Ok(stored)),
            Err(Failure::Source(miss)) => Ok(Err(miss)),
            Err(Failure::Store(error)) => Err(error),
        })
    }

    fn do_job(&self, (survey, stored): &Job) -> Result<StoredBlock, Failure> {
        match stored {
            Some(stored) => self.refresh(survey, stored),
            None => self.store(survey),
        }
    }

    /// Stores a block that nothing is known of.
    fn store(&self, survey: &BlockSurvey) -> Result<StoredBlock, Failure> {
        let (block, mut stored) = self.store_as_it_is(survey)?;
        mark_holes(&mut stored, &block);
        if block.listing.lacks_part(&survey.found.dir) {
            mark(&mut stored.findings, Kind::Unreadable);
        }
        Ok(stored)
    }

    fn store_as_it_is(&self, survey: &BlockSurvey) -> Result<(OpenBlock, StoredBlock), Failure> {
        let block = survey.found.open(self.options.links)?;
        self.hooks.reached(Moment::BlockOpened(survey.ulid()));
        let survey = BlockSurvey::of(survey.found.clone(), &block).map_err(Miss::from)?;
        if self.options.codec == Codec::Dense
            && let Some(stored) = self.store_densely(&survey, &block)?
        {
            return Ok((block, stored));
        }
        let verified = self.verify(&survey, &block, self.options.verify.depth)?;
        // What looks damaged may be half deleted.
        if !verified.findings.is_empty() && !block.is_unchanged() {
            return Err(Miss::Vanished.into());
        }
        let held = self.hold(&survey, &block, verified)?;
        let stored = self.complete(&survey, &block, held)?;
        Ok((block, stored))
    }

    /// Stores what has changed of a block whose immutable part is stored.
    fn refresh(&self, survey: &BlockSurvey, stored: &StoredBlock) -> Result<StoredBlock, Failure> {
        let block = survey.found.open(self.options.links)?;
        self.hooks.reached(Moment::BlockOpened(survey.ulid()));
        let now = BlockSurvey::of(survey.found.clone(), &block).map_err(Miss::from)?;
        if now.fingerprint != survey.fingerprint {
            return Err(Miss::Vanished.into());
        }
        let findings = if self.is_still_sound(&now, &block, stored)? {
            stored.findings.clone()
        } else {
            let verified = self.verify(&now, &block, self.options.verify.depth)?;
            // What looks damaged may be half deleted.
            if !verified.findings.is_empty() && !block.is_unchanged() {
                return Err(Miss::Vanished.into());
            }
            verified.findings
        };
        let own = stored.files.iter().filter(|file| !file.sidecar);
        let held = Held {
            fingerprint: stored.fingerprint.clone(),
            object: stored.object.clone(),
            statistics: stored.statistics,
            packs: stored.packs.clone(),
            files: own.cloned().collect(),
            findings,
        };
        let mut stored = self.complete(&now, &block, held)?;
        mark_holes(&mut stored, &block);
        Ok(stored)
    }

    /// Whether the verdict on the stored block, that it is sound, is still true of it: its
    /// `meta.json` says the same, and nothing that a start of Prometheus reads is wrong. Its
    /// index and segments are what they were.
    fn is_still_sound(
        &self,
        now: &BlockSurvey,
        block: &OpenBlock,
        stored: &StoredBlock,
    ) -> Result<bool, Failure> {
        let says = |meta| Facts::of(meta, now.parents());
        let is_told = now.meta.as_ref().map(says) == Some(Facts::told(stored));
        Ok(is_told
            && !has_problems(stored)
            && !self.verify(now, block, Depth::Opening)?.has_problems)
    }

    /// Makes sure that the repository holds the immutable part of `block`.
    fn hold(
        &self,
        survey: &BlockSurvey,
        block: &OpenBlock,
        verified: Verified,
    ) -> Result<Held, Failure> {
        let Verified {
            findings,
            statistics,
            ..
        } = verified;
        let held = |fingerprint, (object, mut files)| Held {
            fingerprint,
            object,
            statistics: take_statistics(&mut files, block),
            packs: Vec::new(),
            files,
            findings,
        };
        let extra: Vec<_> = statistics
            .into_iter()
            .map(|bytes| (STATISTICS_FILE, bytes))
            .collect();
        let cheap = &survey.fingerprint;
        let name = block_object(survey.ulid(), cheap).map_err(Failure::Store)?;
        if let Some(parts) = self.put_or_adopt(survey, &name, block, &extra)? {
            return Ok(held(cheap.clone(), parts));
        }
        let mut taken = (cheap.clone(), name);
        if !self.known.is_spoiled(&taken.1) {
            // The name is taken by something else: one of the two is damaged where the fingerprint
            // does not look.
            let digests = immutable_digests(block).map_err(Miss::from)?;
            let names = digests.iter().map(|(file, sha256)| (&file.name, *sha256));
            let deep = deep_fingerprint(cheap, names);
            let name = block_object(survey.ulid(), &deep).map_err(Failure::Store)?;
            if let Some(parts) = self.put_or_adopt(survey, &name, block, &extra)? {
                return Ok(held(deep, parts));
            }
            taken = (deep, name);
        }
        let replacement = mended_object(self.store, &taken.1).map_err(Failure::Store)?;
        let root = Root::Block(survey.ulid());
        let files: Vec<_> = block.files.iter().collect();
        let written = self.write_with(&replacement, root, &files, &extra)?;
        let parts = written.publish().map_err(Failure::Store)?;
        Ok(held(taken.0, parts))
    }

    /// Writes the object of a block; or takes the one that has its name, if it holds the same
    /// immutable part: a run that died may have left it. `None` when it holds something else,
    /// or is about to be deleted.
    fn put_or_adopt(
        &self,
        survey: &BlockSurvey,
        name: &ObjectName,
        block: &OpenBlock,
        extra: &[(&str, Vec<u8>)],
    ) -> Result<Option<(StoredObject, Vec<StoredFile>)>, Failure> {
        // Of what is spoiled archives say something else.
        if self.known.is_condemned(name) || self.known.is_spoiled(name) {
            return Ok(None);
        }
        let root = Root::Block(survey.ulid());
        if !self.known.has_object(name) {
            let files: Vec<_> = block.files.iter().collect();
            match self.write_with(name, root, &files, extra)?.publish() {
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
                published => return published.map(Some).map_err(Failure::Store),
            }
        }
        let Some((object, files)) = self.read(name, root)? else {
            return Ok(None);
        };
        let here = immutable_digests(block).map_err(Miss::from)?;
        let same = is_same_part(&here, &files);
        if same {
            self.progress.advance(survey.bytes);
        }
        Ok(same.then_some((object, files)))
    }

    /// The manifest's entry for `block`, with a sidecar for what differs from its own object.
    pub(super) fn complete(
        &self,
        survey: &BlockSurvey,
        block: &OpenBlock,
        held: Held,
    ) -> Result<StoredBlock, Failure> {
        let (mut current, own_mutable): (Vec<_>, Vec<_>) = held
            .files
            .into_iter()
            .partition(|file| file.name.is_immutable());
        let mut changed = Vec::new();
        for file in &survey.mutable {
            let sidecar = !own_mutable.contains(file);
            if sidecar {
                changed.push(file);
            }
            current.push(StoredFile {
                sidecar,
                ..file.clone()
            });
        }
        let sidecar = match changed.as_slice() {
            [] => None,
            changed => Some(self.put_sidecar(survey.ulid(), &held.fingerprint, changed, block)?),
        };
        let told = self.known.told(survey).filter(|_| survey.meta.is_none());
        let facts = match (&survey.meta, told) {
            (Some(meta), _) => Facts::of(meta, survey.parents()),
            (None, Some(told)) => Facts::told(told),
            (None, None) => Facts::default(),
        };
        Ok(survey.tell(StoredBlock {
            ulid: survey.ulid(),
            fingerprint: held.fingerprint,
            min_time: facts.min_time,
            max_time: facts.max_time,
            level: facts.level,
            sources: facts.sources,
            parents: facts.parents,
            resolution: told.and_then(|told| told.resolution),
            external_labels: told
                .map(|told| told.external_labels.clone())
                .unwrap_or_default(),
            hints: told.map(|told| told.hints.clone()).unwrap_or_default(),
            series: facts.series,
            chunks: facts.chunks,
            samples: facts.samples,
            object: held.object,
            statistics: held.statistics,
            packs: held.packs,
            sidecar,
            files: current,
            empty_dirs: survey.listing.empty_dirs.clone(),
            findings: held.findings,
        }))
    }

    fn put_sidecar(
        &self,
        ulid: Ulid,
        fingerprint: &Fingerprint,
        changed: &[&StoredFile],
        block: &OpenBlock,
    ) -> Result<StoredObject, Failure> {
        // The second name is for the day on which the first is taken by something that is no
        // sidecar of these files.
        for attempt in 0..2 {
            let listing = changed.iter().map(|file| (&file.name, file.sha256));
            let name = side_object(ulid, fingerprint, listing, attempt).map_err(Failure::Store)?;
            if let Some(object) = self.put_or_adopt_sidecar(ulid, &name, changed, block)? {
                return Ok(object);
            }
            if attempt > 0 || self.known.is_spoiled(&name) {
                let name = mended_object(self.store, &name).map_err(Failure::Store)?;
                let staged = self.write_sidecar(ulid, &name, changed, block)?;
                let published = staged.publish().map_err(Failure::Store)?;
                return Ok(published.0);
            }
        }
        Err(Miss::Vanished.into())
    }

    fn write_sidecar(
        &self,
        ulid: Ulid,
        name: &ObjectName,
        changed: &[&StoredFile],
        block: &OpenBlock,
    ) -> Result<Staged, Failure> {
        let sources = changed
            .iter()
            .filter_map(|file| block.get(file.name.as_str()));
        let staged = self.write(name, Root::Block(ulid), &sources.collect::<Vec<_>>())?;
        if staged.files().iter().eq(changed.iter().copied()) {
            Ok(staged)
        } else {
            Err(Miss::Vanished.into())
        }
    }

    /// Writes a sidecar, or takes the one that has its name. `None` when that one is damaged or
    /// about to be deleted.
    fn put_or_adopt_sidecar(
        &self,
        ulid: Ulid,
        name: &ObjectName,
        changed: &[&StoredFile],
        block: &OpenBlock,
    ) -> Result<Option<StoredObject>, Failure> {
        if self.known.is_condemned(name) || self.known.is_spoiled(name) {
            return Ok(None);
        }
        let root = Root::Block(ulid);
        let is_listed = |files: &[StoredFile]| files.iter().eq(changed.iter().copied());
        if !self.known.has_object(name) {
            match self.write_sidecar(ulid, name, changed, block)?.publish() {
                Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
                published => {
                    return published
                        .map(|(object, _)| Some(object))
                        .map_err(Failure::Store);
                }
            }
        }
        let read = self.read(name, root)?;
        Ok(read
            .filter(|(_, files)| is_listed(files))
            .map(|(object, _)| object))
    }

    /// Compresses `files` into an object that is not published yet.
    pub(super) fn write(
        &self,
        name: &ObjectName,
        root: Root,
        files: &[&SourceFile],
    ) -> Result<Staged, Failure> {
        self.write_with(name, root, files, &[])
    }

    /// Like [`Pipeline::write`], with more files that are not from the source.
    pub(super) fn write_with(
        &self,
        name: &ObjectName,
        root: Root,
        files: &[&SourceFile],
        extra: &[(&str, Vec<u8>)],
    ) -> Result<Staged, Failure> {
        let mut sources: Vec<_> = files.iter().map(|file| file.to_store()).collect();
        for (name, content) in extra {
            let name = FilePath::new(*name).map_err(Failure::Store)?;
            sources.push(portable::SourceFile { name, content });
        }
        let staged = portable::write(
            self.store,
            name,
            root,
            &sources,
            self.options.level,
            self.progress,
        )
        .map_err(|error| {
            if files.iter().any(|file| file.has_vanished()) {
                Failure::Source(Miss::Vanished)
            } else if files.iter().any(|file| file.has_failed()) {
                Failure::Source(Miss::Unreadable(error))
            } else {
                Failure::Store(error)
            }
        })?;
        let read = files.iter().map(|file| file.bytes).sum();
        self.traffic.add(read, staged.object().bytes);
        Ok(staged)
    }

    /// What an object holds that is to be relied on, all of it read; `None` when it is damaged, or
    /// the disk cannot read it.
    pub(super) fn read(
        &self,
        name: &ObjectName,
        root: Root,
    ) -> Result<Option<(StoredObject, Vec<StoredFile>)>, Failure> {
        let read = Object::open(self.store, name, root)
            .and_then(|object| object.contents(&mut portable::NoVisitor, &Silent));
        match read {
            // Whoever published it may have died before it was durable.
            Ok(contents) => Ok(if_there(self.store.settle(name))?.map(|()| contents)),
            Err(_) => Ok(None),
        }
    }
}

/// What an archive says of a block for planning, out of its `meta.json`.
#[derive(Default, PartialEq, Eq)]
struct Facts {
    min_time: Millis,
    max_time: Millis,
    level: u64,
    sources: Vec<Ulid>,
    parents: Vec<Ulid>,
    series: u64,
    chunks: u64,
    samples: u64,
}

impl Facts {
    fn of(meta: &Meta, parents: Vec<Ulid>) -> Self {
        Facts {
            min_time: meta.min_time,
            max_time: meta.max_time,
            level: u64::try_from(meta.compaction.level).unwrap_or(0),
            sources: meta.compaction.sources.clone(),
            parents,
            series: meta.stats.num_series,
            chunks: meta.stats.num_chunks,
            samples: meta.stats.num_samples,
        }
    }

    /// What an earlier archive says: a block whose `meta.json` is gone still covers its time.
    fn told(stored: &StoredBlock) -> Self {
        Facts {
            min_time: stored.min_time,
            max_time: stored.max_time,
            level: stored.level,
            sources: stored.sources.clone(),
            parents: stored.parents.clone(),
            series: stored.series,
            chunks: stored.chunks,
            samples: stored.samples,
        }
    }
}

/// What was asked of an object that may have been deleted since it was seen; `None` when it has
/// been.
pub(super) fn if_there<T>(result: Result<T>) -> Result<Option<T>, Failure> {
    match result {
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(Failure::Store),
    }
}

pub(super) fn immutable_digests(block: &OpenBlock) -> Result<Vec<(&SourceFile, Digest)>> {
    let files = block.files.iter().filter(|file| file.name.is_immutable());
    files.map(|file| Ok((file, file.digest()?))).collect()
}

/// Counts a finding of this kind, if there is none yet: what was stored lacks something that
/// verification, which reads files in another way, may have seen.
fn mark(findings: &mut FindingCounts, kind: Kind) {
    if !findings.by_kind.contains_key(kind.id()) {
        findings.by_kind.insert(kind.id().to_owned(), 1);
        let severity = kind.severity().to_string();
        *findings.by_severity.entry(severity).or_default() += 1;
    }
}

/// Says of a block that pages of it could not be read, and are archived as zeros.
fn mark_holes(stored: &mut StoredBlock, block: &OpenBlock) {
    if block.files.iter().any(SourceFile::has_holes) {
        mark(&mut stored.findings, Kind::PageUnreadable);
    }
}

/// The findings in the words of a manifest.
pub(super) fn count(findings: &Findings) -> FindingCounts {
    let counts = findings.counts();
    FindingCounts::of(counts.map(|(kind, count)| (kind.id(), kind.severity().to_string(), count)))
}
