//! Rebuilding a block from packs that were not written for it, when its own are damaged or lost.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::cache::Cache;
use super::recipe::{Recipe, SegmentRecipe};
use super::stored_pack::StoredPack;
use crate::error::{Error, Result};
use crate::index::Generation;
use crate::pack::{Pack, PackBytes, SegmentSink, Splice, extract, symbols, unpack};
use crate::repository::{Digest, Hasher, StoredBlock, StoredFile};
use crate::store::{ObjectName, Store};

/// Name of the index file.
const INDEX: &str = "index";

/// How a block comes back from packs: proved, by the digests that its manifest says.
#[derive(Debug)]
pub struct Extracted {
    /// The recipe.
    pub recipe: Recipe,
    /// Its splice.
    pub splice: Splice,
    /// The files that come back by it.
    pub files: Vec<StoredFile>,
    /// Samples of floats in them, and of histograms, where these were counted.
    pub samples: Option<[u64; 2]>,
}

/// Most packs of other blocks that are tried for one that is broken.
const MAX_TRIES: usize = 4;

/// Packs, and how many bytes of each.
pub type PackList = Vec<(ObjectName, u64)>;

/// Finds out how segments and index of `block` come back: from its `own_packs`, if all are there,
/// by its `own` recipe or without it; or from the packs of blocks that hold all its samples,
/// `others`. What cannot be read here may be read elsewhere. `None` when they come back from
/// nothing.
///
/// # Errors
///
/// When they come back from nothing that could be read: the first failure.
pub fn derive(
    store: &dyn Store,
    cache: &Cache,
    block: &StoredBlock,
    own: Option<&(Recipe, Splice)>,
    own_packs: Option<PackList>,
    others: impl Iterator<Item = PackList>,
) -> Result<Option<(Extracted, PackList)>> {
    let mut first = None;
    let own_packs = own_packs.filter(|packs| !packs.is_empty());
    let own_packs = own_packs.into_iter().map(|packs| (packs, true));
    let others = others.filter(|packs| !packs.is_empty());
    let others = others.take(MAX_TRIES).map(|packs| (packs, false));
    for (packs, are_own) in own_packs.chain(others) {
        match extract_block(store, cache, block, own, &packs, are_own) {
            Ok(Some(found)) => return Ok(Some((found, packs))),
            Ok(None) => {}
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(None), Err)
}

/// Finds out how segments and index of `block` come back from `packs`, as all their chunks of its
/// time; or, if they are what its `own` packs were, as it did from those. What the `cache`
/// remembers of its own packs, or what can still be read of them, tells symbols that no series
/// uses. `None` when they do not come back.
///
/// # Errors
///
/// When a pack cannot be read.
fn extract_block(
    store: &dyn Store,
    cache: &Cache,
    block: &StoredBlock,
    own: Option<&(Recipe, Splice)>,
    packs: &[(ObjectName, u64)],
    are_own: bool,
) -> Result<Option<Extracted>> {
    let segments: Vec<&StoredFile> = segments(block).collect();
    let index = block.files.iter().find(|file| file.name.as_str() == INDEX);
    let Some(index) = index.filter(|_| !segments.is_empty()) else {
        return Ok(None);
    };
    let stored = packs.iter();
    let stored: Vec<_> = stored
        .map(|(name, bytes)| StoredPack::new(store, name, *bytes))
        .collect();
    let opened = stored.iter().map(Pack::open).collect::<Result<Vec<_>>>()?;
    let rebuilding = Rebuilding {
        packs,
        opened: &opened,
        segments: &segments,
        index,
    };
    if let Some((recipe, splice)) = own.filter(|_| are_own) {
        let counts: Vec<u64> = recipe
            .segments
            .iter()
            .map(|segment| segment.chunks)
            .collect();
        if let Ok(Some(Attempt::Same(extracted))) = rebuilding.attempt(splice, &counts) {
            return Ok(Some(extracted));
        }
    }
    let sizes: Vec<u64> = segments.iter().map(|file| file.bytes).collect();
    let known = own.and_then(|(_, splice)| own_symbols(store, cache, block, splice).ok());
    let range = (block.min_time, block.max_time);
    let range = Some(range).filter(|_| !are_own);
    let Some(found) = extract(&opened, range, &sizes, known.as_ref())? else {
        return Ok(None);
    };
    let mut first = None;
    for splice in found
        .splices
        .iter()
        .filter(|splice| Recipe::can_have(splice))
    {
        match rebuilding.attempt(splice, &found.segments) {
            Ok(Some(Attempt::Same(extracted))) => {
                return Ok(Some(Extracted {
                    samples: Some(found.samples),
                    ..extracted
                }));
            }
            // The symbols change nothing about that.
            Ok(Some(Attempt::OtherSegments)) => return Ok(None),
            Ok(None) => {}
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    first.map_or(Ok(None), Err)
}

/// A block that is rebuilt by way of trial.
struct Rebuilding<'r> {
    packs: &'r [(ObjectName, u64)],
    opened: &'r [Pack<'r, StoredPack<'r>>],
    segments: &'r [&'r StoredFile],
    index: &'r StoredFile,
}

enum Attempt {
    Same(Extracted),
    OtherSegments,
}

impl Rebuilding<'_> {
    /// Rebuilds the block; `None` when that makes another index.
    fn attempt(&self, splice: &Splice, counts: &[u64]) -> Result<Option<Attempt>> {
        for generation in [Generation::LabelIndices, Generation::Plain] {
            let mut sums = Sums(vec![Sum::default(); self.segments.len()]);
            let mut sum = Sum::default();
            let out: &mut dyn Write = &mut sum;
            let out = Some((generation, out));
            unpack(self.opened, splice, counts, &mut sums, out, &|_| ())?;
            let mut same = self.segments.iter().zip(&sums.0);
            if !same.all(|(file, sum)| sum.is(file)) {
                return Ok(Some(Attempt::OtherSegments));
            }
            if !sum.is(self.index) {
                continue;
            }
            let recipes = self.segments.iter().zip(counts);
            let recipes = recipes.map(|(file, chunks)| SegmentRecipe {
                name: file.name.clone(),
                chunks: *chunks,
            });
            let names = self.packs.iter().map(|(name, _)| name.clone()).collect();
            let files = self.segments.iter().chain([&self.index]);
            return Ok(Some(Attempt::Same(Extracted {
                recipe: Recipe::new(names, splice, Some(generation), recipes.collect()),
                splice: splice.clone(),
                files: files.map(|file| packed(file)).collect(),
                samples: None,
            })));
        }
        Ok(None)
    }
}

