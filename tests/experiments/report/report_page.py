"""Opens a report page in headless Chromium and checks what it shows.

usage: report_page.py CHROMIUM PAGE.html EXPECTED.json [--screenshots DIR] [--axe FILE]
EXPECTED.json has these optional keys:
  load_seconds  the most seconds until the list of problems is drawn
  sections      the ids of the visible sections, in order
  cost_points   the number of points in the plots of accuracy against cost
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
  opened        the id of the problem that is open when the address names none
  beside        {"both": N, "names": [BEFORE, AFTER], "problem": {"id", "responses": [N, N], "p": [TEXT, TEXT]}}: what
                the page tells of two runs, and of one of their problems; absent for a page of one run
With --axe FILE, axe-core of that file looks at the page in its states; a finding that it calls serious or critical
fails. Prints the load time, the counts of findings, and a line for each failed check. The exit code is 0 if no check
failed.
"""

import argparse
import base64
import json
import pathlib
import struct
import sys
import tempfile
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from support.chromium import TIMEOUT, chromium  # noqa: E402

HELPERS = """
  identity = (row) => decodeURIComponent(row.hash.slice(1));
  opened = () => document.getElementById("problem-id")?.textContent;
  fields = () => [...document.querySelectorAll(`${kPanel} [data-field]`)];
  panel = () => ({
    ...Object.fromEntries(fields().map((node) => [node.dataset.field, node.textContent])),
    alternatives: document.querySelectorAll(`${kPanel} .alternative`).length,
    groups: document.querySelectorAll(`${kPanel} .group`).length});
  kPanel = ".responses:not(.side-1 *) .panel";  // of the first run
"""
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
    browser.evaluate("document.getElementById('detail').replaceChildren()")
    browser.evaluate("location.hash = '#elsewhere'")
    browser.wait("document.querySelector('#detail [role=alert]')")
    browser.evaluate("document.getElementById('sort').focus()")
    browser.press("Tab")
    browser.press("Home")
    browser.press("ArrowDown", index)
    browser.press("Enter")
    check.that(browser.wait("document.querySelector('.token')"), "Enter opens a problem")
    for _ in range(problem["response"] + 16):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.role === 'tab'"):
            browser.press("Home")
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
    browser.press("Escape")
    check.that(browser.evaluate("document.querySelector('.panel').hidden"), "Escape closes the panel")
    browser.press("Enter")
    check.that(not browser.evaluate("document.querySelector('.panel').hidden"), "Enter opens the panel")


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
    check.that(
        browser.wait(f"document.querySelector('.token') && opened() === visible({json.dumps(problem['id'])})"),
        "a click opens a problem",
    )
    browser.evaluate(f"document.getElementById('response-{problem['response']}').click()")
    check.equal(
        browser.evaluate("document.querySelector('.tokens').childElementCount"),
        problem["length"],
        "tokens of the response",
    )
    check_hover(check, problem["tokens"])
    check_keys(check, problem)
    tokens = sorted(problem["tokens"], key=lambda token: token["alternatives"])
    check_tap(check, tokens)
    check.that(
        browser.wait(f"location.hash.endsWith('/{problem['response']}/{tokens[-1]['k']}')"),
        "the address names the token",
    )
    place = browser.evaluate("location.hash")
    load(browser, url + place)
    check.that(browser.wait("document.querySelector('.token')"), "the address opens the problem again")
    check_panel(check, tokens[-1], f"the address {place}")


def check_opening(check, expected):
    """The page opens with a problem, the sentence, and tiles without gaps."""
    browser = check.browser
    if "opened" in expected:
        check.that(browser.wait("opened()"), "a problem is open")
        check.equal(browser.evaluate("opened()"), expected["opened"], "the problem that is open at first")
        check.equal(browser.evaluate("location.hash"), "", "the address at first")
        check.that(
            browser.evaluate(
                "/^A pivotal token is .* by [0-9.]+ or more\\.$/.test(document.getElementById('about').textContent)"
            ),
            "one sentence says what a pivotal token is",
        )


