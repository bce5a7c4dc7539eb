//! The head as a block against `promtool tsdb dump`, which replays the logs as a server does: the
//! same samples, to the bit.

use std::fs;

use narthex::model::Ulid;
use narthex::progress::Silent;
use narthex::raw::ReadMode;
use narthex::replay::Head;

use super::dump::{assert_same_samples, dump, samples};
use super::tools::{Release, Tools};
use super::tree::{self, fixture};

const ALL: &str = r#"{__name__=~".+"}"#;

#[test]
fn the_block_of_the_logs_holds_what_a_start_replays() {
    let Some(tools) = Tools::find_or_skip(Release::Current) else {
        return;
    };
    // A block of stale series, as in `stale-3.16`, hides the log from promtool, not from a server.
    for name in [
        "night-1",
        "night-2",
        "wal/out-of-order",
        "wal/live-snappy",
        "wal/live-zstd",
    ] {
        let home = tempfile::tempdir().unwrap();
        let (whole, blocks) = (home.path().join("whole"), home.path().join("blocks"));
        tree::copy(&fixture(name), &whole);
        fs::create_dir_all(whole.join("chunks_head")).unwrap();
        tree::copy(&whole, &blocks);
        for log in ["chunks_head", "wal", "wbl"] {
            let _ = fs::remove_dir_all(blocks.join(log));
        }
        let head = Head::read(&whole, ReadMode::Map, &Silent).unwrap();
        assert_eq!(head.facts().broken, [""; 0], "{name}");
        let made = head.write_block(&blocks, Ulid::generate()).unwrap();
        assert!(made.is_some(), "{name}");
        let promtool = tools.promtool(&["tsdb", "dump", "--match", ALL], &whole);
        let replayed = samples(&promtool);
        assert_same_samples(&dump(&blocks, ALL), &replayed);
        // The command does both.
        assert_same_samples(&dump(&whole, ALL), &replayed);
    }
}
