//! A repository of a configuration: where it is, how it is reached, what it costs.

use std::path::PathBuf;

use super::document::{At, Place, Section};
use super::keys::Keys;
use super::prices::Prices;
use super::schema::{AWS, AZURE, GOOGLE, Key, PRICES, REPOSITORY};
use super::secret::Secret;
use crate::cli::commands::lock::parse_lock;
use crate::error::{Error, Result};
use crate::repository::locks::LockTerms;
use crate::store::{Location, LockMode, StoreOptions};
use crate::units::parse_rate;

/// What `[repository.NAME]` says.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) location: Location,
    endpoint: Option<String>,
    region: Option<String>,
    profile: Option<String>,
    pub(super) ca_file: Option<At<PathBuf>>,
    upload: Option<u64>,
    download: Option<u64>,
    requests: Option<u64>,
    pub(super) credentials: Vec<Credential>,
    pub(crate) keys: Keys,
    pub(crate) prices: Option<Prices>,
    /// For how long what backups need is locked, and how firmly.
    pub(crate) lock: Option<LockTerms>,
}

/// A value that goes to the store under the name of an environment variable.
#[derive(Clone, Debug)]
pub(super) struct Credential {
    /// What keys of it begin with.
    pub(super) key: &'static str,
    variable: &'static str,
    /// Any of these in the environment, and it is not used.
    instead: &'static [&'static str],
    pub(super) value: CredentialValue,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum CredentialValue {
    /// What is no secret: a name, or a path.
    Plain(String),
    Secret(Secret),
}

/// Credentials by the beginnings of their keys: the scheme they are for, the variable they stand
/// for, and what in the environment wins over them.
const CREDENTIALS: &[(&str, &str, &str, &[&str])] = &[
    ("access-key-id", "s3", "AWS_ACCESS_KEY_ID", AWS),
    ("secret-access-key", "s3", "AWS_SECRET_ACCESS_KEY", AWS),
    ("session-token", "s3", "AWS_SESSION_TOKEN", AWS),
    (
        "account",
        "az",
        "AZURE_STORAGE_ACCOUNT_NAME",
        &["AZURE_STORAGE_ACCOUNT_NAME"],
    ),
    ("account-key", "az", "AZURE_STORAGE_ACCOUNT_KEY", AZURE),
    ("sas-token", "az", "AZURE_STORAGE_SAS_TOKEN", AZURE),
];

/// The file of a service account stands for this: it is named, not read.
const SERVICE_ACCOUNT: &str = "service-account-file";
const SERVICE_ACCOUNT_VARIABLE: &str = "GOOGLE_SERVICE_ACCOUNT";

/// For which schemes keys mean something; those that do not stand here mean something for all.
const SCHEMES: &[(&str, &[&str])] = &[
    ("endpoint", &["s3", "gs", "az"]),
    ("region", &["s3"]),
    ("profile", &["s3"]),
    ("ca-file", &["s3", "gs", "az", "https", "http"]),
    ("limit-upload", &["s3", "gs", "az"]),
    ("limit-download", &["s3", "gs", "az"]),
    ("limit-requests", &["s3", "gs", "az"]),
    ("access-key-id", &["s3"]),
    ("secret-access-key", &["s3"]),
    ("session-token", &["s3"]),
    ("account", &["az"]),
    ("sas-token", &["az"]),
    ("service-account", &["gs"]),
    ("prices", &["s3", "gs", "az"]),
    ("lock", &["s3"]),
    ("lock-mode", &["s3"]),
];

impl Repository {
    /// What the section says; none where it does not say where the repository is. Faults are
    /// remembered.
    pub(super) fn read(name: &str, section: &Section<'_, '_>) -> Option<Self> {
        if name.is_empty() || name.contains(['/', ':']) || name.starts_with('.') {
            section.fault(
                &section.place,
                "",
                "expected a name without / and :, which does not begin with a dot",
            );
        }
        let url = section.parsed("url", parse_url);
        let keys = Keys::read(section);
        let lock = lock(section);
        let prices = section.section("prices", &PRICES);
        let prices = prices.and_then(|prices| Prices::read(&prices));
        let credentials = credentials(section);
        let rate = |name| section.parsed(name, parse_rate).map(|rate| rate.value);
        let text = |name| section.text(name).map(|text| text.value);
        let (upload, download) = (rate("limit-upload"), rate("limit-download"));
        let requests = section.integer("limit-requests", 1..=i64::MAX);
        let endpoint = section.parsed("endpoint", parse_endpoint);
        let (region, profile) = (text("region"), text("profile"));
        let ca_file = section.path("ca-file");
        if let (Some(_), Some(credential)) = (&profile, credentials.first()) {
            section.fault(
                &credential.place,
                credential.key,
                "profile says whose credentials they are: one of them",
            );
        }
        let Some(url) = url else {
            if section
                .present(REPOSITORY.keys)
                .all(|(key, _)| key.name != "url")
            {
                section.fault(
                    &section.place,
                    "",
                    "expected the key url, where the repository is, found none",
                );
            }
            return None;
        };
        refuse_idle(section, &url.value);
        Some(Repository {
            name: name.to_owned(),
            place: section.place.clone(),
            location: url.value,
            endpoint: endpoint.map(|endpoint| endpoint.value),
            region,
            profile,
            ca_file,
            upload,
            download,
            requests: requests.and_then(|requests| requests.value.try_into().ok()),
            credentials,
            keys,
            prices,
            lock,
        })
    }

