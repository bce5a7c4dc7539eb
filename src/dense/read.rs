//! Rebuilding a block from a repository.

use std::io::{self, Write};

use super::extract::Extracted;
use super::recipe::Recipe;
use super::stored_pack::StoredPack;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Ulid;
use crate::pack::{BlockBytes, Compare, Pack, PackBytes, SegmentSink, SoundPacks, Splice, unpack};
use crate::progress::Progress;
use crate::repository::portable::{NoVisitor, Object, Root, Visitor};
use crate::repository::{FilePath, Hasher, StoredBlock, StoredFile, StoredObject};
use crate::store::{ObjectName, Store};

/// Name of the index file.
const INDEX: &str = "index";

/// Bytes of an index that are passed on at a time.
const STEP: usize = 64 << 10;

/// Rebuilds the files of `block` that come from packs. Segments go to `segments`, one after the
/// other; the index goes to `index`, at the same time. Each file is held to the size and the digest
/// that `block` says.
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
    let (recipe, splice) = own_recipe(store, block)?;
    let wanted: Vec<&StoredFile> = block.packed_files().collect();
    let mut outputs = Outputs {
        segments: Files::new(&wanted, segments),
        index: Files::new(&wanted, index),
    };
    let packs = block.packs.iter();
    let packs: Vec<_> = packs
        .map(|pack| StoredPack::new(store, &pack.name, pack.bytes))
        .collect();
    outputs
        .rebuild(&packs, &recipe, &splice, progress)
        .map_err(context)?;
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

/// Lends the packs of `block` to `take`, and how it follows from them. Only what says where their
/// groups are has been read, and their labels.
///
/// # Errors
///
/// When that is damaged, or the recipe is; whatever `take` says.
pub fn with_packs<T>(
    store: &dyn Store,
    block: &StoredBlock,
    take: impl FnOnce(&SoundPacks<'_, dyn PackBytes + '_>) -> Result<T>,
) -> Result<T> {
    let (_, splice) = own_recipe(store, block)?;
    let packs = block.packs.iter();
    let stored: Vec<_> = packs.map(|pack| StoredPack::of(store, pack)).collect();
    let opened = stored.iter().map(|pack| {
        let bytes: &dyn PackBytes = pack;
        Pack::open(bytes).map_err(|e| e.context(pack.describe()))
    });
    let opened = opened.collect::<Result<Vec<_>>>()?;
    take(&SoundPacks::open(&opened, &splice)?)
}

/// The recipe of `block`, and how the block follows from its packs, out of a recipe object of which
/// all parts are found: of a damaged one other files may be lost, and their metadata with them.
///
/// # Errors
///
/// When the recipe object cannot be read, or is damaged.
pub fn sound_recipe(store: &dyn Store, block: &StoredBlock) -> Result<(Recipe, Splice)> {
    let root = Root::Block(block.ulid);
    let mut object = Object::open(store, &block.object.name, root)?;
    let recipe = Recipe::read(&mut object)?;
    let splice = recipe.read_splice(&mut object)?;
    Ok((recipe, splice))
}

/// The recipe of `block`, which names the packs that the manifest names.
fn own_recipe(store: &dyn Store, block: &StoredBlock) -> Result<(Recipe, Splice)> {
    let read = |mut object: Object<'_>| {
        let recipe = Recipe::read(&mut object)?;
        let splice = recipe.read_splice(&mut object)?;
        check_packs(&recipe, &block.packs)?;
        Ok((recipe, splice))
    };
    let name = &block.object.name;
    let object = Object::open_damaged(store, name, Root::Block(block.ulid))?;
    read(object).map_err(|e: Error| e.context(format!("object {name}")))
}

/// Rebuilds the files that come back by `extracted` from `packs`, as [`read_packed`] does.
///
/// # Errors
///
/// As [`read_packed`].
pub fn read_extracted(
    store: &dyn Store,
    extracted: &Extracted,
    packs: &[(ObjectName, u64)],
    segments: &mut dyn Visitor,
    index: &mut dyn Visitor,
    progress: &dyn Progress,
) -> Result<()> {
    let wanted: Vec<&StoredFile> = extracted.files.iter().collect();
    let packs = packs.iter();
    let packs: Vec<_> = packs
        .map(|(name, bytes)| StoredPack::new(store, name, *bytes))
        .collect();
    let mut outputs = Outputs {
        segments: Files::new(&wanted, segments),
        index: Files::new(&wanted, index),
    };
    outputs.rebuild(&packs, &extracted.recipe, &extracted.splice, progress)
}

