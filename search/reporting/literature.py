"""What is published about CIFAR-10: references with their sources, in ascending order, none of them an offer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published test accuracy on CIFAR-10, as a fraction."""

    name: str
    year: int
    accuracy: float
    parameters: int | None  # None: the source states none
    extra_data: str  # what was learned from besides the 50,000 training images
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.accuracy <= 1:
            raise ValueError(f"an accuracy is a fraction above 0, at most 1, not {self.accuracy}")


PUBLISHED = (
    Published(
        name="Convolutional deep belief network (Krizhevsky)",
        year=2010,
        accuracy=0.789,
        parameters=None,
        extra_data="1.6 million tiny images, without labels",
        source="Convolutional Deep Belief Networks on CIFAR-10, technical report, 2010",
    ),
    Published(
        name="Maxout networks (Goodfellow et al.)",
        year=2013,
        accuracy=0.906,
        parameters=None,
        extra_data="none",
        source="arXiv 1302.4389",
    ),
    Published(
        name="ResNet-110 (He et al.)",
        year=2015,
        accuracy=0.936,
        parameters=1_700_000,
        extra_data="none",
        source="arXiv 1512.03385",
        note="best of five runs; their mean is 93.4 %",
    ),
    Published(
        name="People (Ho-Phuoc)",
        year=2018,
        accuracy=0.939,
        parameters=None,
        extra_data="not applicable",
        source="arXiv 1811.07270",
        note="60 persons, 1,000 test images each",
    ),
    Published(
        name="airbench94 (Jordan)",
        year=2024,
        accuracy=0.940,
        parameters=1_970_000,
        extra_data="none",
        source="arXiv 2404.00498",
        note="seconds on one GPU; averages six views of each test image",
    ),
    Published(
        name="Wide ResNet 28-10 (Zagoruyko, Komodakis)",
        year=2016,
        accuracy=0.960,
        parameters=36_500_000,
        extra_data="none",
        source="arXiv 1605.07146",
    ),
    Published(
        name="airbench96 (Jordan)",
        year=2024,
        accuracy=0.960,
        parameters=9_900_000,
        extra_data="none",
        source="arXiv 2404.00498",
        note="under a minute on one GPU; averages six views of each test image",
    ),
    Published(
        name="AutoAugment, PyramidNet with ShakeDrop (Cubuk et al.)",
        year=2018,
        accuracy=0.985,
        parameters=26_000_000,
        extra_data="none",
        source="arXiv 1805.09501",
    ),
    Published(
        name="E2E-3M (Nguyen, Ribeiro)",
        year=2020,
        accuracy=0.985,
        parameters=None,
        extra_data="not checked",
        source="arXiv 2007.15161",
        note="an ensemble",
    ),
    Published(
        name="EfficientNet-B7 (Tan, Le)",
        year=2019,
        accuracy=0.989,
        parameters=64_000_000,
        extra_data="ImageNet",
        source="arXiv 1905.11946",
    ),
    Published(
        name="GPipe, AmoebaNet-B (Huang et al.)",
        year=2018,
        accuracy=0.990,
        parameters=557_000_000,
        extra_data="ImageNet",
        source="arXiv 1811.06965",
        note="fine-tuned on enlarged images",
    ),
)
