"""Segments images with exported models: the library behind ``seg infer``, as Python calls it.

>>> from seg_runtime import Segmenter
>>> segmenter = Segmenter.open("nuclei.onnx", provider="cpu")
>>> result = segmenter.segment("cells.png", probabilities=True)
>>> result.mask.shape, result.areas["nucleus"]
"""

from __future__ import annotations

import atexit
import importlib.util
import os
from pathlib import Path

from . import _seg_runtime
from ._seg_runtime import Result, SegError, Segmenter, contract

__all__ = ["Result", "SegError", "Segmenter", "contract", "evaluate", "verify", "__version__"]
__version__: str = _seg_runtime.__version__


def _installed_library() -> str | None:
    """Returns the library of the installed package `onnxruntime`, which is not imported for it."""
    if os.environ.get("ORT_DYLIB_PATH"):
        return None
    found = importlib.util.find_spec("onnxruntime")
    for folder in (found.submodule_search_locations or []) if found else []:
        for library in sorted(Path(folder, "capi").glob("libonnxruntime.so*")):
            return str(library)
    return None


def evaluate(model, data, *, split=None, tolerance_px=2.0, tolerance_mm=2.0, bootstrap=1000, progress=None, **options):
    """Scores a model on a data set, and returns what ``seg eval`` writes to ``scores.json``.

    ``tolerance_mm`` counts for images that name the size of a pixel. ``progress`` is called with the name and the Dice
    of each image. The other options are those of :meth:`Segmenter.open`. Images that cannot be read are listed under
    ``skipped``.
    """
    return Segmenter.open(model, **options)._evaluate(data, split, [tolerance_px, tolerance_mm], bootstrap, progress)


def verify(model, *, reference=None, data=None, thorough=False, provider="cpu", precision="fp32", threads=None, library=None):
    """Proves that a model is the trained network, and returns the certificate; nothing is written.

    ``reference`` is the reference's file, that beside the model unless given. ``certificate["holds"]``
    is the verdict.
    """
    return _seg_runtime._verify(model, reference, data, thorough, provider, precision, threads, library)


_seg_runtime._find_library(_installed_library)
atexit.register(_seg_runtime._end)
