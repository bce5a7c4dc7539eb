//! PromQL's blanks, words, strings and match operators, for everybody who reads PromQL.
//!
//! Source: Prometheus `promql/parser/lex.go` and `util/strutil/quote.go`.

use std::fmt::Write as _;

/// How text is read that Prometheus refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It is refused, as in Prometheus.
    Strict,
    /// Strings may hold line breaks and unknown escape sequences, which stand for themselves; every
    /// space of Unicode is blank. For rules and dashboards as people have them: what is refused
    /// is not counted as used.
    Lenient,
}

/// An operator between a label and the value it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchOperator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

impl MatchOperator {
    /// The longer ones first: `=` begins `=~`.
    const ALL: [MatchOperator; 4] = [
        MatchOperator::Matches,
        MatchOperator::MatchesNot,
        MatchOperator::NotEqual,
        MatchOperator::Equal,
    ];

    /// The operator as it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            MatchOperator::Equal => "=",
            MatchOperator::NotEqual => "!=",
            MatchOperator::Matches => "=~",
            MatchOperator::MatchesNot => "!~",
        }
    }
}

/// Part of a text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text that stands for itself. Bytes, because an escape sequence can make any.
    Text(Vec<u8>),
    /// The name of a variable.
    Variable(String),
}

/// Why a string is none. The scanner stands where it was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StringFault {
    /// Its closing quote, which is this one, is missing.
    Unclosed(char),
    /// What follows a backslash is no escape sequence.
    Escape,
}

/// A text of PromQL, and the place in it that has been read to.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    manner: Manner,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, manner: Manner) -> Self {
        Scanner {
            text,
            at: 0,
            manner,
        }
    }

    /// Byte position in the text.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Reads one character.
    pub(crate) fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Reads `token` if it is what follows.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest().starts_with(token);
        if eaten {
            self.at += token.len();
        }
        eaten
    }

    /// Reads up to `bytes` further; to the end if there are not so many or a character would be
    /// cut.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let end = self.at.saturating_add(bytes);
        self.at = if self.text.is_char_boundary(end) {
            end
        } else {
            self.text.len()
        };
    }

    /// Reads spaces and comments.
    pub(crate) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\n' | '\r') => self.skip(1),
                Some(c) if self.manner == Manner::Lenient && c.is_whitespace() => {
                    self.skip(c.len_utf8());
                }
                Some('#') => {
                    let rest = self.rest();
                    self.skip(rest.find('\n').unwrap_or(rest.len()));
                }
                _ => return,
            }
        }
    }

    /// Reads letters, digits and underscores of ASCII, and colons if they are allowed, that do not
    /// begin with a digit.
    pub(crate) fn identifier(&mut self, colons: bool) -> Option<&'a str> {
        let rest = self.rest();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || colons && c == ':';
        let end = rest.find(|c| !legal(c)).unwrap_or(rest.len());
        let identifier = rest.get(..end)?;
        if identifier.chars().next()?.is_ascii_digit() {
            return None;
        }
        self.skip(end);
        Some(identifier)
    }

    /// Reads a match operator. The first `=` of `==` is one.
    pub(crate) fn match_operator(&mut self) -> Option<MatchOperator> {
        let mut operators = MatchOperator::ALL.into_iter();
        operators.find(|operator| self.eat(operator.as_str()))
    }

    /// Whether a string follows.
    pub(crate) fn is_at_string(&self) -> bool {
        matches!(self.peek(), Some('"' | '\'' | '`'))
    }

    /// Reads a string in double, single or back quotes; only in the last there are no escape
    /// sequences. `variable` reads the variable that follows, if one does. No text between two
    /// variables, or before the first one, is an empty [`Part::Text`].
    ///
    /// # Errors
    ///
    /// When there is no whole string. Nothing is read where none begins: ask
    /// [`Scanner::is_at_string`].
    pub(crate) fn string(
        &mut self,
        mut variable: impl FnMut(&mut Self) -> Option<String>,
    ) -> Result<Vec<Part>, StringFault> {
        let quote = self.bump().unwrap_or('"');
        let mut parts = Vec::new();
        let mut text = Vec::new();
        loop {
            if let Some(name) = variable(self) {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Variable(name));
                continue;
            }
            let breaks = self.peek() == Some('\n') && quote != '`';
            if breaks && self.manner == Manner::Strict {
                return Err(StringFault::Unclosed(quote));
            }
            match self.bump() {
                None => return Err(StringFault::Unclosed(quote)),
                Some(c) if c == quote => break,
                Some('\\') if quote != '`' => self.escape(quote, &mut text)?,
                Some(c) => push(&mut text, c),
            }
        }
        parts.push(Part::Text(text));
        Ok(parts)
    }

    /// Reads what follows a backslash. Octal and `\x` sequences make bytes, `\u` and `\U`
    /// characters.
    fn escape(&mut self, quote: char, text: &mut Vec<u8>) -> Result<(), StringFault> {
        let lenient = self.manner == Manner::Lenient;
        let simple = match self.peek() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some('"') if quote == '"' || lenient => b'"',
            Some('\'') if quote == '\'' || lenient => b'\'',
            Some('0'..='7') => {
                let byte = self.number(0, 3, 8);
                let byte = byte.and_then(|byte| u8::try_from(byte).ok());
                text.push(byte.ok_or(StringFault::Escape)?);
                self.skip(3);
                return Ok(());
            }
            Some('x') => {
                let byte = self.number(1, 2, 16);
                let byte = byte.and_then(|byte| u8::try_from(byte).ok());
                text.push(byte.ok_or(StringFault::Escape)?);
                self.skip(3);
                return Ok(());
            }
            Some(kind @ ('u' | 'U')) => {
                let digits = if kind == 'u' { 4 } else { 8 };
                let character = self.number(1, digits, 16).and_then(char::from_u32);
                push(text, character.ok_or(StringFault::Escape)?);
                self.skip(1 + digits);
                return Ok(());
            }
            Some(c) if lenient => {
                text.push(b'\\');
                push(text, c);
                self.skip(c.len_utf8());
                return Ok(());
            }
            None if lenient => return Err(StringFault::Unclosed(quote)),
            _ => return Err(StringFault::Escape),
        };
        self.skip(1);
        text.push(simple);
        Ok(())
    }

    /// The number of exactly `count` digits that stands `ahead` bytes from here.
    fn number(&self, ahead: usize, count: usize, radix: u32) -> Option<u32> {
        let digits = self.rest().get(ahead..)?.get(..count)?;
        // A parser of numbers would take a sign.
        let plain = digits.chars().all(|c| c.is_digit(radix));
        plain.then(|| u32::from_str_radix(digits, radix).ok())?
    }
}

