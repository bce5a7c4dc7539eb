//! Rebuilding a block from a repository.

use std::io::{self, Write};

use super::recipe::Recipe;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::pack::{Pack, PackBytes, SegmentSink};
use crate::progress::Progress;
use crate::repository::portable::{Object, Root, Silent, Visitor};
use crate::repository::{FilePath, Hasher, StoredBlock, StoredFile, StoredObject};
use crate::store::{ObjectName, Store};

/// Name of the index file.
const INDEX: &str = "index";

/// Bytes of an index that are passed on at a time.
const STEP: usize = 64 << 10;

/// Rebuilds the files of `block` that come from packs. Segments go to `segments`, one after the other; the index goes to `index`, at
/// the same time. Each file is held to the size and the digest that `block` says.
///
/// The recipe object is not compared with its digest here: whoever reads its other files does that.
///
/// # Errors
///
/// `Corrupt` when a file does not come back as it was; whatever a visitor says.
pub fn read_packed(
    store: &dyn Store,
    block: &StoredBlock,
    segments: &mut dyn Visitor,
    index: &mut dyn Visitor,
    progress: &dyn Progress,
) -> Result<()> {
    let context = |e: Error| e.context(format!("object {}", block.object.name));
    let mut object = Object::open(store, &block.object.name, Root::Block(block.ulid))?;
    let recipe = Recipe::read(&mut object).map_err(context)?;
    let wanted: Vec<&StoredFile> = block.packed_files().collect();
    let pack = the_pack(&recipe, &block.packs).map_err(context)?;
    let mut outputs = Outputs {
        segments: Files::new(&wanted, segments),
        index: Files::new(&wanted, index),
    };
    outputs
        .rebuild(store, &pack.name, pack.bytes, &recipe, progress)
        .map_err(|e| e.context(format!("object {}", pack.name)))?;
    let rebuilt = outputs.done();
    for file in wanted {
        match rebuilt.iter().find(|rebuilt| rebuilt.name == file.name) {
            Some(rebuilt) if rebuilt.sha256 == file.sha256 && rebuilt.bytes == file.bytes => {}
            Some(rebuilt) => return Err(context(differs(file, rebuilt))),
            None => {
                let name = &file.name;
                return Err(context(Error::corrupt(format!(
                    "expected file {name}, found none"
                ))));
            }
        }
    }
    Ok(())
}

/// Rebuilds what the recipe object `name` and its pack hold, and says what the files are: for objects that no manifest
/// describes. The pack's own description is that of its size only.
///
/// # Errors
///
/// When it does not come back; when there is no such pack.
pub fn digests(
    store: &dyn Store,
    name: &ObjectName,
    ulid: Ulid,
    progress: &dyn Progress,
) -> Result<(ObjectName, Vec<StoredFile>)> {
    let mut object = Object::open(store, name, Root::Block(ulid))?;
    let recipe = Recipe::read(&mut object)?;
    let [pack] = recipe.packs.as_slice() else {
        return Err(one_pack(recipe.packs.len()));
    };
    let bytes = store.size(pack)?;
    let (mut segments, mut index) = (Silent, Silent);
    let mut outputs = Outputs {
        segments: Files::new(&[], &mut segments),
        index: Files::new(&[], &mut index),
    };
    outputs.rebuild(store, pack, bytes, &recipe, progress)?;
    Ok((pack.clone(), outputs.done()))
}

fn the_pack<'p>(recipe: &Recipe, packs: &'p [StoredObject]) -> Result<&'p StoredObject> {
    match (recipe.packs.as_slice(), packs) {
        ([name], [pack]) if *name == pack.name => Ok(pack),
        ([_], [_]) => Err(Error::corrupt("expected the pack that the manifest names")),
        (names, _) => Err(one_pack(names.len())),
    }
}

fn one_pack(found: usize) -> Error {
    Error::unsupported(format!(
        "expected a recipe of one pack, found {found}: use a newer narthex"
    ))
}

fn differs(wanted: &StoredFile, found: &StoredFile) -> Error {
    Error::corrupt(format!(
        "expected file {} to be {} bytes with SHA-256 {}, found {} with {}",
        wanted.name, wanted.bytes, wanted.sha256, found.bytes, found.sha256
    ))
}

/// Where rebuilt files go to.
struct Outputs<'v> {
    segments: Files<'v>,
    index: Files<'v>,
}

