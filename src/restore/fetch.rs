//! Bringing the files of a block from wherever they are sound.
//!
//! This is the slow way, for what does not come from its own objects as it should. Files are fetched one by one: from what is
//! sound of the block's own objects, from objects with the same bytes, from those that replace damaged ones, and from the
//! objects of other archives that hold the same block. Whichever it is, a file counts only when its bytes have the digest that the
//! manifest says.

use std::collections::{BTreeMap, BTreeSet};

use super::guess::{guess, guess_empty};
use crate::dense::{Cache, derive, read_extracted, read_packed, recipe_of};
use crate::error::{Error, Result};
use crate::progress::Silent;
use crate::repository::copies::{Copies, Place, Redirected, Trust, is_stored_alike};
use crate::repository::lineage::{atoms, stream};
use crate::repository::portable::{Object, Root, Visitor};
use crate::repository::{
    Digest, FilePath, ObjectCodec, StoredBlock, StoredFile, StoredObject, StoredWal, original,
    recipe_packs,
};
use crate::store::ObjectName;

/// Receives files, and forgets those that turn out wrong.
pub(super) trait Sink: Visitor {
    /// Whether it can take the file `name` next.
    fn takes(&self, name: &FilePath) -> bool;
    /// Forgets what it was given of the file that has begun and not ended.
    fn abandon(&mut self) -> Result<()>;
    /// Whether it is the sink that failed, not what it was given.
    fn has_failed(&self) -> bool;
}

/// Something that did not come from its own objects, or not from them alone.
#[derive(Debug)]
pub struct Detour {
    /// The block's ULID, or `wal`.
    pub name: String,
    /// What is wrong with its own objects.
    pub reason: Error,
    /// Where the content came from, in words.
    pub from: Vec<String>,
}

/// What was found of something.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// Files that nothing gives.
    pub(super) missing: Vec<FilePath>,
    /// Where the others came from.
    pub(super) from: Vec<String>,
    /// Replacements that were tried and do not give what they should, and why.
    pub(super) failed: BTreeMap<ObjectName, String>,
    /// The first thing that went wrong.
    error: Option<Error>,
    /// Where could not be looked.
    unsearched: Option<String>,
}

impl Fetched {
    /// The way it took, or why it did not come whole. `first` is what is wrong with its own objects.
    pub(super) fn outcome(self, name: &str, first: Option<Error>) -> Result<Detour> {
        let reason = first.or(self.error);
        let reason = reason.unwrap_or_else(|| Error::corrupt("its objects are marked as damaged"));
        if let Some(missing) = self.missing.first() {
            let more = match self.missing.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let unsearched = self.unsearched.map(|why| format!(" ({why})"));
            return Err(reason.context(format!(
                "expected {missing}{more} from some object, found it sound in none{}",
                unsearched.unwrap_or_default()
            )));
        }
        Ok(Detour {
            name: name.to_owned(),
            reason,
            from: self.from,
        })
    }
}

/// Brings the files of `block`: segments into `segments`, a rebuilt index into `index`, all others into `segments`.
///
/// # Errors
///
/// When a sink fails. What cannot be fetched is in the answer.
pub(super) fn fetch_block(
    copies: &Copies,
    block: &StoredBlock,
    segments: &mut dyn Sink,
    index: &mut dyn Sink,
) -> Result<Fetched> {
    let mut fetch = Fetch::new(copies, &block.files);
    let root = Root::Block(block.ulid);
    let mut variants = copies.variants(block.ulid);
    variants.retain(|variant| !is_stored_alike(variant, block));
    let own = if copies.distrusts(block) {
        let marked = variants.iter().position(|other| copies.distrusts(other));
        marked.unwrap_or(variants.len())
    } else {
        0
    };
    variants.insert(own, block);
    for variant in variants {
        let is_own = std::ptr::eq(variant, block);
        for object in variant.file_objects() {
            let files: Vec<_> = variant.files_from(object).collect();
            fetch.take_object(object, root, &files, is_own, segments)?;
        }
        fetch.take_packs(variant, is_own, segments, index)?;
        if fetch.is_complete() {
            return Ok(fetch.done());
        }
    }
    let samples = fetch.take_derived(block, segments, index)?;
    fetch.take_guessed(block, samples, segments)?;
    Ok(fetch.done())
}

