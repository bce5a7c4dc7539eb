//! Signatures: who wrote something. With Ed25519 keys of SSH, in the format of
//! `ssh-keygen -Y sign`, so that `ssh-keygen -Y verify`, which is on every server, checks them by
//! hand.
//!
//! Why not the format of minisign, which is simpler: its tool is on no server, a key of it signs
//! whatever it is given, and says nowhere what a key may sign. Here a *namespace* is part of what
//! is signed, so that a key that signs archives cannot be made to sign keys, and a file of allowed
//! signers says whose key may sign what.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::identity::{KeyExposure, load_secret, protected};
use crate::error::{Error, Result};
use crate::raw::sync_dir;

/// The namespace of signatures of key documents, by the administrator's key.
pub const KEYS_NAMESPACE: &str = "narthex-keys";

/// The namespace of signatures of witnesses, by the administrator's key or one that signs for all
/// sources.
pub const WITNESS_NAMESPACE: &str = "narthex-witness";

/// The namespace of signatures of archives, by a host's key.
pub const ARCHIVE_NAMESPACE: &str = "narthex-archive";

/// Digits of a line in the armour of a signature.
const LINE: usize = 70;

/// Most digits of a signature that is read; those of Ed25519 have less than 400.
const MAX_DIGITS: usize = 1024;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// A secret Ed25519 key that signs. Shown, it is its public half.
#[derive(Clone)]
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// A new key. What `comment` says stands behind its public half.
    ///
    /// # Errors
    ///
    /// When the comment cannot stand in a key.
    pub fn generate(comment: &str) -> Result<Self> {
        let failed = |e| Error::invalid("cannot make a key for signatures").with_source(e);
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
        key.set_comment(comment);
        Ok(SigningKey(key))
    }

    /// Makes a new key and writes it to the file `path`, for its user alone (mode 0600), as
    /// `ssh-keygen -t ed25519` does; the public half goes to `path` with `.pub` behind it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, when one of the files exists: no key is overwritten.
    pub fn create(path: &Path, comment: &str) -> Result<Self> {
        let key = Self::generate(comment)?;
        let failed = |e| Error::invalid("cannot write a key").with_source(e);
        let secret = key.0.to_openssh(LineEnding::LF).map_err(failed)?;
        let public = format!("{}\n", key.public());
        let beside = public_path(path);
        // The public half first: without the secret one it does no harm.
        write_new(&beside, 0o644, public.as_bytes())?;
        if let Err(e) = write_new(path, 0o600, secret.as_bytes()) {
            // It was made just now, and belongs to no key.
            let _ = std::fs::remove_file(&beside);
            return Err(e);
        }
        let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
        Ok(key)
    }

    /// Reads a key from the file `path`: one of [`SigningKey::create`], or an SSH key. Says also if
    /// everybody can read the file.
    ///
    /// # Errors
    ///
    /// `Refused`, when it is protected by a passphrase; `Unsupported`, when it is no Ed25519 key;
    /// `Invalid`, when it is no key of OpenSSH's format.
    pub fn load(path: &Path) -> Result<(Self, Option<KeyExposure>)> {
        let (text, exposure) = load_secret(path)?;
        let key = Self::read(text.expose_secret(), &path.display().to_string())?;
        Ok((key, exposure))
    }

    /// Reads a key from a text, which errors call `origin`.
    ///
    /// # Errors
    ///
    /// As [`SigningKey::load`].
    pub fn read(text: &str, origin: &str) -> Result<Self> {
        // What the parser says may repeat a part of what it read.
        let key = PrivateKey::from_openssh(text).map_err(|_| {
            Error::invalid(format!(
                "expected {origin} to be an SSH private key (ssh-keygen -t ed25519), found \
                 something else"
            ))
        })?;
        if key.is_encrypted() {
            return Err(protected(origin));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(Error::unsupported(format!(
                "expected {origin} to be an SSH key of the type ssh-ed25519, found {}",
                key.algorithm()
            )));
        }
        Ok(SigningKey(key))
    }

    /// The public half.
    pub fn public(&self) -> SignerKey {
        SignerKey(self.0.public_key().clone())
    }

    /// Signs `bytes` for `namespace`, which is not empty.
    ///
    /// # Errors
    ///
    /// `Invalid`, when the namespace is empty.
    pub fn sign(&self, namespace: &str, bytes: &[u8]) -> Result<Signature> {
        let signed = self.0.sign(namespace, HashAlg::Sha512, bytes);
        let failed = |e| Error::invalid("cannot sign").with_source(e);
        signed.map(Signature).map_err(failed)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

pub(super) fn write_new(path: &Path, mode: u32, content: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(mode);
    let mut file: File = options
        .open(path)
        .map_err(|e| Error::io("create", path, e))?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|e| {
        // A key that is not whole is none; what created it knows that nobody else has it.
        let _ = std::fs::remove_file(path);
        Error::io("write", path, e)
    })
}

/// The public half of a [`SigningKey`]: `ssh-ed25519 …`. What stands behind it is a comment, and
/// does not count when keys are compared.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignerKey(PublicKey);

