//! Addresses of directories on SFTP servers as they are typed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

/// What addresses begin with.
const SCHEME: &str = "sftp://";

/// Longest path in bytes: servers end at 4,096 as a rule, and names of objects have up to 512.
const MAX_PATH_LEN: usize = 3_000;

/// The environment variable that says which command is run in place of `ssh`.
pub(super) const COMMAND_VARIABLE: &str = "NARTHEX_SSH";

/// What is run where nobody says otherwise.
pub(super) const DEFAULT_COMMAND: &str = "ssh";

/// How long a server may take for an answer, unless [`SftpOptions`] say otherwise.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// A directory on an SFTP server: `sftp://[USER@]HOST[:PORT]/PATH`, where the path begins at the
/// server's root, or `sftp://[USER@]HOST[:PORT]/~/PATH`, where it begins where a login does.
///
/// The host may be one that only `~/.ssh/config` knows. Nothing is decoded: the path is what the
/// directory is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SftpAddress {
    /// Who logs in; else the configuration of ssh says it.
    pub user: Option<String>,
    /// The name or address of the server, or what the configuration of ssh calls it. An IPv6
    /// address is without brackets here.
    pub host: String,
    /// The port; else the configuration of ssh says it.
    pub port: Option<u16>,
    /// The directory as it is sent to the server: from its root on if it begins with a slash, else
    /// from the directory of the login on, which is empty itself.
    path: String,
}

impl SftpAddress {
    /// Whether `text` begins as an address does.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// The directory as it is sent to the server.
    pub(super) fn root(&self) -> &str {
        if self.path.is_empty() {
            "."
        } else {
            &self.path
        }
    }

    /// The path of what is called `name` below the directory.
    pub(super) fn path_of(&self, name: &str) -> String {
        match &*self.path {
            "" => name.to_owned(),
            "/" => format!("/{name}"),
            path => format!("{path}/{name}"),
        }
    }

    /// What ssh is given to reach the server, as it would be typed.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.push(match &self.user {
            Some(user) => format!("{user}@{}", self.host),
            None => self.host.clone(),
        });
        arguments
    }
}

/// Whether a user or host can stand in a command line, and in front of what follows it in an
/// address.
fn is_plain(text: &str, also: &[char]) -> bool {
    let allowed = |it: char| it.is_ascii_alphanumeric() || also.contains(&it);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
}

impl FromStr for SftpAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // Not shown in full before it is known to hold no password.
        let wrong = |what: &str| {
            Error::invalid(format!(
                "expected sftp://[USER@]HOST[:PORT]/PATH, found one {what}"
            ))
        };
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or_else(|| wrong("that does not begin with sftp://"))?;
        let (server, path) = rest.split_once('/').ok_or_else(|| {
            wrong("without a path (/~ is the directory of the login, / the root of the server)")
        })?;
        let (user, place) = match server.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, server),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(wrong(
                "with a password: ssh is never asked for one, keys and ssh-agent are what it takes",
            ));
        }
        if user.is_some_and(|user| !is_plain(user, &['.', '-', '_', '+', '@'])) {
            return Err(wrong(
                "with a user that has other characters than . - _ + @",
            ));
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) = bracketed
                    .split_once(']')
                    .filter(|(_, behind)| behind.is_empty() || behind.starts_with(':'))
                    .ok_or_else(|| wrong("whose bracket does not end"))?;
                (host, behind.strip_prefix(':'))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let also: &[char] = if place.starts_with('[') {
            &[':', '%', '.', '-', '_']
        } else {
            &['.', '-', '_']
        };
        if !is_plain(host, also) {
            return Err(wrong(
                "without a host of letters, digits, dots, dashes and underscores",
            ));
        }
        let port = port
            .map(|port| port.parse().ok().filter(|port| *port != 0))
            .map(|port: Option<u16>| port.ok_or_else(|| wrong("whose port is no number")))
            .transpose()?;
        Ok(SftpAddress {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            path: read_path(path).map_err(|what| wrong(&what))?,
        })
    }
}

