//! Whom objects are encrypted to.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use age::ssh::ParseRecipientKeyError;

use crate::error::{Error, Result};

/// Largest file of recipients or identities that is read, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 20;

/// A public key that objects can be encrypted to: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`.
#[derive(Clone)]
pub struct Recipient(Kind);

#[derive(Clone)]
enum Kind {
    Age(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    pub(super) fn of_age(key: age::x25519::Recipient) -> Self {
        Recipient(Kind::Age(key))
    }

    pub(super) fn of_ssh(key: age::ssh::Recipient) -> Self {
        Recipient(Kind::Ssh(key))
    }

    fn as_age(&self) -> &dyn age::Recipient {
        match &self.0 {
            Kind::Age(key) => key,
            Kind::Ssh(key) => key,
        }
    }
}

impl FromStr for Recipient {
    type Err = Error;

    /// Reads one as `age` and `ssh-keygen` write it; what stands behind an SSH key is a comment.
    ///
    /// `Invalid` for what is none, `Unsupported` for a key of a kind that nothing can be encrypted
    /// to. The text is in no message: somebody may have mistaken the secret half for it.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err(Error::invalid("expected a recipient, found an identity")
                .advise("age-keygen -y FILE prints the recipient of an identity file"));
        }
        if text.starts_with("-----BEGIN") {
            return Err(Error::invalid("expected a recipient, found a private key")
                .advise("the public half is in the file beside it that ends in .pub"));
        }
        if text.starts_with("age1") {
            return match text.parse() {
                Ok(key) => Ok(Recipient(Kind::Age(key))),
                Err(_) if is_other_age(text) => Err(Error::unsupported(
                    "recipients of plugins and of hybrid (post-quantum) keys are not supported",
                )
                .advise("make a key with age-keygen")),
                Err(reason) => Err(Error::invalid(format!(
                    "expected an age recipient (age1…): {reason}"
                ))),
            };
        }
        let parsed = text.parse::<age::ssh::Recipient>();
        parsed
            .map(|key| Recipient(Kind::Ssh(key)))
            .map_err(|reason| match reason {
                ParseRecipientKeyError::RsaModulusTooSmall => {
                    Error::invalid("expected an RSA key of 2048 bits or more, found a smaller one")
                }
                ParseRecipientKeyError::RsaModulusTooLarge => {
                    Error::unsupported("expected an RSA key of 4096 bits at most")
                }
                ParseRecipientKeyError::Unsupported(_) => Error::unsupported(
                    "only SSH keys of the types ssh-ed25519 and ssh-rsa can be encrypted to",
                ),
                _ => Error::invalid("expected a recipient: age1…, ssh-ed25519 … or ssh-rsa …"),
            })
    }
}

/// Whether it looks like what plugins (`age1yubikey1…`), tags and hybrid keys (`age1pq1…`) have:
/// a second word before the last `1`.
fn is_other_age(text: &str) -> bool {
    let rest = text.strip_prefix("age1").unwrap_or_default();
    rest.rsplit_once('1').is_some_and(|(word, _)| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !word.is_empty() && word.bytes().all(plain)
    })
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Age(key) => fmt::Display::fmt(key, f),
            Kind::Ssh(key) => fmt::Display::fmt(key, f),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Recipient {}

/// Most recipients: the header of an encrypted object has to fit into what is read first of it,
/// also when all are RSA keys of 4096 bits.
pub const MAX_RECIPIENTS: usize = 20;

/// Everybody who can read what is encrypted: from one to [`MAX_RECIPIENTS`], nobody twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients(Vec<Recipient>);

impl Recipients {
    /// All of `recipients`; one that comes again counts once.
    ///
    /// # Errors
    ///
    /// `Invalid`, when there is none, so that nobody could read anything, or too many.
    pub fn new(recipients: impl IntoIterator<Item = Recipient>) -> Result<Self> {
        let mut all: Vec<Recipient> = Vec::new();
        for recipient in recipients {
            if !all.contains(&recipient) {
                all.push(recipient);
            }
        }
        if all.is_empty() {
            return Err(Error::invalid(
                "expected at least one recipient, found none",
            ));
        }
        if all.len() > MAX_RECIPIENTS {
            return Err(Error::invalid(format!(
                "expected {MAX_RECIPIENTS} recipients at most, found {}",
                all.len()
            )));
        }
        Ok(Recipients(all))
    }

    /// They, in the order in which they were named.
    pub fn iter(&self) -> impl Iterator<Item = &Recipient> {
        self.0.iter()
    }

    pub(super) fn as_age(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(Recipient::as_age)
    }
}

impl Recipient {
    /// The recipients in a text, one on each line; empty lines and lines that begin with `#` do not
    /// count, as in the files of `age -R`. `origin` is what errors call the text.
    ///
    /// # Errors
    ///
    /// As [`Recipient::from_str`] says, with the number of the line.
    pub fn read_lines(text: &str, origin: &str) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let recipient = line.parse();
            let recipient =
                recipient.map_err(|e: Error| e.context(format!("{origin}, line {number}")))?;
            found.push(recipient);
        }
        Ok(found)
    }

    /// The recipients in the file `path`; see [`Recipient::read_lines`].
    ///
    /// # Errors
    ///
    /// When it cannot be read, is larger than 1 MiB, or holds something else.
    pub fn load(path: &Path) -> Result<Vec<Self>> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let text = read_text(&file, path)?;
        Self::read_lines(&text, &path.display().to_string())
    }
}

/// The text of a small file. What it holds is in no message.
pub(super) fn read_text(file: &File, path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => Err(Error::invalid(format!(
            "expected {} to be a file of keys of at most {MAX_FILE_BYTES} bytes, found more",
            path.display()
        ))),
        Ok(_) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => Err(Error::invalid(format!(
            "expected {} to be a file of keys, found something that is no text",
            path.display()
        ))),
        Err(e) => Err(Error::io("read", path, e)),
    }
}
