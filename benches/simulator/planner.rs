//! What Prometheus compacts next: the planner of `tsdb/compact.go` for regular blocks that do not
//! overlap and have no tombstones.

use narthex::block::Meta;
use narthex::model::Millis;

/// An hour, in milliseconds.
pub(crate) const HOUR: Millis = 3_600_000;

/// A day, in milliseconds.
pub(crate) const DAY: Millis = 24 * HOUR;

/// What a head is cut into: Prometheus' `--storage.tsdb.min-block-duration`.
pub(crate) const HEAD_RANGE: Millis = 2 * HOUR;

/// How many ranges there are at most, and how many times longer each is than the one before.
const RANGES: u32 = 10;
const STEP: Millis = 3;

/// The longest block whatever the retention.
const LONGEST: Millis = 31 * DAY;

/// The ranges that blocks are merged into, ascending, for a server that keeps `retention`: none
/// longer than a tenth of it.
pub(crate) fn ranges(retention: Millis) -> Vec<Millis> {
    let longest = LONGEST.min(retention / 10).max(HEAD_RANGE);
    let ranges = (0..RANGES).map(|level| HEAD_RANGE * STEP.pow(level));
    ranges.take_while(|range| *range <= longest).collect()
}

/// Which of `blocks`, sorted by their begin, are merged next, as positions; none when all is done.
pub(crate) fn plan(blocks: &[Meta], ranges: &[Millis]) -> std::ops::Range<usize> {
    // The newest block waits: another may come to merge it with.
    let blocks = &blocks[..blocks.len().saturating_sub(1)];
    let Some(newest) = blocks.last() else {
        return 0..0;
    };
    for &range in ranges.iter().skip(1) {
        for group in groups(blocks, range) {
            let members = &blocks[group.clone()];
            let (Some(first), Some(last)) = (members.first(), members.last()) else {
                continue;
            };
            let full = last.max_time - first.min_time == range;
            if members.len() > 1
                && !members.iter().any(|block| block.compaction.failed)
                && (full || last.max_time <= newest.min_time)
            {
                return group;
            }
        }
    }
    0..0
}

/// The blocks that lie in one window of `range` each, as positions. Windows begin at multiples of
/// `range` since the epoch.
fn groups(blocks: &[Meta], range: Millis) -> Vec<std::ops::Range<usize>> {
    let mut groups = Vec::new();
    let mut at = 0;
    while let Some(first) = blocks.get(at) {
        let end = first.min_time.div_euclid(range) * range + range;
        let inside = blocks[at..]
            .iter()
            .take_while(|block| block.max_time <= end);
        let len = inside.count();
        if len > 0 {
            groups.push(at..at + len);
        }
        // A block that sticks out of its window is left alone.
        at += len.max(1);
    }
    groups
}
