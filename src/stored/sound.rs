//! What can be read of a block of which packs are damaged.

use crate::dense::{Recipe, StoredPack};
use crate::error::{Error, Result};
use crate::index::Generation;
use crate::pack::{Pack, PackBytes, SoundPacks, Splice};
use crate::repository::StoredBlock;
use crate::repository::copies::{Copies, Redirected};
use crate::repository::portable::{Object, Root};
use crate::store::ObjectName;

/// The packs of a block of which directory and labels can be read.
pub struct Sound<'p> {
    /// What is in them.
    pub packs: SoundPacks<'p, dyn PackBytes + 'p>,
    /// Where each was read.
    pub names: Vec<ObjectName>,
    /// Packs of which nothing can be read, and why.
    pub lost: Vec<(ObjectName, Error)>,
    /// Which sections the block's index has, if that is known.
    pub generation: Option<Generation>,
}

impl std::fmt::Debug for Sound<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sound").field(&self.names).finish()
    }
}

/// Lends the packs of `block` to `take`, each read where it is most likely sound; `None` if nothing
/// can be read of any.
///
/// Without a recipe, or with packs of which nothing can be read, all that the others hold of the
/// block's time is taken for its own.
///
/// # Errors
///
/// Whatever `take` says.
pub fn with_sound_packs<T>(
    copies: &Copies,
    block: &StoredBlock,
    take: impl FnOnce(&Sound<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let mut stored: Vec<StoredPack<'_>> = Vec::new();
    let mut names = Vec::new();
    let mut lost = Vec::new();
    let places: Vec<_> = block.packs.iter().map(|pack| copies.places(pack)).collect();
    for (pack, places) in block.packs.iter().zip(&places) {
        let mut first = None;
        let mut readable = places.iter().filter_map(|place| {
            let stored = StoredPack::new(copies.store(), &place.name, place.bytes);
            match is_readable(&stored) {
                Ok(()) => Some((stored, &place.name)),
                Err(error) => {
                    first.get_or_insert(error);
                    None
                }
            }
        });
        if let Some((found, name)) = readable.next() {
            stored.push(found);
            names.push(name.clone());
        } else {
            let name = pack.name.clone();
            let missing = || Error::not_found(format!("object {name} does not exist"));
            lost.push((name.clone(), first.unwrap_or_else(missing)));
        }
    }
    if stored.is_empty() {
        return Ok(None);
    }
    let bytes: Vec<&dyn PackBytes> = stored.iter().map(|pack| pack as &dyn PackBytes).collect();
    let opened = bytes.iter().map(|bytes| Pack::open(*bytes));
    let opened = opened.collect::<Result<Vec<_>>>()?;
    let recipe = recipe_of(copies, block);
    let generation = recipe.as_ref().and_then(|(recipe, _)| recipe.index);
    let splice = match recipe {
        Some((_, splice)) if lost.is_empty() => splice,
        _ => Splice::of_range((block.min_time, block.max_time)),
    };
    let sound = Sound {
        packs: SoundPacks::open(&opened, &splice)?,
        names,
        lost,
        generation: generation.map(Generation::from),
    };
    take(&sound).map(Some)
}

/// Whether directory and labels of a pack can be read.
fn is_readable(stored: &StoredPack<'_>) -> Result<()> {
    let pack = Pack::open(stored).map_err(|e| e.context(stored.describe()))?;
    SoundPacks::open(std::slice::from_ref(&pack), &Splice::default()).map(|_| ())
}

/// How `block` follows from its packs, wherever that can be read.
pub fn recipe_of(copies: &Copies, block: &StoredBlock) -> Option<(Recipe, Splice)> {
    let names = || block.packs.iter().map(|pack| &pack.name);
    copies.places(&block.object).into_iter().find_map(|place| {
        let mut store = Redirected::new(copies.store());
        store.redirect(&block.object.name, place);
        let root = Root::Block(block.ulid);
        let mut object = Object::open_damaged(&store, &block.object.name, root).ok()?;
        let recipe = Recipe::read(&mut object).ok()?;
        let splice = recipe.read_splice(&mut object).ok()?;
        recipe.packs.iter().eq(names()).then_some((recipe, splice))
    })
}
