//! Races, crashes and odd sources.
