//! Which keys there are, once for all: the reader knows no others, and the tables in
//! `docs/configuration.md` are made of them.

mod repository;

pub(crate) use repository::{AWS, AZURE, GOOGLE, PRICES, REPOSITORY};

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// An absolute path.
    Path,
    /// The address of a repository, as `--repo` takes it.
    Place,
    /// Bytes a second.
    Rate,
    /// A whole number.
    Count,
    /// A number of archives, or `unlimited`.
    Keep,
    /// A span of calendar time.
    Span,
    /// A time in hours, days, years.
    Duration,
    /// Money.
    Amount,
    /// Yes or no.
    Flag,
    /// Several texts.
    List,
    /// Texts by names.
    Names,
    /// A program and its arguments.
    Command,
    /// Keys of their own.
    Section,
}

impl Kind {
    /// An example of it, as it is written.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Kind::Text => "\"text\"",
            Kind::Path => "\"/path\"",
            Kind::Place => "\"s3://bucket/prefix\"",
            Kind::Rate => "\"20MiB\"",
            Kind::Count => "10",
            Kind::Keep => "7 or \"unlimited\"",
            Kind::Span => "\"1y6m\"",
            Kind::Duration => "\"30d\"",
            Kind::Amount => "0.005",
            Kind::Flag => "true",
            Kind::List => "[\"text\", \"text\"]",
            Kind::Names => "{ name = \"value\" }",
            Kind::Command => "\"program argument\"",
            Kind::Section => "section",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The option that wins over it; empty where there is none.
    pub(crate) option: &'static str,
    /// The environment variables that win over it, the strongest first.
    pub(crate) variables: &'static [&'static str],
    /// What it says, in Markdown.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the page"))]
    pub(crate) explanation: &'static str,
}

/// A kind of section.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its heading in a file.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the page"))]
    pub(crate) heading: &'static str,
    pub(crate) keys: &'static [Key],
    /// Keys that are refused until narthex can do what they say, and what that is.
    pub(crate) later: &'static [(&'static str, &'static str)],
}

/// A key that would hold a secret, and what to write instead.
pub(crate) struct Secret {
    pub(crate) name: &'static str,
    pub(crate) instead: &'static str,
}

const fn key(name: &'static str, kind: Kind, explanation: &'static str) -> Key {
    Key {
        name,
        kind,
        option: "",
        variables: &[],
        explanation,
    }
}

impl Key {
    const fn option(mut self, option: &'static str) -> Self {
        self.option = option;
        self
    }

    const fn variables(mut self, variables: &'static [&'static str]) -> Self {
        self.variables = variables;
        self
    }
}

/// What stands above all sections.
pub(crate) static TOP: Section = Section {
    heading: "Above all sections",
    keys: &[
        key(
            "default-repository",
            Kind::Text,
            "The name of the repository that is meant where nothing else says one; not needed where there is one only.",
        )
        .option("--repo")
        .variables(&["NARTHEX_REPO"]),
        key(
            "cache-dir",
            Kind::Path,
            "Where what is known of stored packs is remembered.",
        )
        .option("--cache-dir")
        .variables(&["NARTHEX_CACHE_DIR"]),
        key(
            "state-dir",
            Kind::Path,
            "Where it is remembered which repository lies where.",
        )
        .option("--state-dir")
        .variables(&["NARTHEX_STATE_DIR", "STATE_DIRECTORY"]),
        key("repository", Kind::Section, "The sections `[repository.NAME]`."),
        key("source", Kind::Section, "The sections `[source.NAME]`."),
    ],
    later: &[],
};