/// Brings the files of `wal` into `sink`: from its own object, or from the logs of other archives of the source `kin_of`, the nearest in time first. A
/// log only grows, so a later one holds what an earlier one had.
///
/// # Errors
///
/// When the sink fails.
pub(super) fn fetch_wal(
    copies: &Copies,
    wal: &StoredWal,
    kin_of: Option<&str>,
    sink: &mut dyn Sink,
) -> Result<Fetched> {
    let mut fetch = Fetch::new(copies, &wal.files);
    let files: Vec<_> = wal.files.iter().collect();
    fetch.take_object(&wal.object, Root::Data, &files, true, sink)?;
    let Some(source) = kin_of.filter(|_| !fetch.is_complete()) else {
        return Ok(fetch.done());
    };
    let archives = copies.archives().iter();
    let archives = archives.filter(|archive| archive.source_name == source);
    let mut logs: Vec<_> = archives
        .filter_map(|archive| archive.wal.as_ref())
        .collect();
    let own = logs
        .iter()
        .position(|other| other.object.name == wal.object.name);
    let own = own.unwrap_or(logs.len());
    let mut numbered: Vec<_> = logs.drain(..).enumerate().collect();
    // Later ones before earlier ones.
    numbered.sort_by_key(|(number, _)| (number.abs_diff(own), *number < own));
    let mut seen = BTreeSet::from([&wal.object.name]);
    let others = numbered.into_iter().map(|(_, other)| other);
    for other in others
        .filter(|other| seen.insert(&other.object.name))
        .take(MAX_LOGS)
    {
        if fetch.is_complete() {
            break;
        }
        fetch.take_beginnings(other, sink)?;
    }
    Ok(fetch.done())
}

/// Most logs of other archives that are read for one.
const MAX_LOGS: usize = 64;

/// The content of one file of `block` that is not rebuilt, at most `max_bytes` of it, from wherever it is sound.
///
/// # Errors
///
/// When nothing gives it.
pub fn fetch_file(
    copies: &Copies,
    block: &StoredBlock,
    file: &StoredFile,
    max_bytes: u64,
) -> Result<(Vec<u8>, Vec<String>)> {
    let mut kept = Kept {
        max_bytes,
        content: Vec::new(),
    };
    let wanted = std::slice::from_ref(file);
    let mut fetch = Fetch::new(copies, wanted);
    let mut variants = copies.variants(block.ulid);
    variants.retain(|variant| !is_stored_alike(variant, block));
    variants.insert(0, block);
    for variant in variants {
        for object in variant.file_objects() {
            let files: Vec<_> = variant.files_from(object).collect();
            let root = Root::Block(block.ulid);
            fetch.take_object(
                object,
                root,
                &files,
                std::ptr::eq(variant, block),
                &mut kept,
            )?;
        }
    }
    let from = fetch.done().outcome(&block.ulid.to_string(), None)?.from;
    Ok((kept.content, from))
}

/// What is wanted, and what has come so far.
struct Fetch<'c> {
    copies: &'c Copies,
    wanted: BTreeMap<&'c FilePath, &'c StoredFile>,
    done: BTreeSet<FilePath>,
    from: Vec<String>,
    failed: BTreeMap<ObjectName, String>,
    error: Option<Error>,
}

