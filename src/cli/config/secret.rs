//! Secrets, which a configuration names by a file or by a program that prints them.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::document::{At, Section};
use crate::error::{Error, ErrorKind, Result};
use crate::raw::read_bounded;

/// The longest secret, in bytes: a file of keys of service accounts has some 2,500.
const MAX_BYTES: u64 = 1 << 20;

/// Where a secret is. It says that, and never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Secret {
    /// In a file that holds nothing else.
    File(PathBuf),
    /// On the standard output of a program: its name and arguments.
    Command(Vec<String>),
}

impl Secret {
    /// The secret that the keys `NAME-file` or `NAME-command` of a section name; both are a fault.
    pub(super) fn of(section: &Section<'_, '_>, file: &str, command: &str) -> Option<At<Self>> {
        let in_file = section.path(file).map(|path| At {
            value: Secret::File(path.value),
            place: path.place,
        });
        let printed = section.command(command).map(|words| At {
            value: Secret::Command(words.value),
            place: words.place,
        });
        if let (Some(_), Some(printed)) = (&in_file, &printed) {
            section.fault(
                &printed.place,
                command,
                format!("{file} says it, too: one of them"),
            );
        }
        in_file.or(printed)
    }

    /// The secret, without the end of its line.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, the program cannot be run or ends with another exit code than
    /// 0, or what they give is empty, no text, or longer than 1 MiB.
    pub(crate) fn read(&self) -> Result<String> {
        let bytes = match self {
            Secret::File(path) => read_bounded(path, MAX_BYTES)?,
            Secret::Command(words) => printed(words)?,
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::invalid(format!("expected a text from {self}, found bytes")))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.trim().is_empty() {
            return Err(Error::invalid(format!(
                "expected a secret from {self}, found nothing"
            )));
        }
        Ok(secret.to_owned())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::File(path) => path.display().fmt(f),
            // Arguments may hold what is nobody's business.
            Secret::Command(words) => {
                let program = words.first().map_or("", |program| program);
                write!(f, "the command {program}")
            }
        }
    }
}

/// What a program prints. Its standard error is that of narthex: it says why it fails.
fn printed(words: &[String]) -> Result<Vec<u8>> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Error::invalid("expected a command, found nothing"))?;
    let failed = |error| {
        Error::new(ErrorKind::Io, format!("cannot run the command {program}")).with_source(error)
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut bytes = Vec::new();
    if let Some(output) = child.stdout.take() {
        let read = output.take(MAX_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(failed)?;
    }
    if bytes.len() as u64 > MAX_BYTES {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Error::invalid(format!(
            "expected at most {MAX_BYTES} bytes from the command {program}, found more"
        )));
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(Error::new(
            ErrorKind::Io,
            format!("the command {program} failed: {status}"),
        ));
    }
    Ok(bytes)
}

/// That everybody on the machine can read the file of a secret, as a sentence.
pub(super) fn exposure(path: &Path) -> Option<String> {
    let metadata = File::open(path).and_then(|file| file.metadata()).ok()?;
    let mode = metadata.permissions().mode() & 0o7777;
    (mode & 0o004 != 0).then(|| {
        format!(
            "everybody on this machine can read the secret in {} (mode {mode:04o}); chmod 600 makes it private",
            path.display()
        )
    })
}

/// The file that would be run as `program`, if there is one.
pub(super) fn program(program: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        let metadata = path.metadata();
        metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(is_program);
    }
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|dir| dir.join(program));
    found.find(is_program)
}