    /// `typed`, completed by what stands here and neither there nor in the environment.
    ///
    /// # Errors
    ///
    /// When a file or a program does not give what it should.
    pub(super) fn complete(&self, typed: &StoreOptions) -> Result<StoreOptions> {
        let mut options = self.without_secrets(typed)?;
        for credential in self.used_credentials(typed) {
            let value = match &credential.value {
                CredentialValue::Plain(value) => value.clone(),
                CredentialValue::Secret(secret) => secret.read().map_err(|error| {
                    let (place, key) = (&credential.place, credential.key);
                    error.context(format!(
                        "{place}: repository.{}: cannot get {key}",
                        self.name
                    ))
                })?,
            };
            options
                .settings
                .0
                .insert(credential.variable.to_owned(), value);
        }
        Ok(options)
    }

    /// The same, but for credentials: no program is run, and no secret read.
    pub(super) fn without_secrets(&self, typed: &StoreOptions) -> Result<StoreOptions> {
        let mut options = typed.clone();
        let or = |typed: &Option<String>, own: &Option<String>, key| {
            let own = own
                .clone()
                .filter(|_| winner(key, &self.location).is_none());
            typed.clone().or(own)
        };
        options.endpoint = or(&typed.endpoint, &self.endpoint, "endpoint");
        options.region = or(&typed.region, &self.region, "region");
        options.profile = or(&typed.profile, &self.profile, "profile");
        if let (None, Some(file)) = (&options.ca, &self.ca_file) {
            let pem = std::fs::read(&file.value);
            let pem = pem.map_err(|e| {
                Error::io("read", &file.value, e).context(format!("{}: ca-file", file.place))
            })?;
            options.ca = Some(pem);
        }
        let limits = &mut options.limits;
        limits.upload = limits.upload.or(self.upload);
        limits.download = limits.download.or(self.download);
        limits.requests = limits.requests.or(self.requests);
        Ok(options)
    }

    /// The credentials that neither an option nor the environment says instead.
    fn used_credentials(&self, typed: &StoreOptions) -> impl Iterator<Item = &Credential> {
        let is_named = typed.profile.is_some();
        let credentials = self.credentials.iter();
        credentials.filter(move |it| !is_named && it.winner().is_none())
    }

    /// That credentials stand here and others in the environment, which win, as a sentence.
    pub(super) fn outvoted(&self) -> Option<String> {
        let mut credentials = self.credentials.iter();
        let (credential, variable) = credentials.find_map(|it| Some((it, it.winner()?)))?;
        Some(format!(
            "credentials of repository {} come from {variable} of the environment, not from {}",
            self.name, credential.place
        ))
    }
}

impl Credential {
    fn winner(&self) -> Option<&'static str> {
        self.instead.iter().copied().find(|name| is_set(name))
    }
}

/// Whether the environment says something under `name`.
pub(super) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The variable in the environment that wins over `key` for a repository at `location`.
pub(super) fn winner(key: &str, location: &Location) -> Option<&'static str> {
    let key = REPOSITORY.keys.iter().find(|known| known.name == key)?;
    variables(key, &scheme(location)).find(|name| is_set(name))
}

/// The variables that win over `key`, those of other vendors apart.
pub(super) fn variables(key: &Key, scheme: &str) -> impl Iterator<Item = &'static str> {
    let others: Vec<_> = [("AWS_", "s3"), ("AZURE_", "az"), ("GOOGLE_", "gs")]
        .into_iter()
        .filter(|(_, of)| *of != scheme)
        .collect();
    let variables = key.variables.iter().copied();
    variables.filter(move |name| others.iter().all(|(vendor, _)| !name.starts_with(vendor)))
}

