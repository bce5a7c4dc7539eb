//! Who can read what was encrypted.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::{ExposeSecret as _, SecretString};
use age::ssh;

use super::recipient::{Recipient, read_text};
use super::sign::write_new;
use crate::error::{Error, Result};
use crate::raw::sync_dir;

/// How an identity of age begins.
const SECRET: &str = "AGE-SECRET-KEY-";

/// How a file begins that age has encrypted, in bytes and as text.
const ENCRYPTED: [&str; 2] = ["age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE"];

/// A secret key that decrypts what was encrypted to its [`Recipient`]. Shown, it says what kind of
/// key it is, and the recipient; never the key.
#[derive(Clone)]
pub struct Identity(Kind);

#[derive(Clone)]
enum Kind {
    Age(age::x25519::Identity),
    Ssh(ssh::Identity),
}

impl Identity {
    /// A new key of age's own kind.
    pub fn generate() -> Self {
        Identity(Kind::Age(age::x25519::Identity::generate()))
    }

    /// Makes a new key of age's own kind and writes it to the file `path`, for its user alone (mode
    /// 0600), as `age-keygen` does. Gives its public half.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, when the file exists: no key is overwritten.
    pub fn create(path: &Path) -> Result<Recipient> {
        let key = age::x25519::Identity::generate();
        let public = Recipient::of_age(key.to_public());
        let secret = key.to_string();
        let text = format!("# public key: {public}\n{}\n", secret.expose_secret());
        write_new(path, 0o600, text.as_bytes())?;
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
        Ok(public)
    }

    /// The public half. `None` for an SSH key without one, which none is.
    pub fn recipient(&self) -> Option<Recipient> {
        match &self.0 {
            Kind::Age(key) => Some(Recipient::of_age(key.to_public())),
            Kind::Ssh(key) => ssh::Recipient::try_from(key.clone())
                .ok()
                .map(Recipient::of_ssh),
        }
    }

    pub(super) fn as_age(&self) -> &dyn age::Identity {
        match &self.0 {
            Kind::Age(key) => key,
            Kind::Ssh(key) => key,
        }
    }

    /// The identities in a text: an identity file of age (one `AGE-SECRET-KEY-1…` on each line,
    /// empty lines and lines that begin with `#` do not count), or an SSH private key. `origin` is
    /// what errors call the text.
    ///
    /// # Errors
    ///
    /// `Invalid` for anything else, or nothing; `Refused` for what is protected by a passphrase:
    /// nobody is there at night who could type it; `Unsupported` for plugins and other types of SSH
    /// keys.
    pub fn read(text: &str, origin: &str) -> Result<Vec<Self>> {
        let begin = text.trim_start();
        if ENCRYPTED.iter().any(|magic| begin.starts_with(magic)) {
            return Err(Error::refused(format!(
                "expected {origin} to be an identity file, found one that is encrypted itself"
            ))
            .advise(
                "decrypt it with age -d into a file that only its user can read, and name that",
            ));
        }
        if begin.starts_with("-----BEGIN") {
            return Ok(vec![read_ssh(begin, origin)?]);
        }
        let mut found = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |message: &str| format!("{origin}, line {number}: {message}");
            if let Ok(key) = line.parse() {
                found.push(Identity(Kind::Age(key)));
            } else if line.starts_with("AGE-PLUGIN-") || line.starts_with("AGE-SECRET-KEY-PQ-") {
                return Err(Error::unsupported(wrong(
                    "identities of plugins and hybrid (post-quantum) ones are not supported",
                )));
            } else if line.starts_with("age1") || line.starts_with("ssh-") {
                return Err(Error::invalid(wrong(
                    "expected an identity, found a recipient: that is the public half",
                )));
            } else if line.starts_with(SECRET) {
                return Err(Error::invalid(wrong("the identity is mistyped or cut off")));
            } else {
                return Err(Error::invalid(wrong(
                    "expected an identity (AGE-SECRET-KEY-1…)",
                )));
            }
        }
        if found.is_empty() {
            return Err(Error::invalid(format!(
                "expected {origin} to hold an identity (AGE-SECRET-KEY-1… or an SSH private key), \
                 found none"
            )));
        }
        Ok(found)
    }
}

