//! Blocks that are stored anew in another codec, from the files that they restore to.
//!
//! What a block of the repository copied from restores to is unpacked into a temporary directory,
//! each file proved by its digest in the manifest, and stored as a backup stores a block. One block
//! is worked on at a time. What the repository copied to has already is named again: the same block
//! with the same files as it is; one of which only small files are others with a sidecar for these.

mod known;
mod replace;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

pub(super) use known::InCodec;
pub(super) use replace::{Lost, Replacement};
use unpack::Unpacked;

use super::bring::Carrier;
use super::problem::CopyProblemKind;
use super::report::CopyOptions;
use super::same::{has_same_objects, has_same_part};
use super::shelf::Shelf;
use crate::dense::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::raw::ReadMode;
use crate::repository::lineage::is_damaged;
use crate::repository::portable::DEFAULT_LEVEL;
use crate::repository::{STATISTICS_FILE, StoredBlock, StoredFile, StoredObject, damage};
use crate::store::ObjectName;
use crate::stored::write::{
    Descent, Failure, Held, Holdings as _, IsProved, Miss, NewBlock, OpenBlock, Traffic, Verified,
    Writer, fingerprint,
};
use crate::stored::{Codec, StoredReader};

/// Largest file of statistics that is carried over, in bytes.
const MAX_STATISTICS: u64 = 16 << 20;

/// What became of a block.
pub(super) enum Converted {
    /// It is in the repository copied to, as this says.
    Made(Box<StoredBlock>),
    /// It is to be copied as it is.
    AsItIs,
    /// Why it cannot be read as it should be.
    Missing(String),
}

/// Stores blocks anew.
pub(super) struct Converter<'c, 'a> {
    carrier: &'c Carrier<'a>,
    codec: Codec,
    read_mode: ReadMode,
    known: InCodec,
    /// Blocks that the codec cannot hold.
    unfit: Vec<StoredBlock>,
    /// Blocks that cannot be read, and why.
    unread: Vec<(StoredBlock, String)>,
    /// Blocks of archives that are there, and what was stored for them to stand in for what they
    /// have lost.
    replaced: Vec<(StoredBlock, Held)>,
    /// Sidecars that were lost, and what was stored to stand in for each.
    sidecars: BTreeMap<ObjectName, ObjectName>,
    cache: Cache,
    traffic: Traffic,
    suspects: Mutex<BTreeMap<ObjectName, String>>,
    /// Objects that were written, or were there without any archive.
    counted: BTreeSet<ObjectName>,
    /// Number of blocks that were stored anew, and the size of their files in bytes.
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

impl<'c, 'a> Converter<'c, 'a> {
    pub(super) fn new(carrier: &'c Carrier<'a>, options: &CopyOptions) -> Self {
        let codec = options.codec.unwrap_or_default();
        let known = match options.codec {
            Some(codec) => InCodec::of(carrier.shelf, codec),
            None => InCodec::of(&Shelf::default(), codec),
        };
        let dir = options.cache.as_ref();
        let cache = dir.map(|dir| Cache::new(dir, &carrier.to.local_id()));
        Converter {
            carrier,
            codec,
            read_mode: options.read_mode,
            known,
            unfit: Vec::new(),
            unread: Vec::new(),
            replaced: Vec::new(),
            sidecars: BTreeMap::new(),
            cache: cache.unwrap_or_default(),
            traffic: Traffic::default(),
            suspects: Mutex::default(),
            counted: BTreeSet::new(),
            blocks: 0,
            bytes: 0,
        }
    }

    /// Sees to it that `block` is in the repository copied to in the codec that is wanted.
    ///
    /// # Errors
    ///
    /// When that repository fails, or the network to the other one, or the disk.
    pub(super) fn convert(&mut self, block: &StoredBlock) -> Result<Converted> {
        let same = self.known.same(block);
        if let Some(made) = same.map(|same| in_objects_of(same, block)) {
            return Ok(self.name(made));
        }
        if let Some(base) = self.known.base(block).cloned() {
            return self.name_beside(&base, block);
        }
        let mut unfit = self.unfit.iter();
        if self.known.fits(block) || unfit.any(|unfit| has_same_part(unfit, block)) {
            return Ok(Converted::AsItIs);
        }
        let unread = self.unread.iter();
        let mut unread = unread.filter(|(unread, _)| has_same_objects(unread, block));
        if let Some((_, why)) = unread.next() {
            return Ok(Converted::Missing(why.clone()));
        }
        let unpacked = match self.unpack(block)? {
            Ok(unpacked) => unpacked,
            Err(why) => return Ok(Converted::Missing(why)),
        };
        let open = unpacked.open()?;
        let Some(held) = self.store(block, &open, self.codec)? else {
            self.unfit.push(block.clone());
            let detail = format!(
                "block {} does not fit the dense codec, and is copied as it is: portable",
                block.ulid
            );
            let problem = CopyProblemKind::BlockUnfit.at(block.object.name.as_str(), detail);
            self.carrier.tell(problem);
            return Ok(Converted::AsItIs);
        };
        let made = self.complete(block, &held, &open)?;
        self.blocks += 1;
        self.bytes = self.bytes.saturating_add(block.bytes());
        Ok(self.name(made))
    }