def check_tiles(check, name):
    gaps = check.browser.evaluate("""[...document.querySelectorAll(".tiles")].filter((list) => {
        const right = list.getBoundingClientRect().right, lines = new Map();
        for (const tile of list.children) {
          const box = tile.getBoundingClientRect();
          lines.set(box.top, Math.max(lines.get(box.top) ?? 0, box.right));
        }
        return [...lines.values()].some((end) => Math.abs(end - right) > 2);
      }).length""")
    check.equal(gaps, 0, f"{name}: rows of tiles with a gap")


def check_explanations(check):
    """Every tile and plot is explained, to the pointer, the keyboard, a tap, and a screen reader."""
    browser = check.browser
    names = browser.evaluate("""[...document.querySelectorAll(".tiles > div, figure, .response-bar")].map((node) => {
        const button = node.querySelector(".why"), about = button?.getAttribute("aria-describedby");
        return [node.querySelector("dt, h3, h4").textContent, document.getElementById(about)?.textContent];
      })""")
    check.that(names, "the page has tiles or plots")
    for name, text in names:
        check.that(text and len(text) > 20, f"{name} is not explained")
    tip = "(document.getElementById('tip').hidden ? null : document.getElementById('tip').textContent)"
    find = "document.querySelector('.tiles > div:nth-child(2)')"
    button = f"{find}.querySelector('.why')"
    told = browser.evaluate(
        f"{find}.scrollIntoView({{block: 'center'}}),"
        f" document.getElementById({button}.getAttribute('aria-describedby')).textContent"
    )
    x, y = browser.evaluate(
        f"(() => {{ const box = {find}.getBoundingClientRect(); return [box.x + 8, box.y + box.height - 4]; }})()"
    )
    browser.mouse("mouseMoved", x, y)
    check.equal(browser.evaluate(tip), told, "hovering explains")
    browser.mouse("mouseMoved", 1, 1)
    check.that(browser.wait(f"{tip} === null"), "the text goes with the pointer")
    browser.evaluate(f"{button}.focus()")
    check.equal(browser.evaluate(tip), told, "the focus explains")
    browser.press("Escape")
    check.equal(browser.evaluate(tip), None, "after Escape")
    browser.evaluate("document.activeElement.blur()")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    for wanted in (told, None):
        browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        check.that(browser.wait(f"{tip} === {json.dumps(wanted)}"), f"a tap shows or hides: {wanted!r}")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


def encoded(identity):
    """Returns an id as addresses have it: everything but letters, digits and -_.~ percent-encoded."""
    return "".join(
        c if c.isascii() and (c.isalnum() or c in "-_.~") else "".join(f"%{byte:02X}" for byte in c.encode())
        for c in identity
    )


def check_links(check, problem, url):
    """The address of a token opens it, in sight; an address of nothing says so in a sentence."""
    browser = check.browser
    place = f"#{encoded(problem['id'])}/{problem['response']}"
    for token in problem["tokens"][:3]:
        load(browser, f"{url}{place}/{token['k']}")
        check.that(browser.wait("document.activeElement.matches('.token')"), f"{place}/{token['k']} is opened")
        check_panel(check, token, f"the address {place}/{token['k']}")
        check.that(
            browser.evaluate("""(() => {
              const box = document.activeElement.getBoundingClientRect();
              const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
              return document.activeElement === document.elementFromPoint(x, y);
            })()"""),
            f"token {token['k']} is in sight",
        )
    last = problem["tokens"][:3][-1]["k"]
    allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.call("Browser.grantPermissions", of_browser=True, permissions=allowed)
    browser.call("Page.bringToFront")
    browser.evaluate("document.querySelector('.panel-tools button').click()")
    check.that(browser.wait("document.querySelector('.panel [role=status]').textContent"), "Copy link says what it did")
    check.equal(
        browser.evaluate("navigator.clipboard.readText()"), f"{url}{place}/{last}", "the link that was copied"
    )
    for wrong, words in (
        ("#no such problem/1/2", "There is no problem"),
        (f"{place.rpartition('/')[0]}/999", "there is no response 999"),
        (f"{place.rpartition('/')[0]}/x", "names no response"),
        (f"{place}/{problem['length'] + 1}", f"so there is no token {problem['length'] + 1}."),
        (f"{place}/0", "so there is no token 0."),
    ):
        browser.evaluate(f"location.hash = {json.dumps(wrong)}")
        alert = "document.querySelector('#detail [role=alert]')?.textContent"
        check.that(
            browser.wait(f"{alert}?.includes({json.dumps(words)})"),
            f"the address {wrong} is answered: {words}",
        )


