//! A configuration file as sections of keys: every value knows its line, and whatever is wrong is
//! collected, so that one look names all of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{Key, Kind, SECRETS, Section as Schema};
use super::value::{integer, kind_of, text_of, texts, words_of};
use crate::cli::network::without_passwords;
use crate::error::{Result, nearest};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// Something that a file must not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    /// The key with its sections, as `repository.main.url`; empty for what is no TOML.
    pub(crate) key: String,
    pub(crate) message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.key {
            "" => write!(f, "{}: {}", self.place, self.message),
            key => write!(f, "{}: {key}: {}", self.place, self.message),
        }
    }
}

/// A key that a file gives, as it is shown: never a secret.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) place: Place,
    /// The key in its section.
    pub(crate) known: &'static Key,
}

/// What is read of one file.
pub(super) struct Document<'t> {
    text: &'t str,
    file: Arc<str>,
    faults: RefCell<Vec<Fault>>,
    given: RefCell<Vec<Given>>,
}

impl<'t> Document<'t> {
    pub(super) fn new(text: &'t str, file: &str) -> Self {
        Document {
            text,
            file: file.into(),
            faults: RefCell::default(),
            given: RefCell::default(),
        }
    }

    /// The table of all; none where it is no TOML, which is a fault.
    pub(super) fn table(&self) -> Option<DeTable<'t>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table.into_inner()),
            Err(error) => {
                // The line itself is not repeated: a secret may stand in it.
                let place = self.place(error.span().unwrap_or_default());
                self.fault(place, "", format!("not TOML: {}", error.message()));
                None
            }
        }
    }

    pub(super) fn fault(&self, place: Place, key: &str, message: impl Into<String>) {
        self.faults.borrow_mut().push(Fault {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.as_bytes().iter().take(span.start);
        Place {
            file: Arc::clone(&self.file),
            line: before.filter(|byte| **byte == b'\n').count() + 1,
        }
    }

    /// What was given and what is wrong, both in the order of lines.
    pub(super) fn into_parts(self) -> (Vec<Given>, Vec<Fault>) {
        let mut given = self.given.into_inner();
        given.sort_by_key(|given| given.place.line);
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.place.line);
        (given, faults)
    }
}

/// A table of a document, of which it is known which keys it may have.
pub(super) struct Section<'d, 't> {
    document: &'d Document<'t>,
    /// What its keys stand behind, as `repository.main.`; empty at the top.
    prefix: String,
    table: &'d DeTable<'t>,
    schema: &'static Schema,
    pub(super) place: Place,
}

impl<'d, 't> Section<'d, 't> {
    /// The section that `table` is; keys that `schema` does not have are faults.
    pub(super) fn new(
        document: &'d Document<'t>,
        prefix: String,
        table: &'d DeTable<'t>,
        span: Range<usize>,
        schema: &'static Schema,
    ) -> Self {
        let section = Section {
            place: document.place(span),
            document,
            prefix,
            table,
            schema,
        };
        for (name, value) in table {
            section.judge(name, value);
        }
        section
    }

    /// Takes a key for what the schema says of it.
    fn judge(&self, name: &Spanned<std::borrow::Cow<'t, str>>, value: &Spanned<DeValue<'t>>) {
        let schema = self.schema;
        let place = self.document.place(name.span());
        let full = format!("{}{}", self.prefix, name.get_ref());
        let name = name.get_ref().as_ref();
        if let Some(key) = schema.keys.iter().find(|key| key.name == name) {
            if key.kind != Kind::Section {
                self.show(&full, key, value.get_ref(), place);
            }
            return;
        }
        let later = schema.later.iter().find(|(later, _)| *later == name);
        let message = if let Some((_, what)) = later {
            format!("{what} needs a later version of narthex; leave the key out until then")
        } else if let Some(secret) = SECRETS.iter().find(|secret| secret.name == name) {
            format!(
                "a secret never stands in the configuration: {}",
                secret.instead
            )
        } else {
            let names = schema.keys.iter().map(|key| key.name);
            let near = nearest(name, names);
            let near = near.map(|near| format!(", and the nearest is {near}"));
            let near = near.unwrap_or_default();
            format!("there is no such key{near}")
        };
        self.document.fault(place, &full, message);
    }

