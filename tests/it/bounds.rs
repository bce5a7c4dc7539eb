//! Time and memory stay within bounds, whatever a block holds and however large it is.

use narthex::chunk::Encoding;
use narthex::progress::Silent;
use narthex::verify::{Depth, VerifyOptions, verify_block};

use crate::effort::effort;
use crate::sick::{Loose, LooseChunk, START, floats};

/// A few bytes of reference name a hundred kilobytes of chunk, a hundred thousand times.
#[test]
fn a_chunk_that_many_references_share_is_not_decoded_for_each_of_them() {
    const SHARED: usize = 100_000;
    const SAMPLES: u16 = 60_000;
    let mut loose = Loose::healthy();
    loose.series.truncate(1);
    let big = floats(
        Encoding::Xor,
        (0..i64::from(SAMPLES)).map(|k| START + k * k % 977 + 1000 * k),
    );
    let again = LooseChunk {
        data: SAMPLES.to_be_bytes().to_vec(),
        shared: true,
        ..big.clone()
    };
    let mut wrong = again.clone();
    wrong.max -= 1;
    let mut chunks = vec![big];
    chunks.extend(std::iter::repeat_n(again, SHARED));
    chunks.push(wrong);
    loose.series[0].chunks = chunks;
    let sick = loose.write();
    for depth in [Depth::Full, Depth::Quick] {
        let options = VerifyOptions {
            depth,
            ..VerifyOptions::default()
        };
        let (verdict, effort) = effort(|| verify_block(&sick.dir, options, &Silent).unwrap());
        // Six billion samples take minutes.
        assert!(effort < 20_000_000_000, "{depth:?}: {effort} ns");
        let count = |id: &str| {
            let counts = verdict.findings.counts();
            let found = counts.filter(|(kind, _)| kind.id() == id);
            found.map(|(_, count)| count).sum::<u64>()
        };
        assert!(count("chunk-shared") > 0);
        assert_eq!(count("chunk-time"), u64::from(depth == Depth::Full));
        assert_eq!(
            verdict.stats.samples,
            (SHARED as u64 + 2) * u64::from(SAMPLES)
        );
    }
}

#[cfg(target_os = "linux")]
mod memory {
    use std::fs;
    use std::ops::Range;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use assert_cmd::cargo::CommandCargoExt as _;
    use narthex::block::{BlockOptions, BlockWriter, Meta};
    use narthex::chunk::Encoding;
    use narthex::chunk::encode::float_chunks;
    use narthex::index::SymbolRef;
    use narthex::model::FloatSample;

    const SERIES: u32 = 300_000;
    const ULIDS: [&str; 9] = [
        "01M7ZTB71NJ67GWWE5SXTVHFTH",
        "01M7ZTB72NJ67GWWE5SXTVHFTH",
        "01M7ZTB73NJ67GWWE5SXTVHFTH",
        "01M7ZTB74NJ67GWWE5SXTVHFTH",
        "01M7ZTB75NJ67GWWE5SXTVHFTH",
        "01M7ZTB76NJ67GWWE5SXTVHFTH",
        "01M7ZTB77NJ67GWWE5SXTVHFTH",
        "01M7ZTB78NJ67GWWE5SXTVHFTH",
        "01M7ZTB79NJ67GWWE5SXTVHFTH",
    ];
    /// Labels that take few values: each with ten.
    const COMMON: u32 = 8;
    /// What is promised for a block of any size.
    const LIMIT_KIB: u64 = 256 << 10;

