"""Augmentation: each change drawn per image, equal to torchvision's of one image, and repeatable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision.transforms.functional as V
from scipy.stats import beta
from torch import Tensor

from search.candidate import Recipe
from search.data import synthetic
from search.data.augmentation import Augmentation, Prepared, Targets, _beta, _Draw, _recolor, _rotate
from search.data.cifar10 import Images
from search.data.store import normalise

COUNT = 400
FILL = torch.tensor([120.4, 130.6, 110.2])
EVERYTHING: dict[str, Any] = {
    "flip": "alternating", "translate": 3, "rotation": 20.0, "color": 0.3, "cutout": 8, "mixup": 0.4, "cutmix": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def images() -> Images:
    return synthetic.training(COUNT)


def only(**on: Any) -> Augmentation:
    return Augmentation(Recipe(**({"flip": "none", "translate": 0} | on)))


def cut(
    augmentation: Augmentation, images: Images, *, epoch: int = 0, seed: int = 0, index: Tensor | None = None
) -> tuple[Tensor, Targets]:
    prepared = augmentation.prepare(images, fill=FILL, seed=7)
    chosen = torch.arange(len(images)) if index is None else index
    return augmentation.batch(prepared, chosen, epoch=epoch, generator=torch.Generator().manual_seed(seed))


def test_with_everything_off_nothing_changes(images: Images) -> None:
    index = torch.tensor([5, 399, 0, 5])
    pixels, targets = cut(only(), images, index=index)
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, images.pixels[index])
    assert torch.equal(targets.labels, images.labels[index])
    assert targets.other is targets.share is None


@pytest.mark.parametrize(
    "on", [{}, {"flip": "random"}, {"translate": 4}, {"cutout": 5}, {"rotation": 9.0}, {"mixup": 1.0}, EVERYTHING]
)
def test_the_generator_alone_decides(images: Images, on: dict[str, Any]) -> None:
    pixels, targets = cut(only(**on), images, seed=1)
    again, same = cut(only(**on), images, seed=1)
    other, _ = cut(only(**on), images, seed=2)
    assert torch.equal(pixels, again)
    assert pixels.shape == (COUNT, 32, 32, 3)
    assert torch.equal(targets.labels, same.labels)
    assert torch.equal(pixels, other) == (not on)


def test_everything_at_once_stays_in_range_and_fits_a_network(images: Images) -> None:
    pixels, targets = cut(only(**EVERYTHING), images, index=torch.arange(37))
    assert 0 <= pixels.min() < pixels.max() <= 255
    assert normalise(pixels, FILL, FILL).is_contiguous(memory_format=torch.channels_last)
    assert targets.share is not None
    assert targets.share.shape == (37,)


def mirrored(pixels: Tensor, images: Images) -> Tensor:
    """Which images were mirrored, bool [N]; each must be itself or torchvision's mirror image."""
    flipped = V.hflip(images.pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    plain = (pixels == images.pixels).flatten(1).all(1)
    turned = (pixels == flipped).flatten(1).all(1)
    assert bool((plain ^ turned).all())
    return turned


def test_random_flip_mirrors_half_of_the_images_anew_in_each_batch(images: Images) -> None:
    one = mirrored(cut(only(flip="random"), images, seed=1)[0], images)
    two = mirrored(cut(only(flip="random"), images, seed=2)[0], images)
    assert abs(int(one.sum()) - COUNT / 2) < 60
    assert abs(int((one ^ two).sum()) - COUNT / 2) < 60


def test_alternating_flip_shows_both_sides_of_every_image_in_two_epochs(images: Images) -> None:
    epochs = [mirrored(cut(only(flip="alternating"), images, epoch=e, seed=e)[0], images) for e in range(4)]
    assert int(epochs[0].sum()) == COUNT / 2
    assert torch.equal(epochs[0], ~epochs[1])
    assert torch.equal(epochs[0], epochs[2])
    assert torch.equal(epochs[1], epochs[3])


def test_alternating_flip_does_not_depend_on_the_order_of_the_batch_but_on_the_training(images: Images) -> None:
    whole, _ = cut(only(flip="alternating"), images)
    index = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3))[:50]
    assert torch.equal(cut(only(flip="alternating"), images, index=index)[0], whole[index])
    augmentation = only(flip="alternating")
    halves = [augmentation.prepare(images, fill=FILL, seed=seed).mirrored for seed in (1, 2)]
    assert not torch.equal(*halves)


