//! Faults of chunks, and of what series say of them.

use narthex::chunk::Encoding;
use narthex::chunk::encode::ChunkEncoder;
use narthex::model::{CounterReset, HistogramLayout, HistogramSample, Sample, Span};
use narthex::verify::Kind;

use super::{Case, Fault};
use crate::sick::{Loose, LooseChunk, START, Sick, at, floats, seal_entry};

const NEW: &str = "blocks/parents-three";
const SEGMENT: &str = "chunks/000001";

pub(super) fn cases() -> Vec<Case> {
    let real = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Real(NEW, spoil),
    };
    let parts = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Parts(spoil),
    };
    let built = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Built(spoil),
    };
    let unlike = |name, kind, spoil, truth| Case {
        name,
        kind,
        fault: Fault::Unlike(spoil, truth),
    };
    vec![
        real("a flipped bit in a chunk", Kind::ChunkChecksum, |sick| {
            let place = sick.chunks(SEGMENT)[20].0 + 30;
            sick.flip(SEGMENT, place);
        }),
        real(
            "a flipped bit in a chunk's checksum",
            Kind::ChunkChecksum,
            |sick| {
                let place = sick.chunks(SEGMENT)[20].1 - 1;
                sick.flip(SEGMENT, place);
            },
        ),
        real("the length of a chunk", Kind::ChunkChecksum, |sick| {
            let place = sick.chunks(SEGMENT)[20].0;
            sick.edit(SEGMENT, |bytes| bytes[at(place)] ^= 1);
        }),
        real("zeros instead of chunks", Kind::ChunkChecksum, |sick| {
            let cut = sick.chunks(SEGMENT)[60].0;
            sick.edit(SEGMENT, |bytes| bytes[at(cut)..].fill(0));
        }),
        built("an unknown encoding", Kind::ChunkEncoding, |sick| {
            recode(sick, |chunk| chunk[1] = 9);
        }),
        built(
            "the encoding of Thanos' aggregates",
            Kind::BlockDownsampled,
            |sick| {
                for (offset, _) in sick.chunks(SEGMENT) {
                    sick.edit(SEGMENT, |bytes| {
                        bytes[at(offset) + 1] = 255;
                        seal_entry(bytes, offset, 1);
                    });
                }
            },
        ),
        built(
            "Thanos' aggregates beside a log",
            Kind::BlockDownsampledServed,
            |sick| {
                sick.edit_meta(|meta| {
                    meta["thanos"] = serde_json::json!({"downsample": {"resolution": 300_000}});
                });
                std::fs::create_dir(sick.parent().join("wal")).unwrap();
                for (offset, _) in sick.chunks(SEGMENT) {
                    sick.edit(SEGMENT, |bytes| {
                        bytes[at(offset) + 1] = 255;
                        seal_entry(bytes, offset, 1);
                    });
                }
            },
        ),
        built("a count too low", Kind::ChunkCount, |sick| {
            recode(sick, |chunk| chunk[3] = 3);
        }),
        built("a count too high", Kind::ChunkMalformed, |sick| {
            recode(sick, |chunk| chunk[3] = 200);
        }),
        built("a count of 0", Kind::ChunkCount, |sick| {
            recode(sick, |chunk| chunk[3] = 0);
        }),
        built("another first time in a chunk", Kind::ChunkTime, |sick| {
            recode(sick, |chunk| chunk[6] ^= 4);
        }),
        parts(
            "a first time too early in the index",
            Kind::ChunkTimeWide,
            |loose| loose.series[2].chunks[1].min -= 1,
        ),
        parts(
            "a last time too late in the index",
            Kind::ChunkTimeWide,
            |loose| loose.series[2].chunks[0].max += 1,
        ),
        parts(
            "a last time too early in the index",
            Kind::ChunkTime,
            |loose| loose.series[2].chunks[0].max -= 15_000,
        ),
        parts("samples out of order", Kind::ChunkOrder, |loose| {
            let times = [0, 15_000, 45_000, 30_000, 60_000].map(|time| START + time);
            loose.series[1].chunks[0] = floats(Encoding::Xor, times);
        }),
        parts(
            "a chunk that ends before it begins",
            Kind::ChunkRange,
            |loose| {
                let chunk = &mut loose.series[2].chunks[1];
                std::mem::swap(&mut chunk.min, &mut chunk.max);
            },
        ),
        unlike(
            "chunks that overlap",
            Kind::ChunkOverlap,
            |loose| {
                loose.series[1].chunks[0] =
                    floats(Encoding::Xor, [0, 2, 4].map(|i| START + i * 15_000));
                loose.series[1].chunks[1] =
                    floats(Encoding::Xor, [3, 5, 7].map(|i| START + i * 15_000));
            },
            |loose| {
                let values = [(0, 0.0), (2, 1.5), (3, 0.0), (4, 3.0), (5, 1.5), (7, 3.0)];
                loose.series[1].chunks = vec![crate::sick::floats_of(
                    Encoding::Xor,
                    values.map(|(i, value)| (START + i * 15_000, value)),
                )];
            },
        ),
        unlike(
            "chunks out of order",
            Kind::ChunkOverlap,
            |loose| loose.series[1].chunks.swap(0, 1),
            |_| {},
        ),
        unlike(
            "a chunk twice",
            Kind::ChunkDuplicate,
            |loose| loose.series[1].chunks[1] = loose.series[1].chunks[0].clone(),
            |loose| drop(loose.series[1].chunks.pop()),
        ),
        unlike(
            "a chunk twice in one place",
            Kind::ChunkShared,
            |loose| {
                loose.series[1].chunks[1] = LooseChunk {
                    shared: true,
                    ..loose.series[1].chunks[0].clone()
                };
            },
            |loose| drop(loose.series[1].chunks.pop()),
        ),
        parts(
            "a chunk that another series refers to",
            Kind::ChunkShared,
            |loose| {
                loose.series[2].chunks[0] = LooseChunk {
                    shared: true,
                    ..loose.series[1].chunks[1].clone()
                };
            },
        ),
        parts(
            "the end of the block is within a chunk",
            Kind::ChunkOutsideBlock,
            |loose| loose.range = Some((START, START + 7 * 15_000)),
        ),
        parts(
            "the end of the block is before a chunk",
            Kind::ChunkOutsideBlock,
            |loose| loose.range = Some((START, START + 5 * 15_000)),
        ),
        built(
            "a reference that is off by one",
            Kind::ChunkReference,
            |sick| refer(sick, |reference| reference + 1),
        ),
        built("a reference behind the end", Kind::ChunkReference, |sick| {
            refer(sick, |reference| reference - reference % 128 + 127);
        }),
        parts(
            "a chunk that no series refers to",
            Kind::ChunkUnreferenced,
            |loose| loose.series[1].chunks[0].listed = false,
        ),
        built("a chunk of zeros", Kind::ChunkMalformed, |sick| {
            let (from, to) = sick.chunks(SEGMENT)[3];
            sick.edit(SEGMENT, |bytes| bytes[at(from)..at(to)].fill(0xff));
        }),
        parts("a chunk cut short", Kind::ChunkShort, |loose| {
            let data = &mut loose.series[1].chunks[0].data;
            data.truncate(data.len() / 2);
        }),
        parts("a last chunk cut short", Kind::ChunkShort, |loose| {
            let data = &mut loose.series[1].chunks[1].data;
            data.truncate(data.len() / 2);
        }),
        Case {
            name: "a histogram chunk cut short",
            kind: Kind::ChunkShort,
            fault: Fault::Unlike(
                |loose| {
                    histograms(loose);
                    let data = &mut loose.series[1].chunks[0].data;
                    data.truncate(data.len() / 2);
                },
                histograms,
            ),
        },
        unlike(
            "a chunk of no samples",
            Kind::ChunkEmpty,
            |loose| loose.series[1].chunks[0].data = vec![0, 0],
            |loose| drop(loose.series[1].chunks.remove(0)),
        ),
        Case {
            name: "spans of a histogram that go back",
            kind: Kind::HistogramLayout,
            fault: Fault::Untold(|loose| {
                loose.series[1].chunks = vec![histogram(&[(0, 2), (-1, 1)], &[(6, &[1, 1, 1])])];
            }),
        },
        Case {
            name: "a negative bucket of a histogram",
            kind: Kind::HistogramCounts,
            fault: Fault::Untold(|loose| {
                loose.series[1].chunks = vec![histogram(&[(0, 2), (1, 1)], &[(6, &[1, -2, 1])])];
            }),
        },
        Case {
            name: "more in the buckets of a histogram than it counts",
            kind: Kind::HistogramCounts,
            fault: Fault::Untold(|loose| {
                loose.series[1].chunks = vec![histogram(&[(0, 2), (1, 1)], &[(5, &[1, 1, 1])])];
            }),
        },
        Case {
            name: "less in the buckets of a histogram than it counts",
            kind: Kind::HistogramShortfall,
            fault: Fault::Untold(|loose| {
                loose.series[1].chunks = vec![histogram(&[(0, 2), (1, 1)], &[(7, &[1, 1, 1])])];
            }),
        },
    ]
}

