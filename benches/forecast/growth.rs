//! Histories of servers that never were: blocks as Prometheus would have cut and compacted them,
//! from a rate of samples.

use narthex::forecast::{KnownBlock, Past};
use narthex::model::{Millis, Ulid};

const HOUR: Millis = 3_600_000;

/// A Monday, midnight UTC.
const START: Millis = 1_767_571_200_000;

/// Which of the blocks are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// All that ever were, as nightly archives know them.
    Archives,
    /// Those that are there at the end: old ones in large blocks.
    Directory,
}

/// How a server grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Growth {
    pub(crate) name: &'static str,
    pub(crate) days: i64,
    /// Rate of samples at a share of the history and a day, beside the usual one.
    pub(crate) rate: fn(f64, f64) -> f64,
    /// Largest share by which a block differs at random.
    pub(crate) noise: f64,
}

fn weekly(day: f64) -> f64 {
    if day.rem_euclid(7.0) < 5.0 { 1.0 } else { 0.6 }
}

fn daily(day: f64) -> f64 {
    1.0 + 0.3 * (day * std::f64::consts::TAU).sin()
}

/// What forecasts are tried on.
pub(crate) const GROWTHS: &[Growth] = &[
    growth("constant", 30, 0.0, |_, _| 1.0),
    growth("constant, noise of 20 %", 30, 0.2, |_, _| 1.0),
    growth("constant, five days", 5, 0.05, |_, _| 1.0),
    growth("trend, +50 %", 30, 0.05, |share, _| 1.0 + 0.5 * share),
    growth("trend, +50 %, 150 days", 150, 0.05, |share, _| {
        1.0 + 0.5 * share
    }),
    growth("trend, −40 %", 60, 0.05, |share, _| 1.0 - 0.4 * share),
    growth("exponential, ×3", 90, 0.05, |share, _| 3f64.powf(share)),
    growth("step ×1.6 at a third", 30, 0.05, |share, _| {
        if share < 0.33 { 1.0 } else { 1.6 }
    }),
    growth("step ×1.6 shortly before the cut", 60, 0.05, |share, _| {
        if share < 0.58 { 1.0 } else { 1.6 }
    }),
    growth("step ×0.5 at a third", 30, 0.05, |share, _| {
        if share < 0.33 { 1.0 } else { 0.5 }
    }),
    growth("two steps", 60, 0.05, |share, _| {
        if share < 0.2 {
            1.0
        } else if share < 0.45 {
            1.5
        } else {
            1.2
        }
    }),
    growth("weekly wave", 40, 0.05, |_, day| weekly(day)),
    growth("weekly wave, 100 days", 100, 0.05, |_, day| weekly(day)),
    growth("weekly and daily wave", 60, 0.05, |_, day| {
        weekly(day) * daily(day)
    }),
    growth("daily wave", 10, 0.05, |_, day| daily(day)),
    growth("weekly wave and trend", 90, 0.05, |share, day| {
        weekly(day) * (1.0 + 0.5 * share)
    }),
    growth("weekly wave and step", 90, 0.05, |share, day| {
        weekly(day) * if share < 0.4 { 1.0 } else { 1.5 }
    }),
    growth("step, then trend", 90, 0.05, |share, _| {
        if share < 0.25 { 0.6 } else { 1.0 + 0.4 * share }
    }),
];

const fn growth(name: &'static str, days: i64, noise: f64, rate: fn(f64, f64) -> f64) -> Growth {
    Growth {
        name,
        days,
        rate,
        noise,
    }
}

/// Even noise from −1 to 1, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Samples a second where `rate` is 1.
const SAMPLES: f64 = 10_000.0;

/// The past of a server that grows like this.
pub(crate) fn past(growth: &Growth, view: View, seed: u64) -> Past {
    let mut noise = Noise(seed);
    let cuts = growth.days * 12;
    let mut levels: Vec<Vec<KnownBlock>> = vec![Vec::new()];
    for cut in 0..cuts {
        let day = (cut as f64 + 0.5) / 12.0;
        let rate =
            (growth.rate)(day / growth.days as f64, day) * (1.0 + growth.noise * noise.next());
        let samples = rate * SAMPLES * 7200.0;
        levels[0].push(KnownBlock {
            ulid: Ulid::from_parts(0, cut as u128 + 1),
            min_time: START + cut * 2 * HOUR + 25,
            max_time: START + (cut + 1) * 2 * HOUR,
            level: 1,
            sources: Vec::new(),
            stream: narthex::model::Stream::default(),
            samples: samples as u64,
            series: (rate * 150_000.0) as u64,
            chunk_bytes: (samples * 1.3) as u64,
            index_bytes: (rate * 150_000.0 * 130.0 + samples * 0.05) as u64,
            is_head: false,
        });
    }
    for level in 2..=4u64 {
        let below = levels.last().unwrap();
        let merged = below.chunks_exact(3).enumerate();
        let next = merged.map(|(i, parts)| merge(level, i, parts)).collect();
        levels.push(next);
    }
    let mut past = Past::default();
    let mut keep = |block: &KnownBlock| past.add(block.clone(), block.ulid.to_string(), None);
    match view {
        View::Archives => levels.iter().flatten().for_each(&mut keep),
        View::Directory => {
            let mut until = START;
            for level in levels.iter().rev() {
                let rest: Vec<_> = level.iter().filter(|b| b.min_time >= until).collect();
                for block in &rest {
                    keep(block);
                }
                until = rest.last().map_or(until, |block| block.max_time);
            }
        }
    }
    past.present.block_bytes = levels[0].iter().map(KnownBlock::bytes).sum();
    past.present.min_time = Some(START);
    past
}

fn merge(level: u64, number: usize, parts: &[KnownBlock]) -> KnownBlock {
    let sum = |count: fn(&KnownBlock) -> u64| parts.iter().map(count).sum();
    let origins = |block: &KnownBlock| {
        if block.sources.is_empty() {
            vec![block.ulid]
        } else {
            block.sources.clone()
        }
    };
    KnownBlock {
        ulid: Ulid::from_parts(level.cast_signed(), number as u128 + 1),
        min_time: parts[0].min_time,
        max_time: parts[parts.len() - 1].max_time,
        level,
        sources: parts.iter().flat_map(origins).collect(),
        stream: narthex::model::Stream::default(),
        samples: sum(|block| block.samples),
        series: parts.iter().map(|block| block.series).max().unwrap(),
        chunk_bytes: sum(|block| block.chunk_bytes),
        index_bytes: sum(|block| block.index_bytes) / 2,
        is_head: false,
    }
}
