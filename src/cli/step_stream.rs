//! The stream that a step makes, for `flow step`: its items as lines of JSON, and the faults of those that it could not
//! make.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::step::{
    BatchSize, Call, Fault, ItemOrdinal, ItemTally, MadeItems, MakerFunction, OutputDeclaration, Value,
};

/// What has become of the items.
pub struct WrittenStream {
    /// A line that says what was made, and where it is.
    pub line: String,
    /// How many items the step could not make, and the faults of the first ones.
    pub failed: u64,
    pub faults: Vec<(ItemOrdinal, Fault)>,
    /// The fault that ended the stream.
    pub end: Option<Fault>,
}

/// Makes all items, and writes them to `NAME.jsonl` in a folder as they come.
///
/// # Errors
/// The file cannot be written.
pub fn write(
    make: &MakerFunction,
    call: &Call,
    output: &OutputDeclaration,
    folder: &Path,
) -> io::Result<WrittenStream> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.jsonl", output.name));
    let mut file = BufWriter::new(File::create(&path)?);
    let mut tally = ItemTally::default();
    let end = make_all(make, call, |MadeItems { batch, faults }| {
        faults.into_iter().for_each(|(place, fault)| tally.fail(place, fault));
        for value in batch.into_values().1 {
            write_item(&value, &mut file)?;
            tally.done += 1;
        }
        // Of a stream that somebody interrupts, what came so far is there.
        file.flush()
    })?;
    let line = said(output, tally.done, &path);
    Ok(WrittenStream { line, failed: tally.failed, faults: tally.faults, end })
}

/// Has all items made; gives the fault that ends them, if there is one.
fn make_all(
    make: &MakerFunction,
    call: &Call,
    mut take: impl FnMut(MadeItems) -> io::Result<()>,
) -> io::Result<Option<Fault>> {
    let mut maker = match make(call) {
        Ok(maker) => maker,
        Err(fault) => return Ok(Some(fault)),
    };
    loop {
        match maker.next(BatchSize::TRAVELLING, ItemOrdinal::default(), unguarded) {
            Ok(Some(made)) => take(made)?,
            Ok(None) => return Ok(None),
            Err(fault) => return Ok(Some(fault)),
        }
    }
}

/// A panic ends the command, as that of any other step does here.
fn unguarded(run: &mut dyn FnMut()) -> Result<(), Fault> {
    run();
    Ok(())
}

fn write_item(value: &Value, file: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *file, &value.to_json()?)?;
    file.write_all(b"\n")
}

fn said(output: &OutputDeclaration, count: u64, path: &Path) -> String {
    let items = if count == 1 { "1 item".to_owned() } else { format!("{count} items") };
    format!("{}  stream of {}  {}  {}", output.name, output.kind, items, path.display())
}
