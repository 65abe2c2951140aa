"""Finds where in a larger photo a classifier answers surely, and otherwise than around it."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou, nms

from search.errors import DataError
from search.pictures.decode import PictureError, photograph
from search.shipping.drawing import Box, draw_boxes, draw_heat
from search.shipping.model import Model, load_model, weights_of
from search.shipping.request import LocateRequest
from search.slots.machine import survey

LIMITS = (
    "A classifier without a background class is no trained detector: a box says where it answers surely, and otherwise "
    "than around it. What it misses or invents was not measured on photos like these, and there is no mAP."
)
STEP = 8  # parts of a window, by one of which the next window is shifted
GROWTH = 1.5  # of a window's side from one scale to the next
MOST_SIDES = 12  # a photo of more than the square of so many windows is made smaller first
AROUND = 6  # steps from a window to those around it, which share a quarter of its side with it
OVERLAP = 0.1  # of two boxes that share more, as intersection over union, the weaker one goes
VOTES = 0.3  # windows that share as much with a box, and answer alike, move its edges (arXiv 1505.01749)


@dataclass(frozen=True, kw_only=True)
class Located:
    """What was found in one photo."""

    photo: Path
    boxes: tuple[Box, ...]  # the strongest first
    drawn: Path  # the picture with the boxes
    heat: Path  # the heat map


@dataclass(frozen=True, kw_only=True)
class Locations:
    """What was found in all photos."""

    model: Path
    photos: tuple[Located, ...]
    limits: str = LIMITS

    def as_json(self) -> dict[str, Any]:
        """What `locate --json` prints; confidences are shares of 1, edges are pixels."""
        files = [{name: str(getattr(row, name)) for name in ("photo", "drawn", "heat")} for row in self.photos]
        photos = [{**asdict(row), **names} for row, names in zip(self.photos, files, strict=True)]
        return {"unit": "fraction", "limits": self.limits, "model": str(self.model), "photos": photos}


class Windows(NamedTuple):
    """The windows of a photo, each with the answer that stands out most against the windows around it."""

    corners: Tensor  # float32 [n, 4], pixels: left, top, right, bottom
    evidence: Tensor  # float32 [n]: by how much its calibrated logit is above the mean of those around it
    labels: Tensor  # int64 [n]
    confidence: Tensor  # float32 [n], calibrated, of that answer


def locate(request: LocateRequest) -> Locations:
    """Find what the model knows in each photo, and draw it. Raises DataError, StudyError, StorageError, OSError."""
    path = request.weights or weights_of(request.study, runs=request.folder, storage=request.storage)
    model = load_model(path, machine=survey(request.device, slots=1))
    request.output.mkdir(parents=True, exist_ok=True)
    return Locations(model=path, photos=tuple(_locate(photo, model, request.output) for photo in request.photos))


def _locate(path: Path, model: Model, folder: Path) -> Located:
    try:
        photo = photograph(path, channels=model.channels)
        boxes, heat = find(photo, model)
    except PictureError as error:
        raise DataError(f"{path}: {error}; name another photo") from None
    drawn, warm = (folder / f"{path.stem}-{what}.png" for what in ("boxes", "heat"))
    draw_boxes(photo, boxes).save(drawn)
    draw_heat(photo, heat.numpy()).save(warm)
    return Located(photo=path, boxes=boxes, drawn=drawn, heat=warm)


def find(photo: Image.Image, model: Model) -> tuple[tuple[Box, ...], Tensor]:
    """The boxes, the strongest first, and how strong the evidence is everywhere: [height, width], from 0 to 1.

    Raises DataError for a model without a calibration, PictureError for a photo that is too narrow.
    """
    if (calibration := model.calibration) is None:
        rule = f"{model.path} does not say below what its answers are none, as models of older versions do not"
        raise DataError(f"{rule}; make it again: cifar-search best --retrain")
    seen = _seen(photo, model.side)
    heat, scales = torch.zeros(seen.height, seen.width), []
    for window in _windows(min(seen.size), least=model.side):
        logits = _answers(seen, model, window=window) / calibration.temperature
        evidence, labels = (logits - _around(logits)).max(2)
        heat = heat.maximum(_spread(evidence, window=window, over=heat))
        confidence = logits.softmax(2).gather(2, labels[..., None])
        corners = _corners(evidence, step=window * _step(model.side) / model.side, window=window)
        scales.append(Windows(corners, evidence.flatten(), labels.flatten(), confidence.flatten()))
    windows, scale, boxes = Windows(*map(torch.cat, zip(*scales, strict=True))), photo.width / seen.width, []
    for index, corners in _strongest(windows, least=calibration.known):
        left, top, right, bottom = (corners * scale).round().int().tolist()
        label, sure = model.classes[int(windows.labels[index])], float(windows.confidence[index])
        boxes.append(Box(label=label, confidence=sure, left=left, top=top, right=right, bottom=bottom))
    return tuple(boxes), heat / max(float(heat.max()), calibration.known)


def _seen(photo: Image.Image, side: int) -> Image.Image:
    """The photo as it is looked at: not so large that it takes hours, nor smaller than a window."""
    width, height = photo.size
    most = MOST_SIDES * side
    scale = max(min(1, most / math.sqrt(width * height)), side / min(width, height))
    size = max(side, round(scale * width)), max(side, round(scale * height))
    if size[0] * size[1] > 2 * most**2:
        raise PictureError(f"its {width:,} x {height:,} pixels are too narrow for a model of {side} x {side}")
    return photo if photo.size == size else photo.resize(size, Image.Resampling.BICUBIC)


def _windows(short_side: int, *, least: int) -> Iterator[float]:
    """The sides of the windows of all scales, in pixels."""
    window = float(least)
    while window <= short_side:
        yield window
        window *= GROWTH


def _step(side: int) -> int:
    return max(1, side // STEP)


def _answers(seen: Image.Image, model: Model, *, window: float) -> Tensor:
    """The logits [rows, columns, classes] of all windows of this side."""
    side, scale = model.side, model.side / window
    size = max(side, round(scale * seen.width)), max(side, round(scale * seen.height))
    resized = seen if seen.size == size else seen.resize(size, Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(resized)).view(size[1], size[0], model.channels)
    rows = pixels.unfold(0, side, _step(side)).unfold(1, side, _step(side))  # [rows, columns, C, S, S]
    return torch.stack([model.logits(row.permute(0, 2, 3, 1)) for row in rows])


def _around(logits: Tensor) -> Tensor:
    """The mean of the eight windows around each, as far as there are such: a background answers alike everywhere."""
    kernel = torch.ones(1, 1, 3, 3)
    kernel[..., 1, 1] = 0
    planes = logits.permute(2, 0, 1)[:, None]
    sums, counts = (F.conv2d(each, kernel, padding=AROUND, dilation=AROUND) for each in (planes, planes[:1] * 0 + 1))
    return (sums / counts.clamp(min=1))[:, 0].permute(1, 2, 0)


def _spread(evidence: Tensor, *, window: float, over: Tensor) -> Tensor:
    """The evidence [rows, columns] over the whole photo, each at the middle of its window."""
    height, width = over.shape
    edge = int(window) // 2
    inner = max(1, height - 2 * edge), max(1, width - 2 * edge)
    spread = F.interpolate(evidence[None, None], size=inner, mode="bilinear", align_corners=True)
    return F.pad(spread, (edge, width - inner[1] - edge, edge, height - inner[0] - edge), mode="replicate")[0, 0]


def _corners(evidence: Tensor, *, step: float, window: float) -> Tensor:
    rows, columns = evidence.shape
    places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(1) * step  # left, top
    return torch.cat([places, places + window], dim=1)


def _strongest(windows: Windows, *, least: float) -> Iterator[tuple[int, Tensor]]:
    """The windows that stand out by more than `least`, without weaker ones near by, each with its corners voted on."""
    sure = (windows.evidence > least).nonzero()[:, 0]
    for index in sure[nms(windows.corners[sure], windows.evidence[sure], OVERLAP)].tolist():
        shared = box_iou(windows.corners[index : index + 1], windows.corners)[0]
        voters = (shared >= VOTES) & (windows.labels == windows.labels[index])
        votes = (windows.evidence[voters] - windows.evidence[index]).exp()
        yield index, votes @ windows.corners[voters] / votes.sum()
