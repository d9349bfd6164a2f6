"""The status page in German, in Chromium: `URL DESTINATION`. It prints `done` at the end."""

import sys

from playwright.sync_api import expect, sync_playwright

URL, DESTINATION = sys.argv[1:3]
expect.set_options(timeout=110_000)


def main():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_context(locale="de-DE").new_page()
        page.set_default_timeout(110_000)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(URL)
        overview(page)
        request(page)
        # What the server refuses is worded by its code.
        assert page.evaluate("ask('/api/requests/99').catch(why)") == "diesen Auftrag gibt es nicht"
        late = page.evaluate("ask('/api/requests/1/cancel', { method: 'POST' }).catch(why)")
        assert late == "die Antwort ist schon in Zustellung: es gibt nichts abzubrechen", late
        assert not errors, errors
        browser.close()
    print("done", flush=True)


def overview(page):
    """Both destinations are there, and why one of them takes nothing."""
    rows = page.get_by_role("region", name="Ziele", exact=True).get_by_role("row")
    expect(rows).to_have_count(3)
    output, nobody = rows.nth(1), rows.nth(2)
    expect(output).to_contain_text("output")
    expect(output).to_contain_text("nimmt Antworten an")
    expect(output.locator("td.n").nth(1)).to_have_text("1*")
    expect(nobody).to_contain_text(DESTINATION)
    expect(nobody).to_contain_text("keine Verbindung")
    expect(page.get_by_role("region", name="Was nicht stimmt", exact=True)).to_contain_text("keine Verbindung")
    expect(page.locator("main")).not_to_contain_text("no connection")
    expect(page.get_by_role("region", name="Was nicht stimmt", exact=True)).to_contain_text("Der Prozess 1 bei 127.0.0.1:")
    processes = page.get_by_role("region", name="Prozesse", exact=True).get_by_role("row")
    expect(processes).to_have_count(3)
    expect(processes.nth(2)).to_contain_text("✗ fehlt seit ")
    # What a step has said has no translation: it says that it is English.
    faults = page.get_by_role("region", name="Warum Schritte scheitern", exact=True)
    expect(faults).to_contain_text("Daten: ")
    expect(faults.locator("[lang=en]")).not_to_be_empty()
    output.get_by_role("button", name="Anhalten").click()
    page.get_by_role("dialog").get_by_role("button").last.click()
    expect(page.get_by_role("region", name="Angehalten", exact=True)).to_contain_text("Ziel output")


def request(page):
    page.goto(URL.split("?")[0] + "#request/1")
    page.reload()
    happened = page.get_by_role("region", name="Was geschah", exact=True)
    expect(happened).to_contain_text("nicht alles angenommen von " + DESTINATION + ": keine Verbindung")
    expect(happened.locator("[lang=en]").first).not_to_be_empty()


main()
