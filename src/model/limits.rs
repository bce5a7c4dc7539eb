//! How much of a small file of a block is read: whole files in memory, of which nothing is believed
//! yet.

/// Longest `meta.json` that is read, in bytes: a parsed one takes many times its size in memory.
/// The longest of real ones, with Thanos' file lists and a year of sources, stay far below.
pub const MAX_META_BYTES: u64 = 16 << 20;

/// Longest `tombstones` that are read into memory where a file is not mapped, in bytes.
pub const MAX_TOMBSTONES_BYTES: u64 = 64 << 20;
