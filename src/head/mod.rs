//! What a data directory keeps of the head beside its logs: the files of `chunks_head/`, and chunk
//! snapshots.
//!
//! Both only spare a start the work of building chunks from the logs anew. What of them cannot be
//! used is dropped and rebuilt; but a server does not start at all when the file names of
//! `chunks_head` or the first bytes of a file are wrong. The formats are those of Prometheus'
//! `tsdb/chunks/head_chunks.go` and of the chunk snapshots in `tsdb/head_wal.go`.
//!
//! * [`HeadChunks::read`] reads a whole `chunks_head` as a start does and says what is in it and
//!   what is wrong.
//! * [`HeadChunkFile`] reads the chunks of one file.
//! * [`Snapshots::read`] says which chunk snapshot a start would use, and whether it can.
//!
//! # Hostile input
//!
//! Any bytes may stand in any file. Memory is bounded by the size of the files: the end of the last
//! chunk is kept for each series that has one.
//!
//! ```
//! use narthex::head::{Floor, HeadChunks};
//! use narthex::model::Millis;
//! use narthex::raw::ReadMode;
//!
//! let chunks = HeadChunks::read("fixtures/night-1/chunks_head".as_ref(), Floor(Millis::MIN), ReadMode::Read)?;
//! assert!(chunks.starts());
//! # Ok::<(), narthex::Error>(())
//! ```

mod chunks;
mod file;
mod problem;
mod snapshot;

pub use chunks::{Floor, HeadChunks};
pub use file::{FILE_HEADER, HeadChunk, HeadChunkFile, MAGIC};
pub use problem::{ChunkFate, HeadProblem};
pub use snapshot::Snapshots;
