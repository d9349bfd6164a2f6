"""The status page as a person uses it, in Chromium: `URL FOLDER`.

Whoever runs this does what it prints, and answers `yes`: `send NAME` sends a study, `change` changes what the step reads;
`look` only says how far it is. Pictures of the screen go to the folder. It prints `done` at the end.
"""

import re
import sys

from playwright.sync_api import expect, sync_playwright

URL, FOLDER = sys.argv[1:3]
PATIENCE = 110_000
expect.set_options(timeout=PATIENCE)


def tell(word):
    print(word, flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "yes", answer


def picture(page, name):
    page.screenshot(path=f"{FOLDER}/page-{name}.png", full_page=True)


def section(page, name):
    return page.get_by_role("region", name=name, exact=True)


def act(page, name, said=": noted", within=None):
    """Presses a button, and says yes."""
    (within or page).get_by_role("button", name=name).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button").last.click()
    expect(page.locator("#said")).to_contain_text(said)


def see(page, view):
    page.get_by_role("navigation").get_by_role("link", name=view).click()


def main():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: line.type == "error" and "409" not in line.text and errors.append(line.text))
        elsewhere = []
        page.on("request", lambda asked: asked.url.startswith(URL.split("?")[0]) or elsewhere.append(asked.url))
        page.goto(URL)
        complete(page)
        request(page)
        rules(page)
        wait(page)
        keyboard(page)
        looks(browser, context, page)
        words(context)
        assert page.title() == "flow", page.title()
        assert not errors, errors
        assert not [url for url in elsewhere if not url.startswith("data:")], elsewhere
        browser.close()
    print("done", flush=True)


def complete(page):
    """A study is received, and declared complete."""
    expect(section(page, "Nothing is wrong")).to_be_visible()
    processes = section(page, "Processes").get_by_role("row")
    expect(processes).to_have_count(3)
    expect(processes.nth(1)).to_contain_text(re.compile("^0 127.0.0.1:.*✓ there for .*commit "))
    expect(processes.nth(2)).to_contain_text(re.compile("^1 127.0.0.1:.*big-memory.*✓ there for .* of 1.0 GiB.*generation 1"))
    tell("send one")
    received = section(page, "Being received")
    expect(received).to_contain_text("40")
    picture(page, "receiving")
    received.get_by_role("button", name="Complete").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("complete with 40 instances?")
    picture(page, "question")
    dialog.get_by_role("button", name="Back").click()
    expect(received).to_be_visible()
    act(page, "Complete", within=received)
    expect(received).to_have_count(0)


def request(page):
    see(page, "Requests")
    found = page.locator("#found")
    expect(found).to_contain_text("answered")
    found.get_by_role("link").first.click()
    expect(section(page, "What happened")).to_contain_text("declared complete by the status page at 127.0.0.1")
    act(page, "Keep")
    expect(page.get_by_role("button", name="Release")).to_be_visible()
    expect(page.get_by_text("★ kept")).to_be_visible()
    act(page, "Replay")
    replay = section(page, "Replay")
    expect(replay).to_contain_text("its step is identical")
    tell("change")
    act(page, "Replay")
    expect(replay).to_contain_text("0 of 1 steps are identical")
    expect(replay).to_contain_text("another text")
    expect(replay).to_contain_text("<img src=x onerror=")
    picture(page, "replay")
    files = section(page, "Results").get_by_role("link")
    expect(files).to_contain_text(["notes.txt"])


def rules(page):
    """Which dataflow would this be? A request that there is, then one by hand."""
    page.get_by_role("link", name="Which dataflow would it be now?").click()
    answer = section(page, "Answer")
    expect(answer).to_contain_text("It would go through script")
    expect(answer).to_contain_text("2: modality is CT")
    expect(answer).to_contain_text("modality=CT")
    expect(page.locator("tr[aria-current=true]")).to_contain_text("script")
    picture(page, "rules")
    see(page, "Rules")
    expect(answer).to_have_count(0)
    form = page.get_by_role("form", name="A request with these attributes")
    form.get_by_label("Value").fill("MR")
    form.get_by_label("Value").press("Enter")
    expect(answer).to_contain_text("It would go through other")
    expect(answer).to_contain_text("all others")
    form.get_by_role("button", name="Another attribute").click()
    form.get_by_role("combobox").last.select_option("calling_ae")
    form.get_by_label("Value").last.fill("NORTH")
    form.get_by_role("button", name="Ask").click()
    expect(answer).to_contain_text("It would go through ct-lung-north")
    expect(answer).to_contain_text("north")
    expect(answer).to_contain_text("urgent")


