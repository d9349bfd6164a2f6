//! A program with a kind of source and a kind of destination of its own, and a section of the site's file for
//! both: the lines of a text as requests, and a folder of answers.
//!
//! `cargo run --release --example own_source -- run examples/own-source.yaml --no-output --site SITE`, where the
//! file SITE has the line `lines: {from: questions.txt, answers: answers}` and the line `to: [answers]`
//!
//! The whole command line of flow comes with it. Inside of flow, the same file would need nothing else than
//! its line `mod own_source;`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use flow::admission::{
    Admission, BuiltInSource, DeliveryTrouble, Destination, Intake, OutgoingResponse, PartAnswer, Source,
};
use flow::site::{BuiltInSection, SectionReader, SectionSettings, SiteSection};
use flow::step::{
    AttributeDeclaration, AttributeValues, BuiltInAttributes, Item, Request, ResponseFile, ResponseFiles,
    Step, StepOutputs, StepTable,
};

inventory::submit! { BuiltInSection(&LinesSection) }
inventory::submit! { BuiltInSource(|| Arc::new(LineSource::default())) }
inventory::submit! { BuiltInAttributes(ATTRIBUTES) }

const ATTRIBUTES: &[AttributeDeclaration] = &[
    AttributeDeclaration::text("source", "How it came in: here `lines`."),
    AttributeDeclaration::number("words", "The number of words of the line."),
];

fn main() -> ExitCode {
    let repeat = Step::new("repeat", 1, "Says again what was said.").takes::<Request>("line");
    let repeat = repeat.gives::<ResponseFiles>("files").runs(|call| {
        let text = format!("{}\n", call.input::<Request>("line").items[0].name);
        let file = ResponseFile::new("answer.txt", "text/plain", text.into_bytes());
        Ok(StepOutputs::one("files", ResponseFiles(vec![file])))
    });
    flow::cli::main(&StepTable::built_in().with(repeat))
}

/// Reads `lines: {from: FILE, answers: FOLDER}`.
struct LinesSection;

impl SiteSection for LinesSection {
    fn keys(&self) -> &'static [&'static str] {
        &["lines"]
    }

    fn read(&self, reader: &mut SectionReader) -> Box<dyn SectionSettings> {
        let settings = reader.section("lines", |lines| {
            lines.known("\"lines\"", &["from", "answers"]);
            LinesSettings { from: lines.path("from"), answers: lines.path("answers") }
        });
        Box::new(settings.unwrap_or_default())
    }
}

/// What a site's file says of lines.
#[derive(Debug, Default)]
struct LinesSettings {
    from: Option<PathBuf>,
    answers: Option<PathBuf>,
}

impl SectionSettings for LinesSettings {
    fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.from.iter().map(|file| Arc::new(LineSource(Some(file.clone()))) as _).collect()
    }

    fn destination_names(&self) -> Vec<&str> {
        self.answers.iter().map(|_| "answers").collect()
    }

    fn destination(&self, name: &str) -> Option<Arc<dyn Destination>> {
        let folder = self.answers.as_ref().filter(|_| name == "answers")?;
        Some(Arc::new(AnswerFolder(folder.clone())))
    }
}

/// The lines of a file; none for the source that only knows about requests.
#[derive(Default)]
struct LineSource(Option<PathBuf>);

impl Source for LineSource {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn attributes(&self) -> &'static [AttributeDeclaration] {
        ATTRIBUTES
    }

    fn feed(&self, admission: &Admission) -> Intake {
        let Some(file) = &self.0 else { return Intake::Whole };
        match fs::read_to_string(file) {
            Ok(text) => admission.accept_all(text.lines().map(request)),
            Err(error) => {
                admission.say("lines", &format!("could not read {}: {error}", file.display()));
                Intake::Partial
            }
        }
    }
}

fn request(line: &str) -> Request {
    let words = line.split_whitespace().count().to_string();
    let attributes = [("source", "lines"), ("words", &words)];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
    let item = Item::inline(line, line.as_bytes());
    Request::new(format!("line-{}", item.digest.short()), attributes.into(), vec![item])
}

/// Each response becomes a file. To write it again changes nothing.
struct AnswerFolder(PathBuf);

impl Destination for AnswerFolder {
    fn name(&self) -> String {
        "answers".to_owned()
    }

    fn send(
        &self,
        outgoing: &OutgoingResponse,
        parts: &[&str],
        answered: &mut dyn FnMut(PartAnswer),
    ) -> Result<(), DeliveryTrouble> {
        fs::create_dir_all(&self.0).map_err(DeliveryTrouble::passing)?;
        for file in parts.iter().filter_map(|part| outgoing.file(part)) {
            let path = self.0.join(format!("{}-{}", outgoing.request.name, file.name));
            fs::copy(outgoing.path(file), path).map_err(DeliveryTrouble::passing)?;
            answered(PartAnswer::stored(&file.name));
        }
        Ok(())
    }
}