@pytest.mark.parametrize("reach", [1, 2, 8])
@pytest.mark.parametrize("flip", ["none", "alternating"])
def test_translation_is_reflected_padding_and_a_crop(images: Images, reach: int, flip: str) -> None:
    index = torch.arange(150)
    pixels, _ = cut(only(translate=reach, flip=flip), images, index=index)
    upright, _ = cut(only(flip=flip), images, index=index)
    seen = set()
    for mine, image in zip(pixels, upright, strict=True):
        padded = V.pad(image.permute(2, 0, 1), [reach], padding_mode="reflect").permute(1, 2, 0)
        crops = padded.unfold(0, 32, 1).unfold(1, 32, 1).permute(0, 1, 3, 4, 2)  # [down, across, 32, 32, 3]
        found = (crops == mine).flatten(2).all(2).nonzero()
        assert len(found) == 1
        seen.add(tuple(found[0].tolist()))
    assert len(seen) > 0.6 * min((2 * reach + 1) ** 2, len(index))


def test_the_last_image_is_cut_whole(images: Images) -> None:
    for seed in range(20):
        cut(only(translate=8, flip="random"), images, seed=seed, index=torch.tensor([COUNT - 1]))


def test_rotation_is_that_of_torchvision(images: Images) -> None:
    degrees = torch.linspace(-180, 180, 40)
    pixels = images.pixels[:40]
    turned = _rotate(pixels, degrees)
    away = torch.arange(32) - 15.5
    inside = (away.square()[:, None] + away.square()).sqrt() < 15  # torchvision blackens what lies outside
    for mine, image, angle in zip(turned, pixels, degrees.tolist(), strict=True):
        planes = image.permute(2, 0, 1).float()
        theirs = V.rotate(planes, angle, interpolation=V.InterpolationMode.BILINEAR).permute(1, 2, 0)
        assert torch.allclose(mine[inside], theirs[inside], atol=0.1)


def test_each_image_has_its_own_angle_within_the_limit(images: Images) -> None:
    ramp = torch.arange(32, dtype=torch.uint8).expand(COUNT, 32, 32)[..., None].repeat(1, 1, 1, 3) * 4
    pixels, _ = cut(only(rotation=10.0), Images(ramp, images.labels))
    middle = pixels[:, 8:24, 8:24, 0]
    down, across = (middle[:, 15] - middle[:, 0]).mean(1), (middle[:, :, 15] - middle[:, :, 0]).mean(1)
    degrees = torch.atan2(down, across).rad2deg()
    assert 9 < degrees.max() < 10.1
    assert -10.1 < degrees.min() < -9


def test_color_is_that_of_torchvision_in_this_order() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(90, 150, (30, 32, 32, 3), generator=generator, dtype=torch.uint8)  # no step clips these
    factors = 0.7 + 0.6 * torch.rand(3, 30, generator=generator)
    changed = _recolor(pixels, factors)
    for mine, image, (bright, contrast, saturation) in zip(changed, pixels, factors.T.tolist(), strict=True):
        planes = image.permute(2, 0, 1).float() / 255
        planes = V.adjust_contrast(V.adjust_brightness(planes, bright), contrast)
        theirs = V.adjust_saturation(planes, saturation).permute(1, 2, 0) * 255
        assert torch.allclose(mine, theirs, atol=0.1)