fn read_ssh(text: &str, origin: &str) -> Result<Identity> {
    let invalid = || {
        Error::invalid(format!(
            "expected {origin} to be an SSH private key, found a damaged one or another thing"
        ))
    };
    let key = ssh::Identity::from_buffer(text.as_bytes(), None).map_err(|_| invalid())?;
    match &key {
        ssh::Identity::Unencrypted(_) => Ok(Identity(Kind::Ssh(key))),
        ssh::Identity::Encrypted(_)
        | ssh::Identity::Unsupported(
            ssh::UnsupportedKey::EncryptedPem | ssh::UnsupportedKey::EncryptedSsh(_),
        ) => Err(protected(origin)),
        ssh::Identity::Unsupported(_) => Err(Error::unsupported(format!(
            "expected {origin} to be an SSH key of the type ssh-ed25519 or ssh-rsa, found another"
        ))),
    }
}

/// The error for a private key that is protected by a passphrase.
pub(super) fn protected(origin: &str) -> Error {
    Error::refused(format!("{origin} is protected by a passphrase")).advise(
        "take the passphrase off a copy that only its user can read (ssh-keygen -p -f COPY), or \
         make a key for this alone",
    )
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.recipient() {
            Some(recipient) => write!(f, "Identity(of {recipient})"),
            None => f.write_str("Identity"),
        }
    }
}

/// All identities that reading may try, in their order. Clones share them.
#[derive(Clone, Debug)]
pub struct Identities(Arc<[Identity]>);

impl Identities {
    /// These.
    ///
    /// # Errors
    ///
    /// `Invalid`, when there is none.
    pub fn new(identities: impl IntoIterator<Item = Identity>) -> Result<Self> {
        let all: Arc<[Identity]> = identities.into_iter().collect();
        if all.is_empty() {
            return Err(Error::invalid("expected at least one identity, found none"));
        }
        Ok(Identities(all))
    }

    /// They, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter()
    }

    /// The recipients whose secret halves these are.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> {
        self.0.iter().filter_map(Identity::recipient)
    }
}

/// What was read of an identity file.
#[derive(Clone, Debug)]
pub struct IdentityFile {
    /// The keys in it.
    pub identities: Vec<Identity>,
    /// That others can read it, too.
    pub exposure: Option<KeyExposure>,
}

impl IdentityFile {
    /// Reads the file `path`; see [`Identity::read`].
    ///
    /// # Errors
    ///
    /// When it cannot be read, is larger than 1 MiB, or as there.
    pub fn load(path: &Path) -> Result<Self> {
        let (text, exposure) = load_secret(path)?;
        let identities = Identity::read(text.expose_secret(), &path.display().to_string())?;
        Ok(IdentityFile {
            identities,
            exposure,
        })
    }
}

/// The text of a file that holds a secret, and whether everybody can read it.
pub(super) fn load_secret(path: &Path) -> Result<(SecretString, Option<KeyExposure>)> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io("stat", path, e))?;
    let mode = metadata.permissions().mode() & 0o7777;
    let text = SecretString::from(read_text(&file, path)?);
    let exposure = (mode & 0o004 != 0).then(|| KeyExposure {
        path: path.to_owned(),
        mode,
    });
    Ok((text, exposure))
}

/// A file with a secret key that everybody on the machine can read; shown, a sentence that says
/// so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyExposure {
    /// The file.
    pub path: PathBuf,
    /// Its permissions.
    pub mode: u32,
}

impl fmt::Display for KeyExposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            f,
            "everybody on this machine can read the secret key in {path} (mode {:04o}); chmod 600 \
             makes it private",
            self.mode
        )
    }
}
