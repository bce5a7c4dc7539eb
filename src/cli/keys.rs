//! The keys of this machine: what it reads with, signs with, and whom it believes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Args;

use super::config::{self, Secret};
use super::repo::say;
use super::state::{Pin, StateArgs};
use crate::crypt::keys::KeyChain;
use crate::crypt::sign::{SignerKey, SigningKey};
use crate::crypt::{Identities, Identity, IdentityFile, KeyExposure, Recipient};
use crate::error::{Error, Result};
use crate::raw::read_bounded;
use crate::report::safe_line;
use crate::repository::keyed::Keyring;
use crate::repository::{Descriptor, Repository};
use crate::store::{Location, ObjectName};

/// Largest file with a public key that is read, in bytes.
const MAX_PUBLIC: u64 = 64 << 10;

/// Most objects that are named which lie among lists of keys and are none: `check` has all.
const MAX_JUNK_SAID: usize = 3;

/// Keys to encrypted repositories.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyArgs {
    /// File with a key to read encrypted repositories with: of age, or of SSH; can be repeated
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        env = "NARTHEX_IDENTITY",
        hide_env_values = true
    )]
    identity: Vec<PathBuf>,
    /// File with the key of this host (ssh-ed25519) that signs its archives
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "NARTHEX_SIGNING_KEY",
        hide_env_values = true
    )]
    signing_key: Option<PathBuf>,
    /// The administrator's public key, or its fingerprint (SHA256:…): whose lists of keys to
    /// believe [default: the one that was believed before]
    #[arg(long, global = true, value_name = "KEY", env = "NARTHEX_ADMIN_KEY")]
    admin_key: Option<String>,
    /// Let archives count that nobody has signed who may
    #[arg(long, global = true)]
    accept_unsigned: bool,
}

/// The keys of this process.
static KEYS: OnceLock<Keyring> = OnceLock::new();

impl KeyArgs {
    /// Makes these the keys of this process.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or holds something else.
    pub(crate) fn apply(&self) -> Result<()> {
        let mut identities = Vec::new();
        for path in &self.identity {
            let file = IdentityFile::load(path)?;
            warn(file.exposure.as_ref());
            identities.extend(file.identities);
        }
        let signing = self.signing_key.as_deref().map(load_signing);
        let keyring = Keyring {
            identities: if identities.is_empty() {
                None
            } else {
                Some(Identities::new(identities)?)
            },
            signing: signing.transpose()?,
            admin: self.admin_key.as_deref().map(fingerprint).transpose()?,
            accept_unsigned: self.accept_unsigned,
            ..Keyring::default()
        };
        let _ = KEYS.set(keyring);
        Ok(())
    }
}

/// The key in the file `path`; says so if everybody can read it.
pub(crate) fn load_signing(path: &Path) -> Result<SigningKey> {
    let (key, exposure) = SigningKey::load(path)?;
    warn(exposure.as_ref());
    Ok(key)
}

fn warn(exposure: Option<&KeyExposure>) {
    if let Some(exposure) = exposure {
        say(&exposure.to_string());
    }
}

/// A public key that was typed: itself, or the file that holds it.
pub(crate) fn public_key(typed: &str) -> Result<SignerKey> {
    if typed.starts_with("ssh-") {
        return typed.parse();
    }
    let path = Path::new(typed);
    let bytes = read_bounded(path, MAX_PUBLIC)?;
    let text = String::from_utf8_lossy(&bytes);
    text.parse()
        .map_err(|e: Error| e.context(path.display().to_string()))
}

fn fingerprint(typed: &str) -> Result<String> {
    if typed.starts_with("SHA256:") {
        return Ok(typed.to_owned());
    }
    Ok(public_key(typed)?.fingerprint())
}

/// The keys for the repository at `location`, which has this `descriptor` if there is one. Whoever
/// `writes` and cannot read keeps what it has written.
///
/// # Errors
///
/// `Refused`, when another administrator's key was believed before; when that cannot be read.
pub(crate) fn keyring(
    location: &Location,
    state: &StateArgs,
    writes: bool,
    descriptor: Option<&Descriptor>,
) -> Result<Keyring> {
    let mut keyring = KEYS.get().cloned().unwrap_or_default();
    if let Some(configured) = config::keys(location)? {
        complete(&mut keyring, configured)?;
    }
    let Some(descriptor) = descriptor else {
        return Ok(keyring);
    };
    let id = &descriptor.id;
    if let Some(pin) = state.pin(id)? {
        match &keyring.admin {
            Some(typed) if *typed != pin.admin => {
                return state.refuse_admin(&pin.admin, id, typed);
            }
            _ => keyring.admin = Some(pin.admin),
        }
        keyring.seen = pin.seen;
        keyring.witnesses = pin.witnesses;
    } else if keyring.admin.is_none() && !keyring.accept_unsigned {
        state.refuse_unpinned(location, id)?;
    }
    keyring.witness_memory = Some(Arc::new(state.witness_memory(id)));
    if writes {
        keyring.memory = state.memory_dir();
    }
    // Whoever writes does not go by an older state of the repository than it has seen.
    keyring.kept_stand_in = !writes;
    keyring.documents = state.documents(id)?;
    Ok(keyring)
}

