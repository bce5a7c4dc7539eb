//! Chunk encodings: the tables in the documents are those of the code.

use narthex::chunk::{ChunkKind, Encoding};

const TSDB_FORMAT: &str = include_str!("../../docs/tsdb-format.md");
const PACK_FORMAT: &str = include_str!("../../docs/pack-format.md");

/// The rows of the table in `page` whose head begins with `head`, each as its cells.
fn table<'p>(page: &'p str, head: &str) -> Vec<Vec<&'p str>> {
    let mut lines = page.lines().skip_while(|line| !line.starts_with(head));
    assert!(lines.next().is_some(), "no table {head:?}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &'p str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.map(cells).collect()
}

/// What is said of an encoding in both documents: its byte, its samples, whether these have start
/// timestamps.
fn facts(encoding: Encoding) -> [String; 3] {
    let samples = match encoding.kind() {
        ChunkKind::Floats => "floats",
        ChunkKind::Histograms => "histograms",
        ChunkKind::FloatHistograms => "float histograms",
        ChunkKind::Aggregates => "aggregates",
        ChunkKind::Unknown(_) => panic!("{encoding} is in the table"),
    };
    let starts = if encoding.has_starts() { "yes" } else { "no" };
    [
        encoding.byte().to_string(),
        samples.to_owned(),
        starts.to_owned(),
    ]
}

fn release((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

#[test]
fn the_page_of_what_is_read_has_every_encoding() {
    let expected = Encoding::ALL.map(|encoding| {
        let [byte, samples, starts] = facts(encoding);
        let since = encoding.since().map_or("never".to_owned(), release);
        vec![byte, encoding.to_string(), samples, starts, since]
    });
    let mut rows = table(
        TSDB_FORMAT,
        "| encoding | name | samples | start timestamps | since |",
    );
    for row in &mut rows {
        row.truncate(5);
    }
    assert_eq!(
        rows, expected,
        "docs/tsdb-format.md, and src/chunk/encoding.rs"
    );
}

#[test]
fn the_page_of_packs_has_every_encoding_that_columns_and_splices_hold() {
    let mut expected = Vec::new();
    for encoding in Encoding::ALL {
        for encoder in encoding.encoders() {
            let versions = [encoder.pack_format, encoder.splice_format];
            if versions == [None, None] {
                continue;
            }
            let versions =
                versions.map(|since| since.map_or("–".to_owned(), |since| since.to_string()));
            let row = facts(encoding)
                .into_iter()
                .chain([release(encoder.since)])
                .chain(versions);
            expected.push(row.collect::<Vec<_>>());
        }
    }
    let rows = table(
        PACK_FORMAT,
        "| encoding | samples | start timestamps | as written since Prometheus |",
    );
    assert_eq!(
        rows, expected,
        "docs/pack-format.md, section 7.2, and src/chunk/encoding.rs"
    );
}
