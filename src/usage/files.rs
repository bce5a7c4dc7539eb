//! Files with rules and dashboards, as trees of values.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::yaml;
use crate::error::{Error, Result};

/// Largest file that is read, in bytes: its tree of values takes many times as much.
const MAX_FILE: u64 = 16 << 20;
/// How deep files may stand below a directory that was named.
const MAX_DEPTH: usize = 8;

/// Appends the files that `path` stands for, sorted: itself, or if it is a directory those in it
/// and below it whose names end as rule files and dashboards do.
///
/// # Errors
///
/// When a directory cannot be read, or is nested too deep; files that were found before are there.
pub(super) fn listed(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    below(path, MAX_DEPTH, files)
}

fn below(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let kind = fs::metadata(path).map_err(|e| Error::io("stat", path, e))?;
    if !kind.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|e| Error::io("list", path, e))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|e| Error::io("list", path, e))?.path());
    }
    paths.sort();
    for path in paths {
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() {
            let depth = depth.checked_sub(1).ok_or_else(|| {
                let path = path.display();
                Error::invalid(format!("{path}: expected at most {MAX_DEPTH} levels"))
            })?;
            // Kubernetes mounts config maps as `..data` and a directory of versions behind it: both
            // are the same files.
            let hidden = path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden {
                below(&path, depth, files)?;
            }
        } else if matches!(ending, Some("yaml" | "yml" | "rules" | "json")) {
            files.push(path);
        }
    }
    Ok(())
}

/// The text of a file.
///
/// # Errors
///
/// When it cannot be read, is longer than 16 MiB or no UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let mut text = String::new();
    let mut bounded = file.take(MAX_FILE + 1);
    bounded
        .read_to_string(&mut text)
        .map_err(|e| Error::io("read", path, e))?;
    if text.len() as u64 > MAX_FILE {
        return Err(Error::invalid(format!(
            "expected at most {MAX_FILE} bytes, found more"
        )));
    }
    Ok(text)
}

/// All documents of a text that is JSON or YAML.
///
/// # Errors
///
/// When it is neither.
pub(super) fn parse(text: &str) -> Result<Vec<Value>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        let json = serde_json::from_str(text);
        // YAML's flow style begins as JSON does.
        return json.map(|value| vec![value]).or_else(|error| {
            yaml::parse(text).map_err(|_| Error::corrupt("expected JSON").with_source(error))
        });
    }
    yaml::parse(text)
}

/// Texts of files within a Kubernetes resource, with their names.
pub(super) fn wrapped(document: &Value) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let items = document.get("items").and_then(Value::as_array);
    for item in items.into_iter().flatten().chain([document]) {
        let fields = match item.get("kind").and_then(Value::as_str) {
            Some("ConfigMap") => item.get("data"),
            Some("GrafanaDashboard") => item.get("spec"),
            _ => None,
        };
        for (name, value) in fields.and_then(Value::as_object).into_iter().flatten() {
            let is_file = name == "json"
                || [".json", ".yaml", ".yml", ".rules"]
                    .iter()
                    .any(|end| name.ends_with(end));
            if let Some(text) = value.as_str().filter(|_| is_file) {
                found.push((name.as_str(), text));
            }
        }
    }
    found
}
