"""Hostile texts on the status page, in Chromium: `URL`. It prints `done` at the end."""

import sys

from playwright.sync_api import expect, sync_playwright

URL = sys.argv[1]
expect.set_options(timeout=110_000)


def main():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(locale="en-GB").new_page()
        page.set_default_timeout(110_000)
        dialogs, errors = [], []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: line.type == "error" and errors.append(line.text))
        page.goto(URL)
        shown = 0
        for view, where in [
            ("rules?request=1", "patient_name=<script>alert(1)</script>"),
            ("rules?request=1", "series_description=<script>alert(1)</script>"),
            ("request/1", "<script>alert(1)</script><img src=x onerror=alert(2)>"),
            ("requests?text=%3Cscript%3Ealert(1)%3C/script%3E", None),
            ("requests", None),
            ("overview", None),
            ("steps", None),
        ]:
            page.goto(URL.split("?")[0] + "#" + view)
            page.reload()
            expect(page.locator("main section").first).to_be_visible()
            if where:
                expect(page.locator("main")).to_contain_text(where)
                shown += 1
            # Whatever stands in the page is ours: nothing was made of the texts.
            made = page.evaluate("[...document.querySelectorAll('script, img, b, iframe, [onerror]')].map((one) => one.outerHTML)")
            strange = [one for one in made if "alert" in one or "src=\"x\"" in one]
            assert not strange, (view, strange)
            assert "alert" not in page.title(), page.title()
        assert shown == 3
        assert not dialogs, dialogs
        assert not errors, errors
        browser.close()
    print("done", flush=True)


main()
