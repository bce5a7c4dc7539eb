//! The index as a file, its symbols, its postings and what nobody reads in it.

use narthex::verify::{Depth, Kind};

use narthex::index::Index;

use super::{NEW, OLD, assert_found, assert_noted, findings, is_problem};
use crate::sick::{List, Loose, Sick, at, seal_section};

#[test]
fn headers_of_the_index() {
    for (offset, kind) in [
        (0, "index-header"),
        (3, "index-header"),
        (4, "index-version"),
    ] {
        let sick = Sick::copy_of(NEW);
        sick.flip("index", offset);
        let place = if offset == 4 { 4 } else { 0 };
        assert_found(&sick, &[(kind, "index", Some(place))]);
    }
    let sick = Sick::copy_of(NEW);
    sick.remove("index");
    assert_found(&sick, &[("index-missing", "index", None)]);
}

#[test]
fn an_index_that_is_cut_off_zeroed_or_empty() {
    let sick = Sick::copy_of(NEW);
    let len = sick.read("index").len() as u64;
    sick.flip("index", len - 30);
    assert_found(&sick, &[("index-toc", "index", Some(len - 52))]);

    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes.truncate(bytes.len() - 1));
    assert_found(&sick, &[("index-toc", "index", None)]);

    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes.truncate(bytes.len() / 2));
    let found = findings(&sick.dir, Depth::Full);
    assert!(found.iter().any(|f| f.kind == Kind::IndexToc));
    assert!(
        found
            .iter()
            .all(|f| f.path == sick.path("index") || f.kind == Kind::ChunkOrphaned)
    );

    let sick = Sick::copy_of(NEW);
    sick.edit("index", |bytes| bytes.fill(0));
    assert_found(
        &sick,
        &[
            ("index-header", "index", Some(0)),
            ("index-toc", "index", None),
        ],
    );

    let sick = Sick::copy_of(NEW);
    sick.write("index", b"");
    assert_found(
        &sick,
        &[
            ("index-header", "index", Some(0)),
            ("index-toc", "index", Some(0)),
        ],
    );
}

#[test]
fn symbols_that_are_damaged() {
    let sick = Sick::copy_of(NEW);
    sick.flip("index", sick.toc().series - 10);
    assert_found(&sick, &[("symbols-checksum", "index", Some(5))]);

    let sick = Sick::copy_of(NEW);
    sick.flip("index", 7);
    assert_found(&sick, &[("symbols-malformed", "index", Some(5))]);
}

#[test]
fn symbols_in_the_wrong_order() {
    let swapped = Loose {
        symbols: |symbols| symbols.swap(2, 3),
        ..Loose::healthy()
    };
    let sick = swapped.write();
    let found = findings(&sick.dir, Depth::Full);
    assert!(
        found.iter().any(|f| f.kind == Kind::SymbolUnsorted),
        "{found:#?}"
    );
    let found = found
        .iter()
        .filter(|f| is_problem(f))
        .all(|f| f.kind == Kind::SymbolUnsorted);
    assert!(found, "the series are still in order");

    let name = Loose {
        symbols: |symbols| symbols.swap(1, 2),
        ..Loose::healthy()
    };
    let found = findings(&name.write().dir, Depth::Full);
    assert!(
        found.iter().any(|f| f.kind == Kind::SymbolUnsortedName),
        "{found:#?}"
    );

    let twice = Loose {
        symbols: |symbols| symbols.insert(2, symbols[1].clone()),
        ..Loose::healthy()
    };
    assert_found(&twice.write(), &[("symbol-duplicate", "index", None)]);

    let unused = Loose {
        symbols: |symbols| symbols.insert(1, "A".to_owned()),
        ..Loose::healthy()
    };
    assert_noted(&unused.write(), "symbol-unused");
}

#[test]
fn sections_that_nobody_else_reads() {
    let sick = Sick::copy_of(OLD);
    let toc = sick.toc();
    sick.flip("index", toc.label_indices_table - 3);
    assert_found(&sick, &[("postings-checksum", "index", None)]);

    let sick = Sick::copy_of(OLD);
    sick.flip("index", toc.postings - 6);
    assert_found(&sick, &[("label-index-checksum", "index", None)]);

    let sick = Sick::copy_of(OLD);
    sick.flip("index", toc.label_indices_table + 12);
    assert_found(&sick, &[("label-index-checksum", "index", None)]);

    let sick = Sick::copy_of(OLD);
    sick.edit("index", |bytes| {
        let first = toc.label_indices.next_multiple_of(4);
        bytes[at(first) + 15] ^= 1;
        seal_section(bytes, first);
    });
    assert_found(&sick, &[("label-index-content", "index", None)]);
}

