"""A server of this project under test, and the checks on it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(os.environ.get("BIN", ROOT / "target/release"))
MODEL = ROOT / "models/nuclei.onnx"
IMAGES = sorted((ROOT / "sample/nuclei/test/images").glob("*.png"))

failures = []


def check(name, holds, found=""):
    """Reports a claim, and counts it if it does not hold."""
    print(("  holds  " if holds else "  FAILS  ") + name + (f": {found}" if found != "" else ""), flush=True)
    if not holds:
        failures.append(name)


def end():
    """Ends the script as its claims say."""
    raise SystemExit(1 if failures else 0)


class Server:
    """A running server."""

    def __init__(self, *flags, model=f"nuclei={MODEL}"):
        command = [BIN / "seg-runtime", "serve", "--model", model, "--listen", "127.0.0.1:0", "--log", "json", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.lines = []
        self.address = None
        self.ready = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        if not self.ready.wait(120):
            raise RuntimeError("the server is not ready:\n" + "\n".join(self.lines[-20:]))

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if '"message":"listening"' in line:
                self.address = json.loads(line)["address"]
            if '"message":"ready"' in line:
                self.ready.set()

    @property
    def host(self):
        return self.address.split("://")[1]

    def kibibytes(self, field="VmRSS"):
        """Returns a number of the process's memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", text)[1])

    def cpu_seconds(self):
        """Returns the processor time of the process."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def panics(self):
        return [line for line in self.lines if "panicked" in line]

    def stop(self, number=signal.SIGTERM, seconds=40):
        self.process.send_signal(number)
        return self.process.wait(seconds)


@contextlib.contextmanager
def server(*flags, **others):
    """Runs a server, and checks that it ends as it should."""
    running = Server(*flags, **others)
    try:
        yield running
    finally:
        alive = running.process.poll() is None
        check("the server lives to the end", alive, "" if alive else "\n".join(running.lines[-5:]))
        if alive:
            check("SIGTERM ends it with status 0", running.stop() == 0)
        check("nothing panicked", running.panics() == [], running.panics()[:3] or "")


def infer(folder, *flags):
    """Runs `infer` on the images of the sample; returns the processor time in seconds."""
    before = os.times()
    command = [BIN / "seg-runtime", "infer", "--model", MODEL, "--out", folder, *flags, ROOT / "sample/nuclei/test/images"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
