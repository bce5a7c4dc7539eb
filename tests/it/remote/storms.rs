//! Bad days: programs are killed, connections cut, the store says that it is asked too much. What
//! was there stays whole, the next run goes right, and nothing is left that nobody lists.
//!
//! `NARTHEX_STORMS` says how many times; a few without it.

use std::env;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use narthex::store::{ReadStore as _, Store as _};

use super::nights::{Machine, archived, night};
use super::proxy::{Fault, Proxy};
use super::servers::{Kind, ObjectServer};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

const SLOW: &str = "<Error><Code>SlowDown</Code></Error>";

/// Whether the archive that is called the latest is whole, and is the one of `name`.
fn assert_latest(machine: &Machine, name: &str, place: &str) {
    let target = machine.home.path().join(place);
    let ran = machine.narthex(&["restore", "latest", "--target", target.to_str().unwrap()]);
    // The older night after the younger one is said, and is meant here.
    assert!(
        [0, 3].contains(&ran.code),
        "{place}: {}{}",
        ran.out,
        ran.err
    );
    assert!(
        archived(&target) == archived(&night(name)),
        "{place}: {name} came back otherwise"
    );
    std::fs::remove_dir_all(target).unwrap();
}

#[test]
fn runs_that_are_killed_and_stores_that_are_flooded_lose_nothing() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let times: u64 = env::var("NARTHEX_STORMS").map_or(12, |times| times.parse().unwrap());
    let is_stormy = Arc::new(AtomicBool::new(false));
    let (storm, dice) = (Arc::clone(&is_stormy), Mutex::new(Dice(1)));
    let proxy = Proxy::start(server.port, Duration::ZERO, move |_| {
        if !storm.load(Ordering::Relaxed) {
            return Fault::None;
        }
        match dice.lock().unwrap().below(8) {
            0 => Fault::Answer(503, SLOW),
            1 => Fault::AnswerAfter(503, SLOW),
            2 => Fault::Reset,
            3 => Fault::LoseAnswer,
            _ => Fault::None,
        }
    });
    let machine = Machine::beside(&server, proxy.port, "storms/one");
    let other = Machine::beside(&server, proxy.port, "storms/two");
    let dirs = ["night-1", "night-2"].map(|name| night(name).to_str().unwrap().to_owned());
    let backup = |number: usize| ["backup", &dirs[number % 2], "--source", "a", "--host", "h"];
    machine.done(&backup(0));
    let mut dice = Dice(7);
    let (mut killed, mut latest) = (0, 0);
    for number in 1..=times {
        let turn = usize::try_from(number).unwrap();
        let arguments: Vec<&str> = match dice.below(4) {
            0 => vec!["prune", "--grace", "0s"],
            1 => vec!["copy", "--to", &other.repo],
            _ => backup(turn).to_vec(),
        };
        is_stormy.store(dice.below(2) == 0, Ordering::Relaxed);
        let mut command = machine.command(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(dice.below(1200)));
        // It may have ended by itself.
        if child.try_wait().unwrap().is_none() {
            killed += 1;
            child.kill().unwrap();
        }
        child.wait().unwrap();
        is_stormy.store(false, Ordering::Relaxed);
        // Whether the last backup was committed before it was killed only the list says.
        let listed = machine.done(&["archives", "--json"]).json();
        let archives = listed["archives"].as_array().unwrap();
        let made = archives.last().unwrap()["source"].as_str().unwrap();
        latest = usize::from(made.ends_with("night-2"));
        if number % 4 == 0 || number == times {
            assert_latest(
                &machine,
                ["night-1", "night-2"][latest],
                &format!("turn-{number}"),
            );
            let ran = machine.narthex(&["check", "--read-data"]);
            assert_eq!(ran.code, 0, "turn {number}: {}{}", ran.out, ran.err);
        }
    }
    assert!(killed > 0 || times < 4, "none of {times} was killed");
    // The next runs go right, and what dead ones have left goes away: claims after a day, uploads
    // that were begun by age.
    machine.done(&backup(latest + 1));
    assert_latest(&machine, ["night-2", "night-1"][latest], "end");
    machine.done(&["copy", "--to", &other.repo]);
    assert_latest(&other, ["night-2", "night-1"][latest], "copied");
    machine.done(&["check", "--read-data", "--compare", &other.repo]);
    // What the claim of a dead run names stays until that expires: this is as a day later.
    let store = server.store("storms/one");
    for (claim, _) in store.list("claims/").unwrap() {
        store.delete(&claim).unwrap();
    }
    machine.done(&["prune", "--grace", "0s"]);
    machine.done(&["prune", "--grace", "0s"]);
    let ran = machine.done(&["check", "--read-data"]);
    assert!(!ran.out.contains("object-unreferenced"), "{}", ran.out);
}
