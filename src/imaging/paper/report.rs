//! The page of `ct-lung`: verdict, patient and series, pictures, numbers, histogram, and what limits them.

use super::chart::draw_chart;
use super::colours::{GREY, INK, LOW_DENSITY, region_colour};
use super::page::{InkColour, PaperPage, PaperStyle};
use crate::imaging::drawing::{TextAlign, columns, isolated, region_name, signed};
use crate::imaging::{
    LungDensities, LungPart, LungRegion, PartDensity, Picture, RegionDensity, SortedSeries, StudyAttributes,
};

/// Sizes of paper, in points.
pub const PAPER_SIZES: [(&str, [f32; 2]); 2] = [("A4", [595.0, 842.0]), ("Letter", [612.0, 792.0])];

const RULE: InkColour = [190, 195, 201];
const GOOD: [InkColour; 2] = [[226, 242, 232], [10, 90, 50]];
const LIMITED: [InkColour; 2] = [[255, 240, 210], [128, 72, 0]];

const MARGIN: f32 = 36.0;
const GAP: f32 = 10.0;
/// Height of the footer, above the margin.
const FOOTER: f32 = 26.0;
/// The least height of the histogram; notes that then have no room are left out.
const CHART_LEAST: f32 = 110.0;
const NOTE_LINE: f32 = 10.0;
const NOTES_HEAD: f32 = 15.0;
const NOTES_GAP: f32 = 5.0;
const TITLE: PaperStyle = PaperStyle::bold(15.0, INK);
const STRONG: PaperStyle = PaperStyle::bold(9.5, INK);
const BODY: PaperStyle = PaperStyle::regular(8.0, INK);
const NAME: PaperStyle = PaperStyle::regular(8.0, GREY);
const SMALL: PaperStyle = PaperStyle::regular(7.0, GREY);

const ABOUT: &str = "CT lung densitometry";

/// The content of the page.
pub struct LungReport<'a> {
    pub study: &'a StudyAttributes,
    pub series: &'a SortedSeries,
    pub densities: &'a LungDensities,
    pub pictures: &'a [Picture],
    /// Limits of the results' meaning.
    pub reservations: Vec<&'a str>,
    pub remarks: Vec<&'a str>,
    pub low_density_hu: f64,
    /// The name and the beginning of the id of the request.
    pub request: String,
}

