//! The one public error: what the caller can do about it ([`ErrorKind`]), one sentence, and the
//! chain of causes below it.
//!
//! `Display` prints one link only; [`Error::chain`] prints the whole chain on one line, outermost
//! first, which is what the command line shows.
//!
//! ```
//! use narthex::{Error, ErrorKind};
//!
//! let error = Error::not_found("object a does not exist").context("archive 41ec1bc4");
//! assert_eq!(error.kind(), ErrorKind::NotFound);
//! assert_eq!(error.chain(), "archive 41ec1bc4: object a does not exist");
//! ```

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::Path;

/// Result with narthex' [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are damaged: restore them from elsewhere, or do without.
    Corrupt,
    /// The data is of a newer or foreign format: use a newer narthex, or the tool that wrote it.
    Unsupported,
    /// What was asked for does not exist.
    NotFound,
    /// It exists already, and narthex does not overwrite.
    AlreadyExists,
    /// Refused to protect data: the request would mix, overwrite or escape something.
    Refused,
    /// It is encrypted, and no key was given that opens it. Nothing is wrong with it.
    Locked,
    /// The request itself makes no sense (a bad selector, time or name).
    Invalid,
    /// The operating system or the store failed: permission, disk full, I/O error.
    Io,
}

impl ErrorKind {
    /// Its name for programs, which never changes.
    pub fn id(self) -> &'static str {
        match self {
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Unsupported => "unsupported",
            ErrorKind::NotFound => "not_found",
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::Refused => "refused",
            ErrorKind::Locked => "locked",
            ErrorKind::Invalid => "invalid",
            ErrorKind::Io => "io",
        }
    }
}

/// An error with its kind and the chain of its causes.
///
/// `Debug` is the chain as well, with the kind in front: what a `main` that returns a [`Result`]
/// prints.
pub struct Error {
    kind: ErrorKind,
    message: String,
    advice: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync + 'static>>,
}

impl Error {
    /// A new error without a cause.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            advice: None,
            source: None,
        }
    }

    /// Damaged data; see [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// Newer or foreign data; see [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// Something asked for that is not there; see [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// A refusal that protects data; see [`ErrorKind::Refused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// A request that makes no sense; see [`ErrorKind::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// An operating-system error while doing `what` to `path`, for example `"open"`.
    ///
    /// The path is attached here, once, by whoever knows it.
    pub fn io(what: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            _ => ErrorKind::Io,
        };
        Error {
            kind,
            message: format!("cannot {what} {}", path.display()),
            advice: None,
            source: Some(Box::new(source)),
        }
    }

    /// Puts a sentence in front; the kind stays, `self` becomes the cause.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        Error {
            kind: self.kind,
            message: message.into(),
            advice: None,
            source: Some(Box::new(self)),
        }
    }

    /// Says what to do about it, as half a sentence that goes on behind the causes.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Keeps `source` as the cause of a new error.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, if the error or one of its causes says so: the outermost knows best.
    pub fn advice(&self) -> Option<&str> {
        let mut next: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(link) = next {
            let known = link.downcast_ref::<Error>();
            if let Some(advice) = known.and_then(|error| error.advice.as_deref()) {
                return Some(advice);
            }
            next = link.source();
        }
        None
    }

    /// What it came from, the root cause last.
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }

    /// The whole chain on one line: `outermost: …: root cause`, and behind a semicolon what to do
    /// about it.
    pub fn chain(&self) -> String {
        let mut line = self.message.clone();
        for cause in self.causes() {
            line.push_str(": ");
            line.push_str(&cause);
        }
        if let Some(advice) = self.advice() {
            line.push_str("; ");
            line.push_str(advice);
        }
        line
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// Most names that are compared with one that was mistyped.
const MAX_COMPARED: usize = 10_000;

/// Longest name that is compared, in bytes.
const MAX_NAME: usize = 64;

/// The one of `names` that somebody who typed `typed` most likely meant: at most a third of it is
/// otherwise.
pub(crate) fn closest<'n>(
    typed: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let names = names.into_iter().take(MAX_COMPARED);
    let names = names.filter(|name| name.len() <= MAX_NAME && typed.len() <= MAX_NAME);
    let distances = names.map(|name| (distance(typed, name), name));
    let (distance, name) = distances.min()?;
    (distance > 0 && distance <= typed.chars().count().div_ceil(3)).then_some(name)
}

/// The name that is closest to what was typed, however far that is.
#[cfg(feature = "cli")]
pub(crate) fn nearest<'n>(
    typed: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    let typed: String = typed.chars().take(MAX_NAME).collect();
    let distances = names.into_iter().map(|name| (distance(&typed, name), name));
    Some(distances.min()?.1)
}

/// ` (did you mean …?)` behind a name that was mistyped, if one of `names` is close to it.
pub(crate) fn did_you_mean<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> String {
    closest(typed, names).map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

/// How many characters must be changed, added or left out to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut next = vec![above + 1];
        for ((b, pair), left) in other.iter().zip(row.windows(2)).zip(1..) {
            let [diagonal, up] = pair else { continue };
            let before = next.get(left - 1).copied().unwrap_or(usize::MAX - 1);
            let change = diagonal + usize::from(a != *b);
            next.push(change.min(up + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Attaches the file that something went wrong in: [`Malformed`](crate::raw::Malformed) bytes know
/// their place, but not whose they are.
pub trait InFile<T> {
    /// Turns the error into an [`Error`] that names `path`.
    fn in_file(self, path: &Path) -> Result<T>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_one_that_is_hardly_another() {
        let names = ["latest", "prometheus-0", "prometheus-1"];
        assert_eq!(closest("lates", names), Some("latest"));
        assert_eq!(closest("prometheus-2", names), Some("prometheus-0"));
        assert_eq!(closest("promethues-1", names), Some("prometheus-1"));
        assert_eq!(closest("x", names), None);
        assert_eq!(closest("", names), None);
        assert_eq!(closest("grafana", names), None);
        #[cfg(feature = "cli")]
        assert_eq!(nearest("promxy", names), Some("latest"));
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(did_you_mean("lates", names), " (did you mean latest?)");
    }

    #[test]
    fn a_chain_is_one_line_and_says_nothing_twice() {
        let root = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = Error::io("open", Path::new("/data/index"), root).context("block 01AB");
        assert_eq!(error.to_string(), "block 01AB");
        assert_eq!(
            error.chain(),
            "block 01AB: cannot open /data/index: permission denied"
        );
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(error.advice(), None);
    }

    #[test]
    fn advice_stands_behind_the_causes_and_outlives_what_is_put_in_front() {
        let error = Error::not_found("no archive").advise("make a backup");
        let error = error.context("cannot restore");
        assert_eq!(error.chain(), "cannot restore: no archive; make a backup");
        assert_eq!(error.causes(), ["no archive"]);
        assert_eq!(error.advice(), Some("make a backup"));
    }
}
