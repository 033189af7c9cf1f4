"""The page in Chromium: starts a server and the masks to compare with, and hands over to page.mjs."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from served import IMAGES, ROOT, check, end, infer, server


def main():
    out = Path(os.environ.get("OUT", tempfile.mkdtemp()))
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        infer(Path(folder, "plain"), "--save", "mask,polygons")
        infer(Path(folder, "low"), "--save", "mask", "--threshold", "0.2")
        broken = Path(folder, "broken.png")
        broken.write_bytes(IMAGES[0].read_bytes()[:2000])
        with server() as running:
            environment = os.environ | {"ADDRESS": running.address, "MASKS": folder, "BROKEN": str(broken), "OUT": str(out), "IMAGES": str(IMAGES[0].parent)}
            status = subprocess.run(["node", ROOT / "tests/server/page.mjs"], env=environment).returncode
            check("the page holds", status == 0)
    print(f"  pictures in {out}")
    sys.stdout.flush()
    end()


main()
