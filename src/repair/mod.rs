//! Making a repository whole again, as far as anything in it still holds what is missing.
//!
//! Nothing is overwritten and nothing is deleted: what is made stands beside what is damaged, under
//! a name of its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::archive::{BackupOptions, Source, backup};
//! use narthex::model::now;
//! use narthex::progress::Silent;
//! use narthex::repository::Repository;
//! use narthex::store::MemoryStore;
//! use narthex::repair::Catalog;
//! use narthex::repository::ManifestCache;
//!
//! let repository = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! let source = Source::new("fixtures/night-1".as_ref(), "my-host".to_owned(), None)?;
//! let archive = backup(&source, &repository, &BackupOptions::default(), now(), &Silent)?.archive;
//!
//! let catalog = Catalog::read(&repository, &ManifestCache::default())?;
//! assert_eq!(catalog.newest_holding(archive.blocks[0].ulid).map(|(archive, _)| &archive.id), Some(&archive.id));
//! # Ok::<(), narthex::Error>(())
//! ```

mod archive;
mod catalog;
mod damage;
mod judge;
#[cfg(feature = "encryption")]
mod keys;
mod mend;
mod run;

pub use catalog::Catalog;
pub use damage::{judge_damage, leave_marks};
#[cfg(feature = "encryption")]
pub use keys::{bring_keys, mend_keys};
pub use mend::{Mending, mend};
pub use run::{RepairOutcome, RepairStep, repair};