/// Rebuilds what the recipe object `name` and its packs hold, and says which packs they are and
/// what the files are: for objects that no manifest describes.
///
/// # Errors
///
/// When it does not come back; when a pack is missing.
pub fn digests(
    store: &dyn Store,
    name: &ObjectName,
    ulid: Ulid,
    progress: &dyn Progress,
) -> Result<(Vec<ObjectName>, Vec<StoredFile>)> {
    let mut object = Object::open(store, name, Root::Block(ulid))?;
    let recipe = Recipe::read(&mut object)?;
    let splice = recipe.read_splice(&mut object)?;
    let packs = recipe
        .packs
        .iter()
        .map(|pack| Ok(StoredPack::new(store, pack, store.size(pack)?)));
    let packs: Vec<_> = packs.collect::<Result<_>>()?;
    let (mut segments, mut index) = (NoVisitor, NoVisitor);
    let mut outputs = Outputs {
        segments: Files::new(&[], &mut segments),
        index: Files::new(&[], &mut index),
    };
    outputs.rebuild(&packs, &recipe, &splice, progress)?;
    let done = outputs.done();
    Ok((recipe.packs, done))
}

/// Whether the segments of `block`, and its index if the recipe says how, come back to their last
/// byte when `recipe` is carried out over `packs`.
pub fn comes_back(
    store: &dyn Store,
    packs: &[StoredObject],
    recipe: &Recipe,
    splice: &Splice,
    block: &BlockBytes<'_>,
) -> bool {
    let soon: Vec<_> = packs.iter().map(StoredObject::listed).collect();
    store.expect(&soon);
    let stored: Vec<_> = packs
        .iter()
        .map(|pack| StoredPack::of(store, pack))
        .collect();
    let opened = stored.iter().map(Pack::open).collect::<Result<Vec<_>>>();
    let Ok(packs) = opened else {
        return false;
    };
    let counts: Vec<u64> = recipe
        .segments
        .iter()
        .map(|segment| segment.chunks)
        .collect();
    let segments = block.segments.iter();
    let mut segments = SameSegments(segments.map(|segment| Compare::new(segment)).collect());
    let mut index = Compare::new(block.index);
    let out = recipe.index.map(|generation| {
        let out: &mut dyn Write = &mut index;
        (generation.into(), out)
    });
    let unpacked = unpack(&packs, splice, &counts, &mut segments, out, &|_| ());
    unpacked.is_ok()
        && segments.0.iter().all(Compare::is_complete)
        && (recipe.index.is_none() || index.is_complete())
}

/// Compares segments with what is expected of each.
struct SameSegments<'b>(Vec<Compare<'b>>);

impl SegmentSink for SameSegments<'_> {
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()> {
        let same = self
            .0
            .get_mut(position)
            .map(|segment| segment.write_all(bytes));
        match same {
            Some(Ok(())) => Ok(()),
            _ => Err(Error::corrupt("expected another segment")),
        }
    }
}

fn check_packs(recipe: &Recipe, packs: &[StoredObject]) -> Result<()> {
    if recipe.packs.iter().eq(packs.iter().map(|pack| &pack.name)) {
        return Ok(());
    }
    Err(Error::corrupt(
        "expected a recipe of the packs that the manifest names, in their order",
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
        packs: &[StoredPack<'_>],
        recipe: &Recipe,
        splice: &Splice,
        progress: &dyn Progress,
    ) -> Result<()> {
        let packs: Vec<_> = packs
            .iter()
            .map(|pack| Pack::open(pack).map_err(|e| e.context(pack.describe())))
            .collect::<Result<_>>()?;
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
            None => unpack(&packs, splice, &counts, &mut segments, None, &advance)?,
            Some(generation) => {
                self.index.begin(FilePath::new(INDEX)?)?;
                let mut index = io::BufWriter::with_capacity(STEP, &mut self.index);
                unpack(
                    &packs,
                    splice,
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
