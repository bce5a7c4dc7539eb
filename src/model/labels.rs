//! Label sets.

use std::fmt;

/// One label: name and value as bytes, which need not be UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Name, for example `__name__`.
    pub name: Box<[u8]>,
    /// Value.
    pub value: Box<[u8]>,
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}={:?}",
            self.name.escape_ascii(),
            String::from_utf8_lossy(&self.value)
        )
    }
}

/// The labels of a series, in the order the index holds them. Ordered as Prometheus orders series:
/// pair by pair, bytewise.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(pub Vec<Label>);

impl Labels {
    /// The value of the label called `name`; the first one if a damaged block has several.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|label| *label.name == *name)
            .map(|label| &*label.value)
    }
}

/// As a selector: `up{job="a"}` when the metric name is a legal identifier, else `{"the
/// name",job="a"}`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self
            .get(b"__name__")
            .filter(|name| is_identifier(name, true));
        if let Some(metric) = metric {
            write!(f, "{}", String::from_utf8_lossy(metric))?;
        }
        let rest: Vec<_> = self
            .0
            .iter()
            .filter(|label| metric.is_none() || *label.name != *b"__name__")
            .collect();
        if rest.is_empty() && metric.is_some() {
            return Ok(());
        }
        f.write_str("{")?;
        for (i, label) in rest.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            if is_identifier(&label.name, false) {
                write!(f, "{}=", String::from_utf8_lossy(&label.name))?;
            } else {
                write!(f, "{}=", Quoted(&label.name))?;
            }
            write!(f, "{}", Quoted(&label.value))?;
        }
        f.write_str("}")
    }
}

/// Whether PromQL takes these bytes as a name without quotes.
fn is_identifier(name: &[u8], colons: bool) -> bool {
    let legal =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || (colons && *byte == b':');
    name.first().is_some_and(|first| !first.is_ascii_digit()) && name.iter().all(legal)
}

/// Bytes as a double-quoted PromQL string; what is not UTF-8 becomes `\xNN`.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let label = |(name, value): &(&str, &str)| Label {
            name: name.as_bytes().into(),
            value: value.as_bytes().into(),
        };
        Labels(pairs.iter().map(label).collect())
    }

    #[test]
    fn label_sets_print_as_selectors() {
        assert_eq!(
            labels(&[("__name__", "up"), ("job", "a\"b")]).to_string(),
            r#"up{job="a\"b"}"#
        );
        assert_eq!(labels(&[("__name__", "up")]).to_string(), "up");
        assert_eq!(labels(&[]).to_string(), "{}");
        assert_eq!(
            labels(&[("__name__", "my metric"), ("a.b", "c")]).to_string(),
            r#"{__name__="my metric","a.b"="c"}"#
        );
        let odd = Labels(vec![Label {
            name: (*b"x").into(),
            value: (*b"\xff\n").into(),
        }]);
        assert_eq!(odd.to_string(), r#"{x="\xff\n"}"#);
    }
}