impl<'c> Fetch<'c> {
    fn new(copies: &'c Copies, files: &'c [StoredFile]) -> Self {
        Fetch {
            copies,
            wanted: files.iter().map(|file| (&file.name, file)).collect(),
            done: BTreeSet::new(),
            from: Vec::new(),
            failed: BTreeMap::new(),
            error: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.done.len() == self.wanted.len()
    }

    fn done(self) -> Fetched {
        let missing = self.wanted.into_keys();
        Fetched {
            missing: missing
                .filter(|name| !self.done.contains(*name))
                .cloned()
                .collect(),
            from: self.from,
            failed: self.failed,
            error: self.error,
            unsearched: self.copies.unsearched(),
        }
    }

    /// Whether any of `files` is wanted, as it is there, and has not come yet.
    fn needs<'f>(&self, files: impl IntoIterator<Item = &'f StoredFile>) -> bool {
        files
            .into_iter()
            .any(|file| is_wanted(&self.wanted, file) && !self.done.contains(&file.name))
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Takes note of what is wrong with what was read in `place`, if it is a replacement: of all else manifests say what it should be.
    fn fail_place(&mut self, place: &Place, error: Error) {
        if place.trust == Trust::Mended {
            let failed = self.failed.entry(place.name.clone());
            failed.or_insert_with(|| error.chain());
        }
        self.fail(error);
    }

    /// Takes what `object` has of `files`.
    fn take_object(
        &mut self,
        object: &StoredObject,
        root: Root,
        files: &[&StoredFile],
        is_own: bool,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        if !self.needs(files.iter().copied()) {
            return Ok(());
        }
        if let Err(error) = object.codec.expect_files() {
            self.fail(error.context(format!("object {}", object.name)));
            return Ok(());
        }
        let places = self.copies.places(object);
        if !matches!(places.first(), Some(place) if place.trust == Trust::Sound) {
            self.fail(damage(object, self.copies));
        }
        for place in places {
            let before = self.done.len();
            let read = self.take_place(object, &place, root, files, sink);
            if sink.has_failed() {
                return read;
            }
            if let Err(error) = read {
                self.fail_place(&place, error);
            }
            if self.done.len() > before && !(is_own && place.trust == Trust::Sound) {
                self.from.push(place.to_string());
            }
            if !self.needs(files.iter().copied()) {
                break;
            }
        }
        Ok(())
    }

    fn take_place(
        &mut self,
        object: &StoredObject,
        place: &Place,
        root: Root,
        files: &[&StoredFile],
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let mut store = Redirected::new(self.copies.store());
        store.redirect(&object.name, place.clone());
        let mut opened = Object::open_damaged(&store, &object.name, root)?;
        let (entries, end) = opened.likely_entries(files);
        let mut first = end;
        for entry in entries {
            let mut proof = Proof::new(&self.wanted, &self.done, sink);
            let passed = opened.pass_on(&entry, &mut proof);
            let proved = proof.finish();
            if sink.has_failed() {
                return passed;
            }
            if let Err(error) = passed {
                first.get_or_insert(error);
            }
            self.done.extend(proved?);
        }
        first.map_or(Ok(()), Err)
    }

    /// Takes the files of `log` that begin as those that are wanted do, as far as these go.
    fn take_beginnings(&mut self, log: &StoredWal, sink: &mut dyn Sink) -> Result<()> {
        let begins = |file: &&StoredFile| {
            let wanted = self.wanted.get(&file.name);
            let is_long = wanted.is_some_and(|wanted| wanted.bytes <= file.bytes);
            is_long && !self.done.contains(&file.name)
        };
        if !log.files.iter().any(|file| begins(&file)) {
            return Ok(());
        }
        let files: Vec<&StoredFile> = log.files.iter().collect();
        for place in self.copies.places(&log.object) {
            let mut store = Redirected::new(self.copies.store());
            store.redirect(&log.object.name, place.clone());
            let Ok(mut opened) = Object::open_damaged(&store, &log.object.name, Root::Data) else {
                continue;
            };
            let before = self.done.len();
            for mut entry in opened.likely_entries(&files).0 {
                let wanted = self.wanted.get(&entry.name);
                let Some(wanted) = wanted.filter(|wanted| wanted.bytes <= entry.bytes) else {
                    continue;
                };
                entry.bytes = wanted.bytes;
                let mut proof = Proof::new(&self.wanted, &self.done, sink);
                let passed = opened.pass_on(&entry, &mut proof);
                let proved = proof.finish();
                if sink.has_failed() {
                    return passed;
                }
                self.done.extend(proved?);
            }
            if self.done.len() > before {
                self.from.push(place.to_string());
            }
        }
        Ok(())
    }

    /// Takes what can be rebuilt of `block`.
    fn take_packs(
        &mut self,
        block: &StoredBlock,
        is_own: bool,
        segments: &mut dyn Sink,
        index: &mut dyn Sink,
    ) -> Result<()> {
        if !self.needs(&block.files) {
            return Ok(());
        }
        for recipe in self.copies.places(&block.object) {
            let mut rebuilt = block.clone();
            if recipe.trust == Trust::Mended {
                // A replacement holds the whole block, in itself or by a recipe of its own.
                let before = self.done.len();
                let root = Root::Block(block.ulid);
                let read = self.take_place(&block.object, &recipe, root, &[], segments);
                if self.done.len() > before && !self.from.contains(&recipe.to_string()) {
                    self.from.push(recipe.to_string());
                }
                if segments.has_failed() {
                    return read;
                }
                match read.and_then(|()| self.packs_of(&recipe)) {
                    Ok(packs) => rebuilt.packs = packs,
                    Err(error) => self.fail_place(&recipe, error),
                }
                rebuilt.files.iter_mut().for_each(|file| file.packed = true);
            }
            if rebuilt.packs.is_empty() || !self.needs(rebuilt.packed_files()) {
                continue;
            }
            self.rebuild(&rebuilt, &recipe, is_own, segments, index)?;
            if !self.needs(&block.files) {
                break;
            }
        }
        Ok(())
    }

    /// Takes what can be rebuilt of `block` without its recipe: from its own packs, or from those of a block that it was compacted into. Gives the
    /// samples of floats and of histograms that it has.
    fn take_derived(
        &mut self,
        block: &StoredBlock,
        segments: &mut dyn Sink,
        index: &mut dyn Sink,
    ) -> Result<[u64; 2]> {
        let unknown = [block.samples, 0];
        let rebuilt = block.files.iter().filter(|file| file.name.is_immutable());
        if !self.needs(rebuilt) {
            return Ok(unknown);
        }
        let copies = self.copies;
        let sound = |pack: &StoredObject| {
            let places = copies.places(pack).into_iter();
            let mut sound =
                places.filter(|place| !matches!(place.trust, Trust::Mended | Trust::Damaged));
            sound.next().map(|place| (place.name, place.bytes))
        };
        let all = |block: &StoredBlock| block.packs.iter().map(sound).collect::<Option<Vec<_>>>();
        let (wanted, own_stream) = (atoms(block), stream(block));
        let mut tried: BTreeSet<Vec<&ObjectName>> = BTreeSet::new();
        // Whatever holds all atoms holds the one that the fewest blocks hold.
        let holders = wanted.iter().map(|atom| copies.holders(*atom));
        let others = holders.min_by_key(Vec::len).unwrap_or_default();
        let others = others.into_iter().filter(|other| {
            let holds = other.ulid != block.ulid
                && stream(other) == own_stream
                && wanted.is_subset(&atoms(other));
            holds && tried.insert(other.packs.iter().map(|pack| &pack.name).collect())
        });
        let (store, cache) = (copies.store(), Cache::default());
        let own = recipe_of(copies, block);
        let (packs, others) = (all(block), others.filter_map(all));
        let found = derive(store, &cache, block, own.as_ref(), packs, others);
        let (extracted, packs) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(unknown),
            Err(error) => {
                self.fail(error);
                return Ok(unknown);
            }
        };
        let mut proofs = (
            Proof::new(&self.wanted, &self.done, segments),
            Proof::new(&self.wanted, &self.done, index),
        );
        let read = read_extracted(
            store,
            &extracted,
            &packs,
            &mut proofs.0,
            &mut proofs.1,
            &Silent,
        );
        let proved = (proofs.0.finish(), proofs.1.finish());
        if segments.has_failed() || index.has_failed() {
            read?;
        }
        let mut proved = (proved.0?, proved.1?);
        proved.0.append(&mut proved.1);
        if !proved.0.is_empty() {
            self.from
                .extend(packs.iter().map(|(name, _)| name.to_string()));
        }
        self.done.extend(proved.0);
        Ok(extracted.samples.unwrap_or(unknown))
    }

