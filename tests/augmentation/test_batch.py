"""Augmentation: each change drawn per image, within its limit, and repeatable."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
import torchvision.transforms.functional as V
from torch import Tensor

from search.augmentation.batch import Augmentation, Targets
from search.candidate import Recipe
from search.data import synthetic
from search.data.cifar10 import CLASSES
from search.data.images import Images

COUNT, FEW = 400, 64  # images
FILL = torch.tensor([120.4, 130.6, 110.2])
NOT_AUGMENTATION = {
    "optimizer", "batch_size", "decoupled", "learning_rate", "momentum", "weight_decay", "l1", "bias_scale",
    "backbone_scale", "head_first", "schedule", "warmup", "patience", "drop", "clip", "label_smoothing",
    "class_weights", "depth_scale", "averaging",
}  # fmt: skip
EVERYTHING: dict[str, Any] = {
    "flip": "alternating", "translate": 3, "rotation": 20.0, "scale": 0.2, "shear": 10.0, "brightness": 0.3,
    "contrast": 0.3, "saturation": 0.3, "hue": 0.1, "cutout": 8, "mixup": 0.4, "cutmix": 1.0,
}  # fmt: skip
CASES: list[dict[str, Any]] = [
    {"flip": "random"}, {"flip": "alternating"}, {"translate": 3}, {"rotation": 20.0}, {"scale": 0.3}, {"shear": 15.0},
    {"brightness": 0.4}, {"contrast": 0.4}, {"saturation": 0.4}, {"hue": 0.2}, {"policy": "trivialaugment"},
    {"policy": "randaugment", "operations": 3, "magnitude": 20}, {"cutout": 8}, {"mixup": 0.4}, {"cutmix": 1.0},
    EVERYTHING, EVERYTHING | {"policy": "trivialaugment"}, EVERYTHING | {"policy": "randaugment"},
]  # fmt: skip


each_case = pytest.mark.parametrize("on", CASES, ids=", ".join)


@pytest.fixture(scope="module")
def images() -> Images:
    return synthetic.training(COUNT)


def only(**on: Any) -> Recipe:
    return Recipe(**({"flip": "none", "translate": 0} | on))


def cut(
    recipe: Recipe, images: Images, *, epoch: int = 0, seed: int = 0, training: int = 7, index: Any = None
) -> tuple[Tensor, Targets]:
    augmentation = Augmentation(recipe, images, fill=FILL, seed=training)
    chosen = torch.arange(len(images)) if index is None else index
    return augmentation.batch(chosen, epoch=epoch, generator=torch.Generator().manual_seed(seed))


def test_every_augmentation_of_a_recipe_keeps_this_contract() -> None:
    augmenting = {field.name for field in fields(Recipe)} - NOT_AUGMENTATION
    assert augmenting == set().union(*CASES)
    for name, hint in get_type_hints(Recipe).items():
        if name in augmenting and get_origin(hint) is Literal:
            assert {case[name] for case in CASES if name in case} == set(get_args(hint)) - {"none"}


@pytest.mark.parametrize("unused", [{}, {"operations": 5, "magnitude": 30}])
def test_with_everything_off_nothing_changes_and_nothing_is_drawn(images: Images, unused: dict[str, Any]) -> None:
    index, generator = torch.tensor([5, 399, 0, 5]), torch.Generator().manual_seed(0)
    before, augmentation = generator.get_state(), Augmentation(only(**unused), images, fill=FILL, seed=7)
    pixels, targets = augmentation.batch(index, epoch=0, generator=generator)
    assert pixels.dtype == torch.uint8
    assert torch.equal(pixels, images.pixels[index])
    assert torch.equal(targets.labels, images.labels[index])
    assert targets.other is targets.share is None
    assert torch.equal(generator.get_state(), before)


@each_case
def test_images_stay_images_and_labels_are_kept_or_mixed_as_said(images: Images, on: dict[str, Any]) -> None:
    index = torch.arange(FEW)
    pixels, targets = cut(only(**on), images, index=index)
    assert pixels.shape == (FEW, 32, 32, 3)
    assert pixels.dtype in (torch.uint8, torch.float32)
    assert 0 <= pixels.min() < pixels.max() < 255.001  # the weights of bilinear sampling add up to 1 but for rounding
    assert torch.equal(targets.labels, images.labels[index])
    if not {"mixup", "cutmix"} & set(on):
        assert targets.other is targets.share is None
        return
    assert targets.share is not None
    assert targets.other is not None
    assert torch.equal(targets.other, images.labels[index].roll(1))
    assert 0 <= targets.share.min() < targets.share.max() <= 1
    alone = cut(only(**on | {"mixup": 0.0, "cutmix": 0.0}), images, index=index)[0].float()
    partner, share = alone.roll(1, 0), targets.share[:, None, None, None]
    possible = (torch.lerp(partner, alone, share), alone, partner)
    between, own, other = ((pixels - each).abs().amax(3) < 0.01 for each in possible)
    blended = between.flatten(1).all(1)
    area = 32 * 32 * targets.share
    pasted = (own | other).flatten(1).all(1) & (own.sum((1, 2)) >= area) & ((own & ~other).sum((1, 2)) <= area)
    assert bool((("mixup" in on) & blended | ("cutmix" in on) & pasted).all())


@each_case
def test_images_of_one_batch_are_changed_each_in_its_own_way(images: Images, on: dict[str, Any]) -> None:
    same = Images(images.pixels[:1].expand(FEW, -1, -1, -1), images.labels[:FEW], CLASSES)
    pixels, targets = cut(only(**on), same)
    ways = len(pixels.flatten(1).unique(dim=0))
    if set(on) <= {"mixup", "cutmix"}:  # an image mixed with its like is itself
        assert targets.share is not None
        ways = len(targets.share.unique())
    assert ways == 2 if set(on) == {"flip"} else ways > FEW / 4


@each_case
def test_equal_generators_give_equal_batches_and_others_do_not(images: Images, on: dict[str, Any]) -> None:
    index = torch.arange(FEW)
    pixels, targets = cut(only(**on), images, seed=1, training=1, index=index)
    again, same = cut(only(**on), images, seed=1, training=1, index=index)
    other, _ = cut(only(**on), images, seed=2, training=2, index=index)  # alternating flip knows the training alone
    assert torch.equal(pixels, again)
    assert torch.equal(targets.labels, same.labels)
    assert targets.share is None or (same.share is not None and torch.equal(targets.share, same.share))
    assert not torch.equal(pixels, other)


def test_a_seed_gives_the_numbers_that_it_gave_before_there_were_more_augmentations(images: Images) -> None:
    old = only(flip="random", translate=3, rotation=20.0, cutout=8, mixup=0.4, cutmix=1.0)
    pixels, targets = cut(old, images, seed=1, index=torch.arange(6))
    assert targets.share is not None
    assert targets.share.tolist() == pytest.approx(
        [0.902344, 0.847656, 0.570312, 0.903320, 0.701172, 0.289062], abs=1e-5
    )
    assert pixels[:, 10, 20, 1].tolist() == pytest.approx(
        [198.53767, 109.79567, 153.29050, 115.41659, 115.41659, 133.26176], abs=1e-2
    )


def mirrored(pixels: Tensor, images: Images) -> Tensor:
    """Which images were mirrored, bool [N]; each must be itself or torchvision's mirror image."""
    flipped = V.hflip(images.pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    plain = (pixels == images.pixels).flatten(1).all(1)
    turned = (pixels == flipped).flatten(1).all(1)
    assert bool((plain ^ turned).all())
    return turned


def test_random_flip_mirrors_half_of_the_images_anew_in_each_batch(images: Images) -> None:
    one, two = (mirrored(cut(only(flip="random"), images, seed=seed)[0], images) for seed in (1, 2))
    assert abs(int(one.sum()) - COUNT / 2) < 60
    assert abs(int((one ^ two).sum()) - COUNT / 2) < 60


def test_alternating_flip_shows_both_sides_of_every_image_in_two_epochs(images: Images) -> None:
    epochs = [mirrored(cut(only(flip="alternating"), images, epoch=e, seed=e)[0], images) for e in range(4)]
    assert int(epochs[0].sum()) == COUNT / 2
    assert torch.equal(epochs[0], ~epochs[1])
    assert all(map(torch.equal, epochs[:2], epochs[2:]))


def test_alternating_flip_does_not_depend_on_the_order_of_the_batch_but_on_the_training(images: Images) -> None:
    whole, _ = cut(only(flip="alternating"), images)
    index = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3))[:50]
    assert torch.equal(cut(only(flip="alternating"), images, index=index)[0], whole[index])
    assert not torch.equal(cut(only(flip="alternating"), images, training=8)[0], whole)


