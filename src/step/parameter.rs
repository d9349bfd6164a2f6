//! Parameters: settings of a step that a dataflow file can change, with type, range and unit.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// True or false.
    Flag(bool),
    /// A number, in the unit of the parameter.
    Number(f64),
    /// A text.
    Text(String),
    /// A list of numbers, in the unit of the parameter.
    Numbers(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
    /// A map or list of any form.
    Json(serde_json::Value),
}

/// The form in a dataflow file.
impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterValue::Flag(flag) => write!(f, "{flag}"),
            ParameterValue::Number(number) => write!(f, "{number}"),
            ParameterValue::Text(text) => f.write_str(text),
            ParameterValue::Numbers(numbers) => {
                let texts: Vec<String> = numbers.iter().map(f64::to_string).collect();
                write!(f, "[{}]", texts.join(", "))
            }
            ParameterValue::Texts(texts) => write!(f, "[{}]", texts.join(", ")),
            // JSON is YAML, too.
            ParameterValue::Json(json) => write!(f, "{json}"),
        }
    }
}

/// The values that a parameter can have.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterKind {
    /// True or false.
    Flag,
    /// A number in a range, bounds included.
    Number {
        /// The lower bound.
        least: f64,
        /// The upper bound.
        most: f64,
    },
    /// A whole number in a range, bounds included, up to 2^53.
    Whole {
        /// The lower bound.
        least: f64,
        /// The upper bound.
        most: f64,
    },
    /// A text out of a list.
    Text {
        /// The list; empty for any text.
        choices: Vec<&'static str>,
    },
    /// One or more numbers in a range, bounds included.
    Numbers {
        /// The lower bound.
        least: f64,
        /// The upper bound.
        most: f64,
    },
    /// Any number of texts.
    Texts,
    /// A map or list of any form.
    Json {
        /// The function that says what is wrong with one.
        check: JsonCheck,
    },
}

/// The check of a parameter of any form.
#[derive(Clone, Copy)]
pub struct JsonCheck(pub fn(&serde_json::Value) -> Result<(), String>);

/// A check is a part of the step's code, of which its version tells.
impl PartialEq for JsonCheck {
    fn eq(&self, _: &JsonCheck) -> bool {
        true
    }
}

impl fmt::Debug for JsonCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonCheck")
    }
}

/// The check of each text of a parameter.
#[derive(Clone, Copy)]
pub struct TextCheck(pub fn(&str) -> Result<(), String>);

/// A check is a part of the step's code, of which its version tells.
impl PartialEq for TextCheck {
    fn eq(&self, _: &TextCheck) -> bool {
        true
    }
}

impl fmt::Debug for TextCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextCheck")
    }
}

/// The check of the values of all parameters of a step together.
pub type SettingsCheck = fn(&StepParameters) -> Result<(), String>;

/// A declared parameter.
///
/// ```
/// use flow::step::{Parameter, ParameterValue};
///
/// let threshold = Parameter::number("threshold_hu", -400.0, -1024.0, 0.0, "HU")
///     .about("Voxels below this are air.");
/// assert!(threshold.accepts(&ParameterValue::Number(-500.0)).is_ok());
/// assert_eq!(
///     threshold.accepts(&ParameterValue::Number(300.0)),
///     Err("a number from -1024 to 0 HU".to_owned()),
/// );
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// The name, as a dataflow file writes it under `with`.
    pub name: &'static str,
    /// A description in one sentence.
    pub about: &'static str,
    /// The unit, for example `HU` or `mm`; empty for a number without a unit.
    pub unit: &'static str,
    /// The values that the parameter can have.
    pub kind: ParameterKind,
    /// The value if the dataflow file does not set the parameter.
    pub default: ParameterValue,
    /// Whether the dataflow file must set the parameter.
    pub required: bool,
    /// The function that says what is wrong with one of its texts.
    pub text_check: Option<TextCheck>,
}

impl Parameter {
    /// A number from `least` to `most`.
    pub fn number(name: &'static str, default: f64, least: f64, most: f64, unit: &'static str) -> Parameter {
        let kind = ParameterKind::Number { least, most };
        Parameter::new(name, kind, ParameterValue::Number(default), unit)
    }

