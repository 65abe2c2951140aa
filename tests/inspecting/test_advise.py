"""After a search the next space follows from its trials, each change with its reason, and can be searched at once."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from places import Place
from rich.console import Console

from search import cli
from search.candidate import from_values
from search.console.tables import advice_text
from search.data.images import Images
from search.inspecting.advise import Advice, BoundaryTest, Side, advise, next_space, studied_space
from search.inspecting.doctor import examine_study
from search.planning.catalogue import load
from search.searching.request import Search
from search.searching.setup import Setup
from spaces.parameter import Choice, Fixed, Kind, Parameter
from spaces.space import Space
from studies import StudyError
from studies.history import TrialRecord, read_history
from studies.importance import Importance
from studies.storage import StorageError, owned, storage_url


def searched(folder: Path, *, trials: int) -> None:
    """A study of the smoke space that nobody trained: the higher the learning rate, from 0.5 to 8, the better."""
    setup = Setup.of(
        Search(trials=trials, space="smoke", data="synthetic", folder=folder, device="cpu", epochs=1, sampler="tpe")
    )
    manifest, _ = setup.draft()
    with owned(setup.url, study=setup.name) as storage:
        study = setup.study(manifest, storage=storage, carry=None)
        study.enqueue(setup.queue())
        while asked := study.ask(setup.space.suggest):
            accuracy = math.log(float(asked.values["recipe.learning_rate"])) / 10 + 0.5
            study.report(asked.number, epoch=1, accuracy=accuracy)
            study.complete(asked.number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, images: Images) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    searched(folder, trials=24)
    return folder


@pytest.fixture(scope="module")
def advice(folder: Path) -> Advice:
    return advise(folder)


def best(folder: Path, count: int) -> tuple[TrialRecord, ...]:
    return read_history("smoke", storage=storage_url(folder, None)).top(count)


def printed(advice: Advice) -> str:
    file = StringIO()
    Console(file=file, width=140).print(advice_text(advice))
    return file.getvalue()


def kind_of(space: Space, name: str) -> Kind:
    return next(parameter.kind for parameter in space.parameters if parameter.name == name)


def test_the_study_remembers_its_space(folder: Path) -> None:
    space, smoke = studied_space(read_history("smoke", storage=storage_url(folder, None))), load("smoke")
    assert space == replace(smoke, source=space.source, baselines=())
    assert space.fingerprint == smoke.fingerprint


def test_where_the_best_crowd_the_range_is_widened_and_the_file_says_why(advice: Advice) -> None:
    first = advice.crowded[0]
    assert (advice.complete, first.best, first.name, first.side) == (24, 6, "recipe.learning_rate", "high")
    assert kind_of(load(advice.file), "recipe.learning_rate").describe() == "0.5 .. 128.0, log"
    text = Path(advice.file).read_text()
    comment = " ".join(text[: text.index("  learning_rate: {float")].splitlines()[-3:]).replace("  # ", "")
    assert "0.5 .. 8.0, log -> 0.5 .. 128.0, log" in comment
    assert f"{first.at_end} of the best 6 lie at the high end, by chance 0.6 (p = {first.p:.2g} by Holm)" in comment


def test_the_next_space_keeps_the_rest_and_begins_with_the_best_trial(advice: Advice, folder: Path) -> None:
    wider, smoke = load(advice.file), load("smoke")
    assert (wider.description, wider.length, wider.limits) == (smoke.description, smoke.length, smoke.limits)
    (baseline,), (trial,) = wider.baselines, best(folder, 1)
    assert (baseline.name, baseline.values) == (f"smoke-{trial.number}", trial.values)
    assert from_values(wider.sample(Random(0)))


def test_a_terminal_and_a_program_are_told_the_same(advice: Advice) -> None:
    data, shown = json.loads(json.dumps(asdict(advice), allow_nan=False)), " ".join(printed(advice).split())
    assert (data["importances"][0]["name"], data["importances"][0]["verdict"]) == ("recipe.learning_rate", "matters")
    assert {row["name"] for row in data["importances"]} >= {"recipe.translate", "architecture.activation"}
    change = data["changes"]["recipe.learning_rate"]
    assert f"recipe.learning_rate: {change}" in shown
    assert f"--space {advice.file} --study smoke-next --carry-over smoke --runs " in shown
    assert shown.endswith(" ".join(data["command"]))


def test_with_few_trials_it_says_how_many_it_takes(tmp_path: Path) -> None:
    searched(tmp_path, trials=3)
    early = advise(tmp_path, output=tmp_path / "mine" / "wider.yaml")
    assert (early.crowded, early.importances, early.changes) == ((), (), {})
    assert "3 complete trials; too early to change a parameter, that takes 20" in printed(early)
    assert "too early" in Path(early.file).read_text()
    assert load(early.file).fingerprint == load("smoke").fingerprint
    assert len(load(early.file).baselines) == 1


def test_a_file_of_somebody_else_is_kept(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "next.yaml"
    mine.write_text("# my own\n")
    with pytest.raises(StudyError, match=r"is there already .* another with --output"):
        advise(folder, output=mine)
    assert mine.read_text() == "# my own\n"
    with pytest.raises(StorageError, match=r"cannot write .*--output"):
        advise(folder, output=mine / "next.yaml")


def idle(name: str) -> Importance:
    return Importance(name, 40, 0.01, 0.02, 0.05, "never mattered")


def crowd(name: str, side: Side = "high") -> BoundaryTest:
    return BoundaryTest(name=name, side=side, at_end=8, best=8, expected=0.8, p=1e-7)


def test_what_never_mattered_is_fixed_at_the_best_trials_value(folder: Path) -> None:
    trials = best(folder, 32)
    rows = [idle("recipe.translate"), replace(idle("architecture.width.1"), verdict="cannot be told")]
    space, changes = next_space(load("smoke"), trials, crowded=(), importances=rows)
    assert kind_of(space, "recipe.translate") == Fixed(trials[0].values["recipe.translate"])
    assert list(changes) == ["recipe.translate"]
    assert "in 40 trials: importance 0.01, by chance 0.02 to 0.05" in changes["recipe.translate"]


def test_both_ends_may_move_and_what_is_crowded_is_not_fixed() -> None:
    name = "recipe.learning_rate"
    space, changes = next_space(load("smoke"), (), crowded=[crowd(name), crowd(name, "low")], importances=[idle(name)])
    assert kind_of(space, name).describe() == "0.001953125 .. 128.0, log"
    assert changes[name].count("of the best 8 lie at the") == 2


@pytest.mark.parametrize(
    ("name", "side", "reason"),
    [
        ("architecture.stages", "high", "other parameters depend on it"),
        ("recipe.translate", "low", "its field or its list ends there"),
        ("recipe.rotation", "low", "its field or its list ends there"),
    ],
)
def test_a_bound_that_cannot_move_says_why(name: str, side: Side, reason: str) -> None:
    cnn = load("cnn")
    space, changes = next_space(cnn, (), crowded=[crowd(name, side)], importances=())
    assert space == cnn
    assert changes[name].startswith("stays ")
    assert reason in changes[name]


def test_a_conditional_parameter_is_fixed_as_a_choice_of_one(folder: Path, tmp_path: Path) -> None:
    smoke, (trial,) = load("smoke"), best(folder, 1)
    policy = Parameter("recipe.policy", Choice(("none", "randaugment")), {"recipe.flip": ("random",)})
    space = replace(smoke, parameters=(*smoke.parameters, Parameter("recipe.flip", Choice(("none", "random"))), policy))
    trials = [replace(trial, values={**trial.values, "recipe.flip": "random", "recipe.policy": "none"})]
    fixed, changes = next_space(space, trials, crowded=(), importances=[idle("recipe.policy"), idle("recipe.flip")])
    assert kind_of(fixed, "recipe.policy") == Choice(("none",))
    assert "recipe.flip" in changes
    assert kind_of(fixed, "recipe.flip") == Choice(("none", "random"))  # the policy depends on it


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_search_advise_and_search_on(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The real program, whose slots train nothing."""
    place.completed(place.start("--sampler", "random", trials=6, STUB_PACE="0"), trials=6)
    cli.app(["spaces", "advise", "--runs", str(place.runs)], standalone_mode=False)
    assert "too early" in capsys.readouterr().out
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