impl LungReport<'_> {
    /// Draws the page as a PDF file.
    ///
    /// # Errors
    /// If a picture has another number of bytes than its size says.
    pub fn into_pdf(self, size: [f32; 2]) -> Result<Vec<u8>, png::EncodingError> {
        let mut page = PaperPage::blank(size);
        let mut y = self.heading(&mut page);
        y = self.identity(&mut page, y);
        y = self.verdict(&mut page, y);
        y = self.pictures(&mut page, y, &["coronal", "axial"], [MARGIN, size[0] - 2.0 * MARGIN])?;
        y = self.table(&mut page, y);
        let below = self.chart_and_view(&mut page, y)?;
        self.notes(&mut page, below);
        self.footer(&mut page);
        Ok(page.into_pdf(ABOUT))
    }

    fn heading(&self, page: &mut PaperPage) -> f32 {
        let right = page.size[0] - MARGIN;
        page.text(ABOUT, [MARGIN, MARGIN + 12.0], TextAlign::Left, TITLE);
        let not = PaperStyle::bold(9.5, LOW_DENSITY);
        page.text("not for diagnosis", [right, MARGIN + 12.0], TextAlign::Right, not);
        page.line(&[[MARGIN, MARGIN + 19.0], [right, MARGIN + 19.0]], 0.8, INK);
        MARGIN + 19.0 + GAP
    }

    /// Patient and study on the left, the series that was measured on the right.
    fn identity(&self, page: &mut PaperPage, top: f32) -> f32 {
        let StudyAttributes { patient_name, patient_id, study_description, accession_number, .. } =
            self.study;
        let born = joined(&[
            &date(&self.study.patient_birth_date),
            &self.study.patient_sex,
            &self.study.patient_age,
        ]);
        let study = joined(&[&date(&self.study.study_date), study_description]);
        let (series, acquired) = self.measured_series();
        let left =
            [("Patient", person(patient_name)), ("Patient ID", patient_id.clone()), ("Born, sex, age", born)];
        let right = [("Study", study), ("Accession", accession_number.clone()), ("Series", series)];
        let width = (page.size[0] - 2.0 * MARGIN - GAP) / 2.0;
        for (x, lines) in [(MARGIN, left), (MARGIN + width + GAP, right)] {
            for (row, (name, value)) in lines.into_iter().enumerate() {
                let y = top + 6.0 + 12.0 * row as f32;
                let value = if value.is_empty() { "–".to_owned() } else { value };
                page.text(name, [x, y], TextAlign::Left, NAME);
                let style = if row == 0 { PaperStyle::bold(8.5, INK) } else { BODY };
                page.text(&isolated(&style.cut(&value, width - 62.0)), [x + 62.0, y], TextAlign::Left, style);
            }
        }
        let x = MARGIN + width + GAP + 62.0;
        let mut y = top + 6.0 + 26.0;
        for line in BODY.wrap(&acquired, width - 62.0) {
            y += NOTE_LINE;
            page.text(&line, [x, y], TextAlign::Left, BODY);
        }
        y + GAP
    }

    /// The series' name, and how it was made.
    fn measured_series(&self) -> (String, String) {
        let Some(first) = self.series.slices.first() else { return (String::new(), String::new()) };
        let spacing =
            format!("{} slices {:.2} mm apart", self.series.slices.len(), self.series.slice_spacing);
        let thick = first.slice_thickness.map_or(String::new(), |mm| format!("{mm:.2} mm thick"));
        let kernel = if first.kernel.is_empty() { String::new() } else { format!("kernel {}", first.kernel) };
        let voltage = first.peak_kilovoltage.map_or(String::new(), |kv| format!("{kv:.0} kV"));
        let label = first.series_label();
        let name = label.strip_prefix("series ").unwrap_or(&label).to_owned();
        (name, joined(&[&self.series.and_others(), &spacing, &thick, &kernel, &voltage]))
    }

    fn verdict(&self, page: &mut PaperPage, top: f32) -> f32 {
        let count = self.reservations.len();
        let (text, [ground, ink]) = match count {
            0 => ("Complete".to_owned(), GOOD),
            1 => ("Complete, with a reservation: see below".to_owned(), LIMITED),
            _ => (format!("Complete, with {count} reservations: see below"), LIMITED),
        };
        let style = PaperStyle::bold(10.5, ink);
        page.area([MARGIN, top, page.size[0] - 2.0 * MARGIN, 18.0], ground);
        page.text(&text, [MARGIN + 7.0, top + 12.8], TextAlign::Left, style);
        top + 18.0 + GAP
    }

    /// Pictures beside each other, in an area from `left` on. Without any, no room is taken.
    fn pictures(
        &self,
        page: &mut PaperPage,
        top: f32,
        names: &[&str],
        [left, width]: [f32; 2],
    ) -> Result<f32, png::EncodingError> {
        let found = names.iter().filter_map(|name| self.pictures.iter().find(|one| one.name == *name));
        let each = (width - GAP * (names.len() - 1) as f32) / names.len() as f32;
        let mut most: f32 = 0.0;
        for (index, picture) in found.enumerate() {
            let height = page.picture(picture, [left + (each + GAP) * index as f32, top], each)?;
            most = most.max(height);
        }
        Ok(top + most + GAP)
    }

    /// The histogram with the sagittal picture beside it, as high as the notes below leave room.
    fn chart_and_view(&self, page: &mut PaperPage, top: f32) -> Result<f32, png::EncodingError> {
        let width = page.size[0] - 2.0 * MARGIN;
        let needed: f32 = self.sections().iter().map(|(_, notes, _)| notes_height(notes, page.size[0])).sum();
        let room = page.size[1] - MARGIN - FOOTER - top - needed - 2.0 * GAP;
        let height = room.clamp(CHART_LEAST, width * 0.42);
        let view = self.pictures.iter().find(|one| one.name == "sagittal");
        let across = view.map_or(0.0, |view| height * view.width as f32 / view.height.max(1) as f32);
        self.pictures(page, top, &["sagittal"], [MARGIN + width - across, across])?;
        let chart = [MARGIN, top, width - across - GAP, height];
        draw_chart(page, chart, self.densities, self.low_density_hu);
        Ok(top + height + GAP)
    }

    fn table(&self, page: &mut PaperPage, top: f32) -> f32 {
        let (left, right) = (MARGIN, page.size[0] - MARGIN);
        let Some(first) = self.densities.regions.first() else { return top };
        let heads = page_columns(first);
        let place =
            |column: usize| left + 66.0 + (right - left - 66.0) * (column + 1) as f32 / heads.len() as f32;
        for (column, (head, _)) in heads.iter().enumerate() {
            page.text(head, [place(column), top + 6.0], TextAlign::Right, NAME);
        }
        let mut y = top + 10.0;
        for density in &self.densities.regions {
            page.line(&[[left, y], [right, y]], 0.4, RULE);
            let style = PaperStyle::bold(8.5, region_colour(density.lung));
            page.text(region_name(density.lung), [left, y + 10.0], TextAlign::Left, style);
            for (column, (_, value)) in page_columns(density).into_iter().enumerate() {
                let style =
                    if column == 0 { PaperStyle::bold(8.5, INK) } else { PaperStyle::regular(8.5, INK) };
                page.text(&value, [place(column), y + 10.0], TextAlign::Right, style);
            }
            y += 14.0;
        }
        page.line(&[[left, y], [right, y]], 0.4, RULE);
        let note = "mean to 15th percentile in HU; “< −950” is the share of voxels strictly below, “high” that from −600 to −250 HU; D: slope of cluster sizes";
        y += 9.0;
        page.text(note, [left, y], TextAlign::Left, SMALL);
        for text in self.densities.regions.iter().filter_map(parts_text) {
            y += NOTE_LINE;
            page.text(&text, [left, y], TextAlign::Left, SMALL);
        }
        y + GAP
    }

    fn sections(&self) -> [(&'static str, &[&str], InkColour); 2] {
        [("Reservations", &self.reservations, LIMITED[1]), ("Remarks", &self.remarks, GREY)]
    }

    /// Reservations, then remarks, as many as fit; the report has all.
    fn notes(&self, page: &mut PaperPage, top: f32) {
        let bottom = page.size[1] - MARGIN - FOOTER;
        let mut y = top + 4.0;
        let mut left_out = 0;
        for (heading, notes, mark) in self.sections() {
            let mut is_begun = false;
            for note in notes {
                let lines = note_lines(note, page.size[0]);
                let needed = NOTE_LINE * lines.len() as f32 + if is_begun { 0.0 } else { NOTES_HEAD };
                if left_out > 0 || y + needed > bottom {
                    left_out += 1;
                    continue;
                }
                if !is_begun {
                    let style = PaperStyle { colour: mark, ..STRONG };
                    page.text(heading, [MARGIN, y + 4.0], TextAlign::Left, style);
                    y += NOTES_HEAD;
                    is_begun = true;
                }
                page.area([MARGIN + 2.0, y - 4.2, 2.6, 2.6], mark);
                for line in lines {
                    page.text(&line, [MARGIN + 10.0, y], TextAlign::Left, BODY);
                    y += NOTE_LINE;
                }
            }
            y += if is_begun { NOTES_GAP } else { 0.0 };
        }
        if left_out > 0 {
            let more = format!("… and {left_out} more in the structured report");
            page.text(&more, [MARGIN + 10.0, y], TextAlign::Left, NAME);
        }
    }

    fn footer(&self, page: &mut PaperPage) {
        let (right, y) = (page.size[0] - MARGIN, page.size[1] - MARGIN);
        page.line(&[[MARGIN, y - 18.0], [right, y - 18.0]], 0.4, RULE);
        let made = concat!(
            "Made by flow ",
            env!("CARGO_PKG_VERSION"),
            " without a person's check. Not for diagnosis."
        );
        page.text(made, [MARGIN, y - 8.0], TextAlign::Left, SMALL);
        page.text(&SMALL.cut(&self.request, 200.0), [right, y - 8.0], TextAlign::Right, SMALL);
        let uid = self.series.slices.first().map_or("", |slice| slice.series_instance_uid.as_str());
        let measured = format!("Measured series {uid} {}", self.series.and_others());
        page.text(measured.trim_end(), [MARGIN, y + 1.0], TextAlign::Left, SMALL);
    }
}

