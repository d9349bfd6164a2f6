//! `draw-error`: draws pages with the failures of a request, for the person who waits for its results.

use crate::imaging::drawing::{
    ALERT, BACKGROUND, BODY, Canvas, HEADING, MUTED, PixelArea, RULE, STRONG, TextAlign, TextStyle, isolated,
};
use crate::imaging::failures::{StepFailure, failures, whom_to_ask};
use crate::imaging::{Picture, Pictures, StudyAttributes};
use crate::printable::counted;
use crate::step::{BuiltIn, Request, Step, StepOutcomes, StepOutputs};

const WIDTH: usize = 1024;
const HEIGHT: usize = 768;
const LEFT: f32 = 64.0;
const TEXT_WIDTH: f32 = WIDTH as f32 - 2.0 * LEFT;
const INDENT: f32 = 24.0;
const TOP: f32 = 56.0;
const BOTTOM: f32 = HEIGHT as f32 - 84.0;

/// Draws one page, or as many as needed.
pub fn draw_error(request: &Request, outcomes: &StepOutcomes) -> Pictures {
    let lines = lines(request, outcomes);
    let pages = paginate(&lines);
    let count = pages.len();
    Pictures(pages.into_iter().zip(1..).map(|(lines, number)| page(lines, number, count)).collect())
}

struct ErrorLine {
    text: String,
    indent: f32,
    style: TextStyle,
    /// Space above the line, omitted at the top of a page.
    above: f32,
    bar: LineBar,
}

/// The mark beside a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineBar {
    None,
    Starts,
    /// A bar joined to that of the line above.
    Continues,
}

fn lines(request: &Request, outcomes: &StepOutcomes) -> Vec<ErrorLine> {
    let mut text = ErrorText::default();
    text.add("This study could not be processed", HEADING, 0.0);
    text.add(
        "There are no measurements of it. The images are unchanged, and can be read as usual.",
        BODY,
        14.0,
    );
    text.add(&subject(request), BODY.coloured(MUTED), 12.0);
    let failures = failures(outcomes);
    for failure in &failures {
        text.failure(failure);
    }
    let mut remedies: Vec<&str> = Vec::new();
    for remedy in failures.iter().flat_map(|failure| &failure.remedies) {
        if !remedies.contains(&remedy.as_str()) {
            remedies.push(remedy);
        }
    }
    text.add("What to do", STRONG, 34.0);
    for remedy in remedies {
        text.add(remedy, BODY, 8.0);
    }
    text.add(&whom_to_ask(&isolated(&request.name)), BODY, 8.0);
    text.0
}

/// The request's study: enough to find it again.
fn subject(request: &Request) -> String {
    let study = StudyAttributes::of(request);
    let files = counted(request.items.len(), "file");
    let parts = [request.name.clone(), study.study_description.clone(), study.study_date_text(), files];
    let given: Vec<String> =
        parts.iter().filter(|part| !part.is_empty()).map(|part| isolated(part)).collect();
    format!("Request {}", given.join(" · "))
}

#[derive(Default)]
struct ErrorText(Vec<ErrorLine>);

impl ErrorText {
    fn failure(&mut self, failure: &StepFailure) {
        let start = self.0.len();
        self.add("What is wrong", STRONG, 34.0);
        for reason in &failure.reasons {
            self.add(reason, BODY, 8.0);
        }
        if failure.unnamed > 0 {
            self.add(&format!("And {} more.", failure.unnamed), BODY.coloured(MUTED), 8.0);
        }
        for line in &mut self.0[start..] {
            (line.indent, line.bar) = (INDENT, LineBar::Continues);
        }
        self.0[start].bar = LineBar::Starts;
    }

    /// A paragraph, broken into lines.
    fn add(&mut self, text: &str, style: TextStyle, above: f32) {
        for (index, text) in style.wrap(text, TEXT_WIDTH - INDENT).into_iter().enumerate() {
            let above = if index == 0 { above } else { 3.0 };
            self.0.push(ErrorLine { text, indent: 0.0, style, above, bar: LineBar::None });
        }
    }
}

fn paginate(lines: &[ErrorLine]) -> Vec<&[ErrorLine]> {
    let (mut pages, mut start, mut y) = (Vec::new(), 0, TOP);
    for (index, line) in lines.iter().enumerate() {
        let height = line.above + line.style.size;
        if y + height > BOTTOM && index > start {
            pages.push(&lines[start..index]);
            (start, y) = (index, TOP);
        }
        y += height;
    }
    pages.push(&lines[start..]);
    pages
}

fn page(lines: &[ErrorLine], number: usize, count: usize) -> Picture {
    let mut canvas = Canvas::filled(WIDTH, HEIGHT, BACKGROUND);
    let mut y = TOP;
    for (index, line) in lines.iter().enumerate() {
        let above = if index == 0 { 0.0 } else { line.above };
        let (top, bottom) = (y + above, y + above + line.style.size);
        match line.bar {
            LineBar::None => {}
            LineBar::Starts => bar(&mut canvas, top, bottom),
            LineBar::Continues => bar(&mut canvas, y, bottom),
        }
        canvas.text(&line.text, LEFT + line.indent, top, TextAlign::Left, line.style);
        y = bottom;
    }
    footer(&mut canvas, number, count);
    let (name, title) = if count == 1 {
        ("error".to_owned(), "This study could not be processed".to_owned())
    } else {
        (format!("error-{number}"), format!("This study could not be processed, page {number} of {count}"))
    };
    canvas.into_picture(&name, title)
}

fn bar(canvas: &mut Canvas, top: f32, bottom: f32) {
    let (top, bottom) = (top as usize, bottom as usize);
    canvas.fill(PixelArea { left: LEFT as usize, top, width: 4, height: bottom - top }, ALERT, 1.0);
}

fn footer(canvas: &mut Canvas, number: usize, count: usize) {
    let (y, right) = (HEIGHT as f32 - 60.0, WIDTH as f32 - LEFT);
    let style = TextStyle::regular(17.0, MUTED);
    canvas.line([LEFT, y], [right, y], 1.0, RULE);
    canvas.text(
        concat!("flow ", env!("CARGO_PKG_VERSION"), " · not for diagnosis"),
        LEFT,
        y + 14.0,
        TextAlign::Left,
        style,
    );
    if count > 1 {
        canvas.text(&format!("page {number} of {count}"), right, y + 14.0, TextAlign::Right, style);
    }
}

fn step() -> Step {
    Step::new(
        "draw-error",
        2,
        "Draws pages that say what is wrong with a study, what to do, and whom to ask.",
    )
    .takes::<Request>("request")
    .takes::<StepOutcomes>("outcomes")
    .gives::<Pictures>("pictures")
    .runs(|call| {
        let pictures = draw_error(call.input("request"), call.input("outcomes"));
        Ok(StepOutputs::one("pictures", pictures))
    })
}

inventory::submit! { BuiltIn(step) }
