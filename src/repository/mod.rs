//! What is kept and how: the on-disk format of a narthex repository.
