"""Finds images that show the same: equal ones, and near ones that were shifted, mirrored, recoloured or compressed."""

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from search.pictures import Progress

# CIFAR-10's test set is known to hold about 3.3 % images with a near duplicate in training (arXiv 1902.00423). These
# numbers, chosen on contact sheets of its pairs, find 3.5 %; of twenty pairs at random eighteen were true. With lower
# ones more and more pairs show two ships or airplanes before similar skies.
THUMBNAIL, ALIKE, NEAREST = 8, 0.88, 3  # pixels of a side; their least correlation; how many images are then compared
SIDE, REACH = 32, 3  # pixels at which images are compared, and by how many of them they may be shifted each way
TEXTURE, COLOUR = 0.45, 0.9  # least correlations: of what a blur takes away, in grey, and of what it leaves
BLOCK, PAIRS = 500, 256  # images and pairs that are worked on at a time, in 100 to 200 MB
BELOW_ONE = 0.999


class Pair(NamedTuple):
    """An image, and the one that it shows again."""

    image: int
    other: int
    similarity: float  # correlation of their colours; 1 where they are equal, and only there


def find_duplicates(
    images: Tensor, others: Tensor | None = None, *, progress: Progress = lambda *_: None
) -> list[Pair]:
    """For each image (uint8 [N, S, S, C]) the most similar of the others that shows the same, if one does.

    Without others it is an earlier image. The most similar pairs come first.
    """
    among, best = images if others is None else others, dict[int, Pair]()
    for pair in chain(_equal(images, among), _near(images, among, progress)):
        best[pair.image] = max(best.get(pair.image, pair), pair, key=lambda each: each.similarity)
    return sorted(best.values(), key=lambda pair: -pair.similarity)


def _equal(images: Tensor, among: Tensor) -> Iterator[Pair]:
    first: dict[bytes, int] = {}
    for place, each in enumerate(among.numpy()):
        first.setdefault(hashlib.sha256(each.tobytes()).digest(), place)
    for image, each in enumerate(images.numpy()):
        other = first.get(hashlib.sha256(each.tobytes()).digest())
        if other is not None and (images is not among or other < image):
            yield Pair(image, other, 1.0)


def _near(images: Tensor, among: Tensor, progress: Progress) -> Iterator[Pair]:
    candidates = torch.cat([*_alike(images, among, progress)])
    for pairs in torch.split(candidates, PAIRS):
        first, second = _planes(images[pairs[:, 0]]), _planes(among[pairs[:, 1]])
        grey = [planes.mean(1, keepdim=True) for planes in (first, second)]
        same = _correlation(*(planes - _blurred(planes) for planes in grey)) > TEXTURE
        similarity = _correlation(_blurred(first[same]), _blurred(second[same])).clamp(max=BELOW_ONE)
        found = map(Pair, *pairs[same].T.tolist(), similarity.tolist())
        yield from (pair for pair in found if pair.similarity > COLOUR)


def _alike(images: Tensor, among: Tensor, progress: Progress) -> Iterator[Tensor]:
    """The images whose thumbnails are alike, int64 [P, 2]: a thousand times faster than comparing all."""
    queries, keys = _thumbnails(images), _thumbnails(among).flatten(1)
    for start in range(0, len(images), BLOCK):
        progress("looking for duplicates", start, len(images))
        block = queries[start : start + BLOCK]
        known = keys[: start + len(block)] if images is among else keys
        alike = torch.maximum(block.flatten(1) @ known.T, block.flip(2).flatten(1) @ known.T)
        if images is among:
            alike.tril_(start - 1)  # those before it
        values, nearest = alike.topk(min(NEAREST, len(known)))
        rows, columns = torch.nonzero(values > ALIKE, as_tuple=True)
        yield torch.stack([start + rows, nearest[rows, columns]], dim=1)
    progress("", 0, 0)


def _thumbnails(images: Tensor) -> Tensor:
    """Grey ones [N, 8, 8] of mean 0 and norm 1, whose product is their correlation."""
    blocks = (F.adaptive_avg_pool2d(_planes(block).mean(1), THUMBNAIL) for block in torch.split(images, BLOCK))
    return _unit(torch.cat([*blocks]).flatten(1)).view(-1, THUMBNAIL, THUMBNAIL)


def _planes(images: Tensor) -> Tensor:
    """Images as they are compared, float32 [N, C, 32, 32]."""
    planes = images.permute(0, 3, 1, 2).float()
    if planes.shape[-1] == SIDE:
        return planes
    return F.interpolate(planes, (SIDE, SIDE), mode="bilinear", antialias=True)


def _blurred(planes: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """The largest of each pair [P], the first being shifted by up to REACH pixels and perhaps mirrored."""
    side, middle = SIDE - 2 * REACH, first[..., REACH:-REACH, REACH:-REACH]
    middles = _unit(torch.stack([middle, middle.flip(3)], 1).flatten(2))
    windows = second.unfold(2, side, 1).unfold(3, side, 1).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    return torch.bmm(_unit(windows), middles.transpose(1, 2)).flatten(1).amax(1)


def _unit(numbers: Tensor) -> Tensor:
    """Mean 0 and norm 1 along the last dimension; 0 where all are equal."""
    return F.normalize(numbers - numbers.mean(-1, keepdim=True), dim=-1, eps=1e-3)
