//! Blocks in the dense codec: where [`pack`](crate::pack)s and the
//! [`repository`](crate::repository) meet.
//!
//! Such a block has an object of its own, the *recipe object*: a portable one that holds the files
//! which are kept whole (`meta.json`, tombstones, whatever else) and the [`Recipe`], which says how
//! the index and the segments are rebuilt from a pack. `docs/repository-format.md` has the layout.
//!
//! ```
//! # use std::sync::Arc;
//! #
//! # use narthex::archive::{BackupOptions, Source, backup};
//! # use narthex::model::now;
//! # use narthex::progress::Silent;
//! # use narthex::repository::Repository;
//! # use narthex::store::MemoryStore;
//! use narthex::dense::stats;
//! # let repository = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! # let source = Source::new("fixtures/night-1".as_ref(), "my-host".to_owned(), None)?;
//! # let archive = backup(&source, &repository, &BackupOptions::default(), now(), &Silent)?.archive;
//! let stats = stats(repository.store(), &[archive], false, &Silent)?;
//! println!("{stats:?}");
//! # Ok::<(), narthex::Error>(())
//! ```

mod cache;
mod extract;
mod read;
mod recipe;
mod stats;
mod stored_pack;
mod write;

pub use cache::{Cache, CachedPack, NewEntry, PackCopy};
pub use extract::{Extracted, PackList, derive};

pub use read::{comes_back, digests, read_extracted, read_packed, sound_recipe, with_packs};
pub use recipe::{IndexRecipe, RECIPE_FILE, Recipe, SPLICE_FILE, SegmentRecipe};
pub use stats::{CodecStats, DenseStats, PartStats, stats};
pub use stored_pack::StoredPack;
pub use write::{StagedPack, stage_pack};