    /// Takes small files that are as Prometheus would write them.
    fn take_guessed(
        &mut self,
        block: &StoredBlock,
        samples: [u64; 2],
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let copies = self.copies;
        let range_of = |ulid| {
            let known = copies.variants(ulid).into_iter().next()?;
            Some((known.min_time, known.max_time))
        };
        for file in &block.files {
            if !self.needs([file]) {
                continue;
            }
            let content = match file.name.as_str() {
                "meta.json" => guess(block, file, samples, &range_of),
                _ => guess_empty(file),
            };
            let Some(content) = content else {
                continue;
            };
            let mut proof = Proof::new(&self.wanted, &self.done, sink);
            let passed = proof
                .begin(&file.name, file.bytes)
                .and_then(|()| proof.data(&content))
                .and_then(|()| proof.end(&file.name, Digest::of(&content)));
            let proved = proof.finish();
            if sink.has_failed() {
                passed?;
            }
            self.done.extend(proved?);
            self.from
                .push(format!("{} as Prometheus writes it", file.name));
        }
        Ok(())
    }

    /// Carries out the recipe in `recipe` over the packs of `block`, each read wherever it is sound.
    fn rebuild(
        &mut self,
        block: &StoredBlock,
        recipe: &Place,
        is_own: bool,
        segments: &mut dyn Sink,
        index: &mut dyn Sink,
    ) -> Result<()> {
        let mut store = Redirected::new(self.copies.store());
        store.redirect(&block.object.name, recipe.clone());
        let places = block.packs.iter().map(|pack| self.copies.places(pack));
        let places: Vec<_> = places.collect();
        for (pack, places) in block.packs.iter().zip(&places) {
            if !matches!(places.first(), Some(place) if place.trust == Trust::Sound) {
                self.fail(damage(pack, self.copies));
            }
        }
        let mut first = None;
        for choice in choices(&places) {
            let mut block = block.clone();
            for (pack, place) in block.packs.iter_mut().zip(&choice) {
                pack.bytes = place.bytes;
                store.redirect(&pack.name, (*place).clone());
            }
            let mut proofs = (
                Proof::new(&self.wanted, &self.done, segments),
                Proof::new(&self.wanted, &self.done, index),
            );
            let read = read_packed(&store, &block, &mut proofs.0, &mut proofs.1, &Silent);
            let proved = (proofs.0.finish(), proofs.1.finish());
            if segments.has_failed() || index.has_failed() {
                return read;
            }
            let mut proved = (proved.0?, proved.1?);
            proved.0.append(&mut proved.1);
            if !proved.0.is_empty() {
                let used = choice.into_iter().chain([recipe]);
                let used = used.filter(|place| !is_own || place.trust != Trust::Sound);
                for place in used.map(Place::to_string) {
                    if !self.from.contains(&place) {
                        self.from.push(place);
                    }
                }
            }
            self.done.extend(proved.0);
            if let Err(error) = read {
                first.get_or_insert(error);
            }
            if !self.needs(block.packed_files()) {
                if let Some(error) = first {
                    self.fail(error);
                }
                return Ok(());
            }
        }
        let mut lost = block.packs.iter().zip(&places);
        let lost = lost.find(|(_, places)| places.is_empty());
        let lost = lost.map(|(pack, _)| damage(pack, self.copies));
        if let Some(error) = first.or(lost) {
            self.fail_packs(block, &places);
            self.fail_place(recipe, error);
        }
        Ok(())
    }

