//! Faults of the index: its frame, symbols, series and postings.

use narthex::index::Index;
use narthex::verify::Kind;

use super::{Case, Fault};
use crate::sick::{List, Sick, at, seal_section};

const NEW: &str = "blocks/parents-three";
const OLD: &str = "blocks/promtool-2.42";

pub(super) fn cases() -> Vec<Case> {
    let real = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Real(NEW, spoil),
    };
    let old = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Real(OLD, spoil),
    };
    let parts = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Parts(spoil),
    };
    let untold = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Untold(spoil),
    };
    let built = |name, kind, spoil| Case {
        name,
        kind,
        fault: Fault::Built(spoil),
    };
    vec![
        real("the magic number of the index", Kind::IndexHeader, |sick| {
            sick.flip("index", 0);
        }),
        real("an index of version 9", Kind::IndexVersion, |sick| {
            sick.edit("index", |bytes| bytes[4] = 9);
        }),
        real(
            "a flipped bit in the table of contents",
            Kind::IndexToc,
            |sick| {
                let len = sick.read("index").len() as u64;
                sick.flip("index", len - 30);
            },
        ),
        real("an index a byte short", Kind::IndexToc, |sick| {
            sick.edit("index", |bytes| bytes.truncate(bytes.len() - 1));
        }),
        real("half an index", Kind::IndexToc, |sick| {
            sick.edit("index", |bytes| bytes.truncate(bytes.len() / 2));
        }),
        real("an index of zeros", Kind::IndexHeader, |sick| {
            sick.edit("index", |bytes| bytes.fill(0));
        }),
        real("an empty index", Kind::IndexHeader, |sick| {
            sick.write("index", b"");
        }),
        parts(
            "two offsets in the table of contents swapped",
            Kind::IndexLayout,
            |loose| loose.toc = |toc| toc.swap(1, 5),
        ),
        parts("series said to begin later", Kind::IndexOffsets, |loose| {
            loose.toc = |toc| toc[1] += 16;
        }),
        parts("symbols said to begin later", Kind::IndexLayout, |loose| {
            loose.toc = |toc| toc[0] += 4;
        }),
        parts(
            "postings said to begin later",
            Kind::IndexOffsets,
            |loose| loose.toc = |toc| toc[4] += 400,
        ),
        real("padding of the index", Kind::IndexPadding, |sick| {
            let padding = sick.toc().series;
            sick.edit("index", |bytes| bytes[at(padding)] = 1);
        }),
        real(
            "bytes between postings and their table",
            Kind::IndexGarbage,
            garbage,
        ),
        real(
            "a flipped bit in the symbols",
            Kind::SymbolsChecksum,
            |sick| {
                let place = sick.toc().series - 10;
                sick.flip("index", place);
            },
        ),
        real(
            "the length of the symbols",
            Kind::SymbolsMalformed,
            |sick| sick.flip("index", 7),
        ),
        parts("values out of order", Kind::SymbolUnsorted, |loose| {
            loose.symbols = |symbols| {
                let at = symbols.iter().position(|s| s == "b").unwrap();
                symbols.swap(at, at + 1);
            }
        }),
        parts(
            "a name before a value out of order",
            Kind::SymbolUnsortedName,
            |loose| {
                loose.symbols = |symbols| {
                    let at = symbols.iter().position(|s| s == "job").unwrap();
                    symbols.swap(at, at + 1);
                }
            },
        ),
        parts("__name__ out of order", Kind::SymbolUnsortedName, |loose| {
            loose.symbols = |symbols| symbols.swap(1, 2);
        }),
        parts("a value twice", Kind::SymbolDuplicate, |loose| {
            loose.symbols = |symbols| {
                let at = symbols.iter().position(|s| s == "b").unwrap();
                symbols.insert(at, "b".to_owned());
            }
        }),
        parts("a name twice", Kind::SymbolDuplicate, |loose| {
            loose.symbols = |symbols| {
                let at = symbols.iter().position(|s| s == "job").unwrap();
                symbols.insert(at, "job".to_owned());
            }
        }),
        parts("an unused symbol twice", Kind::SymbolDuplicate, |loose| {
            loose.symbols = |symbols| {
                symbols.insert(1, "A".to_owned());
                symbols.insert(1, "A".to_owned());
            }
        }),
        parts("an unused symbol", Kind::SymbolUnused, |loose| {
            loose.symbols = |symbols| symbols.insert(1, "A".to_owned());
        }),
        real("a flipped bit in a series", Kind::SeriesChecksum, |sick| {
            let place = sick.series()[7] + 9;
            sick.flip("index", place);
        }),
        real("zeros instead of series", Kind::SeriesMalformed, |sick| {
            let (from, to) = (sick.series()[5], sick.series()[9]);
            sick.edit("index", |bytes| bytes[at(from)..at(to)].fill(0));
        }),
        parts("series out of order", Kind::SeriesUnsorted, |loose| {
            loose.series.swap(1, 2);
        }),
        untold("a series twice", Kind::SeriesDuplicate, |loose| {
            loose.series[2].labels = loose.series[1].labels.clone();
        }),
        untold("a series without labels", Kind::SeriesNoLabels, |loose| {
            loose.series[0].labels.clear();
        }),
        Case {
            name: "a series without chunks",
            kind: Kind::SeriesNoChunks,
            fault: Fault::Unlike(
                |loose| loose.series[1].chunks.clear(),
                |loose| drop(loose.series.remove(1)),
            ),
        },
        built(
            "a symbol that does not exist",
            Kind::SymbolMissing,
            |sick| {
                let offset = sick.series()[1];
                sick.edit("index", |bytes| {
                    bytes[at(offset) + 3] = 99;
                    crate::sick::seal_entry(bytes, offset, 0);
                });
            },
        ),
        parts("labels out of order", Kind::LabelUnsorted, |loose| {
            loose.series[1].labels.reverse();
        }),
        untold("a label twice", Kind::LabelDuplicate, |loose| {
            loose.series[3]
                .labels
                .push(("job".to_owned(), "x".to_owned()));
        }),
        untold("an empty label", Kind::LabelEmpty, |loose| {
            loose.series[3]
                .labels
                .push(("zone".to_owned(), String::new()));
        }),
        real(
            "a flipped bit in the list of all series",
            Kind::AllPostingsDamaged,
            |sick| flip_list(sick, 0),
        ),
        real(
            "a flipped bit in another list",
            Kind::PostingsChecksum,
            |sick| flip_list(sick, 1),
        ),
        built(
            "the count of the list of all series",
            Kind::AllPostingsDamaged,
            |sick| count_list(sick, 0),
        ),
        built(
            "the count of another list",
            Kind::PostingsMalformed,
            |sick| count_list(sick, 2),
        ),
        real(
            "a flipped bit in the postings table",
            Kind::PostingsTableChecksum,
            |sick| {
                let place = sick.toc().postings_table + 20;
                sick.flip("index", place);
            },
        ),
        built(
            "the count of the postings table",
            Kind::PostingsTableCount,
            |sick| {
                let table = sick.toc().postings_table;
                sick.edit("index", |bytes| {
                    bytes[at(table) + 7] += 1;
                    seal_section(bytes, table);
                });
            },
        ),
        built(
            "a postings table that goes on",
            Kind::PostingsTableRest,
            |sick| {
                let table = sick.toc().postings_table;
                sick.edit("index", |bytes| {
                    bytes[at(table) + 7] -= 1;
                    seal_section(bytes, table);
                });
            },
        ),
        built(
            "an entry of the postings table",
            Kind::PostingsTableMalformed,
            |sick| {
                let table = sick.toc().postings_table;
                sick.edit("index", |bytes| {
                    bytes[at(table) + 8] = 3;
                    seal_section(bytes, table);
                });
            },
        ),
        parts(
            "the postings table out of order",
            Kind::PostingsTableUnsorted,
            |loose| loose.lists = |lists| lists.swap(2, 3),
        ),
        parts(
            "the list of all series out of order",
            Kind::AllPostingsDamaged,
            |loose| loose.lists = |lists| lists[0].1.swap(0, 1),
        ),
        parts("a list out of order", Kind::PostingsUnsorted, |loose| {
            loose.lists = |lists| lists[1].1.swap(0, 1);
        }),
        parts(
            "a series missing from a list",
            Kind::PostingsMissing,
            |loose| {
                loose.lists = |lists| {
                    lists[1].1.remove(2);
                }
            },
        ),
        parts(
            "a series missing from the list of all",
            Kind::AllPostingsMissing,
            |loose| loose.lists = |lists| lists[0].1.truncate(3),
        ),
        parts("a list missing", Kind::PostingsMissing, |loose| {
            loose.lists = |lists| drop(lists.remove(3));
        }),
        parts(
            "the list of all series missing",
            Kind::AllPostingsMissing,
            |loose| loose.lists = |lists| drop(lists.remove(0)),
        ),
        parts(
            "a series too many in a list",
            Kind::PostingsExtra,
            |loose| {
                loose.lists = |lists| {
                    let other = lists[3].1[0];
                    lists[2].1.push(other);
                }
            },
        ),
        parts(
            "a list for a label that no series has",
            Kind::PostingsExtra,
            |loose| {
                loose.lists = |lists| {
                    let list: List = (("job".to_owned(), "e".to_owned()), lists[2].1.clone());
                    lists.insert(6, list);
                }
            },
        ),
        parts(
            "a list that refers to nothing",
            Kind::PostingsDangling,
            |loose| loose.lists = |lists| lists[1].1.push(9999),
        ),
        parts(
            "the list of all series refers to nothing",
            Kind::AllPostingsDamaged,
            |loose| loose.lists = |lists| lists[0].1.push(9999),
        ),
        built("two lists in one place", Kind::PostingsShared, |sick| {
            share_lists(sick);
        }),
        old(
            "a flipped bit in a label index",
            Kind::LabelIndexChecksum,
            |sick| {
                let place = sick.toc().postings - 6;
                sick.flip("index", place);
            },
        ),
        old(
            "a flipped bit in the table of label indices",
            Kind::LabelIndexChecksum,
            |sick| {
                let place = sick.toc().label_indices_table + 12;
                sick.flip("index", place);
            },
        ),
        old(
            "a label index of other values",
            Kind::LabelIndexContent,
            |sick| {
                let first = sick.toc().label_indices.next_multiple_of(4);
                sick.edit("index", |bytes| {
                    bytes[at(first) + 15] ^= 1;
                    seal_section(bytes, first);
                });
            },
        ),
        old(
            "the count of a label index",
            Kind::LabelIndexMalformed,
            |sick| {
                let first = sick.toc().label_indices.next_multiple_of(4);
                sick.edit("index", |bytes| {
                    bytes[at(first) + 7] ^= 2;
                    seal_section(bytes, first);
                });
            },
        ),
    ]
}