fn recode(sick: &Sick, change: impl FnOnce(&mut [u8])) {
    let offset = sick.chunks(SEGMENT)[3].0;
    sick.edit(SEGMENT, |bytes| {
        change(&mut bytes[at(offset)..]);
        seal_entry(bytes, offset, 1);
    });
}

/// Changes the first reference of the second series, whose last byte is changed.
fn refer(sick: &Sick, change: impl FnOnce(u8) -> u8) {
    let offset = sick.series()[1];
    let (second, _) = sick.chunks(SEGMENT)[2];
    sick.edit("index", |bytes| {
        let entry = at(offset);
        let continues = if second < 128 { 0 } else { 0x80 };
        let reference = u8::try_from(second & 0x7f | continues).unwrap();
        let place = (entry..entry + 40)
            .rev()
            .find(|&i| bytes[i] == reference)
            .unwrap();
        bytes[place] = change(bytes[place]);
        seal_entry(bytes, offset, 0);
    });
}

/// A chunk of integer histograms: their count and their buckets.
fn histogram(spans: &[(i64, u64)], samples: &[(u64, &[i64])]) -> LooseChunk {
    let layout = HistogramLayout {
        positive: spans
            .iter()
            .map(|&(offset, length)| Span { offset, length })
            .collect(),
        ..HistogramLayout::default()
    };
    let mut encoder = ChunkEncoder::new(Encoding::Histogram).unwrap();
    for (time, &(count, positive)) in (START..).step_by(15_000).zip(samples) {
        let sample = HistogramSample {
            time,
            start: 0,
            counter_reset: CounterReset::Unknown,
            layout: &layout,
            sum: 4.5f64.to_bits(),
            count,
            zero_count: 0,
            positive,
            negative: &[],
        };
        encoder.push(&Sample::Histogram(sample)).unwrap();
    }
    LooseChunk::of(encoder.finish())
}

fn histograms(loose: &mut Loose) {
    let samples: Vec<(u64, &[i64])> = vec![
        (6, &[1, 1, 1]),
        (9, &[2, 1, 0]),
        (12, &[4, 0, 0]),
        (12, &[4, 0, 0]),
    ];
    loose.series[1].chunks = vec![histogram(&[(0, 2), (1, 1)], &samples)];
}
