//! Moments at which a live source may change under a backup.
//!
//! Races cannot be tested by waiting for them: tests make things vanish or appear exactly then.

use std::path::Path;

use crate::model::Ulid;

/// A moment of a run.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "only tests ask which log or block it is")
)]
pub(super) enum Moment<'a> {
    /// All files of this log are open; it has not been listed again yet.
    LogOpened(&'a Path),
    /// The data directory has been listed; no block of it has been opened yet.
    Listed,
    /// All files of this block are open; none has been read as a whole.
    BlockOpened(Ulid),
    /// An out-of-order compaction is under way and is waited for.
    Waiting,
    /// All blocks of a pass are stored or have vanished.
    PassDone,
}

/// Is told of every [`Moment`].
pub(super) trait Hooks: Sync {
    /// The run has come to `moment`.
    fn reached(&self, moment: Moment<'_>);
}

/// Nobody watches.
pub(super) struct NoHooks;

impl Hooks for NoHooks {
    fn reached(&self, _moment: Moment<'_>) {}
}
