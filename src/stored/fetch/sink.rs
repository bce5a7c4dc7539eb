//! Where fetched files go to.

use crate::error::Result;
use crate::repository::FilePath;
use crate::repository::portable::Visitor;

/// Receives files, and forgets those that turn out wrong.
pub trait Sink: Visitor {
    /// Whether it can take the file `name` next.
    fn takes(&self, name: &FilePath) -> bool;
    /// Forgets what it was given of the file that has begun and not ended.
    fn abandon(&mut self) -> Result<()>;
    /// Whether it is the sink that failed, not what it was given.
    fn has_failed(&self) -> bool;
}
