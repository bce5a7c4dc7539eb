//! Storing a block in the dense codec: packed and proved, with a recipe beside it.

mod adopt;
mod splicing;

use std::io::Write;

use super::source::Content;
use super::{
    Examine, Failure, Held, IsProved, Miss, NewBlock, OpenBlock, SourceFile, Verified, Writer,
    deep_fingerprint, if_there, immutable_digests,
};
use crate::dense::{
    NewEntry, PackCopy, RECIPE_FILE, Recipe, SPLICE_FILE, SegmentRecipe, StagedPack, comes_back,
    stage_pack,
};
use crate::error::{Error, ErrorKind, Result};
use crate::index::Generation;
use crate::model::Ulid;
use crate::pack::{BlockBytes, PackSelection, Splice};
use crate::repository::portable::Root;
use crate::repository::{
    Digest, FilePath, Fingerprint, STATISTICS_FILE, StoredFile, StoredObject, mended_object,
    pack_object, recipe_object,
};
use crate::store::{ObjectName, Store};

/// How often a block is planned, each time without packs that turned out to be damaged, before it
/// is packed whole or given up.
const MAX_PLANS: usize = 4;

/// Name of the index file.
const INDEX: &str = "index";

/// What a recipe object holds beside files of its block.
const OWN_FILES: [&str; 3] = [RECIPE_FILE, SPLICE_FILE, STATISTICS_FILE];

/// The files whose place a pack takes.
struct Packable<'b> {
    index: Content,
    segments: Vec<(&'b SourceFile, Content)>,
}

/// A block whose samples are stored, or ready to be.
struct Stored {
    /// The packs it is spliced from.
    packs: Vec<StoredObject>,
    /// The pack that holds what none of them has.
    own: Option<StagedOwn>,
    splice: Splice,
    /// How the index is rebuilt; `None` when it must be kept as it is.
    index: Option<Generation>,
    /// Number of chunks in each segment.
    segments: Vec<u64>,
    /// Whether all its chunks were found sound.
    is_sound: bool,
}

/// A block that comes back from packs that are all stored.
struct Proved {
    packs: Vec<StoredObject>,
    recipe: Recipe,
    splice: Splice,
    /// The files that do.
    files: Vec<StoredFile>,
}

/// A pack that is not published yet, and what is to be remembered of it.
struct StagedOwn {
    staged: StagedPack,
    entry: NewEntry,
    /// Its bytes, where they would have to be read back from far away.
    copy: Option<PackCopy>,
}

/// What the objects of a block are to be called.
struct Names {
    recipe: ObjectName,
    /// The pack, if it holds all of the block.
    pack: ObjectName,
}

impl Names {
    fn of(ulid: Ulid, fingerprint: &Fingerprint) -> Result<Self, Failure> {
        Ok(Names {
            recipe: recipe_object(ulid, fingerprint).map_err(Failure::Store)?,
            pack: pack_object(ulid, fingerprint).map_err(Failure::Store)?,
        })
    }

    /// New names, of objects that stand in for these.
    fn mended(&self, store: &dyn Store) -> Result<Self, Failure> {
        Ok(Names {
            recipe: mended_object(store, &self.recipe).map_err(Failure::Store)?,
            pack: mended_object(store, &self.pack).map_err(Failure::Store)?,
        })
    }
}

/// What became of an attempt to store a block under some name.
enum Attempt {
    Held(Box<Held>),
    /// The name is taken by something else, or by something that is about to be deleted.
    Taken,
    /// What has the name is damaged, or names what is.
    Damaged,
    /// The block cannot be packed.
    Unpackable,
}