    /// Takes note of the packs on which it may lie that `block` is not rebuilt: replacements that no manifest knows, and that are no copies of what they
    /// stand in for.
    fn fail_packs(&mut self, block: &StoredBlock, places: &[Vec<Place>]) {
        let told = block.packs.iter().map(|pack| &pack.name);
        let read = places.iter().flatten().map(|place| &place.name);
        for name in told.chain(read) {
            let Some(replaced) = original(name) else {
                continue;
            };
            let known = self.copies.pack(&replaced);
            let is_copy = known.is_some_and(|known| self.copies.is_copy(name, known));
            if self.copies.pack(name).is_none() && !is_copy {
                let failed = self.failed.entry(name.clone());
                failed
                    .or_insert_with(|| format!("block {} does not come back from it", block.ulid));
            }
        }
    }

    /// The packs that the recipe in `place` names, as some archive knows them, or as they are.
    fn packs_of(&self, place: &Place) -> Result<Vec<StoredObject>> {
        let names = recipe_packs(self.copies.store(), &place.name)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let described = names.iter().map(|name| match self.copies.pack(name) {
            Some(pack) => Ok(pack.clone()),
            // No manifest says what it should be: the files that come out of it are the proof.
            None => Ok(StoredObject {
                name: name.clone(),
                codec: ObjectCodec::Pack,
                bytes: self.copies.bytes(name)?,
                sha256: Digest::of(b""),
                raw_bytes: 0,
            }),
        });
        described.collect()
    }
}

