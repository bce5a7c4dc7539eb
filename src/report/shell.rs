//! Words of commands that a person may paste into a shell.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::value::is_treacherous;

/// `text` as one word of a shell command. Characters that a terminal might obey are written as
/// bash, zsh and POSIX of 2024 escape them.
pub(crate) fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        Cow::Borrowed(text)
    } else if text.contains(is_treacherous) {
        let mut word = "$'".to_owned();
        for c in text.chars() {
            match c {
                '\'' | '\\' => word.extend(['\\', c]),
                c if is_treacherous(c) => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        // Three digits end the escape, whatever comes behind it.
                        let _ = write!(word, "\\{byte:03o}");
                    }
                }
                c => word.push(c),
            }
        }
        word.push('\'');
        Cow::Owned(word)
    } else {
        Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(shell_word("/var/lib/prometheus-2"), "/var/lib/prometheus-2");
        assert_eq!(shell_word("my data"), "'my data'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("$HOME"), "'$HOME'");
        assert_eq!(shell_word("a\n2\u{202e}'"), r"$'a\0122\342\200\256\''");
    }
}
