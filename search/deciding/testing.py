"""Opens the test set: the only place outside the data package that asks for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from safetensors.torch import load_file

from search.candidate import Architecture
from search.data.sources import Source
from search.deciding.evidence import OpenedTest, RetrainedWeights
from search.networks.build import build
from search.slots.machine import Machine
from search.training.evaluate import SIX_VIEWS, logits


def open_test(
    source: Source, *, weights: Sequence[RetrainedWeights], architecture: Architecture, machine: Machine
) -> OpenedTest:
    """Test the weights of every seed once, plain and with views. The opening must be in the ledger already."""
    device = machine.device
    images = source.test().to(device)
    classes = len(images.classes)
    confusion = np.zeros((classes, classes), dtype=np.int64)
    correct, correct_with_views = [], []
    for row in weights:
        about = json.loads(row.path.with_suffix(".json").read_text(encoding="utf-8"))
        mean, std = (torch.tensor(about[name], device=device) for name in ("mean", "std"))
        network = build(architecture, classes=classes, seed=0)
        network.load_state_dict(load_file(row.path))
        ask = partial(logits, network.to(device), images, mean=mean, std=std, precision=machine.precision)
        plain, of_views = ask().argmax(1), ask(views=SIX_VIEWS).argmax(1)
        np.add.at(confusion, (images.labels.cpu().numpy(), plain.cpu().numpy()), 1)
        correct.append(int((plain == images.labels).sum()))
        correct_with_views.append(int((of_views == images.labels).sum()))
    return OpenedTest(
        correct=tuple(correct),
        correct_with_views=tuple(correct_with_views),
        n=len(images),
        seeds=tuple(row.seed for row in weights),
        confusion=confusion,
        classes=images.classes,
    )
