//! The inputs of a step on their way to another process: small values with the step, large ones through the store that
//! all processes share, and the request by its items.

use std::sync::Arc;

use crate::dataflow::{Dataflow, DataflowNode, InputSource};
use crate::step::{Digest, Item, PathOf, Request, StepInputs, Value, WiredInput};
use crate::store::{Store, StoreError};

use super::memory::{BYTES_HERE_MAX, RecordedRun};
use super::remote_step::{CarriedInput, CarriedValue, RemoteStep};

/// The inputs of a step, as they are sent.
pub struct CarriedInputs {
    pub inputs: Vec<CarriedInput>,
    /// The bytes of small values, one after the other.
    pub content: Vec<u8>,
}

impl CarriedInputs {
    /// The inputs of a run. Large values are in the store afterwards.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn of(run: &RecordedRun, dataflow: &Dataflow, store: &Store) -> Result<CarriedInputs, StoreError> {
        let source = |index| run.node.input_source(dataflow, index);
        CarriedInputs::from(run.inputs, source, run.request.id, run.item, store)
    }

    /// Inputs of a request, each with its source.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn from(
        inputs: &StepInputs,
        source: impl Fn(usize) -> Option<InputSource>,
        request: Digest,
        item: Option<usize>,
        store: &Store,
    ) -> Result<CarriedInputs, StoreError> {
        let mut content = Vec::new();
        let mut value = |value: &Value| carried(request, value, store, &mut content);
        let each = inputs.iter().enumerate().map(|(index, (_, wired))| {
            Ok(match (wired, source(index)) {
                (WiredInput::Absent, _) => CarriedInput::Absent,
                (WiredInput::One(_), Some(InputSource::Request)) => CarriedInput::One(CarriedValue::Request),
                (WiredInput::One(_), Some(InputSource::Items)) => {
                    CarriedInput::One(CarriedValue::Item(item.unwrap_or(0)))
                }
                (WiredInput::Each(values), Some(InputSource::Items)) => {
                    CarriedInput::Each((0..values.len()).map(CarriedValue::Item).collect())
                }
                (WiredInput::One(one), _) => CarriedInput::One(value(one)?),
                (WiredInput::Each(values), _) => {
                    CarriedInput::Each(values.iter().map(&mut value).collect::<Result<_, StoreError>>()?)
                }
            })
        });
        let inputs = each.collect::<Result<_, StoreError>>()?;
        Ok(CarriedInputs { inputs, content })
    }
}

fn carried(
    request: Digest,
    value: &Value,
    store: &Store,
    content: &mut Vec<u8>,
) -> Result<CarriedValue, StoreError> {
    // The digest of most values is that of their form: one that is stored need not be written again.
    let known = value.digest();
    if store.work_size(request, known).is_some() {
        return Ok(CarriedValue::Stored { form: known });
    }
    let (bytes, form) = value.to_form();
    if bytes.len() <= BYTES_HERE_MAX {
        content.extend_from_slice(&bytes);
        return Ok(CarriedValue::Here { bytes: bytes.len() });
    }
    if store.work_size(request, form).is_none() {
        store.put_work(request, form, &bytes)?;
    }
    Ok(CarriedValue::Stored { form })
}

/// A step that has arrived, and where its inputs are read from.
pub struct ArrivedInputs<'a> {
    pub step: &'a RemoteStep,
    /// The request, with items in files that are here.
    pub request: &'a Arc<Request>,
    pub store: &'a Store,
    pub path_of: PathOf<'a>,
}

impl ArrivedInputs<'_> {
    /// Reads the inputs. Gives also the number of bytes that were brought.
    ///
    /// # Errors
    /// The name of the input that cannot be read, with the reason.
    pub fn read(&self, node: &DataflowNode) -> Result<(StepInputs, u64), String> {
        let batch = self.step.batch;
        let (takes, plan) = match batch {
            None => (node, node.plan_input()),
            Some(batch) => (node.member_step(batch.member).ok_or("it has no such step here")?, None),
        };
        let declared = takes.step.declaration.inputs.iter().map(|input| input.name);
        let names: Vec<&'static str> = declared.chain(plan).collect();
        if names.len() != self.step.inputs.len() {
            return Err("it has other inputs here".to_owned());
        }
        let (mut content, mut taken) = (self.step.content.as_slice(), 0);
        let mut inputs = StepInputs::default();
        for (index, (name, carried)) in names.into_iter().zip(&self.step.inputs).enumerate() {
            let source = match batch {
                None => node.input_source(&self.step.dataflow, index),
                Some(batch) => node.batch_source(&self.step.dataflow, batch.member, index),
            };
            let mut value = |carried: &CarriedValue| {
                let (value, bytes) = self.value(carried, source, &mut content)?;
                taken += bytes;
                Some(value)
            };
            let wired = match carried {
                CarriedInput::Absent => Some(WiredInput::Absent),
                CarriedInput::One(one) => value(one).map(WiredInput::One),
                CarriedInput::Each(each) => {
                    each.iter().map(value).collect::<Option<_>>().map(WiredInput::Each)
                }
            };
            inputs.push(name, wired.ok_or_else(|| format!("its input {name:?} is not in the store"))?);
        }
        Ok((inputs, taken))
    }

    /// A value with the bytes that were read for it.
    fn value(
        &self,
        carried: &CarriedValue,
        source: Option<InputSource>,
        content: &mut &[u8],
    ) -> Option<(Value, u64)> {
        let request = self.request;
        let form = |bytes: &[u8]| match source {
            Some(InputSource::Form(read)) => Some((read(bytes, self.path_of).ok()?, bytes.len() as u64)),
            Some(InputSource::Request | InputSource::Items) | None => None,
        };
        match carried {
            CarriedValue::Request => Some((Value::shared(Arc::clone(request)), 0)),
            CarriedValue::Item(index) => {
                let item: &Item = request.items.get(*index)?;
                Some((Value::new(item.clone()), 0))
            }
            CarriedValue::Here { bytes } => form(content.split_off(..*bytes)?),
            CarriedValue::Stored { form: digest } => form(&self.store.get(request.id, *digest)?),
        }
    }
}
