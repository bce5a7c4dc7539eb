//! Bringing the files of a block from wherever they are sound.
//!
//! This is the slow way, for what does not come from its own objects as it should. Files are
//! fetched one by one: from what is sound of the block's own objects, from objects with the same
//! bytes, from those that replace damaged ones, and from the objects of other archives that hold
//! the same block. Whichever it is, a file counts only when its bytes have the digest that the
//! manifest says.

mod choice;
mod joined;
mod log;
mod packed;
mod proof;
mod sink;

use std::collections::{BTreeMap, BTreeSet};

use super::guess::{guess, guess_empty};
use crate::error::{Error, Result};
use crate::repository::copies::{Copies, Place, Redirected, Trust, is_stored_alike};
use crate::repository::portable::{Object, Root, Visitor};
use crate::repository::{Digest, FilePath, StoredBlock, StoredFile, StoredObject};
use crate::store::ObjectName;
pub use joined::read_pieces;
pub(super) use joined::{digest_joined, parts_by_name};
pub use log::fetch_wal;
use proof::Proof;
pub use sink::Sink;

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
pub struct Fetched {
    /// Files that nothing gives.
    pub missing: Vec<FilePath>,
    /// Where the others came from.
    pub from: Vec<String>,
    /// Replacements that were tried and do not give what they should, and why.
    pub failed: BTreeMap<ObjectName, String>,
    /// The first thing that went wrong.
    error: Option<Error>,
    /// Where could not be looked.
    unsearched: Option<String>,
}

impl Fetched {
    /// The way it took, or why it did not come whole. `first` is what is wrong with its own
    /// objects.
    pub fn outcome(self, name: &str, first: Option<Error>) -> Result<Detour> {
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

/// Brings the files of `block`: segments into `segments`, a rebuilt index into `index`, all others
/// into `segments`.
///
/// # Errors
///
/// When a sink fails. What cannot be fetched is in the answer.
pub fn fetch_block(
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

/// The content of one file of `block` that is not rebuilt, at most `max_bytes` of it, from wherever
/// it is sound.
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

    /// Takes note of what is wrong with what was read in `place`, if it is a replacement: of all
    /// else manifests say what it should be.
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
}

/// What is wrong with `object`, which is not sound.
fn damage(object: &StoredObject, copies: &Copies) -> Error {
    let (name, wanted) = (&object.name, object.listed_bytes());
    match copies.listed_bytes(name) {
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
