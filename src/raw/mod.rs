//! Ground floor: bytes, without knowing any format.
//!
//! [`Reader`] is a cursor over borrowed bytes that cannot panic, always knows the absolute offset
//! it stands at and the section it reads, and reports what was wanted and what was there as
//! [`Malformed`]. Every length that comes from a file passes through it.
//!
//! ```
//! use narthex::raw::Reader;
//!
//! let mut reader = Reader::new(&[0, 0, 0, 7, 1], 0, "header");
//! assert_eq!(reader.u32()?, 7);
//! let short = reader.u32().unwrap_err();
//! assert_eq!(reader.offset(), 4);
//! assert!(short.to_string().contains("header"), "{short}");
//! # Ok::<(), narthex::raw::Malformed>(())
//! ```

mod bit_sink;
mod bits;
mod checksum;
mod document;
mod durable;
mod folder;
mod malformed;
mod map;
mod processor;
mod reader;
mod source;
mod temporary;
pub(crate) mod varint;

pub(crate) use bit_sink::BitSink;
pub use bits::{BitReader, BitWriter};
pub use checksum::{crc32c, crc32c_append};
pub(crate) use document::open_document;
pub use durable::{DurableFile, sync_dir};
pub use folder::{Folder, FolderEntry, Links};
pub use malformed::{Malformed, MalformedProblem};
pub use map::{UnreadablePages, take_unreadable};
pub(crate) use processor::{Work, run};
pub use reader::Reader;
pub use source::{FileBytes, ReadMode, read_bounded, read_trusted};
pub use temporary::{free_bytes, temporary_dir, temporary_dirs};
