//! `narthex config`: checks and shows the configuration file.

use clap::Subcommand;
use serde_json::{Value as Json, json};

use crate::cli::config::{DEFAULT_FILE, Loaded, Typed, check, show};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::error::{Error, Result};
use crate::report::config::{CONFIG_FINDINGS, CONFIG_SETTINGS};
use crate::report::{Extent, SheetOf as _};

/// What to do with it.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  narthex config check
  narthex config show --config narthex.toml --json

The file is the one that --config or NARTHEX_CONFIG names, or /etc/narthex.toml. Keys and an example are in docs/configuration.md.")]
pub(crate) enum Args {
    /// Find every fault in it, and what it names and is not there
    #[command(after_help = "\
Examples:
  narthex config check
  narthex config check --online

No store is asked and no program run, unless --online is given: then each repository is opened. Everything that is wrong is named, with exit code 3; \
what is worth knowing, such as a secret that everybody can read, is a note.")]
    Check {
        /// Open each repository, with the credentials that the file names
        #[arg(long)]
        online: bool,
    },
    /// Say what holds, and who says so: a line of the file, the environment, an option
    #[command(after_help = "\
Examples:
  narthex config show
  narthex config show --json | jq '.settings[] | select(.instead_of)'

Secrets are never shown, nor read.")]
    Show,
}

/// Does it with the file that `context` knows; `typed` are options that win over it.
pub(crate) fn run(
    args: &Args,
    file: Option<&std::path::Path>,
    typed: &[Typed],
    context: &mut Context<'_>,
) -> Result<Ending> {
    let Some(file) = file else {
        return Err(Error::not_found(format!(
            "there is no configuration: there is no {DEFAULT_FILE}, or --config none was given"
        )));
    };
    let loaded = Loaded::read(file)?;
    let shown = file.display().to_string();
    match args {
        Args::Check { online } => {
            let findings = check(&loaded, *online);
            let problems = findings.iter().filter(|it| it.is_problem).count();
            if context.json {
                let mut object = head(&shown);
                CONFIG_FINDINGS.add_to(&mut object, &findings[..], Extent::Document);
                context.print_json(&Json::Object(object))?;
            } else {
                if !findings.is_empty() {
                    let view = &context.view;
                    let text = view
                        .of(&CONFIG_FINDINGS, &findings[..], Extent::All)
                        .text(view);
                    context.print(text)?;
                }
                let verdict = match problems {
                    0 => "no problems found".to_owned(),
                    1 => "1 problem found".to_owned(),
                    many => format!("{many} problems found"),
                };
                context.print(format_args!("{shown}: {verdict}\n"))?;
            }
            Ok(Ending::problems_if(problems > 0))
        }
        Args::Show => {
            let config = loaded.sound()?;
            let settings = show(&config, typed);
            if context.json {
                let mut object = head(&shown);
                CONFIG_SETTINGS.add_to(&mut object, &settings[..], Extent::Document);
                context.print_json(&Json::Object(object))?;
            } else {
                let view = &context.view;
                let text = view
                    .of(&CONFIG_SETTINGS, &settings[..], Extent::All)
                    .text(view);
                context.print(text)?;
            }
            Ok(Ending::Healthy)
        }
    }
}

fn head(file: &str) -> serde_json::Map<String, Json> {
    [("file".to_owned(), json!(file))].into_iter().collect()
}
