//! The `narthex` binary: everything is in [`narthex::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    narthex::cli::main(std::env::args_os())
}
