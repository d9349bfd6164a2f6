"""Two tabs of the status page that are left open: `URL MINUTES`.

One stays on the overview, the other goes through the views. After each round it prints `sample HEAP NODES`: the bytes of
both heaps after a collection, and the nodes of both documents. It prints `done` at the end.
"""

import sys
import time

from playwright.sync_api import expect, sync_playwright

URL, MINUTES = sys.argv[1], float(sys.argv[2])
PATIENCE = 110_000
VIEWS = ["requests", "request/1", "steps", "rules", "overview"]


def measured(session):
    session.send("HeapProfiler.collectGarbage")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"], metrics["Nodes"]


def main():
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
        tabs = [context.new_page() for _ in range(2)]
        errors = []
        for tab in tabs:
            tab.on("pageerror", lambda error: errors.append(str(error)))
            tab.goto(URL)
            expect(tab.locator("main section").first).to_be_visible()
        sessions = [context.new_cdp_session(tab) for tab in tabs]
        for session in sessions:
            session.send("Performance.enable")
        expect(tabs[0].locator("main")).to_contain_text("Sources")
        end, rounds = time.monotonic() + 60 * MINUTES, 0
        # Six rounds at least, so that there is something to compare.
        while time.monotonic() < end or rounds < 6:
            tabs[1].evaluate(f"location.hash = {VIEWS[rounds % len(VIEWS)]!r}")
            tabs[1].wait_for_timeout(max(1000, min(10_000, 60_000 * MINUTES / 12)))
            heaps, nodes = zip(*(measured(session) for session in sessions))
            print("sample", int(sum(heaps)), int(sum(nodes)), flush=True)
            rounds += 1
        assert not errors, errors
        assert tabs[0].locator("#connection").text_content().startswith("live"), "it is still live"
        browser.close()
    print("done", flush=True)


if __name__ == "__main__":
    main()
