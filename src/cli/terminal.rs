//! Progress as a person sees it: a bar on a terminal, a line now and then elsewhere, nothing with `--quiet`.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::args::Global;
use crate::progress::Progress;
use crate::report::safe_line;

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// The progress that fits standard error and the options.
pub(super) fn progress(global: &Global) -> Box<dyn Progress> {
    if global.quiet {
        Box::new(RemarksOnly)
    } else if io::stderr().is_terminal() {
        Box::new(Bar(Mutex::new(None)))
    } else {
        Box::new(Lines(Mutex::new(None)))
    }
}

fn write_remark(text: &dyn Display) {
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

/// A line every [`LINE_INTERVAL`], for logs of unattended runs.
struct Lines(Mutex<Option<Phase>>);

struct Phase {
    name: String,
    total: Option<u64>,
    done: u64,
    last_line: Instant,
}

impl Progress for Lines {
    fn begin(&self, phase: &str, total: Option<u64>) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = Some(Phase {
                name: phase.to_owned(),
                total,
                done: 0,
                last_line: Instant::now(),
            });
        }
    }

    fn advance(&self, bytes: u64) {
        if let Ok(mut slot) = self.0.lock()
            && let Some(phase) = &mut *slot
        {
            phase.done += bytes;
            if phase.last_line.elapsed() >= LINE_INTERVAL {
                phase.last_line = Instant::now();
                let done = HumanBytes(phase.done);
                match phase.total {
                    Some(total) => {
                        write_remark(&format_args!(
                            "{}: {done} of {}",
                            phase.name,
                            HumanBytes(total)
                        ));
                    }
                    None => write_remark(&format_args!("{}: {done}", phase.name)),
                }
            }
        }
    }

    fn end(&self) {
        if let Ok(mut slot) = self.0.lock() {
            *slot = None;
        }
    }

    fn remark(&self, text: &dyn Display) {
        write_remark(text);
    }
}
