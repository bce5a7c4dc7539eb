//! What is asked of an analysis.

use crate::select::Selection;

/// What to analyse, and how closely.
#[derive(Clone, Debug, Default)]
pub struct AnalyzeOptions {
    /// Series and time.
    pub selection: Selection,
    /// Whether the samples themselves are read: for distances in time and for bits of times and
    /// values.
    pub extended: bool,
    /// Whether series are told apart over blocks, which costs memory; without need for a single
    /// one.
    pub several_blocks: bool,
}