/// Takes what was not typed from the configuration.
fn complete(keyring: &mut Keyring, configured: &config::Keys) -> Result<()> {
    if let Some(secret) = configured
        .identity
        .as_ref()
        .filter(|_| keyring.identities.is_none())
    {
        let identities = match &secret.value {
            Secret::File(path) => {
                let file = IdentityFile::load(path)?;
                warn(file.exposure.as_ref());
                file.identities
            }
            Secret::Command(_) => Identity::read(&secret.value.read()?, &secret.value.to_string())?,
        };
        keyring.identities = Some(Identities::new(identities)?);
    }
    if let Some(secret) = configured
        .signing_key
        .as_ref()
        .filter(|_| keyring.signing.is_none())
    {
        keyring.signing = Some(match &secret.value {
            Secret::File(path) => load_signing(path)?,
            Secret::Command(_) => {
                SigningKey::read(&secret.value.read()?, &secret.value.to_string())?
            }
        });
    }
    Ok(())
}

/// Environment variable with recipients, between blanks.
const RECIPIENT_VARIABLE: &str = "NARTHEX_RECIPIENT";
/// Environment variable with the name of a file of recipients.
const RECIPIENTS_FILE_VARIABLE: &str = "NARTHEX_RECIPIENTS_FILE";

/// To whom the repository at `location` is encrypted where nobody is typed: by the environment,
/// else by the configuration.
pub(crate) fn untyped_recipients(location: &Location) -> Result<Vec<Recipient>> {
    let found = environment_recipients()?;
    if found.is_empty() {
        configured_recipients(location)
    } else {
        Ok(found)
    }
}

fn environment_recipients() -> Result<Vec<Recipient>> {
    let mut all = Vec::new();
    for (name, is_file) in [
        (RECIPIENT_VARIABLE, false),
        (RECIPIENTS_FILE_VARIABLE, true),
    ] {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let found = if is_file {
            Recipient::load(Path::new(&value))
        } else {
            let text = value.to_string_lossy();
            text.split_whitespace().map(str::parse).collect()
        };
        let found = found.map_err(|e| e.context(name))?;
        if found.is_empty() {
            return Err(Error::invalid(format!(
                "expected recipients in {name}, found none"
            )));
        }
        all.extend(found);
    }
    Ok(all)
}

/// To whom the configuration says that the repository at `location` is encrypted.
pub(crate) fn configured_recipients(location: &Location) -> Result<Vec<Recipient>> {
    let Some(keys) = config::keys(location)? else {
        return Ok(Vec::new());
    };
    let typed = keys.recipients.iter().flat_map(|texts| &texts.value);
    let typed = typed.map(|text| text.parse());
    let mut all = typed.collect::<Result<Vec<Recipient>>>()?;
    if let Some(path) = &keys.recipients_file {
        all.extend(Recipient::load(&path.value)?);
    }
    Ok(all)
}

/// Refuses to make a repository in clear where keys say that it is to be encrypted.
pub(crate) fn refuse_in_clear(location: &Location) -> Result<()> {
    let typed = KEYS
        .get()
        .is_some_and(|keyring| keyring.signing.is_some() || keyring.admin.is_some());
    if !typed && config::keys(location)?.is_none() && environment_recipients()?.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "there is no repository in {location} yet, and keys say that it is to be encrypted"
    ))
    .advise("narthex init --recipient KEY --admin FILE makes one that is"))
}

/// The first repository that was opened and is in clear, and whether any is not.
static IN_CLEAR: Mutex<Option<String>> = Mutex::new(None);
static ANY_ENCRYPTED: AtomicBool = AtomicBool::new(false);

/// Whether lists of keys are gone of a repository that was opened.
static LISTS_GONE: AtomicBool = AtomicBool::new(false);

/// Whether lists of keys are gone of a repository that was opened: what was done is not the whole
/// truth.
pub(crate) fn are_lists_gone() -> bool {
    LISTS_GONE.load(Ordering::Relaxed)
}

/// Says that they are back.
pub(crate) fn lists_are_back() {
    LISTS_GONE.store(false, Ordering::Relaxed);
}

/// Says so at the end where an identity was given and no repository is encrypted.
pub(crate) fn say_unneeded() {
    let typed = KEYS.get();
    let in_clear = IN_CLEAR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(location) = &*in_clear
        && !ANY_ENCRYPTED.load(Ordering::Relaxed)
        && typed.is_some_and(|keyring| keyring.identities.is_some())
    {
        say(&format!(
            "the repository in {location} is not encrypted: --identity is not needed"
        ));
    }
}

