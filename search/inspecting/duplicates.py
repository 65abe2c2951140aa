"""Finds images that show the same: equal ones, and near ones that were shifted, mirrored, recoloured or compressed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# CIFAR-10's test set is known to hold about 3.3 % images with a near duplicate in training (arXiv 1902.00423); these
# numbers find 3.5 %. They were chosen on contact sheets of CIFAR-10: of 40 random pairs beyond them all show the same,
# and just below them every fourth pair shows another ship or airplane before a similar sky.
THUMBNAIL, ALIKE, NEAREST = 8, 0.88, 3  # pixels of a side; their least correlation; how many images are then compared
SIDE, REACH = 32, 3  # pixels at which images are compared, and by how many of them they may be shifted each way
TEXTURE, COLOUR = 0.45, 0.9  # least correlations: of what a blur takes away, in grey, and of what it leaves
BLOCK, QUERIES, PAIRS = 2000, 500, 256  # that are worked on at a time, each in 25 to 200 MB


class Pair(NamedTuple):
    """An image, and another or earlier one that shows the same."""

    image: int
    other: int
    similarity: float  # correlation of their colours; 1 where they are equal


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """At most one pair for each image."""

    exact: tuple[Pair, ...]
    near: tuple[Pair, ...]  # the most similar first; no image that has an equal one


def find_duplicates(images: Tensor, others: Tensor | None = None) -> Duplicates:
    """Which of the images (uint8 [N, S, S, C]) are among the others, or without those among the images before."""
    known: dict[bytes, int] = {}
    for index, digest in enumerate(_digests(images if others is None else others)):
        known.setdefault(digest, index)
    places = enumerate(known.get(digest) for digest in _digests(images))
    exact = [Pair(i, j, 1.0) for i, j in places if j is not None and (others is not None or j < i)]
    best: dict[int, Pair] = {}
    for pair in _near(images, others):
        best[pair.image] = max(pair, best.get(pair.image, pair), key=lambda each: each.similarity)
    equal = {pair.image for pair in exact}
    near = sorted((pair for pair in best.values() if pair.image not in equal), key=lambda pair: -pair.similarity)
    return Duplicates(exact=tuple(exact), near=tuple(near))


def _digests(images: Tensor) -> Iterator[bytes]:
    return (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images.numpy())


def _near(images: Tensor, others: Tensor | None) -> Iterator[Pair]:
    pairs = torch.cat([*_alike(images, others)])
    for image, other in (chunk.unbind(1) for chunk in torch.split(pairs, PAIRS)):
        first, second = _planes(images[image]), _planes((images if others is None else others)[other])
        grey = [planes.mean(1, keepdim=True) for planes in (first, second)]
        same = _correlation(*(planes - _blurred(planes) for planes in grey)) > TEXTURE
        similarity = _correlation(_blurred(first[same]), _blurred(second[same]))
        rows = zip(image[same].tolist(), other[same].tolist(), similarity.tolist(), strict=True)
        yield from (pair for pair in map(Pair._make, rows) if pair.similarity > COLOUR)


def _alike(images: Tensor, others: Tensor | None) -> Iterator[Tensor]:
    """For each image the others whose thumbnails are alike: int64 [P, 2], a few thousand times faster than looking."""
    thumbnails = _thumbnails(images)
    keys = (thumbnails if others is None else _thumbnails(others)).flatten(1)
    for start in range(0, len(images), QUERIES):
        queries = thumbnails[start : start + QUERIES]
        among = keys if others is not None else keys[: start + len(queries)]
        alike = torch.maximum(queries.flatten(1) @ among.T, queries.flip(2).flatten(1) @ among.T)
        if others is None:
            alike.tril_(start - 1)  # those before it
        values, nearest = alike.topk(min(NEAREST, len(among)))
        rows, columns = torch.nonzero(values > ALIKE, as_tuple=True)
        yield torch.stack([start + rows, nearest[rows, columns]], dim=1)


def _thumbnails(images: Tensor) -> Tensor:
    """Grey ones [N, 8, 8] of mean 0 and norm 1, whose product is their correlation."""
    blocks = (F.adaptive_avg_pool2d(_planes(block).mean(1), THUMBNAIL) for block in torch.split(images, BLOCK))
    return _unit(torch.cat([*blocks]).flatten(1)).view(-1, THUMBNAIL, THUMBNAIL)


def _planes(images: Tensor) -> Tensor:
    """Images as they are compared, float32 [N, C, 32, 32]."""
    planes = images.permute(0, 3, 1, 2).float()
    same = planes.shape[-1] == SIDE
    return planes if same else F.interpolate(planes, (SIDE, SIDE), mode="bilinear", antialias=True)


def _blurred(planes: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """The largest of each pair [P], the first being shifted by up to REACH pixels and perhaps mirrored."""
    side = SIDE - 2 * REACH
    middle = first[..., REACH:-REACH, REACH:-REACH]
    middles = _unit(torch.stack([middle, middle.flip(3)], 1).flatten(2))
    windows = second.unfold(2, side, 1).unfold(3, side, 1).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    return torch.bmm(_unit(windows), middles.transpose(1, 2)).flatten(1).amax(1)


def _unit(numbers: Tensor) -> Tensor:
    """Mean 0 and norm 1 along the last dimension; 0 where all are equal."""
    return F.normalize(numbers - numbers.mean(-1, keepdim=True), dim=-1, eps=1e-3)
