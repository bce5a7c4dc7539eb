use super::*;
use crate::model::Millis;
use crate::repository::Fingerprint;
use crate::repository::lineage::atoms;
use crate::repository::lineage::tests::{block, ulid};
use proptest::prelude::*;

fn damaged(mut block: StoredBlock) -> StoredBlock {
    block.findings.by_severity.insert("error".into(), 1);
    block
}

fn chosen(blocks: &[StoredBlock], present: &[StoredBlock], range: TimeRange) -> Vec<Ulid> {
    let present: Vec<_> = present.iter().map(kin).collect();
    let chosen = choose(blocks, &present, range);
    chosen.blocks.into_iter().map(|block| block.ulid).collect()
}

fn range(since: Millis, until: Millis) -> TimeRange {
    TimeRange { since, until }
}

/// Three blocks, and what they were compacted into.
fn chain() -> Vec<StoredBlock> {
    vec![
        block(1, (0, 2), 1, &[1], &[]),
        block(2, (2, 4), 1, &[2], &[]),
        block(3, (4, 6), 1, &[3], &[]),
        block(4, (0, 6), 2, &[1, 2, 3], &[1, 2, 3]),
        block(5, (6, 8), 1, &[5], &[]),
    ]
}

#[test]
fn the_child_wins_over_its_parents_and_other_time_is_kept() {
    assert_eq!(chosen(&chain(), &[], TimeRange::ALL), [ulid(4), ulid(5)]);
    assert_eq!(chosen(&chain(), &[], range(4, 5)), [ulid(4)]);
    assert_eq!(chosen(&chain(), &[], range(6, 7)), [ulid(5)], "half-open");
    assert!(chosen(&chain(), &[], range(8, 9)).is_empty());
}

/// `block` at this resolution, with these external labels.
fn of(mut block: StoredBlock, resolution: Millis, labels: &[(&str, &str)]) -> StoredBlock {
    block.resolution = Some(resolution);
    let labels = labels.iter();
    block.external_labels = labels.map(|(n, v)| ((*n).into(), (*v).into())).collect();
    block
}

fn shard(number: u64, of_shards: u64, parents: &[u64]) -> StoredBlock {
    let id = format!("{number}_of_{of_shards}");
    let block = block(10 + number, (0, 4), 2, &[1, 2], parents);
    of(block, 0, &[(crate::model::SHARD_LABEL, &id)])
}

fn ulids(blocks: &[&StoredBlock]) -> Vec<Ulid> {
    blocks.iter().map(|block| block.ulid).collect()
}

#[test]
fn raw_blocks_are_chosen_and_their_aggregates_named() {
    let blocks = [
        of(block(3, (0, 4), 2, &[1, 2], &[]), 3_600_000, &[]),
        of(block(2, (0, 4), 2, &[1, 2], &[]), 300_000, &[]),
        of(block(1, (0, 4), 2, &[1, 2], &[]), 0, &[]),
    ];
    let choice = choose(&blocks, &[], TimeRange::ALL);
    assert_eq!(ulids(&choice.blocks), [ulid(1)]);
    assert_eq!(ulids(&choice.aggregates), [ulid(2), ulid(3)]);
    let choice = choose(&blocks[..2], &[], TimeRange::ALL);
    assert_eq!(ulids(&choice.blocks), [ulid(2)], "the finest there is");
    assert_eq!(ulids(&choice.aggregates), [ulid(3)]);
}

#[test]
fn aggregates_are_needed_only_for_time_that_no_finer_block_of_their_labels_covers() {
    let long = |labels| of(block(9, (0, 400), 4, &[1, 2, 3, 4], &[]), 300_000, labels);
    let raw = of(block(4, (200, 400), 2, &[3, 4], &[]), 0, &[("a", "1")]);
    let blocks = [long(&[("a", "1")]), raw.clone()];
    let within = |blocks: &[StoredBlock], since| {
        let choice = choose(blocks, &[], range(since, 400));
        ulids(&choice.blocks)
    };
    assert_eq!(within(&blocks, 200), [ulid(4)]);
    assert_eq!(within(&blocks, 100), [ulid(9), ulid(4)]);
    let other = [long(&[("a", "2")]), raw];
    assert_eq!(within(&other, 200), [ulid(9), ulid(4)], "another tenant");
}

