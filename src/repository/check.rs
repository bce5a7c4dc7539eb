//! Proving a repository.