@pytest.mark.parametrize("reach", [1, 2, 8])
@pytest.mark.parametrize("flip", ["none", "alternating"])
def test_translation_is_reflected_padding_and_a_crop(images: Images, reach: int, flip: str) -> None:
    index = torch.cat([torch.arange(150), torch.full((60,), COUNT - 1)])  # the last image is cut whole too
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


def slopes(on: dict[str, float], images: Images, *, axis: int) -> tuple[Tensor, Tensor]:
    """How steeply pictures that rise by 1 a pixel along `axis` rise downwards and across once they are changed."""
    ramp = (torch.arange(32, dtype=torch.uint8) + 100).expand(COUNT, 32, 32)
    ramp = ramp if axis == 2 else ramp.transpose(1, 2)
    pixels, _ = cut(only(**on), Images(ramp[..., None].repeat(1, 1, 1, 3), images.labels, CLASSES))
    middle = pixels[:, 12:20, 12:20, 0]
    return (middle[:, 7] - middle[:, 0]).mean(1) / 7, (middle[:, :, 7] - middle[:, :, 0]).mean(1) / 7


def test_each_image_has_its_own_angle_and_size_within_the_limit(images: Images) -> None:
    down, across = slopes({"rotation": 10.0}, images, axis=2)
    degrees = torch.atan2(down, across).rad2deg()
    assert 9 < degrees.max() < 10.1
    assert -10.1 < degrees.min() < -9
    down, across = slopes({"scale": 0.25}, images, axis=2)
    assert torch.allclose(down, torch.zeros(COUNT), atol=1e-4)
    assert 0.75 - 1e-3 < (1 / across).min() < 0.76
    assert 1.24 < (1 / across).max() < 1.25 + 1e-3