/// Most ways in which places are tried together.
const MAX_CHOICES: usize = 24;

/// Which places to try together: all the best, then the second best of those that have one, and so on; then each of one with each of another, the best
/// first.
fn choices(places: &[Vec<Place>]) -> Vec<Vec<&Place>> {
    let most = places.iter().map(Vec::len).max().unwrap_or(0);
    let alike = (0..most).map(|rank| {
        let ranks = places.iter().map(|of| rank.min(of.len().saturating_sub(1)));
        ranks.collect::<Vec<_>>()
    });
    let mut tried: Vec<Vec<usize>> = alike.collect();
    let mut next = BTreeSet::from([(0, vec![0; places.len()])]);
    while tried.len() < MAX_CHOICES
        && let Some((sum, ranks)) = next.pop_first()
    {
        for (at, of) in places.iter().enumerate() {
            let mut worse = ranks.clone();
            if let Some(rank) = worse.get_mut(at).filter(|rank| **rank + 1 < of.len()) {
                *rank += 1;
                next.insert((sum + 1, worse));
            }
        }
        if !tried.contains(&ranks) {
            tried.push(ranks);
        }
    }
    let chosen = |ranks: &Vec<usize>| {
        let chosen = places.iter().zip(ranks);
        chosen.map(|(places, rank)| places.get(*rank)).collect()
    };
    tried.iter().filter_map(chosen).collect()
}

/// What is wrong with `object`, which is not sound.
fn damage(object: &StoredObject, copies: &Copies) -> Error {
    let (name, wanted) = (&object.name, object.bytes);
    match copies.bytes(name) {
        Err(error) => error,
        Ok(found) if found != wanted => Error::corrupt(format!(
            "object {name}: expected {wanted} bytes, found {found}"
        )),
        Ok(_) => Error::corrupt(format!(
            "object {name}: expected SHA-256 {}, found another",
            object.sha256
        )),
    }
}

fn is_wanted(wanted: &BTreeMap<&FilePath, &StoredFile>, file: &StoredFile) -> bool {
    let found = wanted.get(&file.name);
    found.is_some_and(|wanted| wanted.sha256 == file.sha256 && wanted.bytes == file.bytes)
}

