//! Storing a block in the dense codec: packed and proved, with a recipe beside it.

use super::fingerprint::{deep_fingerprint, is_immutable};
use super::pipeline::{Failure, Held, Pipeline, count, if_there, immutable_digests};
use super::source::{Content, Miss, OpenBlock, SourceFile};
use super::survey::BlockSurvey;
use crate::dense::{RECIPE_FILE, Recipe, SegmentRecipe, StagedPack, digests, stage_pack};
use crate::error::{Error, ErrorKind, Result};
use crate::pack::{BlockBytes, Packed};
use crate::progress::Silent;
use crate::repository::portable::Root;
use crate::repository::{
    Digest, FilePath, FindingCounts, Fingerprint, Hasher, PACK, StoredBlock, StoredFile,
    StoredObject, pack_object, recipe_object,
};
use crate::store::ObjectName;
use crate::verify::{Depth, Options, verify_block};

/// Name of the index file.
const INDEX: &str = "index";

/// Bytes of a pack that are read at a time.
const STEP: u64 = 4 << 20;

/// The files whose place a pack takes.
struct Packable<'b> {
    index: Content,
    segments: Vec<(&'b SourceFile, Content)>,
}

/// What became of an attempt to store a block under some name.
enum Attempt {
    Held(Box<Held>),
    /// The name is taken by something else, or by something that is about to be deleted.
    Taken,
    /// The block cannot be packed.
    Unpackable,
}

impl<'b> Packable<'b> {
    /// The index and the segments of `block`; `None` if it lacks the index, or could not be told from a stored one.
    fn of(pipeline: &Pipeline<'_>, block: &'b OpenBlock) -> Result<Option<Self>> {
        let Some(index) = block
            .get(INDEX)
            .filter(|_| block.get(RECIPE_FILE).is_none())
        else {
            return Ok(None);
        };
        let mode = pipeline.options.verify.read_mode;
        let segments = block.files.iter().filter(|file| is_segment(&file.name));
        let segments = segments.map(|file| Ok((file, file.content(mode)?)));
        Ok(Some(Packable {
            index: index.content(mode)?,
            segments: segments.collect::<Result<_>>()?,
        }))
    }

    fn bytes(&self) -> BlockBytes<'_> {
        BlockBytes {
            index: &self.index,
            segments: self
                .segments
                .iter()
                .map(|(_, content)| &**content)
                .collect(),
        }
    }
}

