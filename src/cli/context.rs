//! What every command gets.

use std::io::{self, IsTerminal as _, Write};

use serde_json::{Map, Value as Json, json};

use super::exit::Ending;
use super::network;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::raw::ReadMode;
use crate::report::traffic::TRAFFIC;
use crate::report::{Extent, SheetOf as _, View, safe_text};

/// Where results go, and what was asked for on any command.
pub(crate) struct Context<'a> {
    /// Standard output, for results.
    pub(crate) out: &'a mut dyn Write,
    /// Whether results are wanted as JSON.
    pub(crate) json: bool,
    /// What was printed for people, where nobody wants to see it unless something is wrong.
    pub(super) withheld: Option<String>,
    /// The one JSON document, which is written when the command has ended: an error belongs into
    /// it.
    pub(super) document: Option<Json>,
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
    pub(super) fn tell_traffic(&mut self, quiet: bool) {
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
    pub(super) fn close(&mut self, error: Option<&Error>) -> Result<()> {
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
    pub(super) fn release(&mut self) -> Result<()> {
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

pub(super) fn failure_json(
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
