//! Where merged samples go to.

use super::LabelSlices;
use crate::model::{Millis, Sample};

/// Whoever takes the samples of one series after the other.
pub(crate) trait Sink {
    /// Samples from now on belong to the series with these labels.
    fn begin(&mut self, labels: &LabelSlices<'_>);

    /// Appends to `body` what is to be kept of a sample that may have to wait for earlier ones;
    /// `false` and nothing when there are no words for it.
    fn body(&mut self, sample: &Sample<'_>, body: &mut Vec<u8>) -> bool;

    /// Takes a sample whose body was made before.
    fn take(&mut self, time: Millis, body: &[u8]);

    /// Takes a sample; `false` and nothing when there are no words for it.
    fn sample(&mut self, sample: &Sample<'_>) -> bool;

    /// The series had samples, and has no more.
    fn end(&mut self, labels: &LabelSlices<'_>);
}
