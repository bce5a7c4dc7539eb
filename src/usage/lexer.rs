//! PromQL as tokens, with Grafana's variables wherever they stand.
//!
//! Source: Prometheus `promql/parser/lex.go`; Grafana "Variable syntax".

use super::promql::Refusal;

/// Longest variable, in bytes.
const MAX_VARIABLE: usize = 1000;

/// Part of a text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Variable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word: letters, digits, underscores, colons and variables.
    Word(Vec<Part>),
    /// The content of a string.
    Text(Vec<Part>),
    /// One of `=`, `!=`, `=~`, `!~`.
    Comparison(&'static str),
    Number,
    /// Brackets with all that stands in them.
    Range,
    Sign(char),
}

/// Where an expression has been read to.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Whether variables are understood.
    variables: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, variables: bool) -> Self {
        Lexer {
            text,
            at: 0,
            variables,
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest().starts_with(token);
        if eaten {
            self.at += token.len();
        }
        eaten
    }

    /// The next token; none at the end.
    ///
    /// # Errors
    ///
    /// When the text ends within a string or brackets, or has a wrong escape sequence.
    pub(super) fn next(&mut self) -> Result<Option<Token>, Refusal> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(c) if c.is_whitespace() => {
                    self.bump();
                }
                Some('#') => {
                    let end = self.rest().find('\n').unwrap_or(self.rest().len());
                    self.at += end;
                }
                Some(_) => return self.token().map(Some),
            }
        }
    }

    fn token(&mut self) -> Result<Token, Refusal> {
        if let Some(word) = self.word() {
            return Ok(Token::Word(word));
        }
        for comparison in ["=~", "!~", "!=", "=="] {
            if self.eat(comparison) {
                return Ok(match comparison {
                    "==" => Token::Sign('='),
                    other => Token::Comparison(other),
                });
            }
        }
        if self.eat("=") {
            return Ok(Token::Comparison("="));
        }
        match self.peek() {
            Some(quote @ ('"' | '\'' | '`')) => self.string(quote).map(Token::Text),
            Some('[') => self.range(),
            Some(c) if c.is_ascii_digit() => {
                self.number();
                Ok(Token::Number)
            }
            _ => Ok(Token::Sign(self.bump().unwrap_or(' '))),
        }
    }

    fn number(&mut self) {
        while self
            .peek()
            .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        {
            self.bump();
        }
        // A unit can be a variable: `5$unit`.
        while self.variable().is_some() {}
    }

    fn word(&mut self) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        let mut text = String::new();
        loop {
            if let Some(name) = self.variable() {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Variable(name));
                continue;
            }
            match self.peek() {
                Some(c)
                    if c.is_alphabetic()
                        || matches!(c, '_' | ':')
                        || c.is_numeric() && !(text.is_empty() && parts.is_empty()) =>
                {
                    self.bump();
                    text.push(c);
                }
                _ => break,
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        (!parts.is_empty()).then_some(parts)
    }

    /// `$name`, `${name}`, `${name:format}`, `${name.field}`, `[[name]]`, `[[name:format]]`; `{{ template }}` of Helm and Jinja.
    fn variable(&mut self) -> Option<String> {
        let rest = self.rest();
        if rest.starts_with("{{") {
            let end = find(rest, "}}")?;
            self.at += end + 2;
            return Some(String::new());
        }
        if !self.variables {
            return None;
        }
        let (open, close) = if rest.starts_with("${") {
            ("${", "}")
        } else if rest.starts_with("[[") {
            ("[[", "]]")
        } else if rest.starts_with('$') {
            let name = rest.get(1..)?;
            let end = name
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            let name = name.get(..end).filter(|name| !name.is_empty())?;
            self.at += 1 + end;
            return Some(name.to_owned());
        } else {
            return None;
        };
        let inner = rest.get(open.len()..)?;
        let end = find(inner, close)?;
        let name = inner.get(..end)?;
        let first = name.chars().next()?;
        if !first.is_ascii_alphabetic() && first != '_' {
            return None;
        }
        self.at += open.len() + end + close.len();
        let length = name
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(name.len());
        name.get(..length).map(str::to_owned)
    }

    fn string(&mut self, quote: char) -> Result<Vec<Part>, Refusal> {
        let start = self.at;
        self.bump();
        let mut parts = Vec::new();
        let mut text = String::new();
        loop {
            if let Some(name) = self.variable() {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Variable(name));
                continue;
            }
            match self.bump() {
                None => {
                    return Err(self.broken(&format!("a closing {quote}"), start));
                }
                Some(c) if c == quote => break,
                Some('\\') if quote != '`' => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                    Some(kind @ ('x' | 'u' | 'U')) => match self.escape(kind) {
                        Some(c) => text.push(c),
                        None => return Err(self.broken("an escape sequence", self.at)),
                    },
                    // Rarely written; a text with a wrong escape is still a text.
                    Some(c) => text.extend(['\\', c]),
                    None => return Err(self.broken(&format!("a closing {quote}"), start)),
                },
                Some(c) => text.push(c),
            }
        }
        parts.push(Part::Text(text));
        Ok(parts)
    }

    fn escape(&mut self, kind: char) -> Option<char> {
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            _ => 8,
        };
        let number = u32::from_str_radix(self.rest().get(..digits)?, 16).ok()?;
        self.at += digits;
        char::from_u32(number)
    }

    /// Skips `[5m]`, `[5m:1m]`, `[$__rate_interval]`, `[max_of(step(), 5m)]`.
    fn range(&mut self) -> Result<Token, Refusal> {
        let start = self.at;
        let mut depth = 0u32;
        loop {
            if self.variable().is_some() {
                continue;
            }
            match self.bump() {
                None => return Err(self.broken("a closing ]", start)),
                Some('[') => depth += 1,
                Some(']') => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(Token::Range);
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn broken(&self, wanted: &str, at: usize) -> Refusal {
        let before = self.text.get(..at).unwrap_or_default();
        let column = before.chars().count() + 1;
        Refusal::Broken(format!(
            "expected {wanted} for column {column}, found the end"
        ))
    }
}

/// Where `close` stands in `text`, if it is not far away.
fn find(text: &str, close: &str) -> Option<usize> {
    let windows = text.as_bytes().windows(close.len());
    windows
        .take(MAX_VARIABLE)
        .position(|window| window == close.as_bytes())
}
