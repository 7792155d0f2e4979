#!/usr/bin/env python3
"""Saves the picture of a response that its page draws. Needs Chromium.

usage: docs/picture.py REPORT.html PROBLEM/RESPONSE > response.svg

REPORT.html is a page of `pivotal report`, PROBLEM/RESPONSE the end of its address there, such as train-0012/1 of
REPORT.html#train-0012/1. The button "SVG" of that response saves the same picture.
"""
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))
from support.chromium import chromium  # noqa: E402


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    page, place = pathlib.Path(sys.argv[1]).resolve().as_uri(), sys.argv[2]
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        browser.call("Page.navigate", url=f"{page}#{place}")
        if not browser.wait("document.querySelector('#detail [role=alert], .tools button')"):
            sys.exit(f"picture.py: {sys.argv[1]} is no page of pivotal report")
        fault = browser.evaluate("document.querySelector('#detail [role=alert]')?.textContent")
        if fault:
            sys.exit(f"picture.py: {fault}")
        sys.stdout.write(browser.download(folder, "document.querySelector('.tools button').click()").read_text("utf-8"))


if __name__ == "__main__":
    main()
