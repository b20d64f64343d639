"""A person with a browser: looks at a mail, follows an offer to the advertiser's page, and unsubscribes.

Drives Debian's Chromium over its debugging pipe (the DevTools protocol in JSON, each message ended by a zero byte), so that nothing
but Python's own library is needed. The caller maps the hosts to its listeners on loopback; every other name is not found.

Says on standard output, a line of JSON each, what has been done ("landed", "unsubscribed"), and waits after "landed" for a line on
standard input.
"""

import argparse
import base64
import contextlib
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time

# Chromium without a window says so in its agent; people's do not.
AGENT = (
    "Mozilla/5.0 (X11; Linux x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
PATIENCE = 60.0

LANDING = """<!doctype html><html lang="it"><head><meta charset="utf-8"><title>Caffè Etna</title>
<link rel="icon" href="data:,"></head><body><h1>Benvenuto</h1>
<script async src="https://{tracker}/landing.js" data-param="c" data-consent="granted"></script></body></html>"""


class Browser:
    """One Chromium with one page."""

    def __init__(self, hosts, folder):
        to_browser, self.to = os.pipe()
        self.told, from_browser = os.pipe()
        rules = [f"MAP {name}:443 127.0.0.1:{port}" for name, port in hosts.items()]
        words = [
            "chromium", "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-extensions",
            "--hide-scrollbars", "--ignore-certificate-errors", "--accept-lang=it-IT,it", f"--user-agent={AGENT}", f"--user-data-dir={folder}",
            "--host-resolver-rules=" + ", ".join([*rules, "MAP * ~NOTFOUND"]),
        ]
        # The browser reads from descriptor 3 and writes to 4.
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "sh", *words],
            pass_fds=(to_browser, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.number, self.session = b"", 0, None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")

    def ask(self, method, **params):
        """Sends a command and returns its result; what else is told meanwhile is of no interest."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self.message())
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def message(self):
        while b"\0" not in self.rest:
            read = os.read(self.told, 1 << 16)
            if not read:
                raise RuntimeError("the browser ended")
            self.rest += read
        message, self.rest = self.rest.split(b"\0", 1)
        return message

    def value(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def until(self, expression):
        """Waits until an expression is true; a page that is being left has no answer."""
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(RuntimeError):
                if self.value(expression):
                    return
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} at {self.value('location.href')}")
            time.sleep(0.05)

    def open(self, url):
        self.ask("Page.navigate", url=url)
        self.until(f"location.href.startsWith({json.dumps(url[:60])}) && document.readyState === 'complete'")

    def click(self, selector):
        """Clicks with the mouse in the middle of an element."""
        element = f"document.querySelector({json.dumps(selector)})"
        # One page is enough to follow.
        self.value(f"{element}.removeAttribute('target'), {element}.scrollIntoView({{block: 'center'}})")
        box = self.value(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({element}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def look(self, file, width, dark=False):
        """Keeps a picture of the whole page, at this width. The page is not loaded again for it."""
        phone = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=2 if phone else 1,
                 mobile=phone)
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(picture["data"]))

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def advertiser(certificate, tracker):
    """Serves the advertiser's site over TLS, and returns its port."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = LANDING.format(tracker=tracker).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def tell(what, **more):
    print(json.dumps({"did": what, **more}), flush=True)


def main():
    arguments = argparse.ArgumentParser()
    for name in ("mail", "click", "unsubscribe", "tracker", "site", "certificate", "pictures"):
        arguments.add_argument(f"--{name}", required=True)
    arguments.add_argument("--port", type=int, required=True)
    told = arguments.parse_args()
    pictures = pathlib.Path(told.pictures)
    hosts = {told.tracker: told.port, told.site: advertiser(told.certificate, told.tracker)}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(hosts, folder)
        try:
            browser.open(pathlib.Path(told.mail).resolve().as_uri())
            browser.until("[...document.images].every(image => image.complete)")
            browser.look(pictures / "offer-mail-desktop.png", 800)
            browser.look(pictures / "offer-mail-phone.png", 390)
            browser.look(pictures / "offer-mail-dark.png", 390, dark=True)
            browser.click(f'a[href="https://{told.tracker}{told.click}"]')
            # The snippet takes the click's id out of the address once it has sent its beacon.
            browser.until(f"location.host === {json.dumps(told.site)} && !location.search.includes('c=')")
            tell("landed", at=browser.value("location.href"))
            sys.stdin.readline()
            browser.open(f"https://{told.tracker}{told.unsubscribe}")
            browser.look(pictures / "unsubscribe.png", 390)
            before = browser.value("document.body.innerText")
            browser.click("form button")
            browser.until(f"document.readyState === 'complete' && document.body.innerText !== {json.dumps(before)}")
            browser.look(pictures / "unsubscribed.png", 390)
            tell("unsubscribed", says=browser.value("document.body.innerText"))
        finally:
            browser.close()


if __name__ == "__main__":
    main()
