//! What went wrong while samples were read, and what it cost.

use std::fmt;
use std::path::PathBuf;

use crate::block::Block;
use crate::model::{Labels, Millis, Ulid};
use crate::raw::Malformed;
use crate::trouble::{Trouble, kinds};
use crate::units::time_text;

kinds! {
    /// What commands that read samples tell: one member for each row of the table.
    ReadKind:
    BlockUnread "block-unread" Problem "A block cannot be opened." "nothing of it is in the answer", "narthex verify says what is wrong with it; narthex restore --replace-damaged puts a sound copy in its place";
    BlockPassedOver "block-passed-over" Note "A block cannot be opened, and another one was compacted from it." "nothing is missing: Prometheus ignores it, too", "nothing to do";
    PartDamaged "part-damaged" Problem "A part of a block is damaged: of its index, a series, a chunk." "what stands in it is missing from the answer; what can be read is in it", "narthex verify says what is wrong with the block; narthex restore --replace-damaged puts a sound copy in its place";
    CountDiffers "count-differs" Problem "A block holds other numbers of series, chunks or samples than its metadata say." "the answer is what it holds", "narthex verify says which of the two is wrong";
}

/// Something of a block that could not be read, or is not what the block says elsewhere.
#[derive(Clone, Debug)]
pub struct ReadProblem {
    /// The block.
    pub block: Ulid,
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub fault: Fault,
    /// The series concerned, as far as it is known.
    pub series: Option<Labels>,
    /// First and last millisecond concerned, as far as they are known.
    pub span: Option<(Millis, Millis)>,
    /// What is missing from the dump because of it.
    pub lost: Lost,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is damaged.
    Malformed(Malformed),
    /// It promises another number of things than there are, what is known to be lost included.
    Promise {
        /// Which things.
        things: &'static str,
        /// How many it promises.
        promised: u64,
        /// How many there are.
        found: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Malformed(malformed) => malformed.fmt(f),
            Fault::Promise {
                things,
                promised,
                found,
            } => write!(f, "expected {promised} {things}, found {found}"),
        }
    }
}

/// What is missing from a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: what was read was dumped.
    Nothing,
    /// Samples of a chunk, as many as its header promises beyond those that could be read; unknown
    /// where the header is damaged as well.
    Samples(Option<u32>),
    /// One series.
    Series,
    /// All series of a part of the index whose length nobody knows.
    SeriesUnknown,
    /// A whole block with as many samples as its metadata says.
    Block(u64),
}

/// Block, file, place, series, time, and what it costs.
impl fmt::Display for ReadProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        write!(f, "block {}: {file}: {}", self.block, self.fault)?;
        if let Some(series) = &self.series {
            write!(f, "; series {series}")?;
        }
        if let Some((first, last)) = self.span {
            write!(f, "; {} to {}", time_text(first), time_text(last))?;
        }
        match self.lost {
            Lost::Nothing => Ok(()),
            Lost::Samples(None) => f.write_str("; an unknown number of samples skipped"),
            Lost::Samples(Some(samples)) => write!(f, "; {} skipped", counted(samples.into())),
            Lost::Series => f.write_str("; series skipped"),
            Lost::SeriesUnknown => f.write_str("; an unknown number of series skipped"),
            Lost::Block(samples) => write!(f, "; block with {} skipped", counted(samples)),
        }
    }
}

/// `1 sample`, `2 samples`.
fn counted(samples: u64) -> String {
    match samples {
        1 => "1 sample".to_owned(),
        _ => format!("{samples} samples"),
    }
}

impl ReadProblem {
    /// What kind of trouble it is.
    pub fn kind(&self) -> ReadKind {
        match self.fault {
            Fault::Malformed(_) => ReadKind::PartDamaged,
            Fault::Promise { .. } => ReadKind::CountDiffers,
        }
    }

    /// What a block's metadata promises and the block does not keep.
    pub(super) fn of_meta(block: &Block, fault: Fault) -> Self {
        ReadProblem {
            block: block.meta().ulid,
            file: block.files().meta(),
            fault,
            series: None,
            span: None,
            lost: Lost::Nothing,
        }
    }

    /// A fault of the block's index.
    pub(super) fn of_index(block: &Block, fault: Malformed, lost: Lost) -> Self {
        ReadProblem {
            block: block.meta().ulid,
            file: block.files().index(),
            fault: Fault::Malformed(fault),
            series: None,
            span: None,
            lost,
        }
    }
}

/// The block is its place, and the sentence of the problem its detail.
impl From<&ReadProblem> for Trouble<ReadKind> {
    fn from(problem: &ReadProblem) -> Self {
        Trouble::new(
            problem.kind(),
            problem.block.to_string(),
            problem.to_string(),
        )
    }
}
