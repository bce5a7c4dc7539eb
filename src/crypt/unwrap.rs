//! Finding the key of an object.

use std::cell::RefCell;

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor};
use age_core::format::{FileKey, Stanza};

use super::envelope::{Envelope, spoiled};
use super::identity::Identities;
use super::window::Window;
use crate::error::{Error, ErrorKind, Result};

/// Most recipients that are told of a header that holds more.
const MAX_TOLD: usize = 10;

/// Finds the file key by any of the identities, and sees to it that the header is unchanged.
pub(super) fn unwrap_key(envelope: &Envelope, identities: &Identities) -> Result<FileKey> {
    let seeker = Seeker {
        identities,
        found: RefCell::new(None),
        recipients: RefCell::new(String::new()),
    };
    let header = Window::header(envelope.header());
    let decryptor = Decryptor::new_buffered(header).map_err(spoiled)?;
    let opened = decryptor.decrypt([&seeker as &dyn age::Identity].into_iter());
    match opened {
        Ok(_) => {}
        Err(DecryptError::NoMatchingKeys) => {
            return Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "none of the identities given can read what is encrypted to {}",
                    seeker.recipients.into_inner()
                ),
            )
            .advise("give the one that can with --identity FILE"));
        }
        Err(e) => return Err(spoiled(e)),
    }
    let found = seeker.found.into_inner();
    found.ok_or_else(|| Error::corrupt("the header of an encrypted object holds no key"))
}

/// All identities as one, which remembers the key that they find, and what there was to find.
struct Seeker<'i> {
    identities: &'i Identities,
    found: RefCell<Option<FileKey>>,
    recipients: RefCell<String>,
}

impl age::Identity for Seeker<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        None
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        *self.recipients.borrow_mut() = tell(stanzas);
        let mut failed = None;
        for identity in self.identities.iter() {
            match identity.as_age().unwrap_stanzas(stanzas) {
                Some(Ok(key)) => {
                    *self.found.borrow_mut() = Some(copy(&key));
                    return Some(Ok(key));
                }
                Some(Err(e)) => failed = failed.or(Some(Err(e))),
                None => {}
            }
        }
        failed
    }
}

/// To whom something is encrypted, as far as its header tells.
fn tell(stanzas: &[Stanza]) -> String {
    let mut nameless = 0_u32;
    let mut told = Vec::new();
    for stanza in stanzas {
        match stanza.tag.as_str() {
            "X25519" => nameless += 1,
            // The tag is what `ssh-keygen -l` begins its fingerprint with, but for its last digit,
            // of which only two bits are there.
            "ssh-ed25519" | "ssh-rsa" => {
                let tag = stanza.args.first().map_or("", String::as_str);
                let digits = tag.get(..5).unwrap_or(tag);
                told.push(format!("{} SHA256:{digits}…", stanza.tag));
            }
            // What age puts there so that nobody relies on there being nothing else.
            tag if tag.ends_with("-grease") => {}
            "scrypt" => told.push("a passphrase".to_owned()),
            _ => told.push("a recipient of another kind".to_owned()),
        }
    }
    match nameless {
        0 => {}
        1 => told.push("one age1… recipient (the header does not say which)".to_owned()),
        more => told.push(format!(
            "{more} age1… recipients (the header does not say which)"
        )),
    }
    if told.is_empty() {
        told.push("nobody".to_owned());
    }
    if told.len() > MAX_TOLD {
        told.truncate(MAX_TOLD);
        told.push("others".to_owned());
    }
    told.join(", ")
}

/// The file key, once it is known.
pub(super) struct Known<'k>(pub(super) &'k FileKey);

impl age::Identity for Known<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        Some(Ok(copy(self.0)))
    }
}

fn copy(key: &FileKey) -> FileKey {
    FileKey::init_with_mut(|bytes| bytes.copy_from_slice(key.expose_secret()))
}