impl<'b> Packable<'b> {
    /// The index and the segments of `block`; `None` if it lacks the index, or could not be told
    /// from a stored one.
    fn of(writer: &Writer<'_>, block: &'b OpenBlock) -> Result<Option<Self>> {
        let Some(index) = block
            .get(INDEX)
            .filter(|_| OWN_FILES.iter().all(|name| block.get(name).is_none()))
        else {
            return Ok(None);
        };
        let mode = writer.read_mode;
        let segments = block.files.iter().filter(|file| file.name.is_segment());
        let segments = segments.map(|file| Ok((file, file.content(mode)?)));
        Ok(Some(Packable {
            index: index.content(mode)?,
            segments: segments.collect::<Result<_>>()?,
        }))
    }

    /// Whether there are pages that could not be read, and were taken for zeros.
    fn has_holes(&self) -> bool {
        let segments = self.segments.iter().map(|(_, content)| content);
        segments.chain([&self.index]).any(Content::has_holes)
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

impl Writer<'_> {
    /// Stores a block that nothing is known of; `None` if the dense codec cannot hold it.
    pub(crate) fn store_densely(
        &self,
        block: &NewBlock<'_>,
        examine: &Examine<'_>,
    ) -> Result<Option<Held>, Failure> {
        let Some(source) = Packable::of(self, block.open).map_err(Miss::from)? else {
            return Ok(None);
        };
        let mut fingerprint = block.fingerprint.clone();
        let mut names = Names::of(block.ulid, &fingerprint)?;
        for attempt in 0..3 {
            match self.attempt(block, &fingerprint, &names, &source, examine)? {
                Attempt::Held(held) => return Ok(Some(*held)),
                Attempt::Unpackable => return Ok(None),
                Attempt::Taken if attempt == 0 => {
                    let digests = immutable_digests(block.open).map_err(Miss::from)?;
                    let files = digests.iter().map(|(file, sha256)| (&file.name, *sha256));
                    fingerprint = deep_fingerprint(block.fingerprint, files);
                    names = Names::of(block.ulid, &fingerprint)?;
                }
                Attempt::Taken | Attempt::Damaged => names = names.mended(self.store)?,
            }
        }
        Err(Failure::Source(Miss::Unreadable(Error::corrupt(format!(
            "block {}: what is stored of it does not come back",
            block.ulid
        )))))
    }

    fn attempt(
        &self,
        block: &NewBlock<'_>,
        fingerprint: &Fingerprint,
        names: &Names,
        source: &Packable<'_>,
        examine: &Examine<'_>,
    ) -> Result<Attempt, Failure> {
        let (name, pack) = (&names.recipe, &names.pack);
        if self.known.is_condemned(name) || self.known.is_condemned(pack) {
            return Ok(Attempt::Taken);
        }
        // Even if all that it holds can be read: it is not what archives say, and whoever described
        // it anew would contradict them.
        if self.known.is_spoiled(name) {
            return Ok(Attempt::Damaged);
        }
        if self.known.has_object(name) {
            return self.adopt_dense(name, fingerprint, block, examine);
        }
        if self.known.is_spoiled(pack) {
            return Ok(Attempt::Damaged);
        }
        let mut may_splice = true;
        for _ in 0..MAX_PLANS {
            let suspects = self.suspects().len();
            let (stored, digests) = rayon::join(
                || self.pack_up(block, fingerprint, pack, source, may_splice),
                || immutable_digests(block.open),
            );
            let Some(stored) = stored? else {
                return Ok(Attempt::Unpackable);
            };
            let digests = digests.map_err(Miss::from)?;
            // What was packed was mapped, and what was digested was read: with pages that cannot be
            // read, the two may differ.
            if source.has_holes() || block.open.files.iter().any(SourceFile::has_holes) {
                return Ok(Attempt::Unpackable);
            }
            // That its chunks and its index came back as they were proves most of what there is to
            // be proved.
            let is_proved = if stored.is_sound && stored.index.is_some() {
                IsProved::Yes
            } else {
                IsProved::No
            };
            let verified = examine(is_proved)?.unless_vanished(block.open)?;
            let is_spliced = !stored.packs.is_empty();
            let packed_files = packed_files(stored.index.is_some(), &digests);
            let read: u64 = packed_files.iter().map(|file| file.bytes).sum();
            let Some(proved) = self.prove(block, stored, source, packed_files)? else {
                if is_spliced {
                    // What the plan was built on may have turned out to be damaged: the next one
                    // goes without.
                    may_splice = self.suspects().len() > suspects;
                    continue;
                }
                break;
            };
            self.progress
                .advance(block.open.bytes().saturating_sub(chunk_bytes(source)));
            self.traffic.add(read, 0);
            return self.put_recipe(name, fingerprint, block, proved, verified, examine);
        }
        Ok(Attempt::Taken)
    }

    /// Publishes what is new of a block, and rebuilds what was spliced; `None` when that does not
    /// come back, or a name is taken.
    fn prove(
        &self,
        block: &NewBlock<'_>,
        stored: Stored,
        source: &Packable<'_>,
        files: Vec<StoredFile>,
    ) -> Result<Option<Proved>, Failure> {
        let Stored {
            mut packs,
            own,
            splice,
            index,
            segments,
            ..
        } = stored;
        let is_spliced = !packs.is_empty();
        if let Some(StagedOwn {
            staged,
            entry,
            copy,
        }) = own
        {
            let is_sound = staged.packed().is_sound;
            self.traffic.add(0, staged.object().bytes);
            let Some(pack) = self.publish_pack(staged)? else {
                return Ok(None);
            };
            self.cache.keep(entry, copy, self.store, &pack, is_sound);
            packs.push(pack);
        }
        let recipe = recipe(&packs, &splice, index, &segments, source);
        // A pack that holds all of the block was proved while it was written.
        if is_spliced && !comes_back(self.store, &packs, &recipe, &splice, &source.bytes()) {
            self.suspect(&packs);
            self.progress.remark(&format!(
                "block {} does not come back from the packs that seem to hold its samples: they are stored again",
                block.ulid
            ));
            return Ok(None);
        }
        Ok(Some(Proved {
            packs,
            recipe,
            splice,
            files,
        }))
    }

    /// Publishes the recipe object of a block that is proved.
    fn put_recipe(
        &self,
        name: &ObjectName,
        fingerprint: &Fingerprint,
        block: &NewBlock<'_>,
        proved: Proved,
        verified: Verified,
        examine: &Examine<'_>,
    ) -> Result<Attempt, Failure> {
        let Proved {
            packs,
            recipe,
            splice,
            files: packed_files,
        } = proved;
        let recipe = recipe.to_bytes().map_err(Failure::Store)?;
        let whole = block.open.files.iter();
        let whole =
            whole.filter(|file| !packed_files.iter().any(|packed| packed.name == file.name));
        let splice = Some(splice).filter(|splice| !splice.is_plain());
        let splice = splice.map(|splice| (SPLICE_FILE, splice.to_bytes()));
        let statistics = verified.statistics.map(|bytes| (STATISTICS_FILE, bytes));
        let has_statistics = statistics.is_some();
        let extra = statistics.into_iter().chain(splice);
        let extra: Vec<_> = extra.chain([(RECIPE_FILE, recipe)]).collect();
        let written = self.write_with(
            name,
            Root::Block(block.ulid),
            &whole.collect::<Vec<_>>(),
            &extra,
        )?;
        match written.publish() {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {
                self.adopt_dense(name, fingerprint, block, examine)
            }
            Err(error) => Err(Failure::Store(error)),
            Ok((object, files)) => Ok(Attempt::Held(Box::new(Held {
                fingerprint: fingerprint.clone(),
                object: object.in_dense_codec(),
                statistics: has_statistics,
                packs,
                files: own_files(files, packed_files),
                findings: verified.findings,
            }))),
        }
    }

    /// Finds out which packs hold the block, and writes what none of them has into a new one; one
    /// that holds all of the block is called `whole`. `None` if the block cannot be packed.
    fn pack_up(
        &self,
        block: &NewBlock<'_>,
        fingerprint: &Fingerprint,
        whole: &ObjectName,
        source: &Packable<'_>,
        may_splice: bool,
    ) -> Result<Option<Stored>, Failure> {
        if may_splice && let Some((packs, plan)) = self.splice(block, &source.bytes()) {
            let own = match &plan.own {
                None => Some(None),
                Some(selection) => {
                    let name = self.own_pack(block.ulid, fingerprint, &packs, selection)?;
                    self.stage(&name, source, Some(selection))?.map(Some)
                }
            };
            // What cannot be packed in part may yet be packed as a whole: its index is kept then.
            if let Some(own) = own {
                return Ok(Some(Stored {
                    is_sound: plan.is_sound
                        && own.as_ref().is_none_or(|own| own.staged.packed().is_sound),
                    packs,
                    own,
                    splice: plan.splice,
                    index: Some(plan.index),
                    segments: plan.segments,
                }));
            }
        }
        let own = self.stage(whole, source, None)?;
        Ok(own.map(|own| Stored {
            packs: Vec::new(),
            splice: Splice::default(),
            index: own.staged.packed().index,
            segments: own.staged.packed().segments.clone(),
            is_sound: own.staged.packed().is_sound,
            own: Some(own),
        }))
    }

    fn stage(
        &self,
        name: &ObjectName,
        source: &Packable<'_>,
        selection: Option<&PackSelection>,
    ) -> Result<Option<StagedOwn>, Failure> {
        let advance = |bytes| self.progress.advance(bytes);
        let mut entry = self.cache.begin();
        let mut copy = self.store.is_far().then(|| self.cache.copy()).flatten();
        let staged = stage_pack(
            self.store,
            name,
            &source.bytes(),
            selection,
            &mut entry,
            copy.as_mut().map(|copy| copy as &mut dyn Write),
            &advance,
        );
        let staged = staged.map_err(Failure::Store)?;
        Ok(staged.ok().map(|staged| StagedOwn {
            staged,
            entry,
            copy,
        }))
    }

    /// Publishes a pack; or takes the one that has its name, if it is the same. `None` when it is
    /// another one.
    fn publish_pack(&self, staged: StagedPack) -> Result<Option<StoredObject>, Failure> {
        let wanted = staged.object().clone();
        match staged.publish() {
            Err(taken) if taken.kind() == ErrorKind::AlreadyExists => {}
            published => return published.map(Some).map_err(Failure::Store),
        }
        let found = self.hash(&wanted.name).ok();
        if found != Some((wanted.bytes, wanted.sha256)) {
            return Ok(None);
        }
        // Whoever published it may have died before it was durable.
        let settled = if_there(self.store.settle(&wanted.name))?;
        Ok(settled.map(|()| wanted))
    }
}

fn chunk_bytes(source: &Packable<'_>) -> u64 {
    source.segments.iter().map(|(file, _)| file.bytes).sum()
}

fn recipe(
    packs: &[StoredObject],
    splice: &Splice,
    index: Option<Generation>,
    chunks: &[u64],
    source: &Packable<'_>,
) -> Recipe {
    let segments = source.segments.iter().zip(chunks);
    let segments = segments.map(|((file, _), chunks)| SegmentRecipe {
        name: file.name.clone(),
        chunks: *chunks,
    });
    let packs = packs.iter().map(|pack| pack.name.clone());
    Recipe::new(packs.collect(), splice, index, segments.collect())
}

/// The files that are rebuilt from packs.
fn packed_files(with_index: bool, digests: &[(&SourceFile, Digest)]) -> Vec<StoredFile> {
    let is_packed = |name: &FilePath| name.is_segment() || (name.as_str() == INDEX && with_index);
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
    files.retain(|file| !OWN_FILES.contains(&file.name.as_str()));
    files.extend(packed);
    files
}
