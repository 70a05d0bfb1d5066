"""A headless Chromium, driven through chromedriver's HTTP, for `test_report_browser.py`."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import urllib.request

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 120  # on a machine that does much else
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """A session of a browser."""

    def __init__(self, address):
        self.address = address

    def ask(self, path, *, method="POST", seconds=30, **body):
        """Return the value of chromedriver's answer, which may take so many seconds."""
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.address}{path}", data, method=method)
        with _DIRECT.open(request, timeout=seconds) as answer:
            return json.loads(answer.read())["value"]

    def command(self, name, **params):
        """Give a command of Chromium's own protocol."""
        return self.ask("/goog/cdp/execute", cmd=name, params=params)

    def open(self, page, *, width, scheme, media=""):
        """Open a file in a window of a width, in the colour scheme "light" or "dark"."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", media=media, features=features)
        self.logged("browser"), self.logged("performance")  # of the page before
        self.ask("/url", url=page.resolve().as_uri())

    def evaluate(self, expression):
        """Return the value of an expression of JavaScript."""
        return self.ask("/execute/sync", script=f"return {expression};", args=[])

    def logged(self, kind):
        """Return what came to a log since it was read last."""
        return self.ask("/se/log", type=kind)

    def requests(self):
        """Return the addresses that the page asked for, those that stand in it left out."""
        events = [json.loads(entry["message"])["message"] for entry in self.logged("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        addresses = [each["request"]["url"] for each in sent]
        return [address for address in addresses if not address.startswith("data:")]

    def screenshot(self, path, *, whole=True):
        """Write a picture of the page."""
        taken = self.command("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextlib.contextmanager
def chromium(binary, driver, folder):
    """Start a browser with an empty profile in a folder, and end it afterwards."""
    with _driver(driver) as port:
        options = {"binary": binary, "args": [*FLAGS, f"--user-data-dir={folder}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        browser = Browser(f"http://127.0.0.1:{port}/session")
        answer = browser.ask("", seconds=START_SECONDS, capabilities={"alwaysMatch": wanted})
        browser.address += f"/{answer['sessionId']}"
        try:
            yield browser
        finally:
            browser.ask("", method="DELETE")


@contextlib.contextmanager
def _driver(program):
    """Start chromedriver, give its port, and end it afterwards with all that it started."""
    command = [program, "--port=0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        late = threading.Timer(START_SECONDS, process.kill)
        late.start()
        try:
            said = (re.search(r"successfully on port (\d+)", line) for line in process.stdout)
            port = next((match[1] for match in said if match), None)
            late.cancel()
            assert port, f"chromedriver named no port in {START_SECONDS} s"
            yield port
        finally:
            late.cancel()
            os.killpg(process.pid, signal.SIGKILL)