def test_each_image_has_its_own_two_shears_within_the_limit(images: Images) -> None:
    along_x, _ = slopes({"shear": 15.0}, images, axis=2)
    _, along_y = slopes({"shear": 15.0}, images, axis=1)
    for shear in (along_x.atan().rad2deg(), along_y.atan().rad2deg()):
        assert -15.01 < shear.min() < -14.5
        assert 14.5 < shear.max() < 15.01
    assert abs(float(torch.corrcoef(torch.stack([along_x, along_y]))[0, 1])) < 0.2  # 4 sd


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_each_image_has_its_own_color_within_the_limit(images: Images, name: str) -> None:
    plain = torch.full((COUNT, 32, 32, 3), 100, dtype=torch.uint8)
    if name == "contrast":
        plain[:, ::2] = 140
    if name == "saturation":
        plain[..., 2] = 140
    pixels, _ = cut(only(**{name: 0.2}), Images(plain, images.labels, CLASSES))
    spread = {"brightness": pixels[..., 0] / 100, "contrast": (pixels[:, 0] - pixels[:, 1]) / 40}
    factor = (spread | {"saturation": (pixels[..., 2] - pixels[..., 0]) / 40})[name].flatten(1).mean(1)
    assert 0.8 - 1e-3 < factor.min() < 0.81
    assert 1.19 < factor.max() < 1.2 + 1e-3


def test_brightness_contrast_and_saturation_are_drawn_apart(images: Images) -> None:
    plain = torch.full((COUNT, 32, 32, 3), 100, dtype=torch.uint8)
    plain[:, ::2, :, :] += 40
    plain[..., 2] += 20
    pixels, _ = cut(only(brightness=0.2, contrast=0.2, saturation=0.2), Images(plain, images.labels, CLASSES))
    bright = pixels.mean((1, 2, 3))
    contrast = (pixels[:, 0] - pixels[:, 1]).mean((1, 2)) / bright
    saturation = (pixels[..., 2] - pixels[..., 0]).mean((1, 2)) / bright / contrast
    together = torch.corrcoef(torch.stack([bright, contrast, saturation])) - torch.eye(3)
    assert together.abs().max() < 0.2  # 4 sd


def test_each_image_has_its_own_hue_within_the_limit(images: Images) -> None:
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).expand(COUNT, 32, 32, 3)
    pixels, _ = cut(only(hue=0.15), Images(red, images.labels, CLASSES))
    turn = (pixels[:, 0, 0, 1] - pixels[:, 0, 0, 2]) / 200 / 6  # towards green or towards blue
    assert -0.15 - 1e-3 < turn.min() < -0.145
    assert 0.145 < turn.max() < 0.15 + 1e-3


@pytest.mark.parametrize("side", [1, 7, 8, 32])
def test_cutout_erases_a_square_anywhere(images: Images, side: int) -> None:
    white = Images(torch.full((COUNT, 32, 32, 3), 255, dtype=torch.uint8), images.labels, CLASSES)
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


@pytest.mark.parametrize("on", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_the_shares_are_those_of_the_pixels(images: Images, on: dict[str, Any]) -> None:
    shade = torch.zeros(COUNT, 32, 32, 3, dtype=torch.uint8)
    shade[::2] = 200
    pixels, targets = cut(only(**on), Images(shade, images.labels, CLASSES))
    assert targets.share is not None
    own = pixels.mean((1, 2, 3)) / 200
    own[1::2] = 1 - own[1::2]
    assert torch.allclose(own, targets.share, atol=1e-5)
    blended = ((pixels > 0) & (pixels < 200)).flatten(1).any(1)
    if "cutmix" not in on:
        assert blended.float().mean() > 0.9
    elif "mixup" not in on:
        assert not blended.any()
    else:
        assert 0.3 < blended.float().mean() < 0.6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("on", [EVERYTHING, {"policy": "randaugment"}, {"policy": "trivialaugment"}], ids=", ".join)
def test_a_cpu_generator_gives_a_gpu_the_same_batch(images: Images, on: dict[str, Any]) -> None:
    expected, _ = cut(only(**on), images)
    augmentation = Augmentation(only(**on), images.to(torch.device("cuda")), fill=FILL.cuda(), seed=7)
    pixels, _ = augmentation.batch(torch.arange(COUNT).cuda(), epoch=0, generator=torch.Generator().manual_seed(0))
    away = (pixels.cpu().float() - expected.float()).abs()
    if "policy" in on:
        assert (away > 1).float().mean() < 0.001  # between two pixels rounding may choose the other
    else:
        assert away.max() < 0.5
