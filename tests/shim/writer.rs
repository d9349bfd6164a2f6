//! A program to try the library with: it changes a folder, and syncs some of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).expect("the folder is named");
    let at = |name: &str| Path::new(&folder).join(name);
    for name in ["grown", "moved", "removed", "replaced", "replacing"] {
        synced(&at(name), name)?;
    }
    sync(&at(""))?;
    OpenOptions::new().append(true).open(at("grown"))?.write_all(b" by more")?;
    synced(&at("named"), "in no synced folder")?;
    fs::write(at("unsynced"), "in a synced folder")?;
    fs::create_dir(at("inside"))?;
    sync(&at(""))?;
    synced(&at("brought"), "into a synced folder")?;
    fs::rename(at("brought"), at("inside/brought"))?;
    sync(&at("inside"))?;
    synced(&at("lost"), "in no synced folder")?;
    fs::rename(at("moved"), at("elsewhere"))?;
    fs::rename(at("replacing"), at("replaced"))?;
    fs::hard_link(at("grown"), at("linked"))?;
    fs::remove_file(at("removed"))?;
    fs::create_dir(at("end"))
}

fn synced(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    sync(path)
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
