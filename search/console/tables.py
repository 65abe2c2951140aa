"""A study as tables and lines: how it stands, its best candidate, what it says of its space, what is wrong with it."""

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from search.candidate import CandidateError, from_values
from search.console.terminal import columns
from search.inspecting.status import Status, accuracies, best_trial
from search.text import counts, duration, percent, plain, plural
from studies.history import FOREIGN, History, TrialRecord
from studies.manifest import METRICS

if TYPE_CHECKING:  # `status` need not wait for what they import
    from search.inspecting.advise import Advice
    from search.inspecting.doctor import Diagnosis
    from search.inspecting.studies import Listing
    from search.shipping.locate import Locations

ADVICE_STYLES = {"matters": "green", "never mattered": "yellow", "cannot be told": "dim"}


def status_table(status: Status) -> Group:
    """What is done, running, pruned; the best so far; the time left."""
    history, left = status.history, status.seconds_left
    grid = Table.grid(padding=(0, 2))
    grid.add_row("study", Text(f"{history.study} ({history.manifest.space_name}.yaml) in {status.storage}"))
    grid.add_row("trials", f"{history.finished} of {history.planned} finished: {counts(history.counts)}")
    if history.carried:
        grid.add_row("carried over", f"{history.carried} trials of another study, which teach and do not count")
    if foreign := [str(trial.number) for trial in history.trials if trial.state == "foreign"]:
        grid.add_row("left alone", f"trial {', '.join(foreign)}, {FOREIGN}")
    if running := [trial for trial in history.trials if trial.state == "running"]:
        epochs = (f"{trial.number} ({len(trial.epochs)}/{history.manifest.epochs})" for trial in running)
        grid.add_row("running", f"trial {', '.join(epochs)} epochs")
    grid.add_row("time left", "-" if left is None else f"about {duration(left)}")
    return Group(grid, Text(), best_five(history), *_front(history))


def best_five(history: History) -> Table:
    """The best trials so far, the first one first."""
    top = [(trial, *_accuracies(trial)) for trial in history.top(5)]
    unequal = any(balanced for _, _, balanced in top)
    names = (">trial", ">validation", *[">balanced"] * unequal, ">parameters", ">MFLOPs", ">s/epoch", "candidate")
    title = "best so far" if history.manifest.metric == METRICS["accuracy"] else f"best {history.manifest.metric}"
    table = columns(*names, title=title)
    for trial, accuracy, balanced in top:
        numbers = trial.attributes
        parameters, mflops = f"{numbers.get('parameters', 0):,.0f}", f"{numbers.get('flops', 0) / 1e6:.1f}"
        costs = parameters, mflops, f"{numbers.get('seconds_per_epoch', 0):.1f}"
        table.add_row(str(trial.number), accuracy, *[balanced] * unequal, *costs, _summary(trial))
    return table


def best_table(history: History) -> Group:
    """The best candidate so far, every value of it."""
    best = best_trial(history)
    accuracy, balanced = _accuracies(best)
    beside = f", {balanced} where each class counts alike" if balanced else ""
    end = f" on the validation images{beside}" + (f" (baseline {best.baseline})" if best.baseline else "")
    head = Text.assemble(f"trial {best.number} of study {history.study}: ", (accuracy, "bold green"), end)
    table = columns("value", "")
    for name, value in sorted(best.values.items()):
        table.add_row(name, plain(value))
    for name, number in best.attributes.items():
        table.add_row(name, f"{number:,.6g}", style="dim")
    note = "The best of many is partly the luckiest of many: `cifar-search best --retrain` confirms it and tests it."
    return Group(head, Text(), table, *_front(history), Text(), Text(note, "dim"))


def advice_text(advice: "Advice") -> Group:
    """What mattered, what changes in the next space and why, and how to search it."""
    table = columns("parameter", "importance", "by chance", "")
    for row in advice.importances:
        chance = f"{row.chance_low:.2g} to {row.chance_high:.2g}"
        table.add_row(row.name, f"{row.value:.2g}", chance, Text(row.verdict, ADVICE_STYLES[row.verdict]))
    changes = [Text.assemble((name, "bold"), f": {change}") for name, change in advice.changes.items()]
    return Group(
        Text(f"study {advice.study}: {advice.summary}"),
        *([table] if advice.importances else []),
        *(changes or [Text("No parameter changes.")]),
        Text(f"The next space, with the best trial as a baseline: {advice.file}"),
        Text(shlex.join(advice.command), "bold"),
    )


def diagnosis_text(diagnosis: "Diagnosis", *, done: Sequence[str] = ()) -> Group:
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


def studies_table(listing: "Listing") -> Group:
    """A line for each study: whose it is, its trials, the best of them, the disk that it takes, its last start."""
    table = columns("study", "space", "trials", ">best", ">MB", "last start (UTC)")
    for line in listing.studies:
        trials = f"{counts(line.trials)}" + f", {FOREIGN}" * ("foreign" in line.trials)
        numbers = percent(line.best), f"{line.disk_mb:,.1f}"
        table.add_row(Text(line.study), line.space or "-", trials, *numbers, (line.started or "-")[:16])
    return Group(Text(listing.storage), table if listing.studies else Text("no study yet"))


def located_text(found: "Locations") -> Group:
    """The boxes of each photo, where they are drawn, and what they are worth."""
    parts: list[Table | Text] = []
    for row in found.photos:
        table = columns("answer", ">confidence", ">left", ">top", ">right", ">bottom")
        for box in row.boxes:
            edges = (str(edge) for edge in (box.left, box.top, box.right, box.bottom))
            table.add_row(Text(box.label), percent(box.confidence), *edges)
        title = f"{row.photo}: {plural(len(row.boxes), 'object') if row.boxes else 'nothing that the model knows'}"
        parts += [Text(title, "bold"), *([table] if row.boxes else []), Text(f"{row.drawn}, {row.heat}"), Text()]
    return Group(*parts, Text(found.limits, "dim"))


def _front(history: History) -> Iterable[Table | Text]:
    """The trials that are worth their cost, cheapest first; nothing in a study without a cost."""
    if history.front:
        cost, metric = str(history.manifest.cost), history.manifest.metric.removeprefix("validation ")
        title = f"Pareto front: {metric} against {cost}"
        table = columns(">trial", ">validation", f">{cost}", "candidate", title=title)
        for trial in history.front:
            value = f"{trial.attributes[cost]:,.4g}"
            table.add_row(str(trial.number), percent(trial.accuracy), value, _summary(trial))
        yield from (Text(), table)


def _accuracies(trial: TrialRecord) -> tuple[str, str]:
    """The validation accuracy and, where the classes are unequal, the balanced one."""
    accuracy, balanced = map(percent, (*accuracies(trial).values(), None)[:2])
    return accuracy, "" if balanced in (accuracy, "-") else balanced


def _summary(trial: TrialRecord) -> str:
    if trial.baseline:
        return trial.baseline
    try:
        candidate = from_values(trial.values)
    except CandidateError:  # of another version
        return str(trial.values.get("architecture.family"))
    return f"{candidate.architecture.family} {candidate.architecture.title}, {candidate.recipe.optimizer}"