/// Whether `name` is that of a segment: Prometheus reads the files in `chunks` whose names are numbers.
fn is_segment(name: &FilePath) -> bool {
    let number = name.as_str().strip_prefix("chunks/");
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

impl Pipeline<'_> {
    /// Stores a block that nothing is known of; `None` if the dense codec cannot hold it.
    pub(super) fn store_densely(
        &self,
        survey: &BlockSurvey,
        block: &OpenBlock,
    ) -> Result<Option<StoredBlock>, Failure> {
        let Some(source) = Packable::of(self, block).map_err(Miss::from)? else {
            return Ok(None);
        };
        let mut fingerprint = survey.fingerprint.clone();
        for _ in 0..2 {
            match self.attempt(survey, &fingerprint, block, &source)? {
                Attempt::Held(held) => return self.complete(survey, block, *held).map(Some),
                Attempt::Unpackable => return Ok(None),
                Attempt::Taken => {
                    let digests = immutable_digests(block).map_err(Miss::from)?;
                    let names = digests.iter().map(|(file, sha256)| (&file.name, *sha256));
                    fingerprint = deep_fingerprint(&survey.fingerprint, names);
                }
            }
        }
        Err(Failure::Source(Miss::Unreadable(Error::corrupt(format!(
            "block {}: both objects that could hold it are damaged or about to be deleted",
            survey.ulid()
        )))))
    }

    fn attempt(
        &self,
        survey: &BlockSurvey,
        fingerprint: &Fingerprint,
        block: &OpenBlock,
        source: &Packable<'_>,
    ) -> Result<Attempt, Failure> {
        let name = recipe_object(survey.ulid(), fingerprint).map_err(Failure::Store)?;
        let pack = pack_object(survey.ulid(), fingerprint).map_err(Failure::Store)?;
        if self.known.is_condemned(&name) || self.known.is_condemned(&pack) {
            return Ok(Attempt::Taken);
        }
        if self.known.has_object(&name) {
            return self.adopt_dense(&name, survey, fingerprint, block);
        }
        let (staged, digests) = rayon::join(
            || {
                let advance = |bytes| self.progress.advance(bytes);
                stage_pack(self.store, &pack, &source.bytes(), &advance)
            },
            || immutable_digests(block),
        );
        let Ok(staged) = staged.map_err(Failure::Store)? else {
            return Ok(Attempt::Unpackable);
        };
        let digests = digests.map_err(Miss::from)?;
        let findings = self.verify_packed(survey, staged.packed())?;
        if !findings.is_empty() && !block.is_unchanged() {
            return Err(Miss::Vanished.into());
        }
        let packed = staged.packed().clone();
        let packed_files = packed_files(&packed, &digests);
        self.progress
            .advance(survey.bytes.saturating_sub(chunk_bytes(source)));
        self.traffic
            .add(staged.object().raw_bytes, staged.object().bytes);
        let Some(pack) = self.publish_pack(staged)? else {
            return Ok(Attempt::Taken);
        };
        let recipe = recipe(&pack, &packed, source)
            .to_bytes()
            .map_err(Failure::Store)?;
        let whole = block.files.iter();
        let whole =
            whole.filter(|file| !packed_files.iter().any(|packed| packed.name == file.name));
        let extra = (FilePath::new(RECIPE_FILE).map_err(Failure::Store)?, &recipe);
        let written = self.write_with(
            &name,
            Root::Block(survey.ulid()),
            &whole.collect::<Vec<_>>(),
            Some(extra),
        )?;
        match written.publish() {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                self.adopt_dense(&name, survey, fingerprint, block)
            }
            Err(error) => Err(Failure::Store(error)),
            Ok((object, files)) => Ok(Attempt::Held(Box::new(Held {
                fingerprint: fingerprint.clone(),
                object: object.in_dense_codec(),
                packs: vec![pack],
                files: own_files(files, packed_files),
                findings,
            }))),
        }
    }

    /// Publishes a pack; or takes the one that has its name, if it is the same. `None` when it is another one.
    fn publish_pack(&self, staged: StagedPack) -> Result<Option<StoredObject>, Failure> {
        let wanted = staged.object().clone();
        match staged.publish() {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
            published => return published.map(Some).map_err(Failure::Store),
        }
        let found = if_there(self.hash(&wanted.name))?;
        if found != Some((wanted.bytes, wanted.sha256)) {
            return Ok(None);
        }
        // Whoever published it may have died before it was durable.
        let settled = if_there(self.store.settle(&wanted.name))?;
        Ok(settled.map(|()| wanted))
    }

    /// Takes a recipe object that a run has left which died, if it and its pack hold the same block.
    fn adopt_dense(
        &self,
        name: &ObjectName,
        survey: &BlockSurvey,
        fingerprint: &Fingerprint,
        block: &OpenBlock,
    ) -> Result<Attempt, Failure> {
        let root = Root::Block(survey.ulid());
        let Some((object, files)) = self.read(name, root)? else {
            return Ok(Attempt::Taken);
        };
        let (pack, packed_files) = match digests(self.store, name, survey.ulid(), &Silent) {
            Ok(rebuilt) => rebuilt,
            Err(error) if error.kind() == ErrorKind::Io => return Err(Failure::Store(error)),
            Err(_) => return Ok(Attempt::Taken),
        };
        let files = own_files(files, packed_files);
        let here = immutable_digests(block).map_err(Miss::from)?;
        if !is_same_part(&here, &files) {
            return Ok(Attempt::Taken);
        }
        let settled = if_there(self.store.settle(&pack))?;
        let hashed = if_there(self.hash(&pack))?;
        let Some(((), (bytes, sha256))) = settled.zip(hashed) else {
            return Ok(Attempt::Taken);
        };
        let raw_bytes = files
            .iter()
            .filter(|file| file.packed)
            .map(|file| file.bytes);
        let pack = StoredObject {
            name: pack,
            codec: PACK.to_owned(),
            bytes,
            sha256,
            raw_bytes: raw_bytes.sum(),
        };
        let verdict =
            verify_block(&survey.found.dir, self.options.verify, &Silent).map_err(Miss::from)?;
        let findings = count(&verdict.findings);
        if !findings.is_empty() && !block.is_unchanged() {
            return Err(Miss::Vanished.into());
        }
        self.progress.advance(survey.bytes);
        Ok(Attempt::Held(Box::new(Held {
            fingerprint: fingerprint.clone(),
            object: object.in_dense_codec(),
            packs: vec![pack],
            files,
            findings,
        })))
    }

    /// What is wrong with a block that was packed. That its chunks and its index came back as they were proves most of what
    /// deep verification would: only what has not been looked at is left to do.
    fn verify_packed(
        &self,
        survey: &BlockSurvey,
        packed: &Packed,
    ) -> Result<FindingCounts, Failure> {
        let asked = self.options.verify;
        let is_proved = packed.is_sound && packed.index.is_some();
        let depth = if is_proved { Depth::Quick } else { asked.depth };
        let verify = |depth| verify_block(&survey.found.dir, Options { depth, ..asked }, &Silent);
        let verdict = verify(depth).map_err(Miss::from)?;
        if depth == asked.depth || !verdict.findings.has_problems() {
            return Ok(count(&verdict.findings));
        }
        // Where something is wrong all is to be known.
        let verdict = verify(asked.depth).map_err(Miss::from)?;
        Ok(count(&verdict.findings))
    }

    /// Size and digest of an object.
    fn hash(&self, name: &ObjectName) -> Result<(u64, Digest)> {
        let bytes = self.store.size(name)?;
        let mut sha256 = Hasher::default();
        let mut offset = 0;
        while offset < bytes {
            let end = bytes.min(offset + STEP);
            sha256.update(&self.store.get_range(name, offset..end)?);
            offset = end;
        }
        Ok((bytes, sha256.finish()))
    }
}

