"""Drives a headless Chromium by the DevTools protocol over --remote-debugging-pipe: JSON messages, each followed by
NUL, on the browser's file descriptors 3 and 4.
"""

import contextlib
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
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Escape": 27,
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

    def call(self, method, of_browser=False, **params):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        if self.session and not of_browser:
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

    def resize(self, width, height, scheme="light"):
        """Gives the window a size in pixels, and the reader's wish for a light or a dark page."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def download(self, folder, expression):
        """Evaluates `expression`, which makes the page save a file, and returns its path in `folder`, an empty one."""
        self.call("Browser.setDownloadBehavior", of_browser=True, behavior="allow", downloadPath=str(folder))
        self.evaluate(expression)
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            files = [file for file in pathlib.Path(folder).iterdir() if file.suffix != ".crdownload"]
            if files and files[0].stat().st_size:
                return files[0]
            time.sleep(0.02)
        raise TimeoutError("Chromium saved no file")

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


@contextlib.contextmanager
def chromium(program="chromium"):
    """Runs a browser with a profile of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(program, profile)
        try:
            yield browser
        finally:
            browser.close()
