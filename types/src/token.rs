//! Tokens in links, pixels and return paths. Filled in by the tracker work.
