//! A search service: documents in SQLite's full text index.

use rusqlite::Connection;

/// The words of which documents and questions are made.
pub const WORDS: [&str; 24] = [
    "amber", "anchor", "basket", "beacon", "candle", "canyon", "cotton", "dragon", "falcon", "garden",
    "hammer", "harbor", "island", "jacket", "lantern", "marble", "meadow", "needle", "orchard", "pepper",
    "ribbon", "saddle", "timber", "valley",
];

const DOCUMENTS: u64 = 600;
const WORDS_OF_DOCUMENT: u64 = 5;

/// The index, in memory.
pub struct DocumentIndex(Connection);

impl DocumentIndex {
    /// Makes the documents and indexes them.
    ///
    /// # Errors
    /// If SQLite has no full text index.
    pub fn new() -> rusqlite::Result<DocumentIndex> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("CREATE VIRTUAL TABLE document USING fts5(words); BEGIN")?;
        let mut insert = connection.prepare("INSERT INTO document (words) VALUES (?)")?;
        for number in 0..DOCUMENTS {
            let words = (0..WORDS_OF_DOCUMENT).map(|index| word(mixed(number * WORDS_OF_DOCUMENT + index)));
            insert.execute([words.collect::<Vec<&str>>().join(" ")])?;
        }
        drop(insert);
        connection.execute_batch("COMMIT")?;
        Ok(DocumentIndex(connection))
    }

    /// The number of documents that have all the words.
    ///
    /// # Errors
    /// If the question is none.
    pub fn count(&self, words: &str) -> rusqlite::Result<u64> {
        let quoted: Vec<String> =
            words.split_whitespace().map(|word| format!("\"{}\"", word.replace('"', ""))).collect();
        let mut count = self.0.prepare_cached("SELECT count(*) FROM document WHERE document MATCH ?")?;
        count.query_row([quoted.join(" ")], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    }
}

/// A word for a number.
pub fn word(number: u64) -> &'static str {
    WORDS[(number % WORDS.len() as u64) as usize]
}

/// A number that looks random, the same for the same seed.
pub fn mixed(seed: u64) -> u64 {
    let first = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let second = (first ^ (first >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let third = (second ^ (second >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    third ^ (third >> 31)
}
