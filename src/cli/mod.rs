//! The command line: the only room that prints, reads the environment, or knows clap.
//!
//! Arguments are parsed into `args`, each command in `commands` turns them into calls of the library,
//! and its result into a report and an [`Outcome`]. Standard output carries results only; progress, remarks
//! and errors go to standard error.

mod args;
mod commands;
mod exit;
mod hint;
mod logs;
mod outlook;
mod ownership;
mod selection;
mod state;
mod stored;
mod terminal;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::FromArgMatches as _;

pub use exit::Outcome;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::raw::ReadMode;
use crate::report::{safe_line, safe_text};

/// What every command gets: where results go, and what was asked for on any command.
pub(crate) struct Context<'a> {
    /// Standard output, for results.
    pub(crate) out: &'a mut dyn Write,
    /// Whether results are wanted as JSON.
    pub(crate) json: bool,
    /// How files are read.
    pub(crate) read_mode: ReadMode,
    /// Receives progress and remarks.
    pub(crate) progress: &'a dyn Progress,
}

impl Context<'_> {
    /// Writes one JSON document and a newline to standard output.
    pub(crate) fn print_json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        serde_json::to_writer_pretty(&mut *self.out, value)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(output_error)
    }

    /// Writes text for people to standard output, without anything in it that a terminal might obey.
    pub(crate) fn print(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let text = text.to_string();
        write!(self.out, "{}", safe_text(&text)).map_err(output_error)
    }

    /// Writes text for programs to standard output: as it is, unless a person sees it.
    pub(crate) fn print_data(&mut self, text: impl std::fmt::Display) -> Result<()> {
        if io::stdout().is_terminal() {
            self.print(text)
        } else {
            write!(self.out, "{text}").map_err(output_error)
        }
    }
}

/// An error while writing results.
pub(crate) fn output_error(source: io::Error) -> Error {
    Error::new(crate::ErrorKind::Io, "cannot write to standard output").with_source(source)
}

/// Runs the command line `arguments` (the program's name first) on the process' own streams.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = args::command()
        .try_get_matches_from(arguments)
        .and_then(|matches| args::Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version arrive here as well, and belong on standard output with code 0.
            let usage = error.use_stderr();
            let _ = error.print();
            return if usage {
                Outcome::Usage
            } else {
                Outcome::Healthy
            }
            .into();
        }
    };
    raise_open_files();
    let threads = cli.global.threads.unwrap_or(0);
    if let Err(error) = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
    {
        return fail(&Error::invalid("cannot start worker threads").with_source(error));
    }
    let progress = terminal::progress(&cli.global);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut context = Context {
        out: &mut out,
        json: cli.global.json,
        read_mode: if cli.global.no_mmap {
            ReadMode::Read
        } else {
            ReadMode::Map
        },
        progress: &*progress,
    };
    let result = commands::run(cli.command, &mut context);
    let result = result.and_then(|outcome| out.flush().map_err(output_error).map(|()| outcome));
    let lost = name_unreadable(&*progress);
    match result {
        Ok(Outcome::Healthy) if lost => Outcome::Problems.into(),
        Ok(outcome) => outcome.into(),
        Err(error) if is_broken_pipe(&error) => Outcome::Healthy.into(),
        Err(error) => fail(&error),
    }
}

/// Names the pages of files that were read as zeros because the disk cannot read them, whichever command did, and
/// says whether there were any.
fn name_unreadable(progress: &dyn Progress) -> bool {
    let unreadable = crate::raw::take_unreadable();
    for file in &unreadable {
        progress.remark(&format!(
            "{file}: what lies there was taken for zeros, so what is said of it is not to be relied on"
        ));
    }
    !unreadable.is_empty()
}

/// Lets the process open as many files as it may: a large data directory has more segments than the usual soft
/// limit of 1,024. Where that is not possible, whatever cannot be opened is named.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

fn fail(error: &Error) -> ExitCode {
    let mut text = error.chain();
    if let Some(hint) = hint::hint(error) {
        text.push_str("; ");
        text.push_str(&hint);
    }
    let _ = writeln!(io::stderr().lock(), "narthex: {}", safe_line(&text));
    Outcome::Failed.into()
}

/// Whoever reads our output has seen enough (`narthex list | head`): that is no failure.
fn is_broken_pipe(error: &Error) -> bool {
    let mut next = Some(error as &(dyn std::error::Error + 'static));
    while let Some(cause) = next {
        if cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
        {
            return true;
        }
        next = cause.source();
    }
    false
}
