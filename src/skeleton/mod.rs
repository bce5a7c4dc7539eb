//! Logs without their samples: what is left of segments of a WAL when the samples are in a block
//! beside it, and how both become the same segments again, byte for byte.
//!
//! A log says each sample in full, in the order in which they came: nine or more bytes each. A
//! block says the same samples series by series, in one or two bits each where little changes. What
//! the block does not say is the order, which series number stood for which series, how records
//! were cut and framed, and everything that is no sample: new series, exemplars, metadata,
//! deletions. That is the skeleton of the log, the file [`SKELETON_FILE`] in the directory of the
//! block.
//!
//! * [`Strip`] takes segments apart into a block and a skeleton.
//! * [`Skeleton`] reads a skeleton; [`Skeleton::fill`] writes the segments.
//!
//! A sample that the block cannot take (it is not later than the last of its series, its series is
//! unknown, it is a marker of staleness of a histogram) stays in the skeleton; so does every byte
//! of a segment whose framing would not come back as it is.
//!
//! # Format
//!
//! Numbers are LEB128, unless it is said otherwise. The file begins with the eight bytes
//! `narthexK`, the version, 1, as one byte, and the lengths of the eleven sections in bytes, eight
//! bytes each, little endian. The sections follow, each a zstd frame:
//!
//! * parts: their number; of each the length of its name and the name, the offset in the file from
//!   which it is a part, and its length.
//! * series: their number; of each the difference of its number in the log to the one before, and
//!   its position among the series of the block, as a zig-zag difference to the one before.
//! * items: what each part consists of, in order, see below.
//! * stamps: records of samples without values: type byte, base, and of each entry what stands
//!   before its value, for histograms with the hint.
//! * values: those of the samples that are not in the block. Of a float its eight bytes; of a
//!   histogram the length of what follows the hint, and that.
//! * stamps of exemplars: the same of records of exemplars.
//! * repeats: of each exemplar 0 when its labels are new. Else twice a zig-zag distance, and 1 if
//!   its value is the one that came with these labels last, or 2 if not: how far the place of these
//!   labels among all lists that were new is from the place behind that of the exemplar before. Of
//!   the lists that were new the last 16,384 can be meant, and of these the ones of at most 512
//!   bytes.
//! * values of exemplars: eight bytes each, of those that have new labels or another value.
//! * labels: the new lists, each behind its length, as the record has them.
//! * records: records that are kept as they are.
//! * raw: bytes of segments that are kept as they are.
//!
//! An item is a byte that says what it is, and what is said with it:
//!
//! * 0: the part ends here.
//! * 1: bytes of the section raw. How many.
//! * 2: zeros. How many.
//! * 3 and 4: a record of the section records, not compressed (3) or in snappy's format (4). Its
//!   length.
//! * 5 and 6: a record of samples, not compressed (5) or in snappy's format (6). Its length among
//!   the stamps, the number of its samples that are not in the block, and of each of these how many
//!   others lie between it and the one before.
//! * 7 and 8: a record of exemplars, not compressed (7) or in snappy's format (8). Its length among
//!   the stamps of exemplars.
//!
//! Records are cut into fragments as Prometheus does it; zeros that this puts before a header are
//! no item.
//!
//! ```
//! use narthex::raw::ReadMode;
//! use narthex::skeleton::{Skeleton, Strip};
//! use narthex::wal::Log;
//!
//! let read = |name: &str| std::fs::read(format!("fixtures/night-1/wal/{name}")).expect("a segment");
//! let mut strip = Strip::new()?;
//! strip.context(&read("checkpoint.00000001/00000000"));
//! let segment = read("00000004");
//! strip.part("wal/00000004", Log::Wal, &segment, 0)?;
//! let target = tempfile::tempdir().expect("a directory");
//! let stripped = strip.finish(target.path())?.expect("samples");
//!
//! let mut again = Vec::new();
//! Skeleton::open(&stripped.dir, ReadMode::Map)?.fill(&mut |_, bytes| {
//!     again.extend_from_slice(bytes);
//!     Ok(())
//! })?;
//! assert_eq!(again, segment);
//! # Ok::<(), narthex::Error>(())
//! ```

mod cursor;
mod exemplars;
mod fill;
mod recent;
mod samples;
mod section;
mod strip;
#[cfg(test)]
mod tests;

pub use fill::Skeleton;
pub use strip::{Strip, Stripped};

/// Name of the file in the directory of the block.
pub const SKELETON_FILE: &str = "narthex.skeleton";

/// A stretch of a file of a log that a skeleton brings back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkeletonPart {
    /// The file, as it is called below the data directory: `wal/00000007`.
    pub name: String,
    /// Offset in it at which the stretch begins, in bytes.
    pub from: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

const MAGIC: &[u8; 8] = b"narthexK";
const VERSION: u8 = 1;

/// Magic, version, lengths of the sections.
const HEADER_BYTES: usize = 8 + 1 + SECTIONS * 8;

const SECTIONS: usize = 11;

/// The sections, in their order in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Parts,
    Series,
    Items,
    Stamps,
    Values,
    ExemplarStamps,
    Repeats,
    ExemplarValues,
    Labels,
    Records,
    Raw,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Section::Parts => "parts of a skeleton",
            Section::Series => "series of a skeleton",
            Section::Items => "items of a skeleton",
            Section::Stamps => "stamps of a skeleton",
            Section::Values => "values of a skeleton",
            Section::ExemplarStamps => "stamps of exemplars of a skeleton",
            Section::Repeats => "repeats of a skeleton",
            Section::ExemplarValues => "values of exemplars of a skeleton",
            Section::Labels => "labels of a skeleton",
            Section::Records => "records of a skeleton",
            Section::Raw => "raw bytes of a skeleton",
        }
    }
}

/// The numbers of items.
mod item {
    pub(super) const END: u8 = 0;
    pub(super) const RAW: u8 = 1;
    pub(super) const ZEROS: u8 = 2;
    pub(super) const RECORD: u8 = 3;
    pub(super) const RECORD_SNAPPY: u8 = 4;
    pub(super) const SAMPLES: u8 = 5;
    pub(super) const SAMPLES_SNAPPY: u8 = 6;
    pub(super) const EXEMPLARS: u8 = 7;
    pub(super) const EXEMPLARS_SNAPPY: u8 = 8;
}

/// How many numbers may stand for the series of a block: several for each that was gone and came
/// back. Samples of others stay in the skeleton.
fn max_numbers(series: usize) -> usize {
    series.saturating_mul(16).saturating_add(1 << 20)
}
