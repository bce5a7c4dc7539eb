//! How a block is rebuilt.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::index::Generation;
use crate::pack::Splice;
use crate::repository::{FilePath, portable};
use crate::store::ObjectName;

// A block that has a file of this name is stored in the portable codec.
pub use crate::repository::RECIPE_FILE;

/// Name of the splice among the files of a recipe object, if there is one.
pub const SPLICE_FILE: &str = "narthex.splice";

/// Newest version of the recipe format that this program writes and reads. A recipe of one pack
/// that needs no splice is of version 1.
const RECIPE_VERSION: u32 = 2;

/// Largest recipe that is read, in bytes: a segment of 512 MiB takes about 50.
const MAX_RECIPE_BYTES: u64 = 16 << 20;

/// Largest splice that is written and read, in bytes.
const MAX_SPLICE_BYTES: u64 = 128 << 20;

/// Most packs of a recipe that is read: all are open at once.
const MAX_PACKS: usize = 1024;

/// How index and segments of a block follow from packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// `1` or `2`.
    pub format_version: u32,
    /// The packs, in the order of which the splice speaks.
    pub packs: Vec<ObjectName>,
    /// Whether the block is more than all chunks of the packs in order of time: then a file
    /// [`SPLICE_FILE`] says how it follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub splice: bool,
    /// Which sections the rebuilt index has; missing when the index is kept whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<IndexRecipe>,
    /// The segments, in their order.
    pub segments: Vec<SegmentRecipe>,
}

/// Which sections a rebuilt index has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexRecipe {
    /// With label indices, as Prometheus 2.15 to 3.6 writes.
    LabelIndices,
    /// Without, as Prometheus writes since 3.7.
    Plain,
}

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRecipe {
    /// Its name in the block.
    pub name: FilePath,
    /// Number of chunks in it.
    pub chunks: u64,
}

impl From<Generation> for IndexRecipe {
    fn from(generation: Generation) -> Self {
        match generation {
            Generation::LabelIndices => IndexRecipe::LabelIndices,
            Generation::Plain => IndexRecipe::Plain,
        }
    }
}

impl From<IndexRecipe> for Generation {
    fn from(recipe: IndexRecipe) -> Self {
        match recipe {
            IndexRecipe::LabelIndices => Generation::LabelIndices,
            IndexRecipe::Plain => Generation::Plain,
        }
    }
}

impl Recipe {
    /// A recipe over `packs`.
    pub fn new(
        packs: Vec<ObjectName>,
        splice: &Splice,
        index: Option<Generation>,
        segments: Vec<SegmentRecipe>,
    ) -> Self {
        let is_simple = packs.len() == 1 && splice.is_plain();
        Recipe {
            format_version: if is_simple { 1 } else { RECIPE_VERSION },
            packs,
            splice: !splice.is_plain(),
            index: index.map(IndexRecipe::from),
            segments,
        }
    }

    /// As the file [`RECIPE_FILE`].
    ///
    /// # Errors
    ///
    /// Never, in fact.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |cause| Error::invalid("cannot write a recipe as JSON").with_source(cause);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(failed)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the recipe in `object`.
    ///
    /// # Errors
    ///
    /// When there is none, it is damaged, or of a newer version.
    pub fn read(object: &mut portable::Object<'_>) -> Result<Self> {
        let entry = find(object, RECIPE_FILE)?;
        Recipe::parse(&object.read_file(&entry, MAX_RECIPE_BYTES)?)
    }

    /// The recipe in the file `content`.
    fn parse(content: &[u8]) -> Result<Self> {
        let damaged = |cause| Error::corrupt(format!("damaged {RECIPE_FILE}")).with_source(cause);
        let version: Version = serde_json::from_slice(content).map_err(damaged)?;
        if version.format_version > u64::from(RECIPE_VERSION) {
            return Err(Error::unsupported(format!(
                "expected a recipe of version {RECIPE_VERSION} at most, found {}: use a newer narthex",
                version.format_version
            )));
        }
        let recipe: Recipe = serde_json::from_slice(content).map_err(damaged)?;
        let each: BTreeSet<_> = recipe.packs.iter().collect();
        if each.len() < recipe.packs.len() || each.len() > MAX_PACKS {
            return Err(Error::corrupt(format!(
                "damaged {RECIPE_FILE}: expected up to {MAX_PACKS} packs, each once, found {} of which {} are different",
                recipe.packs.len(),
                each.len()
            )));
        }
        Ok(recipe)
    }

    /// Whether `splice` comes back from its bytes: a very large one does not.
    pub fn can_have(splice: &Splice) -> bool {
        let bytes = splice.to_bytes();
        bytes.len() as u64 <= MAX_SPLICE_BYTES
            && Splice::read(&bytes).is_ok_and(|read| read == *splice)
    }

    /// Reads the splice in `object`, whose recipe this is.
    ///
    /// # Errors
    ///
    /// When it is missing or damaged.
    pub fn read_splice(&self, object: &mut portable::Object<'_>) -> Result<Splice> {
        if !self.splice {
            return Ok(Splice::default());
        }
        let entry = find(object, SPLICE_FILE)?;
        let content = object.read_file(&entry, MAX_SPLICE_BYTES)?;
        Splice::read(&content).map_err(|e| e.context(SPLICE_FILE))
    }
}

/// The file `name` of `object`, even if files behind it cannot be read.
fn find(object: &mut portable::Object<'_>, name: &str) -> Result<portable::FileEntry> {
    let (entries, end) = object.readable_entries();
    let mut entries = entries.into_iter();
    let found = entries.find(|entry| entry.name.as_str() == name);
    let missing = || Error::corrupt(format!("expected a file {name}, found none"));
    found.ok_or_else(|| end.unwrap_or_else(missing))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[derive(Deserialize)]
struct Version {
    format_version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_without_number_and_packs_that_are_named_twice_are_refused() {
        let names = |count: usize| (0..count).map(|number| format!("packs/{number}"));
        let of = |packs: Vec<String>| {
            let packs = packs.iter().map(|name| ObjectName::new(name).unwrap());
            let splice = Splice::default();
            let recipe = Recipe::new(packs.collect(), &splice, None, Vec::new());
            Recipe::parse(&recipe.to_bytes().unwrap())
        };
        assert_eq!(
            of(names(MAX_PACKS).collect()).unwrap().packs.len(),
            MAX_PACKS
        );
        for packs in [names(10_000).collect(), vec!["packs/0".to_owned(); 2]] {
            let found = of(packs).unwrap_err().chain();
            assert!(found.contains("up to 1024 packs, each once"), "{found}");
        }
    }
}
