//! narthex reads Prometheus TSDB blocks straight from disk. With that it proves that they are
//! sound, says what is in them, and archives them incrementally so that every night costs only what
//! is new.
//!
//! ```
//! use narthex::block::DataDir;
//! use narthex::model::{Millis, TimeRange};
//! use narthex::progress::Silent;
//! use narthex::raw::ReadMode;
//! use narthex::select::{Samples, Selection, SelectedBlocks};
//! use narthex::verify::{VerifyOptions, verify};
//!
//! fn main() -> narthex::Result<()> {
//!     let dir = "fixtures/night-1".as_ref();
//!     for block in verify(dir, VerifyOptions::default(), &Silent)?.blocks {
//!         println!("{:?}: {} samples, sound: {}", block.ulid, block.stats.samples, !block.findings.has_problems());
//!     }
//!     let sources = SelectedBlocks::open(&DataDir::scan(dir)?, TimeRange::ALL, ReadMode::Map);
//!     let up = Selection::new(Millis::MIN, Millis::MAX, vec!["up".parse()?]);
//!     for series in Samples::open(&sources.blocks, &up)? {
//!         println!("{}: {} samples", series.labels, series.samples.len());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! More programs like this one are in `examples/`.
//!
//! # Map
//!
//! * **Read a block**: [`block::Block::open`] finds its files; [`index::Index`] reads series,
//!   symbols and postings; [`chunk`] decodes samples; [`block::DataDir`] lists a whole data
//!   directory; [`wal`] reads write-ahead logs.
//! * **Ask it**: [`select`] says which series and which time are meant, and reads their samples,
//!   several blocks merged as a query would: [`select::Samples`] hands them out; [`dump`] writes
//!   them as text.
//! * **Prove it**: [`verify`] finds every fault, as typed findings; [`start`] foretells what
//!   Prometheus would do; [`head`] reads what lies beside the logs.
//! * **The newest hours**: [`replay`] makes a block of the logs, as a start of Prometheus would;
//!   [`skeleton`] takes the samples out of them, and puts the logs together again.
//! * **Measure it**: [`capacity`] says where the bytes of blocks go, and which labels, jobs and
//!   metrics are to blame.
//! * **Pack it**: [`pack`] stores samples as columns and brings back the same bits; [`dense`] keeps
//!   such blocks in a repository.
//! * **What if**: [`whatif`] says what dropping metrics or labels or scraping less often would
//!   save; [`usage`] which metrics rules and dashboards use.
//! * **Hold it against another**: [`compare`] says what two sets of blocks do not share, by metric,
//!   series and sample.
//! * **Cut it**: [`cut`] makes a block that holds only some series, or some time, of another.
//! * **Keep it**: [`archive`] backs a data directory up into a [`repository`] of immutable objects
//!   in a [`store`].
//! * **Keep it twice**: [`copy`] brings archives into another repository, says what two of them do
//!   not share, and mends one from the other.
//! * **Read what is kept**: [`stored`] gives files of an archived block, or single series of it,
//!   without restoring it. It also is what stores blocks for [`archive`].
//! * **Let go**: [`retain`] forgets archives by a policy and deletes what no archive needs.
//! * **Bring it back**: [`restore`] stages, proves and publishes a valid data directory.
//! * **Look ahead**: [`forecast`] says from the blocks of the past when a disk is full and what a
//!   retention needs.
//! * **Show it**: `report` turns results into tables and JSON; `cli` is the command line. Both are
//!   there with the feature `cli`, which is on by default.
//! * **Tell what is wrong**: [`trouble`] says it in one way for every room.
//!
//! The reading half (`raw`, `model`, `block`, `index`, `chunk`, `wal`, `head`, `start`, `verify`,
//! `inspect`, `select`, `dump`, `capacity`, `usage`, `whatif`, `forecast`, `compare`, `cut`,
//! `pack`) never learns that repositories exist; the keeping half (`store`, `repository`, `retain`)
//! never learns what a sample is. They meet in `dense`, `stored`, `archive`, `copy`, `restore` and
//! `report`; [`statistics`] are what the one leaves in the other about a block. Both stand on
//! `raw`, `model` and [`units`].
//!
//! # Hostile input
//!
//! Any bytes may stand in any file. No function of this crate panics on them, loops for ever, or
//! allocates more than a small multiple of the file's size; errors name file, section, offset, what
//! was wanted and what was found.

#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::float_cmp,
        clippy::format_push_string,
        reason = "tests know their values"
    )
)]

pub mod archive;
pub mod block;
pub mod capacity;
pub mod chunk;
#[cfg(feature = "cli")]
pub mod cli;
pub mod compare;
pub mod copy;
#[cfg(feature = "encryption")]
pub mod crypt;
pub mod cut;
pub mod dense;
pub mod dump;
pub mod error;
pub mod forecast;
pub mod head;
pub mod index;
pub mod inspect;
pub mod model;
pub mod pack;
pub mod progress;
pub mod raw;
pub mod repair;
pub mod replay;
#[cfg(feature = "cli")]
pub mod report;
pub mod repository;
pub mod restore;
pub mod retain;
pub mod select;
pub mod skeleton;
pub mod start;
pub mod statistics;
pub mod store;
pub mod stored;
pub mod trouble;
pub mod units;
pub mod usage;
pub mod verify;
pub mod wal;
pub mod whatif;

pub use error::{Error, ErrorKind, Result};
