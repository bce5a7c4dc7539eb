//! Progress as a person sees it: a bar on a terminal, a line now and then elsewhere, nothing with
//! `--quiet`.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::Global;
use crate::progress::Progress;
use crate::report::safe_line;
use crate::units::{bytes_text, coarse_duration_text};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// How many characters a line of standard output has, if it is a terminal: `COLUMNS` may say it.
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let real = || {
        let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
        Some(usize::from(size.ws_col))
    };
    said.or_else(real).filter(|columns| *columns > 0)
}

/// The progress of `command` that fits standard error and the options, and what is kept of it until
/// it is known whether anybody should read it.
pub(super) fn progress(
    global: &Global,
    command: &'static str,
    withholds: bool,
) -> (Box<dyn Progress>, Held) {
    let held = Held::default();
    let progress: Box<dyn Progress> = if withholds {
        Box::new(held.clone())
    } else if global.quiet {
        Box::new(RemarksOnly)
    } else if io::stderr().is_terminal() {
        Box::new(Bar(Mutex::new(None)))
    } else {
        Box::new(Lines::of(command))
    };
    (progress, held)
}

/// Says something on standard error that even who wants to hear nothing should know.
pub(crate) fn announce(text: impl std::fmt::Display) {
    write_remark(&text);
}

/// Writes a line about something that somebody should know to standard error.
pub(super) fn write_remark(text: &dyn Display) {
    let text = text.to_string();
    let _ = writeln!(io::stderr().lock(), "narthex: {}", safe_line(&text));
}

/// `--quiet`: remarks are still worth a line, bytes are not.
struct RemarksOnly;

impl Progress for RemarksOnly {
    fn begin(&self, _phase: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
    fn remark(&self, text: &dyn Display) {
        write_remark(text);
    }
}

/// `--quiet` where only trouble is worth a line: remarks are kept until it is known whether there
/// is any.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Mutex<Vec<String>>>);

impl Held {
    /// Writes what was kept.
    pub(super) fn release(&self) {
        let kept = self.0.lock().map(|mut kept| std::mem::take(&mut *kept));
        for text in kept.unwrap_or_default() {
            write_remark(&text);
        }
    }
}

impl Progress for Held {
    fn begin(&self, _phase: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
    fn remark(&self, text: &dyn Display) {
        match self.0.lock() {
            Ok(mut kept) => kept.push(text.to_string()),
            Err(_) => write_remark(text),
        }
    }
}

/// A bar with bytes, rate and time left.
struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn with(&self, act: impl FnOnce(&ProgressBar)) {
        if let Ok(bar) = self.0.lock()
            && let Some(bar) = &*bar
        {
            act(bar);
        }
    }
}

impl Progress for Bar {
    fn begin(&self, phase: &str, total: Option<u64>) {
        let bar = match total {
            Some(total) => ProgressBar::new(total).with_style(style(
                "{msg:<12} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
            )),
            None => ProgressBar::new_spinner()
                .with_style(style("{msg:<12} {spinner} {bytes} {bytes_per_sec}")),
        };
        bar.set_message(phase.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(bar);
        }
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| bar.inc(bytes));
    }

    fn end(&self) {
        self.with(ProgressBar::finish_and_clear);
        if let Ok(mut slot) = self.0.lock() {
            *slot = None;
        }
    }

    fn remark(&self, text: &dyn Display) {
        match self.0.lock() {
            Ok(slot) => match &*slot {
                Some(bar) => bar.suspend(|| write_remark(text)),
                None => write_remark(text),
            },
            Err(_) => write_remark(text),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A line every [`LINE_INTERVAL`], for logs of unattended runs: also of work that counts no bytes,
/// so that nobody takes it for dead.
struct Lines(Arc<Mutex<State>>);

/// How far the work is.
struct State {
    command: &'static str,
    begun: Instant,
    phase: Option<Phase>,
}

struct Phase {
    name: String,
    total: Option<u64>,
    done: u64,
}

impl Lines {
    fn of(command: &'static str) -> Self {
        let state = Arc::new(Mutex::new(State {
            command,
            begun: Instant::now(),
            phase: None,
        }));
        let seen = Arc::downgrade(&state);
        let clock = std::thread::Builder::new().name("progress".to_owned());
        // Without it there are no lines, and the work goes on.
        let _ = clock.spawn(move || {
            loop {
                std::thread::sleep(LINE_INTERVAL);
                let Some(state) = seen.upgrade() else {
                    return;
                };
                let line = state.lock().map(|state| state.line(state.begun.elapsed()));
                if let Ok(line) = line {
                    write_remark(&line);
                }
            }
        });
        Lines(state)
    }

    fn with(&self, act: impl FnOnce(&mut State)) {
        if let Ok(mut state) = self.0.lock() {
            act(&mut state);
        }
    }
}

impl State {
    /// What there is to say after `elapsed`.
    fn line(&self, elapsed: Duration) -> String {
        let command = self.command;
        let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let so_far = coarse_duration_text(millis);
        match &self.phase {
            None => format!("{command}: at work for {so_far}"),
            Some(Phase { name, total, done }) => {
                let of = total.map_or(String::new(), |total| format!(" of {}", bytes_text(total)));
                let done = bytes_text(*done);
                format!("{command}: {name}: {done}{of}, at work for {so_far}")
            }
        }
    }
}

impl Progress for Lines {
    fn begin(&self, phase: &str, total: Option<u64>) {
        self.with(|state| {
            state.phase = Some(Phase {
                name: phase.to_owned(),
                total,
                done: 0,
            });
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|state| {
            if let Some(phase) = &mut state.phase {
                phase.done = phase.done.saturating_add(bytes);
            }
        });
    }

    fn end(&self) {
        self.with(|state| state.phase = None);
    }

    fn remark(&self, text: &dyn Display) {
        write_remark(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_of_how_much_and_since_when() {
        let mut state = State {
            command: "backup",
            begun: Instant::now(),
            phase: None,
        };
        let elapsed = Duration::from_secs(90);
        assert_eq!(state.line(elapsed), "backup: at work for 1m 30s");
        state.phase = Some(Phase {
            name: "storing".to_owned(),
            total: Some(10 << 30),
            done: 3 << 29,
        });
        let line = "backup: storing: 1.5 GiB of 10.0 GiB, at work for 1m 30s";
        assert_eq!(state.line(elapsed), line);
    }
}
