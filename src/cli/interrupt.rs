//! What is said when somebody stops the program: what stays, and what to do. The process ends by
//! the signal all the same.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use nix::sys::signal::{SigSet, Signal, raise};

use super::command_line::Command;
use crate::raw::temporary_dirs;
use crate::report::safe_line;
use crate::restore::Target;

/// The signals that stop a program, and that it hears before it ends.
const SIGNALS: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Has it said what becomes of the work of `command` when a signal ends it. To be called before any
/// other thread is there: threads inherit which signals they leave to the one that listens.
pub(super) fn listen(command: &Command) {
    let ignored = ignored();
    let is_heard = |signal: &Signal| ignored & (1 << (*signal as u32 - 1)) == 0;
    let signals: SigSet = SIGNALS.into_iter().filter(is_heard).collect();
    let sentence = sentence(command);
    if signals.thread_block().is_err() {
        return;
    }
    let listener = std::thread::Builder::new().name("signals".to_owned());
    let listening = listener.spawn(move || {
        let Ok(signal) = signals.wait() else {
            return;
        };
        // Whoever asks twice does not wait for what is said.
        let _ = signals.thread_unblock();
        say(&format!("stopped by {signal}: {}", sentence()));
        let _ = raise(signal);
    });
    if listening.is_err() {
        let _ = signals.thread_unblock();
    }
}

/// Signals that whoever started the program wants ignored, as nohup does: a bit for each.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    // A bar may stand on the line.
    let begin = if stderr.is_terminal() { "\n" } else { "" };
    let _ = writeln!(stderr, "{begin}narthex: {}", safe_line(text));
}

/// What becomes of the work of `command` when it is stopped, told at that time.
fn sentence(command: &Command) -> Box<dyn Fn() -> String + Send> {
    let plain = |text: &str| -> Box<dyn Fn() -> String + Send> {
        let text = text.to_owned();
        Box::new(move || format!("{text}{}", leftovers()))
    };
    match command {
        Command::Backup(args) if !args.is_dry_run() => plain(&format!(
            "there is no archive of this run unless narthex archives lists one; what was stored stays in {}, and the next backup of the directory takes it up",
            args.location()
        )),
        Command::Copy(args) if !args.is_dry_run() => plain(&format!(
            "archives are in {} as far as narthex archives lists them there; other objects that were sent stay, and the next copy takes them over",
            args.to()
        )),
        Command::Restore(args) if !args.is_dry_run() => {
            let target = args.target().to_owned();
            Box::new(move || restore_sentence(&target))
        }
        Command::Prune(_) => plain(
            "what was marked or deleted until then is, and nothing that an archive needs; the next prune goes on",
        ),
        Command::Forget(_) => plain(
            "archives that were removed until then are, the others stay; narthex archives lists them",
        ),
        Command::Repair(_) => {
            plain("what was repaired until then is; run narthex repair again for the rest")
        }
        Command::Export(_) => plain("the tar that was written until then is not whole"),
        Command::Check(_) | Command::Verify(_) => {
            plain("nothing was changed, and nothing is known of what was not looked at")
        }
        _ => plain("what was printed until then is not all"),
    }
}

/// Where what a restore into `target` has written until now lies.
fn restore_sentence(target: &Path) -> String {
    let stages = Target::new(target, true).map(|target| target.stale_stages());
    let stages: Vec<_> = stages.unwrap_or_default();
    let shown = target.display();
    if stages.is_empty() {
        return format!("blocks that are in {shown} are whole, and not all of them need be there");
    }
    let stages: Vec<_> = stages.iter().map(|dir| dir.display().to_string()).collect();
    format!(
        "blocks that are in {shown} are whole, and not all of them need be there; what was not proved yet lies in {}: remove it and run the restore again, with --add-missing if there are blocks",
        stages.join(", ")
    )
}

/// Removes the unpacked copies of blocks that the process made, and says where one stays.
fn leftovers() -> String {
    let made = temporary_dirs().into_iter();
    let left = made.filter(|dir| {
        let _ = fs::remove_dir_all(dir);
        dir.exists()
    });
    let left: Vec<_> = left.map(|dir| dir.display().to_string()).collect();
    if left.is_empty() {
        String::new()
    } else {
        format!("; {} is left and can be removed", left.join(", "))
    }
}
