"""Likely label errors: validation images which networks that never saw them are sure show another class."""

from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from search.data.images import Images
from search.data.split import Split
from search.networks.weights import WeightsError
from search.searching.study_folder import StudyFolder
from search.training.evaluate import answering
from studies import StudyError
from studies.history import History

SURE = 0.5  # least probability of the other class: more than all the rest together


class LabelError(NamedTuple):
    """An image that probably has the wrong label."""

    image: int
    seen: int  # the class that it probably shows
    probability: float


def find_label_errors(history: History, *, images: Images, split: Split, folder: StudyFolder) -> list[LabelError]:
    """By all confirmed networks of a study together: the retrained ones trained on the validation images too.

    Raises StudyError where no confirmed ones are kept.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    validation = torch.from_numpy(split.validation)
    shown, shares = images.take(validation).to(device), torch.zeros(len(validation), len(images.classes))
    for path in sorted(folder.retraining.glob("confirmed-*.safetensors")):
        try:
            ask = answering(path, images=shown, precision="float32")
        except (WeightsError, RuntimeError, SafetensorError) as error:
            raise StudyError(f"{path} cannot be used ({error}); delete it, or decide anew") from error
        shares += ask().softmax(1).cpu()
    if not shares.any():
        raise StudyError(
            f"{folder.retraining} has no confirmed-TRIAL-SEED.safetensors, the weights that never saw the validation "
            f"images; `cifar-search best --retrain --study {history.study}` leaves them there"
        )
    found = label_errors(shares / shares.sum(1, keepdim=True), images.labels[validation])
    return [each._replace(image=int(validation[each.image])) for each in found]


def label_errors(shares: Tensor, labels: Tensor) -> list[LabelError]:
    """Images of another class than their labels [N] by their probabilities [N, classes], the clearest first.

    Confident learning (arXiv 1911.00068): an image is of the class that is as likely as is usual for its own images.
    """
    own, of_class = shares.gather(1, labels[:, None])[:, 0], F.one_hot(labels, shares.shape[1]).float()
    usual = (own @ of_class) / of_class.sum(0).clamp(min=1)
    likely, seen = shares.max(1)
    wrong = torch.nonzero((likely >= usual.clamp(min=SURE)[seen]) & (seen != labels)).flatten()
    wrong = wrong[(likely - own)[wrong].argsort(descending=True)]
    return [*map(LabelError, wrong.tolist(), seen[wrong].tolist(), likely[wrong].tolist())]