impl SignerKey {
    /// The key without its comment.
    #[must_use]
    pub fn without_comment(mut self) -> Self {
        self.0.set_comment("");
        self
    }

    /// What `ssh-keygen -l` calls it: `SHA256:` and 43 digits of base 64.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Proves that `signature` is one of this key, of `bytes`, for `namespace`.
    ///
    /// # Errors
    ///
    /// `Refused`, when it is not.
    pub fn verify(&self, namespace: &str, bytes: &[u8], signature: &Signature) -> Result<()> {
        let verified = self.0.verify(namespace, bytes, &signature.0);
        verified.map_err(|_| {
            let found = &signature.0;
            let fingerprint = found.public_key().fingerprint(HashAlg::Sha256).to_string();
            let reason = if fingerprint != self.fingerprint() {
                format!("it is one of {fingerprint}")
            } else if found.namespace() != namespace {
                "it was made for something else".to_owned()
            } else {
                "it is one of other bytes: something was changed".to_owned()
            };
            Error::refused(format!(
                "expected a signature of {} for {namespace}, but {reason}",
                self.fingerprint()
            ))
        })
    }
}

impl FromStr for SignerKey {
    type Err = Error;

    /// `Invalid` for what is no SSH public key, `Unsupported` for one that is not of Ed25519.
    fn from_str(text: &str) -> Result<Self> {
        let key = PublicKey::from_openssh(text.trim())
            .map_err(|_| Error::invalid("expected a public key (ssh-ed25519 …)"))?;
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(Error::unsupported(format!(
                "expected a public key of the type ssh-ed25519, found {}",
                key.algorithm()
            )));
        }
        Ok(SignerKey(key))
    }
}

impl TryFrom<String> for SignerKey {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<SignerKey> for String {
    fn from(key: SignerKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It was read of a text, or of a pair of keys: it can be written.
        let text = self.0.to_openssh().map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({self})")
    }
}

impl PartialEq for SignerKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key_data() == other.0.key_data()
    }
}

impl Eq for SignerKey {}

/// A signature, with the public key that it is of: nothing is proved by its being there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(SshSig);

impl Signature {
    /// The key it claims to be of.
    ///
    /// # Errors
    ///
    /// `Unsupported`, when that is no Ed25519 key.
    pub fn signer(&self) -> Result<SignerKey> {
        let key = PublicKey::from(self.0.public_key().clone());
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(Error::unsupported(format!(
                "expected a signature of a key of the type ssh-ed25519, found {}",
                key.algorithm()
            )));
        }
        Ok(SignerKey(key))
    }

    /// What it was made for.
    pub fn namespace(&self) -> &str {
        self.0.namespace()
    }

    /// The text that `ssh-keygen -Y verify -s` reads: digits of base 64 in armour.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn to_armoured(&self) -> Result<String> {
        let failed = |e| Error::invalid("cannot write a signature").with_source(e);
        self.0.to_pem(LineEnding::LF).map_err(failed)
    }

    /// The digits in the armour, in one line.
    ///
    /// # Errors
    ///
    /// None that is known.
    pub fn to_line(&self) -> Result<String> {
        let armoured = self.to_armoured()?;
        let lines = armoured.lines().filter(|line| !line.starts_with('-'));
        Ok(lines.collect())
    }

    /// Reads what [`Signature::to_armoured`] or `ssh-keygen -Y sign` has written.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when it is something else.
    pub fn from_armoured(text: &str) -> Result<Self> {
        let digits = text
            .trim()
            .strip_prefix(BEGIN)
            .and_then(|rest| rest.strip_suffix(END))
            .ok_or_else(|| Error::corrupt("expected an SSH signature, found something else"))?;
        if digits.len() > 2 * MAX_DIGITS {
            return Err(not_a_signature());
        }
        let digits: String = digits.lines().collect();
        Self::from_line(&digits)
    }

    /// Reads what [`Signature::to_line`] has written.
    ///
    /// # Errors
    ///
    /// `Corrupt`, when it is something else.
    pub fn from_line(digits: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
        if digits.len() > MAX_DIGITS || !digits.bytes().all(plain) {
            return Err(not_a_signature());
        }
        let mut armoured = format!("{BEGIN}\n");
        let mut rest = digits;
        while !rest.is_empty() {
            let (line, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
            armoured.push_str(line);
            armoured.push('\n');
            rest = after;
        }
        armoured.push_str(END);
        armoured.push('\n');
        let parsed = SshSig::from_pem(armoured).map(Signature);
        let damaged = |e| Error::corrupt("an SSH signature is damaged").with_source(e);
        let signature = parsed.map_err(damaged)?;
        // Not all that is in a signature is signed: what could be otherwise is to be as it is
        // written, so that of one document there are not two.
        if signature.0.version() == SshSig::VERSION && signature.to_line()? == digits {
            Ok(signature)
        } else {
            Err(not_a_signature())
        }
    }
}

fn not_a_signature() -> Error {
    Error::corrupt("expected the digits of an SSH signature, found something else")
}
