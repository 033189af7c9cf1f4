from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

__version__: str

Provider: TypeAlias = Literal["cpu", "fused", "openvino", "cuda", "tensorrt"]
Precision: TypeAlias = Literal["fp32", "tf32", "fp16"]
PathOrName: TypeAlias = str | PathLike[str]
#: A path, an array `[height, width]` or `[height, width, 3 or 4]` of uint8, uint16, or float32 in [0, 1], or a PIL image.
Image: TypeAlias = PathOrName | npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float32] | Any

class SegError(Exception):
    """An error of reading, segmenting or proving, with the message of the programs."""

class Result:
    """A segmented image."""

    @property
    def mask(self) -> npt.NDArray[np.uint8]:
        """The class of each pixel, `[height, width]`."""
    @property
    def probabilities(self) -> npt.NDArray[np.float32] | None:
        """The probabilities, `[classes, height, width]`, if they were asked for."""
    @property
    def uncertainty(self) -> npt.NDArray[np.float32] | None:
        """The uncertainty, `[height, width]`, if it was asked for."""
    @property
    def areas(self) -> dict[str, int]:
        """The pixels of each class."""
    @property
    def record(self) -> dict[str, Any]:
        """What was computed and by what, as a line of `predictions.jsonl` says it."""

class Segmenter:
    """A model, or several as one, that segments images. Calls of several threads run one after the other on a lane."""

    @staticmethod
    def open(
        model: PathOrName | Sequence[PathOrName],
        *,
        provider: Provider = "cpu",
        precision: Precision = "fp32",
        threads: int | None = None,
        lanes: int = 1,
        allow_fallback: bool = False,
        tile: int | Literal["auto", "off"] = "auto",
        overlap: float = 0.25,
        flips: bool = False,
        threshold: float | None = None,
        cleanup: Mapping[str, Mapping[str, bool | int]] | None = None,
        require_certificate: bool = False,
        public_key: PathOrName | None = None,
        library: PathOrName | None = None,
    ) -> Segmenter:
        """Opens a model file, or several whose probabilities are averaged.

        `lanes` sessions segment the images of a batch side by side. `cleanup` is, by the name of a class,
        `{"fill_holes": True, "min_area": 50, "largest_component": True}`.
        """
    @property
    def contract(self) -> dict[str, Any]:
        """What the model expects and means."""
    @property
    def classes(self) -> list[str]:
        """The names of the classes, by index."""
    @property
    def runs_on(self) -> dict[str, Any]:
        """What computes the model."""
    @property
    def files(self) -> list[dict[str, Any]]:
        """The model files and their SHA-256."""
    def segment(
        self,
        image: Image,
        *,
        probabilities: bool = False,
        uncertainty: Literal["entropy", "variance"] | None = None,
        threshold: float | None = None,
        spacing_mm: tuple[float, float] | None = None,
    ) -> Result:
        """Segments an image. Other threads of Python run meanwhile.

        `spacing_mm` are the millimetres between rows and between columns of an array; files state their own.
        """
    def segment_batch(
        self,
        images: Iterable[Image],
        *,
        probabilities: bool = False,
        uncertainty: Literal["entropy", "variance"] | None = None,
        threshold: float | None = None,
        spacing_mm: tuple[float, float] | None = None,
    ) -> list[Result]:
        """Segments several images, as many side by side as there are lanes; the first error ends it."""

def contract(model: PathOrName) -> dict[str, Any]:
    """Reads what a model expects and means, without ONNX Runtime."""

def evaluate(
    model: PathOrName | Sequence[PathOrName],
    data: PathOrName,
    *,
    split: Literal["train", "validation", "test", "all"] | None = None,
    tolerance_px: float = 2.0,
    tolerance_mm: float = 2.0,
    bootstrap: int = 1000,
    progress: Callable[[str, float], object] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Scores a model on a data set, and returns what `seg eval` writes to `scores.json`."""

def verify(
    model: PathOrName,
    *,
    reference: PathOrName | None = None,
    data: PathOrName | None = None,
    thorough: bool = False,
    provider: Provider = "cpu",
    precision: Precision = "fp32",
    threads: int | None = None,
    library: PathOrName | None = None,
) -> dict[str, Any]:
    """Proves that a model is the trained network, and returns the certificate."""