def wait(page):
    """A dataflow is paused: two requests wait, the second is hurried, once."""
    see(page, "Steps")
    act(page, "Pause: dataflow script")
    see(page, "Overview")
    expect(section(page, "Paused")).to_contain_text("dataflow script")
    for name in ["two", "three"]:
        tell("send " + name)
        act(page, "Complete", within=section(page, "Being received"))
        expect(section(page, "Being received")).to_have_count(0)
    waiting = section(page, "Waiting longest")
    expect(waiting.get_by_role("row")).to_have_count(3)
    expect(waiting).to_contain_text("its dataflow, which is paused")
    picture(page, "waiting")
    see(page, "Requests")
    page.locator("#found").get_by_role("link").first.click()
    act(page, "Hurry")
    expect(section(page, "What happened")).to_contain_text("hurry, asked for by the status page")
    act(page, "Hurry", "is urgent already")
    picture(page, "hurry")
    see(page, "Overview")
    act(page, "Resume: dataflow script")
    expect(waiting).to_have_count(0)
    expect(section(page, "Paused")).to_have_count(0)


def keyboard(page):
    """All of it without a mouse: to the content, through the views, a question answered no."""
    page.goto(URL.split("?")[0])
    expect(section(page, "Sources")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    for name in ["Overview", "Requests"]:
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).to_contain_text("answered")
    while not page.locator("#found a:focus").count():
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    while not page.locator("button:focus", has_text="Retry").count():
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Back")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("button:focus")).to_have_text("Retry")


def looks(browser, context, page):
    """Light, dark, on a phone, in German; nothing is wider than the screen."""
    state = context.storage_state()
    for name, settings in {
        "light": {},
        "dark": {"color_scheme": "dark"},
        "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
        "phone-dark": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
        "german": {"locale": "de-DE"},
    }.items():
        other = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", "storage_state": state, **settings})
        look = other.new_page()
        look.set_default_timeout(PATIENCE)
        for view in ["overview", "requests", "request/1", "steps", "rules?modality=MR"]:
            look.goto(URL.split("?")[0] + "#" + view)
            look.reload()
            expect(look.locator("main section").first).to_be_visible()
            if view == "requests":
                expect(look.locator("#found a").first).to_be_visible()
            wide = look.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (name, view, wide)
            picture(look, name + "-" + view.split("?")[0].replace("/", "-"))
        expect(look.get_by_role("navigation")).to_contain_text("Regeln" if name == "german" else "Rules")
        assert look.evaluate("document.documentElement.lang") == ("de" if name == "german" else "en")
        other.close()
        tell("look " + name)


def words(context):
    """With brackets around each text of the table, every word outside of brackets is data of the API."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    told = []

    def bracketed(route):
        table = route.fetch().json()
        table["texts"] = {key: f"⟦{text}⟧" for key, text in table["texts"].items()}
        route.fulfill(json=table)

    page.route("**/page.texts.json", bracketed)
    for path in ["overview", "requests", "requests/1", "requests/3", "requests/1/replay", "rules", "choice?request=1", "choice?modality=MR"]:
        strings(context.request.get(URL.split("?")[0] + "api/" + path).json(), told)
    for view in ["overview", "requests", "request/1", "request/3", "steps", "rules?modality=MR", "rules?request=1"]:
        page.goto(URL.split("?")[0] + "#" + view)
        page.reload()
        expect(page.locator("main section").first).to_be_visible()
        page.wait_for_load_state("load")
        if view == "requests":
            expect(page.locator("#found a").first).to_be_visible()
        shown = page.evaluate(VISIBLE)
        assert any("⟦" in text for text in shown), view
        data = sorted(set(told) | {"flow", URL.split("?")[0]}, key=len, reverse=True)
        for text in shown:
            assert not left(text, data), (view, text, left(text, data))
    page.close()


VISIBLE = """() => {
  const written = (one) => {
    const walk = document.createTreeWalker(one, NodeFilter.SHOW_TEXT), found = [];
    while (walk.nextNode()) found.push(walk.currentNode.data);
    return found.join("\\n");
  };
  const texts = [...document.querySelectorAll("header, main section, main .numbers, dialog, .skip")].map(written);
  for (const one of document.querySelectorAll("[aria-label], [placeholder], [title], [alt]"))
    for (const name of ["aria-label", "placeholder", "title", "alt"]) if (one.getAttribute(name)) texts.push(one.getAttribute(name));
  return texts;
}"""


def left(text, data):
    """The words that are neither in brackets nor data."""
    while (bare := re.sub("⟦[^⟦⟧]*⟧", " ", text)) != text:
        text = bare
    for known in data:
        text = re.sub(rf"(?<!\w){re.escape(known)}(?!\w)", " ", text)
    return re.findall(r"[^\W\d_]{2,}", text)


# Their values are words of the API, for which the table has words.
NAMED = {"state", "answer", "kind", "outcome", "verdict", "reason", "asked", "priority"}


def strings(value, found):
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in NAMED or (isinstance(one, str) and key == "reason" and not re.fullmatch("[a-z]+", one)):
                strings(one, found)
    elif isinstance(value, list):
        for one in value:
            strings(one, found)
    elif isinstance(value, str) and value:
        found.append(value)


if __name__ == "__main__":
    main()
