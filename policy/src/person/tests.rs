//! Stories of one person.
