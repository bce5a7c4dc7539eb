//! One immutable block directory, and the data directory around it.
