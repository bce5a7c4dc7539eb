//! From blocks that overlap and repeat each other to disjoint spans of time, each with what it
//! costs on disk.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::lanes::{Lane, add_up};
use super::past::{KnownBlock, Past};
use super::span::HistorySpan;
use crate::model::{Held, Kin, Millis, Stream, Ulid, families};

/// History that lies further back than this, counted from its end, is not looked at: five years. It
/// bounds everything that follows, whatever times blocks claim.
const REACH: Millis = 5 * 366 * 86_400_000;

/// What blocks of one compaction level cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LevelCost {
    /// The level.
    pub level: u64,
    /// Blocks seen, those that were compacted since among them.
    pub blocks: u64,
    /// The longest range of one of them, in milliseconds.
    pub longest: Millis,
    /// Samples in them.
    pub samples: u64,
    /// Bytes of their segments.
    pub chunk_bytes: u64,
    /// Bytes of their indexes.
    pub index_bytes: u64,
    /// Bytes of index beside the same samples in level-1 blocks, measured where these are known,
    /// else by bytes a sample.
    pub index_share: f64,
}

/// The past as disjoint spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The spans by time.
    pub spans: Vec<HistorySpan>,
    /// The compaction levels seen, lowest first.
    pub levels: Vec<LevelCost>,
    /// Blocks, at least so many, some of whose time another block, none of its relatives, stands
    /// for.
    pub overlapping: u64,
    /// Blocks that lie too far back to be looked at.
    pub too_old: u64,
    /// Median range of the level-1 blocks, rounded to minutes; Prometheus' default of two hours
    /// when there are none.
    pub head_range: Millis,
    /// Series of the block that ends last, the longest of these; with those that other streams
    /// have at that time.
    pub series: u64,
}

impl History {
    /// The history that `past` knows. Samples that several blocks hold, because one was compacted
    /// from the others, count once, and as the smallest blocks say it: their times are the most
    /// exact. Where other blocks overlap, the one with more samples a second counts. Shards of the
    /// same sources count together, and so do blocks of different external labels.
    pub fn of(past: &Past) -> Self {
        let together = together(past);
        let mut blocks: Vec<&KnownBlock> = together.iter().collect();
        let end = blocks.iter().map(|block| block.max_time).max().unwrap_or(0);
        let all = blocks.len();
        blocks.retain(|block| block.max_time > end.saturating_sub(REACH));
        let too_old = (all - blocks.len()) as u64;
        // Of how blocks are cut the head says nothing, where there is any.
        let is_all_head = blocks.iter().all(|block| block.is_head);
        let is_cut = |block: &&KnownBlock| is_all_head || !block.is_head;
        let cut: Vec<_> = blocks.iter().copied().filter(is_cut).collect();
        let levels = level_costs(&cut);
        let settled = levels.last().map_or(1.0, |cost| cost.index_share);
        let head_range = head_range(&cut);
        let share = |block: &KnownBlock| {
            let own = levels.iter().find(|cost| cost.level == block.level);
            let own = own.map_or(1.0, |cost| cost.index_share);
            // The block that is cut from a head has hardly more series than that had long before.
            let part = if block.is_head {
                (block.duration().max(1) as f64 / head_range as f64).min(1.0)
            } else {
                1.0
            };
            // A merged index is never larger than its parts; a measurement that says so saw other
            // data.
            let merged = if own > 0.0 {
                (settled / own).min(1.0)
            } else {
                1.0
            };
            part * merged
        };
        let lanes: Vec<Lane> = ranked(&blocks)
            .values()
            .map(|ranked| {
                let (spans, overlapping) = disjoint(ranked, share);
                let latest = ranked.iter().map(|(_, block)| *block).filter(is_cut);
                let latest = latest.max_by_key(|b| (b.max_time, b.duration()));
                Lane {
                    spans,
                    overlapping,
                    latest: latest.map(|b| (b.min_time, b.max_time, b.series)),
                }
            })
            .collect();
        let latest = cut.iter().max_by_key(|b| (b.max_time, b.duration()));
        let series = match (lanes.as_slice(), latest) {
            (_, None) => 0,
            ([_], Some(latest)) => latest.series,
            (lanes, Some(latest)) => {
                let latest = (latest.min_time, latest.max_time);
                let series = lanes.iter().map(|lane| lane.series_at(latest));
                series.fold(0, u64::saturating_add)
            }
        };
        let (spans, overlapping) = add_up(lanes);
        History {
            spans,
            levels,
            overlapping,
            too_old,
            head_range,
            series,
        }
    }

