//! How a block is rebuilt.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::index::Generation;
use crate::repository::{FilePath, portable};
use crate::store::ObjectName;

/// Name of the recipe among the files of a recipe object. A block that has a file of this name is stored in the portable
/// codec.
pub const RECIPE_FILE: &str = "narthex.recipe.json";

/// Version of the recipe format that this program writes, and the newest it reads.
const RECIPE_VERSION: u32 = 1;

/// Largest recipe that is read, in bytes: a segment of 512 MiB takes about 50.
const MAX_RECIPE_BYTES: u64 = 16 << 20;

/// How index and segments of a block follow from packs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// `1`.
    pub format_version: u32,
    /// The packs: one, in this version.
    pub packs: Vec<ObjectName>,
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
    /// A recipe of one pack.
    pub fn new(pack: ObjectName, index: Option<Generation>, segments: Vec<SegmentRecipe>) -> Self {
        Recipe {
            format_version: RECIPE_VERSION,
            packs: vec![pack],
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
        let entries = object.entries()?;
        let entry = entries
            .iter()
            .find(|entry| entry.name.as_str() == RECIPE_FILE);
        let missing = || Error::corrupt(format!("expected a file {RECIPE_FILE}, found none"));
        let content = object.read_file(entry.ok_or_else(missing)?, MAX_RECIPE_BYTES)?;
        let damaged = |cause| Error::corrupt(format!("damaged {RECIPE_FILE}")).with_source(cause);
        let version: Version = serde_json::from_slice(&content).map_err(damaged)?;
        if version.format_version > u64::from(RECIPE_VERSION) {
            return Err(Error::unsupported(format!(
                "expected a recipe of version {RECIPE_VERSION} at most, found {}: use a newer narthex",
                version.format_version
            )));
        }
        serde_json::from_slice(&content).map_err(damaged)
    }
}

#[derive(Deserialize)]
struct Version {
    format_version: u64,
}
