//! What is dumped of a block: its samples, or one aggregate of them.
//!
//! A block of aggregates holds up to five numbers for each span of time, which are dumped as series
//! of their own. They have two labels more: `__aggregate__` says which, `__resolution__` of how
//! much time.

use crate::block::Block;
use crate::chunk::Aggregate;
use crate::model::Millis;

/// The label that says which aggregate it is.
pub const AGGREGATE_LABEL: &str = "__aggregate__";
/// The label that says how much time one stands for.
pub const RESOLUTION_LABEL: &str = "__resolution__";

/// Which numbers of a block are dumped. Samples come before aggregates, and finer aggregates before
/// coarser ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// Samples.
    #[default]
    Samples,
    /// One aggregate, at this resolution.
    Aggregate(Millis, Aggregate),
}

impl View {
    /// The views of a block. The first one says what is wrong with series entries and records.
    pub(super) fn of(block: &Block) -> Vec<View> {
        let mut views = vec![View::Samples];
        if let Some(resolution) = block.meta().downsampled() {
            let aggregates = Aggregate::ALL.into_iter();
            views.extend(aggregates.map(|aggregate| View::Aggregate(resolution, aggregate)));
        }
        views
    }

    /// Labels that its series have beside their own.
    pub(super) fn labels(self, block: &Block) -> Vec<(&'static [u8], &[u8])> {
        match self {
            View::Samples => Vec::new(),
            View::Aggregate(_, aggregate) => vec![
                (AGGREGATE_LABEL.as_bytes(), aggregate.name().as_bytes()),
                (
                    RESOLUTION_LABEL.as_bytes(),
                    block.resolution_text().as_bytes(),
                ),
            ],
        }
    }
}
