"""After a search the next space follows from its trials, each change with its reason, and can be searched at once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from places import Place
from rich.console import Console

from search import cli
from search.candidate import from_values
from search.console.advice import advice_text
from search.data import synthetic
from search.inspecting import advise as advising
from search.inspecting.advise import Advice, advise
from search.inspecting.boundaries import End
from search.inspecting.doctor import examine_study
from search.inspecting.next_space import next_space, settled, space_of, with_baselines
from search.planning.catalogue import load
from search.searching.setup import Opening, Search
from spaces.parameter import Choice, Fixed, Integer, Parameter, Value
from spaces.space import Space
from studies import StudyError
from studies.history import History, read_history
from studies.importance import Importance
from studies.storage import StorageError, storage_url

Score = Callable[[dict[str, Value]], float]


def searched(folder: Path, *, trials: int, score: Score) -> History:
    """A study of the smoke space that nobody trained."""
    images = synthetic.training()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "training", lambda: images)  # making them takes half a second
        search = Search(trials=trials, space="smoke", data="synthetic", folder=folder, device="cpu")
        opening = Opening.of(search)
        with opening.study(replace(opening.manifest()[0], epochs=1)) as study:
            study.enqueue(opening.queue())
            for _ in range(trials):
                asked = study.ask(opening.space.suggest)
                assert asked
                study.report(asked.number, epoch=1, accuracy=score(asked.values))
                study.complete(asked.number)
            return study.history()


def rate(values: dict[str, Value]) -> float:
    """The higher the learning rate, the better; from 0.5 to 8."""
    return math.log(float(values["recipe.learning_rate"])) / 10 + 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    searched(folder, trials=24, score=rate)
    return folder


@pytest.fixture(scope="module")
def advice(folder: Path) -> Iterator[Advice]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(advising.importances, "__kwdefaults__", {"resamples": 10, "seed": 0})
        yield advise(folder)


def test_the_study_remembers_its_space(folder: Path) -> None:
    space, smoke = space_of(read_history("smoke", storage=storage_url(folder, None))), load("smoke")
    assert space == replace(smoke, source=space.source, baselines=())
    assert space.fingerprint == smoke.fingerprint


def test_what_the_best_press_against_is_widened_and_the_file_says_why(advice: Advice) -> None:
    assert (advice.complete, advice.best, advice.early) == (24, 6, False)
    first = advice.ends[0]
    assert (first.name, first.side, first.pressed) == ("recipe.learning_rate", "high", True)
    wider = load(str(advice.file))
    kinds = {parameter.name: parameter.kind for parameter in wider.parameters}
    assert kinds["recipe.learning_rate"].describe() == "0.5 .. 128.0, log"
    text = advice.file.read_text()
    above = text[: text.index("  learning_rate: {float")].splitlines()[-2:]
    told = " ".join(above)
    assert f"was 0.5 .. 8.0, log: {first.there} of the best 6 lie at the high end, where chance puts 0.6" in told
    assert f"p = {first.p:.2g}" in text
    assert "by Holm" in text


def test_the_next_space_keeps_the_rest_and_begins_with_the_best_trial(advice: Advice, folder: Path) -> None:
    wider, smoke = load(str(advice.file)), load("smoke")
    assert (wider.description, wider.length, wider.constraints) == (smoke.description, smoke.length, smoke.constraints)
    history = read_history("smoke", storage=storage_url(folder, None))
    best = history.best
    assert best is not None
    assert wider.baselines[0].name == f"smoke-{best.number}"
    assert wider.baselines[0].values == best.values
    kept, notes = with_baselines(smoke, history, best)
    assert ([baseline.name for baseline in kept.baselines], notes) == ([f"smoke-{best.number}", "tiny"], ())
    assert from_values(wider.sample(Random(0)))


def test_what_mattered_is_told(advice: Advice) -> None:
    assert advice.importances[0].name == "recipe.learning_rate"
    assert advice.importances[0].verdict == "matters"
    assert {row.name for row in advice.importances} >= {"recipe.translate", "architecture.activation"}


def test_a_terminal_and_a_program_are_told_the_same(advice: Advice) -> None:
    console = Console(file=StringIO(), width=140)
    console.print(advice_text(advice))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "recipe.learning_rate: 0.5 .. 8.0, log -> 0.5 .. 128.0, log" in shown
    assert f"--space {advice.file} --study smoke-next --carry-over smoke --runs " in " ".join(shown.split())
    data = json.loads(json.dumps(advice.as_json(), allow_nan=False))
    assert data["ends"][0]["pressed"] is True
    assert data["importances"][0]["verdict"] == "matters"
    assert data["file"] == str(advice.file)


def test_with_few_trials_it_says_how_many_it_takes(tmp_path: Path) -> None:
    searched(
        tmp_path, trials=3, score=lambda values: rate(values) + 0.1 * (values["architecture.activation"] == "relu")
    )
    early = advise(tmp_path, output=tmp_path / "mine" / "wider.yaml")
    assert (early.early, early.needed, early.ends, early.importances, early.changes) == (True, 20, (), (), ())
    console = Console(file=StringIO(), width=140)
    console.print(advice_text(early))
    assert "takes 20 complete trials, 17 more than there are" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "too early" in early.file.read_text()
    wider, smoke = load(str(early.file)), load("smoke")
    assert wider.fingerprint == smoke.fingerprint

    early.file.write_text("# my own\n")
    with pytest.raises(StudyError, match=r"is there already .* another with --output"):
        advise(tmp_path, output=early.file)
    with pytest.raises(StorageError, match=r"cannot write .*--output"):
        advise(tmp_path, output=tmp_path / "studies.db" / "next.yaml")
    assert early.file.read_text() == "# my own\n"


def importance(name: str, **changes: float) -> Importance:
    return replace(
        Importance(name=name, share=0.01, value=0.01, low=0.0, high=0.02, noise=0.05, even=0.5, trials=40), **changes
    )  # type: ignore[arg-type]


def end(name: str, side: str = "high") -> End:
    return End(name=name, side=side, there=8, best=8, share=0.1, p=1e-8, adjusted=1e-7)  # type: ignore[arg-type]


def test_what_never_mattered_is_fixed_at_the_best_trials_value(folder: Path) -> None:
    history = read_history("smoke", storage=storage_url(folder, None))
    trials = history.top(32)
    rows = [importance("recipe.translate"), importance("architecture.width.1", high=0.06)]
    space, changes = next_space(load("smoke"), trials, pressing=(), important=rows)
    kinds = {parameter.name: parameter.kind for parameter in space.parameters}
    assert kinds["recipe.translate"] == Fixed(trials[0].values["recipe.translate"])
    assert isinstance(kinds["architecture.width.1"], Integer)  # its interval reaches into the noise
    (change,) = changes
    assert "0.01 (0 to 0.02), lies below the 0.05 that chance shows, over 40 trials" in change.why


def test_what_is_pressed_is_not_fixed(folder: Path) -> None:
    trials = read_history("smoke", storage=storage_url(folder, None)).top(32)
    space, _ = next_space(
        load("smoke"), trials, pressing=[end("recipe.translate")], important=[importance("recipe.translate")]
    )
    assert [p.kind for p in space.parameters if p.name == "recipe.translate"] == [Integer(0, 4)]


@pytest.mark.parametrize(
    ("name", "side", "reason"),
    [
        ("architecture.stages", "high", "other parameters depend on it"),
        ("recipe.translate", "low", "the field allows nothing beyond"),
        ("recipe.rotation", "low", "the field allows nothing beyond"),
    ],
)
def test_a_bound_that_cannot_move_says_why(name: str, side: str, reason: str) -> None:
    cnn = load("cnn")
    space, (change,) = next_space(cnn, (), pressing=[end(name, side)], important=())
    assert space == cnn
    assert change.after is None
    assert reason in change.why


def test_a_bound_beyond_which_candidates_are_incomplete_stays() -> None:
    smoke = load("smoke")
    stages = Parameter("architecture.stages", Integer(1, 2))
    parameters = (stages if old.name == stages.name else old for old in smoke.parameters)
    short = replace(smoke, parameters=tuple(parameters))
    space, (change,) = next_space(short, (), pressing=[end("architecture.stages")], important=())
    assert space == short
    assert "width needs one entry per stage" in change.why


def conditional() -> Space:
    """Three parameters, of which each is there for a value of the one before."""
    smoke = load("smoke")
    chain = (
        Parameter("recipe.flip", Choice(("none", "random"))),
        Parameter("recipe.policy", Choice(("none", "randaugment")), {"recipe.flip": ("random",)}),
        Parameter("recipe.operations", Integer(1, 3), {"recipe.policy": ("randaugment",)}),
    )
    return replace(smoke, parameters=(*smoke.parameters, *chain), baselines=())


@pytest.mark.parametrize(
    ("fixed", "left"),
    [
        ({"recipe.flip": "none"}, {"recipe.flip": Fixed("none")}),
        ({"recipe.policy": "none"}, {"recipe.flip": Choice(("none", "random")), "recipe.policy": Choice(("none",))}),
        (
            {"recipe.flip": "random", "recipe.policy": "randaugment"},
            {
                "recipe.flip": Fixed("random"),
                "recipe.policy": Fixed("randaugment"),
                "recipe.operations": Integer(1, 3),
            },
        ),
    ],
)
def test_conditions_follow_what_is_fixed(fixed: dict[str, Value], left: dict[str, object], tmp_path: Path) -> None:
    space = settled(conditional(), fixed)
    found = {parameter.name: parameter for parameter in space.parameters[-3:] if parameter.name in ALL}
    assert {name: parameter.kind for name, parameter in found.items()} == left
    file = tmp_path / "next.yaml"
    file.write_text(advising.space_text(space))
    assert load(str(file)).parameters == space.parameters


ALL = ("recipe.flip", "recipe.policy", "recipe.operations")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_search_advise_and_search_on(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The real program, whose slots train nothing."""
    first = place.start("--sampler", "random", trials=6, STUB_PACE="0")
    assert first.end() == 0, first.output
    cli.app(["spaces", "advise", "--runs", str(place.runs)], standalone_mode=False)
    assert "Too early" in capsys.readouterr().out
    on = ("--space", str(place.runs / "smoke" / "next.yaml"), "--study", "more", "--carry-over", "smoke", "--seed", "1")
    for trials in (3, 4):  # a second start goes on, and carries nothing again
        more = place.start(*on, trials=trials, STUB_PACE="0")
        assert more.end() == 0, more.output
        assert ("6 of 6 trials of study smoke are carried over" in more.output) == (trials == 3)
    old, new = place.history(), read_history("more", storage=place.url)
    assert (new.carried, new.finished, new.planned) == (6, 4, 4)
    assert [trial.values for trial in new.trials[:6]] == [trial.values for trial in old.trials]
    assert new.manifest.split_fingerprint == old.manifest.split_fingerprint
    assert not any(trial.baseline for trial in new.trials[6:])  # all were carried over
    assert examine_study(place.runs, study="more").findings == ()
    cli.app(["status", "--study", "more", "--runs", str(place.runs)], standalone_mode=False)
    status = capsys.readouterr().out
    assert "4 of 4 finished" in status
    assert "6 trials of another study" in status
