#!/usr/bin/env python3
"""Measures how long the page of a run takes to open in Chromium.

usage: bench/report_opening.py [PAGE.html] [--problems N] [--tokens N] [--times N]

Without PAGE.html it makes a page of random data (tests/experiments/report/report_sample.py): N problems, 10000 by
default, with two responses of about 200 tokens each. Three times are told, in seconds since the page was asked for,
each as the median and the range of several loads: until the list of problems is drawn, until the first problem with
pivotal tokens is open, and, for the address of a problem near the end of the list, until that one is open. The first
load of each kind warms up and does not count. The window has 1400 x 1000 pixels.
"""
import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.chromium import chromium  # noqa: E402

# Marks the moment at which the tokens of a problem are there.
WATCH = """new MutationObserver((_, observer) => {
  if (!document.querySelector(".token")) return;
  performance.mark("opened");
  observer.disconnect();
}).observe(document, {childList: true, subtree: true});"""


def load(browser, url):
    browser.call("Page.navigate", url="about:blank")
    browser.call("Page.navigate", url=url)
    if not browser.wait("['drawn', 'opened'].every((name) => performance.getEntriesByName(name).length)"):
        sys.exit(f"report_opening.py: {url} opens no problem")
    return browser.evaluate("['drawn', 'opened'].map((name) => performance.getEntriesByName(name)[0].startTime / 1e3)")


def told(seconds):
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=pathlib.Path, nargs="?")
    parser.add_argument("--problems", type=int, default=10000)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--times", type=int, default=5)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        page = a.page
        if page is None:
            page = pathlib.Path(folder) / "page.html"
            sample = ROOT / "tests/experiments/report/report_sample.py"
            subprocess.run([sys.executable, sample, page, page.with_suffix(".json"), "--problems", str(a.problems),
                            "--tokens", str(a.tokens)], check=True, stdout=subprocess.DEVNULL)
        browser.resize(1400, 1000)
        browser.call("Page.enable")
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        url = page.resolve().as_uri()
        first = [load(browser, url) for _ in range(a.times + 1)][1:]
        problems, place = browser.evaluate(
            "[run.problems.length, address(run.problems.findLast((problem) => problem.responses > 0).id)]")
        last = [load(browser, url + place) for _ in range(a.times + 1)][1:]
        size = page.stat().st_size / 1e6
        version = browser.call("Browser.getVersion", of_browser=True)["product"]
    print(f"{page.name}: {problems} problems, {size:.1f} MB; {version}, {os.cpu_count()} cores, {platform.machine()}")
    print(f"list drawn            {told([drawn for drawn, _ in first])} s")
    print(f"first problem open    {told([opened for _, opened in first])} s")
    print(f"{place[1:]:<21} {told([opened for _, opened in last])} s")


if __name__ == "__main__":
    main()
