"""A person with a browser: reads a load test's report at a desk and on a phone, by day and by night, without scripts and on paper.

Opens the page from its file, in the browser of `browser.py`, and holds what must be so in each of these: nothing fails and nothing
is asked of the network, nothing stands beyond the window's edge, every plot has its lines in the scheme's colours, and every text
can be read. Keeps a picture of each.
"""

import argparse
import base64
import json
import pathlib
import signal
import tempfile

from browser import Browser

SECONDS_MAX = 150
DESK, PHONE = 1280, 390

# Set before any script of the page runs: what fails while it loads would be over when we come to look.
WATCH = """
window.faults = [];
addEventListener('error', event => faults.push(String(event.message || 'not loaded: ' + event.target.outerHTML)), true);
addEventListener('unhandledrejection', event => faults.push(String(event.reason)));
addEventListener('securitypolicyviolation', event => faults.push(event.violatedDirective + ' ' + event.blockedURI));
for (const kind of ['error', 'warn']) console[kind] = (...words) => faults.push(words.join(' '));
"""

FAULTS = "window.faults.concat(performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith('data:')))"

# Boxes that reach beyond the window, unless they stand in one that scrolls by itself or are hidden from sight.
BEYOND = """
[...document.body.querySelectorAll('*')].filter(element => {
  if (element.closest('pre, .in-words, .chart thead, .series, .wrong')) return false;
  const scroller = element.closest('.scroll');
  if (scroller && scroller !== element) return false;
  const box = element.getBoundingClientRect();
  return box.width > 0 && (box.right > WIDTH + 1 || box.left < -1);
}).map(element => `${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 40)}`)
"""

# For each plot, how many of its pixels have the colour of its first line.
PLOTS = """
[...document.querySelectorAll('.plot')].map(box => {
  const canvas = box.querySelector('canvas');
  if (!canvas) return {title: box.parentElement.innerText, pixels: 0};
  // Any of the first lines: where two are the same, the later hides the earlier.
  const wanted = [0, 1, 2, 3].map(series => {
    const hex = getComputedStyle(document.documentElement).getPropertyValue(`--series-${series}`).trim();
    return [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
  });
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  let pixels = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200 && wanted.some(colour => colour.every((value, part) => Math.abs(value - data[at + part]) < 12))) pixels += 1;
  return {title: canvas.ariaLabel, pixels, width: canvas.getBoundingClientRect().width, room: box.clientWidth};
})
"""

# The contrast of each text that is seen against what is behind it (WCAG 2, relative luminance); the worst first.
CONTRAST = """
(() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent.trim();
    if (!text || element.closest('script, style, noscript, .in-words') || !element.checkVisibility()) continue;
    const [high, low] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    seen.push({text: text.slice(0, 40), ratio: opacity < 1 ? 0 : (high + 0.05) / (low + 0.05)});
  }
  return seen.sort((a, b) => a.ratio - b.ratio);
})()
"""


class Reader(Browser):
    """The browser with the report before it."""

    def show(self, width, dark):
        self.scheme(dark)
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2 if phone else 1, mobile=phone)

    def scheme(self, dark, media=""):
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def settle(self):
        """Waits for what is drawn with the next frames."""
        self.ask("Runtime.evaluate", awaitPromise=True,
                 expression="new Promise(go => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(go, 50))))")


def check(browser, where, width):
    """Holds what must be so in any window. The width is told: a phone's own grows with what does not fit."""
    browser.value("document.querySelectorAll('details').forEach(details => details.open = true)")
    faults = browser.value(FAULTS)
    assert not faults, f"{where}: {faults}"
    beyond = browser.value(BEYOND.replace("WIDTH", str(width)))
    reach = browser.value("document.documentElement.scrollWidth")
    assert not beyond and reach <= width, f"{where}: beyond the window's edge: {reach} {beyond}"
    plots = browser.value(PLOTS)
    assert len(plots) > 5, f"{where}: {plots}"
    for plot in plots:
        assert plot["pixels"] > 100, f"{where}: nothing is drawn: {plot}"
        assert abs(plot["width"] - plot["room"]) <= 1, f"{where}: as wide as its place: {plot}"
    texts = browser.value(CONTRAST)
    assert len(texts) > 200 and texts[0]["ratio"] >= 4.5, f"{where}: hard to read: {texts[:5]}"
    browser.value("document.querySelectorAll('details').forEach(details => details.open = false)")
    return {"plots": len(plots), "texts": len(texts), "contrast": round(texts[0]["ratio"], 2)}


