//! From text to matchers.

use regex::Regex;

use super::{ANCHORED, Condition, METRIC_NAME, Matcher};

/// Why a selector does not parse, and where.
pub(super) struct Fault {
    /// *expected …, found …*
    pub(super) sentence: String,
    /// Byte position in the text.
    pub(super) at: usize,
    /// What the regular expression engine says.
    pub(super) cause: Option<regex::Error>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Matcher>, Fault> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.skip_spaces();
    let start = cursor.at;
    let metric = cursor.identifier(|c| c == ':');
    cursor.skip_spaces();
    let mut matchers = Vec::new();
    if cursor.eat("{") {
        cursor.matchers(&mut matchers, metric.is_some())?;
    } else if metric.is_none() {
        return Err(cursor.expected("a metric name or {"));
    } else if !cursor.rest().is_empty() {
        return Err(cursor.expected("{ or the end"));
    }
    cursor.skip_spaces();
    if !cursor.rest().is_empty() {
        return Err(cursor.expected("the end"));
    }
    if let Some(metric) = metric {
        matchers.push(metric_name(metric.into()));
    }
    if matchers.iter().all(|matcher| matcher.accepts(b"")) {
        let sentence = "expected at least one matcher that refuses the empty string, found none";
        return Err(fault(sentence.to_owned(), start));
    }
    Ok(matchers)
}

fn fault(sentence: String, at: usize) -> Fault {
    Fault {
        sentence,
        at,
        cause: None,
    }
}

fn metric_name(name: Vec<u8>) -> Matcher {
    Matcher {
        name: METRIC_NAME.to_vec(),
        condition: Condition::Equal(name),
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
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

    fn skip_spaces(&mut self) {
        while self
            .peek()
            .is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r'))
        {
            self.at += 1;
        }
    }

    fn expected(&self, what: &str) -> Fault {
        let found = match self.peek() {
            Some(c) => format!("'{c}'"),
            None => "the end".to_owned(),
        };
        fault(format!("expected {what}, found {found}"), self.at)
    }

    /// Letters, digits, underscores and what `extra` allows, not beginning with a digit.
    fn identifier(&mut self, extra: fn(char) -> bool) -> Option<&'a str> {
        let rest = self.rest();
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || extra(c);
        let end = rest.find(|c| !legal(c)).unwrap_or(rest.len());
        let identifier = rest.get(..end)?;
        let first = identifier.chars().next()?;
        if first.is_ascii_digit() {
            return None;
        }
        self.at += end;
        Some(identifier)
    }

    /// What stands between the braces, and the closing one.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>, mut named: bool) -> Result<(), Fault> {
        loop {
            self.skip_spaces();
            if self.eat("}") {
                return Ok(());
            }
            let start = self.at;
            let matcher = self.matcher()?;
            if *matcher.name == *METRIC_NAME && matcher.only_value().is_some() {
                if named {
                    let sentence = "expected the metric name only once, found it again";
                    return Err(fault(sentence.to_owned(), start));
                }
                named = true;
            }
            matchers.push(matcher);
            self.skip_spaces();
            if !self.eat(",") && self.peek() != Some('}') {
                return Err(self.expected(", or }"));
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher, Fault> {
        let (name, quoted) = match self.peek() {
            Some('"' | '\'' | '`') => (self.string()?, true),
            _ => match self.identifier(|_| false) {
                Some(name) => (name.as_bytes().to_vec(), false),
                None => return Err(self.expected("a label name, a quoted metric name or }")),
            },
        };
        self.skip_spaces();
        if quoted && matches!(self.peek(), Some(',' | '}')) {
            return Ok(metric_name(name));
        }
        let condition = self.condition()?;
        Ok(Matcher { name, condition })
    }

    fn condition(&mut self) -> Result<Condition, Fault> {
        // The longer operators first: = begins =~.
        let operators = ["=~", "!~", "!=", "="];
        let Some(operator) = operators.into_iter().find(|operator| self.eat(operator)) else {
            return Err(self.expected("=, !=, =~ or !~"));
        };
        self.skip_spaces();
        let start = self.at;
        let value = self.string()?;
        Ok(match operator {
            "=" => Condition::Equal(value),
            "!=" => Condition::NotEqual(value),
            "=~" => Condition::Matches(anchored(&value, start)?),
            _ => Condition::MatchesNot(anchored(&value, start)?),
        })
    }

    /// A string in double, single or back quotes; only the last has no escapes.
    fn string(&mut self) -> Result<Vec<u8>, Fault> {
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return Err(self.expected("a quoted string"));
        };
        self.next();
        let mut value = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.expected(&format!("a closing {quote}"))),
                Some('\n') if quote != '`' => {
                    return Err(self.expected(&format!("a closing {quote}")));
                }
                Some(c) if c == quote => {
                    self.next();
                    return Ok(value);
                }
                Some('\\') if quote != '`' => {
                    self.next();
                    self.escape(quote, &mut value)?;
                }
                Some(c) => {
                    self.next();
                    push(&mut value, c);
                }
            }
        }
    }

    /// What follows a backslash. Octal and `\x` escapes make bytes, `\u` and `\U` characters.
    fn escape(&mut self, quote: char, value: &mut Vec<u8>) -> Result<(), Fault> {
        let wrong = self.expected("an escape sequence");
        let simple = match self.peek() {
            Some('a') => 0x07,
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('t') => b'\t',
            Some('v') => 0x0b,
            Some('\\') => b'\\',
            Some('"') if quote == '"' => b'"',
            Some('\'') if quote == '\'' => b'\'',
            Some('0'..='7') => {
                let byte = self.digits(3, 8).and_then(|byte| u8::try_from(byte).ok());
                value.push(byte.ok_or(wrong)?);
                return Ok(());
            }
            Some(kind @ ('x' | 'u' | 'U')) => {
                self.next();
                let number = self.digits(
                    if kind == 'x' {
                        2
                    } else if kind == 'u' {
                        4
                    } else {
                        8
                    },
                    16,
                );
                match (kind, number.and_then(char::from_u32)) {
                    ('x', Some(byte)) => value.extend(u8::try_from(byte)),
                    (_, Some(c)) => push(value, c),
                    (_, None) => return Err(wrong),
                }
                return Ok(());
            }
            _ => return Err(wrong),
        };
        self.next();
        value.push(simple);
        Ok(())
    }

    /// A number of exactly `count` digits.
    fn digits(&mut self, count: usize, radix: u32) -> Option<u32> {
        let mut number = 0u32;
        for _ in 0..count {
            let digit = self.next()?.to_digit(radix)?;
            number = number.checked_mul(radix)?.checked_add(digit)?;
        }
        Some(number)
    }
}

fn push(value: &mut Vec<u8>, c: char) {
    value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// The regular expression `pattern`, anchored at both ends and with `.` matching line breaks, as in Prometheus.
fn anchored(pattern: &[u8], at: usize) -> Result<Regex, Fault> {
    let wrong = |cause: Option<regex::Error>| Fault {
        sentence: "expected a regular expression".to_owned(),
        at,
        cause,
    };
    let pattern = std::str::from_utf8(pattern).map_err(|_| wrong(None))?;
    anchored_regex(pattern).map_err(|cause| wrong(Some(cause)))
}

/// As [`anchored`].
pub(super) fn anchored_regex(pattern: &str) -> std::result::Result<Regex, regex::Error> {
    // Alone first: a pattern such as `a)|(b` must not escape from the group it is put into.
    Regex::new(pattern)?;
    let (before, after) = ANCHORED;
    Regex::new(&format!("{before}{pattern}{after}"))
}