    fn show(&self, full: &str, known: &'static Key, value: &DeValue<'_>, place: Place) {
        let value = match known.kind {
            // Whoever types a secret into a command should at least not see it everywhere.
            Kind::Command => match words_of(value).as_deref() {
                Some([program]) => program.clone(),
                Some([program, ..]) => format!("{program} …"),
                _ => String::new(),
            },
            _ => text_of(value),
        };
        let value = without_passwords(&value).unwrap_or(value);
        self.document.given.borrow_mut().push(Given {
            key: full.to_owned(),
            value,
            place,
            known,
        });
    }

    fn find(&self, name: &str) -> Option<(Place, &'d DeValue<'t>)> {
        let mut entries = self.table.iter();
        let (key, value) = entries.find(|(key, _)| key.get_ref() == name)?;
        Some((self.document.place(key.span()), value.get_ref()))
    }

    /// Says that a key is wrong.
    pub(super) fn fault(&self, place: &Place, name: &str, message: impl Into<String>) {
        let key = format!("{}{name}", self.prefix);
        self.document
            .fault(place.clone(), key.trim_end_matches('.'), message);
    }

    fn expected(&self, place: &Place, name: &str, wanted: &str, found: &DeValue<'_>) {
        let known = self.schema.keys.iter().find(|key| key.name == name);
        let example = known.filter(|key| key.kind != Kind::Section);
        let example = example.map(|key| format!(" such as {}", key.kind.example()));
        self.fault(
            place,
            name,
            format!(
                "expected {wanted}{}, found {}",
                example.unwrap_or_default(),
                kind_of(found)
            ),
        );
    }

    /// What `read` makes of the value of a key. The fault says what was `wanted` where that is
    /// nothing.
    fn read<T>(
        &self,
        name: &str,
        wanted: &str,
        read: impl FnOnce(&'d DeValue<'t>) -> Option<T>,
    ) -> Option<At<T>> {
        let (place, found) = self.find(name)?;
        let value = read(found);
        if value.is_none() {
            self.expected(&place, name, wanted, found);
        }
        Some(At {
            value: value?,
            place,
        })
    }

    /// A text, which is not empty.
    pub(super) fn text(&self, name: &str) -> Option<At<String>> {
        let found = self.read(name, "a text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })?;
        if found.value.trim().is_empty() {
            self.fault(&found.place, name, "expected a text, found an empty one");
            return None;
        }
        Some(found)
    }

    /// A text that `parse` takes.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T>,
    ) -> Option<At<T>> {
        let text = self.text(name)?;
        self.made(name, &text, parse)
    }

