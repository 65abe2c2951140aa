"""What a trained trial sees: its weights, found again, and what they make of one validation image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor, nn

from search.candidate import Candidate
from search.data.cifar10 import DataError, Images
from search.data.sources import Source, find_source
from search.data.split import load as load_split
from search.data.store import normalise, store
from search.inspecting.doctor import checkpoints_of
from search.inspecting.filters import filters_png, image_png, maps_png
from search.networks.blocks import CHANNELS
from search.networks.build import build
from search.searching.provenance import check_data, start_of
from search.slots.checkpoint_store import BadCheckpointError
from search.slots.job import Job
from search.slots.job_runner import identity
from search.training.checkpoint import CheckpointError, unpack
from studies import StudyError
from studies.history import History, TrialRecord

REPORT = "report"  # in a study's folder: where `best --retrain` leaves its weights
MOST_MAPS = 12  # pictures of convolutions; of a deeper network, the first and the last of each size are shown


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What was written, and of which weights."""

    folder: Path
    files: tuple[Path, ...]
    weights: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Weights by name."""

    state: dict[str, Tensor]
    title: str
    mean: Tensor | None = None  # [3], in pixel values 0..255, of their images, where these were not the training part
    std: Tensor | None = None  # likewise


@dataclass(frozen=True, kw_only=True, eq=False)
class Maps:
    """What a convolution makes of an image, [C, h, w], with the pooling that comes next, if one does."""

    name: str
    before: Tensor
    pooling: str = ""
    after: Tensor | None = None


def draw(
    candidate: Candidate,
    *,
    record: TrialRecord,
    history: History,
    place: Path,
    target: Path,
    data: str | None = None,
    image: int = 0,
) -> Pictures:
    """First filters of a trial, a validation image and its feature maps as PNG files in `target`.

    `place` is the study's folder. Raises StudyError, DataError, OSError.
    """
    trained = _trained(place, history, record, candidate)
    source = _source(history, record, data=data)
    check_data(history.manifest, study=history.study, source=source, split=place / "split.npz")
    split = load_split(place / "split.npz")
    kept = store(source.training(), split=split, device=torch.device("cpu"), most=history.manifest.images)
    assert kept.validation is not None, "a split has validation images"
    if not 0 <= image < len(kept.validation):
        raise DataError(f"--image is 0 to {len(kept.validation) - 1}, the validation images, not {image}")
    shown = kept.validation.take(torch.tensor([image]))
    # On the meta device no weights are drawn or downloaded, only to be replaced.
    network = build(candidate.architecture, classes=len(shown.classes), seed=0, device="meta")
    network.load_state_dict(trained.state, assign=True)
    mean, std = (kept.mean, kept.std) if trained.mean is None or trained.std is None else (trained.mean, trained.std)
    maps = feature_maps(network, normalise(shown.pixels, mean, std))
    target.mkdir(parents=True, exist_ok=True)
    files = _files(network, maps, shown, target=target, trial=record.number, number=image)
    return Pictures(folder=target, files=tuple(files), weights=trained.title)


def first_filters(network: nn.Module) -> Tensor | None:
    """The weights [N, 3, h, w] of the first convolution of three colours; None where there is none."""
    weights = (module.weight for module in network.modules() if isinstance(module, nn.Conv2d))
    return next((each.detach() for each in weights if each.shape[1] == CHANNELS), None)


@torch.no_grad()
def feature_maps(network: nn.Module, image: Tensor) -> list[Maps]:
    """What the convolutions make of a normalised image [1, 3, H, W], in the order of evaluation, and their poolings.

    Of more than MOST_MAPS, the first and the last of each size; none of a single pixel.
    """
    found: list[Maps] = []

    def note(name: str, module: nn.Module, _inputs: object, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            found.append(Maps(name=name, before=output[0]))
        elif found and found[-1].after is None and output.shape[1] == len(found[-1].before):
            found[-1] = replace(found[-1], pooling=name, after=output[0])

    hooks = [
        module.register_forward_hook(partial(note, name))
        for name, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d))
    ]
    network.eval()(image)
    for hook in hooks:
        hook.remove()
    shown = [maps for maps in found if maps.before.shape[-1] > 1]
    last = {maps.before.shape[-1]: maps for maps in shown}.values()
    return shown if len(shown) <= MOST_MAPS else [maps for maps in shown if maps is shown[0] or maps in last]


def _files(
    network: nn.Module, maps: Sequence[Maps], image: Images, *, target: Path, trial: int, number: int
) -> Iterator[Path]:
    pixels = image.pixels[0].numpy()
    title = f"{image.classes[int(image.labels[0])]}\n(validation image {number})"
    if (filters := first_filters(network)) is not None:
        count, _, height, width = filters.shape
        label = f"trial {trial}: the first layer's {count} filters of {height}x{width} pixels"
        yield filters_png(filters.numpy(), target / f"trial-{trial}-filters.png", title=label)
    yield image_png(pixels, target / f"trial-{trial}-image-{number}.png", title=title)
    for index, each in enumerate(maps, start=1):
        shown = {f"after {each.name}": each.before.numpy()}
        if each.after is not None:
            shown[f"then after {each.pooling} (pooling)"] = each.after.numpy()
        yield maps_png(pixels, shown, target / f"trial-{trial}-image-{number}-{index:02d}-{each.name}.png", title=title)


def _source(history: History, record: TrialRecord, *, data: str | None) -> Source:
    """The images of the study: generated ones again where it had them, unless a place is given."""
    generated = find_source("synthetic")
    drawn = data is None and start_of(record, starts=history.starts).get("data") == generated.title
    return generated if drawn else find_source(data)


def _trained(place: Path, history: History, record: TrialRecord, candidate: Candidate) -> Trained:
    """The weights of a trial's end, or else those that it was retrained to. Raises StudyError where neither is here."""
    try:
        return _of_shelf(place, history, record, candidate)
    except (BadCheckpointError, CheckpointError) as error:
        if retrained := _of_report(place / REPORT, candidate):
            return retrained
        if record.state != "complete":
            others = [trial.number for trial in history.top(1)]
            step = f"; `--trial {others[0]}` has them" if others else ""
            raise StudyError(f"trial {record.number} is {record.state} and keeps no weights{step}") from None
        raise StudyError(
            f"trial {record.number} has no weights here ({error}); "
            f"`cifar-search reproduce {record.number} --study {history.study} --keep` trains them again"
        ) from error


def _of_shelf(place: Path, history: History, record: TrialRecord, candidate: Candidate) -> Trained:
    """Raises BadCheckpointError, CheckpointError."""
    job = Job(
        name=f"trial {record.number}",
        candidate=candidate,
        seed=record.seed or 0,
        epochs=history.manifest.epochs,
        images=history.manifest.images,
    )
    state = unpack(checkpoints_of(place, record.number).final(), identity=identity(job))["network"]
    return Trained(state=state, title=f"weights of trial {record.number}")


def _of_report(folder: Path, candidate: Candidate) -> Trained | None:
    """The first seed of the last `best --retrain`, if it retrained this candidate and its files are whole."""
    weights = folder / "weights-1.safetensors"
    try:
        about, payload = json.loads(weights.with_suffix(".json").read_bytes()), weights.read_bytes()
    except (OSError, ValueError):
        return None
    wanted = json.loads(json.dumps(candidate.as_dict()))
    if any(about.get(part) != wanted[part] for part in wanted):
        return None
    if about.get("sha256") != hashlib.sha256(payload).hexdigest():
        return None
    mean, std = (torch.tensor(about[name]) for name in ("mean", "std"))
    return Trained(state=load(payload), mean=mean, std=std, title=f"retrained weights {weights}")
