//! Repository → directory: plan, stage, prove, publish.
