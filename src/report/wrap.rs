//! Pages in Markdown whose lines are not too long.

/// The longest line of a paragraph, in characters.
const COLUMNS: usize = 120;

/// `page` with its paragraphs and lists filled anew. Headings, tables and comments stay as they
/// are.
pub(super) fn wrapped(page: &str) -> String {
    let mut out = String::new();
    let mut paragraph = String::new();
    for line in page.lines() {
        let is_whole = line.is_empty() || line.starts_with(['#', '|', '<']);
        if is_whole || line.starts_with("* ") {
            fill(&std::mem::take(&mut paragraph), &mut out);
        }
        if is_whole {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(line.trim());
    }
    fill(&paragraph, &mut out);
    out
}

/// Appends a paragraph, or an item of a list.
fn fill(paragraph: &str, out: &mut String) {
    if paragraph.is_empty() {
        return;
    }
    let indent = if paragraph.starts_with("* ") {
        "  "
    } else {
        ""
    };
    let mut column = 0;
    for word in words(paragraph) {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > COLUMNS {
            out.push('\n');
            out.push_str(indent);
            column = indent.len();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(&word);
        column += length;
    }
    out.push('\n');
}

/// What stands between spaces; code that has spaces is one word.
fn words(paragraph: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_code = false;
    for word in paragraph.split(' ') {
        match words.last_mut().filter(|_| is_code) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        is_code ^= word.matches('`').count() % 2 == 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_filled_and_nothing_else_changes() {
        let word = "word ".repeat(30);
        let row = format!("| {word} |");
        let page = format!("# {word}\n\none\ntwo {word}`{word}`\n{row}\n* {word}\n  end\n* b\n");
        let made = wrapped(&page);
        let same = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(same(&made), same(&page));
        let long: Vec<_> = made
            .lines()
            .filter(|line| line.chars().count() > COLUMNS)
            .collect();
        assert_eq!(long.len(), 3, "the heading, the code and the row: {made}");
        assert!(made.contains("\n  word"), "{made}");
        assert!(made.ends_with("end\n* b\n"), "{made}");
        assert_eq!(wrapped(&made), made);
    }
}
