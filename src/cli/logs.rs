//! What commands say of the logs of a data directory, which they do not read.

use super::Context;
use crate::block::{DataDir, Place};
use crate::wal::LogFacts;

/// Longest logs that are read whole to say what they hold, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The logs of `dir`, and whether one of them could not be read, which has been said.
pub(super) fn glance(dir: &DataDir, context: &Context<'_>) -> (Vec<LogFacts>, bool) {
    if dir.place() != Place::DataDir {
        return (Vec::new(), false);
    }
    match LogFacts::glance(dir.path(), dir.in_order_end(), MAX_BYTES, context.read_mode) {
        Ok(facts) => (facts, false),
        Err(error) => {
            context.progress.remark(&error.chain());
            (Vec::new(), true)
        }
    }
}
