"""What is published about CIFAR-10: references with their sources, in ascending order, none of them an offer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedResult:
    """One published test accuracy on CIFAR-10."""

    name: str
    year: int
    accuracy: float  # a fraction
    parameters: int | None  # None: the source states none
    extra_data: str  # what was learned from besides the 50,000 training images
    source: str
    note: str = ""


_BELIEF = "Convolutional Deep Belief Networks on CIFAR-10, technical report, 2010"
_VIEWS = "averages six views of each test image"

PUBLISHED = (
    PublishedResult(
        "Convolutional deep belief network (Krizhevsky)",
        2010, 0.789, None, "1.6 million tiny images, without labels", _BELIEF,
    ),
    PublishedResult("Maxout networks (Goodfellow et al.)", 2013, 0.906, None, "none", "arXiv 1302.4389"),
    PublishedResult(
        "ResNet-110 (He et al.)",
        2015, 0.936, 1_700_000, "none", "arXiv 1512.03385", "best of five runs; their mean is 93.4 %",
    ),
    PublishedResult(
        "People (Ho-Phuoc)",
        2018, 0.939, None, "not applicable", "arXiv 1811.07270", "60 persons, 1,000 test images each",
    ),
    PublishedResult(
        "airbench94 (Jordan)",
        2024, 0.940, 1_970_000, "none", "arXiv 2404.00498", f"seconds on one GPU; {_VIEWS}",
    ),
    PublishedResult(
        "Wide ResNet 28-10 (Zagoruyko, Komodakis)", 2016, 0.960, 36_500_000, "none", "arXiv 1605.07146",
    ),
    PublishedResult(
        "airbench96 (Jordan)",
        2024, 0.960, 9_900_000, "none", "arXiv 2404.00498", f"under a minute on one GPU; {_VIEWS}",
    ),
    PublishedResult(
        "AutoAugment, PyramidNet with ShakeDrop (Cubuk et al.)",
        2018, 0.985, 26_000_000, "none", "arXiv 1805.09501",
    ),
    PublishedResult("E2E-3M (Nguyen, Ribeiro)", 2020, 0.985, None, "not checked", "arXiv 2007.15161", "an ensemble"),
    PublishedResult("EfficientNet-B7 (Tan, Le)", 2019, 0.989, 64_000_000, "ImageNet", "arXiv 1905.11946"),
    PublishedResult(
        "GPipe, AmoebaNet-B (Huang et al.)",
        2018, 0.990, 557_000_000, "ImageNet", "arXiv 1811.06965", "fine-tuned on enlarged images",
    ),
)  # fmt: skip
