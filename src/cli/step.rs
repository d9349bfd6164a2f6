//! `flow step`: one step alone, on files.

use std::path::PathBuf;

use crate::dataflow::Dataflow;
use crate::step::{
    Call, CancelToken, Digest, Fault, InputTake, MakerFunction, ResultIdentity, Step, StepInputs,
    StepOutputs, StepParameters, StepTable, StreamFunction, UnrecordedCalls, Value, WiredInput,
};
use crate::yaml;

use super::exit::{CommandError, CommandErrorKind, CommandExit};
use super::output;
use super::step_stream;
use super::step_values;

/// Run one step alone, on files
///
/// NAME is a step of `flow steps`, or, with --dataflow, a step of that dataflow with its parameters: this
/// way steps of programs are run, too. An item or request is the path of a file or folder, json, text and
/// number are the value itself or a file, an array is a .npy file, and any other type is a file that
/// `flow step` wrote. The items of a stream that the step makes are the lines of NAME.jsonl.
///
/// Nothing is recorded. The exit code is 1 if the step fails.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flow step read-header --input file=slice.dcm
  flow step count --dataflow dataflow.yaml --input item=letter.txt --with least=3")]
pub struct StepArguments {
    /// The step
    #[arg(value_name = "NAME")]
    name: String,

    /// A dataflow file whose step NAME is to be run
    #[arg(long, value_name = "FILE")]
    dataflow: Option<String>,

    /// The value of an input; several of the same name are the values of all items
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    input: Vec<(String, String)>,

    /// The value of a parameter
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    with: Vec<(String, String)>,

    /// Where the outputs are written
    #[arg(short, long, value_name = "DIR", default_value = "flow-step")]
    output: PathBuf,
}

/// A step with its parameters.
struct ChosenStep {
    step: Step,
    parameters: StepParameters,
}

impl StepArguments {
    /// # Errors
    /// There is no such step, or an input or parameter is wrong.
    pub fn run(&self, table: &StepTable) -> Result<CommandExit, CommandError> {
        let mut chosen = self.chosen(table)?;
        self.set_parameters(&mut chosen)?;
        let inputs = self.inputs(&chosen.step, table)?;
        with_call(&chosen, &inputs, |call| match chosen.step.stream() {
            StreamFunction::Makes(make) => self.make_stream(make, call, &chosen.step),
            _ => match chosen.step.call(call) {
                Ok(outputs) => self.write(&outputs),
                Err(fault) => {
                    tell("the step", &fault);
                    Ok(CommandExit::WithErrors)
                }
            },
        })
    }

    fn chosen(&self, table: &StepTable) -> Result<ChosenStep, CommandError> {
        let Some(file) = &self.dataflow else {
            let found = table.get(&self.name).cloned();
            let step = found.ok_or_else(|| self.unknown(table.iter().map(|step| step.declaration.name)))?;
            let parameters = StepParameters::defaults(&step.declaration.parameters);
            return Ok(ChosenStep { step, parameters });
        };
        let dataflow = Dataflow::load(file, table)?;
        let nodes = &dataflow.as_written().nodes;
        let node = nodes.iter().find(|node| *node.name == *self.name);
        let node = node.ok_or_else(|| self.unknown(nodes.iter().map(|node| &*node.name)))?;
        Ok(ChosenStep { step: node.step.clone(), parameters: node.parameters.clone() })
    }

