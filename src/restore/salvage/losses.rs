//! What could not be read.

use crate::cut::Unread;
use crate::model::Millis;
use crate::repository::StoredBlock;

/// Most losses that are named.
const MAX_NAMED: usize = 16;

/// What could not be read.
#[derive(Debug, Default)]
pub struct Losses {
    /// The first of them.
    pub named: Vec<SalvageLoss>,
    /// How many there are beside those.
    pub more: u64,
    /// Whether one of them may have held what is wanted.
    pub(super) concern: bool,
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageLoss {
    /// Where it stood, and what is wrong there.
    pub place: String,
    /// How many series were in it, if it is known.
    pub series: Option<u64>,
    /// How many samples were in it, if it is known.
    pub samples: Option<u64>,
    /// Time of its first sample, and of its last, as far as they are known.
    pub span: Option<(Millis, Millis)>,
}

impl Losses {
    pub(super) fn add(&mut self, loss: SalvageLoss, concerns: bool) {
        self.concern |= concerns;
        if self.named.len() < MAX_NAMED {
            self.named.push(loss);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Adds what could not be read of the files of `block`.
    pub(super) fn add_unread(&mut self, block: &StoredBlock, unread: &[Unread]) {
        for unread in unread.iter().filter(|unread| unread.block == block.ulid) {
            let name = unread.file.file_name().unwrap_or_default();
            let (name, count, first) = (name.display(), unread.count, &unread.first);
            let loss = SalvageLoss {
                place: format!("{count} parts of file {name}, of which the first: {first}"),
                series: None,
                samples: None,
                span: unread.span,
            };
            self.add(loss, unread.concerns);
        }
    }
}

/// The loss of all that `block` holds.
pub(super) fn all_of(block: &StoredBlock, place: String) -> SalvageLoss {
    SalvageLoss {
        place,
        series: None,
        samples: None,
        span: Some((block.min_time, block.max_time.saturating_sub(1))),
    }
}
