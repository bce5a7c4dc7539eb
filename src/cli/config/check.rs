//! Whether a configuration does what it says, as far as that can be told without doing it.

#[cfg(feature = "encryption")]
use std::collections::BTreeSet;
use std::path::Path;

use super::document::Place;
use super::keys::{is_readable, wrong_in, wrong_recipients};
use super::repository::CredentialValue;
use super::secret::{exposure, program};
use super::{At, Loaded, Repository, Secret, Source};
use crate::block::DataDir;
#[cfg(feature = "encryption")]
use crate::cli::keys::configured_recipients;
use crate::cli::network;
use crate::cli::repo::RepoArgs;
#[cfg(feature = "encryption")]
use crate::crypt::Recipient;
use crate::error::ErrorKind;
use crate::report::config::ConfigFinding;
use crate::repository::is_without_descriptor;
use crate::store::StoreOptions;

/// Everything that is wrong with it, or worth knowing. Stores are asked only where it is wanted to
/// be known whether they answer (`online`), and only if nothing is wrong that would keep commands
/// from asking them.
pub(crate) fn check(loaded: &Loaded, online: bool) -> Vec<ConfigFinding> {
    let mut findings = Findings(Vec::new());
    if let Some(loose) = &loaded.loose {
        findings.add("writable", false, &loaded.config.file, "", loose);
    }
    for fault in &loaded.faults {
        let place = fault.place.to_string();
        findings.add("key", true, &place, &fault.key, &fault.message);
    }
    for repository in &loaded.config.repositories {
        findings.of_repository(repository);
    }
    for source in &loaded.config.sources {
        findings.of_source(source);
    }
    let is_usable = loaded.faults.is_empty();
    if online && is_usable {
        for repository in &loaded.config.repositories {
            let sources = loaded.config.sources.iter().filter(|source| {
                source
                    .repository
                    .as_ref()
                    .map_or(loaded.config.repositories.len() == 1, |named| {
                        named.value == repository.name
                    })
            });
            findings.ask(repository, &sources.collect::<Vec<_>>());
        }
    }
    findings.0
}

/// What is said where the file names other recipients than the repository.
#[cfg(feature = "encryption")]
const OTHER_RECIPIENTS: &str = "these are not the recipients of the repository: what is written is encrypted to those of its own list (narthex key list), \
    and those of the file matter when a repository is made";

struct Findings(Vec<ConfigFinding>);

impl Findings {
    fn add(&mut self, kind: &'static str, is_problem: bool, place: &str, key: &str, detail: &str) {
        let text = str::to_owned;
        self.0.push(ConfigFinding {
            kind,
            is_problem,
            place: text(place),
            key: text(key),
            detail: network::without_passwords(detail).unwrap_or_else(|| text(detail)),
        });
    }

    fn of_repository(&mut self, repository: &Repository) {
        let prefix = format!("repository.{}", repository.name);
        let place = repository.place.to_string();
        if let Some(reason) = repository.without_encryption() {
            self.add("no-encryption", true, &place, &prefix, &reason);
        }
        for credential in &repository.credentials {
            let key = format!("{prefix}.{}", credential.key);
            match &credential.value {
                CredentialValue::Secret(secret) => {
                    self.of_secret(secret, &credential.place, &key);
                }
                CredentialValue::Plain(path) if credential.key.ends_with("-file") => {
                    let secret = Secret::File(path.into());
                    self.of_secret(&secret, &credential.place, &key);
                }
                CredentialValue::Plain(_) => {}
            }
        }
        for (name, secret) in repository.keys.secrets() {
            let way = match secret.value {
                Secret::File(_) => "file",
                Secret::Command(_) => "command",
            };
            let key = format!("{prefix}.{name}-{way}");
            self.of_secret(&secret.value, &secret.place, &key);
            if let Some(wrong) = wrong_in(name, &secret.value) {
                self.add("file", true, &secret.place.to_string(), &key, &wrong);
            }
        }
        let files = [
            ("recipients-file", &repository.keys.recipients_file),
            ("ca-file", &repository.ca_file),
        ];
        for (key, file) in files {
            if let Some(At { value, place }) = file {
                self.of_file(value, place, &format!("{prefix}.{key}"));
            }
        }
        if let Some(At { value, place }) = &repository.keys.recipients_file
            && let Some(wrong) = wrong_recipients(value)
        {
            let key = format!("{prefix}.recipients-file");
            self.add("file", true, &place.to_string(), &key, &wrong);
        }
        if let Some(outvoted) = repository.outvoted() {
            self.add("outvoted", false, &place, &prefix, &outvoted);
        }
        // A file that is missing has been named.
        let options = repository.without_secrets(&StoreOptions::default());
        if let Ok(options) = options
            && let Err(error) = repository.location.store(&options)
        {
            self.add("store", true, &place, &prefix, &error.chain());
        }
    }

