//! "Which dataflow would this be?": the rules in force, and the one that a request matches.

use std::collections::BTreeMap;

use hyper::{StatusCode, Uri};
use schemars::JsonSchema;
use serde::Serialize;

use crate::admission::SelectionRule;
use crate::journal::JournalReader;
use crate::site::{check_attribute, described_request};
use crate::step::{Request, StepTable};

use super::api::MonitorApi;
use super::refusal_code::RefusalCode;
use super::reply::{MonitorAnswer, answer, failed, parameter, parameters, refusal, worded_refusal};
use super::site::NameDisplay;

/// The rules by which requests go through dataflows now.
#[derive(Serialize, JsonSchema)]
pub struct ServedRules<'a> {
    /// The rules in their order, the default last; none where all requests go through one dataflow.
    pub rules: &'a [SelectionRule],
    /// The dataflows that new requests go through.
    pub dataflows: Vec<String>,
    /// The attributes that rules can name.
    pub attributes: Vec<AttributeName>,
}

/// An attribute of requests.
#[derive(Serialize, JsonSchema)]
pub struct AttributeName {
    pub name: &'static str,
    pub about: &'static str,
}

/// The dataflow that a request would go through if it came now.
#[derive(Serialize, JsonSchema)]
pub struct ServedChoice {
    pub dataflow: String,
    /// `urgent`, `normal` or `off-peak`.
    pub priority: &'static str,
    /// The index of the rule among the rules, from 0.
    pub rule: Option<usize>,
    /// The attributes that it was asked for; those of a request only where names are not hidden.
    pub attributes: BTreeMap<String, String>,
    /// The dataflow that the request went through, if one was named.
    pub was: Option<String>,
}

impl MonitorApi {
    /// `/api/rules`
    pub(super) fn rules(&self) -> MonitorAnswer {
        let table = StepTable::built_in();
        let rules = self.dataflows.rules();
        let attributes = table.attributes().map(|one| AttributeName { name: one.name, about: one.about });
        let dataflows = self.dataflows.dataflows();
        let dataflows = dataflows.iter().map(|dataflow| dataflow.name().to_owned()).collect();
        answer(StatusCode::OK, &ServedRules { rules: &rules, dataflows, attributes: attributes.collect() })
    }

    /// `/api/choice?NAME=VALUE&…`, or `/api/choice?request=NUMBER`
    pub(super) fn choice(&self, uri: &Uri) -> MonitorAnswer {
        if let Some(number) = parameter(uri, "request") {
            return self.choice_of(&number);
        }
        let pairs: Vec<(String, String)> = parameters(uri).filter(|(_, value)| !value.is_empty()).collect();
        let table = StepTable::built_in();
        if let Err(why) = pairs.iter().try_for_each(|(name, _)| check_attribute(name, &table)) {
            return worded_refusal(StatusCode::BAD_REQUEST, &why);
        }
        answer(StatusCode::OK, &self.chosen(&described_request(pairs), NameDisplay::Shown, None))
    }

    fn choice_of(&self, number: &str) -> MonitorAnswer {
        let missing = || refusal(StatusCode::NOT_FOUND, RefusalCode::NoRequest);
        let Ok(number) = number.parse() else { return missing() };
        let found = JournalReader::open(&self.state).and_then(|reader| {
            let row = reader.row(number)?;
            row.map(|row| Ok((reader.history(number)?, row.dataflow))).transpose()
        });
        let (history, was) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return missing(),
            Err(error) => return failed(&error),
        };
        match history.request() {
            Ok((request, _)) => answer(StatusCode::OK, &self.chosen(request, self.names, Some(was))),
            Err(_) => missing(),
        }
    }

    fn chosen(&self, request: &Request, names: NameDisplay, was: Option<String>) -> ServedChoice {
        let (dataflow, table) = (self.dataflows.of(request), StepTable::built_in());
        let shown = request.attributes.iter().filter(|(name, values)| {
            names == NameDisplay::Shown && table.attribute(name).is_some() && !values.text().is_empty()
        });
        ServedChoice {
            priority: self.dataflows.priority(request, &dataflow).name(),
            rule: self.dataflows.rule_of(request),
            attributes: shown.map(|(name, values)| (name.clone(), values.text().into())).collect(),
            dataflow: dataflow.name().to_owned(),
            was,
        }
    }
}