def test_each_image_has_its_own_color(images: Images) -> None:
    grey = torch.full_like(images.pixels, 100)
    pixels, _ = cut(only(color=0.2), Images(grey, images.labels))
    brightness = pixels.mean((1, 2, 3)) / 100
    assert 0.79 < brightness.min() < 0.82
    assert 1.18 < brightness.max() < 1.21


@pytest.mark.parametrize("side", [1, 7, 8, 32])
def test_cutout_erases_a_square_anywhere(images: Images, side: int) -> None:
    white = Images(torch.full((COUNT, 32, 32, 3), 255, dtype=torch.uint8), images.labels)
    erased, batches = torch.zeros(32, 32), 10
    for seed in range(batches):
        pixels, _ = cut(only(cutout=side), white, seed=seed)
        gone = (pixels == FILL.round().to(torch.uint8)).all(3)
        assert bool((gone | (pixels == 255).all(3)).all())
        area = gone.sum((1, 2))
        assert torch.equal(area, gone.any(1).sum(1) * gone.any(2).sum(1)), "no rectangle"
        assert area.max() <= side**2
        erased += gone.sum(0)
    middle = torch.arange(32) + 0.5
    covered = ((middle + side / 2).clamp(max=32) - (middle - side / 2).clamp(min=0)) / 32  # for a uniform centre
    expected = COUNT * batches * covered * covered.sum()
    tolerance = 5 / (COUNT * batches * covered).sqrt()
    for axis in (0, 1):
        assert bool(((erased.sum(axis) / expected - 1).abs() < tolerance).all())


def test_cutout_leaves_the_mean_color_behind(images: Images) -> None:
    pixels, _ = cut(only(cutout=32), images)
    ready = normalise(pixels, FILL, torch.full((3,), 63.0))
    share = (ready.abs() < 0.01).float().mean()
    assert 0.5 < share < 0.65  # a side of 32 covers (3/4)^2 of the image on average


@pytest.mark.parametrize("on", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_the_shares_are_those_of_the_pixels(images: Images, on: dict[str, Any]) -> None:
    shade = torch.zeros(COUNT, 32, 32, 3, dtype=torch.uint8)
    shade[::2] = 200
    pixels, targets = cut(only(**on), Images(shade, images.labels))
    assert targets.share is not None
    assert targets.other is not None
    assert torch.equal(targets.labels, images.labels)
    assert torch.equal(targets.other, images.labels.roll(1))
    own = pixels.mean((1, 2, 3)) / 200
    own[1::2] = 1 - own[1::2]
    assert torch.allclose(own, targets.share, atol=1e-5)
    assert len(targets.share.unique()) > COUNT / 4
    blended = ((pixels > 0) & (pixels < 200)).flatten(1).any(1)
    if "cutmix" not in on:
        assert blended.float().mean() > 0.9
    elif "mixup" not in on:
        assert not blended.any()
    else:
        assert 0.3 < blended.float().mean() < 0.6


@pytest.mark.parametrize("shape", [0.05, 0.4, 1.0, 2.5, 10.0])
def test_mixing_weights_follow_the_beta_distribution(shape: float) -> None:
    drawn = _beta(_Draw(torch.Generator().manual_seed(1), torch.device("cpu"), 20_000), shape)
    assert 0 <= drawn.min() < drawn.max() <= 1
    for point in (0.001, 0.05, 0.3, 0.5, 0.8, 0.99):
        assert float((drawn <= point).float().mean()) == pytest.approx(beta.cdf(point, shape, shape), abs=0.014)  # 4 sd


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cpu_generator_gives_a_gpu_the_same_batch(images: Images) -> None:
    augmentation, index = only(**EVERYTHING), torch.arange(COUNT)
    expected, _ = cut(augmentation, images)
    prepared: Prepared = augmentation.prepare(images.to(torch.device("cuda")), fill=FILL.cuda(), seed=7)
    pixels, _ = augmentation.batch(prepared, index.cuda(), epoch=0, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(pixels.cpu(), expected, atol=0.5)