/// Remembers whom this machine believes of `repository`; says so where that is new.
pub(crate) fn remember(location: &Location, repository: &Repository, state: &StateArgs) {
    remember_key(location, repository, state, false);
}

/// The same of one that was made just now.
pub(crate) fn remember_made(location: &Location, repository: &Repository, state: &StateArgs) {
    remember_key(location, repository, state, true);
}

fn remember_key(location: &Location, repository: &Repository, state: &StateArgs, is_made: bool) {
    let Some(keys) = repository.keys() else {
        let mut in_clear = IN_CLEAR.lock().unwrap_or_else(PoisonError::into_inner);
        in_clear.get_or_insert_with(|| location.to_string());
        return;
    };
    ANY_ENCRYPTED.store(true, Ordering::Relaxed);
    if let Some(reason) = state.remember(location, repository) {
        say(&reason);
    }
    let newest = keys.chain().newest();
    let admin = keys.admin().to_owned();
    let is_typed = KEYS.get().is_some_and(|keyring| keyring.admin.is_some());
    let pin = Pin {
        admin: admin.clone(),
        seen: newest.number,
        witnesses: BTreeMap::new(),
    };
    say_junk(keys.chain());
    say_gone(location, keys.chain());
    match state.keep_pin(&newest.repository, &pin) {
        Ok(false) => {}
        Ok(true) if is_typed => {}
        Ok(true) if is_made => say(&format!(
            "the administrator's key of repository {} is {admin}: compare it with what other machines say when they first see the repository, or give it \
             there with --admin-key",
            newest.repository
        )),
        Ok(true) => say(&format!(
            "from now on this machine believes the administrator's key {admin} of repository {}: compare it with what narthex init has said, \
             or give it with --admin-key",
            newest.repository
        )),
        Err(error) => say(&format!(
            "cannot remember whose lists of keys are believed, so that another's would not be noticed: {}",
            error.chain()
        )),
    }
}

/// Refuses to encrypt archives of `from` anew at `location`, where what is there, `to`, is in
/// clear, where nothing is there, or where somebody can read who was taken off the list of keys of
/// `from`.
pub(crate) fn refuse_former(
    from: &Repository,
    location: &Location,
    to: Option<&Repository>,
) -> Result<()> {
    const MAKE: &str =
        "make a repository for those who are left: narthex init --recipient KEY --admin FILE";
    let keys = |repository: &Repository| {
        let keys = repository.keys().map(|keys| keys.chain().clone());
        keys.ok_or_else(|| {
            Error::invalid(format!(
                "expected two encrypted repositories with --re-encrypt, found {} in clear",
                repository.store().describe()
            ))
        })
    };
    let old = keys(from)?;
    let Some(to) = to else {
        let none = format!("there is no repository in {location} yet");
        return Err(Error::not_found(none).advise(MAKE));
    };
    let new = keys(to)?;
    let all = |chain: &KeyChain| -> Vec<Recipient> {
        let lists = chain.documents().iter();
        lists.flat_map(|list| list.recipients.clone()).collect()
    };
    let left = &old.newest().recipients;
    let readers = all(&new);
    let mut former = all(&old).into_iter().filter(|it| !left.contains(it));
    let Some(former) = former.find(|it| readers.contains(it)) else {
        return Ok(());
    };
    Err(Error::refused(format!(
        "{former} was taken off the list of keys of {}, and is, or was, on that of {}",
        from.store().describe(),
        to.store().describe()
    ))
    .advise(MAKE))
}

/// Names the lists of keys that are gone, once.
fn say_gone(location: &Location, chain: &KeyChain) {
    let numbers: Vec<_> = chain
        .gone()
        .iter()
        .map(|(number, _)| number.to_string())
        .collect();
    if numbers.is_empty() || LISTS_GONE.swap(true, Ordering::Relaxed) {
        return;
    }
    say(&format!(
        "lists of keys are gone from {location} that were there (keys/, number {}): somebody has removed them, or shows an older state of the \
         repository; going on with what this machine keeps of them: narthex repair puts them back",
        numbers.join(", ")
    ));
}

/// Names what lies among lists of keys and is none, once.
fn say_junk(chain: &KeyChain) {
    static SAID: Mutex<BTreeSet<(String, ObjectName)>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    for junk in chain.junk().iter().take(MAX_JUNK_SAID) {
        if said.insert((chain.newest().repository.clone(), junk.name.clone())) {
            say(&format!(
                "{} counts for nothing: {}; find out who has written it, and remove it",
                safe_line(junk.name.as_str()),
                junk.why
            ));
        }
    }
}