#[test]
fn sound_aggregates_do_not_stand_in_for_a_damaged_raw_block() {
    let blocks = [
        damaged(block(1, (0, 4), 2, &[1, 2], &[])),
        of(block(2, (0, 4), 2, &[1, 2], &[]), 300_000, &[]),
    ];
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(1)]);
}

#[test]
fn all_shards_are_chosen_and_stand_for_what_they_were_split_from() {
    let mut blocks = vec![
        block(1, (0, 2), 1, &[1], &[]),
        block(2, (2, 4), 1, &[2], &[]),
        shard(1, 2, &[1, 2]),
        shard(2, 2, &[1, 2]),
    ];
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(11), ulid(12)]);
    // Prometheus would delete both parents beside one of their shards.
    blocks.pop();
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(1), ulid(2)]);
    blocks.remove(0);
    let choice = choose(&blocks, &[], TimeRange::ALL);
    assert_eq!(ulids(&choice.blocks), [ulid(2)]);
    assert_eq!(ulids(&choice.excluded), [ulid(11)]);
}

#[test]
fn a_shard_that_is_present_is_not_chosen_again() {
    let blocks = [shard(1, 2, &[]), shard(2, 2, &[])];
    let present = &blocks[..1];
    assert_eq!(chosen(&blocks, present, TimeRange::ALL), [ulid(12)]);
}

#[test]
fn blocks_of_the_same_sources_that_differ_are_all_chosen_and_named() {
    let mut blocks = [
        block(8, (0, 4), 2, &[1, 2], &[]),
        block(9, (0, 4), 2, &[1, 2], &[]),
        block(1, (0, 2), 1, &[1], &[]),
    ];
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(9)], "copies");
    blocks[0].series = 3;
    let choice = choose(&blocks, &[], TimeRange::ALL);
    assert_eq!(ulids(&choice.blocks), [ulid(8), ulid(9)]);
    assert_eq!(choice.doubtful, [[ulid(8), ulid(9)]]);
    let broken = [damaged(blocks[0].clone()), blocks[1].clone()];
    assert_eq!(chosen(&broken, &[], TimeRange::ALL), [ulid(8), ulid(9)]);
    let beside = chosen(&blocks[..1], &blocks[1..2], TimeRange::ALL);
    assert_eq!(beside, [ulid(8)], "present is another");
}

#[test]
fn what_was_rewritten_without_deleted_samples_wins_over_all_that_went_into_it() {
    let blocks = [
        block(1, (0, 2), 1, &[1], &[]),
        block(4, (0, 6), 3, &[1, 2, 3], &[]),
        block(5, (0, 6), 1, &[5], &[4]),
    ];
    let choice = choose(&blocks, &[], TimeRange::ALL);
    assert_eq!(ulids(&choice.blocks), [ulid(5)]);
    assert!(choice.excluded.is_empty());
}

#[test]
fn an_out_of_order_block_is_needed_beside_the_one_it_overlaps() {
    let blocks = [
        block(1, (0, 2), 1, &[1], &[]),
        block(2, (0, 2), 1, &[2], &[0]),
    ];
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(1), ulid(2)]);
}

#[test]
fn a_rewritten_block_replaces_the_one_with_the_same_samples() {
    let blocks = [
        block(1, (0, 2), 1, &[1], &[]),
        block(9, (0, 2), 1, &[1], &[1]),
    ];
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(9)]);
}

#[test]
fn sound_parents_stand_in_for_a_damaged_child_only_if_they_hold_all_of_it() {
    let mut blocks = chain();
    blocks[3] = damaged(blocks[3].clone());
    let parents = [ulid(1), ulid(2), ulid(3), ulid(5)];
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), parents);
    blocks.remove(1);
    assert_eq!(chosen(&blocks, &[], TimeRange::ALL), [ulid(4), ulid(5)]);
}

#[test]
fn sound_parents_of_the_wanted_time_stand_in_for_a_damaged_child_of_a_longer_one() {
    let mut blocks = chain();
    blocks[3] = damaged(blocks[3].clone());
    assert_eq!(chosen(&blocks, &[], range(4, 5)), [ulid(3)]);
    assert_eq!(chosen(&blocks, &[], range(1, 3)), [ulid(1), ulid(2)]);
}

