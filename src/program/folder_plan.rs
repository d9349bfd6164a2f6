//! What a dataflow puts into the environment and the folder of a program, checked before anything runs.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use serde_json::Value as JsonValue;

/// The place of the absolute path of a program's folder in the value of a variable.
const FOLDER: &str = "{folder}";

/// The longest name of an item, in bytes: that of file systems.
const NAME_BYTES_MAX: usize = 255;

/// Checks `environment`: a map from names of variables to texts.
pub fn check_environment(variables: &JsonValue) -> Result<(), String> {
    let map = variables.as_object().ok_or("it is not a map from names to texts")?;
    for (name, value) in map {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.chars().all(is_letter)
            || name.is_empty()
            || name.starts_with(|letter: char| letter.is_ascii_digit())
        {
            return Err(format!("{name:?} is no name of a variable: letters, digits and underscores"));
        }
        if value.as_str().is_none_or(|value| value.contains('\0')) {
            return Err(format!("the value of {name} is not a text: write it in quotes"));
        }
    }
    Ok(())
}

/// The variables for a program in a folder.
pub fn environment(variables: &JsonValue, folder: &Path) -> Vec<(String, String)> {
    let folder = folder.to_string_lossy();
    let map = variables.as_object().into_iter().flatten();
    map.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.replace(FOLDER, &folder)))).collect()
}

/// Checks `given_files`: a map from paths in the folder to texts, or to values that are written as JSON.
pub fn check_given_files(files: &JsonValue) -> Result<(), String> {
    const TAKEN: [&str; 3] = ["out", "stdout", "stderr"];
    let map = files.as_object().ok_or("it is not a map from paths to contents")?;
    for path in map.keys() {
        let mut parts = Path::new(path).components().peekable();
        let is_taken = parts.peek().is_none_or(|first| TAKEN.iter().any(|taken| first.as_os_str() == *taken));
        if is_taken || path.contains('\0') || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("{path:?} is no path of an input below the program's folder"));
        }
    }
    Ok(())
}

/// The paths and contents of the files.
pub fn given_files(files: &JsonValue) -> impl Iterator<Item = (&str, Vec<u8>)> {
    files.as_object().into_iter().flatten().map(|(path, content)| {
        let bytes = content.as_str().map_or_else(|| content.to_string(), str::to_owned).into_bytes();
        (path.as_str(), bytes)
    })
}

/// The names that another step gave to the items, in their order. Names come from outside: each has to be a plain name
/// of a file, and no two may be the same.
pub fn item_names(names: &JsonValue, items: usize) -> Result<Vec<&str>, String> {
    let list = names.as_array().ok_or("it is not a list of names")?;
    if list.len() != items {
        return Err(format!("it has {} names for {items} items", list.len()));
    }
    let mut seen = BTreeSet::new();
    let plain = |name: &&str| {
        let is_place = ["", ".", ".."].contains(name);
        let strange = |letter: char| letter == '/' || letter.is_control();
        !is_place && name.len() <= NAME_BYTES_MAX && !name.contains(strange)
    };
    let read = |name| {
        let text = JsonValue::as_str(name).filter(plain).ok_or(format!("{name} is no name of a file"))?;
        if seen.insert(text) { Ok(text) } else { Err(format!("two items have the name {text:?}")) }
    };
    list.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_have_names_and_texts() {
        let sound = json!({"MERCURE_IN_DIR": "{folder}/items", "_x1": ""});
        assert_eq!(check_environment(&sound), Ok(()));
        let set = environment(&sound, Path::new("/tmp/a"));
        let expected = [("MERCURE_IN_DIR", "/tmp/a/items"), ("_x1", "")];
        assert_eq!(set, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let wrong = [
            json!([]),
            json!({"A=B": "c"}),
            json!({"": "c"}),
            json!({"1A": "c"}),
            json!({"A": 1}),
            json!({"A": "\0"}),
        ];
        for wrong in wrong {
            assert!(check_environment(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn files_stay_below_the_folder_and_out_of_the_results() {
        let sound = json!({"items/task.json": {"a": [1]}, "note": "text\n"});
        assert_eq!(check_given_files(&sound), Ok(()));
        let files: Vec<(&str, Vec<u8>)> = given_files(&sound).collect();
        assert_eq!(files, [("items/task.json", b"{\"a\":[1]}".to_vec()), ("note", b"text\n".to_vec())]);
        for path in ["", "/etc/passwd", "../a", "a/../../b", "out/a", "stdout", "a\0", "./a"] {
            assert!(check_given_files(&json!({ path: "" })).is_err(), "{path:?}");
        }
    }

    #[test]
    fn names_are_plain_and_of_one_item_each() {
        let names = |names: JsonValue| item_names(&names, 2).map(|names| names.join(" "));
        assert_eq!(names(json!(["1.2#3.dcm", "b"])), Ok("1.2#3.dcm b".to_owned()));
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for other in ["../b", "/b", "", ".", "..", "b\n", "1.2#3.dcm", &long] {
            assert!(names(json!(["1.2#3.dcm", other])).is_err(), "{other:?}");
        }
        assert_eq!(names(json!(["a"])), Err("it has 1 names for 2 items".to_owned()));
        assert!(names(json!({"a": "b"})).is_err());
    }
}
