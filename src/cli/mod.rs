//! The command line: the only room that prints, reads the environment, or knows clap.
//!
//! Arguments are parsed into `args`, each command in `commands` turns them into calls of the
//! library, and its result into a report and an [`Ending`]. Standard output carries results only;
//! progress, remarks and errors go to standard error.

mod args;
mod commands;
mod exit;
mod hint;
mod interrupt;
mod logs;
mod network;
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
use serde_json::{Map, Value as Json, json};

pub use exit::Ending;

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::raw::ReadMode;
use crate::report::traffic::TRAFFIC;
use crate::report::{CHAPTERS, Described, Extent, SheetOf as _, View, safe_line, safe_text};

/// What every command gets: where results go, and what was asked for on any command.
pub(crate) struct Context<'a> {
    /// Standard output, for results.
    pub(crate) out: &'a mut dyn Write,
    /// Whether results are wanted as JSON.
    pub(crate) json: bool,
    /// What was printed for people, where nobody wants to see it unless something is wrong.
    withheld: Option<String>,
    /// The one JSON document, which is written when the command has ended: an error belongs into
    /// it.
    document: Option<Json>,
    /// How files are read.
    pub(crate) read_mode: ReadMode,
    /// How tables look.
    pub(crate) view: View,
    /// Receives progress and remarks.
    pub(crate) progress: &'a dyn Progress,
}

impl Context<'_> {
    /// Takes the one JSON document of the command for standard output.
    pub(crate) fn print_json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        let value = serde_json::to_value(value).map_err(|e| output_error(e.into()))?;
        self.document = Some(value);
        Ok(())
    }

    /// Says what was asked of stores over a network: in the document, and in a line for people.
    fn tell_traffic(&mut self, quiet: bool) {
        let traffic = network::traffic();
        if traffic.is_empty() {
            return;
        }
        if let Some(Json::Object(document)) = &mut self.document {
            TRAFFIC.add_to(document, &traffic, Extent::Document);
        }
        if !quiet {
            for store in &traffic {
                self.progress.remark(&network::sentence(store));
            }
        }
    }

    /// Writes the document, if there is one. An error is part of it, or all of it: what reads
    /// standard output finds one document there, however the command ended. Behind lines of JSON it
    /// is a line of its own.
    fn close(&mut self, error: Option<&Error>) -> Result<()> {
        let failed = error.filter(|_| self.json).map(error_json);
        let document = match (self.document.take(), failed) {
            (Some(Json::Object(mut document)), Some(failed)) => {
                document.extend(failed);
                Json::Object(document)
            }
            (Some(document), _) => document,
            (None, Some(failed)) => {
                return writeln!(self.out, "{}", Json::Object(failed)).map_err(output_error);
            }
            (None, None) => return Ok(()),
        };
        serde_json::to_writer_pretty(&mut *self.out, &document)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(output_error)
    }

    /// Writes text for people to standard output, without anything in it that a terminal might
    /// obey.
    pub(crate) fn print(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let text = text.to_string();
        let text = safe_text(&text);
        match &mut self.withheld {
            Some(withheld) => withheld.push_str(&text),
            None => write!(self.out, "{text}").map_err(output_error)?,
        }
        Ok(())
    }

    /// Prints what was withheld.
    fn release(&mut self) -> Result<()> {
        match self.withheld.take() {
            Some(withheld) => self.print(withheld),
            None => Ok(()),
        }
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

/// Says something on standard error that even who wants to hear nothing should know.
pub(crate) fn announce(text: impl std::fmt::Display) {
    terminal::write_remark(&text);
}

/// An error while writing results.
pub(crate) fn output_error(source: io::Error) -> Error {
    Error::new(crate::ErrorKind::Io, "cannot write to standard output").with_source(source)
}

/// What programs are told of an error that ends a command.
fn error_json(error: &Error) -> Map<String, Json> {
    failure_json(
        &error.to_string(),
        error.kind().id(),
        &error.causes(),
        error.advice(),
        Ending::Failed,
    )
}

fn failure_json(
    error: &str,
    kind: &str,
    causes: &[String],
    advice: Option<&str>,
    outcome: Ending,
) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("error".to_owned(), json!(error));
    object.insert("kind".to_owned(), json!(kind));
    object.insert("causes".to_owned(), json!(causes));
    if let Some(advice) = advice {
        object.insert("advice".to_owned(), json!(advice));
    }
    object.insert("exit_code".to_owned(), json!(outcome.code()));
    object
}

/// Says on standard output what was wrong with the arguments, on a line of JSON.
fn print_usage_json(error: &clap::Error) {
    let text = error.to_string();
    let text = network::without_passwords(&text).unwrap_or(text);
    let mut parts = text.split("\n\n").map(str::trim);
    let said = parts.next().unwrap_or_default();
    let said = said.strip_prefix("error: ").unwrap_or(said);
    let said: Vec<_> = said.split_whitespace().collect();
    let object = failure_json(&said.join(" "), "usage", &[], None, Ending::Usage);
    let _ = writeln!(io::stdout().lock(), "{}", Json::Object(object));
}

