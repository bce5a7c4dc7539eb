//! What went wrong while dumping, and what it cost.

use std::fmt;
use std::path::PathBuf;

use crate::block::Block;
use crate::model::{Labels, Millis, Ulid};
use crate::raw::Malformed;
use crate::units::time_text;

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
