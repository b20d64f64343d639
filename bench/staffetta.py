"""The service under measurement: started on a data folder of its own, furnished over its API, asked over its listeners."""

import http.client
import json
import os
import subprocess
import time

from harness import ROOT, stop

BINARY = ROOT / "target/release/staffetta"
LOADTEST = ROOT / "target/release/loadtest"
DOMAINS = ",".join(f"{letter}.load.test" for letter in "abcdefgh")


def shop_document(shop, category, dkim):
    return {"name": f"Shop {shop}", "url": f"https://{shop}.example/", "language": "it", "country": "IT",
            "promotional": {"address": f"offers@news.{shop}.example", "dkim": dkim},
            "categories": [category], "postal_address": "Via Roma 1, 10121 Torino, Italia", "color": "#1f5f8b"}


class Staffetta:
    def __init__(self, scratch, sink_port, dkim="rsa", settings="", env=None, listen=""):
        self.data = scratch.dir / "data"
        file = scratch.dir / "staffetta.toml"
        file.write_text(
            f"""[listen]
api = "127.0.0.1:0"
tracker = "127.0.0.1:0"
admin = "127.0.0.1:0"
{listen}
[store]
data_dir = "{self.data}"
[delivery]
allow_private_destinations = true
connections_max = 64
routes = [{{ domain = "*", host = "127.0.0.1", port = {sink_port} }}]
{settings}
""")
        self.log = scratch.dir / "staffetta.log"
        self.child = scratch.spawn([str(BINARY), "serve", "--settings", str(file)], "staffetta.log", env)
        ready = self._wait_for("ready")
        self.api, self.admin, self.tracker = ready["api"], ready["admin"], ready["tracker"]
        self.operator = self._operator_key()
        self.key = self._furnish(dkim)

    def _lines(self):
        return self.log.read_text(errors="replace").splitlines() if self.log.exists() else []

    def _wait_for(self, message, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self._lines():
                if line.startswith("{"):
                    said = json.loads(line)
                    if said.get("message") == message:
                        return said
            if self.child.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("the service did not start:\n" + "\n".join(self._lines()))

    def _operator_key(self):
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for line in self._lines():
                if line.startswith("operator key"):
                    return line.rsplit(" ", 1)[1]
            time.sleep(0.02)
        raise RuntimeError("the service did not print its operator key")

    def ask(self, method, path, body=None, address=None, key=None):
        connection = http.client.HTTPConnection(address or self.api, timeout=30)
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Authorization": f"Bearer {key or self.operator}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text) if text and answer.getheader("content-type", "").startswith("application/json") else text

    def _furnish(self, dkim):
        shops = [("publisher", "shoes")] + [(f"advertiser-{n}", category) for n, category in enumerate(("food", "garden", "home"))]
        for shop, category in shops:
            self.ask("PUT", f"/v1/shops/{shop}", shop_document(shop, category, dkim))
        # A shop's own template, so that a mail has the 6 KB that the peers are measured with; the built-in one makes 14.
        source = {"subject": "{{ shop.name }}: offerte per te", "html": (ROOT / "bench/template.html").read_text(),
                  "text": (ROOT / "bench/template.txt").read_text()}
        self.ask("PUT", "/v1/templates/compact?shop=publisher", {"kind": "offer", "sources": {"it": source}})
        self.ask("PUT", "/v1/shops/publisher", {**shop_document("publisher", "shoes", dkim), "offer_template": "compact"})
        for number, (shop, category) in enumerate(shops[1:]):
            self.ask("PUT", f"/v1/campaigns/campaign-{number}", {
                "advertiser": shop, "categories": [category], "price": {"amount": 90 + number, "currency": "EUR"},
                "landing_url": f"https://{shop}.example/?c={{click_id}}",
                "creatives": {"it": {"title": f"Un'offerta per la tua casa, numero {number}",
                                     "text": "Tre miscele tostate a legna, macinate il giorno della spedizione.", "button": "Guarda"}}})
        return self.ask("POST", "/admin/v1/shops/publisher/keys", {"id": "bench", "scopes": ["send", "read"]}, self.admin)["key"]

    def metric(self, name, label=""):
        """The sum of a metric over its labels, or over those with one label's value."""
        total = 0.0
        for line in self.ask("GET", "/metrics", address=self.admin).decode().splitlines():
            if line.startswith((name + "{", name + " ")) and label in line:
                total += float(line.rsplit(" ", 1)[1])
        return total

    def load(self, command, *arguments, seconds=1800):
        """Runs the generator against this service and returns its figures."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ended = subprocess.run([str(LOADTEST), command, "--api", self.api, "--key", self.key, "--placed-at", now, *arguments],
                               capture_output=True, text=True, timeout=seconds, env=os.environ)
        if ended.returncode != 0:
            raise RuntimeError(ended.stderr + "\n" + "\n".join(self._lines()[-20:]))
        return json.loads(ended.stdout)

    def stop(self):
        stop(self.child)
