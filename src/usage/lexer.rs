//! PromQL as tokens, with Grafana's variables wherever they stand.
//!
//! Source: Prometheus `promql/parser/lex.go`; Grafana "Variable syntax".

use crate::select::promql::{Manner, MatchOperator, Part, Scanner, StringFault};

/// Longest variable, in bytes.
const MAX_VARIABLE: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word: letters, digits, underscores, colons and variables.
    Word(Vec<Part>),
    /// The content of a string.
    Text(Vec<Part>),
    Match(MatchOperator),
    Number,
    /// Brackets with all that stands in them.
    Range,
    Sign(char),
}

/// Why an expression is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is of another language: it has a `|`, which PromQL has not.
    NotPromQl,
    /// *expected …, found …*
    Broken(String),
}

/// Where an expression has been read to.
pub(super) struct Lexer<'a> {
    scanner: Scanner<'a>,
    text: &'a str,
    /// Whether variables are understood.
    variables: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, variables: bool) -> Self {
        Lexer {
            scanner: Scanner::new(text, Manner::Lenient),
            text,
            variables,
        }
    }

    /// The next token; none at the end.
    ///
    /// # Errors
    ///
    /// When the text ends within a string or brackets, or has a wrong escape sequence.
    pub(super) fn next(&mut self) -> Result<Option<Token>, Refusal> {
        self.scanner.skip_blanks();
        if self.scanner.rest().is_empty() {
            return Ok(None);
        }
        self.token().map(Some)
    }

    fn token(&mut self) -> Result<Token, Refusal> {
        if let Some(word) = self.word() {
            return Ok(Token::Word(word));
        }
        if self.scanner.eat("==") {
            return Ok(Token::Sign('='));
        }
        if let Some(operator) = self.scanner.match_operator() {
            return Ok(Token::Match(operator));
        }
        if self.scanner.is_at_string() {
            return self.string().map(Token::Text);
        }
        match self.scanner.peek() {
            Some('[') => self.range(),
            Some(c) if c.is_ascii_digit() => {
                self.number();
                Ok(Token::Number)
            }
            _ => Ok(Token::Sign(self.scanner.bump().unwrap_or(' '))),
        }
    }

    fn number(&mut self) {
        while self
            .scanner
            .peek()
            .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
        {
            self.scanner.bump();
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
                    parts.push(Part::Text(std::mem::take(&mut text).into_bytes()));
                }
                parts.push(Part::Variable(name));
                continue;
            }
            match self.scanner.peek() {
                // Beyond ASCII there are no words in Prometheus; who writes one means a metric.
                Some(c)
                    if c.is_alphabetic()
                        || matches!(c, '_' | ':')
                        || c.is_numeric() && !(text.is_empty() && parts.is_empty()) =>
                {
                    self.scanner.bump();
                    text.push(c);
                }
                _ => break,
            }
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.into_bytes()));
        }
        (!parts.is_empty()).then_some(parts)
    }

    fn variable(&mut self) -> Option<String> {
        variable(&mut self.scanner, self.variables)
    }

    fn string(&mut self) -> Result<Vec<Part>, Refusal> {
        let start = self.scanner.at();
        let variables = self.variables;
        let parts = self.scanner.string(|scanner| variable(scanner, variables));
        parts.map_err(|fault| match fault {
            StringFault::Unclosed(quote) => self.unclosed(quote, start),
            StringFault::Escape => {
                let column = self.column(self.scanner.at());
                Refusal::Broken(format!("expected an escape sequence at column {column}"))
            }
        })
    }

    /// Skips `[5m]`, `[5m:1m]`, `[$__rate_interval]`, `[max_of(step(), 5m)]`.
    fn range(&mut self) -> Result<Token, Refusal> {
        let start = self.scanner.at();
        let mut depth = 0u32;
        loop {
            if self.variable().is_some() {
                continue;
            }
            match self.scanner.bump() {
                None => return Err(self.unclosed(']', start)),
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

    fn column(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.chars().count() + 1
    }

    fn unclosed(&self, closing: char, start: usize) -> Refusal {
        let column = self.column(start);
        Refusal::Broken(format!(
            "expected a closing {closing} for column {column}, found the end"
        ))
    }
}

/// `$name`, `${name}`, `${name:format}`, `${name.field}`, `[[name]]`, `[[name:format]]`; `{{
/// template }}` of Helm and Jinja.
fn variable(scanner: &mut Scanner<'_>, variables: bool) -> Option<String> {
    let rest = scanner.rest();
    if rest.starts_with("{{") {
        let end = find(rest, "}}")?;
        scanner.skip(end + 2);
        return Some(String::new());
    }
    if !variables {
        return None;
    }
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let (open, close) = if rest.starts_with("${") {
        ("${", "}")
    } else if rest.starts_with("[[") {
        ("[[", "]]")
    } else {
        let name = rest.strip_prefix('$')?;
        let end = name.find(is_end).unwrap_or(name.len());
        let name = name.get(..end).filter(|name| !name.is_empty())?;
        scanner.skip(1 + end);
        return Some(name.to_owned());
    };
    let inner = rest.get(open.len()..)?;
    let end = find(inner, close)?;
    let name = inner.get(..end)?;
    let first = name.chars().next()?;
    if !first.is_ascii_alphabetic() && first != '_' {
        return None;
    }
    scanner.skip(open.len() + end + close.len());
    let length = name.find(is_end).unwrap_or(name.len());
    name.get(..length).map(str::to_owned)
}

/// Where `close` stands in `text`, if it is not far away.
fn find(text: &str, close: &str) -> Option<usize> {
    let windows = text.as_bytes().windows(close.len());
    windows
        .take(MAX_VARIABLE)
        .position(|window| window == close.as_bytes())
}
