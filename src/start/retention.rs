//! Which blocks go for their age or their size. Both rules go from the newest block to the oldest,
//! by the ends of their ranges.

use super::facts::{Assumptions, BlockFacts};
use super::release::Release;
use crate::block::Meta;

/// The blocks that opened, by the ends of their ranges, the newest first.
pub(super) fn newest_first<'a>(
    blocks: &[(&'a BlockFacts, &'a Meta)],
) -> Vec<(&'a BlockFacts, &'a Meta)> {
    let mut blocks = blocks.to_vec();
    blocks.sort_by(|(a, x), (b, y)| (y.max_time, &a.dir).cmp(&(x.max_time, &b.dir)));
    blocks
}

/// How many of `blocks`, the newest first, are young enough to stay.
pub(super) fn young(blocks: &[(&BlockFacts, &Meta)], assumed: &Assumptions) -> usize {
    let Some(retention) = assumed.retention.filter(|retention| *retention > 0) else {
        return blocks.len();
    };
    let Some((_, newest)) = blocks.first() else {
        return 0;
    };
    let is_old = |meta: &Meta| {
        // Prometheus subtracts without a look at the borders of 64 bits.
        let age = newest.max_time.wrapping_sub(meta.max_time);
        age > retention || age == retention && assumed.release >= Release::RETENTION_AT_BOUNDARY
    };
    let old = blocks.iter().skip(1).position(|(_, meta)| is_old(meta));
    old.map_or(blocks.len(), |position| position + 1)
}

/// How many of `blocks`, the newest first, fit into the retention size beside the `head_bytes` of
/// logs and head chunks.
pub(super) fn small(
    blocks: &[(&BlockFacts, &Meta)],
    head_bytes: u64,
    assumed: &Assumptions,
) -> usize {
    let Some(limit) = assumed.retention_size.filter(|limit| *limit > 0) else {
        return blocks.len();
    };
    let mut size = head_bytes;
    let too_large = blocks.iter().position(|(block, _)| {
        size = size.saturating_add(block.bytes);
        size > limit
    });
    too_large.unwrap_or(blocks.len())
}
