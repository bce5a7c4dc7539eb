//! The dense codec: the samples of a block as columns, and the block again from them, bit for bit.
//!
//! What recompressors of JPEG do for pictures: [`write_pack`] decodes every chunk and stores what
//! is in it the way a column store would; [`Pack::unpack`] runs the encoder that Prometheus runs,
//! so that the same bits come out. Chunks for which they would not are kept as they are. The index
//! follows from label sets and chunks, or is left to the caller.
//!
//! From the top down: a pack (`writer`, `reader`, with its `directory`) has `labels` and *groups*
//! of consecutive series (`group`), whose times are slices of `timeline`s and whose values are
//! columns (`column`) of integers that are predicted; what the prediction leaves is coded by
//! `entropy`. Every byte is in `docs/pack-format.md`.
//!
//! # Hostile input
//!
//! Any bytes may stand in a pack. Every section has a checksum, which says nothing about who made
//! it: readers bound what they allocate (`group::MAX_GROUP_SAMPLES`, `timeline::MAX_TIMES`) and
//! check every number before they use it.
//!
//! ```
//! use narthex::pack::{BlockBytes, Pack, write_pack};
//!
//! let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
//! let read = |name: &str| std::fs::read(format!("{dir}/{name}")).expect("a file of the block");
//! let (index, segment) = (read("index"), read("chunks/000001"));
//! let block = BlockBytes { index: &index, segments: vec![&segment] };
//! let mut pack = Vec::new();
//! write_pack(&block, &mut pack, &|_| ())?.expect("a block of the usual kind");
//! assert!(pack.len() < (index.len() + segment.len()) / 2);
//! Pack::open(pack.as_slice())?;
//! # Ok::<(), narthex::Error>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

mod column;
mod compare;
mod digests;
mod directory;
mod entropy;
mod group;
mod hash;
mod index;
mod labels;
mod lines;
mod part;
mod reader;
mod segments;
mod selection;
mod source;
mod splice;
mod symbols;
mod timeline;
mod version;
mod writer;

pub use compare::Compare;
pub use reader::{Pack, PackBytes};
pub use segments::SegmentSink;
pub use selection::PackSelection;
pub use source::{BlockBytes, Unpackable};
pub use splice::{
    Extract, KnownPack, LostGroup, SoundPacks, SoundSeries, Splice, SplicePlan, extract, plan,
    symbols, unpack,
};
pub use writer::{Packed, write_pack, write_part};