    fn unknown<'a>(&self, known: impl Iterator<Item = &'a str>) -> CommandError {
        let error = CommandError::new(CommandErrorKind::Usage, format!("no step is called {:?}", self.name));
        let more = "a step of a program is run with --dataflow and its name there";
        let hint = yaml::meant_or_all(&self.name, known).filter(|_| self.dataflow.is_some());
        error.hint(hint.as_deref().unwrap_or(more))
    }

    fn set_parameters(&self, chosen: &mut ChosenStep) -> Result<(), CommandError> {
        for (name, written) in &self.with {
            let declared = &chosen.step.declaration.parameters;
            let parameter = declared.iter().find(|parameter| parameter.name == name);
            let parameter = parameter.ok_or_else(|| {
                let known = yaml::meant_or_all(name, declared.iter().map(|one| one.name)).unwrap_or_default();
                wrong(format!("{} has no parameter {name:?}", self.name)).hint(&known)
            })?;
            let setting = step_values::setting(parameter, written)
                .map_err(|range| wrong(format!("the parameter {name:?} takes {range}, not {written:?}")))?;
            chosen.parameters.set(parameter.name, setting);
        }
        Ok(())
    }

    fn inputs(&self, step: &Step, table: &StepTable) -> Result<StepInputs, CommandError> {
        let declared = &step.declaration.inputs;
        if let Some((name, _)) =
            self.input.iter().find(|(name, _)| declared.iter().all(|one| one.name != name))
        {
            let known = yaml::meant_or_all(name, declared.iter().map(|one| one.name)).unwrap_or_default();
            return Err(wrong(format!("{} has no input {name:?}", self.name)).hint(&known));
        }
        let mut inputs = StepInputs::default();
        for input in declared {
            let given = self.input.iter().filter(|(name, _)| name == input.name);
            let values = given.map(|(name, written)| {
                step_values::read(input.kind, written, table)
                    .map_err(|reason| wrong(format!("the input {name:?} is no {}: {reason}", input.kind)))
            });
            let values = values.collect::<Result<Vec<Value>, CommandError>>()?;
            let wired = match (input.take, values.as_slice()) {
                (InputTake::Each, _) => WiredInput::Each(values),
                (_, [value]) => WiredInput::One(value.clone()),
                (InputTake::Optional, []) => WiredInput::Absent,
                (_, []) => {
                    let hint = format!("give it: --input {}=…", input.name);
                    let text =
                        format!("{} needs the input {:?} of type {}", self.name, input.name, input.kind);
                    return Err(wrong(text).hint(&hint));
                }
                (_, _) => {
                    let text = format!("the input {:?} takes one value at a time", input.name);
                    return Err(wrong(text).hint(&format!("give it once: --input {}=…", input.name)));
                }
            };
            inputs.push(input.name, wired);
        }
        Ok(inputs)
    }

    /// Makes the stream that the step makes.
    fn make_stream(
        &self,
        make: &MakerFunction,
        call: &Call,
        step: &Step,
    ) -> Result<CommandExit, CommandError> {
        let made = step_stream::write(make, call, &step.declaration.outputs[0], &self.output)?;
        output::print_line(&made.line)?;
        for (place, fault) in &made.faults {
            tell(&format!("item {place}"), fault);
        }
        if let Some(more @ 1..) = made.failed.checked_sub(made.faults.len() as u64) {
            output::tell_line(format_args!("{more} more items failed"));
        }
        made.end.iter().for_each(|fault| tell("the step", fault));
        let is_whole = made.failed == 0 && made.end.is_none();
        Ok(if is_whole { CommandExit::Done } else { CommandExit::WithErrors })
    }

    fn write(&self, outputs: &StepOutputs) -> Result<CommandExit, CommandError> {
        for (name, value) in outputs.iter() {
            for line in step_values::write(name, value, &self.output)? {
                output::print_line(line)?;
            }
        }
        Ok(CommandExit::Done)
    }
}

fn with_call<R>(chosen: &ChosenStep, inputs: &StepInputs, run: impl FnOnce(&Call) -> R) -> R {
    let nothing = Digest::of(b"");
    let identity = ResultIdentity {
        request: nothing,
        dataflow: nothing,
        step: chosen.step.declaration.name.into(),
        edition: 0,
    };
    let (parameters, token) = (&chosen.parameters, &CancelToken::default());
    let environment = &UnrecordedCalls::shared();
    run(&Call { inputs, parameters, identity: &identity, token, environment })
}

fn tell(what: &str, fault: &Fault) {
    output::tell_line(format_args!("{what} failed: {}", fault.reason));
    output::tell_line(format_args!("  hint: {}", fault.remedy));
    if let Some(log) = &fault.log.0 {
        let text = String::from_utf8_lossy(log);
        text.lines().for_each(|line| output::tell_line(format_args!("  | {line}")));
    }
}

fn wrong(text: String) -> CommandError {
    CommandError::new(CommandErrorKind::Usage, text)
}

/// `NAME=VALUE`
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
