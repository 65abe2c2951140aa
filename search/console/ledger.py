"""What the doctor found in a study, and a trial that was trained again, in lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.text import Text

from search.console.terminal import line_printer
from search.inspecting.doctor import Diagnosis
from search.text import counts, percent, plural

if TYPE_CHECKING:  # it imports torch, which `doctor` can do without
    from search.inspecting.reproduce import ComparedEpoch, EpochNumbers, Reproduction, ReproductionStep


def diagnosis_text(diagnosis: Diagnosis, *, done: Sequence[str] = ()) -> Group:
    """What was repaired, what is found, and what that means."""
    fixable = sum(finding.fixable for finding in diagnosis.findings)
    result = f"{plural(len(diagnosis.findings), 'problem')} found" if diagnosis.findings else "no problems found"
    step = f"; `cifar-search doctor --study {diagnosis.study} --fix` repairs {fixable} of them" if fixable else ""
    return Group(
        *(Text(f"repaired: {line}", "green") for line in done),
        *(Text(f"{finding.message} (rule: {finding.rule})", "yellow") for finding in diagnosis.findings),
        *(Text(note, "dim") for note in diagnosis.notes),
        Text(f"study {diagnosis.study}: {counts(diagnosis.counts)}, {diagnosis.planned} planned; {result}{step}"),
    )


def follow(steps: Iterable[ReproductionStep], *, console: Console) -> Reproduction:
    """A line for every difference and every epoch; returns the verdict."""
    from search.inspecting.reproduce import ComparedEpoch, Reproduction, ReproductionStart

    result: Reproduction | None = None
    say = line_printer(console)
    for step in steps:
        match step:
            case ReproductionStart():
                say(f"trial {step.trial} of study {step.study}, again on {step.machine}; {step.data}")
                for difference in step.differences:
                    say(f"{difference.name}: {difference.then} -> {difference.now}", style="yellow")
            case ComparedEpoch():
                say(compared_line(step))
            case Reproduction():
                result = step
                say(f"{step.verdict}: {step.reason}", style="green" if step.confirmed else "yellow")
                if step.kept is not None:
                    say("its weights are kept again" if step.kept else "not kept: they are other weights")
    assert result is not None, "a trial that is trained again ends with a verdict"
    return result


def compared_line(compared: ComparedEpoch) -> str:
    """One epoch: its numbers once where they are equal, then and now where they are not."""
    if compared.then == compared.now:
        return f"epoch {compared.epoch}: equal: {_numbers(compared.then)}"
    return f"epoch {compared.epoch}: then {_numbers(compared.then)}\n{'':8} now  {_numbers(compared.now)}"


def _numbers(numbers: EpochNumbers) -> str:
    *losses, accuracy = astuple(numbers)
    train, validation = ("-" if loss is None else f"{loss:.9f}" for loss in losses)
    return f"{percent(accuracy)}, train loss {train}, validation loss {validation}"