/// Runs the command line `arguments` (the program's name first) on the process' own streams.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let parsed = args::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| args::Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version arrive here as well, and belong on standard output with code 0.
            let usage = error.use_stderr();
            let text = error.to_string();
            // What was typed is repeated: no password of an address.
            match network::without_passwords(&text) {
                Some(text) if usage => _ = write!(io::stderr().lock(), "{text}"),
                _ => _ = error.print(),
            }
            return if usage {
                let typed = arguments.iter().take_while(|argument| *argument != "--");
                if typed.into_iter().any(|argument| argument == "--json") {
                    print_usage_json(&error);
                }
                Ending::Usage
            } else {
                Ending::Healthy
            }
            .into();
        }
    };
    raise_open_files();
    interrupt::listen(&cli.command);
    let threads = cli.global.threads.unwrap_or(0);
    if let Err(error) = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
    {
        return fail(&Error::invalid("cannot start worker threads").with_source(error));
    }
    let does_work = cli.command.is_work();
    // Half a tar is no answer.
    let must_be_whole = matches!(cli.command, args::Command::Export(_));
    let withholds = cli.global.quiet && does_work;
    let (progress, held) = terminal::progress(&cli.global, cli.command.name(), withholds);
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut context = Context {
        out: &mut out,
        json: cli.global.json && cli.command.has_json(),
        withheld: withholds.then(String::new),
        document: None,
        read_mode: if cli.global.no_mmap {
            ReadMode::Read
        } else {
            ReadMode::Map
        },
        view: cli.global.table.view(terminal::width()),
        progress: &*progress,
    };
    if let Err(error) = context.view.refuse_unknown(&sheets_of(&cli.command)) {
        let _ = writeln!(
            io::stderr().lock(),
            "narthex: {}",
            safe_line(&error.chain())
        );
        return Ending::Usage.into();
    }
    let result = cli.global.network.apply();
    let result = result.and_then(|()| commands::run(cli.command, &mut context));
    context.tell_traffic(cli.global.quiet);
    let (result, idle) = match (result, context.view.refuse_idle()) {
        // What is done is done: that a table does not look as it was asked to is no failure of it.
        (Ok(outcome), Err(idle)) if does_work => (Ok(outcome), Some(idle)),
        (Ok(_), Err(idle)) => (Err(idle), None),
        (result, _) => (result, None),
    };
    let lost = name_unreadable(&*progress);
    let is_healthy = matches!(result, Ok(Ending::Healthy)) && !lost;
    let released = if is_healthy {
        Ok(())
    } else {
        context.release()
    };
    let closed = released.and(context.close(result.as_ref().err()));
    let written = closed.and_then(|()| out.flush().map_err(output_error));
    let is_healthy = is_healthy && written.is_ok();
    let result = result.and_then(|outcome| written.map(|()| outcome));
    if !is_healthy {
        held.release();
    }
    if let Some(idle) = idle {
        say(&idle);
    }
    match result {
        Ok(Ending::Healthy) if lost => Ending::Problems.into(),
        Ok(outcome) => outcome.into(),
        Err(error) if is_broken_pipe(&error) && !must_be_whole => Ending::Healthy.into(),
        Err(error) => fail(&error),
    }
}

/// The tables that `command` may print.
fn sheets_of(command: &args::Command) -> Vec<&'static dyn Described> {
    let chapter = CHAPTERS
        .iter()
        .find(|chapter| chapter.command == command.name());
    chapter
        .map(|chapter| (chapter.sheets)())
        .unwrap_or_default()
}

/// Names the pages of files that were read as zeros because the disk cannot read them, whichever
/// command did, and says whether there were any.
fn name_unreadable(progress: &dyn Progress) -> bool {
    let unreadable = crate::raw::take_unreadable();
    for file in &unreadable {
        progress.remark(&format!(
            "{file}: what lies there was taken for zeros, so what is said of it is not to be relied on"
        ));
    }
    !unreadable.is_empty()
}

/// Lets the process open as many files as it may: a large data directory has more segments than the
/// usual soft limit of 1,024. Where that is not possible, whatever cannot be opened is named.
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
    say(error);
    Ending::Failed.into()
}

/// Says on standard error what went wrong, and what is to be done about it.
fn say(error: &Error) {
    let mut text = error.chain();
    if let Some(hint) = hint::hint(error) {
        text.push_str("; ");
        text.push_str(&hint);
    }
    let _ = writeln!(io::stderr().lock(), "narthex: {}", safe_line(&text));
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
