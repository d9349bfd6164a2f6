//! The sums over all rows of requests, by which a missing row is noticed.

use rusqlite::{Connection, params};

use crate::step::Digest;

use super::error::DatabaseError;
use super::row::{RequestRow, RequestState, short};

/// The sums over all rows. Every commit updates them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalTotal {
    all: RowSum,
    /// The sum over the unanswered requests, which is compared at each start.
    open: RowSum,
    /// Bytes of received files and results, of requests that are not being removed.
    bytes: i64,
}

/// The number of some rows, and the sum of their seals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RowSum {
    rows: i64,
    seals: u128,
}

impl RowSum {
    fn add(&mut self, seal: u128) {
        self.rows += 1;
        self.seals = self.seals.wrapping_add(seal);
    }

    fn subtract(&mut self, seal: u128) {
        self.rows -= 1;
        self.seals = self.seals.wrapping_sub(seal);
    }
}

/// The contribution of a row to the sums.
#[derive(Clone, Copy, Debug)]
pub struct RowShare {
    seal: u128,
    is_open: bool,
    bytes: i64,
}

impl RowShare {
    pub fn of(row: &RequestRow, seal: [u8; 16]) -> RowShare {
        let bytes = if row.state == RequestState::Removed { 0 } else { row.bytes_stored() };
        RowShare { seal: u128::from_le_bytes(seal), is_open: row.is_open(), bytes }
    }
}

impl JournalTotal {
    /// Reads the sums.
    ///
    /// # Errors
    /// If they do not match their digest.
    pub fn read(connection: &Connection) -> Result<JournalTotal, DatabaseError> {
        let text = "SELECT requests, seals, open_requests, open_seals, bytes, seal FROM total";
        let mut statement = connection.prepare_cached(text)?;
        let (total, seal) = statement.query_row([], |row| {
            let all = RowSum { rows: row.get(0)?, seals: u128::from_le_bytes(row.get(1)?) };
            let open = RowSum { rows: row.get(2)?, seals: u128::from_le_bytes(row.get(3)?) };
            Ok((JournalTotal { all, open, bytes: row.get(4)? }, row.get::<_, [u8; 16]>(5)?))
        })?;
        whole(total.seal() == seal).map(|()| total)
    }

    /// Writes the sums, and the number of the commit that changes them.
    pub fn write(&self, connection: &Connection, commits: i64) -> Result<(), DatabaseError> {
        let text = "UPDATE total SET requests = ?, seals = ?, open_requests = ?, open_seals = ?, bytes = ?, \
                    seal = ?, commits = ?";
        let JournalTotal { all, open, bytes } = self;
        let (seals, open_seals) = (all.seals.to_le_bytes(), open.seals.to_le_bytes());
        let values = params![all.rows, seals, open.rows, open_seals, bytes, self.seal(), commits];
        connection.prepare_cached(text)?.execute(values)?;
        Ok(())
    }

    fn seal(&self) -> [u8; 16] {
        let numbers = [self.all.rows, self.open.rows, self.bytes].map(i64::to_le_bytes);
        let sums = [self.all.seals, self.open.seals].map(u128::to_le_bytes);
        let parts = numbers.iter().map(<[u8; 8]>::as_slice).chain(sums.iter().map(<[u8; 16]>::as_slice));
        short(Digest::of_parts(parts))
    }

    /// The sums over these rows.
    pub fn of<'a>(rows: impl IntoIterator<Item = &'a RequestRow>) -> JournalTotal {
        let mut total = JournalTotal::default();
        rows.into_iter().for_each(|row| total.add(RowShare::of(row, row.seal())));
        total
    }

    pub fn add(&mut self, share: RowShare) {
        self.all.add(share.seal);
        self.bytes = self.bytes.saturating_add(share.bytes);
        if share.is_open {
            self.open.add(share.seal);
        }
    }

    pub fn subtract(&mut self, share: RowShare) {
        self.all.subtract(share.seal);
        self.bytes = self.bytes.saturating_sub(share.bytes);
        if share.is_open {
            self.open.subtract(share.seal);
        }
    }

    /// Bytes of all requests that are not being removed.
    pub fn bytes(&self) -> u64 {
        self.bytes.unsigned_abs()
    }

    /// Checks these sums against all rows, in a journal of any format.
    pub fn check_all(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let mut statement = connection.prepare_cached("SELECT requests, seals FROM total")?;
        let all = statement
            .query_row([], |row| Ok(RowSum { rows: row.get(0)?, seals: u128::from_le_bytes(row.get(1)?) }))?;
        whole(self.all == all)
    }

    /// Checks these sums against the rows of unanswered requests.
    pub fn check_open(&self, rows: &[RequestRow]) -> Result<(), DatabaseError> {
        whole(JournalTotal::of(rows).all == self.open)
    }
}

fn whole(is_whole: bool) -> Result<(), DatabaseError> {
    let what = "rows of requests are missing, or are there twice";
    is_whole.then_some(()).ok_or_else(|| DatabaseError::Damaged(what.to_owned()))
}