    /// A list of numbers from `least` to `most`.
    pub fn numbers(
        name: &'static str,
        default: &[f64],
        least: f64,
        most: f64,
        unit: &'static str,
    ) -> Parameter {
        let kind = ParameterKind::Numbers { least, most };
        Parameter::new(name, kind, ParameterValue::Numbers(default.to_vec()), unit)
    }

    /// True or false.
    pub fn flag(name: &'static str, default: bool) -> Parameter {
        Parameter::new(name, ParameterKind::Flag, ParameterValue::Flag(default), "")
    }

    /// A text out of `choices`; any text if there are no choices.
    ///
    /// ```
    /// use flow::step::{Parameter, ParameterValue};
    ///
    /// let view = Parameter::text("view", "axial", &["axial", "coronal"]);
    /// assert_eq!(view.range(), "one of axial, coronal");
    /// assert!(view.accepts(&ParameterValue::Text("oblique".to_owned())).is_err());
    /// ```
    pub fn text(name: &'static str, default: &str, choices: &[&'static str]) -> Parameter {
        let kind = ParameterKind::Text { choices: choices.to_vec() };
        Parameter::new(name, kind, ParameterValue::Text(default.to_owned()), "")
    }

    /// A list of texts; empty by default.
    pub fn texts(name: &'static str) -> Parameter {
        Parameter::new(name, ParameterKind::Texts, ParameterValue::Texts(Vec::new()), "")
    }

    /// A map or list of any form; `check` says what is wrong with one, in words that fit after "the parameter …: ".
    ///
    /// ```
    /// use flow::step::{Parameter, ParameterValue};
    ///
    /// let is_map = |json: &serde_json::Value| if json.is_object() { Ok(()) } else { Err("it is no map".to_owned()) };
    /// let fields = Parameter::json("fields", serde_json::json!({}), is_map);
    /// let list = ParameterValue::Json(serde_json::json!([1]));
    /// assert_eq!(fields.accepts(&list), Err("it is no map".to_owned()));
    /// ```
    pub fn json(
        name: &'static str,
        default: serde_json::Value,
        check: fn(&serde_json::Value) -> Result<(), String>,
    ) -> Parameter {
        let kind = ParameterKind::Json { check: JsonCheck(check) };
        Parameter::new(name, kind, ParameterValue::Json(default), "")
    }

    /// Declares that a dataflow file must set the parameter.
    #[must_use]
    pub fn required(mut self) -> Parameter {
        self.required = true;
        self
    }

    /// Has each text checked; `check` says what is wrong with one, in words that fit after "the parameter …: ".
    ///
    /// ```
    /// use flow::step::{Parameter, ParameterValue};
    ///
    /// let not_empty = |text: &str| if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(()) };
    /// let names = Parameter::texts("names").checked(not_empty);
    /// let empty = ParameterValue::Texts(vec!["a".to_owned(), String::new()]);
    /// assert_eq!(names.accepts(&empty), Err("it is empty".to_owned()));
    /// ```
    #[must_use]
    pub fn checked(mut self, check: fn(&str) -> Result<(), String>) -> Parameter {
        self.text_check = Some(TextCheck(check));
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Parameter {
        self.about = about;
        self
    }

    fn new(
        name: &'static str,
        kind: ParameterKind,
        default: ParameterValue,
        unit: &'static str,
    ) -> Parameter {
        Parameter { name, about: "", unit, kind, default, required: false, text_check: None }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// [`Parameter::range`], or what the check of the parameter says, if it cannot have this value.
    pub fn accepts(&self, setting: &ParameterValue) -> Result<(), String> {
        if let (ParameterKind::Json { check }, ParameterValue::Json(json)) = (&self.kind, setting) {
            return check.0(json);
        }
        let within = |least: f64, most: f64, number: f64| (least..=most).contains(&number);
        let fits = match (&self.kind, setting) {
            (ParameterKind::Flag, ParameterValue::Flag(_)) => true,
            (ParameterKind::Number { least, most }, ParameterValue::Number(number)) => {
                within(*least, *most, *number)
            }
            (ParameterKind::Whole { least, most }, ParameterValue::Number(number)) => {
                // A step's default may be greater: the step knows it, and it is not sent there.
                let is_whole = number.fract() == 0.0 && number.abs() <= WHOLE_MAX;
                within(*least, *most, *number) && (is_whole || *setting == self.default)
            }
            (ParameterKind::Text { choices }, ParameterValue::Text(text)) => {
                choices.is_empty() || choices.contains(&text.as_str())
            }
            (ParameterKind::Numbers { least, most }, ParameterValue::Numbers(numbers)) => {
                !numbers.is_empty() && numbers.iter().all(|number| within(*least, *most, *number))
            }
            (ParameterKind::Texts, ParameterValue::Texts(_)) => true,
            _ => false,
        };
        if !fits {
            return Err(self.range());
        }
        match setting {
            ParameterValue::Text(text) => self.check_text(text),
            ParameterValue::Texts(texts) => texts.iter().try_for_each(|text| self.check_text(text)),
            _ => Ok(()),
        }
    }

    /// Checks one text.
    ///
    /// # Errors
    /// The word of its check, if it has one.
    pub fn check_text(&self, text: &str) -> Result<(), String> {
        self.text_check.map_or(Ok(()), |check| check.0(text))
    }

    /// The values that the parameter can have, in words that fit after "takes".
    pub fn range(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match &self.kind {
            ParameterKind::Flag => "true or false".to_owned(),
            ParameterKind::Number { least, most } => format!("a number{}{unit}", bounds(*least, *most)),
            ParameterKind::Whole { least, most } => format!("a whole number{}{unit}", bounds(*least, *most)),
            ParameterKind::Numbers { least, most } => {
                format!("a list of numbers{}{unit}", bounds(*least, *most))
            }
            ParameterKind::Texts => "a list of texts".to_owned(),
            ParameterKind::Json { .. } => "a map or a list".to_owned(),
            ParameterKind::Text { choices } if choices.is_empty() => "a text".to_owned(),
            ParameterKind::Text { choices } => format!("one of {}", choices.join(", ")),
        }
    }
}

/// The largest whole number up to which a setting has every one.
const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;

/// The bounds of a range in words, as far as there are any.
fn bounds(least: f64, most: f64) -> String {
    match (least == f64::MIN, most == f64::MAX) {
        (true, true) => String::new(),
        (true, false) => format!(" up to {most}"),
        (false, true) => format!(" from {least} on"),
        (false, false) => format!(" from {least} to {most}"),
    }
}

/// The values of all parameters of a step.
///
/// ```
/// use flow::step::{Parameter, StepParameters, ParameterValue};
///
/// let declared = [Parameter::flag("smooth", true), Parameter::number("radius", 4.0, 0.0, 20.0, "mm")];
/// let mut parameters = StepParameters::defaults(&declared);
/// parameters.set("radius", ParameterValue::Number(6.0));
/// assert_eq!(parameters.get("smooth"), Some(&ParameterValue::Flag(true)));
/// assert_eq!(parameters.get("radius"), Some(&ParameterValue::Number(6.0)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StepParameters(BTreeMap<&'static str, ParameterValue>);

impl StepParameters {
    /// The defaults of the declared parameters.
    pub fn defaults(declared: &[Parameter]) -> StepParameters {
        StepParameters(declared.iter().map(|one| (one.name, one.default.clone())).collect())
    }

    /// Sets a parameter. The caller has checked the value with [`Parameter::accepts`].
    pub fn set(&mut self, name: &'static str, setting: ParameterValue) {
        self.0.insert(name, setting);
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.0.get(name)
    }

    /// Checks that a list of texts has one.
    ///
    /// # Errors
    /// If it has none.
    pub fn check_not_empty(&self, name: &str) -> Result<(), String> {
        match self.get(name) {
            Some(ParameterValue::Texts(texts)) if texts.is_empty() => {
                Err(format!("`{name}` takes one text or more"))
            }
            _ => Ok(()),
        }
    }

    /// Checks that a number is not greater than another one.
    ///
    /// # Errors
    /// If it is.
    pub fn check_order(&self, least: &str, most: &str) -> Result<(), String> {
        match (self.get(least), self.get(most)) {
            (Some(ParameterValue::Number(low)), Some(ParameterValue::Number(high))) if low > high => {
                Err(format!("`{least}`, {low}, is more than `{most}`, {high}"))
            }
            _ => Ok(()),
        }
    }

    /// All parameters with their values, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &ParameterValue)> {
        self.0.iter().map(|(name, setting)| (*name, setting))
    }
}