impl Outputs<'_> {
    fn rebuild(
        &mut self,
        store: &dyn Store,
        name: &ObjectName,
        bytes: u64,
        recipe: &Recipe,
        progress: &dyn Progress,
    ) -> Result<()> {
        let stored = StoredPack { store, name, bytes };
        let pack = Pack::open(&stored)?;
        let counts: Vec<u64> = recipe
            .segments
            .iter()
            .map(|segment| segment.chunks)
            .collect();
        let mut segments = Segments {
            recipe,
            files: &mut self.segments,
            position: None,
        };
        let advance = |bytes| progress.advance(bytes);
        match recipe.index {
            None => pack.unpack(&counts, &mut segments, None, &advance)?,
            Some(generation) => {
                self.index.begin(FilePath::new(INDEX)?)?;
                let mut index = io::BufWriter::with_capacity(STEP, &mut self.index);
                pack.unpack(
                    &counts,
                    &mut segments,
                    Some((generation.into(), &mut index)),
                    &advance,
                )?;
                index.flush().map_err(|e| {
                    Error::new(ErrorKind::Io, "cannot write the index").with_source(e)
                })?;
                drop(index);
                self.index.end()?;
            }
        }
        self.segments.end()
    }

    fn done(self) -> Vec<StoredFile> {
        let mut done = self.segments.done;
        done.extend(self.index.done);
        done
    }
}

/// A pack in a store.
pub(super) struct StoredPack<'s> {
    store: &'s dyn Store,
    name: &'s ObjectName,
    bytes: u64,
}

impl<'s> StoredPack<'s> {
    /// The pack `name`, of so many bytes.
    pub(super) fn new(store: &'s dyn Store, name: &'s ObjectName, bytes: u64) -> Self {
        StoredPack { store, name, bytes }
    }
}

impl PackBytes for StoredPack<'_> {
    fn length(&self) -> u64 {
        self.bytes
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(length).filter(|end| *end <= self.bytes);
        let end = end.ok_or_else(|| Error::corrupt("expected more bytes of a pack"))?;
        self.store.get_range(self.name, offset..end)
    }
}

/// Files that are rebuilt one after the other, held to their sizes.
struct Files<'v> {
    wanted: &'v [&'v StoredFile],
    visitor: &'v mut dyn Visitor,
    open: Option<OpenFile>,
    done: Vec<StoredFile>,
}

/// A file that is being rebuilt.
struct OpenFile {
    name: FilePath,
    /// The most bytes it may have.
    wanted: u64,
    bytes: u64,
    sha256: Hasher,
}

impl<'v> Files<'v> {
    fn new(wanted: &'v [&'v StoredFile], visitor: &'v mut dyn Visitor) -> Self {
        Files {
            wanted,
            visitor,
            open: None,
            done: Vec::new(),
        }
    }

    fn begin(&mut self, name: FilePath) -> Result<()> {
        self.end()?;
        let wanted = self.wanted.iter().find(|file| file.name == name);
        if wanted.is_none() && !self.wanted.is_empty() {
            return Err(Error::corrupt(format!(
                "expected no file {name}, found one"
            )));
        }
        let wanted = wanted.map_or(u64::MAX, |file| file.bytes);
        self.visitor.begin(&name, wanted)?;
        self.open = Some(OpenFile {
            name,
            wanted,
            bytes: 0,
            sha256: Hasher::default(),
        });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        open.bytes = open.bytes.saturating_add(bytes.len() as u64);
        if open.bytes > open.wanted {
            let (name, wanted) = (&open.name, open.wanted);
            return Err(Error::corrupt(format!(
                "expected file {name} to be {wanted} bytes, found more"
            )));
        }
        open.sha256.update(bytes);
        self.visitor.data(bytes)
    }

    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let sha256 = open.sha256.finish();
        self.visitor.end(&open.name, sha256)?;
        self.done.push(StoredFile {
            name: open.name,
            bytes: open.bytes,
            sha256,
            sidecar: false,
            packed: true,
        });
        Ok(())
    }
}

impl Write for Files<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.data(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives segments their names.
struct Segments<'f, 'v> {
    recipe: &'f Recipe,
    files: &'f mut Files<'v>,
    position: Option<usize>,
}

impl SegmentSink for Segments<'_, '_> {
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()> {
        if self.position != Some(position) {
            let segment = self.recipe.segments.get(position);
            let segment = segment.ok_or_else(|| Error::corrupt("expected fewer segments"))?;
            self.files.begin(segment.name.clone())?;
            self.position = Some(position);
        }
        self.files.data(bytes)
    }
}
