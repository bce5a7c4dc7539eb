//! The command line: the only room that prints, reads the environment, or knows clap.
//!
//! Arguments are parsed into `command_line`, each command in `commands` turns them into calls of
//! the library, and its result into a report and an [`Ending`]. Standard output carries results
//! only; progress, remarks and errors go to standard error.

mod args;
mod cache;
mod command_line;
mod commands;
mod config;
mod context;
mod exit;
mod heads;
mod hint;
mod interrupt;
mod keep;
#[cfg(feature = "encryption")]
mod keys;
mod logs;
mod network;
mod outlook;
mod ownership;
mod repo;
mod selection;
mod state;
mod stored;
mod terminal;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::FromArgMatches as _;
use serde_json::Value as Json;

pub use exit::Ending;

use command_line::Command;
use context::{Context, failure_json, output_error};

use crate::error::Error;
use crate::progress::Progress;
use crate::raw::ReadMode;
use crate::report::{CHAPTERS, Described, safe_line};

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

/// Says what was wrong with the arguments.
fn refuse_usage(error: &clap::Error, json: bool) -> ExitCode {
    // What was typed is repeated: no password of an address.
    match network::without_passwords(&error.to_string()) {
        Some(text) => _ = write!(io::stderr().lock(), "{text}"),
        None => _ = error.print(),
    }
    if json {
        print_usage_json(error);
    }
    Ending::Usage.into()
}

/// Runs the command line `arguments` (the program's name first) on the process' own streams.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let parsed = command_line::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| command_line::Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version arrive here as well, and belong on standard output with code 0.
            if error.use_stderr() {
                let mut typed = arguments.iter().take_while(|argument| *argument != "--");
                return refuse_usage(&error, typed.any(|argument| argument == "--json"));
            }
            let _ = error.print();
            return Ending::Healthy.into();
        }
    };
    let mut cli = cli;
    let settled = cli.settle();
    let settled = match settled {
        Ok(settled) => settled,
        Err(error) => return refuse_usage(&error, cli.global.json),
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
    let must_be_whole = matches!(cli.command, Command::Export(_));
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
    let result = settled.and_then(|remarks| {
        for remark in &remarks {
            context.progress.remark(remark);
        }
        cli.global.network.apply()
    });
    #[cfg(feature = "encryption")]
    let result = result.and_then(|()| cli.global.keys.apply());
    let result = result.and_then(|()| cli.command.run(&cli.global, &mut context));
    #[cfg(feature = "encryption")]
    if result.is_ok() {
        keys::say_unneeded();
    }
    context.tell_traffic(cli.global.quiet);
    let (result, idle) = match (result, context.view.refuse_idle()) {
        // What is done is done: that a table does not look as it was asked to is no failure of it.
        (Ok(outcome), Err(idle)) if does_work => (Ok(outcome), Some(idle)),
        (Ok(_), Err(idle)) => (Err(idle), None),
        (result, _) => (result, None),
    };
    let lost = name_unreadable(&*progress);
    #[cfg(feature = "encryption")]
    let lost = lost | keys::are_lists_gone();
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
fn sheets_of(command: &Command) -> Vec<&'static dyn Described> {
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
