//! The keys of a repository: who reads it, to whom it is encrypted, who signs.

use std::path::{Path, PathBuf};

use super::document::{At, Section};
use super::secret::Secret;

/// The keys of an encrypted repository, as the configuration names them. No file is read yet, and
/// no program run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// What reads it: a file of identities, or a program that prints one.
    pub(crate) identity: Option<At<Secret>>,
    /// To whom what is written is encrypted, each in one line.
    pub(crate) recipients: Option<At<Vec<String>>>,
    /// A file with more of them.
    pub(crate) recipients_file: Option<At<PathBuf>>,
    /// What archives are signed with: an SSH private key.
    pub(crate) signing_key: Option<At<Secret>>,
}

impl Keys {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        let recipients = section.list("recipients");
        if let Some(found) = &recipients {
            judge(section, found);
        }
        Keys {
            identity: Secret::of(section, "identity-file", "identity-command"),
            recipients,
            recipients_file: section.path("recipients-file"),
            signing_key: Secret::of(section, "signing-key-file", "signing-key-command"),
        }
    }

    /// Whether the configuration says nothing of keys.
    pub(crate) fn is_empty(&self) -> bool {
        self.identity.is_none()
            && self.recipients.is_none()
            && self.recipients_file.is_none()
            && self.signing_key.is_none()
    }

    /// What is secret of it, by the beginning of its keys.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&'static str, &At<Secret>)> {
        let named = [
            ("identity", &self.identity),
            ("signing-key", &self.signing_key),
        ];
        let named = named.into_iter();
        named.filter_map(|(name, secret)| Some((name, secret.as_ref()?)))
    }
}

fn judge(section: &Section<'_, '_>, recipients: &At<Vec<String>>) {
    let fault = |message: &str| section.fault(&recipients.place, "recipients", message);
    if recipients.value.is_empty() {
        fault("expected at least one recipient, found none");
    }
    for recipient in &recipients.value {
        let is_secret = ["AGE-SECRET-KEY-", "-----BEGIN"]
            .iter()
            .any(|begin| recipient.trim_start().starts_with(begin));
        let is_known = ["age1", "ssh-ed25519 ", "ssh-rsa "]
            .iter()
            .any(|begin| recipient.starts_with(begin));
        if is_secret {
            // It is not repeated.
            fault(
                "a secret never stands in the configuration: this is an identity; recipients are the public halves, and identity-file names a file with identities",
            );
        } else if !is_known {
            fault(&format!(
                "expected recipients (age1…, ssh-ed25519 … or ssh-rsa …), found {recipient:?}"
            ));
        } else if let Some(wrong) = wrong_with(recipient) {
            fault(&format!("{recipient:?}: {wrong}"));
        }
    }
}

/// What makes `recipient` one that nothing can be encrypted to, such as a letter that is missing.
#[cfg(feature = "encryption")]
fn wrong_with(recipient: &str) -> Option<String> {
    let parsed = recipient.parse::<crate::crypt::Recipient>();
    parsed.err().map(|error| error.chain())
}

/// Whether `path` is a file that can be opened. Nothing else is: a pipe would be waited for.
pub(super) fn is_readable(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file()) && std::fs::File::open(path).is_ok()
}

/// Why the file of the `secret` that is called `name` holds no key of its kind; `None` where it
/// does, and where it cannot be read or is printed by a program: that says who reads it.
#[cfg(feature = "encryption")]
pub(super) fn wrong_in(name: &str, secret: &Secret) -> Option<String> {
    use crate::crypt::Identity;
    use crate::crypt::sign::SigningKey;
    let Secret::File(path) = secret else {
        return None;
    };
    if !is_readable(path) {
        return None;
    }
    let (text, origin) = (secret.read().ok()?, secret.to_string());
    let wrong = match name {
        "identity" => Identity::read(&text, &origin).err(),
        _ => SigningKey::read(&text, &origin).err(),
    };
    wrong.map(|error| error.chain())
}

#[cfg(not(feature = "encryption"))]
pub(super) fn wrong_in(_name: &str, _secret: &Secret) -> Option<String> {
    None
}

/// Why the file at `path` holds no recipients; `None` where it does, and where it cannot be opened.
#[cfg(feature = "encryption")]
pub(super) fn wrong_recipients(path: &Path) -> Option<String> {
    if !is_readable(path) {
        return None;
    }
    match crate::crypt::Recipient::load(path) {
        Ok(found) if found.is_empty() => Some(format!(
            "expected {} to hold recipients, found none",
            path.display()
        )),
        found => found.err().map(|error| error.chain()),
    }
}

#[cfg(not(feature = "encryption"))]
pub(super) fn wrong_recipients(_path: &Path) -> Option<String> {
    None
}

#[cfg(not(feature = "encryption"))]
fn wrong_with(_recipient: &str) -> Option<String> {
    None
}