    /// Its begin; 0 when it is empty.
    pub fn min_time(&self) -> Millis {
        self.spans.first().map_or(0, |span| span.min_time)
    }

    /// Its end, exclusive; 0 when it is empty.
    pub fn max_time(&self) -> Millis {
        self.spans.last().map_or(0, |span| span.max_time)
    }

    /// Milliseconds between its ends that some block stands for.
    pub fn covered(&self) -> Millis {
        self.spans.iter().fold(0, |sum: Millis, span| {
            sum.saturating_add(span.max_time.saturating_sub(span.min_time))
        })
    }
}

/// A block and how much it is believed about a time: the smaller, the more.
type Ranked<'a> = (Rank, &'a KnownBlock);
type Rank = (bool, Reverse<u64>, Ulid);

/// The blocks of `past`, those that only together hold what there is of their sources as one, and
/// of copies one.
fn together(past: &Past) -> Vec<KnownBlock> {
    let blocks: Vec<&KnownBlock> = past.blocks().collect();
    let kins: Vec<Kin> = blocks.iter().map(|block| block.kin()).collect();
    let mut together: Vec<KnownBlock> = Vec::with_capacity(blocks.len());
    for family in families(&kins) {
        let mut members = family.members.iter().filter_map(|at| blocks.get(*at));
        let Some(first) = members.next() else {
            continue;
        };
        let mut sum = KnownBlock {
            stream: family.stream.clone(),
            ..(*first).clone()
        };
        for other in members {
            sum.take_in(other);
        }
        together.push(sum);
    }
    together.sort_by_key(|block| block.ulid);
    together
}

/// The blocks that count, by stream. A block all of whose sources are in smaller blocks tells
/// nothing new; one with some of them counts only for time that no other stands for.
fn ranked<'a>(blocks: &[&'a KnownBlock]) -> BTreeMap<&'a Stream, Vec<Ranked<'a>>> {
    let mut by_size = blocks.to_vec();
    by_size.sort_by_key(|block| (block.origins().len(), block.level, block.ulid));
    let mut told = Held::default();
    let mut ranked: BTreeMap<_, Vec<Ranked<'a>>> = BTreeMap::new();
    for block in by_size {
        let origins = block.origins();
        let stream = &block.stream;
        let is_told = |ulid: &&Ulid| told.has(**ulid, stream) || told.has_merged(**ulid, stream);
        let known = origins.iter().filter(is_told).count();
        if known == origins.len() {
            continue;
        }
        told.add(&origins.iter().copied().collect(), stream);
        let seconds = (block.duration() / 1000).max(1) as u64;
        let density = Reverse(block.samples / seconds);
        let rank = (known > 0, density, block.ulid);
        ranked.entry(stream).or_default().push((rank, block));
    }
    ranked
}

