//! Parameters: what a step lets a dataflow file set, with type, range and unit.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Setting {
    Flag(bool),
    Number(f64),
    Text(String),
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

/// As a dataflow file writes it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Flag(flag) => write!(f, "{flag}"),
            Setting::Number(number) => write!(f, "{number}"),
            Setting::Text(text) => f.write_str(text),
            Setting::Numbers(numbers) => {
                let texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
                write!(f, "[{}]", texts.join(", "))
            }
            Setting::Texts(texts) => write!(f, "[{}]", texts.join(", ")),
        }
    }
}

/// What values a parameter takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Flag,
    Number { least: f64, most: f64 },
    Text { choices: Vec<&'static str> },
    Numbers { least: f64, most: f64 },
    Texts,
}

/// A declared parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    pub name: &'static str,
    pub about: &'static str,
    /// For example `HU` or `mm`; empty for a number without a unit.
    pub unit: &'static str,
    pub kind: Kind,
    pub default: Setting,
    /// A dataflow file has to set it.
    pub required: bool,
}

impl Parameter {
    pub fn number(name: &'static str, default: f64, least: f64, most: f64, unit: &'static str) -> Parameter {
        let kind = Kind::Number { least, most };
        Parameter::new(name, kind, Setting::Number(default), unit)
    }

    pub fn numbers(
        name: &'static str,
        default: &[f64],
        least: f64,
        most: f64,
        unit: &'static str,
    ) -> Parameter {
        let kind = Kind::Numbers { least, most };
        Parameter::new(name, kind, Setting::Numbers(default.to_vec()), unit)
    }

    pub fn flag(name: &'static str, default: bool) -> Parameter {
        Parameter::new(name, Kind::Flag, Setting::Flag(default), "")
    }

    /// A text out of `choices`; any text where there are none.
    pub fn text(name: &'static str, default: &str, choices: &[&'static str]) -> Parameter {
        let kind = Kind::Text { choices: choices.to_vec() };
        Parameter::new(name, kind, Setting::Text(default.to_owned()), "")
    }

    /// Any number of any texts; none by default.
    pub fn texts(name: &'static str) -> Parameter {
        Parameter::new(name, Kind::Texts, Setting::Texts(Vec::new()), "")
    }

    /// One that a dataflow file has to set: its default is of no use.
    pub fn required(mut self) -> Parameter {
        self.required = true;
        self
    }

    pub fn about(mut self, about: &'static str) -> Parameter {
        self.about = about;
        self
    }

    fn new(name: &'static str, kind: Kind, default: Setting, unit: &'static str) -> Parameter {
        Parameter { name, about: "", unit, kind, default, required: false }
    }

    /// Whether the parameter takes this setting; if not, what it would take, as a fragment that
    /// fits after "takes ".
    pub fn accepts(&self, setting: &Setting) -> Result<(), String> {
        let within = |least: f64, most: f64, number: f64| (least..=most).contains(&number);
        let fits = match (&self.kind, setting) {
            (Kind::Flag, Setting::Flag(_)) => true,
            (Kind::Number { least, most }, Setting::Number(number)) => within(*least, *most, *number),
            (Kind::Text { choices }, Setting::Text(text)) => {
                choices.is_empty() || choices.contains(&text.as_str())
            }
            (Kind::Numbers { least, most }, Setting::Numbers(numbers)) => {
                !numbers.is_empty() && numbers.iter().all(|number| within(*least, *most, *number))
            }
            (Kind::Texts, Setting::Texts(_)) => true,
            _ => false,
        };
        if fits { Ok(()) } else { Err(self.range()) }
    }

    /// The values it takes, in words.
    pub fn range(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match &self.kind {
            Kind::Flag => "true or false".to_owned(),
            Kind::Number { least, most } => format!("a number from {least} to {most}{unit}"),
            Kind::Numbers { least, most } => format!("a list of numbers from {least} to {most}{unit}"),
            Kind::Texts => "a list of texts".to_owned(),
            Kind::Text { choices } if choices.is_empty() => "a text".to_owned(),
            Kind::Text { choices } => format!("one of {}", choices.join(", ")),
        }
    }
}

/// The settings a step runs with: every declared parameter has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Parameters(BTreeMap<&'static str, Setting>);

impl Parameters {
    /// The defaults of the declared parameters.
    pub fn defaults(declared: &[Parameter]) -> Parameters {
        Parameters(declared.iter().map(|one| (one.name, one.default.clone())).collect())
    }

    pub fn set(&mut self, name: &'static str, setting: Setting) {
        self.0.insert(name, setting);
    }

    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.0.iter().map(|(name, setting)| (*name, setting))
    }
}
