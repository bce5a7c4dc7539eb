//! From what ssh and a server say to what a person can do about it.

use std::process::{Command, Stdio};

use super::address::{COMMAND_VARIABLE, SftpAddress};
use super::packet::Status;
use crate::error::{Error, ErrorKind};

/// What went wrong with a request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server has refused it.
    Status(Status, String),
    /// The connection is gone. What was asked for may have happened.
    Lost(String),
    /// The server does not keep to the protocol.
    Garbled(String),
    /// No connection can be had, however often it is tried.
    Hopeless { why: String, advice: String },
}

impl Failure {
    /// Whether the server says that the name is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Failure::Status(Status::NoSuchFile, _))
    }

    /// What went wrong while `what` was done at `address`.
    pub(super) fn error(self, what: &str, address: &SftpAddress) -> Error {
        let failed = |why: &str| {
            Error::new(ErrorKind::Io, format!("cannot {what} in {address}"))
                .with_source(std::io::Error::other(why.to_owned()))
        };
        match self {
            Failure::Status(status, text) => {
                let why = match status {
                    Status::NoSuchFile => "it is not there".to_owned(),
                    Status::Denied => "permission denied".to_owned(),
                    Status::Unsupported => "the server does not know how".to_owned(),
                    Status::Other(code) => format!("status {code} {}", printable(&text)),
                    Status::Done | Status::End | Status::Failure => {
                        format!("the server says {:?} and no more", printable(&text))
                    }
                };
                let error = failed(&why);
                match status {
                    Status::Denied => error.advise(format!(
                        "see who owns the directory on the server, and as whom ssh logs in: {}",
                        by_hand("sftp", address)
                    )),
                    Status::Failure => {
                        error.advise("it says the same when its disk or a quota is full: see there")
                    }
                    Status::Done
                    | Status::End
                    | Status::NoSuchFile
                    | Status::Unsupported
                    | Status::Other(_) => error,
                }
            }
            Failure::Lost(why) => failed(&why),
            Failure::Garbled(why) => failed(&format!("the server does not keep to SFTP: {why}")),
            Failure::Hopeless { why, advice } => failed(&why).advise(advice),
        }
    }
}

/// What a server says, without what a terminal would take for commands.
fn printable(text: &str) -> String {
    text.chars()
        .filter(|it| !it.is_control())
        .take(200)
        .collect()
}

/// The command by which a person reaches the server.
fn by_hand(program: &str, address: &SftpAddress) -> String {
    let mut arguments = address.arguments();
    // sftp's -p is another option.
    if let Some(port) = arguments
        .first_mut()
        .filter(|it| *it == "-p" && program == "sftp")
    {
        "-P".clone_into(port);
    }
    format!("{program} {}", arguments.join(" "))
}

/// What it means that ssh ended with the complaint `why` before the server said anything.
pub(super) fn of_ssh(address: &SftpAddress, command: &str, why: &str) -> Failure {
    let says = |text: &str| why.contains(text);
    let ssh = by_hand("ssh", address);
    let advice = if says("IDENTIFICATION HAS CHANGED") {
        format!(
            "the key of {} is another one than before: find out why, and remove the old one with ssh-keygen -R only then",
            address.host
        )
    } else if says("Host key verification failed") || says("host key is known for") {
        format!(
            "nobody has said yet that this is the right server: run {ssh} once by hand, as the user that narthex runs as, and compare the \
             fingerprint"
        )
    } else if says("Permission denied (") || says("Too many authentication failures") {
        format!(
            "the server takes none of the keys that ssh has without asking for a passphrase{}: the public half of one must be in \
             authorized_keys there, and {ssh} -v says more",
            keys(address, command)
        )
    } else if says("subsystem request failed") {
        "the server offers no SFTP: its sshd_config needs a line Subsystem sftp internal-sftp"
            .to_owned()
    } else if says("Bad owner or permissions") || says("bad permissions") {
        "ssh takes only files that no one else can write, and keys that no one else can read"
            .to_owned()
    } else if says("Bad configuration option") || says("Could not open user configuration file") {
        format!("correct ~/.ssh/config or {COMMAND_VARIABLE}")
    } else if says(": not found") || says("command not found") {
        format!(
            "install ssh (openssh-client), or say in {COMMAND_VARIABLE} which command is to be run"
        )
    } else {
        // The network, or a server that is starting.
        return Failure::Lost(why.to_owned());
    };
    Failure::Hopeless {
        why: why.to_owned(),
        advice,
    }
}

/// Which keys ssh would offer, in brackets, as far as it says.
fn keys(address: &SftpAddress, command: &str) -> String {
    let asked = Command::new("sh")
        .args(["-c", &format!("exec {command} \"$@\""), "sh", "-G"])
        .args(address.arguments())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(output) = asked else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let home = std::env::var("HOME").unwrap_or_default();
    let files = text
        .lines()
        .filter_map(|line| line.strip_prefix("identityfile "));
    let there: Vec<_> = files
        .filter(|file| {
            let path = file.strip_prefix('~').map(|rest| format!("{home}{rest}"));
            std::path::Path::new(path.as_deref().unwrap_or(file)).exists()
        })
        .map(printable)
        .collect();
    if there.is_empty() {
        " (there is no file with one)".to_owned()
    } else {
        format!(" ({})", there.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(why: &str) -> Option<String> {
        let address = "sftp://me@h:2222/x".parse().unwrap();
        match of_ssh(&address, "true", why) {
            Failure::Hopeless { advice, .. } => Some(advice),
            _ => None,
        }
    }

    #[test]
    fn what_ssh_complains_of_is_told_with_what_to_do() {
        let unknown = meant(
            "No ED25519 host key is known for h and you have requested strict checking.; Host key verification failed.",
        );
        assert!(unknown.unwrap().contains("ssh -p 2222 me@h once by hand"));
        let denied = meant("me@h: Permission denied (publickey).").unwrap();
        assert!(denied.contains("there is no file with one"), "{denied}");
        assert!(
            meant("sh: 1: exec: nossh: not found")
                .unwrap()
                .contains("openssh-client")
        );
        assert!(meant("subsystem request failed on channel 0").is_some());
        for passing in [
            "ssh: connect to host h port 2222: Connection refused",
            "ssh: Could not resolve hostname h: Temporary failure in name resolution",
            "kex_exchange_identification: read: Connection reset by peer",
        ] {
            assert_eq!(meant(passing), None);
        }
    }
}