/// Keys of `[source.NAME]`.
pub(crate) static SOURCE: Section = Section {
    heading: "`[source.NAME]`",
    keys: &[
        key(
            "path",
            Kind::Path,
            "What `narthex backup NAME` backs up: a data directory, a snapshot, or a block.",
        ),
        key(
            "repository",
            Kind::Text,
            "The name of its repository, for `backup NAME` and for `--source NAME` of commands on archives.",
        )
        .option("--repo")
        .variables(&["NARTHEX_REPO"]),
        key("host", Kind::Text, "The machine it belongs to.").option("--host"),
        key(
            "labels",
            Kind::Names,
            "What else archives are known by. A `--label` wins over the one of its name.",
        )
        .option("--label"),
        key(
            "codec",
            Kind::Text,
            "How new blocks are stored: `\"dense\"` or `\"portable\"`.",
        )
        .option("--codec"),
        key(
            "level",
            Kind::Count,
            "Level of zstd for what is stored portable, 1 to 22.",
        )
        .option("--level"),
        key("no-wal", Kind::Flag, "Leave out WAL and WBL.").option("--no-wal"),
        key(
            "follow-links",
            Kind::Flag,
            "Follow symbolic links inside blocks and logs.",
        )
        .option("--follow-links"),
        key(
            "no-create",
            Kind::Flag,
            "Make no repository where there is none.",
        )
        .option("--no-create"),
        key(
            "keep-last",
            Kind::Keep,
            "What `narthex forget --source NAME` keeps: the newest archives.",
        )
        .option(KEEP),
        key("keep-hourly", Kind::Keep, "… the newest of each hour.").option(KEEP),
        key("keep-daily", Kind::Keep, "… of each day.").option(KEEP),
        key("keep-weekly", Kind::Keep, "… of each ISO week.").option(KEEP),
        key("keep-monthly", Kind::Keep, "… of each month.").option(KEEP),
        key("keep-yearly", Kind::Keep, "… of each year.").option(KEEP),
        key(
            "keep-within",
            Kind::Span,
            "… all that are at most so much older than the newest.",
        )
        .option(KEEP),
    ],
    later: &[("repositories", "one backup into several repositories")],
};

/// Any of these, and the policy of a source is not used.
const KEEP: &str = "any --keep-…";

/// What people write who mean to put a secret into the file.
pub(crate) const SECRETS: &[Secret] = &[
    Secret {
        name: "secret-access-key",
        instead: "name a file with secret-access-key-file, or a program that prints it with secret-access-key-command",
    },
    Secret {
        name: "session-token",
        instead: "name a file with session-token-file, or a program that prints it with session-token-command",
    },
    Secret {
        name: "account-key",
        instead: "name a file with account-key-file, or a program that prints it with account-key-command",
    },
    Secret {
        name: "sas-token",
        instead: "name a file with sas-token-file, or a program that prints it with sas-token-command",
    },
    Secret {
        name: "service-account",
        instead: "name the file with service-account-file",
    },
    Secret {
        name: "identity",
        instead: "name a file with identity-file, or a program that prints it with identity-command",
    },
    Secret {
        name: "signing-key",
        instead: "name a file with signing-key-file, or a program that prints it with signing-key-command",
    },
    Secret {
        name: "password",
        instead: "name a file with the key that ends in -file, or a program that prints it with the one that ends in -command",
    },
    Secret {
        name: "passphrase",
        instead: "narthex has keys in place of passphrases: identity-file, or identity-command",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    const SECTIONS: [&Section; 4] = [&TOP, &REPOSITORY, &PRICES, &SOURCE];

    fn tables() -> String {
        let mut text = String::new();
        for section in SECTIONS {
            let keys = section.keys.iter().filter(|key| key.kind != Kind::Section);
            let _ = write!(
                text,
                "### {}\n\n| key | value | what it says | what wins over it |\n|---|---|---|---|\n",
                section.heading
            );
            for key in keys {
                let option = (!key.option.is_empty()).then_some(key.option).into_iter();
                let winners: Vec<_> = option
                    .chain(key.variables.iter().copied())
                    .map(|it| format!("`{it}`"))
                    .collect();
                let _ = writeln!(
                    text,
                    "| `{}` | `{}` | {} | {} |",
                    key.name,
                    key.kind.example(),
                    key.explanation,
                    winners.join(", ")
                );
            }
            text.push('\n');
        }
        text
    }

    #[test]
    fn the_tables_of_the_page_are_made_of_the_keys() {
        const BEGIN: &str = "<!-- The tables are made from src/cli/config/schema. -->\n\n";
        const END: &str = "<!-- The end of the tables. -->\n";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (is, after) = rest.split_once(END).unwrap();
        let made = tables();
        if std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
            return;
        }
        assert!(
            is == made,
            "docs/configuration.md is not what src/cli/config/schema says: \
             `NARTHEX_WRITE_REFERENCE=1 cargo test --lib config::` writes it anew"
        );
    }

    #[test]
    fn no_key_is_said_twice_and_none_would_hold_a_secret() {
        for section in SECTIONS {
            let mut names = BTreeSet::new();
            for key in section.keys {
                assert!(names.insert(key.name), "{}", key.name);
                assert!(key.explanation.ends_with(['.', ':']), "{}", key.name);
            }
            for (later, _) in section.later {
                assert!(names.insert(later), "{later}");
            }
            for secret in SECRETS {
                assert!(!names.contains(secret.name), "{}", secret.name);
            }
        }
    }
}
