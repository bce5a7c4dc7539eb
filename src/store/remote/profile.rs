//! The shared files of AWS' tools: `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Keys by which a profile says that its credentials come from elsewhere.
const OTHER_WAYS: [&str; 5] = [
    "credential_process",
    "role_arn",
    "source_profile",
    "sso_session",
    "sso_start_url",
];

/// What the files say of one profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub name: String,
    /// The files that name it, for people.
    pub place: String,
    pub keys: Option<Keys>,
    /// A key that says how to come by credentials in a way that is not known here.
    pub unknown: Option<&'static str>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// Keys of a profile. Does not print its secrets.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

type Sections = BTreeMap<String, BTreeMap<String, String>>;

impl Profile {
    /// The profile called `name`, else the one that `AWS_PROFILE` names, else `default`; `None`
    /// when nobody named it and no file has it.
    pub(super) fn read(name: Option<&str>) -> Result<Option<Self>> {
        let asked = name
            .map(str::to_owned)
            .or_else(|| env::var("AWS_PROFILE").ok());
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let path = |variable: &str, file: &str| {
            env::var_os(variable).map_or_else(|| home.join(".aws").join(file), PathBuf::from)
        };
        let credentials = path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let config = path("AWS_CONFIG_FILE", "config");
        let place = format!("{} and {}", credentials.display(), config.display());
        let wanted = asked.clone().unwrap_or_else(|| "default".to_owned());
        let found = find(
            &wanted,
            &read(&credentials)?,
            &read(&config)?,
            place.clone(),
        );
        // Whoever wrote them means other credentials than those of this machine.
        if let Some(key) = found.as_ref().and_then(|found| found.unknown) {
            return Err(Error::invalid(format!(
                "expected aws_access_key_id and aws_secret_access_key for profile {wanted} in {place}, found {key}, which is not read: \
                 put keys into the environment, say with aws configure export-credentials --format env"
            )));
        }
        match (found, asked) {
            (None, Some(asked)) => Err(Error::invalid(format!(
                "expected profile {asked} in {place}, found none of that name"
            ))),
            (found, _) => Ok(found),
        }
    }
}

fn find(name: &str, credentials: &Sections, config: &Sections, place: String) -> Option<Profile> {
    let secret = credentials.get(name);
    let other = config
        .get(&format!("profile {name}"))
        .or_else(|| config.get(name));
    if secret.is_none() && other.is_none() {
        return None;
    }
    let value = |key: &str| {
        let mut places = [secret, other].into_iter().flatten();
        places.find_map(|section| section.get(key)).cloned()
    };
    let keys = match (value("aws_access_key_id"), value("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Some(Keys {
            id,
            secret,
            token: value("aws_session_token"),
        }),
        _ => None,
    };
    let mut ways = OTHER_WAYS.into_iter();
    Some(Profile {
        name: name.to_owned(),
        place,
        unknown: ways.find(|key| keys.is_none() && value(key).is_some()),
        keys,
        region: value("region"),
        endpoint: value("endpoint_url"),
    })
}

fn read(path: &Path) -> Result<Sections> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.len() <= MAX_BYTES => {}
        Ok(_) => {
            return Err(Error::invalid(format!(
                "expected {} to be a file of at most {MAX_BYTES} bytes",
                path.display()
            )));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Sections::new()),
        Err(e) => return Err(Error::io("read", path, e)),
    }
    let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    Ok(parse(&text))
}

/// Sections in brackets with `key = value` below them; nested keys, which are indented, are left
/// out.
fn parse(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|it| it.strip_suffix(']'))
        {
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            sections.entry(name.clone()).or_default();
            current = Some(name);
        } else if !line.starts_with([' ', '\t'])
            && let Some((key, value)) = trimmed.split_once('=')
            && let Some(section) = current.as_ref().and_then(|name| sections.get_mut(name))
        {
            section.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
# a comment
[default]
aws_access_key_id = A
aws_secret_access_key=S+=
[other]
aws_access_key_id = B
";
    const CONFIG: &str = "\
[default]
region = eu-central-1
[profile  box]
endpoint_url = https://box.example.org
s3 =
  max_concurrent_requests = 20
[profile sso]
sso_session = work
";

    #[test]
    fn a_profile_is_put_together_from_both_files() {
        let (credentials, config) = (parse(CREDENTIALS), parse(CONFIG));
        let of = |name: &str| find(name, &credentials, &config, String::new());
        let default = of("default").unwrap();
        assert_eq!(default.region.as_deref(), Some("eu-central-1"));
        let keys = default.keys.unwrap();
        assert_eq!((&*keys.id, &*keys.secret), ("A", "S+="));
        assert!(!format!("{keys:?}").contains("S+="));
        // Half a pair of keys is none.
        assert_eq!(of("other").unwrap().keys, None);
        let endpoint = of("box").unwrap().endpoint;
        assert_eq!(endpoint.as_deref(), Some("https://box.example.org"));
        assert_eq!(of("box").unwrap().unknown, None);
        assert_eq!(of("sso").unwrap().unknown, Some("sso_session"));
        assert_eq!(of("nobody"), None);
    }
}
