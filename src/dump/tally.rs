//! What a dump wrote, and what its format does not say.

use crate::select;

/// The counts of one dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpTally {
    /// What was read, written, left out and lost.
    pub read: select::Tally,
    /// What the format does not say of what was written.
    pub unsaid: Unsaid,
}

/// What a format does not say of samples and series that it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// Stale markers written as any other NaN, because the format does not tell them apart.
    pub stale_as_nan: u64,
    /// Samples whose start timestamp is not written.
    pub starts: u64,
    /// Series with label bytes that are not UTF-8 and were replaced, because the format is text.
    pub replaced_labels: u64,
}

impl DumpTally {
    /// Whether anything that was asked for is missing from the dump, or was not what the block
    /// says.
    pub fn has_problems(&self) -> bool {
        self.read.has_problems()
    }
}