fn push(text: &mut Vec<u8>, c: char) {
    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// `text` as a string of PromQL in double quotes, which [`Scanner::string`] reads as `text`.
pub(crate) fn quoted(text: &[u8]) -> String {
    let mut string = String::from('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => string.push_str("\\\\"),
                '"' => string.push_str("\\\""),
                '\n' => string.push_str("\\n"),
                c if c.is_control() => {
                    let _ = write!(string, "\\u{:04x}", u32::from(c));
                }
                c => string.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(string, "\\x{byte:02x}");
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn string(text: &str, manner: Manner) -> Result<Vec<u8>, StringFault> {
        let mut scanner = Scanner::new(text, manner);
        let parts = scanner.string(|_| None)?;
        let [Part::Text(value)] = &parts[..] else {
            panic!("{parts:?}");
        };
        Ok(value.clone())
    }

    #[test]
    fn what_prometheus_refuses_is_refused_or_stands_for_itself() {
        for (text, lenient) in [
            (r#""\d""#, Ok(&br"\d"[..])),
            (r#""\8""#, Ok(br"\8")),
            (r#""\'""#, Ok(b"'")),
            (r#"'\"'"#, Ok(b"\"")),
            ("\"a\nb\"", Ok(b"a\nb")),
            ("\"\\\n\"", Ok(b"\\\n")),
            (r#""\400""#, Err(StringFault::Escape)),
            (r#""\ud800""#, Err(StringFault::Escape)),
            (r#""\x+1""#, Err(StringFault::Escape)),
            (r#""\x1""#, Err(StringFault::Escape)),
            (r#""\"#, Err(StringFault::Unclosed('"'))),
            (r#""\xé""#, Err(StringFault::Escape)),
        ] {
            assert!(string(text, Manner::Strict).is_err(), "{text}");
            assert_eq!(
                string(text, Manner::Lenient),
                lenient.map(<[u8]>::to_vec),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_they_were_quoted(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            for manner in [Manner::Strict, Manner::Lenient] {
                prop_assert_eq!(string(&quoted(&text), manner), Ok(text.clone()));
            }
        }

        #[test]
        fn what_the_strict_manner_reads_the_lenient_one_reads_alike(text in "[\"'`]([a-z0-9\\\\\"'` é\n]|\\\\[xuU0-7abfnrtv\\\\]){0,9}[\"'`]") {
            if let Ok(value) = string(&text, Manner::Strict) {
                prop_assert_eq!(string(&text, Manner::Lenient), Ok(value));
            }
        }
    }
}
