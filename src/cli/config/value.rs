//! Values of TOML as other things: numbers, lists, commands, and as they are shown.

use toml::de::DeValue;

/// A whole number that fits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let found = value.as_integer()?;
    i64::from_str_radix(found.as_str(), found.radix()).ok()
}

/// A list of texts.
pub(super) fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items
        .map(|item| item.get_ref().as_str().map(str::to_owned))
        .collect()
}

/// A command, given as a text or as a list.
pub(super) fn words_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value.as_str() {
        Some(text) => words(text),
        None => texts(value),
    }
}

/// A text as words, as a shell splits them: quotes and backslashes hold words together. Nothing
/// else of a shell is understood. None where a quote stays open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => word.push(characters.next()?),
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// What a value is, for people.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A value for people, in a line.
pub(super) fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(_) => integer(value).map(|it| it.to_string()).unwrap_or_default(),
        DeValue::Float(float) => float.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| text_of(item.get_ref()));
            items.collect::<Vec<_>>().join(", ")
        }
        DeValue::Table(table) => {
            let entries = table
                .iter()
                .map(|(key, value)| format!("{}={}", key.get_ref(), text_of(value.get_ref())));
            entries.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_split_as_a_shell_splits_them_and_nothing_else_happens() {
        let split = |text: &str| words(text).map(|words| words.join("|"));
        for (text, wanted) in [
            ("pass show narthex", "pass|show|narthex"),
            ("  a   'b c'\td ", "a|b c|d"),
            (r#"a "b \"c\"" \  d\'"#, "a|b \"c\"| |d'"),
            ("a '' b", "a||b"),
            ("a $HOME ; rm -rf * | b", "a|$HOME|;|rm|-rf|*|||b"),
            ("", ""),
        ] {
            assert_eq!(split(text).as_deref(), Some(wanted), "{text}");
        }
        for open in ["a 'b", "a \"b", "a\\"] {
            assert_eq!(split(open), None, "{open}");
        }
    }
}