/// What the address of `location` begins with; empty for a directory.
pub(super) fn scheme(location: &Location) -> String {
    let text = location.to_string();
    match text.split_once("://") {
        Some((scheme, _)) if location.dir().is_none() => scheme.to_owned(),
        _ => String::new(),
    }
}

/// The time is read where there is one; how firmly, goes with it.
fn lock(section: &Section<'_, '_>) -> Option<LockTerms> {
    let time = section.parsed("lock", parse_lock);
    let mode = section.parsed("lock-mode", str::parse::<LockMode>);
    if let (None, Some(mode)) = (&time, &mode) {
        section.fault(
            &mode.place,
            "lock-mode",
            "expected lock beside it, for how long, found none",
        );
    }
    Some(LockTerms {
        time: time?.value,
        mode: mode.map(|mode| mode.value).unwrap_or_default(),
    })
}

fn parse_url(text: &str) -> Result<Location> {
    refuse_password(text)?;
    let location: Location = text.parse()?;
    match location.dir() {
        Some(dir) if !dir.is_absolute() => Err(Error::invalid(format!(
            "expected a path that begins with /, or a URL, found {text:?}"
        ))),
        _ => Ok(location),
    }
}

fn parse_endpoint(text: &str) -> Result<String> {
    refuse_password(text)?;
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    if rest.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
        return Err(Error::invalid(format!(
            "expected a URL such as https://s3.example.org, found {text:?}"
        )));
    }
    Ok(text.to_owned())
}

/// A password in an address would be a secret in the file.
fn refuse_password(text: &str) -> Result<()> {
    if crate::cli::network::without_passwords(text).is_some() {
        return Err(Error::refused(
            "a secret never stands in the configuration: expected an address without a password",
        ));
    }
    Ok(())
}

fn credentials(section: &Section<'_, '_>) -> Vec<Credential> {
    let mut found = Vec::new();
    for (key, _, variable, instead) in CREDENTIALS {
        let names = [format!("{key}-file"), format!("{key}-command")];
        let is_known = |name: &str| REPOSITORY.keys.iter().any(|known| known.name == name);
        let [file, command] = &names;
        let plain = is_known(key).then(|| section.text(key)).flatten();
        let plain = plain.map(|at| (CredentialValue::Plain(at.value), at.place));
        let secret = is_known(file)
            .then(|| Secret::of(section, file, command))
            .flatten();
        let secret = secret.map(|at| (CredentialValue::Secret(at.value), at.place));
        if let (Some(_), Some((_, place))) = (&plain, &secret) {
            section.fault(place, key, "it is said twice: one of them");
        }
        found.extend(plain.or(secret).map(|(value, place)| Credential {
            key,
            variable,
            instead,
            value,
            place,
        }));
    }
    if let Some(path) = section.path(SERVICE_ACCOUNT) {
        found.push(Credential {
            key: SERVICE_ACCOUNT,
            variable: SERVICE_ACCOUNT_VARIABLE,
            instead: GOOGLE,
            value: CredentialValue::Plain(path.value.display().to_string()),
            place: path.place,
        });
    }
    refuse_halves(section, &found);
    found
}

/// Half a pair of keys is none, and the other half would come from somewhere else.
fn refuse_halves(section: &Section<'_, '_>, found: &[Credential]) {
    let find = |key: &str| found.iter().find(|credential| credential.key == key);
    let (id, secret) = (find("access-key-id"), find("secret-access-key"));
    for (one, other, lacking) in [
        (
            id,
            secret,
            "secret-access-key-file or secret-access-key-command",
        ),
        (secret, id, "access-key-id"),
        (find("session-token"), id, "access-key-id"),
    ] {
        if let (Some(one), None) = (one, other) {
            section.fault(
                &one.place,
                one.key,
                format!("expected {lacking} beside it, found none"),
            );
        }
    }
}

/// Refuses what changes nothing for the place of the repository.
fn refuse_idle(section: &Section<'_, '_>, location: &Location) {
    let scheme = scheme(location);
    for (key, place) in section.present(REPOSITORY.keys) {
        let rule = SCHEMES.iter().find(|(begin, _)| {
            let rest = key.name.strip_prefix(begin);
            rest.is_some_and(|rest| {
                ["", "-file", "-command", "-key-file", "-key-command"].contains(&rest)
            })
        });
        if let Some((_, schemes)) = rule
            && !schemes.contains(&&*scheme)
        {
            let known: Vec<_> = schemes.iter().map(|it| format!("{it}://")).collect();
            section.fault(
                &place,
                key.name,
                format!(
                    "it has no effect on {location}: it is for {}",
                    known.join(", ")
                ),
            );
        }
    }
}