    /// A block in which each series has ten labels, two of them with values of its own, and eight
    /// samples from each of `sources`, which are hours.
    fn write_block(parent: &Path, ulid: &str, sources: Range<i64>, series: u32) {
        let mut symbols = Vec::new();
        symbols.extend((0..COMMON).map(|name| format!("a_name_{name}")));
        symbols.extend((0..10).map(|value| format!("b_value_{value}")));
        symbols.extend(["c_container".to_owned(), "d_id".to_owned()]);
        symbols.extend((0..series).map(|k| format!("e_container-of-some-pod-{k:08}")));
        symbols.extend((0..series).map(|k| format!("f_id-{k:08}")));
        let values = COMMON;
        let own_names = values + 10;
        let own = own_names + 2;
        let names = sources.clone().map(|hour| ULIDS[hour as usize]);
        let meta = serde_json::json!({
            "ulid": ulid,
            "minTime": sources.start * 3_600_000,
            "maxTime": sources.end * 3_600_000,
            "compaction": {
                "level": if sources.end - sources.start > 1 { 2 } else { 1 },
                "sources": names.collect::<Vec<_>>(),
            },
            "version": 1,
        });
        let meta = Meta::parse(meta.to_string().as_bytes()).unwrap();
        let sample = |hour: i64, k: i64| FloatSample {
            time: 3_600_000 * hour + 15_000 * k,
            start: 0,
            bits: (k as f64).to_bits(),
        };
        let chunks: Vec<_> = sources
            .flat_map(|hour| float_chunks((0..8).map(|k| sample(hour, k)), Encoding::Xor).unwrap())
            .collect();
        let mut writer =
            BlockWriter::create(parent, meta, &symbols, BlockOptions::default()).unwrap();
        for k in 0..series {
            // Series must ascend, so the digits of their number are the values of the common
            // labels.
            let digit = |name: u32| k / 10u32.pow(COMMON - 1 - name) % 10;
            let mut labels: Vec<_> = (0..COMMON)
                .map(|name| (SymbolRef(name), SymbolRef(values + digit(name))))
                .collect();
            labels.push((SymbolRef(own_names), SymbolRef(own + k)));
            labels.push((SymbolRef(own_names + 1), SymbolRef(own + series + k)));
            writer.add_series(&labels, &chunks).unwrap();
        }
        writer.finish().unwrap();
    }

    /// The largest anonymous memory in KiB that was seen while `narthex` ran with `arguments`.
    fn peak(arguments: &[&str]) -> u64 {
        let mut child = Command::cargo_bin("narthex")
            .unwrap()
            .args(arguments)
            .env(
                "NARTHEX_CACHE_DIR",
                Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
            )
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        loop {
            if let Some(ended) = child.try_wait().unwrap() {
                assert!(ended.success(), "{arguments:?}: {ended}");
                return peak;
            }
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            peak = peak.max(kib.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_block_of_300_000_series_is_verified_archived_and_cut_in_256_mib() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        write_block(&data, ULIDS[0], 0..1, SERIES);
        let (data, repo) = (data.to_str().unwrap(), dir.path().join("repo"));
        let verified = peak(&["verify", "--quiet", data]);
        let repo = repo.to_str().unwrap();
        let archived = peak(&["backup", "--quiet", data, "--repo", repo]);
        let target = dir.path().join("part");
        // Every series stays, and every chunk is trimmed.
        let cut = peak(
            &[
                &["restore", "latest", "--quiet", "--repo", repo, "--target"][..],
                &[target.to_str().unwrap(), "--exact", "--until", "60"],
            ]
            .concat(),
        );
        for (what, peak) in [
            ("verify", verified),
            ("backup", archived),
            ("restore --exact", cut),
        ] {
            assert!(peak > 1 << 10, "{what} was seen with {peak} KiB only");
            assert!(peak < LIMIT_KIB, "{what} took {peak} KiB");
        }
        eprintln!(
            "anonymous memory: verify {verified} KiB, backup {archived} KiB, restore --exact {cut} KiB"
        );
    }

    #[test]
    fn a_block_of_100_000_series_is_spliced_from_eight_packs_and_comes_back_in_256_mib() {
        const SERIES: u32 = 100_000;
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        for (hour, ulid) in (0..8).zip(ULIDS) {
            write_block(&data, ulid, hour..hour + 1, SERIES);
        }
        let (data, repo) = (data.to_str().unwrap(), dir.path().join("repo"));
        let repo = repo.to_str().unwrap();
        let backup = ["backup", "--quiet", data, "--repo", repo];
        let first = peak(&backup);
        fs::remove_dir_all(data).unwrap();
        fs::create_dir(data).unwrap();
        write_block(Path::new(data), ULIDS[8], 0..8, SERIES);
        let spliced = peak(&backup);
        let packs = fs::read_dir(dir.path().join("repo/packs")).unwrap();
        assert_eq!(packs.count(), 8, "nothing is stored again");
        let target = dir.path().join("back");
        let restored = peak(&[
            "restore",
            "latest",
            "--quiet",
            "--repo",
            repo,
            "--target",
            target.to_str().unwrap(),
        ]);
        for (what, peak) in [
            ("backup", first),
            ("backup that splices", spliced),
            ("restore", restored),
        ] {
            assert!(peak > 1 << 10, "{what} was seen with {peak} KiB only");
            assert!(peak < LIMIT_KIB, "{what} took {peak} KiB");
        }
        eprintln!(
            "anonymous memory: backup {first} KiB, backup that splices {spliced} KiB, restore {restored} KiB"
        );
    }
}