/// Whether `files` have the same immutable part as the block whose digests are `here`.
pub(super) fn is_same_part(here: &[(&SourceFile, Digest)], files: &[StoredFile]) -> bool {
    let there: Vec<_> = files
        .iter()
        .filter(|file| is_immutable(&file.name))
        .collect();
    here.len() == there.len()
        && here.iter().all(|(file, sha256)| {
            there
                .iter()
                .any(|stored| stored.name == file.name && stored.sha256 == *sha256)
        })
}

fn chunk_bytes(source: &Packable<'_>) -> u64 {
    source.segments.iter().map(|(file, _)| file.bytes).sum()
}

fn recipe(pack: &StoredObject, packed: &Packed, source: &Packable<'_>) -> Recipe {
    let segments = source.segments.iter().zip(&packed.segments);
    let segments = segments.map(|((file, _), chunks)| SegmentRecipe {
        name: file.name.clone(),
        chunks: *chunks,
    });
    Recipe::new(pack.name.clone(), packed.index, segments.collect())
}

/// The files that are rebuilt from the pack.
fn packed_files(packed: &Packed, digests: &[(&SourceFile, Digest)]) -> Vec<StoredFile> {
    let is_packed =
        |name: &FilePath| is_segment(name) || (name.as_str() == INDEX && packed.index.is_some());
    let files = digests.iter().filter(|(file, _)| is_packed(&file.name));
    files
        .map(|(file, sha256)| StoredFile {
            name: file.name.clone(),
            bytes: file.bytes,
            sha256: *sha256,
            sidecar: false,
            packed: true,
        })
        .collect()
}

/// The files of a block, those in its recipe object and those in its pack, without the recipe.
fn own_files(whole: Vec<StoredFile>, packed: Vec<StoredFile>) -> Vec<StoredFile> {
    let mut files = whole;
    files.retain(|file| file.name.as_str() != RECIPE_FILE);
    files.extend(packed);
    files
}
