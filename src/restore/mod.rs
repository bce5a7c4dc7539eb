//! Repository → directory: plan, stage, prove, publish.

pub mod plan;
