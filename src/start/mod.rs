//! What a start of Prometheus does with a data directory, foretold from facts about it. Nothing
//! here reads a file.
//!
//! [`plan`] goes through the steps of Prometheus' `tsdb/db.go` (`open`, `reloadBlocks`,
//! `BlocksToDelete`) and `tsdb/head.go` (`Init`) in their order, for a release and the flags that
//! matter, and says what each would remove, leave out, drop or refuse. [`Reach`] judges the range
//! of time that a block claims; [`Release`] knows what which release can read.
//!
//! ```
//! use narthex::start::{Assumptions, Facts, plan};
//!
//! // Of a directory without anything, a start removes nothing.
//! let plan = plan(&Facts::default(), &Assumptions::default());
//! assert!(plan.starts() && plan.steps.is_empty());
//! ```

mod facts;
mod plan;
mod reach;
mod release;
mod replay;
mod retention;
mod step;

pub use facts::{Assumptions, BlockFacts, Facts, LogCut, Obstacle, Opens, ReplayFacts, Stage};
pub use plan::plan;
pub use reach::{Reach, SLACK, TOLERANCE, floor};
pub use release::Release;
pub use step::{StartPlan, StartStep, StepKind};

/// Prometheus' retention when neither time nor size is given, in milliseconds.
pub const DEFAULT_RETENTION: crate::model::Millis = 15 * 86_400_000;