def check_pictures(check, problem, url):
    """The pictures of a response are files of their own."""
    browser = check.browser
    load(browser, f"{url}#{encoded(problem['id'])}/{problem['response']}")
    browser.wait("document.querySelector('.tools button')")
    found = browser.evaluate("document.querySelector('.tokens').querySelectorAll('.pivotal').length")
    for number, kind in enumerate(("svg", "png")):
        with tempfile.TemporaryDirectory() as folder:
            file = browser.download(folder, f"document.querySelectorAll('.tools button')[{number}].click()")
            check.equal(file.suffix, f".{kind}", "the kind of the picture")
            data = file.read_bytes()
        if check.screenshots:
            (check.screenshots / f"picture.{kind}").write_bytes(data)
        if kind == "png":
            check.equal(data[:8], b"\x89PNG\r\n\x1a\n", "the first bytes of the PNG")
            check.equal(struct.unpack(">I", data[16:20])[0], 2640, "the pixels across the PNG")
            continue
        root = xml.etree.ElementTree.fromstring(data)
        names = [node.tag.rpartition("}")[2] for node in root.iter()]
        check.equal(names.count("rect") - 1 - 2, problem["length"], "tokens in the picture")
        check.that(not {"image", "use", "style", "script", "foreignObject"} & set(names), "the picture stands alone")
        framed = [node for node in root.iter() if node.get("rx") == "4" and node.get("stroke")]
        check.equal(len(framed), found, "pivotal tokens in the picture")


def check_beside(check, beside, url):
    browser = check.browser
    load(browser, url)
    check.equal(
        browser.evaluate("document.querySelector('#beside .tiles dd').textContent"),
        str(beside["both"]),
        "problems in both runs",
    )
    one = beside["problem"]
    browser.evaluate(f"location.hash = {json.dumps('#' + encoded(one['id']))}")
    check.that(browser.wait(f"opened() === {json.dumps(one['id'])}"), f"{one['id']} is opened")
    check.equal(
        browser.evaluate("[...document.querySelectorAll('.run-name')].map((node) => node.textContent)"),
        beside["names"],
        "the names of the runs",
    )
    check.equal(
        browser.evaluate(
            "[...document.querySelectorAll('.sides > section')]"
            ".map((node) => node.querySelectorAll('[role=tab]').length)"
        ),
        one["responses"],
        "responses in each run",
    )
    check.that(browser.wait("document.querySelector('.both')"), "the curves of both runs are drawn")
    check.equal(
        browser.evaluate("document.querySelectorAll('.both').length"), sum(one["responses"]), "curves of both runs"
    )
    check.equal(
        browser.evaluate(
            "[...document.querySelectorAll('.compared tr:nth-child(1) td')]"
            ".map((node) => node.textContent.split(' ')[0])"
        ),
        one["p"],
        "p(success) in each run",
    )
    load(browser, f"{url}#{encoded(one['id'])}/b1/2")
    check.that(browser.wait("document.activeElement.matches('.token')"), "a token of the run beside is opened")
    check.that(
        browser.evaluate("document.activeElement.closest('.side-1') && document.activeElement.dataset.k === '2'"),
        "the address b1/2 leads to token 2 of the run beside",
    )


