"""A line of the table is all that an optimiser needs."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest
from torch.optim import Optimizer

from search.candidate import OPTIMIZERS, CandidateError, checks, from_values


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_line_names_a_class_and_a_recipe_may_name_the_line(name: str) -> None:
    assert issubclass(pkgutil.resolve_name(OPTIMIZERS[name].factory), Optimizer)
    assert from_values({"architecture.family": "mlp", "recipe.optimizer": name}).recipe.optimizer == name
    assert checks("mlp")["recipe.optimizer"](name) is None


def test_an_unknown_optimiser_is_refused_with_the_known_ones() -> None:
    problem = checks("mlp")["recipe.optimizer"]("adamax")
    assert problem is not None
    assert all(name in problem for name in OPTIMIZERS)
    with pytest.raises(CandidateError, match="adamax"):
        from_values({"architecture.family": "mlp", "recipe.optimizer": "adamax"})


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, search.candidate; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
