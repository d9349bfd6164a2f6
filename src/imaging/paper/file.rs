//! A page as a PDF file made by the rules of PDF/A-2b (ISO 19005-2): fonts within it, colours that depend on no device,
//! its title and version as XMP. No clock is read: the same page gives the same bytes.

use pdf_writer::types::Predictor;
use pdf_writer::writers::ColorSpace;
use pdf_writer::{Filter, Finish, Name, Pdf, Rect, Ref, TextStr};

use super::fonts::put_fonts;
use super::page::{PaperImage, PaperPage, image_name};
use super::stream::deflated;
use crate::step::Digest;

const PRODUCER: &str = concat!("flow ", env!("CARGO_PKG_VERSION"));

impl PaperPage {
    pub fn into_pdf(self, title: &str) -> Vec<u8> {
        let PaperPage { size, content, fonts, images } = self;
        let mut last = 0;
        let mut new_ref = || {
            last += 1;
            Ref::new(last)
        };
        let [catalog, pages, page, drawing, metadata, info] = [(); 6].map(|()| new_ref());
        let content = content.finish().into_vec();
        let mut pdf = Pdf::new();
        let id = Digest::of_parts([title.as_bytes(), &content]).as_bytes()[..16].to_vec();
        pdf.set_file_id((id.clone(), id));
        pdf.catalog(catalog).pages(pages).metadata(metadata).lang(TextStr("en"));
        pdf.document_info(info).title(TextStr(title)).producer(TextStr(PRODUCER));
        pdf.pages(pages).kids([page]).count(1);
        let fonts = fonts.write(&mut pdf, &mut new_ref);
        let images: Vec<Ref> = images.iter().map(|image| write_image(image, &mut pdf, new_ref())).collect();
        let mut sheet = pdf.page(page);
        sheet.parent(pages).media_box(Rect::new(0.0, 0.0, size[0], size[1])).contents(drawing);
        let mut resources = sheet.resources();
        put_fonts(&mut resources, &fonts);
        // The colours of a device stand for those of this space on the whole page.
        resources.color_spaces().insert(Name(b"DefaultRGB")).start::<ColorSpace>().srgb();
        let mut named = resources.x_objects();
        for (index, image) in images.iter().enumerate() {
            named.pair(Name(image_name(index).as_bytes()), *image);
        }
        named.finish();
        resources.finish();
        sheet.finish();
        deflated(&mut pdf, drawing, &content, |_| ());
        pdf.metadata(metadata, description(title).as_bytes());
        pdf.finish()
    }
}

/// Pixels as a PNG file has them: each row says how it is filtered.
fn write_image(image: &PaperImage, pdf: &mut Pdf, id: Ref) -> Ref {
    let mut written = pdf.image_xobject(id, &image.rows);
    written.filter(Filter::FlateDecode);
    written.width(image.width as i32).height(image.height as i32).bits_per_component(8);
    written.color_space().device_rgb();
    written
        .decode_parms()
        .predictor(Predictor::PngOptimum)
        .colors(3)
        .bits_per_component(8)
        .columns(image.width as i32);
    id
}

/// The document's metadata as XMP (ISO 16684-1).
fn description(title: &str) -> String {
    let title = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n\
         <rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
         xmlns:pdf=\"http://ns.adobe.com/pdf/1.3/\" xmlns:pdfaid=\"http://www.aiim.org/pdfa/ns/id/\">\n\
         <pdfaid:part>2</pdfaid:part>\n\
         <pdfaid:conformance>B</pdfaid:conformance>\n\
         <dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">{title}</rdf:li></rdf:Alt></dc:title>\n\
         <pdf:Producer>{PRODUCER}</pdf:Producer>\n\
         </rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"r\"?>"
    )
}
