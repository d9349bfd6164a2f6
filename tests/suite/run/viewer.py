"""Opens a study in OHIF in a headless Chromium, shows the segmentation over its series, and compares the colours on
the screen with the mask. Arguments: folder of OHIF, port of Orthanc's web server, the segmentation, a picture to write.
"""

import http.server
import json
import mimetypes
import pathlib
import re
import sys
import threading
import time
import urllib.error
import urllib.request

import numpy
import pydicom
from PIL import Image
from playwright.sync_api import sync_playwright

VIEWER, PORT, SEGMENTATION, PICTURE = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
SETTINGS = """window.config = {
  extensions: [], modes: [], customizationService: {}, showStudyList: true, maxNumberOfWebWorkers: 2,
  maxNumRequests: {interaction: 100, thumbnail: 5, prefetch: 25}, defaultDataSourceName: 'orthanc',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'orthanc',
    configuration: {
      friendlyName: 'Orthanc', name: 'orthanc', wadoUriRoot: '/dicom-web', qidoRoot: '/dicom-web',
      wadoRoot: '/dicom-web', imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: true,
      omitQuotationForMultipartRequest: true, bulkDataURI: {enabled: true},
    },
  }],
};"""


class ViewerAndArchive(http.server.BaseHTTPRequestHandler):
    """The viewer's files, and Orthanc's DICOMweb under the same origin."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/dicom-web"):
            accept = {"Accept": self.headers.get("Accept", "*/*")}
            request = urllib.request.Request(f"http://127.0.0.1:{PORT}{self.path}", headers=accept)
            try:
                with urllib.request.urlopen(request) as answer:
                    self.answer(answer.status, answer.headers.get("Content-Type"), answer.read())
            except urllib.error.HTTPError as error:
                self.answer(error.code, "text/plain", error.read())
        elif path == "/app-config.js":
            self.answer(200, "text/javascript", SETTINGS.encode())
        else:
            file = VIEWER / path.lstrip("/")
            file = file if file.is_file() else VIEWER / "index.html"
            kind = "application/wasm" if file.suffix == ".wasm" else mimetypes.guess_type(file)[0]
            self.answer(200, kind or "application/octet-stream", file.read_bytes())

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(body)


def masks(segmentation):
    """The union of all segments of each slice, by the slice's SOP instance."""
    found = {}
    for frame, groups in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        found[source] = found.get(source, False) | frame.astype(bool)
    return found


def instance_numbers(study):
    """The instance numbers of the source's slices, by their SOP instances, as Orthanc tells them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/dicom-web/studies/{study}/metadata") as answer:
        instances = [pydicom.Dataset.from_json(one) for one in json.load(answer)]
    return {one.SOPInstanceUID: int(one.InstanceNumber) for one in instances if one.get("Modality") == "CT"}


def colours(picture, box):
    """Pixels of the viewport's image, a square in its middle, that are not grey."""
    side = min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    image = Image.open(picture).convert("RGB").crop((left, top, left + side, top + side))
    pixels = numpy.asarray(image).astype(int)
    return pixels.max(2) - pixels.min(2) > 30


def tell_that_it_goes_on():
    """Without a graphics card, on a busy machine, each step of the viewer takes a while."""
    while True:
        time.sleep(5)
        print("going on", flush=True)


def main():
    threading.Thread(target=tell_that_it_goes_on, daemon=True).start()
    segmentation = pydicom.dcmread(SEGMENTATION)
    by_slice, numbers = masks(segmentation), instance_numbers(segmentation.StudyInstanceUID)
    by_number = {numbers[uid]: mask for uid, mask in by_slice.items()}
    wanted = max(by_number, key=lambda number: by_number[number].sum())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ViewerAndArchive)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as play:
        # Without a graphics card, WebGL is drawn by the processor.
        drawn = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", *drawn])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/viewer?StudyInstanceUIDs={segmentation.StudyInstanceUID}")
        page.get_by_text("Skip all").click()
        page.get_by_text("Confirm and hide").click()
        print("the study is open", flush=True)
        page.get_by_text("CT", exact=True).first.dblclick()
        page.get_by_text(re.compile(r"^I:\s*\d+ \(")).wait_for()
        page.get_by_text("flow: lung segments").dblclick()
        page.get_by_text("Yes", exact=True).first.click()
        print("the segmentation is open", flush=True)
        shown = page.locator(".viewport-element canvas, canvas.cornerstone-canvas").first
        shown.hover()
        for _ in range(2 * len(numbers)):
            if page.get_by_text(re.compile(rf"^I:\s*{wanted} \(")).count():
                break
            page.keyboard.press("ArrowDown")
            page.wait_for_timeout(100)
        agreement = 0.0
        for _ in range(60):
            page.screenshot(path=PICTURE)
            seen = colours(PICTURE, shown.bounding_box())
            # The bar for playing lies over the upper part of the image.
            seen[: len(seen) // 5] = False
            mask = Image.fromarray(by_number[wanted]).resize(seen.shape, Image.Resampling.NEAREST)
            mask = numpy.asarray(mask).copy()
            mask[: len(seen) // 5] = False
            agreement = 2 * (seen & mask).sum() / (seen.sum() + mask.sum())
            if agreement > 0.95:
                break
            page.wait_for_timeout(1000)
        browser.close()
    assert agreement > 0.95, f"slice {wanted}: the colours agree with the mask by a Dice coefficient of {agreement:.3f}"
    print(f"slice {wanted}: Dice {agreement:.3f}")


main()