/// Passes on files that are wanted and have not come, and keeps account of those that were proved.
struct Proof<'p> {
    wanted: &'p BTreeMap<&'p FilePath, &'p StoredFile>,
    before: &'p BTreeSet<FilePath>,
    sink: &'p mut dyn Sink,
    current: Option<&'p StoredFile>,
    /// Bytes of it that have come.
    bytes: u64,
    proved: BTreeSet<FilePath>,
}

impl<'p> Proof<'p> {
    fn new(
        wanted: &'p BTreeMap<&'p FilePath, &'p StoredFile>,
        before: &'p BTreeSet<FilePath>,
        sink: &'p mut dyn Sink,
    ) -> Self {
        Proof {
            wanted,
            before,
            sink,
            current: None,
            bytes: 0,
            proved: BTreeSet::new(),
        }
    }

    /// What was proved; a file that has begun and not ended is forgotten.
    fn finish(self) -> Result<BTreeSet<FilePath>> {
        if self.current.is_some() {
            self.sink.abandon()?;
        }
        Ok(self.proved)
    }
}

impl Visitor for Proof<'_> {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        let wanted = self.wanted.get(name).copied();
        let wanted = wanted.filter(|file| {
            file.bytes == bytes
                && !self.before.contains(name)
                && !self.proved.contains(name)
                && self.sink.takes(name)
        });
        if let Some(file) = wanted {
            self.sink.begin(name, file.bytes)?;
            self.current = Some(file);
            self.bytes = 0;
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        match self.current {
            Some(_) => {
                self.bytes = self.bytes.saturating_add(bytes.len() as u64);
                self.sink.data(bytes)
            }
            None => Ok(()),
        }
    }

    fn end(&mut self, name: &FilePath, sha256: Digest) -> Result<()> {
        let Some(file) = self.current.take() else {
            return Ok(());
        };
        if file.sha256 != sha256 || file.bytes != self.bytes {
            self.sink.abandon()?;
            return Err(Error::corrupt(format!(
                "expected file {name} to be {} bytes with SHA-256 {}, found {} with {sha256}",
                file.bytes, file.sha256, self.bytes
            )));
        }
        self.sink.end(name, sha256)?;
        self.proved.insert(name.clone());
        Ok(())
    }
}

/// Keeps one small file.
struct Kept {
    max_bytes: u64,
    content: Vec<u8>,
}

impl Visitor for Kept {
    fn begin(&mut self, name: &FilePath, bytes: u64) -> Result<()> {
        if bytes > self.max_bytes {
            return Err(Error::unsupported(format!(
                "expected file {name} to be at most {} bytes, found {bytes}",
                self.max_bytes
            )));
        }
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        Ok(())
    }
}

impl Sink for Kept {
    fn takes(&self, _name: &FilePath) -> bool {
        true
    }

    fn abandon(&mut self) -> Result<()> {
        self.content.clear();
        Ok(())
    }

    fn has_failed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_of_a_pack_meets_each_of_another() {
        let place = |name: &str| Place {
            name: ObjectName::new(format!("packs/{name}")).unwrap(),
            bytes: 1,
            trust: Trust::Mended,
        };
        let of = |names: &[&str]| names.iter().map(|name| place(name)).collect::<Vec<_>>();
        let places = [of(&["a", "b"]), of(&["c", "d", "e"]), of(&["f"])];
        let found = choices(&places);
        let name = |place: &&Place| place.name.as_str().replace("packs/", "");
        let found = found
            .iter()
            .map(|choice| choice.iter().map(name).collect::<String>());
        let found: Vec<_> = found.collect();
        assert_eq!(found[..3], ["acf", "bdf", "bef"]);
        let distinct: BTreeSet<_> = found.iter().collect();
        assert_eq!((distinct.len(), found.len()), (6, 6));
        assert!(choices(&[of(&["a"]), Vec::new()]).is_empty());
        let many = vec![of(&["a", "b", "c"]); 50];
        assert_eq!(choices(&many).len(), MAX_CHOICES);
    }
}
