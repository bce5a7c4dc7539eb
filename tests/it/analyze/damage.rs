//! Blocks that are old, strange or damaged: sums hold all the same.

use super::*;

#[test]
fn an_index_of_format_1_is_counted_as_well() {
    let mut loose = Loose::healthy();
    loose.version = 1;
    let sick = loose.write();
    let (v1, v2) = (
        analyse(std::slice::from_ref(&sick.dir), AnalyzeOptions::default()),
        {
            let sick = Loose::healthy().write();
            let block = Block::open(&sick.dir, ReadMode::Map).unwrap();
            let (series, ..) = slow(&block);
            assert_eq!(series.len(), 4);
            analyse(std::slice::from_ref(&sick.dir), AnalyzeOptions::default())
        },
    );
    for analysis in [&v1, &v2] {
        assert_eq!(analysis.faults.count, 0, "{:?}", analysis.faults);
        assert_eq!(sum(&analysis.groups(b"job", None)), analysis.totals().bytes);
        assert_eq!(analysis.totals().label_pairs, 5);
        assert_eq!(analysis.groups(b"job", None).len(), 5);
    }
    let block = Block::open(&sick.dir, ReadMode::Map).unwrap();
    let (series, ..) = slow(&block);
    let groups = v1.groups(b"job", None);
    for series in &series {
        let of = groups
            .iter()
            .find(|group| value(group).map(str::as_bytes) == series.has(b"job"))
            .unwrap();
        assert!((of.index_bytes as f64 - series.index).abs() < 1.01);
    }
}

#[test]
fn chunks_outside_the_range_of_the_metadata_make_no_monsters() {
    let mut loose = Loose::healthy();
    loose.range = Some((crate::sick::START + 20_000, crate::sick::START + 50_000));
    let sick = loose.write();
    let analysis = analyse(std::slice::from_ref(&sick.dir), AnalyzeOptions::default());
    assert!(analysis.labels().iter().all(|label| label.uncovered == 0));
    let mut loose = Loose::healthy();
    loose.range = Some((i64::MIN, i64::MAX));
    let sick = loose.write();
    let analysis = analyse(std::slice::from_ref(&sick.dir), AnalyzeOptions::default());
    assert!(analysis.labels().iter().all(|label| label.uncovered <= 4));
    assert!(!analysis.steps().is_empty());
}

/// Whatever is wrong, an analysis ends, and its rows add up.
fn sums_hold(dir: &Path) {
    let Ok(block) = Block::open(dir, ReadMode::Read) else {
        return;
    };
    for extended in [false, true] {
        let mut analyzer = Analyzer::new(AnalyzeOptions {
            extended,
            several_blocks: true,
            ..AnalyzeOptions::default()
        });
        if analyzer.add(&block).is_err() {
            continue;
        }
        let analysis = analyzer.finish();
        for name in [&b"__name__"[..], b"job", b"none"] {
            assert_eq!(sum(&analysis.groups(name, None)), analysis.totals().bytes);
        }
        let parts = analysis.parts().iter().map(|part| part.bytes);
        assert_eq!(parts.sum::<u64>(), analysis.totals().bytes);
        let _ = (
            analysis.labels(),
            analysis.pairs(Rank::Carried, Some(3)),
            analysis.looks(),
        );
        let _ = (
            analysis.steps(),
            analysis.job_churn(),
            analysis.turnover(),
            analysis.scrapes(),
        );
    }
}

#[test]
fn every_cut_and_every_flip_of_a_small_block_ends_in_sums_that_hold() {
    let copy = Copy::of("blocks/tiny");
    for file in ["index", "chunks/000001"] {
        let path = copy.block.join(file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x80;
            for content in [&flipped[..], &whole[..at]] {
                fs::write(&path, content).unwrap();
                sums_hold(&copy.block);
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_flip_in_an_index_whose_checksums_are_right_ends_in_sums_that_hold() {
    for version in [1, 2] {
        let mut loose = Loose::healthy();
        loose.version = version;
        let sick = loose.write();
        let index = sick.read("index");
        let toc = sick.toc();
        let sections = [toc.symbols, toc.postings_table];
        let entries = sick.series();
        // Lengths stay, or there would be nothing to seal.
        let is_length = |at: usize| {
            let begins = |from: &u64, len: u64| (*from..*from + len).contains(&(at as u64));
            sections.iter().any(|from| begins(from, 4))
                || entries.iter().any(|from| begins(from, 1))
        };
        for at in (5..index.len() - 52).filter(|at| !is_length(*at)) {
            for bit in [0x01, 0x10, 0x80] {
                let mut flipped = index.clone();
                flipped[at] ^= bit;
                for section in sections {
                    crate::sick::seal_section(&mut flipped, section);
                }
                for entry in &entries {
                    crate::sick::seal_entry(&mut flipped, *entry, 0);
                }
                sick.write("index", &flipped);
                sums_hold(&sick.dir);
            }
        }
        sick.write("index", &index);
    }
}

#[test]
fn what_is_damaged_is_named_counted_and_makes_exit_code_3() {
    let copy = Copy::of("blocks/child-of-three");
    copy.edit("chunks/000001", |segment| segment[0x20] ^= 1);
    let ran = copy.narthex("analyze", &["--by", "summary", "--json"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("chunks/000001: chunk at offset 8: expected checksum"),
        "{}",
        ran.err
    );
    let summary: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(summary[0]["faults"], 1);
    let postings = |at: u64| move |index: &mut Vec<u8>| index[at as usize] ^= 1;
    let toc = narthex::index::Toc::read(&fs::read(copy.block.join("index")).unwrap()).unwrap();
    copy.edit("index", postings(toc.postings_table + 20));
    let ran = copy.narthex("analyze", &["--by", "job", "--json"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("postings offset table"), "{}", ran.err);
    let groups: Json = serde_json::from_str(&ran.out).unwrap();
    let sum: u64 = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, size(&copy.block));
    assert!(groups.as_array().unwrap().len() > 3, "{groups}");
}
