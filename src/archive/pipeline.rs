//! From a block that was looked at to its entry in a manifest: opened, verified, stored.

use super::BackupOptions;
use super::hooks::{Hooks, Moment};
use super::plan::Known;
use super::survey::BlockSurvey;
use crate::block::Meta;
use crate::error::Result;
use crate::model::{Millis, Ulid};
use crate::repository::lineage::has_problems;
use crate::repository::{FindingCounts, StoredBlock, StoredFile, portable};
use crate::stored::Codec;
use crate::stored::write::{Failure, Held, Miss, NewBlock, OpenBlock, SourceFile, Writer};
use crate::verify::{Depth, Findings, Kind};

/// A block to be stored; with what is known of it, if only some of its files have changed.
pub(super) type Job = (BlockSurvey, Option<StoredBlock>);

/// What became of a block.
pub(super) type Outcome = Result<StoredBlock, Miss>;

/// Stores blocks.
pub(super) struct Pipeline<'a> {
    pub(super) writer: Writer<'a>,
    pub(super) known: &'a Known,
    pub(super) options: &'a BackupOptions,
    pub(super) hooks: &'a dyn Hooks,
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
        let new = NewBlock {
            ulid: survey.ulid(),
            fingerprint: &survey.fingerprint,
            range: survey.range(),
            open: &block,
            relatives: match self.options.codec {
                Codec::Dense => self.known.relatives(&survey),
                Codec::Portable => Vec::new(),
            },
        };
        let examine = |is_proved| self.examine(&survey, &block, is_proved);
        let held = self.writer.store(&new, self.options.codec, &examine)?;
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
            verified.unless_vanished(&block)?.findings
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

    /// The manifest's entry for `block`, with a sidecar for what differs from its own object.
    fn complete(
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
            changed => {
                let (writer, ulid) = (&self.writer, survey.ulid());
                Some(writer.put_sidecar(ulid, &held.fingerprint, changed, block)?)
            }
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
