"""The page of the chat as two people use it, in Chromium: `URL FOLDER`.

They talk, reload in the middle, and the server is killed in the middle: then it prints `kill` and, when it is to run
again, `start`. Pictures of the screen go to the folder. It prints `done` at the end.
"""

import sys

from playwright.sync_api import expect, sync_playwright

URL, FOLDER = sys.argv[1:3]
PATIENCE = 120_000
expect.set_options(timeout=PATIENCE)


class Window:
    """One of the two people's windows on the page."""

    def __init__(self, page, name):
        self.part = page.get_by_role("region", name=name)
        self.log = self.part.get_by_role("log")
        self.field = self.part.get_by_role("textbox", name="Message", exact=True)
        self.status = self.part.get_by_role("status")

    def write(self, text):
        self.field.press_sequentially(text, delay=5)

    def say(self, text):
        self.write(text)
        self.field.press("Enter")

    def hears(self, text, times=1):
        expect(self.log.get_by_text(text, exact=True)).to_have_count(times)

    def choose(self, kind):
        self.part.get_by_label("Type").select_option(label=kind)

    def send(self):
        self.part.get_by_role("button", name="Send").click()


def tell(word):
    print(word, flush=True)
    answer = sys.stdin.readline().strip()
    assert answer == "yes", answer


def picture(page, name):
    page.screenshot(path=f"{FOLDER}/{name}.png")


def main():
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(URL)
        patient, provider = Window(page, "Patient"), Window(page, "Provider")
        talk(page, patient, provider)
        reload(page, patient, provider)
        second(context, page, patient)
        mistake(page, patient)
        model(page, provider)
        kill(page, patient, provider)
        looks(browser, page)
        assert not errors, errors
        browser.close()
    print("done", flush=True)


def talk(page, patient, provider):
    for window in [patient, provider]:
        expect(window.status).to_have_text("connected")
    picture(page, "1-empty")
    patient.say("Hello, I have had a rash since yesterday.")
    provider.hears("Hello, I have had a rash since yesterday.")
    provider.write("Good morning")
    expect(patient.part.get_by_text("typing")).to_be_visible()
    picture(page, "2-typing")
    provider.field.press("Enter")
    patient.hears("Good morning")
    patient.hears("Hello, I have had a rash since yesterday.")


def reload(page, patient, provider):
    page.reload()
    for window in [patient, provider]:
        window.hears("Hello, I have had a rash since yesterday.")
        window.hears("Good morning")
    patient.say("It itches.")
    provider.hears("It itches.")
    picture(page, "3-reloaded")


def second(context, page, patient):
    """The same conversation in another tab."""
    other = context.new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(page.url)
    Window(other, "Provider").hears("It itches.")
    Window(other, "Provider").say("Since when?")
    patient.hears("Since when?")
    other.close()


def mistake(page, patient):
    """A rating that there is not is refused with the field, and corrected."""
    patient.choose("Rating")
    patient.part.get_by_label("stars").fill("9")
    patient.send()
    expect(patient.part.get_by_role("alert")).to_contain_text("stars")
    picture(page, "4-mistake")
    patient.part.get_by_label("stars").fill("5")
    patient.send()
    patient.hears("Thank you.")
    expect(patient.part.get_by_role("alert")).to_be_hidden()
    patient.choose("Text")


def model(page, provider):
    """The words of an answer come one after the other, and then the answer stays."""
    provider.choose("Summary")
    provider.send()
    growing = provider.log.locator(".growing")
    expect(growing).to_contain_text("The patient wrote")
    picture(page, "5-growing")
    expect(growing).to_have_count(0)
    expect(provider.log.locator(".answer").get_by_text("It itches.")).to_have_count(1)
    provider.choose("Text")


def kill(page, patient, provider):
    tell("kill")
    expect(patient.status).not_to_have_text("connected")
    patient.say("Are you still there?")
    patient.hears("Are you still there?")
    assert provider.log.get_by_text("Are you still there?").count() == 0
    picture(page, "6-server-gone")
    tell("start")
    for window in [patient, provider]:
        window.hears("Are you still there?")
    provider.say("Yes, I am.")
    patient.hears("Yes, I am.")
    picture(page, "7-server-back")


def looks(browser, page):
    """Dark, and on a phone."""
    for name, options in [
        ("8-dark", {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"}),
        ("9-phone", {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}),
    ]:
        context = browser.new_context(**options)
        other = context.new_page()
        other.set_default_timeout(PATIENCE)
        other.goto(page.url)
        Window(other, "Patient").hears("Yes, I am.")
        wide = other.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{name} is {wide} pixels too wide"
        picture(other, name)
        context.close()


main()
