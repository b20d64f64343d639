//! What all subjects' reads go through: a read that fails fails the store before it returns.

use std::sync::Arc;

use super::StateError;
use super::table::{Read, Row, Table};
use super::tables::{Listed, Tables};
use crate::commit::Commits;

/// Reads tables for others.
pub(crate) struct Reader {
    pub(crate) tables: Arc<Tables>,
    pub(crate) commits: Arc<Commits>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Returns the table of these rows. What it reads is to be [`checked`](Self::checked).
    pub(super) fn of<R: Listed>(&self) -> Table<'_, R> {
        self.tables.of()
    }

    /// Returns what the row under a key says.
    pub(super) fn get<R: Listed>(&self, key: &<R as Row>::Key) -> Read<Option<<R as Row>::Value>> {
        self.checked(self.of::<R>().get(key))
    }

    /// Fails the store if a read failed.
    pub(super) fn checked<T>(&self, read: Read<T>) -> Read<T> {
        if let Err(StateError::Read(error)) = &read {
            self.commits.fail("reading state", error);
        }
        read
    }

    /// Fails the store at the first of these reads that failed.
    pub(super) fn each<'a, T>(
        &'a self,
        rows: impl Iterator<Item = Read<T>> + 'a,
    ) -> impl Iterator<Item = Read<T>> + 'a {
        rows.map(|row| self.checked(row))
    }
}
