"""The wheel gives what the program gives, whatever an image comes as."""

import threading
import time

import numpy as np
import pytest
import seg_runtime
from conftest import IMAGES, MODEL, ROOT
from PIL import Image
from seg_runtime import SegError, Segmenter


def test_masks_and_probabilities_are_those_of_infer(segmenter, written):
    for path in IMAGES:
        result = segmenter.segment(path, probabilities=True)
        expected = np.asarray(Image.open(written / f"masks/{path.stem}.png"))
        assert result.mask.dtype == np.uint8 and (result.mask == expected).all(), path.name
        assert (result.probabilities == np.load(written / f"probabilities/{path.stem}.npy")).all(), path.name
        assert result.areas["nucleus"] == int((expected == 1).sum())


def test_an_image_is_the_same_as_a_path_an_array_and_of_pillow(segmenter):
    path = IMAGES[0]
    pillow = Image.open(path).convert("RGB")
    array = np.asarray(pillow)
    expected = segmenter.segment(str(path)).mask
    words = array.astype(np.uint16) * 257
    given = {
        "Path": path, "array": array, "Pillow": pillow, "not contiguous": np.asarray(array.transpose(1, 0, 2), order="C").transpose(1, 0, 2),
        "16 bits": words, "floats": (array / 255).astype(np.float32), "with alpha": np.dstack([array, np.zeros(array.shape[:2], np.uint8)]),
        "Pillow with alpha": pillow.convert("RGBA"),
    }
    for name, image in given.items():
        found = segmenter.segment(image).mask
        assert (found != expected).mean() < (1e-4 if name in ("16 bits", "floats") else 1e-12), name
    gray = np.asarray(pillow.convert("L"))
    assert (segmenter.segment(gray).mask == segmenter.segment(np.dstack([gray] * 3)).mask).all()
    assert (segmenter.segment(pillow.convert("L")).mask == segmenter.segment(gray).mask).all()


def test_areas_of_an_array_follow_from_the_size_of_its_pixels(segmenter):
    array = np.asarray(Image.open(IMAGES[0]).convert("RGB"))
    record = segmenter.segment(array, spacing_mm=(0.5, 0.25)).record
    assert record["spacing_mm"] == [0.5, 0.25]
    for area in record["area"]:
        assert area["mm2"] == pytest.approx(area["pixels"] * 0.125)
    assert segmenter.segment(array).record["spacing_mm"] is None


def test_what_is_no_image_is_refused_by_name(segmenter, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(IMAGES[0].read_bytes()[:500])
    for image, kind, part in [
        (tmp_path / "absent.png", SegError, "absent.png"),
        (broken, SegError, "cut off"),
        (np.zeros((4, 4, 5), np.uint8), ValueError, "[4, 4, 5]"),
        (np.zeros((0, 4), np.uint8), ValueError, "expected pixels"),
        (np.zeros((4, 4), np.float64), TypeError, "float64"),
        (np.full((4, 4), 2, np.float32), ValueError, "expected 0 to 1"),
        (np.full((4, 4), np.nan, np.float32), ValueError, "expected 0 to 1"),
        (Image.new("I", (4, 4)), ValueError, "mode I"),
        (7, TypeError, "expected a path"),
    ]:
        with pytest.raises(kind, match=".*") as error:
            segmenter.segment(image)
        assert part in str(error.value), str(error.value)


def test_options_are_checked(tmp_path):
    (tmp_path / "text.onnx").write_text("text")
    for options, kind, part in [
        ({"model": tmp_path / "absent.onnx"}, SegError, "cannot read the model"),
        ({"model": tmp_path / "text.onnx"}, SegError, "written by `seg export`"),
        ({"provider": "gpu"}, ValueError, "cpu"),
        ({"precision": "fp8"}, ValueError, "fp32"),
        ({"tile": 0}, ValueError, "tile"),
        ({"tile": "some"}, TypeError, "tile"),
        ({"threads": 0}, ValueError, "threads"),
        ({"threshold": 2.0}, SegError, "between 0 and 1"),
        ({"cleanup": {"cell": {"fill_holes": True}}}, SegError, "no class `cell`"),
        ({"cleanup": {"nucleus": {"fill": True}}}, ValueError, "no step `fill`"),
        ({"public_key": tmp_path / "absent.pem"}, SegError, "absent.pem"),
    ]:
        with pytest.raises(kind) as error:
            Segmenter.open(**({"model": MODEL} | options))
        assert part in str(error.value), (options, str(error.value))
    assert Segmenter.open(MODEL, require_certificate=True).classes == ["background", "nucleus"]


def test_settings_change_the_mask_as_they_say(segmenter):
    result = segmenter.segment(IMAGES[0], probabilities=True, uncertainty="entropy")
    probability = result.probabilities[1]
    assert (segmenter.segment(IMAGES[0], threshold=0.2).mask == (probability >= np.float32(0.2))).all()
    p = result.probabilities.astype(np.float64)
    entropy = -(p * np.log(np.clip(p, 1e-30, 1))).sum(0) / np.log(2)
    assert np.abs(result.uncertainty - entropy).max() < 1e-5
    cleaned = Segmenter.open(MODEL, cleanup={"nucleus": {"largest_component": True}}).segment(IMAGES[0])
    assert 0 < cleaned.areas["nucleus"] < result.areas["nucleus"]
    tiled = Segmenter.open(MODEL, tile=128, overlap=0.5).segment(IMAGES[0])
    assert tiled.record["tiles"] > 1 and result.record["tiles"] is None


def test_a_batch_is_its_images_in_order(segmenter):
    lanes = Segmenter.open(MODEL, lanes=2, threads=2)
    results = lanes.segment_batch(IMAGES[:5])
    for path, result in zip(IMAGES[:5], results, strict=True):
        assert (result.mask == segmenter.segment(path).mask).all()
    assert lanes.segment_batch([]) == []
    with pytest.raises(SegError, match="image 1 of the batch"):
        lanes.segment_batch([IMAGES[0], "absent.png", IMAGES[1]])


def test_other_threads_run_while_an_image_is_segmented(segmenter):
    image = np.zeros((1024, 1024, 3), np.uint8)
    worker = threading.Thread(target=segmenter.segment, args=(image,))
    begun = time.monotonic()
    worker.start()
    ticks = 0
    while worker.is_alive():
        time.sleep(0.001)
        ticks += 1
    took = time.monotonic() - begun
    assert ticks > 20 and took > 0.05, (ticks, took)


def test_what_is_known_of_a_model(segmenter):
    contract = seg_runtime.contract(MODEL)
    assert contract == segmenter.contract and contract["input"]["name"] == "input"
    assert segmenter.runs_on["provider"].lower() == "cpu"
    assert len(segmenter.files[0]["sha256"]) == 64
    assert "nuclei.onnx" in repr(segmenter)


def test_scores_are_those_of_eval(segmenter):
    seen = []
    report = seg_runtime.evaluate(MODEL, ROOT / "sample/nuclei", split="test", bootstrap=0, progress=lambda name, dice: seen.append((name, dice)))
    assert len(seen) == len(IMAGES) and report["skipped"] == []
    dice = report["scores"]["per_image"]["overall"]["dice"]["value"]
    assert abs(dice - sum(dice for _, dice in seen) / len(seen)) < 1e-9 and 0.85 < dice < 0.95
    with pytest.raises(SegError):
        seg_runtime.evaluate(MODEL, ROOT / "sample/absent")


def test_a_proof_that_has_no_reference_is_refused(tmp_path):
    with pytest.raises(SegError, match="absent.onnx"):
        seg_runtime.verify(MODEL, reference=tmp_path / "absent.onnx")
