//! The page about everything that commands print as JSON and CSV, `docs/report-columns.md`, made
//! from [`CHAPTERS`].

use std::fmt::Write as _;

use super::wrap::wrapped;
use super::{CHAPTERS, Described, Field, InJson};

const HEADING: &str = "\
<!-- Made from src/report by a test, which also holds it equal:
NARTHEX_WRITE_REFERENCE=1 cargo test --lib report:: writes it anew. -->

# What commands print as JSON and CSV

Every table that narthex prints, with its columns. Keys are stable: new ones may be
added, none is renamed. Numbers are as they are, in the unit of their column; the unit is left out for words. `null`, in CSV nothing, means not
known or not applicable. CSV has the keys as its first line, in this order.

Keys are words in small letters with `_` between them. Every point in time is a number of milliseconds since the Unix epoch (UTC), as in `meta.json` of
Prometheus, and every length of time a number of milliseconds; `jq '.time / 1000 | todate'` makes a date of one. Spans of time do not include their end,
unless it is said.

A command with `--json` prints one document on standard output, however it ends; `narthex dump` prints an object per line. When it cannot do what was
asked, or was asked for something that makes no sense (exit codes 1 and 2), the document has the keys `error`, a sentence; `kind`, which is `corrupt`,
`unsupported`, `not_found`, `already_exists`, `refused`, `invalid`, `io` or `usage`; `causes`, a list of sentences, the root cause last; `advice`, what to do,
where it is known; and `exit_code`. Beside them stands what was found until then, if anything was. Standard error says the same in words.

What a document may look like is said by a JSON schema (draft 2020-12) for each command, in [schema](schema): those of this version, which
deny all other keys. A later version may print more.
";

/// The page, in Markdown.
pub fn reference() -> String {
    let mut page = HEADING.to_owned();
    let mut explained: Vec<(Vec<Field>, String)> = Vec::new();
    for chapter in CHAPTERS {
        let command = chapter.command;
        let _ = writeln!(page, "\n## `narthex {command} --json`\n\n{}", chapter.prose);
        for sheet in (chapter.sheets)() {
            let name = name(sheet);
            let _ = write!(page, "\n### {}\n\n{}", heading(sheet), place(sheet));
            if let Some(option) = chapter.option {
                let _ = write!(page, " `{option} {}` prints it alone.", sheet.name());
            }
            let fields = sheet.fields();
            if let Some((_, first)) = explained.iter().find(|(known, _)| *known == fields) {
                let _ = writeln!(page, " Its keys are those of {first}.");
            } else {
                page.push_str("\n\n");
                keys(&mut page, &fields);
                explained.push((fields, format!("{name} of `narthex {command}`")));
            }
        }
    }
    wrapped(&page)
}

fn heading(sheet: &dyn Described) -> String {
    match sheet.in_json().key() {
        Some(key) => format!("`{key}`: {}", sheet.title()),
        None => sheet.title().to_owned(),
    }
}

/// The sheet in a sentence.
fn name(sheet: &dyn Described) -> String {
    match sheet.in_json().key() {
        Some(key) => format!("`{key}`"),
        None => format!("*{}*", sheet.title()),
    }
}

fn place(sheet: &dyn Described) -> String {
    let row = sheet.row();
    match sheet.in_json() {
        InJson::List(_) => format!("A list with one object for each {row}."),
        InJson::Named(_) => format!("An object with one object for each {row}, by its name."),
        InJson::Object(_) => "One object.".to_owned(),
        InJson::Itself => "The object itself has these keys.".to_owned(),
        InJson::Alone => format!("One object for each {row}."),
        InJson::Nowhere => "For people only: not in JSON.".to_owned(),
    }
}

fn keys(page: &mut String, fields: &[Field]) {
    page.push_str("| key | unit | meaning |\n|---|---|---|\n");
    for field in fields {
        let (key, unit, explanation) = (field.key, field.unit, field.explanation);
        let _ = writeln!(page, "| `{key}` | {unit} | {explanation} |");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unit;

    #[test]
    fn the_page_about_json_keys_is_made_from_the_sheets() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report-columns.md");
        if std::env::var_os("NARTHEX_WRITE_REFERENCE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        let made = reference();
        let difference = page
            .lines()
            .zip(made.lines())
            .find(|(is, ought)| is != ought);
        assert!(
            page == made,
            "docs/report-columns.md is not what src/report says; first difference: {difference:?}\n\
             `NARTHEX_WRITE_REFERENCE=1 cargo test --lib report::` writes it anew; commit it with the change"
        );
    }

    #[test]
    fn every_unit_of_a_column_is_known() {
        for chapter in CHAPTERS {
            for sheet in (chapter.sheets)() {
                for field in sheet.fields() {
                    let name = field.unit.name();
                    let mut known = Unit::ALL.into_iter();
                    assert!(
                        known.any(|unit| unit.name() == name),
                        "{name} is missing in Unit::ALL"
                    );
                }
            }
        }
    }

    #[test]
    fn every_unit_has_a_name_of_its_own() {
        for (i, unit) in Unit::ALL.into_iter().enumerate() {
            assert!(
                Unit::ALL[..i]
                    .iter()
                    .all(|other| other.name() != unit.name()),
                "{unit}"
            );
        }
    }
}
