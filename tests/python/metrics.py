"""Measures masks and probabilities, named as the argument in a JSON file, with SciPy, scikit-image and scikit-learn.

Prints a JSON list with an object for each case.
"""

import json
import sys
import warnings

import numpy as np
from scipy import ndimage, stats
from skimage.metrics import hausdorff_distance
from skimage.morphology import skeletonize
from sklearn import metrics
from sklearn.calibration import calibration_curve

IGNORE = 255
CROSS = ndimage.generate_binary_structure(2, 1)
CORNERS = ndimage.generate_binary_structure(2, 2)


def or_none(value):
    return None if np.isnan(value) else float(value)


def counted(prediction, truth):
    """Metrics of pixels, from flat arrays of those that count."""
    score = lambda of, otherwise: or_none(of(truth, prediction, zero_division=otherwise))
    return {
        "dice": score(metrics.f1_score, 1.0),
        "iou": 1.0 if not (prediction | truth).any() else float(metrics.jaccard_score(truth, prediction)),
        "sensitivity": score(metrics.recall_score, np.nan),
        "precision": score(metrics.precision_score, np.nan),
        "specificity": or_none(metrics.recall_score(~truth, ~prediction, zero_division=np.nan)),
    }


def surfaces(prediction, truth, tolerance):
    """Metrics of surfaces, where neither mask is empty."""
    on_prediction, on_truth = (mask ^ ndimage.binary_erosion(mask, CROSS) for mask in (prediction, truth))
    to_truth = ndimage.distance_transform_edt(~on_truth)[on_prediction]
    to_prediction = ndimage.distance_transform_edt(~on_prediction)[on_truth]
    both = np.concatenate([to_truth, to_prediction])
    precision, recall = (to_truth <= tolerance).mean(), (to_prediction <= tolerance).mean()
    return {
        "hausdorff": hausdorff_distance(on_prediction, on_truth),
        "hausdorff95": max(np.percentile(to_truth, 95), np.percentile(to_prediction, 95)),
        "average_surface_distance": both.mean(),
        "surface_dice": (both <= tolerance).mean(),
        "boundary_f1": 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall),
    }


def sized_surfaces(prediction, truth, tolerance, spacing):
    """Metrics of surfaces in millimetres, where neither mask is empty."""
    on_prediction, on_truth = (mask ^ ndimage.binary_erosion(mask, CROSS) for mask in (prediction, truth))
    to_truth = ndimage.distance_transform_edt(~on_truth, sampling=spacing)[on_prediction]
    to_prediction = ndimage.distance_transform_edt(~on_prediction, sampling=spacing)[on_truth]
    both = np.concatenate([to_truth, to_prediction])
    return {
        "hausdorff_mm": both.max(),
        "hausdorff95_mm": max(np.percentile(to_truth, 95), np.percentile(to_prediction, 95)),
        "average_surface_distance_mm": both.mean(),
        "surface_dice_mm": (both <= tolerance).mean(),
    }


def centerline_dice(prediction, truth):
    precision = truth[skeletonize(prediction)].mean()
    sensitivity = prediction[skeletonize(truth)].mean()
    return 0.0 if precision + sensitivity == 0 else 2 * precision * sensitivity / (precision + sensitivity)


def objects(prediction, truth):
    count = lambda one, other: [
        (labels := ndimage.label(one, CORNERS))[1],
        sum(not other[labels[0] == label].any() for label in range(1, labels[1] + 1)),
    ]
    (predicted, invented), (true, missed) = count(prediction, truth), count(truth, prediction)
    return {"truth": true, "missed": missed, "predicted": predicted, "invented": invented}


def measure_masks(case):
    shape = case["height"], case["width"]
    prediction, truth = (np.array(case[name], np.uint8).reshape(shape) for name in ("prediction", "truth"))
    counts = truth != IGNORE
    classes = []
    for label in range(1, case["classes"]):
        one, other = (prediction == label) & counts, (truth == label) & counts
        values = counted((prediction == label)[counts], (truth == label)[counts])
        if one.any() and other.any():
            values |= surfaces(one, other, case["tolerance"])
            values |= sized_surfaces(one, other, case["tolerance_mm"], case["spacing"])
            values["centerline_dice"] = centerline_dice(one, other)
        classes.append({
            "values": values,
            "objects": objects(one, other),
            "skeleton": skeletonize(other).ravel().tolist(),
        })
    return {"accuracy": metrics.accuracy_score(truth[counts], prediction[counts]), "classes": classes}


def reliability(is_so, probability, bins):
    shares, probabilities = calibration_curve(is_so, probability, n_bins=bins)
    pixels, _ = np.histogram(probability, bins, (0, 1))
    pixels = pixels[pixels > 0]
    return {
        "pixels": pixels.tolist(),
        "shares": shares.tolist(),
        "probabilities": probabilities.tolist(),
        "expected_error": float((pixels * abs(shares - probabilities)).sum() / pixels.sum()),
    }


def measure_probabilities(case):
    truth = np.array(case["truth"], np.uint8)
    counts = truth != IGNORE
    probabilities = np.array(case["probabilities"], np.float32).reshape(case["classes"], -1)[:, counts]
    truth = truth[counts]
    one_hot = np.arange(case["classes"])[:, None] == truth
    top = probabilities.argmax(0)
    # A probability that float32 keeps is one that float64 keeps, without another rounding on the way.
    wide = probabilities.astype(np.float64)
    found = {
        "brier": float(((wide - one_hot) ** 2).sum(0).mean()),
        "negative_log_likelihood": metrics.log_loss(truth, probabilities.T, labels=range(case["classes"])),
        "top": reliability(top == truth, wide.max(0), case["bins"]),
        "classes": [reliability(is_so, of_class, case["bins"]) for is_so, of_class in zip(one_hot, wide)],
    }
    if case["classes"] == 2:
        found["roc_auc"] = metrics.roc_auc_score(truth, wide[1])
        found["average_precision"] = metrics.average_precision_score(truth, wide[1])
        found["thresholds"] = [counted(wide[1] >= threshold, truth == 1) for threshold in case["thresholds"]]
    return found


def bootstrap(case):
    values = np.array(case["values"])
    drawn = stats.bootstrap(
        (values,), np.mean, n_resamples=case["replicates"], confidence_level=case["confidence"], method="percentile",
        rng=np.random.default_rng(0),
    )
    return list(drawn.confidence_interval)


warnings.simplefilter("error")
# A class that only one of the masks has is a row of the table, not a mistake.
warnings.filterwarnings("ignore", "A single label was found")
with open(sys.argv[1]) as file:
    cases = json.load(file)
print(json.dumps({
    "masks": [measure_masks(case) for case in cases["masks"]],
    "probabilities": [measure_probabilities(case) for case in cases["probabilities"]],
    "bootstrap": bootstrap(cases["bootstrap"]),
}))