fn garbage(sick: &Sick) {
    let toc = sick.toc();
    sick.edit("index", |bytes| {
        bytes.splice(at(toc.postings_table)..at(toc.postings_table), [0; 8]);
        let end = bytes.len() - 4;
        let start = end - 48;
        let table = u64::from_be_bytes(bytes[start + 40..end].try_into().unwrap()) + 8;
        bytes[start + 40..end].copy_from_slice(&table.to_be_bytes());
        let indices = u64::from_be_bytes(bytes[start + 24..start + 32].try_into().unwrap());
        if indices == table - 8 {
            bytes[start + 24..start + 32].copy_from_slice(&table.to_be_bytes());
        }
        crate::sick::seal(bytes, start, end);
    });
}

/// Offset of a list, by its place in the table.
fn list_offset(sick: &Sick, number: usize) -> u64 {
    let bytes = sick.read("index");
    let index = Index::open(&bytes).unwrap();
    let table = index.postings_table().unwrap();
    table.iter().nth(number).unwrap().unwrap().list
}

fn flip_list(sick: &Sick, number: usize) {
    let place = list_offset(sick, number) + 9;
    sick.flip("index", place);
}

fn count_list(sick: &Sick, number: usize) {
    let list = list_offset(sick, number);
    sick.edit("index", |bytes| {
        bytes[at(list) + 7] += 1;
        seal_section(bytes, list);
    });
}

/// The third list is said to be where the second is. Both are of one series, and offsets are of the
/// same length.
fn share_lists(sick: &Sick) {
    let bytes = sick.read("index");
    let index = Index::open(&bytes).unwrap();
    let toc = index.toc();
    let entries: Vec<_> = index
        .postings_table()
        .unwrap()
        .iter()
        .map(Result::unwrap)
        .collect();
    let (a, b) = (entries[2].list, entries[3].list);
    let mut wanted = Vec::new();
    uv(&mut wanted, b);
    let mut other = Vec::new();
    uv(&mut other, a);
    assert_eq!(wanted.len(), other.len());
    let table = at(toc.postings_table);
    let place = (table..bytes.len())
        .rev()
        .find(|&i| bytes[i..].starts_with(&wanted))
        .unwrap();
    sick.edit("index", |bytes| {
        bytes[place..place + other.len()].copy_from_slice(&other);
        seal_section(bytes, toc.postings_table);
    });
}

fn uv(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
