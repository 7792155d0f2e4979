"""Opens a report page in headless Chromium and checks what it shows.

usage: report_page.py CHROMIUM PAGE.html EXPECTED.json [--screenshots DIR]
EXPECTED.json has these optional keys:
  load_seconds  the most seconds until the list of problems is drawn
  sections      the ids of the visible sections, in order
  rows          the number of rows in the list of problems
  lists         [{"filters": [...], "search": TEXT, "rows": N}]: the number of rows after filtering and searching
  first         {ORDER: ID}: the first row under each sort order
  problem       {"id", "response" (from 1), "length" (in tokens), "tokens": [{"k", "probability", "before", "after",
                "alternatives", "no_pair"}]}: what the page shows when token k is hovered, reached by keys or tapped.
                "before" and "after" are null where they were not measured. "no_pair" is the reason why a pivotal token
                gives no pair; it is null or absent where the page names none. "found" is what the strategy went by,
                "0.500 → 0.100", null or absent where that is "before" and "after". "groups" is the number of groups of
                alternatives, absent for none. "q", "q_other", "answers_before" and "answers_after" are texts of the
                panel, null where it has none; they are compared if the key is there.
Prints the load time and a line for each failed check. The exit code is 0 if no check failed. The script speaks the
DevTools protocol over --remote-debugging-pipe: JSON messages, each followed by NUL, on the browser's file descriptors 3
and 4.
"""

import argparse
import base64
import fcntl
import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

TIMEOUT = 30
HELPERS = """
  identity = (row) => new URLSearchParams(row.hash.slice(1)).get("p");
  panel = () => ({
    ...Object.fromEntries([...document.querySelectorAll(".panel [data-field]")].map((node) => [node.dataset.field, node.textContent])),
    alternatives: document.querySelectorAll(".panel .alternative").length,
    groups: document.querySelectorAll(".panel .group").length});
"""
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