def follow(browser):
    """Moves the mouse in one plot over time: the cursor stands at the same second in all of them, and the legends say values."""
    box = browser.value("(box => (box.scrollIntoView({block: 'center'}), box = box.getBoundingClientRect(), "
                        "[box.x + box.width * 0.7, box.y + box.height / 2]))(document.querySelector('[data-plot] .u-over'))")
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    browser.settle()
    said = browser.value("[...document.querySelectorAll('[data-plot]')]"
                         ".map(plot => [...plot.querySelectorAll('.u-value')].map(value => value.textContent))")
    # At the same second: what is sampled and what is counted by the second lie some tenths apart.
    seconds = [sum(60 ** place * float(part) for place, part in enumerate(reversed(values[0].split(":")))) for values in said]
    assert max(seconds) - min(seconds) < 1 and said[0][0] != "–", f"the cursors stand apart: {said}"
    assert all(value not in ("–", "--", "") for values in said for value in values), f"a legend says nothing: {said}"
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)


def zoom(browser):
    """Drags in one plot: all over time show the same part; a double click brings the whole back."""
    # The share of each canvas that is not as it was; edges of letters and lines may fall a hair beside.
    keep = ("window.canvases = () => [...document.querySelectorAll('[data-plot] canvas')].map(canvas => "
            "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data); window.whole = canvases(); 0")
    changed = ("canvases().map((now, at) => now.reduce((sum, part, place) => sum + (Math.abs(part - whole[at][place]) > 64), 0) "
               "/ now.length)")
    browser.value(keep)
    box = browser.value("(box => [box.x, box.y, box.width, box.height])(document.querySelector('[data-plot] .u-over').getBoundingClientRect())")
    middle = box[1] + box[3] / 2
    for kind, part in (("mouseMoved", 0.3), ("mousePressed", 0.3), ("mouseMoved", 0.5), ("mouseReleased", 0.5)):
        browser.ask("Input.dispatchMouseEvent", type=kind, x=box[0] + box[2] * part, y=middle, button="none" if kind == "mouseMoved" else "left",
                    buttons=1 if kind != "mouseReleased" else 0, clickCount=1)
    browser.settle()
    closer = browser.value(changed)
    assert min(closer) > 0.005, f"some plots did not look closer: {closer}"
    for count in (1, 2):
        for kind in ("mousePressed", "mouseReleased"):
            browser.ask("Input.dispatchMouseEvent", type=kind, x=box[0] + 90, y=middle, button="left", clickCount=count)
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    browser.settle()
    back = browser.value(changed)
    assert max(back) < 0.001, f"a double click does not bring the whole back: {back}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--page", required=True)
    arguments.add_argument("--pictures", required=True)
    told = arguments.parse_args()
    page, pictures = pathlib.Path(told.page).resolve().as_uri(), pathlib.Path(told.pictures)
    signal.alarm(SECONDS_MAX)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Reader({}, folder)
        try:
            watch = browser.ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)["identifier"]
            seen = {}
            for width, name in ((DESK, "desktop"), (PHONE, "phone")):
                browser.show(width, dark=False)
                browser.open(page)
                # The scheme changes while the page is open, as it does at dusk.
                for dark in (False, True):
                    where = f"{name}-{'dark' if dark else 'light'}"
                    browser.scheme(dark)
                    browser.settle()
                    seen[where] = check(browser, where, width)
                    browser.look(pictures / f"report-{where}.png", width, dark)
                    if width == DESK:
                        # What is seen first, to the end of the first plot.
                        end = browser.value("document.querySelector('.plot').getBoundingClientRect().bottom + scrollY + 24")
                        clip = {"x": 0, "y": 0, "width": width, "height": end, "scale": 1}
                        picture = browser.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
                        (pictures / f"report-headline{'-dark' if dark else ''}.png").write_bytes(base64.b64decode(picture["data"]))
            # A window that is made narrower, and wide again.
            for width in (DESK, 700, DESK):
                browser.show(width, dark=False)
                browser.settle()
                check(browser, f"made {width} wide", width)
            follow(browser)
            zoom(browser)

            # On paper, from a dark screen.
            browser.scheme(True, media="print")
            browser.value("dispatchEvent(new Event('beforeprint'))")
            browser.settle()
            seen["print"] = check(browser, "print", DESK)
            picture = browser.value("getComputedStyle(document.body).backgroundColor")
            assert picture == "rgb(252, 252, 250)", f"paper is dark: {picture}"
            browser.value("dispatchEvent(new Event('afterprint'))")
            browser.scheme(False)

            # Without scripts, the tables and bars are there, and say what the plots would.
            browser.ask("Page.removeScriptToEvaluateOnNewDocument", identifier=watch)
            browser.ask("Emulation.setScriptExecutionDisabled", value=True)
            browser.open(page)
            words = browser.value("[...document.querySelectorAll('.in-words, .chart, .scroll table, .tiles')]"
                                  ".map(part => part.getBoundingClientRect()).filter(box => box.width > 200 && box.height > 20).length")
            there = browser.value("document.querySelectorAll('.in-words, .chart, .scroll table, .tiles').length")
            assert words == there > 10, f"{words} of {there} tables are seen without scripts"
            browser.look(pictures / "report-without-scripts.png", DESK)
            print(json.dumps(seen))
        finally:
            browser.close()


if __name__ == "__main__":
    main()
