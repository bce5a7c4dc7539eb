//! YAML as the same tree of values that JSON makes, with bounds that hostile input cannot pass.
//!
//! `saphyr-parser` turns the text into events; the tree is made here, because what must be bounded
//! is what aliases expand to (a few hundred bytes of YAML can stand for billions of nodes) and how
//! deep values nest.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Deepest nesting; that of real files stays below 20.
const MAX_DEPTH: usize = 100;
/// Nodes and bytes of strings that aliases of one file may add.
const MAX_COPIED: usize = 1 << 20;

/// A collection that is not complete yet.
enum Open {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Object(Map<String, Value>, Option<String>),
}

/// All documents of the stream `text`. Scalars become strings, whatever they look like: whoever
/// reads the tree knows which fields are text.
///
/// # Errors
///
/// When `text` is not YAML, nests deeper than 100 levels, or holds aliases that expand to more than
/// a million nodes.
pub(super) fn parse(text: &str) -> Result<Vec<Value>> {
    let mut tree = Tree::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Error::corrupt("expected YAML").with_source(error))?;
        let line = span.start.line();
        tree.take(event)
            .map_err(|sentence| Error::corrupt(format!("line {line}: {sentence}")))?;
    }
    Ok(tree.documents)
}

#[derive(Default)]
struct Tree {
    documents: Vec<Value>,
    open: Vec<(Open, usize)>,
    anchors: HashMap<usize, (Value, Extent)>,
    copied: usize,
}

impl Tree {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.value(Value::String(text.into_owned()), anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(Open::Object(Map::new(), None), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((open, anchor)) = self.open.pop() else {
                    return Ok(());
                };
                let value = match open {
                    Open::List(items) => Value::Array(items),
                    Open::Object(map, _) => Value::Object(map),
                };
                self.value(value, anchor)
            }
            Event::Alias(anchor) => {
                let Some((value, extent)) = self.anchors.get(&anchor) else {
                    return Err("expected an alias of a complete value".to_owned());
                };
                copy(&mut self.copied, *extent)?;
                if self.open.len() + extent.depth > MAX_DEPTH {
                    return Err(too_deep());
                }
                let value = value.clone();
                self.value(value, 0)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, anchor: usize) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.open.push((open, anchor));
        Ok(())
    }

    /// A complete value: it belongs to the innermost open collection, or is a document.
    fn value(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            // An anchor is a copy as well: nested ones would square the memory.
            let extent = Extent::of(&value);
            copy(&mut self.copied, extent)?;
            self.anchors.insert(anchor, (value.clone(), extent));
        }
        match self.open.last_mut() {
            None => self.documents.push(value),
            Some((Open::List(items), _)) => items.push(value),
            Some((Open::Object(map, key), _)) => match key.take() {
                None => *key = Some(key_text(value)),
                Some(key) => {
                    merge_or_insert(map, key, value);
                }
            },
        }
        Ok(())
    }
}

/// A key; collections as keys mean nothing to us.
fn key_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            String::new()
        }
    }
}

/// `<<` takes the fields of another mapping that are not there yet, as YAML 1.1 has it and
/// Prometheus reads it.
fn merge_or_insert(map: &mut Map<String, Value>, key: String, value: Value) {
    match (key.as_str(), value) {
        ("<<", Value::Object(other)) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
        }
        (_, value) => {
            map.insert(key, value);
        }
    }
}

fn too_deep() -> String {
    format!("expected at most {MAX_DEPTH} levels, found more")
}

/// Counts one more copy, as far as that is allowed.
fn copy(copied: &mut usize, extent: Extent) -> Result<(), String> {
    *copied = copied.saturating_add(extent.size);
    if *copied > MAX_COPIED {
        return Err(format!(
            "expected anchors and aliases of at most {MAX_COPIED} nodes and bytes, found more"
        ));
    }
    Ok(())
}

/// How much a value is.
#[derive(Clone, Copy)]
struct Extent {
    /// Its nodes, and the bytes of its strings.
    size: usize,
    /// Its levels.
    depth: usize,
}

impl Extent {
    fn of(value: &Value) -> Self {
        let mut extent = Extent { size: 0, depth: 0 };
        let mut rest = vec![(value, 1)];
        while let Some((value, depth)) = rest.pop() {
            extent.size = extent.size.saturating_add(1);
            extent.depth = extent.depth.max(depth);
            match value {
                Value::String(text) => extent.size = extent.size.saturating_add(text.len()),
                Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
                Value::Object(map) => {
                    for (key, value) in map {
                        extent.size = extent.size.saturating_add(key.len());
                        rest.push((value, depth + 1));
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        extent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_aliases_and_merge_keys_become_values() {
        let text =
            "a: &x {k: 1, l: [yes, \"2\"]}\nb: *x\nc: {<<: *x, k: 3}\n---\n- |\n  two\n  lines\n";
        let x = json!({"k": "1", "l": ["yes", "2"]});
        let expected = [
            json!({"a": x, "b": x, "c": {"k": "3", "l": ["yes", "2"]}}),
            json!(["two\nlines\n"]),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
        for i in 1..30 {
            let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("at most 1048576 nodes"), "{error}");
    }

    #[test]
    fn deep_nesting_is_refused_written_or_by_aliases() {
        for text in [
            "[".repeat(100_000),
            "{a: ".repeat(100_000),
            "- ".repeat(100_000),
            format!(
                "a: &a {}{}\nb: &b {}*a{}\n",
                "[".repeat(60),
                "]".repeat(60),
                "[".repeat(60),
                "]".repeat(60)
            ),
        ] {
            let error = parse(&text).unwrap_err().chain();
            assert!(
                error.contains("levels") || error.contains("recursion"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_yaml_is_an_error_with_its_line() {
        for text in ["a: [1, 2", "a: *nowhere", "\"open", "a: b: c"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
