//! Pages about directories, as nginx and Caddy write them in JSON.

use serde::Deserialize;

/// A name in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub is_dir: bool,
    /// Its size in bytes, where the page says it.
    pub size: Option<u64>,
}

/// What both write: nginx says `type`, Caddy `is_dir`.
#[derive(Deserialize)]
struct Raw {
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    is_dir: Option<bool>,
    size: Option<u64>,
}

/// Why a page does not say what is in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// What it is instead of a list.
    NoList(String),
    /// It has so many names that it was cut, perhaps.
    Cut(usize),
}

/// How many names Caddy lists where it is not told otherwise (`file_limit`). It does not say that
/// there are more, and rounder limits that people choose are multiples of it.
const CADDY_LIMIT: usize = 10_000;

/// Reads a page.
pub(super) fn parse(page: &[u8]) -> Result<Vec<Entry>, Unread> {
    let raw: Vec<Raw> = serde_json::from_slice(page).map_err(|_| {
        let is_html = page.trim_ascii_start().first() == Some(&b'<');
        let found = if is_html {
            "a page of HTML"
        } else {
            "something else"
        };
        Unread::NoList(format!("no list of names in JSON, but {found}"))
    })?;
    let is_of_caddy = raw.iter().any(|raw| raw.is_dir.is_some());
    if is_of_caddy && raw.len().is_multiple_of(CADDY_LIMIT) {
        return Err(Unread::Cut(raw.len()));
    }
    let entries = raw.into_iter().filter_map(|raw| {
        let is_dir = raw.is_dir == Some(true) || raw.kind.as_deref() == Some("directory");
        // Pipes and the like.
        let is_other = raw.kind.as_deref() == Some("other");
        let name = raw.name.strip_suffix('/').unwrap_or(&raw.name).to_owned();
        let is_plain = !name.contains('/') && !matches!(&*name, "" | "." | "..");
        (is_plain && !is_other).then_some(Entry {
            name,
            is_dir,
            size: raw.size,
        })
    });
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_nginx_and_caddy_say_the_same() {
        let nginx = br#"[
{ "name":"blocks", "type":"directory", "mtime":"Tue, 01 Dec 2026 12:00:00 GMT" },
{ "name":"narthex.json", "type":"file", "mtime":"Tue, 01 Dec 2026 12:00:00 GMT", "size":98 }
]"#;
        let caddy = br#"[{"name":"blocks/","size":4096,"url":"./blocks/","mod_time":"2026-12-01T12:00:00Z",
"mode":2147484141,"is_dir":true,"is_symlink":false},{"name":"narthex.json","size":98,
"url":"./narthex.json","mod_time":"2026-12-01T12:00:00Z","mode":420,"is_dir":false,"is_symlink":false}]"#;
        for page in [&nginx[..], caddy] {
            let entries = parse(page).unwrap();
            let seen: Vec<_> = entries.iter().map(|it| (&*it.name, it.is_dir)).collect();
            assert_eq!(seen, [("blocks", true), ("narthex.json", false)]);
            assert_eq!(entries[1].size, Some(98));
        }
    }

    #[test]
    fn what_leaves_its_directory_is_not_listed_and_html_is_no_list() {
        let page = br#"[{"name":"../x","type":"file","size":1},{"name":"..","type":"directory"},
{"name":"a/b","type":"file"},{"name":"p","type":"other"}]"#;
        assert_eq!(parse(page).unwrap(), []);
        let html = parse(b"\n<html><body>Index of /</body></html>").unwrap_err();
        let expected = "no list of names in JSON, but a page of HTML";
        assert_eq!(html, Unread::NoList(expected.to_owned()));
        assert!(parse(b"{}").is_err());
    }

    #[test]
    fn a_list_that_caddy_may_have_cut_is_none() {
        let page = |count: usize, more: &str| {
            let names = (0..count).map(|it| format!(r#"{{"name":"{it}","size":1{more}}}"#));
            parse(format!("[{}]", names.collect::<Vec<_>>().join(",")).as_bytes())
        };
        let caddy = r#","is_dir":false"#;
        for cut in [10_000, 20_000] {
            assert_eq!(page(cut, caddy), Err(Unread::Cut(cut)));
        }
        for whole in [0, 9_999, 10_001] {
            assert_eq!(page(whole, caddy).unwrap().len(), whole);
        }
        // nginx cuts nothing.
        assert_eq!(page(10_000, r#","type":"file""#).unwrap().len(), 10_000);
    }
}
