"""Finds where in a larger photo a classifier answers surely, and otherwise than around it."""

import math
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

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
GROWTH = 2**0.5  # of a window's side from one scale to the next
MOST_SIDES = 12  # a photo of more than the square of so many windows is made smaller first
AROUND = 6  # steps from a window to those around it, which share a quarter of its side with it
OVERLAP = 0.1  # of two boxes that share more, as intersection over union, the weaker one goes
VOTES = 0.3  # windows that share as much with a box, and answer alike, move its edges (arXiv 1505.01749)


@dataclass(frozen=True, kw_only=True)
class Located:
    """What was found in one photo, and the pictures that show it."""

    photo: str
    boxes: tuple[Box, ...]  # the strongest first
    drawn: str
    heat: str


@dataclass(frozen=True, kw_only=True)
class Locations:
    """What was found in all photos; confidences are shares of 1, edges are pixels."""

    model: str
    photos: tuple[Located, ...]
    limits: str = LIMITS


def locate(request: LocateRequest) -> Locations:
    """Find what the model knows in each photo, and draw it. Raises DataError, StudyError, StorageError, OSError."""
    path = request.weights or weights_of(request.study, runs=request.folder, storage=request.storage)
    model = load_model(path, machine=survey(request.device, slots=1))
    request.output.mkdir(parents=True, exist_ok=True)
    return Locations(model=str(path), photos=tuple(_locate(photo, model, request.output) for photo in request.photos))


def _locate(path: Path, model: Model, folder: Path) -> Located:
    try:
        photo = photograph(path, channels=model.shape.channels)
        boxes, heat = find(photo, model)
    except PictureError as error:
        raise DataError(f"{path}: {error}; name another photo") from None
    drawn, warm = (folder / f"{path.stem}-{what}.png" for what in ("boxes", "heat"))
    draw_boxes(photo, boxes).save(drawn)
    draw_heat(photo, heat.numpy()).save(warm)
    return Located(photo=str(path), boxes=boxes, drawn=str(drawn), heat=str(warm))


def find(photo: Image.Image, model: Model) -> tuple[tuple[Box, ...], Tensor]:
    """The boxes, the strongest first, and how strong the evidence is everywhere: [height, width], from 0 to 1.

    Raises DataError for a model without a calibration, PictureError for a photo that is too narrow.
    """
    if (calibration := model.calibration) is None:
        rule = f"{model.path} does not say below what its answers are none, as models of older versions do not"
        raise DataError(f"{rule}; make it again: cifar-search best --retrain")
    side, seen, scales = model.shape.side, _seen(photo, model.shape.side), []
    heat = torch.zeros(seen.height, seen.width)
    for window in takewhile(lambda window: window <= min(seen.size), (side * GROWTH**power for power in count())):
        logits = _answers(seen, model, window=window) / calibration.temperature
        # A background answers everywhere alike: what counts is by how much an answer is above those around it.
        evidence, labels = (logits - _around(logits)).max(2)
        heat = heat.maximum(_spread(evidence, window=window, over=heat))
        rows, columns = map(torch.arange, evidence.shape)
        corner = torch.cartesian_prod(rows, columns).flip(1) * (_step(side) * window / side)  # left, top
        confidence = logits.softmax(2).gather(2, labels[..., None])
        scales.append((torch.cat([corner, corner + window], 1), *map(torch.flatten, (evidence, labels, confidence))))
    edges, evidence, labels, confidence = map(torch.cat, zip(*scales, strict=True))
    boxes, sure = [], (evidence > calibration.known).nonzero()[:, 0]
    for index in sure[nms(edges[sure], evidence[sure], OVERLAP)].tolist():
        voters = (box_iou(edges[index : index + 1], edges)[0] >= VOTES) & (labels == labels[index])
        votes = (evidence[voters] - evidence[index]).softmax(0)
        box = (votes @ edges[voters] * (photo.width / seen.width)).round().int().tolist()
        boxes.append(Box(model.classes[int(labels[index])], float(confidence[index]), *box))
    return tuple(boxes), heat / max(float(heat.max()), calibration.known)


def _seen(photo: Image.Image, side: int) -> Image.Image:
    """The photo as it is looked at: not so large that it takes hours, nor smaller than a window."""
    width, height = photo.size
    most = MOST_SIDES * side
    scale = max(min(1, most / math.sqrt(width * height)), side / min(width, height))
    if scale**2 * width * height > 2 * most**2:
        raise PictureError(f"its {width:,} x {height:,} pixels are too narrow for a model of {side} x {side}")
    return _resized(photo, scale, least=side)


def _resized(photo: Image.Image, scale: float, *, least: int) -> Image.Image:
    size = max(least, round(scale * photo.width)), max(least, round(scale * photo.height))
    return photo if photo.size == size else photo.resize(size, Image.Resampling.BICUBIC)


def _step(side: int) -> int:
    return max(1, side // STEP)


def _answers(seen: Image.Image, model: Model, *, window: float) -> Tensor:
    """The logits [rows, columns, classes] of all windows of this side."""
    side = model.shape.side
    resized = _resized(seen, side / window, least=side)
    pixels = torch.from_numpy(np.array(resized)).view(resized.height, resized.width, model.shape.channels)
    rows = pixels.unfold(0, side, _step(side)).unfold(1, side, _step(side))  # [rows, columns, C, S, S]
    return torch.stack([model.logits(row.permute(0, 2, 3, 1)) for row in rows])


def _around(logits: Tensor) -> Tensor:
    """The mean of the eight windows around each, as far as there are such."""
    kernel, planes = torch.ones(1, 1, 3, 3), logits.permute(2, 0, 1)[:, None]
    kernel[..., 1, 1] = 0
    sums, counts = (F.conv2d(x, kernel, padding=AROUND, dilation=AROUND) for x in (planes, torch.ones_like(planes)))
    return (sums / counts.clamp(min=1))[:, 0].permute(1, 2, 0)


def _spread(evidence: Tensor, *, window: float, over: Tensor) -> Tensor:
    """The evidence [rows, columns] over the whole photo, each at the middle of its window."""
    edge, (height, width) = int(window) // 2, over.shape
    inner = max(1, height - 2 * edge), max(1, width - 2 * edge)
    spread = F.interpolate(evidence[None, None], size=inner, mode="bilinear", align_corners=True)
    return F.pad(spread, (edge, width - inner[1] - edge, edge, height - inner[0] - edge))[0, 0]
