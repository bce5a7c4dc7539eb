//! A damaged block that was replaced where it lies: a real server answers as before, and while it
//! is at work nothing is replaced.

use std::fs;
use std::path::Path;

use super::program::{backup, narthex, run};
use super::server::Server;
use super::tools::{Release, Tools};
use super::tree::{copy, fixture, metas};

const BLOCK: &str = "01M80FN8PK4S2DZQ85HBJ25081";

#[test]
fn a_packaged_server_answers_as_before_from_a_block_that_was_replaced() {
    answers_as_before(Release::Packaged);
}

#[test]
fn a_current_server_answers_as_before_from_a_block_that_was_replaced() {
    answers_as_before(Release::Current);
}

fn answers_as_before(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let (data, repository) = (home.path().join("data"), home.path().join("repository"));
    copy(&fixture("night-2"), &data);
    run(&mut backup(&data, &repository), &[0]);
    let ends = metas(&data);
    let end = ends
        .iter()
        .map(|meta| meta["maxTime"].as_i64().unwrap())
        .max();
    let end = end.unwrap();
    // Retention is counted from the newest block, so nothing goes for its age.
    let ask = |data: &Path| {
        let server = Server::answering_from(&tools, data);
        let answer = server.range_until(r#"{__name__=~".+"}"#, end);
        let refused = run(&mut replace(data, &repository), &[1]);
        let refused = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.contains("is at work in"), "{refused}");
        server.end();
        answer
    };
    let asked = home.path().join("asked");
    copy(&data, &asked);
    let before = ask(&asked);
    assert!(before.samples() > 10_000, "{}", before.samples());

    let segment = data.join(BLOCK).join("chunks/000001");
    let mut content = fs::read(&segment).unwrap();
    content[40] ^= 0x20;
    fs::write(&segment, content).unwrap();
    run(narthex(["verify"]).arg(&data), &[3]);
    run(&mut replace(&data, &repository), &[0]);
    run(narthex(["verify"]).arg(&data), &[0]);
    let after = ask(&data);
    assert_eq!(before.missing_from(&after), Vec::<String>::new());
    assert_eq!(after.missing_from(&before), Vec::<String>::new());
    // Neither start nor end of the server touched what was kept.
    assert!(data.join(format!("{BLOCK}.damaged/index")).is_file());
}

fn replace(data: &Path, repository: &Path) -> std::process::Command {
    let mut command = narthex(["restore", "latest", "--replace-damaged", "--repo"]);
    command.arg(repository).arg("--target").arg(data);
    command
}
