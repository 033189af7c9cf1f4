"""The job of `seg-runtime infer`, written plainly: a folder of images to masks and overlays."""

import argparse
import json
import pathlib
import resource
import time

import numpy
import onnxruntime
from PIL import Image

TINT = 0.25


def main():
    parser = argparse.ArgumentParser()
    for flag in ["--model", "--images", "--out"]:
        parser.add_argument(flag, type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
    contract = json.loads(session.get_modelmeta().custom_metadata_map["seg.contract"])
    palette = numpy.array([entry["color"] for entry in contract["classes"]], numpy.uint8)
    for folder in ["masks", "overlays"]:
        (arguments.out / folder).mkdir()
    paths = sorted(arguments.images.iterdir())
    session.run(None, {contract["input"]["name"]: prepare(Image.open(paths[0]), contract)})

    begun, cpu_begun = time.perf_counter(), time.process_time()
    for path in paths:
        image = Image.open(path)
        logits = session.run(None, {contract["input"]["name"]: prepare(image, contract)})[0][0]
        labels = logits[:, : image.height, : image.width].argmax(0).astype(numpy.uint8)
        mask = Image.fromarray(labels, "P")
        if contract["input"]["size"]["policy"] == "resize":
            mask = mask.resize(image.size, Image.NEAREST)
            labels = numpy.asarray(mask)
        mask.putpalette(palette.tobytes())
        mask.save(arguments.out / "masks" / f"{path.stem}.png")
        overlay(image, labels, palette).save(arguments.out / "overlays" / f"{path.stem}.png")
    print(json.dumps({
        "images": len(paths),
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - cpu_begun,
        "rss_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "version": f"onnxruntime {onnxruntime.__version__}, Pillow {Image.__version__}",
    }))


def prepare(image, contract):
    """The network's input, [1, channels, height, width]."""
    size = contract["input"]["size"]
    image = image.convert("RGB")
    if size["policy"] == "resize":
        image = image.resize((size["width"], size["height"]), Image.BILINEAR)
    pixels = numpy.asarray(image, numpy.float32) / 255
    pixels = (pixels - numpy.float32(contract["input"]["mean"])) / numpy.float32(contract["input"]["std"])
    return numpy.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def overlay(image, labels, palette):
    """The image with each class tinted, and outlined along its inner border."""
    pixels = numpy.asarray(image.convert("RGB"), numpy.float32)
    tinted = (1 - TINT) * pixels + TINT * palette[labels]
    drawn = numpy.where((labels > 0)[..., None], tinted, pixels)
    padded = numpy.pad(labels, 1, mode="edge")
    border = numpy.zeros(labels.shape, bool)
    for rows, columns in [(0, 1), (2, 1), (1, 0), (1, 2)]:
        border |= padded[rows : rows + labels.shape[0], columns : columns + labels.shape[1]] != labels
    border &= labels > 0
    drawn[border] = palette[labels][border]
    return Image.fromarray(drawn.round().astype(numpy.uint8))


main()
