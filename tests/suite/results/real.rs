//! The chest CT of the test data, through the calculations of `ct-lung`: the values a response is
//! made of.

use std::collections::BTreeMap;
use std::path::Path;

use flow::step::{Digest, Item, ItemPlace, Request, StepInputs, Value, WiredInput};

use super::sample::{Values, only, run};

/// Runs the calculations on the instances in these files.
pub fn calculate(files: &[impl AsRef<Path>]) -> Values {
    let items: Vec<Item> = files.iter().map(|file| item(file.as_ref())).collect();
    let headers =
        items.iter().map(|item| run("read-header", only("file", Value::new(item.clone())), "header"));
    let headers: Vec<Value> = headers.collect();
    let request = Request::new("real", BTreeMap::new(), items);
    let series =
        run("sort-series", StepInputs::default().with("headers", WiredInput::Each(headers)), "series");
    let volume = run("assemble-volume", only("series", series.clone()), "volume");
    let lungs = run("find-lungs", only("volume", volume.clone()), "lungs");
    let both = only("volume", volume.clone()).with("lungs", WiredInput::One(lungs.clone()));
    let densities = run("measure-densities", both, "densities");
    let request = Value::new(request);
    let names = ["request", "series", "volume", "lungs", "densities"];
    let values = Values(names.into_iter().zip([request, series, volume, lungs, densities]).collect());
    values.and("features", "measure-features", "features")
}

pub fn item(path: &Path) -> Item {
    let bytes = std::fs::read(path).expect("the file is there");
    let size = bytes.len() as u64;
    let name = path.display().to_string();
    Item { name, place: ItemPlace::File(path.to_owned()), digest: Digest::of(&bytes), size, decoded: size }
}
