"""Likely label errors: validation images which networks that never saw them are sure show another class."""

import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_weights
from torch import Tensor

from search.candidate import from_values
from search.data.images import Images
from search.data.split import Split
from search.data.store import store
from search.inspecting.status import best_trial
from search.networks.build import build
from search.searching.study_folder import StudyFolder
from search.text import plural
from search.training.checkpoint import unpack
from search.training.evaluate import logits
from studies import StudyError
from studies.history import History

SURE = 0.5  # least probability of the other class: more than all the rest together

Weights = tuple[int, dict[str, Tensor], Tensor, Tensor]
"""The trial, its network's tensors, and the mean and spread of the images that it was trained on."""


@dataclass(frozen=True, kw_only=True)
class LabelError:
    """An image that probably has the wrong label."""

    image: int  # among the training images
    label: str
    seen: str  # the class that it probably shows
    probability: float


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """The likely errors among some images, the most likely first."""

    asked: str  # which networks were asked
    images: int
    accuracy: float  # of these networks together, a share of 1
    found: tuple[LabelError, ...]


def find_label_errors(history: History, *, images: Images, split: Split, folder: StudyFolder) -> LabelErrors:
    """By the confirmed networks of a study, or else by its best trial's; none of them trained on these images.

    The final networks of a decision did, so they are not asked. Raises StudyError where no such weights are kept.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    validation = images.take(torch.from_numpy(split.validation)).to(device)
    try:
        confirmed = [*_confirmed(folder)]
        asked, weights = f"{plural(len(confirmed), 'network')} of the confirmation", confirmed
        if not confirmed:
            weights = [_best(history, images=images, split=split, folder=folder)]
            asked = f"the network of trial {weights[0][0]}, the best of the search"
        total = torch.zeros(len(validation), len(images.classes), device=device)
        for trial, state, mean, std in weights:
            architecture = from_values(history.trial(trial).values).architecture
            network = build(architecture, images=images.shape, seed=0)
            network.load_state_dict(state)
            mean, std = mean.to(device), std.to(device)
            answers = logits(network.to(device), validation, mean=mean, std=std, precision="float32")
            total += answers.softmax(1)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise StudyError(
            f"no weights of study {history.study!r} can be read that never saw its validation images ({error}); "
            f"`cifar-search best --retrain --study {history.study}` keeps those of its confirmation"
        ) from error
    shares = (total / len(weights)).cpu()
    labels = images.labels[split.validation]
    found = tuple(_errors(shares, labels, classes=images.classes, places=split.validation.tolist()))
    accuracy = float((shares.argmax(1) == labels).float().mean())
    return LabelErrors(asked=asked, images=len(labels), accuracy=accuracy, found=found)


def _errors(shares: Tensor, labels: Tensor, *, classes: tuple[str, ...], places: list[int]) -> Iterator[LabelError]:
    """Confident learning (arXiv 1911.00068): an image counts as one of a class that is as likely as is usual there."""
    own = shares.gather(1, labels[:, None])[:, 0]
    of_class = torch.nn.functional.one_hot(labels, len(classes)).float()
    usual = (own @ of_class) / of_class.sum(0).clamp(min=1)  # mean probability of each class among its own images
    likely, seen = shares.max(1)
    wrong = torch.nonzero((likely >= usual.clamp(min=SURE)[seen]) & (seen != labels)).flatten()
    for row in wrong[(likely - own)[wrong].argsort(descending=True)].tolist():
        names = {"label": classes[labels[row]], "seen": classes[seen[row]]}
        yield LabelError(image=places[row], **names, probability=float(likely[row]))


def _confirmed(folder: StudyFolder) -> Iterator[Weights]:
    for path in sorted(folder.retraining.glob("confirmed-*.safetensors")):
        about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        trial = int(re.findall(r"\d+", path.name)[0])
        yield trial, load_weights(path.read_bytes()), torch.tensor(about["mean"]), torch.tensor(about["std"])


def _best(history: History, *, images: Images, split: Split, folder: StudyFolder) -> Weights:
    best = best_trial(history)
    seen = store(images, split=split, device=torch.device("cpu"), most=history.manifest.images)
    state = unpack(folder.checkpoints(best.number).final(), identity=None)["network"]
    return best.number, state, seen.mean, seen.std
