//! Memory, state folders and answers over the time: in words, and drawn.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

const MIB: f64 = 1_048_576.0;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 150.0;
/// Room on the left for numbers, and above each panel for its title.
const MARGIN: f64 = 60.0;
const TITLE: f64 = 34.0;
/// Okabe and Ito's colours, which people with any colour vision tell apart.
const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#009e73"];

/// A name, and a value for each sample.
type NamedLine<'a> = (&'a str, Vec<f64>);

/// How things stood at one time.
pub struct SoakSample {
    pub at: Duration,
    /// The resident memory of each program, in bytes; 0 while it is started.
    pub resident: Vec<u64>,
    /// The bytes of the state folders of studies and messages.
    pub state: [u64; 2],
    /// Answers so far.
    pub answers: u64,
}

/// All samples, in the order of time.
pub struct SoakCurve {
    programs: Vec<&'static str>,
    pub samples: Vec<SoakSample>,
}

impl SoakCurve {
    pub fn new(programs: Vec<&'static str>) -> SoakCurve {
        SoakCurve { programs, samples: Vec::new() }
    }

    /// The medians of the second and of the last tenth of the time, and the most: what grows shows there.
    pub fn in_words(&self) -> String {
        let mut text = format!("{:<24}{:>16}{:>16}{:>10}   MiB\n", "", "2nd tenth", "last tenth", "most");
        let tenth = (self.samples.len() / 10).max(1);
        let mut row = |name: &str, value: &dyn Fn(&SoakSample) -> u64| {
            let median = |samples: &mut dyn Iterator<Item = &SoakSample>| {
                let mut values: Vec<u64> = samples.map(value).filter(|value| *value > 0).collect();
                values.sort_unstable();
                values.get(values.len() / 2).copied().unwrap_or(0) as f64 / MIB
            };
            let early = median(&mut self.samples.iter().skip(tenth).take(tenth));
            let late = median(&mut self.samples.iter().rev().take(tenth));
            let most = self.samples.iter().map(value).max().unwrap_or(0) as f64 / MIB;
            let _ = writeln!(text, "{name:<24}{early:>16.1}{late:>16.1}{most:>10.1}");
        };
        for (place, name) in self.programs.iter().enumerate() {
            row(&format!("memory, {name}"), &|sample| sample.resident[place]);
        }
        row("state, studies", &|sample| sample.state[0]);
        row("state, messages", &|sample| sample.state[1]);
        text
    }

    /// A picture (SVG) with a mark for each kill.
    pub fn drawn(&self, time: Duration, kills: &[Duration]) -> String {
        let memory = self.programs.iter().enumerate().map(|(place, name)| {
            (*name, self.samples.iter().map(|sample| sample.resident[place] as f64 / MIB).collect())
        });
        let state = ["studies", "messages"].into_iter().enumerate().map(|(place, name)| {
            (name, self.samples.iter().map(|sample| sample.state[place] as f64 / MIB).collect())
        });
        let answers =
            vec![("all four systems", self.samples.iter().map(|sample| sample.answers as f64).collect())];
        let panels: [(&str, Vec<NamedLine>); 3] = [
            ("Resident memory of the processes, MiB", memory.collect()),
            ("State folders, MiB", state.collect()),
            ("Answers", answers),
        ];
        let height = panels.len() as f64 * (HEIGHT + TITLE) + 40.0;
        let width = WIDTH + 2.0 * MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        let longest = self.samples.last().map_or(time, |sample| sample.at.max(time)).as_secs_f64();
        let across = |at: Duration| MARGIN + WIDTH * at.as_secs_f64() / longest;
        for (place, (title, lines)) in panels.iter().enumerate() {
            let top = place as f64 * (HEIGHT + TITLE) + TITLE;
            self.panel(&mut svg, (title, lines), top, &across);
            for at in kills {
                let (x, below) = (across(*at), top + HEIGHT);
                let _ = writeln!(svg, "<path d=\"M{x:.1} {below:.1}v-5\" stroke=\"#000\"/>");
            }
        }
        let below = height - 12.0;
        let minutes = longest / 60.0;
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{below}\">0</text><text x=\"{}\" y=\"{below}\" text-anchor=\"end\">{minutes:.0} \
             minutes; a mark is a kill -9</text>\n</svg>",
            MARGIN + WIDTH
        );
        svg
    }

    fn panel(
        &self,
        svg: &mut String,
        (title, lines): (&str, &[NamedLine]),
        top: f64,
        across: &dyn Fn(Duration) -> f64,
    ) {
        let most = lines.iter().flat_map(|(_, values)| values).copied().fold(1.0, f64::max);
        let bottom = top + HEIGHT;
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN}\" y=\"{:.1}\" font-weight=\"bold\">{title}</text>\
             <path d=\"M{MARGIN} {top:.1}V{bottom:.1}H{:.1}\" fill=\"none\" stroke=\"#999\"/>\
             <text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"end\">{most:.0}</text>\
             <text x=\"{left:.1}\" y=\"{bottom:.1}\" text-anchor=\"end\">0</text>",
            top - 8.0,
            MARGIN + WIDTH,
            top + 10.0,
            left = MARGIN - 6.0,
        );
        for (number, (name, values)) in lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points: String = self
                .samples
                .iter()
                .zip(values)
                .map(|(sample, value)| {
                    format!("{:.1},{:.1} ", across(sample.at), bottom - HEIGHT * value / most)
                })
                .collect();
            let x = MARGIN + 330.0 + 110.0 * number as f64;
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
                points.trim_end(),
                top - 8.0,
            );
        }
    }
}

/// The bytes that all files below a folder take on the disk; holes take none. Files that go away meanwhile are left out.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}
