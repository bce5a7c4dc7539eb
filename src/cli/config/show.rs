//! What holds, and who says so: the file, the environment, or an option.

use super::Config;
use super::document::Given;
use super::repository::{is_set, scheme, variables};
use super::schema::{Key, REPOSITORY};
use crate::cli::network::without_passwords;
use crate::report::config::ConfigSetting;

/// An option that was typed on this command line: its name and its value, as text.
pub(crate) type Typed = (&'static str, String);

/// Every setting of the configuration, in the order of its lines, and behind them what options and
/// the environment say of repositories beside it.
pub(crate) fn show(config: &Config, typed: &[Typed]) -> Vec<ConfigSetting> {
    let given = config.given.iter();
    let mut settings: Vec<_> = given.map(|given| effective(config, given, typed)).collect();
    for repository in &config.repositories {
        let scheme = scheme(&repository.location);
        if scheme.is_empty() {
            continue;
        }
        for key in REPOSITORY.keys.iter().filter(|key| has_own_option(key)) {
            let name = format!("repository.{}.{}", repository.name, key.name);
            if settings.iter().any(|setting| setting.key == name) {
                continue;
            }
            let said = instead(key, &scheme, typed, |variable| !is_secret(variable));
            settings.extend(said.map(|(value, origin)| ConfigSetting {
                key: name,
                value,
                origin,
                instead_of: None,
            }));
        }
    }
    settings
}

/// Whether an option says the same as the key, and not something in its place.
fn has_own_option(key: &Key) -> bool {
    key.option.strip_prefix("--") == Some(key.name)
}

/// Whether the value of a variable is not shown.
fn is_secret(variable: &str) -> bool {
    ["KEY", "SECRET", "TOKEN"]
        .iter()
        .any(|word| variable.contains(word))
}

fn effective(config: &Config, given: &Given, typed: &[Typed]) -> ConfigSetting {
    let section = given.key.strip_suffix(given.known.name).unwrap_or_default();
    let repository = config
        .repositories
        .iter()
        .find(|repository| section == format!("repository.{}.", repository.name));
    let scheme = repository.map_or_else(String::new, |it| scheme(&it.location));
    match instead(given.known, &scheme, typed, |_| true) {
        Some((value, origin)) => ConfigSetting {
            key: given.key.clone(),
            value,
            origin,
            instead_of: Some(given.place.to_string()),
        },
        None => ConfigSetting {
            key: given.key.clone(),
            value: given.value.clone(),
            origin: given.place.to_string(),
            instead_of: None,
        },
    }
}

/// What an option or the environment says in place of `key`, and which of them.
fn instead(
    key: &Key,
    scheme: &str,
    typed: &[Typed],
    counts: impl Fn(&str) -> bool,
) -> Option<(String, String)> {
    let option = typed.iter().find(|(name, _)| *name == key.option);
    if let Some((name, value)) = option {
        // The environment may have said it to the option.
        let variable = key
            .variables
            .iter()
            .find(|variable| std::env::var(variable).is_ok_and(|said| said == *value));
        let origin = variable.map_or_else(
            || (*name).to_owned(),
            |variable| format!("environment {variable}"),
        );
        let value = if has_own_option(key) {
            shown(value)
        } else {
            NOT_USED.to_owned()
        };
        return Some((value, origin));
    }
    let mut variables = variables(key, scheme);
    let variable = variables.find(|variable| is_set(variable) && counts(variable))?;
    let value = if is_secret(variable) {
        NOT_SHOWN.to_owned()
    } else {
        shown(&std::env::var(variable).unwrap_or_default())
    };
    Some((value, format!("environment {variable}")))
}

/// In place of what others win over with something else.
const NOT_USED: &str = "(not used)";

/// In place of a secret.
const NOT_SHOWN: &str = "(not shown)";

fn shown(value: &str) -> String {
    without_passwords(value).unwrap_or_else(|| value.to_owned())
}