    /// Unpacks `block`; the inner error says why it cannot be read.
    fn unpack(&mut self, block: &StoredBlock) -> Result<Result<Unpacked, String>> {
        let unpacked = Unpacked::whole(self.carrier.copies()?, block)?;
        Ok(self.read(block, unpacked))
    }

    /// Takes down how `block` was unpacked, or why it could not be.
    fn read(
        &mut self,
        block: &StoredBlock,
        unpacked: Result<Unpacked>,
    ) -> Result<Unpacked, String> {
        let unpacked = unpacked.map_err(|error| {
            let why = error.chain();
            self.unread.push((block.clone(), why.clone()));
            why
        })?;
        if let Some(detour) = &unpacked.detour {
            let detail = format!(
                "block {} does not come from its own objects in {} ({}), and came from {}",
                detour.name,
                self.carrier.from.store().describe(),
                detour.reason.chain(),
                detour.from.join(", ")
            );
            let problem = CopyProblemKind::ObjectHealed.at(block.object.name.as_str(), detail);
            self.carrier.tell(problem);
        }
        Ok(unpacked)
    }

    /// Stores the files of `block`, which are `open`, in `codec`; `None` if that cannot hold them.
    fn store(
        &mut self,
        block: &StoredBlock,
        open: &OpenBlock,
        codec: Codec,
    ) -> Result<Option<Held>> {
        let statistics = self.statistics(block, open);
        let cheap = fingerprint(open)?;
        let new = NewBlock {
            ulid: block.ulid,
            fingerprint: &cheap,
            range: (block.min_time, block.max_time),
            open,
            relatives: match codec {
                Codec::Dense => Descent::of(block).relatives(self.known.iter()),
                Codec::Portable => Vec::new(),
            },
        };
        let examine = |_: IsProved| -> Result<Verified, Failure> {
            Ok(Verified {
                findings: block.findings.clone(),
                has_problems: is_damaged(block),
                statistics: statistics.clone(),
            })
        };
        let writer = self.writer();
        let stored = match codec {
            Codec::Dense => writer.store_densely(&new, &examine),
            Codec::Portable => writer.store(&new, codec, &examine).map(Some),
        };
        let held = stored.map_err(into_error);
        self.mark_suspects()?;
        let held = held?;
        if let Some(held) = &held {
            self.count(held.packs.iter().chain([&held.object]));
        }
        Ok(held)
    }

    /// The file of statistics of `block`, as its object holds it. What cannot be read is left out:
    /// it is no file of the block.
    fn statistics(&self, block: &StoredBlock, open: &OpenBlock) -> Option<Vec<u8>> {
        if !block.statistics || open.get(STATISTICS_FILE).is_some() {
            return None;
        }
        let reader = StoredReader::new(self.carrier.from.store(), block);
        let found = reader.content_beside(STATISTICS_FILE, MAX_STATISTICS);
        found.ok().flatten()
    }

    /// `block` as `held` holds it, with a sidecar for files that are others there.
    fn complete(
        &mut self,
        block: &StoredBlock,
        held: &Held,
        open: &OpenBlock,
    ) -> Result<StoredBlock> {
        let mut made = StoredBlock {
            fingerprint: held.fingerprint.clone(),
            object: held.object.clone(),
            statistics: held.statistics,
            packs: held.packs.clone(),
            sidecar: None,
            ..block.clone()
        };
        for file in &mut made.files {
            let mut found = held.files.iter();
            let found = found.find(|held| is_one_file(held, file));
            if found.is_none() && file.name.is_immutable() {
                return Err(Error::corrupt(format!(
                    "block {}: expected {} in {}, found another",
                    block.ulid, file.name, held.object.name
                )));
            }
            file.sidecar = found.is_none();
            file.packed = found.is_some_and(|found| found.packed);
        }
        let changed: Vec<_> = made.files.iter().filter(|file| file.sidecar).collect();
        if !changed.is_empty() {
            let sidecar = self.put_sidecar(&made, &changed, open)?;
            made.sidecar = Some(sidecar);
        }
        Ok(made)
    }

