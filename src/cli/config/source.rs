//! A source of a configuration: what is backed up, how, and for how long it is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::document::{At, Place, Section};
use super::schema::SOURCE;
use crate::error::{Error, Result};
use crate::retain::{CalendarSpan, Keep, Policy};

/// What `[source.NAME]` says.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) path: Option<At<PathBuf>>,
    pub(crate) repository: Option<At<String>>,
    pub(crate) host: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) codec: Option<At<String>>,
    pub(crate) level: Option<i32>,
    pub(crate) no_wal: bool,
    pub(crate) follow_links: bool,
    pub(crate) no_create: bool,
    /// What is kept, and where the first word of that stands.
    pub(crate) policy: Option<At<Policy>>,
}

impl Source {
    /// What the section says. Faults are remembered. `codecs` are those that are known.
    pub(super) fn read(name: &str, section: &Section<'_, '_>, codecs: &[&str]) -> Self {
        if name.trim().is_empty() || name.contains('/') || name.starts_with('.') {
            section.fault(
                &section.place,
                "",
                "expected a name without /, which does not begin with a dot",
            );
        }
        let codec = section.parsed("codec", |text| parse_codec(text, codecs));
        let labels = section.names("labels");
        if let Some(labels) = &labels
            && labels.value.contains_key("")
        {
            section.fault(
                &labels.place,
                "labels",
                "expected names, found an empty one",
            );
        }
        let flag = |name| section.flag(name).is_some_and(|flag| flag.value);
        let level = section.integer("level", 1..=22);
        Source {
            name: name.to_owned(),
            place: section.place.clone(),
            path: section.path("path"),
            repository: section.text("repository"),
            host: section.text("host").map(|host| host.value),
            labels: labels.map(|labels| labels.value).unwrap_or_default(),
            codec,
            level: level.and_then(|level| level.value.try_into().ok()),
            no_wal: flag("no-wal"),
            follow_links: flag("follow-links"),
            no_create: flag("no-create"),
            policy: policy(section),
        }
    }
}

fn parse_codec(text: &str, codecs: &[&str]) -> Result<String> {
    if codecs.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(format!(
        "expected {}, found {text:?}",
        codecs.join(" or ")
    )))
}

fn policy(section: &Section<'_, '_>) -> Option<At<Policy>> {
    let said = section.present(SOURCE.keys);
    let said = said.filter(|(key, _)| key.name.starts_with("keep-"));
    let place = said.map(|(_, place)| place).min()?;
    let keep = |name| {
        let kept = section.number_or_text(name, str::parse::<Keep>);
        kept.map(|kept| kept.value).unwrap_or_default()
    };
    let within = section.parsed("keep-within", str::parse::<CalendarSpan>);
    let policy = Policy {
        last: keep("keep-last"),
        hourly: keep("keep-hourly"),
        daily: keep("keep-daily"),
        weekly: keep("keep-weekly"),
        monthly: keep("keep-monthly"),
        yearly: keep("keep-yearly"),
        within: within.map(|within| within.value),
    };
    if policy.is_empty() {
        section.fault(
            &place,
            "",
            "expected a policy that keeps something, found one that keeps nothing",
        );
        return None;
    }
    Some(At {
        value: policy,
        place,
    })
}

/// A policy as its options.
pub(crate) fn policy_text(policy: &Policy) -> String {
    let words = [
        ("keep-last", policy.last),
        ("keep-hourly", policy.hourly),
        ("keep-daily", policy.daily),
        ("keep-weekly", policy.weekly),
        ("keep-monthly", policy.monthly),
        ("keep-yearly", policy.yearly),
    ];
    let said = words.into_iter().filter(|(_, keep)| *keep != Keep::None);
    let mut said: Vec<_> = said.map(|(word, keep)| format!("{word} {keep}")).collect();
    let within = policy.within.iter();
    said.extend(within.map(|span| format!("keep-within {span}")));
    said.join(", ")
}