/// The segments of a block: the files in `chunks` whose names are numbers, in their order.
fn segments(block: &StoredBlock) -> impl Iterator<Item = &StoredFile> {
    let files = block.files.iter();
    files.filter(|file| file.name.is_segment())
}

fn packed(file: &StoredFile) -> StoredFile {
    StoredFile {
        packed: true,
        sidecar: false,
        ..file.clone()
    }
}

/// The symbols of `block`, from what is known or readable of its packs.
fn own_symbols(
    store: &dyn Store,
    cache: &Cache,
    block: &StoredBlock,
    splice: &Splice,
) -> Result<BTreeSet<Vec<u8>>> {
    let remembered: Vec<_> = block
        .packs
        .iter()
        .map(|pack| (cache.remembered(store, pack), StoredPack::of(store, pack)))
        .collect();
    let packs = remembered.iter().map(|(entry, stored)| {
        let bytes: &dyn PackBytes = match entry {
            Some(entry) => entry,
            None => stored,
        };
        Pack::open(bytes)
    });
    let packs = packs.collect::<Result<Vec<_>>>()?;
    if packs.is_empty() {
        return Err(Error::not_found("there is no pack"));
    }
    symbols(&packs, splice)
}

/// Bytes and digest of a file that is not kept.
#[derive(Clone, Default)]
struct Sum {
    bytes: u64,
    sha256: Hasher,
}

impl Sum {
    fn is(&self, file: &StoredFile) -> bool {
        let sha256: Digest = self.sha256.clone().finish();
        self.bytes == file.bytes && sha256 == file.sha256
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.sha256.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One for each segment.
struct Sums(Vec<Sum>);

impl SegmentSink for Sums {
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()> {
        let sum = self.0.get_mut(position);
        let sum = sum.ok_or_else(|| Error::corrupt("expected fewer segments"))?;
        sum.write_all(bytes)
            .map_err(|e| Error::corrupt("cannot add up a segment").with_source(e))
    }
}