    fn of_source(&mut self, source: &Source) {
        let prefix = format!("source.{}", source.name);
        let Some(path) = &source.path else {
            return;
        };
        if let Err(error) = DataDir::scan(&path.value) {
            let key = format!("{prefix}.path");
            self.add(
                "source",
                true,
                &path.place.to_string(),
                &key,
                &error.chain(),
            );
        }
    }

    fn of_secret(&mut self, secret: &Secret, place: &Place, key: &str) {
        match secret {
            Secret::File(path) => {
                self.of_file(path, place, key);
                // What cannot be opened has been named.
                if is_readable(path)
                    && let Err(error) = secret.read()
                {
                    self.add("file", true, &place.to_string(), key, &error.chain());
                }
                if let Some(exposed) = exposure(path) {
                    self.add("exposed-secret", false, &place.to_string(), key, &exposed);
                }
            }
            Secret::Command(words) => {
                let name = words.first().map_or("", String::as_str);
                if program(name).is_none() {
                    let detail = format!("there is no program {name:?}, or it may not be run");
                    self.add("command", true, &place.to_string(), key, &detail);
                }
            }
        }
    }

    fn of_file(&mut self, path: &Path, place: &Place, key: &str) {
        let shown = path.display();
        let wrong = match path.metadata() {
            Ok(metadata) if !metadata.is_file() => Some(format!("{shown} is no file")),
            Ok(_) => std::fs::File::open(path)
                .err()
                .map(|error| format!("cannot open {shown}: {error}")),
            Err(error) => Some(format!("cannot open {shown}: {error}")),
        };
        if let Some(wrong) = wrong {
            self.add("file", true, &place.to_string(), key, &wrong);
        }
    }

    /// Asks whether the repository is there, and opens with the keys that are named, which do there
    /// what they are named for: `sources` are backed up to it.
    fn ask(&mut self, repository: &Repository, sources: &[&Source]) {
        let repo = RepoArgs::at(&repository.location);
        let opened = repo.open_silently();
        // What is not there may be a file with a secret.
        let is_vacant = || {
            repo.store()
                .is_ok_and(|store| is_without_descriptor(&*store))
        };
        let (place, key) = (
            repository.place.to_string(),
            format!("repository.{}", repository.name),
        );
        match opened {
            Ok(parts) => self.of_keys(repository, sources, parts.root()),
            Err(error) if error.kind() == ErrorKind::NotFound && is_vacant() => {
                // Then no backup makes it.
                let is_made = repository.keys.is_empty() && !sources.iter().any(|it| it.no_create);
                self.add("no-repository", !is_made, &place, &key, &error.chain());
            }
            Err(error) => self.add("unreachable", true, &place, &key, &error.chain()),
        }
    }

    /// Whether the keys that are named open what is written there, and may sign.
    #[cfg(feature = "encryption")]
    fn of_keys(
        &mut self,
        repository: &Repository,
        sources: &[&Source],
        opened: &crate::repository::Repository,
    ) {
        let prefix = format!("repository.{}", repository.name);
        let place = repository.place.to_string();
        let Some(keys) = opened.keys() else {
            if !repository.keys.is_empty() {
                let detail = "keys are named, and the repository is not encrypted: whatever is written there is in clear, and unsigned";
                self.add("in-clear", true, &place, &prefix, detail);
            }
            return;
        };
        if let Some(identity) = &repository.keys.identity
            && keys.opens_what_is_written() == Some(false)
        {
            let (place, key) = (identity.place.to_string(), format!("{prefix}.identity"));
            let detail = "the identity is that of no recipient of the repository: it opens nothing that is written from now on";
            self.add("identity", true, &place, &key, detail);
        }
        let (texts, file) = (
            &repository.keys.recipients,
            &repository.keys.recipients_file,
        );
        let places = texts.iter().map(|it| ("recipients", &it.place));
        let mut places = places.chain(file.iter().map(|it| ("recipients-file", &it.place)));
        if let Some((key, place)) = places.next()
            && let Ok(named) = configured_recipients(&repository.location)
        {
            let named: BTreeSet<_> = named.iter().map(Recipient::to_string).collect();
            let newest = keys.chain().newest().recipients.iter();
            if named != newest.map(Recipient::to_string).collect() {
                let (place, key) = (place.to_string(), format!("{prefix}.{key}"));
                self.add("recipients", false, &place, &key, OTHER_RECIPIENTS);
            }
        }
        for source in sources {
            if let Err(error) = keys.refuse_unheard(&source.name) {
                let place = source.place.to_string();
                let key = format!("source.{}", source.name);
                self.add("signing-key", true, &place, &key, &error.chain());
            }
        }
    }

    #[cfg(not(feature = "encryption"))]
    #[expect(clippy::unused_self, reason = "with encryption there may be findings")]
    fn of_keys(
        &mut self,
        _repository: &Repository,
        _sources: &[&Source],
        _opened: &crate::repository::Repository,
    ) {
    }
}
