"""Real picture files of many kinds, and folders of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Make = Callable[..., Path]


def maker(tmp_path: Path) -> Make:
    """Makes a folder of classes with so many different pictures in each: `folder(cat=3, dog=2)`."""

    def make(*, below: str = "photos", size: tuple[int, int] = (40, 33), **classes: int) -> Path:
        root, random = tmp_path / below, np.random.default_rng(len(classes))
        for name, count in classes.items():
            (root / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"{number:03d}.png")
        return root

    return make