AXE = """(async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const places = (nodes) => nodes.map(({target}) => target.join(" ")).slice(0, 4);
  return found.violations.map(({id, impact, help, nodes}) => [id, impact, help, places(nodes)]);
})()"""


def check_axe(check, url, script, place):
    """Looks for barriers in a wide and a narrow window, light and dark: with a problem, its panel and an explanation
    open, with all tables open, and where the address names nothing."""
    browser, counts, looks = check.browser, {}, 0
    opened = {"opened": "document.querySelector('.why')?.focus()"}
    more = {
        **opened,
        "numbers": "document.querySelectorAll('details').forEach((details) => { details.open = true; })",
        "unknown": "location.hash = '#elsewhere'",
    }
    for width, height, scheme, states in (
        (1280, 900, "light", more),
        (1280, 900, "dark", opened),
        (390, 844, "light", opened),
        (390, 844, "dark", more),
    ):
        browser.resize(width, height, scheme)
        load(browser, url + place)
        browser.wait("document.querySelector('.token') || !document.querySelector('.row')")
        browser.evaluate(script)
        for state, change in states.items():
            browser.evaluate(change)
            browser.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
            looks += 1
            for rule, impact, text, nodes in browser.evaluate(AXE):
                counts[impact] = counts.get(impact, 0) + 1
                check.that(
                    impact not in ("serious", "critical"),
                    f"axe, {state}, {width} pixels, {scheme}: {rule} ({impact}): {text}: {nodes}",
                )
                if impact not in ("serious", "critical"):
                    print(f"axe, {state}, {width} pixels, {scheme}: {rule} ({impact}): {text}: {nodes}")
    print(f"axe: {counts or 'no'} findings in {looks} states")


def check_looks(check, name, width, height, scheme):
    browser = check.browser
    browser.resize(width, height, scheme)
    browser.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    browser.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    check.that(
        browser.evaluate("document.documentElement.scrollWidth <= innerWidth"),
        f"{name}: the page is {browser.evaluate('document.documentElement.scrollWidth')} pixels wide, the window {width}",
    )
    check_tiles(check, name)
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
            ("file:", "about:", "blob:", "data:image/svg+xml")
        ):
            yield "request: " + params["request"]["url"][:200]


def check_page(check, url, expected, axe):
    browser = check.browser
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.call(f"{domain}.enable")
    browser.call("Page.addScriptToEvaluateOnNewDocument", source=HELPERS)
    browser.resize(1280, 900)
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
    check_opening(check, expected)
    check_explanations(check)
    if "cost_points" in expected:
        points = browser.evaluate("document.querySelectorAll('#comparisons figure .point').length")
        check.equal(points, expected["cost_points"], "points of accuracy against cost")
    if expected.get("rows"):
        check_lists(check, expected)
    if "problem" in expected:
        check_problem(check, expected["problem"], url)
        check_links(check, expected["problem"], url)
        check_pictures(check, expected["problem"], url)
    if "beside" in expected:
        check_beside(check, expected["beside"], url)
    for name, width, height, scheme in (
        ("light", 1280, 900, "light"),
        ("dark", 1280, 900, "dark"),
        ("middle", 800, 900, "light"),
        ("narrow", 360, 740, "light"),
        ("narrow-dark", 360, 740, "dark"),
    ):
        check_looks(check, name, width, height, scheme)
    if axe:
        one = expected.get("beside", expected).get("problem")
        place = f"#{encoded(one['id'])}/1/1" if one else ""
        check_axe(check, url, axe.read_text(encoding="utf-8"), place)
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
    parser.add_argument("--axe", type=pathlib.Path, help="axe.min.js of axe-core")
    arguments = parser.parse_args()
    expected = json.loads(arguments.expected.read_text(encoding="utf-8"))
    with chromium(arguments.chromium) as browser:
        check = Check(browser, arguments.screenshots)
        check_page(check, arguments.page.resolve().as_uri(), expected, arguments.axe)
    print(f"{arguments.page}: {check.failures or 'no'} failed checks")
    return 1 if check.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
