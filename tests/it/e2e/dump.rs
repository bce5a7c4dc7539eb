//! `narthex dump` against `promtool tsdb dump`: the same samples, to the bit.

use std::path::Path;

use super::program::{narthex, run};
use super::tools::{Release, Tools};
use super::tree::{self, fixture};

#[test]
fn dump_prints_the_samples_that_promtool_prints() {
    let Some(tools) = Tools::find_or_skip(Release::Current) else {
        return;
    };
    for night in ["night-1", "night-2"] {
        let home = tempfile::tempdir().unwrap();
        let blocks = home.path().join("blocks");
        tree::copy(&fixture(night), &blocks);
        // promtool would replay the WAL; dump is about blocks. Without the directory it refuses to
        // work.
        std::fs::remove_dir_all(blocks.join("chunks_head")).unwrap();
        std::fs::remove_dir_all(blocks.join("wal")).unwrap();
        std::fs::create_dir(blocks.join("wal")).unwrap();
        for matcher in [r#"{__name__=~".+"}"#, r#"{__name__=~"go_.*",role!=""}"#] {
            let promtool = tools.promtool(&["tsdb", "dump", "--match", matcher], &blocks);
            assert_same_samples(&dump(&blocks, matcher), &samples(&promtool));
        }
    }
}

pub(super) fn dump(blocks: &Path, matcher: &str) -> Vec<Line> {
    let mut command = narthex(["dump", "--format", "text", "--match", matcher]);
    let output = run(command.arg(blocks), &[0]);
    samples(std::str::from_utf8(&output.stdout).unwrap())
}

pub(super) fn assert_same_samples(ours: &[Line], promtools: &[Line]) {
    assert!(!promtools.is_empty());
    let different = ours
        .iter()
        .zip(promtools)
        .find(|(ours, theirs)| ours != theirs);
    assert_eq!(different, None);
    assert_eq!(ours.len(), promtools.len());
}

/// One printed sample: labels, time, value.
pub(super) type Line = (String, i64, Value);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// The bits of a float: two programs may spell the same one differently.
    Float(u64),
    Histogram(String),
}

pub(super) fn samples(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = text.lines().map(sample).collect();
    lines.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
    lines
}

fn sample(line: &str) -> Line {
    let (series_and_value, time) = line.rsplit_once(' ').unwrap();
    // No label value of the fixtures contains "} ".
    let (series, value) = series_and_value.split_once("} ").unwrap();
    let value = value.parse().map_or_else(
        |_| Value::Histogram(value.to_owned()),
        |float: f64| Value::Float(float.to_bits()),
    );
    (series.to_owned(), time.parse().unwrap(), value)
}
