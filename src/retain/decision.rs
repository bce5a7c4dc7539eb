//! What becomes of an archive, and why.

use crate::repository::Archive;

/// What becomes of an archive.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The archive.
    pub archive: Archive,
    /// Why it is kept; empty when it is removed.
    pub reasons: Vec<String>,
}

impl Decision {
    /// Whether it stays.
    pub fn is_kept(&self) -> bool {
        !self.reasons.is_empty()
    }
}
