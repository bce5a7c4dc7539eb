//! What long work tells whoever watches: phases, bytes done, and remarks. No terminal here; the
//! command line draws bars from these events, a library user may ignore them ([`Silent`]).
//!
//! ```
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use narthex::progress::Progress;
//! use narthex::verify::{VerifyOptions, verify};
//!
//! /// Adds up the bytes that were read.
//! #[derive(Default)]
//! struct Count(AtomicU64);
//!
//! impl Progress for Count {
//!     fn begin(&self, _phase: &str, _total: Option<u64>) {}
//!     fn advance(&self, bytes: u64) {
//!         self.0.fetch_add(bytes, Ordering::Relaxed);
//!     }
//!     fn end(&self) {}
//!     fn remark(&self, text: &dyn std::fmt::Display) {
//!         eprintln!("{text}");
//!     }
//! }
//!
//! let count = Count::default();
//! verify("fixtures/night-1".as_ref(), VerifyOptions::default(), &count)?;
//! assert!(count.0.into_inner() > 0);
//! # Ok::<(), narthex::Error>(())
//! ```

use std::fmt;

/// Receives the events of one piece of long work. Called from many threads.
pub trait Progress: Sync {
    /// A phase begins; `total` is its size in bytes where known.
    fn begin(&self, phase: &str, total: Option<u64>);
    /// More bytes of the current phase are done.
    fn advance(&self, bytes: u64);
    /// The current phase has ended.
    fn end(&self);
    /// Something a person should read now (a block that vanished, a chunk that was skipped).
    fn remark(&self, text: &dyn fmt::Display);
}

/// Discards every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _phase: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
    fn remark(&self, _text: &dyn fmt::Display) {}
}