    /// A number or a text that `parse` takes.
    pub(super) fn number_or_text<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T>,
    ) -> Option<At<T>> {
        let text = self.read(name, "a number, or a text in quotes", |value| match value {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(_) => Some(integer(value)?.to_string()),
            _ => None,
        })?;
        self.made(name, &text, parse)
    }

    fn made<T>(
        &self,
        name: &str,
        text: &At<String>,
        parse: impl FnOnce(&str) -> Result<T>,
    ) -> Option<At<T>> {
        match parse(&text.value) {
            Ok(value) => Some(At {
                value,
                place: text.place.clone(),
            }),
            Err(error) => {
                let said = error.chain();
                self.fault(&text.place, name, without_passwords(&said).unwrap_or(said));
                None
            }
        }
    }

    /// A path, which is absolute: narthex runs where timers start it.
    pub(super) fn path(&self, name: &str) -> Option<At<PathBuf>> {
        let text = self.text(name)?;
        let path = PathBuf::from(&text.value);
        if !path.is_absolute() {
            let found = &text.value;
            self.fault(
                &text.place,
                name,
                format!("expected a path that begins with /, found {found:?}"),
            );
            return None;
        }
        Some(At {
            value: path,
            place: text.place,
        })
    }

    /// A whole number in `range`.
    pub(super) fn integer(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<At<i64>> {
        let number = self.read(name, "a whole number", integer)?;
        if !range.contains(&number.value) {
            let (least, most) = (range.start(), range.end());
            let found = number.value;
            let wanted = if *most == i64::MAX {
                format!("a whole number from {least}")
            } else {
                format!("a whole number from {least} to {most}")
            };
            self.fault(
                &number.place,
                name,
                format!("expected {wanted}, found {found}"),
            );
            return None;
        }
        Some(number)
    }

    /// An amount of money: a number that is not negative.
    pub(super) fn amount(&self, name: &str) -> Option<At<f64>> {
        let number = self.read(name, "a number", |value| match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_) => Some(integer(value)? as f64),
            _ => None,
        })?;
        if !number.value.is_finite() || number.value < 0.0 {
            let message = format!("expected a price, found {}", number.value);
            self.fault(&number.place, name, message);
            return None;
        }
        Some(number)
    }

    /// Yes or no.
    pub(super) fn flag(&self, name: &str) -> Option<At<bool>> {
        self.read(name, "true or false", DeValue::as_bool)
    }

    /// A list of texts.
    pub(super) fn list(&self, name: &str) -> Option<At<Vec<String>>> {
        self.read(name, "a list of texts", |value| texts(value))
    }

    /// Texts by names.
    pub(super) fn names(&self, name: &str) -> Option<At<BTreeMap<String, String>>> {
        self.read(name, "a table of texts", |value| {
            let mut entries = value.as_table()?.iter();
            entries.try_fold(BTreeMap::new(), |mut all, (key, value)| {
                let name = key.get_ref().to_string();
                all.insert(name, value.get_ref().as_str()?.to_owned());
                Some(all)
            })
        })
    }

    /// A program and its arguments.
    pub(super) fn command(&self, name: &str) -> Option<At<Vec<String>>> {
        let words = self.read(
            name,
            "a command: a text without open quotes, or a list of texts",
            words_of,
        )?;
        match words.value.first() {
            Some(program) if !program.is_empty() => Some(words),
            _ => {
                self.fault(&words.place, name, "expected a command, found nothing");
                None
            }
        }
    }

    /// The sections in the table `name`, by their names.
    pub(super) fn sections(
        &self,
        name: &str,
        schema: &'static Schema,
    ) -> Vec<(String, Section<'d, 't>)> {
        let wanted = format!("sections [{name}.NAME]");
        let Some(table) = self.read(name, &wanted, DeValue::as_table) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (key, value) in table.value {
            let title = format!("{name}.{}", key.get_ref());
            let place = self.document.place(key.span());
            let Some(inner) = value.get_ref().as_table() else {
                let wanted = format!("a section [{title}]");
                self.expected(&place, &title, &wanted, value.get_ref());
                continue;
            };
            let section = Section::new(
                self.document,
                format!("{}{title}.", self.prefix),
                inner,
                key.span(),
                schema,
            );
            found.push((key.get_ref().to_string(), section));
        }
        found
    }

    /// The names of the sections in the table `name`, whatever is in them.
    pub(super) fn names_of(&self, name: &str) -> Vec<String> {
        let mut entries = self.table.iter();
        let found = entries.find(|(key, _)| key.get_ref() == name);
        let table = found.and_then(|(_, value)| value.get_ref().as_table());
        let keys = table.into_iter().flat_map(DeTable::keys);
        keys.map(|key| key.get_ref().to_string()).collect()
    }

    /// The section `name`.
    pub(super) fn section(&self, name: &str, schema: &'static Schema) -> Option<Section<'d, 't>> {
        let mut entries = self.table.iter();
        let (key, value) = entries.find(|(key, _)| key.get_ref() == name)?;
        let Some(inner) = value.get_ref().as_table() else {
            let place = self.document.place(key.span());
            self.expected(&place, name, "a section", value.get_ref());
            return None;
        };
        let prefix = format!("{}{name}.", self.prefix);
        Some(Section::new(
            self.document,
            prefix,
            inner,
            key.span(),
            schema,
        ))
    }

    /// Which of the keys are there.
    pub(super) fn present<'k>(&self, keys: &'k [Key]) -> impl Iterator<Item = (&'k Key, Place)> {
        keys.iter()
            .filter_map(|key| Some((key, self.find(key.name)?.0)))
    }
}