def high_pipe():
    """Returns a pipe with descriptors of at least 10, so that dup2 to 3 and 4 overwrites neither."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high


class Chromium:
    def __init__(self, program, profile):
        command_read, self.command = high_pipe()
        self.reply, reply_write = high_pipe()
        self.process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
                "--no-first-run",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: (os.dup2(command_read, 3), os.dup2(reply_write, 4)),
        )
        os.close(command_read)
        os.close(reply_write)
        self.unread, self.last_id, self.session, self.events = b"", 0, None, []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)[
            "sessionId"
        ]

    def call(self, method, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.command, data) :]
        deadline = time.monotonic() + TIMEOUT
        while True:
            reply = self.read(deadline)
            if reply.get("id") != self.last_id:
                self.events.append(reply)
            elif "error" in reply:
                raise RuntimeError(f"{method}: {reply['error']['message']}")
            else:
                return reply["result"]

    def read(self, deadline):
        while b"\0" not in self.unread:
            if not select.select([self.reply], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium did not answer in {TIMEOUT} s")
            data = os.read(self.reply, 1 << 20)
            if not data:
                raise RuntimeError("Chromium has ended")
            self.unread += data
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['exception'].get('description')}")
        return result["result"].get("value")

    def wait(self, expression):
        """Returns True as soon as `expression` is true, and False if it stays false for TIMEOUT seconds."""
        deadline = time.monotonic() + TIMEOUT
        while not self.evaluate(f"!!({expression})"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def press(self, key, times=1):
        for _ in range(times):
            code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            self.call(
                "Input.dispatchKeyEvent", type="keyDown", **code, **({"text": "\r"} if key == "Enter" else {})
            )
            self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def mouse(self, kind, x, y):
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            **({} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}),
        )

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Check:
    def __init__(self, browser, screenshots):
        self.browser, self.screenshots, self.failures = browser, screenshots, 0

    def that(self, holds, text):
        if not holds:
            self.failures += 1
            print(f"FAILED: {text}")

    def equal(self, got, want, text):
        self.that(got == want, f"{text}: got {got!r}, want {want!r}")

    def shoot(self, name):
        if self.screenshots:
            image = self.browser.call("Page.captureScreenshot", format="png")["data"]
            (self.screenshots / f"{name}.png").write_bytes(base64.b64decode(image))


def load(browser, url):
    """Loads a page. Returns the seconds until the list was drawn and until the whole page was loaded."""
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=url)
    if not browser.wait("performance.getEntriesByName('drawn').length && performance.timing.loadEventEnd"):
        raise TimeoutError("the page was not drawn")
    return browser.evaluate(
        "[performance.getEntriesByName('drawn')[0].startTime / 1e3,"
        " performance.getEntriesByType('navigation')[0].loadEventEnd / 1e3]"
    )


def rows(browser):
    """Scrolls the list to its end and returns the number of its rows."""
    return browser.evaluate("""(async () => {
        const rows = document.getElementById("rows");
        for (let seen = -1, still = 0; still < 5; ++still) {
          if (seen !== rows.childElementCount) still = 0;
          seen = rows.childElementCount;
          rows.scrollTop = rows.scrollHeight;
          await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        }
        return rows.childElementCount;
      })()""")


def change(browser, identity, value, event="change"):
    browser.evaluate(f"""(() => {{
        const field = document.getElementById({identity!r});
        field.value = {json.dumps(value)};
        field.dispatchEvent(new Event({event!r}));
      }})()""")


def set_list(browser, filters=(), search=""):
    browser.evaluate("document.querySelectorAll('#chips :checked').forEach((box) => box.click())")
    for name in filters:
        browser.evaluate(f"document.getElementById('filter-{name}').click()")
    change(browser, "search", "", "input")
    browser.evaluate("document.getElementById('search').focus()")
    browser.call("Input.insertText", text=search)


def check_lists(check, expected):
    browser = check.browser
    check.equal(rows(browser), expected["rows"], "rows of the list")
    for wanted in expected.get("lists", []):
        given = {key: value for key, value in wanted.items() if key != "rows"}
        set_list(browser, **given)
        check.equal(rows(browser), wanted["rows"], f"rows under {given}")
    set_list(browser)
    for order, identity in expected.get("first", {}).items():
        change(browser, "sort", order)
        check.equal(
            browser.evaluate("identity(document.querySelector('#rows .row'))"),
            identity,
            f"first row in the order {order!r}",
        )
    change(browser, "sort", "file")


def matches(shown, value):
    """Returns True if the text `shown` is `value`, rounded to the digits of the text."""
    mantissa, _, exponent = shown.replace("\u2212", "-").partition("e")
    step = 10 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(mantissa) * 10 ** int(exponent or 0) - value) <= 0.5 * step + 1e-9


def check_panel(check, token, way):
    shown = check.browser.evaluate("panel()")
    where = f"token {token['k']} by {way}"
    check.equal(shown.pop("position", None), str(token["k"]), f"{where}: position")
    check.equal(shown.pop("alternatives"), token["alternatives"], f"{where}: alternatives")
    check.equal(shown.pop("groups"), token.get("groups", 0), f"{where}: groups")
    for name in ("q", "q_other", "answers_before", "answers_after"):
        if name in token:
            check.equal(shown.get(name), token[name], f"{where}: {name}")
    check.equal(shown.pop("no_pair", None), token.get("no_pair"), f"{where}: no pair")
    check.equal(shown.pop("found", None), token.get("found"), f"{where}: found at")
    for name in ("probability", "before", "after"):
        if token[name] is None:
            check.equal(shown.get(name), None, f"{where}: {name}")
        else:
            check.that(
                name in shown and matches(shown[name], token[name]),
                f"{where}: {name}: got {shown.get(name)}, want {token[name]}",
            )


def center(browser, k):
    return browser.evaluate(f"""(() => {{
        const token = document.querySelector('[data-k="{k}"]');
        token.scrollIntoView({{block: "center"}});
        const box = token.getClientRects()[0];
        return [box.x + box.width / 2, box.y + box.height / 2];
      }})()""")


def check_hover(check, tokens):
    for token in tokens:
        check.browser.mouse("mouseMoved", *center(check.browser, token["k"]))
        check_panel(check, token, "hovering")
    check.browser.mouse("mouseMoved", 1, 1)


def check_keys(check, problem):
    """Goes from the list to the tokens by keys alone."""
    browser = check.browser
    index = row_index(browser, problem["id"])
    browser.evaluate("location.hash = ''")
    browser.wait("!document.querySelector('.token')")
    browser.evaluate("document.getElementById('sort').focus()")
    browser.press("Tab")
    browser.press("Home")
    browser.press("ArrowDown", index)
    browser.press("Enter")
    check.that(browser.wait("document.querySelector('.token')"), "Enter opens a problem")
    for _ in range(problem["response"] + 8):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.role === 'tab'"):
            browser.press("ArrowRight", problem["response"] - 1)
        if browser.evaluate("document.activeElement.role === 'option'"):
            break
    check.that(
        browser.evaluate("document.activeElement.matches('.token:focus-visible')"),
        "Tab reaches the tokens and shows it",
    )
    browser.press("Home")
    at = 1
    for token in problem["tokens"]:
        browser.press("ArrowRight", token["k"] - at)
        at = token["k"]
        check_panel(check, token, "keys")


def check_tap(check, tokens):
    browser = check.browser
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    for token in tokens:
        x, y = center(browser, token["k"])
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        check.that(browser.wait(f"panel().position === '{token['k']}'"), f"a tap selects token {token['k']}")
        check_panel(check, token, "tap")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


def row_index(browser, identity):
    return browser.evaluate(
        f"[...document.querySelectorAll('#rows .row')].findIndex((row) => identity(row) === {json.dumps(identity)})"
    )


def check_problem(check, problem, url):
    browser = check.browser
    rows(browser)
    browser.evaluate(f"document.querySelectorAll('#rows .row')[{row_index(browser, problem['id'])}].click()")
    check.that(browser.wait("document.querySelector('.token')"), "a click opens a problem")
    browser.evaluate(f"document.getElementById('response-{problem['response']}').click()")
    check.equal(
        browser.evaluate("document.querySelectorAll('.token[data-k]').length"),
        problem["length"],
        "tokens of the response",
    )
    check_hover(check, problem["tokens"])
    check_keys(check, problem)
    tokens = sorted(problem["tokens"], key=lambda token: token["alternatives"])
    check_tap(check, tokens)
    place = browser.evaluate("location.hash")
    load(browser, url + place)
    check.that(browser.wait("document.querySelector('.token')"), "the address opens the problem again")
    check_panel(check, tokens[-1], f"the address {place}")


def check_looks(check, name, width, height, scheme):
    browser = check.browser
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    browser.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    check.that(
        browser.evaluate("document.documentElement.scrollWidth <= innerWidth"),
        f"{name}: the page is {browser.evaluate('document.documentElement.scrollWidth')} pixels wide, the window {width}",
    )
    ground = browser.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).slice(0, 3).map(Number)"
    )
    check.that(max(ground) < 64 if scheme == "dark" else min(ground) > 192, f"{name}: the background is {ground}")
    for place in ("top", "detail"):
        browser.evaluate(f"document.getElementById('{place}').scrollIntoView()")
        check.shoot(f"{name}-{place}")


def complaints(events):
    """Yields exceptions, errors and warnings of the page, and its requests to the network."""
    for event in events:
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            yield "exception: " + details.get("exception", {}).get("description", details["text"])
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in (
            "error",
            "warning",
            "assert",
        ):
            yield "console: " + " ".join(str(part.get("value")) for part in params["args"])
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            yield "log: " + params["entry"]["text"]
        elif event["method"] == "Network.requestWillBeSent" and not params["request"]["url"].startswith(
            ("file:", "about:")
        ):
            yield "request: " + params["request"]["url"]


def check_page(check, url, expected):
    browser = check.browser
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable")
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=HELPERS)
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False
    )
    drawn, loaded = load(browser, url)
    print(f"list drawn after {drawn:.2f} s, page loaded after {loaded:.2f} s")
    check.that(drawn <= expected.get("load_seconds", TIMEOUT), f"the list is drawn after {drawn:.2f} s")
    if "sections" in expected:
        check.equal(
            browser.evaluate(
                "[...document.querySelectorAll('main > section:not([hidden])')].map((section) => section.id)"
            ),
            expected["sections"],
            "sections",
        )
    if expected.get("rows"):
        check_lists(check, expected)
    if "problem" in expected:
        check_problem(check, expected["problem"], url)
    for name, width, height, scheme in (
        ("light", 1280, 900, "light"),
        ("dark", 1280, 900, "dark"),
        ("narrow", 360, 740, "light"),
        ("narrow-dark", 360, 740, "dark"),
    ):
        check_looks(check, name, width, height, scheme)
    check.that(browser.evaluate("typeof hostile === 'undefined'"), "text of a model was run as a script")
    for text in complaints(browser.events):
        check.that(False, text)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chromium")
    parser.add_argument("page", type=pathlib.Path)
    parser.add_argument("expected", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path)
    arguments = parser.parse_args()
    expected = json.loads(arguments.expected.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(arguments.chromium, profile)
        try:
            check = Check(browser, arguments.screenshots)
            check_page(check, arguments.page.resolve().as_uri(), expected)
        finally:
            browser.close()
    print(f"{arguments.page}: {check.failures or 'no'} failed checks")
    return 1 if check.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