/// Sweeps over time and gives every stretch to the block that is believed most. Also says how many
/// blocks lost time to one that has none of their sources.
fn disjoint(
    ranked: &[Ranked<'_>],
    share: impl Fn(&KnownBlock) -> f64 + Copy,
) -> (Vec<HistorySpan>, u64) {
    let mut events: Vec<(Millis, bool, Ranked<'_>)> = Vec::with_capacity(ranked.len() * 2);
    for &(rank, block) in ranked {
        events.push((block.min_time, true, (rank, block)));
        events.push((block.max_time, false, (rank, block)));
    }
    events.sort_by_key(|(time, begins, (rank, _))| (*time, *begins, *rank));
    let mut active: BTreeMap<Rank, &KnownBlock> = BTreeMap::new();
    let mut stretches: Vec<(Millis, Millis, &KnownBlock)> = Vec::new();
    let mut overlapping = BTreeSet::new();
    let mut since = 0;
    for (time, begins, (rank, block)) in events {
        let mut believed = active.iter();
        if let Some((_, first)) = believed.next()
            && time > since
        {
            // Naming all that lose time would cost the square of the blocks where everything
            // overlaps.
            if let Some(((partly, ..), second)) = believed.next()
                && !partly
            {
                overlapping.insert(second.ulid);
            }
            match stretches.last_mut() {
                Some((_, end, last)) if last.ulid == first.ulid && *end == since => *end = time,
                _ => stretches.push((since, time, first)),
            }
        }
        if begins {
            active.insert(rank, block);
        } else {
            active.remove(&rank);
        }
        since = time;
    }
    let spans = stretches.into_iter().map(|(min_time, max_time, block)| {
        let part = max_time.saturating_sub(min_time) as f64 / block.duration().max(1) as f64;
        HistorySpan {
            min_time,
            max_time,
            samples: block.samples as f64 * part,
            chunk_bytes: block.chunk_bytes as f64 * part,
            index_bytes: block.index_bytes as f64 * part * share(block),
            level: block.level,
        }
    });
    (spans.collect(), overlapping.len() as u64)
}

/// What each level costs. Compaction leaves chunks as they are, but an index holds each series
/// once, so merged blocks need less of it.
fn level_costs(blocks: &[&KnownBlock]) -> Vec<LevelCost> {
    let mut costs: BTreeMap<u64, LevelCost> = BTreeMap::new();
    // Index bytes of compacted blocks all of whose level-1 sources are known, and of these sources.
    let mut measured: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    let firsts: BTreeMap<Ulid, u64> = blocks
        .iter()
        .filter(|block| block.level == 1)
        .map(|block| (block.ulid, block.index_bytes))
        .collect();
    for block in blocks {
        let cost = costs.entry(block.level).or_insert(LevelCost {
            level: block.level,
            ..LevelCost::default()
        });
        cost.blocks += 1;
        cost.longest = cost.longest.max(block.duration());
        cost.samples = cost.samples.saturating_add(block.samples);
        cost.chunk_bytes = cost.chunk_bytes.saturating_add(block.chunk_bytes);
        cost.index_bytes = cost.index_bytes.saturating_add(block.index_bytes);
        let sources = block.origins().iter().map(|ulid| firsts.get(ulid));
        let sources: Option<f64> = sources.map(|bytes| bytes.map(|b| *b as f64)).sum();
        if let Some(sources) = sources
            && block.level > 1
        {
            let (own, of_sources) = measured.entry(block.level).or_default();
            *own += block.index_bytes as f64;
            *of_sources += sources;
        }
    }
    let per_sample = |cost: &LevelCost| cost.index_bytes as f64 / (cost.samples as f64).max(1.0);
    let mut costs: Vec<LevelCost> = costs.into_values().collect();
    let lowest = costs.first().map_or(1.0, per_sample);
    for cost in &mut costs {
        let share = match measured.get(&cost.level) {
            Some((own, of_sources)) if *of_sources > 0.0 => own / of_sources,
            _ if lowest > 0.0 => per_sample(cost) / lowest,
            _ => 1.0,
        };
        cost.index_share = share;
    }
    costs
}

/// How much time the head is cut at, as far as level-1 blocks tell.
fn head_range(blocks: &[&KnownBlock]) -> Millis {
    const MINUTE: Millis = 60_000;
    let firsts = blocks.iter().filter(|block| block.level == 1);
    let mut durations: Vec<_> = firsts.map(|block| block.duration()).collect();
    durations.sort_unstable();
    let median = durations.get(durations.len() / 2);
    median.map_or(120 * MINUTE, |median| {
        (median.saturating_add(MINUTE / 2) / MINUTE * MINUTE).max(MINUTE)
    })
}