/// What the path behind the slash that ends the server is sent as; else what is wrong with it.
fn read_path(path: &str) -> Result<String, String> {
    if path.len() > MAX_PATH_LEN {
        return Err(format!("whose path has more than {MAX_PATH_LEN} bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err("whose path has control characters".to_owned());
    }
    if path.contains('%') {
        return Err(
            "with a percent sign: nothing is decoded, and a directory with one in its name cannot be named"
                .to_owned(),
        );
    }
    let path = path.trim_end_matches('/');
    let (is_home, path) = match path.strip_prefix('~') {
        Some("") => (true, ""),
        Some(behind) => match behind.strip_prefix('/') {
            Some(below) => (true, below),
            None => return Err("whose path begins with the home of another user".to_owned()),
        },
        None => (false, path),
    };
    let is_odd = |component: &str| matches!(component, "" | "." | "..");
    if !path.is_empty() && path.split('/').any(is_odd) {
        return Err("whose path has a component that is empty, . or ..".to_owned());
    }
    Ok(if is_home {
        path.to_owned()
    } else {
        format!("/{path}")
    })
}

impl fmt::Display for SftpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match &*self.path {
            "" => f.write_str("/~"),
            path if path.starts_with('/') => f.write_str(path),
            path => write!(f, "/~/{path}"),
        }
    }
}

/// How SFTP servers are spoken to; what is not said here comes from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SftpOptions {
    /// The command that is run in place of `ssh`, as a shell reads it, for example
    /// `ssh -F /etc/narthex/ssh_config`. It gets the arguments of ssh. `NARTHEX_SSH` says it as
    /// well.
    pub command: Option<String>,
    /// How long a server may take for an answer. Only silence counts: a large object over a slow
    /// line takes as long as it takes.
    pub answer_within: Duration,
    /// How often a request is sent again over a new connection when one was lost.
    pub repeats: u32,
    /// The first wait before a connection is made anew, on the average three quarters of it; each
    /// is twice as long as the one before.
    pub first_wait: Duration,
}

impl Default for SftpOptions {
    fn default() -> Self {
        SftpOptions {
            command: None,
            answer_within: ANSWER_WITHIN,
            repeats: 5,
            first_wait: Duration::from_secs(1),
        }
    }
}

impl SftpOptions {
    /// The command that is run, as a shell reads it.
    pub(super) fn command(&self) -> String {
        let from_environment = || {
            let set = std::env::var(COMMAND_VARIABLE).ok();
            set.filter(|command| !command.trim().is_empty())
        };
        let own = self.command.clone();
        own.or_else(from_environment)
            .unwrap_or_else(|| DEFAULT_COMMAND.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for (text, root, host) in [
            ("sftp://backup/srv/narthex", "/srv/narthex", "backup"),
            ("sftp://me@h.example.org:2222/a b", "/a b", "h.example.org"),
            (
                "sftp://u1-sub@u1.example.org/~/backups/p",
                "backups/p",
                "u1.example.org",
            ),
            ("sftp://h/~", ".", "h"),
            ("sftp://h/", "/", "h"),
            ("sftp://me@[fe80::1%eth0]:22/x", "/x", "fe80::1%eth0"),
            ("sftp://a@b.org@gate/x", "/x", "gate"),
        ] {
            let address: SftpAddress = text.parse().unwrap();
            assert_eq!((address.root(), &*address.host), (root, host));
            assert_eq!(address.to_string(), text);
            assert!(SftpAddress::is_one(text));
        }
        let slashes: SftpAddress = "sftp://h/~/x//".parse().unwrap();
        assert_eq!(slashes.to_string(), "sftp://h/~/x");
        let of = |text: &str| text.parse::<SftpAddress>().unwrap().path_of("a/b");
        assert_eq!(of("sftp://h/"), "/a/b");
        assert_eq!(of("sftp://h/~"), "a/b");
        assert_eq!(of("sftp://h/x"), "/x/a/b");
    }

    #[test]
    fn what_could_be_an_option_of_ssh_or_leave_its_directory_is_refused() {
        for text in [
            "sftp://",
            "sftp://h",
            "sftp:///x",
            "sftp://-oProxyCommand=x/y",
            "sftp://-l@h/x",
            "sftp://me@-h/x",
            "sftp://h/../x",
            "sftp://h/~/../x",
            "sftp://h/~root/x",
            "sftp://h/x//y",
            "sftp://h/x%20y",
            "sftp://h/x\ny",
            "sftp://h:0/x",
            "sftp://h:ssh/x",
            "sftp://[::1/x",
            "sftp://h x/y",
            "sftp:h:/x",
        ] {
            assert!(text.parse::<SftpAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_shown() {
        let error = "sftp://me:s3cret@h/x".parse::<SftpAddress>().unwrap_err();
        assert!(error.to_string().contains("password"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
