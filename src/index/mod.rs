//! The index file of a block.
