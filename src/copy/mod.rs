//! Repository → repository: archives and the objects they need.
//!
//! What is in the repository copied to already is not sent again. Every object is held to the
//! digest of its manifest while it streams, and published only if it fits; manifests come last,
//! under a claim, as those of a backup. A run that dies leaves objects that no manifest names; the
//! next one proves them and takes them over.
//!
//! A copy that is asked for a codec stores blocks that are in another one anew, from the files that
//! they restore to; all else of an archive stays. Two archives are the same when they say the same
//! of the same files, whatever objects hold these.
//!
//! Objects are read and written as plain bytes through a [`Store`](crate::store::Store), whatever
//! form it keeps them in.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::archive::{BackupOptions, Source, backup};
//! use narthex::copy::{CopyChoice, CopyOptions, copy};
//! use narthex::model::now;
//! use narthex::progress::Silent;
//! use narthex::repository::Repository;
//! use narthex::store::MemoryStore;
//!
//! let from = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! let source = Source::new("fixtures/night-1".as_ref(), "my-host".to_owned(), None)?;
//! let archive = backup(&source, &from, &BackupOptions::default(), now(), &Silent)?.archive;
//!
//! let to = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! let report = copy(&from, &to, &CopyChoice::default(), &CopyOptions::default(), now(), &Silent)?;
//! assert!(report.problems.is_empty());
//! assert_eq!(to.archives()?.archives[0].blocks, archive.blocks);
//! # Ok::<(), narthex::Error>(())
//! ```

mod bring;
mod choose;
mod compare;
mod convert;
mod manifest;
mod mend;
mod place;
mod plan;
mod problem;
mod report;
mod run;
mod same;
mod shelf;
mod stand_in;
mod stream;

pub use choose::CopyChoice;
pub use compare::{Compared, ComparedSide, DifferenceKind, compare};
pub use mend::mend_from;
pub use place::refuse_same;
pub use plan::preview;
pub use problem::{CopyProblem, CopyProblemKind};
pub use report::{CopiedArchive, CopyOptions, CopyReport, Fate};
pub use run::copy;