/// The columns of the histogram's table, and those for which only the page has room.
fn page_columns(density: &RegionDensity) -> Vec<(String, String)> {
    let slope = density.clusters.slope.map_or("–".to_owned(), |slope| format!("{slope:.2}"));
    let more = [("high", format!("{:.2} %", density.high_attenuation_percent)), ("D", slope)];
    let common = columns(density).into_iter().map(|(head, value)| (head.replace(" perc.", ""), value));
    common.chain(more.map(|(head, value)| (head.to_owned(), value))).collect()
}

/// The low attenuation areas of a lung's parts; both lungs have the parts of each.
fn parts_text(density: &RegionDensity) -> Option<String> {
    if density.lung == LungRegion::Both {
        return None;
    }
    let share = |part: &PartDensity| Some((part.part, part.below.first()?.1));
    let shares: Vec<(LungPart, f64)> = density.parts.iter().filter_map(share).collect();
    let threshold = density.below.first()?.0;
    let names = shares.iter().map(|(part, percent)| {
        let name = match part {
            LungPart::UpperThird => "upper third",
            LungPart::MiddleThird => "middle third",
            LungPart::LowerThird => "lower third",
            LungPart::Core => "core",
            LungPart::Peel => "peel",
        };
        format!("{name} {percent:.2} %")
    });
    let lung = region_name(density.lung);
    Some(format!("{lung}, < {}: {}", signed(threshold, 0), names.collect::<Vec<_>>().join(", ")))
}

