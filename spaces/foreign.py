"""What other tools write in their space files, in the form of ours: the hint for a person who brings one along."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from spaces.document import scalar
from spaces.parameter import shown

KEYS = {  # of NNI, W&B, Optuna, Ax, Katib
    "kind": ("_type", "distribution", "type", "parameter_type"),
    "values": ("_value", "values", "choices", "options", "categories", "bounds", "range", "grid"),
    "low": ("low", "min", "lower"),
    "high": ("high", "max", "upper"),
    "step": ("step", "q"),
    "log": ("log", "log_scale"),
}
RANGES = re.compile("uniform|interval|range|randint|float|double")  # such a kind is a range, and its values are ends
CALL = re.compile(r"(\s*\w[^()]*(?:\([^()]+)?)\(([^()]*)\)[()\s]*")  # choice(a, b), tag(log, interval(1e-4, 0.1))


def native_form(node: Any, *, floats: bool) -> str:
    """`write {float: [0.0001, 0.1], log: true}` for another tool's entry; empty for anything else.

    `floats` says whether the parameter takes them.
    """
    with suppress(ValueError, TypeError, LookupError, OverflowError):  # of what is no entry of another tool after all
        given = _given(node)
        kind, values = str(given.get("kind", "")).lower(), given.get("values", [])
        if "low" in given or RANGES.search(kind) or "bounds" in node:
            low, high, *steps = [given["low"], given["high"]] if "low" in given else values
            if kind == "log_uniform":  # of W&B, which means exponents by it
                low, high = (float(f"{math.exp(end):.3g}") for end in (low, high))
            high -= "randint" in kind  # which never draws its upper end
            steps = [step for step in (given.get("step"), *steps) if step not in (None, 1)]
            log = low < high and (bool(given.get("log")) or "log" in kind)  # of words it raises
            form = ", log: true" if log else f", step: {steps[0]}" if steps else ""
            return f"write {{{'float' if floats else 'integer'}: [{shown(low)}, {shown(high)}]{form}}}"
        if values and isinstance(values, list):
            return f"write {{choice: [{', '.join(map(shown, values))}]}}"
    return ""


def _given(node: Any) -> Mapping[str, Any]:
    """An entry of another tool under the names of KEYS."""
    if isinstance(node, str) and (call := CALL.fullmatch(node)):
        words = [word.rpartition("=")[2].strip(" []'\"") for word in call[2].split(",")]
        return {"kind": call[1], "values": [scalar(word) for word in words]}
    if isinstance(node, dict):
        return {name: node[key] for name, keys in KEYS.items() for key in keys if key in node}
    return {}
