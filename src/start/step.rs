//! What a start does, step by step.

use std::path::PathBuf;

use super::facts::Assumptions;
use crate::model::{Millis, Ulid};

/// What a start does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartPlan {
    /// The server that was assumed.
    pub assumed: Assumptions,
    /// What it does, in order. Where it does not start, nothing comes after that.
    pub steps: Vec<StartStep>,
    /// The blocks that it serves, by the beginning of their ranges.
    pub keeps: Vec<Ulid>,
    /// The block whose end it takes for the border of what is stored, and that end.
    pub floor: Option<(Ulid, Millis)>,
    /// The time before which it neither replays samples nor takes new ones that come in order:
    /// that end, or what the checkpoint says.
    pub valid_from: Option<Millis>,
    /// Where it does not start: the files or directories that end it, and what is wrong with each,
    /// as ids of findings.
    pub obstacles: Vec<(PathBuf, String)>,
    /// Times of the first and the last sample that it replays from the WAL.
    pub replays: Option<(Millis, Millis)>,
}

impl StartPlan {
    /// Whether the server starts.
    pub fn starts(&self) -> bool {
        self.steps.iter().all(|step| step.kind != StepKind::Stops)
    }

    /// The first step of that kind.
    pub fn find(&self, kind: StepKind) -> Option<&StartStep> {
        self.steps.iter().find(|step| step.kind == kind)
    }
}

/// What kind of step it is. The ids are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StepKind {
    /// Removes what interrupted writers left.
    RemovesLeftovers,
    /// Does not start.
    Stops,
    /// Serves without blocks whose metadata it cannot read.
    LeavesOut,
    /// Deletes blocks that are beyond the retention time.
    DeletesOld,
    /// Deletes blocks that are beyond the retention size.
    DeletesLarge,
    /// Deletes blocks that are marked deletable.
    DeletesMarked,
    /// Deletes blocks that another was compacted from.
    DeletesParents,
    /// Merges blocks that overlap, at the next compaction.
    MergesOverlaps,
    /// Cannot compact blocks that overlap, as one of them holds aggregates.
    CannotCompact,
    /// Cannot answer from blocks of aggregates.
    CannotAnswer,
    /// Cannot read chunks that a newer release wrote.
    CannotRead,
    /// Passes over records of the log that a newer release wrote.
    CannotReplay,
    /// Drops files of the head and rebuilds them from the logs.
    RebuildsHead,
    /// Cuts the log where it is damaged, and deletes the segments behind that.
    CutsLog,
    /// Drops samples of the log that are older than the newest block's end, or than what the
    /// checkpoint says.
    DropsLog,
    /// Refuses new samples: they are older than the newest block's end, or too much older than the
    /// newest sample of the log.
    RefusesSamples,
}

impl StepKind {
    /// All of them.
    pub const ALL: [StepKind; 16] = [
        StepKind::RemovesLeftovers,
        StepKind::Stops,
        StepKind::LeavesOut,
        StepKind::DeletesOld,
        StepKind::DeletesLarge,
        StepKind::DeletesMarked,
        StepKind::DeletesParents,
        StepKind::MergesOverlaps,
        StepKind::CannotCompact,
        StepKind::CannotAnswer,
        StepKind::CannotRead,
        StepKind::CannotReplay,
        StepKind::RebuildsHead,
        StepKind::CutsLog,
        StepKind::DropsLog,
        StepKind::RefusesSamples,
    ];

    /// Its stable id.
    pub fn id(self) -> &'static str {
        match self {
            StepKind::RemovesLeftovers => "removes-leftovers",
            StepKind::Stops => "does-not-start",
            StepKind::LeavesOut => "leaves-out",
            StepKind::DeletesOld => "deletes-old",
            StepKind::DeletesLarge => "deletes-large",
            StepKind::DeletesMarked => "deletes-marked",
            StepKind::DeletesParents => "deletes-parents",
            StepKind::MergesOverlaps => "merges-overlaps",
            StepKind::CannotCompact => "cannot-compact",
            StepKind::CannotAnswer => "cannot-answer",
            StepKind::CannotRead => "cannot-read",
            StepKind::CannotReplay => "cannot-replay",
            StepKind::RebuildsHead => "rebuilds-head",
            StepKind::CutsLog => "cuts-log",
            StepKind::DropsLog => "drops-log",
            StepKind::RefusesSamples => "refuses-samples",
        }
    }

    /// What follows from it, in one sentence.
    pub fn consequence(self) -> &'static str {
        match self {
            StepKind::RemovesLeftovers => "Nothing is lost: no block is complete in them.",
            StepKind::Stops => "The server ends with an error, at every attempt.",
            StepKind::LeavesOut => "Queries are answered without them, and one line is logged.",
            StepKind::DeletesOld | StepKind::DeletesLarge => {
                "They are gone within a second of the start; a longer retention would keep them."
            }
            StepKind::DeletesMarked => "Nothing is lost: everything in them was deleted.",
            StepKind::DeletesParents => "What the block that names them does not hold is lost.",
            StepKind::MergesOverlaps => {
                "Queries see samples that are in both of them once; the next compactions write one block instead."
            }
            StepKind::CannotCompact => {
                "Their compaction fails at every attempt, and no other block is compacted any more."
            }
            StepKind::CannotAnswer => {
                "Queries that touch one of their series fail, be there other blocks with its samples or not."
            }
            StepKind::CannotRead => "Queries and compactions that touch these chunks fail.",
            StepKind::CannotReplay => "Their samples are missing, without a word.",
            StepKind::RebuildsHead => {
                "Nothing is lost where the logs are sound; the start takes longer."
            }
            StepKind::CutsLog => "They are gone; back the log up before.",
            StepKind::DropsLog => "They are gone with the next truncation of the log.",
            StepKind::RefusesSamples => "Every scrape fails with \"out of bounds\" until then.",
        }
    }

    /// Whether samples are lost, refused or out of reach because of it.
    pub fn costs_samples(self) -> bool {
        matches!(
            self,
            StepKind::Stops
                | StepKind::LeavesOut
                | StepKind::DeletesOld
                | StepKind::DeletesLarge
                | StepKind::CannotAnswer
                | StepKind::CannotRead
                | StepKind::CannotReplay
                | StepKind::CutsLog
                | StepKind::DropsLog
                | StepKind::RefusesSamples
        )
    }
}

/// One thing that a start does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartStep {
    /// What kind of step it is.
    pub kind: StepKind,
    /// The blocks concerned.
    pub blocks: Vec<Ulid>,
    /// The files or directories concerned, other than those blocks.
    pub paths: Vec<PathBuf>,
    /// Times of the first and the last sample concerned; of refused samples, that before which
    /// they are refused.
    pub times: Option<(Millis, Millis)>,
    /// Number of samples concerned, where it is known.
    pub samples: Option<u64>,
    /// What else there is to say: why, or since which release it would be otherwise.
    pub detail: String,
}

impl StartStep {
    /// A step of that kind, about nothing yet.
    pub(super) fn of(kind: StepKind) -> Self {
        StartStep {
            kind,
            blocks: Vec::new(),
            paths: Vec::new(),
            times: None,
            samples: None,
            detail: String::new(),
        }
    }
}
