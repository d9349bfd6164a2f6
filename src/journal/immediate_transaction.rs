//! A transaction of SQLite whose statements are prepared once: where each message has a commit of its own, that is a
//! good part of the time that it takes.

use std::ops::Deref;

use rusqlite::Connection;

/// A transaction that has the write lock. It is rolled back when it is dropped without a commit.
pub struct ImmediateTransaction<'a>(&'a Connection);

impl<'a> ImmediateTransaction<'a> {
    /// Begins a transaction, and takes the write lock at once.
    ///
    /// # Errors
    /// If the lock cannot be had, or a transaction is under way.
    pub fn begin(connection: &'a Connection) -> Result<ImmediateTransaction<'a>, rusqlite::Error> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(ImmediateTransaction(connection))
    }

    /// Commits what was written.
    ///
    /// # Errors
    /// If that cannot be written; then nothing is.
    pub fn commit(self) -> Result<(), rusqlite::Error> {
        self.0.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Deref for ImmediateTransaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for ImmediateTransaction<'_> {
    fn drop(&mut self) {
        // SQLite itself has rolled back after some errors.
        if !self.0.is_autocommit() {
            let rolled_back = self.0.execute_batch("ROLLBACK");
            // The next transaction cannot begin then, and says so.
            if let Err(error) = rolled_back {
                tracing::error!(%error, "a transaction could not be rolled back");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_stays_and_all_else_is_rolled_back() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x UNIQUE)").unwrap();
        for is_committed in [true, false, true] {
            let transaction = ImmediateTransaction::begin(&connection).unwrap();
            transaction.execute("INSERT INTO t SELECT count(*) FROM t", []).unwrap();
            assert!(ImmediateTransaction::begin(&connection).is_err(), "one is under way");
            match is_committed {
                true => transaction.commit().unwrap(),
                false => drop(transaction),
            }
            assert!(connection.is_autocommit());
        }
        let count: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2);
    }
}
