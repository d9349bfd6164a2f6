//! Files to begin with, as `flow init` writes them, and the commands that come next.

use std::fs;
use std::io;
use std::path::Path;

use super::exit::{CommandError, CommandErrorKind};
use super::output;

/// Writes files into a folder, if none of them is there.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn write<N: AsRef<Path>>(folder: &Path, files: &[(N, String)], hint: &str) -> Result<(), CommandError> {
    if let Some((name, _)) = files.iter().find(|(name, _)| folder.join(name).exists()) {
        let text = format!("{} is there already", folder.join(name).display());
        return Err(CommandError::new(CommandErrorKind::Usage, text).hint(hint));
    }
    files.iter().try_for_each(|(name, text)| {
        let path = folder.join(name);
        write_one(&path, text).map_err(CommandError::at("write", &path))
    })
}

/// Tells what was written, and which commands come next.
pub fn tell<'a>(
    folder: &Path,
    names: impl Iterator<Item = &'a str>,
    next: &[(String, &str)],
) -> io::Result<()> {
    let names: Vec<&str> = names.collect();
    output::print_line(format_args!("{}: {}", folder.display(), names.join(", ")))?;
    output::print_line("")?;
    output::print_line("next:")?;
    for (command, why) in next {
        output::print_line(format_args!("  {command}"))?;
        if !why.is_empty() {
            output::print_line(format_args!("      # {why}"))?;
        }
    }
    Ok(())
}

/// Writes a file that others may read: these are no patient's data.
fn write_one(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}
