//! Exactly what was typed.

use clap::{Args, Parser, Subcommand};

use super::commands;

/// Backs up, verifies and measures Prometheus TSDB blocks.
#[derive(Debug, Parser)]
#[command(
    name = "narthex",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Exit codes: 0 done and healthy; 1 could not do it; 2 wrong usage; 3 done, but problems were found or something was left out."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Worker threads [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Read files into memory instead of mapping them (for unreliable network file systems)
    #[arg(long, global = true)]
    pub(crate) no_mmap: bool,
    /// No progress on standard error
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print shell completions or the man page
    #[command(subcommand)]
    Generate(commands::generate::Args),
}