fn note_lines(note: &str, page_width: f32) -> Vec<String> {
    BODY.wrap(&sentence(note), page_width - 2.0 * MARGIN - 10.0)
}

fn notes_height(notes: &[&str], page_width: f32) -> f32 {
    let lines: usize = notes.iter().map(|note| note_lines(note, page_width).len()).sum();
    if notes.is_empty() { 0.0 } else { NOTES_HEAD + NOTE_LINE * lines as f32 + NOTES_GAP }
}

fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

/// A date (VR DA) as people write it in every country.
fn date(text: &str) -> String {
    match (text.get(..4), text.get(4..6), text.get(6..8)) {
        (Some(year), Some(month), Some(day)) if text.len() == 8 => format!("{year}-{month}-{day}"),
        _ => text.to_owned(),
    }
}

/// A name (VR PN): family name, then the others; its ideographic and phonetic form behind it.
fn person(name: &str) -> String {
    let groups = name.split('=').map(|group| {
        let mut parts = group.split('^').map(str::trim).filter(|part| !part.is_empty());
        let family = parts.next().unwrap_or_default().to_owned();
        let others = parts.collect::<Vec<_>>().join(" ");
        if others.is_empty() { family } else { format!("{family}, {others}") }
    });
    joined(&groups.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>())
}

/// A remark with a capital letter and a full stop.
fn sentence(remark: &str) -> String {
    let mut letters = remark.chars();
    let begin: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if remark.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{begin}{}{end}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_dates_are_written_for_people() {
        assert_eq!(person("Doe^Jane^^Dr"), "Doe, Jane Dr");
        assert_eq!(
            person("Yamada^Tarou=山田^太郎=やまだ^たろう"),
            "Yamada, Tarou · 山田, 太郎 · やまだ, たろう"
        );
        assert_eq!(
            (date("20260102"), date("2026"), person("")),
            ("2026-01-02".into(), "2026".into(), String::new())
        );
        assert_eq!(sentence("élan 3 mL"), "Élan 3 mL.");
    }
}
