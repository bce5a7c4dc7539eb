//! The first inputs of those fuzz targets whose format is no file of a fixture: made of fixtures,
//! kept in `fixtures/seeds`, and each of them read to its end by what its target calls.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use narthex::chunk::encode::ChunkEncoder;
use narthex::chunk::{Encoding, decode};
use narthex::model::{FloatSample, HistogramSample, Sample};
use narthex::pack::Splice;
use narthex::progress::Silent;
use narthex::statistics::{Amounts, Row, Statistics};
use narthex::verify::{VerifyOptions, verify_block};

use crate::fixtures::{blocks_below, fixture};
use crate::harness;
use crate::hostile::chunks_of_every_encoding;

/// Most chunks of each encoding.
const CHUNKS: usize = 3;

/// Most samples of a chunk that is cut: its times have to fit between two chunks.
const CUT_SAMPLES: i64 = 6;

/// Seeds by target and name.
type Seeds = BTreeMap<(&'static str, String), Vec<u8>>;

fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let chunks = chunks();
    let mut mixed = Vec::new();
    for (encoding, several) in &chunks {
        let mut described = Vec::new();
        let mut cut = vec![5, 30];
        let name = encoding.to_string().replace(' ', "-");
        for (number, data) in several.iter().enumerate() {
            seeds.insert(("chunk", format!("{name}-{number}")), data.clone());
            described.extend(describe(*encoding, data, number != 1));
            if let Some(early) = early(*encoding, data, 10 * number as i64) {
                cut.extend(describe(*encoding, &early, number == 0));
            }
        }
        mixed.extend_from_slice(&described);
        seeds.insert(("chunk_identity", name.clone()), described);
        seeds.insert(("cut", name), cut);
    }
    seeds.insert(("chunk_identity", "mixed".to_owned()), mixed);
    for (name, splice) in splices() {
        let bytes = splice.to_bytes();
        // The target puts the first bytes of version 1 before what it is given.
        let content = bytes.strip_prefix(b"narthexS\x01").unwrap();
        seeds.insert(("splice", name.to_owned()), content.to_vec());
    }
    for name in ["tiny", "promtool-2.42", "parents-three", "encodings-456"] {
        let block = &blocks_below(&fixture("blocks").join(name))[0];
        let statistics = statistics(block);
        seeds.insert(("statistics", name.to_owned()), statistics.to_bytes());
    }
    seeds
}

/// Some chunks of each encoding that a fixture has and a description can name, the shortest ones.
fn chunks() -> Vec<(Encoding, Vec<Vec<u8>>)> {
    let all = chunks_of_every_encoding();
    let known = Encoding::decodable().map(|encoding| {
        let own = all.iter().filter(|(other, _)| *other == encoding);
        let mut own: Vec<_> = own.map(|(_, data)| data.clone()).collect();
        own.sort_by_key(|data| (data.len(), data.clone()));
        own.dedup();
        own.truncate(CHUNKS);
        (encoding, own)
    });
    known.filter(|(_, own)| !own.is_empty()).collect()
}

/// A chunk as [`harness::described_chunks`] reads it.
fn describe(encoding: Encoding, data: &[u8], begins: bool) -> Vec<u8> {
    let byte = encoding.byte();
    assert!(byte < 8, "{encoding} does not fit into the description");
    let mut described = vec![byte | if begins { 0x80 } else { 0 }];
    described.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    described.extend_from_slice(data);
    described
}

/// The first samples of a chunk, at the times from `since` on; `None` if there is no encoder.
fn early(encoding: Encoding, data: &[u8], since: i64) -> Option<Vec<u8>> {
    let mut encoder = ChunkEncoder::new(encoding).ok()?;
    let mut time = since;
    decode(encoding, data, 0, |sample| {
        if time < since + CUT_SAMPLES {
            encoder.push(&at(&sample, time)).unwrap();
        }
        time += 1;
    })
    .unwrap();
    Some(encoder.finish().data)
}

fn at<'a>(sample: &Sample<'a>, time: i64) -> Sample<'a> {
    match *sample {
        Sample::Float(sample) => Sample::Float(FloatSample {
            time,
            start: 0,
            ..sample
        }),
        Sample::Histogram(sample) => Sample::Histogram(HistogramSample {
            time,
            start: 0,
            ..sample
        }),
        Sample::FloatHistogram(sample) => Sample::FloatHistogram(HistogramSample {
            time,
            start: 0,
            ..sample
        }),
    }
}

/// How blocks follow from the packs of the target, and the splice of the format page.
fn splices() -> Vec<(&'static str, Splice)> {
    let page = fs::read(fixture("vectors/ten-minutes.splice")).unwrap();
    vec![
        ("plain", Splice::default()),
        ("range", Splice::of_range((100, 300))),
        ("ten-minutes", Splice::read(&page).unwrap()),
        ("shifted", harness::splice_of_small_packs(1, 70)),
        ("fewer", harness::splice_of_small_packs(4, 20)),
    ]
}

fn statistics(block: &Path) -> Statistics {
    let options = VerifyOptions {
        by_group: true,
        ..VerifyOptions::default()
    };
    let groups = verify_block(block, options, &Silent).unwrap().groups;
    let rows = groups.into_iter().map(|group| Row {
        job: group.job,
        metric: group.metric,
        amounts: Amounts {
            series: group.series,
            samples: group.samples,
            chunk_bytes: group.chunk_bytes,
            entry_bytes: group.entry_bytes,
        },
    });
    let statistics = Statistics::of(rows.collect());
    assert!(!statistics.rows.is_empty(), "{}", block.display());
    statistics
}

#[test]
fn seeds_are_what_the_code_makes_of_the_fixtures_and_are_read_to_their_end() {
    let write = std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some();
    let seeds = seeds();
    for ((target, name), content) in &seeds {
        let path = fixture("seeds").join(target).join(name);
        if write {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(
            found == *content,
            "{}: made otherwise; NARTHEX_WRITE_REFERENCE=1 cargo test --test it -- seeds:: writes it anew",
            path.display()
        );
        match *target {
            "chunk" => harness::any_chunk(content),
            "chunk_identity" => harness::described_chunks(content),
            "cut" => assert_eq!(harness::cut(content), content.len() > 2, "{name}"),
            "splice" => harness::splice(content),
            _ => {
                let read = Statistics::from_bytes(content).unwrap();
                assert!(read.totals().samples > 0, "{name}");
            }
        }
    }
    for target in ["chunk", "chunk_identity", "cut", "splice", "statistics"] {
        let kept = fs::read_dir(fixture("seeds").join(target)).unwrap().count();
        let made = seeds.keys().filter(|(of, _)| *of == target).count();
        assert_eq!(kept, made, "{target}: seeds that nobody makes any more");
        assert!(made > 3, "{target}");
    }
}
