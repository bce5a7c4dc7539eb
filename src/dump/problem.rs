//! What went wrong while dumping, and what it cost.

use std::fmt;
use std::path::PathBuf;

use crate::block::Block;
use crate::model::{Labels, Millis, Ulid};
use crate::raw::Malformed;

/// Something of a block that could not be read, or is not what the block says elsewhere.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The block.
    pub block: Ulid,
    /// The file.
    pub file: PathBuf,
    /// What is wrong, and where in the file.
    pub fault: Malformed,
    /// The series concerned, as far as it is known.
    pub series: Option<Labels>,
    /// First and last millisecond concerned, as far as they are known.
    pub span: Option<(Millis, Millis)>,
    /// What is missing from the dump because of it.
    pub lost: Lost,
}

/// What is missing from a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing: what was read was dumped.
    Nothing,
    /// Samples of a chunk, as many as its header promises beyond those that could be read; unknown where the header is
    /// damaged as well.
    Samples(Option<u32>),
    /// One series.
    Series,
    /// All series of a part of the index whose length nobody knows.
    SeriesUnknown,
    /// A whole block with as many samples as its metadata says.
    Block(u64),
}

impl Problem {
    /// A fault of the block's index.
    pub(super) fn of_index(block: &Block, fault: Malformed, lost: Lost) -> Self {
        Problem {
            block: block.meta().ulid,
            file: block.files().index(),
            fault,
            series: None,
            span: None,
            lost,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "block {}: {}: {}",
            self.block,
            self.file.display(),
            self.fault
        )?;
        if let Some(series) = &self.series {
            write!(f, "; series {series}")?;
        }
        if let Some((first, last)) = self.span {
            write!(f, "; {first} to {last} ms")?;
        }
        match self.lost {
            Lost::Nothing => Ok(()),
            Lost::Samples(None) => f.write_str("; an unknown number of samples skipped"),
            Lost::Samples(Some(samples)) => write!(f, "; {samples} samples skipped"),
            Lost::Series => f.write_str("; series skipped"),
            Lost::SeriesUnknown => f.write_str("; an unknown number of series skipped"),
            Lost::Block(samples) => write!(f, "; block with {samples} samples skipped"),
        }
    }
}
