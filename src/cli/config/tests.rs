//! Unit tests of the whole room.
