//! The pages hang together: whatever one of them links to is there, headings included, and no page
//! is out of reach.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(dir: &Path, extension: &str, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, extension, files);
        } else if path.extension().is_some_and(|it| it == extension) {
            files.push(path);
        }
    }
}

/// Lines of a page outside its code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// What a page links to.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        for after in line.split("](").skip(1) {
            let target = after.split(')').next().unwrap();
            links.push(target.to_owned());
        }
    }
    links
}

/// The anchor of a heading, as the pages are rendered: in lower case, spaces as hyphens, without
/// other signs.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere_and_every_page_is_linked_to() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    files_below(&root().join("docs"), "md", &mut pages);
    let (mut dead, mut reached) = (Vec::new(), BTreeSet::new());
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        for link in links(&text) {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let Ok(target) = target.canonicalize() else {
                dead.push(format!("{}: {link}", page.display()));
                continue;
            };
            if target != *page {
                reached.insert(target.clone());
            }
            if !heading.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut headings = prose(&text).filter(|line| line.starts_with('#'));
                if !headings.any(|line| anchor(line) == heading) {
                    dead.push(format!("{}: {link}: no such heading", page.display()));
                }
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    let is_lonely =
        |page: &&PathBuf| !reached.contains(*page) && **page != root().join("README.md");
    let lonely: Vec<_> = pages.iter().filter(is_lonely).collect();
    assert!(
        lonely.is_empty(),
        "pages that no other links to: {lonely:?}"
    );
}

/// The longest line of a comment, in characters.
const COMMENT_COLUMNS: usize = 100;

#[test]
fn lines_of_comments_are_short_but_for_code_in_them() {
    let mut files = Vec::new();
    for dir in ["src", "tests", "benches", "examples"] {
        files_below(&root().join(dir), "rs", &mut files);
    }
    let mut long = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let mut is_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end();
            if !line.trim_start().starts_with("//") {
                is_code = false;
                continue;
            }
            is_code ^= line.contains("```");
            if !is_code && line.chars().count() > COMMENT_COLUMNS {
                long.push(format!("{}:{number}", file.display()));
            }
        }
    }
    assert!(files.len() > 500, "{} files", files.len());
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// The longest line of a page, in characters.
const COLUMNS: usize = 120;

#[test]
fn lines_of_pages_are_short_but_for_tables_and_what_cannot_be_broken() {
    let mut pages: Vec<_> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|name| root().join(name))
        .into();
    files_below(&root().join("docs"), "md", &mut pages);
    let mut long = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let mut is_cron = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                is_cron = line.contains("cron");
            }
            // A row of a table is a line, and so is one of a crontab; a link without spaces has no
            // place to break.
            let is_whole = is_cron || line.starts_with('|') || !line.trim().contains(' ');
            if !is_whole && line.chars().count() > COLUMNS {
                long.push(format!("{}:{number}", page.display()));
            }
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}
