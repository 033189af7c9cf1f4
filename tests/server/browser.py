"""The pages of `export --web` in Chromium: exports and offers them, hands over to browser.mjs, and compares the masks with `infer`'s."""

import functools
import http.server
import json
import os
import shutil
import struct
import subprocess
import tempfile
import threading
import zlib
from pathlib import Path

from served import BIN, IMAGES, MODEL, ROOT, check, end

TRAIN = "--epochs 1 --batch-size 2 --device cpu --plain -q --estimate-statistics false"
# Checkpoints: the flags of training.
RUNS = {
    "amsunet": "--base-width 8 --crop 96 --steps-per-epoch 80",
    "stretched": "--base-width 4 --size 96x64 --steps-per-epoch 12",
    "multiples": "--network unet-plus-plus --base-width 4 --crop 64 --steps-per-epoch 8",
}
# Pages: the checkpoint, and the flags of the export.
PAGES = {
    "nuclei": ("amsunet", ""),
    "bytes": ("amsunet", "--input u8 --output mask --no-verify"),
    "shares": ("amsunet", "--output probabilities --opset 17 --target cpu --no-verify"),
    "stretched": ("stretched", "--no-verify"),
    "stretched-bytes": ("stretched", "--input u8 --output mask --batch 2 --no-verify"),
    "multiples": ("multiples", "--no-verify"),
}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path, width, height, depth, color, rows, extra=b""):
    """Writes a PNG file of rows that are filtered and packed already."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


def value(x, y):
    """Returns a grey value: bright discs on a dark ground with a texture."""
    disc = any((x - a) ** 2 + (y - b) ** 2 < r * r for a, b, r in ((30, 28, 14), (66, 60, 20), (20, 74, 9)))
    return (190 + (7 * x + 3 * y) % 40 if disc else 20 + (5 * x + 11 * y) % 16) % 256


def pictures(folder):
    """Writes pictures of every kind of PNG of up to 8 bits."""
    folder.mkdir()
    width, height = 91, 83
    line = lambda make: [b"\0" + b"".join(make(x, y) for x in range(width)) for y in range(height)]
    rgb = line(lambda x, y: bytes((value(x, y), value(x + 1, y), value(x, y + 1))))
    palette = bytes(part for index in range(16) for part in (16 * index, 8 * index, 255 - 16 * index))
    nibbles = []
    for y in range(height):
        row = [value(x, y) // 16 for x in range(width)] + [0]
        nibbles.append(b"\0" + bytes(16 * row[x] + row[x + 1] for x in range(0, width, 2)))
    bits = []
    for y in range(height):
        row = [int(value(x, y) > 128) for x in range(width)] + [0] * 7
        bits.append(b"\0" + bytes(sum(row[x + bit] << (7 - bit) for bit in range(8)) for x in range(0, width, 8)))
    # Each row filtered in another way: the decoder has to undo all of them.
    filtered, before = [], bytes(3 * width)
    for y, row in enumerate(rgb):
        now, kind, out = row[1:], y % 5, bytearray()
        for i, byte in enumerate(now):
            left, up, corner = now[i - 3] if i >= 3 else 0, before[i], before[i - 3] if i >= 3 else 0
            p = left + up - corner
            near = min((left, up, corner), key=lambda one: abs(p - one))
            out.append((byte - (0, left, up, (left + up) // 2, near)[kind]) % 256)
        filtered.append(bytes([kind]) + out)
        before = now
    return [
        png(folder / "rgb.png", width, height, 8, 2, filtered),
        png(folder / "gray.png", width, height, 8, 0, line(lambda x, y: bytes((value(x, y),)))),
        png(folder / "palette.png", width, height, 4, 3, nibbles, chunk(b"PLTE", palette)),
        png(folder / "bits.png", width, height, 1, 0, bits),
        # Transparent pixels keep their colour; notes on colours change nothing.
        png(folder / "alpha.png", width, height, 8, 6, line(lambda x, y: bytes((value(x, y), value(y, x), 99, x % 256)))),
        png(folder / "gamma.png", width, height, 8, 2, rgb, chunk(b"gAMA", struct.pack(">I", 100000))),
        png(folder / "small.png", 9, 5, 8, 0, [b"\0" + bytes(range(20, 29))] * 5),
    ]


def refused(folder):
    """Writes files that a page refuses, with the words of the refusal."""
    broken = folder / "broken.png"
    broken.write_bytes(IMAGES[0].read_bytes()[:2000])
    damaged = folder / "damaged.png"
    data = bytearray(IMAGES[0].read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    deep = png(folder / "deep.png", 20, 20, 16, 0, [b"\0" + bytes(40)] * 20)
    large = png(folder / "large.png", 1600, 1600, 8, 0, [b"\0" + bytes(1600)] * 1600)
    series = folder / "slice.dcm"
    series.write_bytes(bytes(128) + b"DICM" + bytes(100))
    tiff = folder / "scan.tif"
    tiff.write_bytes(b"II*\0" + bytes(100))
    inks = folder / "inks.jpg"
    inks.write_bytes(b"\xff\xd8\xff\xc0\0\x14\x08\0\x10\0\x10\4" + bytes(12) + b"\xff\xda\0\2\xff\xd9")
    text = folder / "text.txt"
    text.write_text("not an image")
    return [(broken, "cut off"), (damaged, "damaged"), (deep, "16 bits"), (large, "tiles"), (series, "DICOM"), (tiff, "TIFF"),
            (inks, "CMYK"), (text, "no image")]


def labels(path):
    """Reads the indices of a mask, independently of the page and of `infer`: width, height, labels."""
    data, at, body = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        part = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", part[:10])
            assert (depth, color) == (8, 3), f"{path} is no indexed PNG of 8 bits"
        body += part if kind == b"IDAT" else b""
        at += 12 + length
    rows, before, found = zlib.decompress(body), bytes(width), bytearray()
    for y in range(height):
        kind, row = rows[y * (width + 1)], bytearray(rows[y * (width + 1) + 1:(y + 1) * (width + 1)])
        for i in range(width):
            left, up, corner = row[i - 1] if i else 0, before[i], before[i - 1] if i else 0
            p = left + up - corner
            near = min((left, up, corner), key=lambda one: abs(p - one))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, near)[kind]) % 256
        found += row
        before = row
    return width, height, bytes(found)


def run(*command):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def infer(model, out, images, *flags):
    run(BIN / "seg-runtime", "infer", "--model", model, "--out", out, "--save", "mask,probabilities-npy" if "threshold" not in str(out)
        and "--output mask" not in PAGES[model.parent.name][1] else "mask", "-q", *flags, *images)


def shipped(folder):
    """Makes the page of the model that ships, whose masks have many borders, out of another page."""
    page = folder / "shipped"
    if not page.exists():
        shutil.copytree(folder / "nuclei", page)
    shutil.copy(MODEL, page / "model.onnx")
    told = subprocess.run([BIN / "seg-runtime", "inspect", "--json", MODEL], check=True, capture_output=True, text=True).stdout
    facts = json.loads((page / "model.json").read_text())
    (page / "model.json").write_text(json.dumps(facts | {"contract": json.loads(told)["contract"]}))
    return page / "model.onnx"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def compare(name, found, expected):
    """Compares the masks of a page with those of `infer`; returns the pixels that differ and all pixels."""
    others = total = 0
    for mask in sorted(found.glob("*.png")):
        own, other = labels(mask), labels(expected / "masks" / mask.name)
        if own[:2] != other[:2]:
            check(f"{name}: {mask.name} has its size", False, f"{own[:2]} {other[:2]}")
        others += sum(a != b for a, b in zip(own[2], other[2]))
        total += len(own[2])
    return others, total


def main():
    out = Path(os.environ.get("OUT", tempfile.mkdtemp())).resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(os.environ.get("KEEP", temporary)).resolve()
        folder = work / "pages"
        folder.mkdir(parents=True, exist_ok=True)
        if not (work / "pictures").exists():
            pictures(work / "pictures")
        images = [*IMAGES[:4], *sorted((work / "pictures").glob("*.png"))]
        for name, flags in RUNS.items():
            if not (work / name / "best.safetensors").exists():
                run(BIN / "train", "--data", "sample/nuclei/train", "--out", work / name, *flags.split(), *TRAIN.split())
        for name, (checkpoint, flags) in PAGES.items():
            model = folder / name / "model.onnx"
            if not model.exists():
                run(BIN / "export", "--checkpoint", work / checkpoint, "--out", work / f"{name}.onnx", "--web", folder / name, "-q",
                    *flags.split())
            check(f"{name}: the page has the exported model", model.read_bytes() == (work / f"{name}.onnx").read_bytes())
            if not (work / f"infer-{name}" / "masks").exists():
                infer(model, work / f"infer-{name}", images)
        model = shipped(folder)
        if not (work / "infer-shipped").exists():
            run(BIN / "seg-runtime", "infer", "--model", model, "--out", work / "infer-shipped", "--save", "mask", "-q", *images)
        if not (work / "infer-threshold").exists():
            infer(folder / "nuclei/model.onnx", work / "infer-threshold", images[:1], "--threshold", "0.2")
        served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=served.serve_forever, daemon=True).start()
        refusals = work / "refused"
        refusals.mkdir(exist_ok=True)
        environment = os.environ | {
            "ADDRESS": f"http://127.0.0.1:{served.server_port}", "OUT": str(out),
            "PAGES": json.dumps([{"name": name, "images": [str(image) for image in images]} for name in [*PAGES, "shipped"]]),
            "REFUSED": json.dumps([{"file": str(path), "words": words} for path, words in refused(refusals)]),
        }
        status = subprocess.run(["node", ROOT / "tests/server/browser.mjs"], env=environment).returncode
        check("the pages hold", status == 0)
        served.shutdown()
        for name in [*PAGES, "shipped"]:
            others, total = compare(name, out / "masks" / name, work / f"infer-{name}")
            count = len(list((out / "masks" / name).glob("*.png")))
            check(f"{name}: the masks of {count} images are those of `infer`", others == 0 and count == len(images), f"{others} of {total} pixels differ")
        own, other = labels(out / "threshold.png"), labels(next((work / "infer-threshold/masks").glob("*.png")))
        check("the mask at a threshold is that of `infer --threshold`", own == other)
        read = lambda path: path.read_bytes()[10 + int.from_bytes(path.read_bytes()[8:10], "little"):]
        found = read(out / "probabilities.npy")
        expected = read(next((work / "infer-nuclei").rglob(f"{images[0].stem}*.npy")))
        count = len(expected) // 4
        pairs = zip(struct.unpack(f"<{count}f", found), struct.unpack(f"<{count}f", expected))
        worst = max(abs(a - b) for a, b in pairs)
        check("probabilities are those of `infer`", worst < 1e-5, worst)
        if (out / "masks/webgpu").exists():
            others, total = compare("webgpu", out / "masks/webgpu", work / "infer-nuclei")
            check("WebGPU: the masks are those of `infer`", others <= 1e-4 * total, f"{others} of {total} pixels differ")
    print(f"  pictures in {out}", flush=True)
    end()


main()
