"""Draws a decision, a published recipe or a single trial while it is trained again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from search.console.terminal import columns, line_printer
from search.deciding.baseline import BaselinePlanned, BaselineReproduction, BaselineStep, BaselineUnfinished
from search.deciding.choice import Chosen
from search.deciding.decide import DecisionStep, Planned, Report
from search.deciding.testing import ABOUT_VIEWS, OpenedTest, Score
from search.deciding.trainings import TrainedEpoch
from search.deciding.transfer import Comparison
from search.inspecting.reproduce import ComparedEpoch, Reproduction, ReproductionStart, ReproductionStep
from search.reporting.report import Reported
from search.searching.progress import Resumed
from search.searching.provenance import command_line
from search.text import duration, percent, plural
from search.training.result import EpochResult
from studies.ledger import Opening
from studies.manifest import measure_of


def follow_decision(steps: Iterable[DecisionStep | Reported], *, console: Console) -> Report:
    """A line for every epoch, a table for every result; returns the report."""
    say = line_printer(console)
    for step in steps:
        match step:
            case Planned():
                say(f"{step.machine}; {step.data}; about {duration(step.seconds)}")
                say(f"study {step.study}: {step.plan.title}")
                metric = step.metric
                for note in step.notes:
                    say(f"note: {note}")
                _warn(step.openings, say)
            case Resumed():
                say(_going_on(f"trial {step.number}", step))
            case TrainedEpoch(result=result):
                score = percent(getattr(result, measure_of(metric)) or result.train_accuracy)
                kind = "training" if result.validation_accuracy is None else metric.removesuffix(" accuracy")
                say(f"{step.phase}: {step.name}, epoch {result.epoch}/{result.epochs}: {score} {kind}")
            case Chosen():
                for reason in step.dropped:
                    say(f"dropped: {reason}", style="yellow")
                console.print(_confirmation(step))
                say(step.gain.title if step.gain else "The space knows no recipe to hold the search against.")
            case Reported():
                console.print(Text(), report_table(step.report))
                for name, reason in step.undrawn.items():
                    say(f"{name} could not be drawn: {reason}", style="yellow")
                say(f"\nreport: {step.folder / 'report.md'}")
    assert isinstance(step, Reported), "a decision ends with its report"
    return step.report


def follow_baseline(steps: Iterable[BaselineStep], *, console: Console) -> BaselineReproduction | BaselineUnfinished:
    """A line for every epoch, a table at the end; returns the result."""
    say = line_printer(console)
    for step in steps:
        match step:
            case BaselinePlanned(length=length):
                minutes = length.budget_minutes
                budget = f"a budget of {minutes:g} minutes" if minutes is not None else "no budget"
                left = length.seconds * (1 - step.done / length.epochs)
                say(f"{step.machine}; {step.data}; about {duration(left)}")
                say(f"{step.published.name}: {step.published.title}; {_length(step)}, {budget}")
                _warn(step.openings, say)
            case Resumed():
                say(_going_on("it", step))
            case EpochResult():
                say(f"epoch {step.epoch}/{step.epochs}: {percent(step.validation_accuracy)} validation")
            case BaselineUnfinished():
                say(f"the time is over: {step.done} of {step.epochs} epochs are done, the test set stays closed")
                say(f"go on with: {command_line()}")
            case BaselineReproduction():
                console.print(Text(), _baseline_table(step))
    assert isinstance(step, BaselineReproduction | BaselineUnfinished), "a baseline ends with its result"
    return step


def follow_reproduction(steps: Iterable[ReproductionStep], *, console: Console) -> Reproduction:
    """A line for every difference and every epoch; returns the verdict."""
    say = line_printer(console)
    for step in steps:
        match step:
            case ReproductionStart():
                say(f"trial {step.trial} of study {step.study}, again on {step.machine}; {step.data}")
                for note in step.notes:
                    say(f"note: {note}")
                for difference in step.differences:
                    say(f"{difference.name}: {difference.then} -> {difference.now}", style="yellow")
            case ComparedEpoch(then=then, now=now) if then == now:
                say(f"epoch {step.epoch}: equal: {_numbers(now)}")
            case ComparedEpoch(then=then, now=now):
                say(f"epoch {step.epoch}: then {_numbers(then)}\n{'':8} now  {_numbers(now)}")
            case Reproduction():
                say(f"{step.verdict}: {step.reason}", style="green" if step.confirmed else "yellow")
                if step.kept is not None:
                    say("its weights are kept again" if step.kept else "not kept: they are other weights")
    assert isinstance(step, Reproduction), "a trial that is trained again ends with a verdict"
    return step


def follow_comparison(steps: Iterable[TrainedEpoch | Resumed | Comparison], *, console: Console) -> Comparison:
    """A line for every training, a table at the end; returns the result."""
    for step in steps:
        if isinstance(step, TrainedEpoch) and (result := step.result).epoch == result.epochs:
            line_printer(console)(
                f"{step.name}, {plural(result.epochs, 'epoch')}: {percent(result.validation_accuracy)}"
            )
    assert isinstance(step, Comparison), "a transfer ends with its comparison"
    names = (">images", ">transfer", ">scratch", ">difference", ">95 % interval", ">epochs", ">seconds", ">by seed")
    table = columns(*names, title=f"trial {step.trial} of study {step.study} beside training from scratch")
    for row in step.rows:
        means = [percent(fmean(accuracies)) for accuracies in zip(*row.accuracies, strict=True)]
        low, high = (f"{100 * end:+.2f}" for end in row.interval)
        seeds = " ".join(f"{100 * (transfer - scratch):+.2f}" for transfer, scratch in row.accuracies)
        lengths = ("/".join(f"{number:.0f}" for number in both) for both in (row.epochs, row.seconds))
        table.add_row(f"{row.images:,}", *means, f"{100 * row.difference:+.2f}", f"{low} to {high}", *lengths, seeds)
    before = "an unknown time" if step.pretraining_seconds is None else duration(step.pretraining_seconds)
    console.print(Text(), table)
    line_printer(console)(
        f"Points on {step.validation_images:,} validation images; the test set stays closed. Epochs and seconds: of "
        f"transfer/scratch. Beside them stand {before} in which the start was trained: {step.start}\n{step.file}"
    )
    return step


def report_table(report: Report) -> Group:
    """The answer, its number and its claims."""
    recommendation = report.recommendation
    grid = Table.grid(padding=(0, 2))
    grid.add_row("test accuracy", Text(_accuracy(report.test), "bold"))
    if report.test.unequal or report.score.balanced:
        grid.add_row("balanced", Text(_accuracy(report.test.score(balanced=True)), "bold"))
    grid.add_row("test images", f"{report.test.n:,}, {plural(len(report.test.seeds), 'seed')}, no test-time views")
    grid.add_row("with test-time views", f"{percent(report.test.accuracy_with_views)}, nothing rests on it")
    if (together := report.test.accuracy_of_ensemble) is not None:
        grid.add_row(f"ensemble of {report.test.members}", f"{percent(together)} with views, nothing rests on it")
    grid.add_row("test set opened", plural(len(report.openings), "time"))
    for claim in recommendation.claims:
        grid.add_row(Text(f"{claim.name} claims {percent(claim.accuracy)}"), Text(claim.verdict, "bold"))
    style = "bold green" if recommendation.verdict == "build" else "bold yellow"
    grid.add_row("verdict", Text(recommendation.verdict, style))
    warning = "" if not report.generated else f"{report.data}: a rehearsal, not to be signed.\n"
    reasons = " ".join(recommendation.reasons)
    return Group(grid, Text(), Text(warning, "yellow"), Text(reasons), Text(), Text(ABOUT_VIEWS))


def _baseline_table(result: BaselineReproduction) -> Group:
    published, test = result.published, result.test
    grid = Table.grid(padding=(0, 2))
    grid.add_row("reported", f"{percent(published.reported / 100)}, chosen by {published.chosen_by}")
    grid.add_row("reproduced", Text(f"{_accuracy(test)}, {result.verdict}", "bold"))
    grid.add_row("test images", f"{test.n:,}, the last epoch's weights of one seed, no test-time views")
    grid.add_row("with test-time views", f"{percent(test.accuracy_with_views)}, nothing rests on it")
    grid.add_row("test set opened", plural(len(result.openings), "time"))
    grid.add_row("validation", f"{percent(result.validation_accuracy)} of {result.validation_images:,} images")
    grid.add_row("trained", f"{_length(result)} in {duration(result.seconds)}")
    if not result.official:
        grid.add_row("", Text("not CIFAR-10, on which it was reported: the two numbers cannot be compared", "yellow"))
    return Group(grid, Text(), Text(ABOUT_VIEWS))


def _warn(before: Sequence[Opening], say: Callable[..., None]) -> None:
    if before:
        times, who = plural(len(before), "time"), "; ".join(opening.title for opening in before)
        say(f"warning: this test set was opened {times} before in this storage: by {who}", style="yellow")


def _going_on(name: str, step: Resumed) -> str:
    reasons = "".join(f" ({reason})" for reason in step.rejected)
    return f"{name} goes on from its checkpoint after epoch {step.epoch}{reasons}"


def _confirmation(choice: Chosen) -> Table:
    table = columns(">trial", ">mean", ">by seed", ">MFLOPs", "", title="confirmed with fresh seeds")
    for row in choice.confirmation:
        chosen = "chosen" if row is choice.winner else ""
        seeds = " ".join(map(percent, row.accuracies))
        table.add_row(str(row.trial), percent(row.mean), seeds, f"{row.flops / 1e6:.1f}", chosen)
    return table


def _accuracy(test: OpenedTest | Score) -> str:
    return f"{percent(test.accuracy)}  [{percent(test.interval.low)} to {percent(test.interval.high)}]"


def _length(step: BaselinePlanned | BaselineReproduction) -> str:
    part = f" on {step.length.images:,} images" if step.length.images else ""
    return f"{step.length.epochs} of {step.published.epochs} published epochs{part}"


def _numbers(numbers: Mapping[str, float | None]) -> str:
    *losses, accuracy = numbers.values()
    train, validation = ("-" if loss is None else f"{loss:.9f}" for loss in losses)
    return f"{percent(accuracy)}, train loss {train}, validation loss {validation}"
