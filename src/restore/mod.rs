//! Repository → directory: plan, stage, prove, publish.
//!
//! Everything is written below a hidden directory inside the target, which Prometheus ignores;
//! every file is proved by its SHA-256 digest and made durable; then block after block is renamed
//! into place, and the WAL last. A crash at any moment leaves whole blocks and perhaps the hidden
//! directory, never half a block under a name that Prometheus would load. Nothing that exists is
//! ever overwritten.
//!
//! Restores are often run by root, into a directory of the server's user. The target is opened once
//! and everything is written relative to it, through no link, so that nobody can lead the writer
//! elsewhere meanwhile.
//!
//! A single damaged block of a data directory is replaced where it lies ([`Replacer`]): nothing
//! that is sound is touched, and the damaged one stays beside.
//!
//! A block that is cut ([`Exact`]) is staged whole and proved first; what is cut out of it is
//! verified like any block of a stranger before it is renamed into place.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::archive::{BackupOptions, Source, backup};
//! use narthex::model::now;
//! use narthex::progress::Silent;
//! use narthex::repository::Repository;
//! use narthex::store::MemoryStore;
//! use narthex::repository::copies::Copies;
//! use narthex::restore::{Target, Wanted, apply, plan};
//!
//! let repository = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! let source = Source::new("fixtures/night-1".as_ref(), "my-host".to_owned(), None)?;
//! let archive = backup(&source, &repository, &BackupOptions::default(), now(), &Silent)?.archive;
//!
//! let place = tempfile::tempdir().map_err(|e| narthex::Error::io("make", "".as_ref(), e))?;
//! let target = Target::new(&place.path().join("data"), false)?;
//! let plan = plan(&Wanted::Archive, &archive, &[], true, &target.present()?)?;
//! let back = apply(&plan, &Copies::new(&repository)?, &target, &Silent)?;
//! assert!(back.failed.is_empty());
//! assert_eq!(back.blocks.len(), 3);
//! # Ok::<(), narthex::Error>(())
//! ```

mod apply;
mod choose;
mod exact;
mod export;
mod head;
mod in_use;
mod permissions;
pub mod plan;
mod problem;
mod relatives;
mod replace;
mod salvage;
mod stage;
mod stand_in;
mod swap;
mod work;
mod writer;

pub use apply::{RestoreReport, apply};
pub use choose::{Choice, choose};
pub use exact::{CutBlock, CutOutcome, Exact};
pub use export::{export_tar, sound_copy};
pub use head::{HeadOutcome, HeadPlan, in_order_end};
pub use permissions::Permissions;
pub use plan::{RestorePlan, Salvage, TargetContent, Wanted, no_block, plan};
pub use problem::{ProblemKind, RestoreProblem};
pub use replace::{DataBlock, ReplaceOutcome, Replaced, Replacer, Wishes, candidates};
pub use salvage::{Losses, SalvageLoss, Salvaged};
pub use stage::Target;
pub use stand_in::StandIn;
pub use work::Failed;
