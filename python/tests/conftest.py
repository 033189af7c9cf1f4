"""The sample, the model that ships, and what the program `seg-runtime` writes of them."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "models/nuclei.onnx"
IMAGES = sorted((ROOT / "sample/nuclei/test/images").glob("*.png"))


@pytest.fixture(scope="session")
def segmenter():
    from seg_runtime import Segmenter

    return Segmenter.open(MODEL, provider="cpu")


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Returns the folder of what `infer` writes, where the program is built."""
    program = Path(os.environ.get("BIN", ROOT / "target/release")) / "seg-runtime"
    if not program.exists():
        pytest.fail(f"there is no program {program}; build it, or name its folder by BIN")
    folder = tmp_path_factory.mktemp("infer")
    inputs = ROOT / "sample/nuclei/test/images"
    subprocess.run([program, "infer", "--model", MODEL, "--out", folder, "--save", "mask,probabilities-npy", inputs], check=True, capture_output=True)
    return folder
