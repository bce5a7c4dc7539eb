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

/// Reads a page; else says what it is instead.
pub(super) fn parse(page: &[u8]) -> Result<Vec<Entry>, String> {
    let raw: Vec<Raw> = serde_json::from_slice(page).map_err(|_| {
        let is_html = page.trim_ascii_start().first() == Some(&b'<');
        let found = if is_html {
            "a page of HTML"
        } else {
            "something else"
        };
        format!("no list of names in JSON, but {found}")
    })?;
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
        assert!(html.contains("HTML"), "{html}");
        assert!(parse(b"{}").is_err());
    }
}