    /// Names `block` by the objects of `base`, with a sidecar for files that are others there.
    fn name_beside(&mut self, base: &StoredBlock, block: &StoredBlock) -> Result<Converted> {
        let own = base.files.iter().filter(|file| !file.sidecar);
        let held = Held {
            fingerprint: base.fingerprint.clone(),
            object: base.object.clone(),
            statistics: base.statistics,
            packs: base.packs.clone(),
            files: own.cloned().collect(),
            findings: block.findings.clone(),
        };
        let has = |file: &StoredFile| held.files.iter().any(|held| is_one_file(held, file));
        let changed: Vec<_> = block.files.iter().filter(|file| !has(file)).collect();
        let unpacked = Unpacked::some(self.carrier.copies()?, block, &changed)?;
        let unpacked = match self.read(block, unpacked) {
            Ok(unpacked) => unpacked,
            Err(why) => return Ok(Converted::Missing(why)),
        };
        let made = self.complete(block, &held, &unpacked.open()?)?;
        Ok(self.name(made))
    }

    /// Stores the files that are `changed` beside the object of `block`.
    fn put_sidecar(
        &mut self,
        block: &StoredBlock,
        changed: &[&StoredFile],
        open: &OpenBlock,
    ) -> Result<StoredObject> {
        let plain = changed.iter().map(|file| StoredFile {
            sidecar: false,
            packed: false,
            ..(*file).clone()
        });
        let plain: Vec<_> = plain.collect();
        let changed: Vec<_> = plain.iter().collect();
        let writer = self.writer();
        let stored = writer.put_sidecar(block.ulid, &block.fingerprint, &changed, open);
        let sidecar = stored.map_err(into_error)?;
        self.count([&sidecar]);
        Ok(sidecar)
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            store: self.carrier.to.store(),
            known: self.carrier.shelf,
            level: DEFAULT_LEVEL,
            read_mode: self.read_mode,
            progress: self.carrier.progress,
            traffic: &self.traffic,
            cache: &self.cache,
            suspects: &self.suspects,
        }
    }

    /// Takes down that archives may name `block` from now on.
    fn name(&mut self, block: StoredBlock) -> Converted {
        for object in block.objects() {
            self.carrier.keep_form(object, object.encrypted);
        }
        if self.known.same(&block).is_none() {
            self.known.add(block.clone());
        }
        Converted::Made(Box::new(block))
    }

    /// Counts those of `objects` that were written, or that a run has left which died.
    fn count<'o>(&mut self, objects: impl IntoIterator<Item = &'o StoredObject>) {
        let (carrier, shelf) = (self.carrier, self.carrier.shelf);
        for object in objects {
            if shelf.is_told(&object.name) || !self.counted.insert(object.name.clone()) {
                continue;
            }
            if shelf.has_object(&object.name) {
                carrier.proved.fetch_add(1, Ordering::Relaxed);
            } else {
                carrier.sent.fetch_add(1, Ordering::Relaxed);
                carrier
                    .sent_bytes
                    .fetch_add(object.bytes, Ordering::Relaxed);
            }
        }
    }

    /// Marks what turned out to be damaged while blocks were spliced from it.
    fn mark_suspects(&mut self) -> Result<()> {
        let suspects = std::mem::take(&mut self.suspects);
        let suspects = suspects
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for (object, found) in &suspects {
            damage::mark(self.carrier.to.store(), object, found, self.carrier.now)?;
            let remark = format_args!("object {object} is damaged: {found}");
            self.carrier.progress.remark(&remark);
        }
        if !suspects.is_empty() {
            self.known.forget(|block| {
                let mut objects = block.objects();
                objects.any(|object| suspects.contains_key(&object.name))
            });
        }
        Ok(())
    }
}

/// `block` as `known`, which has its files, is stored.
fn in_objects_of(known: &StoredBlock, block: &StoredBlock) -> StoredBlock {
    let mut made = StoredBlock {
        fingerprint: known.fingerprint.clone(),
        object: known.object.clone(),
        statistics: known.statistics,
        packs: known.packs.clone(),
        sidecar: known.sidecar.clone(),
        ..block.clone()
    };
    for file in &mut made.files {
        let mut found = known.files.iter();
        if let Some(found) = found.find(|found| found.name == file.name) {
            (file.sidecar, file.packed) = (found.sidecar, found.packed);
        }
    }
    made
}

/// Whether both are the same file of a block, wherever each lies.
fn is_one_file(one: &StoredFile, other: &StoredFile) -> bool {
    (&one.name, one.bytes, one.sha256) == (&other.name, other.bytes, other.sha256)
}

fn into_error(failure: Failure) -> Error {
    match failure {
        Failure::Store(error) | Failure::Source(Miss::Unreadable(error)) => error,
        Failure::Source(Miss::Vanished) => Error::new(
            ErrorKind::Io,
            "the files of a block have vanished from the temporary directory",
        ),
    }
}