#[test]
fn padding_and_bytes_that_belong_to_nothing() {
    let sick = Sick::copy_of(NEW);
    let padding = sick.toc().series;
    assert!(!padding.is_multiple_of(16));
    sick.edit("index", |bytes| bytes[at(padding)] = 1);
    assert_found(&sick, &[("index-padding", "index", Some(padding))]);
}

#[test]
fn a_table_of_contents_that_lies() {
    let swapped = Loose {
        toc: |toc| toc.swap(1, 5),
        ..Loose::healthy()
    };
    assert_found(&swapped.write(), &[("index-layout", "index", None)]);
    let shifted = Loose {
        toc: |toc| toc[1] += 16,
        ..Loose::healthy()
    };
    assert_found(&shifted.write(), &[("index-offsets", "index", Some(5))]);
}

#[test]
fn an_index_of_version_1_is_read() {
    let loose = Loose {
        version: 1,
        ..Loose::healthy()
    };
    assert_found(&loose.write(), &[]);
}

#[test]
fn postings_that_are_damaged() {
    let sick = Sick::copy_of(NEW);
    let first = sick.toc().postings.next_multiple_of(4);
    sick.flip("index", first + 9);
    assert_found(&sick, &[("all-postings-damaged", "index", Some(first))]);

    let sick = Sick::copy_of(NEW);
    let table = sick.toc().postings_table;
    sick.flip("index", table + 20);
    assert_found(&sick, &[("postings-table-checksum", "index", Some(table))]);
}

/// The reference of a series: its offset in units of 16 bytes.
fn reference_of(sick: &Sick, series: usize) -> u32 {
    u32::try_from(sick.series()[series] / 16).unwrap()
}

#[test]
fn postings_that_do_not_say_what_the_series_say() {
    let spoilt = |lists: fn(&mut Vec<List>)| {
        Loose {
            lists,
            ..Loose::healthy()
        }
        .write()
    };
    // Lists: all series, __name__="up", job="a" … job="d".
    let sick = spoilt(|lists| lists[1].1.swap(0, 1));
    assert_found(&sick, &[("postings-unsorted", "index", None)]);

    let sick = spoilt(|lists| {
        lists[1].1.remove(2);
    });
    assert_found(&sick, &[("postings-missing", "index", None)]);
    let found = findings(&sick.dir, Depth::Full);
    let missing = found.iter().find(|f| is_problem(f)).unwrap();
    assert_eq!(
        missing.series.as_ref().unwrap().to_string(),
        r#"up{job="c"}"#
    );
    assert!(
        missing
            .detail
            .contains(&format!("reference {}", reference_of(&sick, 2)))
    );

    let sick = spoilt(|lists| lists[1].1.push(9999));
    assert_found(&sick, &[("postings-dangling", "index", None)]);

    let sick = spoilt(|lists| {
        let other = lists[3].1[0];
        lists[2].1.push(other);
    });
    assert_found(&sick, &[("postings-extra", "index", None)]);

    let sick = spoilt(|lists| lists[0].1.truncate(3));
    assert_found(&sick, &[("all-postings-missing", "index", None)]);

    let sick = spoilt(|lists| drop(lists.remove(3)));
    assert_found(&sick, &[("postings-missing", "index", None)]);

    // The same series are listed, but under each other's labels.
    let sick = spoilt(|lists| {
        let (a, b) = (lists[2].1.clone(), lists[3].1.clone());
        (lists[2].1, lists[3].1) = (b, a);
    });
    assert_found(
        &sick,
        &[
            ("postings-extra", "index", None),
            ("postings-missing", "index", None),
        ],
    );

    let sick = spoilt(|lists| lists.swap(2, 3));
    assert_found(&sick, &[("postings-table-unsorted", "index", None)]);
}

#[test]
fn label_indices_that_the_table_does_not_name() {
    let sick = Sick::copy_of(OLD);
    let content = sick.read("index");
    let index = Index::open(&content).unwrap();
    let indices = index.label_indices().unwrap();
    let table = indices.table_section().unwrap();
    let entries: Vec<_> = indices
        .entries(&table)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let (gap, named) = (entries[0], entries[1]);
    // The offset ends the entry, behind its count of strings, a length and the name.
    let place = |offset: u64, name: &[u8]| at(offset) + 2 + name.len();
    let from = place(named.offset, named.name);
    let to = place(gap.offset, gap.name);
    let len = at(entries[2].offset) - from;
    assert_eq!(at(named.offset) - to, len, "offsets of the same length");
    sick.edit("index", |bytes| {
        bytes.copy_within(from..from + len, to);
        seal_section(bytes, table.start);
    });
    assert_found(
        &sick,
        &[
            ("label-index-content", "index", None),
            ("index-garbage", "index", Some(index.toc().label_indices)),
        ],
    );
}
