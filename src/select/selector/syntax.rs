//! From text to matchers.

use regex::Regex;

use super::{ANCHORED, Condition, METRIC_NAME, Matcher};
use crate::select::promql::{Manner, MatchOperator, Part, Scanner, StringFault};

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
    let mut cursor = Cursor {
        scanner: Scanner::new(text, Manner::Strict),
    };
    cursor.scanner.skip_blanks();
    let start = cursor.scanner.at();
    let metric = cursor.scanner.identifier(true);
    cursor.scanner.skip_blanks();
    let mut matchers = Vec::new();
    if cursor.scanner.eat("{") {
        cursor.matchers(&mut matchers, metric.is_some())?;
    } else if metric.is_none() {
        return Err(cursor.expected("a metric name or {"));
    } else if !cursor.scanner.rest().is_empty() {
        return Err(cursor.expected("{ or the end"));
    }
    cursor.scanner.skip_blanks();
    if !cursor.scanner.rest().is_empty() {
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
    scanner: Scanner<'a>,
}

impl Cursor<'_> {
    fn expected(&self, what: &str) -> Fault {
        let found = match self.scanner.peek() {
            Some(c) => format!("'{c}'"),
            None => "the end".to_owned(),
        };
        fault(format!("expected {what}, found {found}"), self.scanner.at())
    }

    /// What stands between the braces, and the closing one.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>, mut named: bool) -> Result<(), Fault> {
        loop {
            self.scanner.skip_blanks();
            if self.scanner.eat("}") {
                return Ok(());
            }
            let start = self.scanner.at();
            let matcher = self.matcher()?;
            if *matcher.name == *METRIC_NAME && matcher.only_value().is_some() {
                if named {
                    let sentence = "expected the metric name only once, found it again";
                    return Err(fault(sentence.to_owned(), start));
                }
                named = true;
            }
            matchers.push(matcher);
            self.scanner.skip_blanks();
            if !self.scanner.eat(",") && self.scanner.peek() != Some('}') {
                return Err(self.expected(", or }"));
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher, Fault> {
        let quoted = self.scanner.is_at_string();
        let name = if quoted {
            self.string()?
        } else {
            match self.scanner.identifier(false) {
                Some(name) => name.as_bytes().to_vec(),
                None => return Err(self.expected("a label name, a quoted metric name or }")),
            }
        };
        self.scanner.skip_blanks();
        if quoted && matches!(self.scanner.peek(), Some(',' | '}')) {
            return Ok(metric_name(name));
        }
        let condition = self.condition()?;
        Ok(Matcher { name, condition })
    }

    fn condition(&mut self) -> Result<Condition, Fault> {
        let Some(operator) = self.scanner.match_operator() else {
            return Err(self.expected("=, !=, =~ or !~"));
        };
        self.scanner.skip_blanks();
        let start = self.scanner.at();
        let value = self.string()?;
        Ok(match operator {
            MatchOperator::Equal => Condition::Equal(value),
            MatchOperator::NotEqual => Condition::NotEqual(value),
            MatchOperator::Matches => Condition::Matches(anchored(&value, start)?),
            MatchOperator::MatchesNot => Condition::MatchesNot(anchored(&value, start)?),
        })
    }

    fn string(&mut self) -> Result<Vec<u8>, Fault> {
        if !self.scanner.is_at_string() {
            return Err(self.expected("a quoted string"));
        }
        let parts = self.scanner.string(|_| None).map_err(|wrong| match wrong {
            StringFault::Unclosed(quote) => self.expected(&format!("a closing {quote}")),
            StringFault::Escape => self.expected("an escape sequence"),
        })?;
        let texts = parts.into_iter().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Variable(_) => None,
        });
        Ok(texts.flatten().collect())
    }
}

/// The regular expression `pattern`, anchored at both ends and with `.` matching line breaks, as in
/// Prometheus.
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