#[test]
fn of_several_words_on_a_block_the_last_sound_one_counts() {
    let named = |name: &str, mut block: StoredBlock| {
        block.fingerprint = Fingerprint::of(name.as_bytes());
        block
    };
    let sound = |name| named(name, block(1, (0, 2), 1, &[1], &[]));
    let broken = |name| damaged(sound(name));
    for (words, best) in [
        (vec![sound("a"), sound("b")], "b"),
        (vec![sound("a"), broken("b")], "a"),
        (vec![broken("a"), sound("b"), broken("c")], "b"),
        (vec![broken("a"), broken("b")], "b"),
    ] {
        let chosen = choose(&words, &[], TimeRange::ALL).blocks;
        assert_eq!(chosen, [&named(best, chosen[0].clone())]);
    }
}

#[test]
fn what_is_present_in_any_shape_is_not_chosen_again() {
    let all = chain();
    assert_eq!(chosen(&all, &all[3..4], TimeRange::ALL), [ulid(5)]);
    let with_parent = chosen(&all, &all[0..1], TimeRange::ALL);
    assert_eq!(
        with_parent,
        [ulid(2), ulid(3), ulid(5)],
        "the child would delete a present parent"
    );
}

/// Everything that ever existed on a server that cut `leaves` blocks and then merged neighbours
/// as `merges` says: (position, how many), each a compaction or, for one block, a rewrite.
fn history(leaves: u64, merges: &[(usize, usize)]) -> Vec<StoredBlock> {
    let mut all: Vec<_> = (1..=leaves)
        .map(|n| block(n, (2 * n as i64, 2 * n as i64 + 2), 1, &[n], &[]))
        .collect();
    let mut live = all.clone();
    for (at, count) in merges {
        let at = at % live.len();
        let end = (at + count).min(live.len());
        let parents: Vec<_> = live.drain(at..end).collect();
        let mut child = parents[0].clone();
        child.ulid = ulid(all.len() as u64 + 1);
        child.max_time = parents.last().unwrap().max_time;
        child.level = parents.iter().map(|b| b.level).max().unwrap() + 1;
        child.sources = parents.iter().flat_map(|b| b.sources.clone()).collect();
        child.parents = parents.iter().map(|b| b.ulid).collect();
        all.push(child.clone());
        live.insert(at, child);
    }
    all
}

/// How good a selection is: samples held, then few blocks, then high levels. `None` when two of
/// its blocks may not stand beside each other.
fn score(selection: &[&StoredBlock]) -> Option<(usize, std::cmp::Reverse<usize>, u64)> {
    let atoms: Vec<_> = selection.iter().flat_map(|block| atoms(block)).collect();
    let distinct: BTreeSet<_> = atoms.iter().collect();
    let kin = |a: &&StoredBlock| selection.iter().any(|b| a.parents.contains(&b.ulid));
    if distinct.len() < atoms.len() || selection.iter().any(kin) {
        return None;
    }
    let levels = selection.iter().map(|block| block.level).sum();
    Some((atoms.len(), std::cmp::Reverse(selection.len()), levels))
}

proptest! {
    #[test]
    fn no_selection_of_a_servers_blocks_is_better_than_the_chosen_one(
        merges in prop::collection::vec((0usize..8, 1usize..4), 0..5),
        archived in prop::collection::vec(any::<bool>(), 12),
        since in 0i64..16,
        length in 1i64..16,
    ) {
        let all = history(6, &merges);
        let archived: Vec<_> = all
            .into_iter()
            .zip(archived)
            .filter_map(|(block, archived)| archived.then_some(block))
            .collect();
        let range = range(since, since + length);
        let chosen = choose(&archived, &[], range).blocks;
        let touching: Vec<_> = archived.iter().filter(|block| lineage::touches(range, block)).collect();
        let best = (0u32..1 << touching.len())
            .filter_map(|set| {
                let members = touching.iter().enumerate();
                let members = members.filter(|(i, _)| set >> i & 1 == 1);
                score(&members.map(|(_, block)| *block).collect::<Vec<_>>())
            })
            .max();
        prop_assert_eq!(score(&chosen), best);
        let mut shuffled = archived.clone();
        shuffled.reverse();
        prop_assert_eq!(choose(&shuffled, &[], range).blocks, chosen);
    }
}
