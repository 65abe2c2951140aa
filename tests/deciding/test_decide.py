"""From a searched study to a report, on real trainings of generated images."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from reports import opened
from safetensors.torch import load
from small_networks import CIFAR10

from search.data import split, synthetic
from search.deciding import testing
from search.deciding.calibration import calibrate
from search.deciding.choice import Chosen
from search.deciding.decide import DecisionStep, Planned, Report
from search.deciding.request import Claim, Decision
from search.deciding.testing import RetrainedWeights, keep_test, kept_test
from search.deciding.trainings import TrainedEpoch
from search.errors import DataError
from search.reporting import report as writing
from search.reporting.report import Reported, report_decision
from search.searching.request import Search
from search.searching.supervisor import run
from search.slots.machine import survey
from search.training.evaluate import SIX_VIEWS, answering
from studies.history import read_history
from studies.ledger import Opening, openings
from studies.storage import storage_url

Steps = list[DecisionStep | Reported]
PHASES = ("search", "confirmation", "retraining")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one searched study."""
    folder = tmp_path_factory.mktemp("runs") / os.fsdecode(b"caf\xe9")  # as an old disk may call it
    for _ in run(Search(trials=4, space="smoke", data="synthetic", folder=folder, device="cpu", pruner="none")):
        pass
    (folder / "smoke" / "split.npz").unlink()  # as where the database alone was copied
    return folder


@pytest.fixture(scope="module")
def steps(runs: Path) -> Steps:
    return list(report_decision(ask(runs)))


def reported(steps: Steps) -> Report:
    assert isinstance(steps[-1], Reported)
    return steps[-1].report


def ledger(runs: Path) -> tuple[Opening, ...]:
    """The openings of the generated test images."""
    return openings(storage_url(runs, None), test=synthetic.test().fingerprint, training="")


def ask(runs: Path, **changes: Any) -> Decision:
    claims = (Claim("Detectocorp", 0.11), Claim("Wonderware", 0.999))
    return Decision(**{"claims": claims, "folder": runs, "data": "synthetic", "device": "cpu", "seeds": 1, **changes})


@pytest.mark.usefixtures("steps")
def test_the_report_rests_on_the_test_images_and_the_claims(runs: Path) -> None:
    report = json.loads((runs / "smoke" / "report" / "report.json").read_text())

    assert report["test"]["n"] == len(synthetic.test())
    assert report["test"]["interval"][0] < report["test"]["accuracy"] < report["test"]["interval"][1]
    assert {claim["name"]: claim["verdict"] for claim in report["claims"]} == {
        "Detectocorp": "build",
        "Wonderware": "buy",
    }
    assert report["verdict"] == "buy"  # one vendor is better
    assert report["test_openings"] == len(ledger(runs))


def test_the_choice_comes_before_the_opening_and_by_fresh_seeds(steps: Steps, runs: Path) -> None:
    (chosen,) = (step for step in steps if isinstance(step, Chosen))
    report = reported(steps)

    assert report.choice is chosen
    seeds = {phase: {row.seed for row in report.history if row.phase == phase} for phase in PHASES}
    assert seeds["search"] == {trial.seed for trial in read_history("smoke", storage=storage_url(runs, None)).trials}
    assert not seeds["retraining"] & seeds["confirmation"]
    assert not (seeds["retraining"] | seeds["confirmation"]) & seeds["search"]


def test_the_history_has_every_epoch_of_every_training(steps: Steps) -> None:
    plan = next(step.plan for step in steps if isinstance(step, Planned))
    report = reported(steps)
    final = next(plan.final_epochs(row) for row in plan.trials if row.number == report.choice.winner.trial)

    assert Counter(row.phase for row in report.history) == {
        "search": 4 * 2,
        "confirmation": len(plan.trials) * plan.confirm_seeds * plan.confirm_epochs,
        "retraining": final,
    }
    assert {row.result.validation_accuracy for row in report.history if row.phase == "retraining"} == {None}
    lengths = f"2 a trial, {plan.confirm_epochs} a confirmation, {final} the retraining"
    assert report.provenance["epochs"] == lengths


def test_the_ensemble_is_the_mean_of_all_networks_that_were_paid_for(steps: Steps, runs: Path) -> None:
    test, folder, images = reported(steps).test, runs / "smoke", synthetic.test()
    patterns = "report/weights-*.safetensors", "retraining/confirmed-*.safetensors"
    paths = [path for pattern in patterns for path in folder.glob(pattern)]
    precision = survey("cpu", slots=1).precision
    answers = [answering(path, images=images, precision=precision)(views=SIX_VIEWS).softmax(1) for path in paths]
    right = int((torch.stack(answers).mean(0).argmax(1) == images.labels).sum())
    assert (test.members, test.correct_of_ensemble) == (len(paths), right)
    assert test.members > len(test.seeds)
    assert test.accuracy_of_ensemble == right / test.n


@pytest.mark.usefixtures("steps")
def test_the_weights_describe_themselves_and_give_the_reported_accuracy(runs: Path) -> None:
    from search.candidate import FAMILIES
    from search.data.store import normalise
    from search.networks.build import build
    from search.training.evaluate import logits

    folder = runs / "smoke" / "report"
    report = json.loads((folder / "report.json").read_text())
    about = json.loads((folder / "weights-1.json").read_text())
    family = about["architecture"].pop("family")
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in about["architecture"].items()}
    network = build(FAMILIES[family](**fields), images=CIFAR10, seed=1).eval()
    network.load_state_dict(load((folder / "weights-1.safetensors").read_bytes()))

    images = synthetic.test()
    mean, std = torch.tensor(about["mean"]), torch.tensor(about["std"])
    with torch.no_grad():
        answers = network(normalise(images.pixels, mean, std)).argmax(1)
    of_views = logits(network, images, mean=mean, std=std, precision="float32", views=SIX_VIEWS).argmax(1)

    accuracy = float((answers == images.labels).double().mean())
    assert accuracy == pytest.approx(report["test"]["accuracy"], abs=0.01)  # bfloat16 may flip a border case
    with_views = float((of_views == images.labels).double().mean())
    assert with_views == pytest.approx(report["test_accuracy_with_views"], abs=0.01)


def test_the_calibration_is_of_the_confirmed_weights_and_stands_beside_both(steps: Steps, runs: Path) -> None:
    winner, retraining = reported(steps).choice.winner, runs / "smoke" / "retraining"
    confirmed = [retraining / f"confirmed-{winner.trial}-{seed + 1}.json" for seed in range(len(winner.accuracies))]
    about = [json.loads(path.read_text()) for path in (*confirmed, runs / "smoke" / "report" / "weights-1.json")]
    images = synthetic.training().take(torch.from_numpy(split.load(runs / "smoke" / "split.npz").validation))
    precision = survey("cpu", slots=1).precision
    files = [path.with_suffix(".safetensors") for path in confirmed]
    answers = torch.cat([answering(path, images=images, precision=precision)() for path in files])
    again = calibrate(answers, images.labels.repeat(len(files)))

    assert [row["calibration"] for row in about] == [asdict(again)] * len(about)
    assert about[0]["seed"] != about[-1]["seed"]


def test_a_second_opening_is_counted_and_shown(runs: Path, steps: Steps) -> None:
    again = list(report_decision(ask(runs, candidates=1, confirm_seeds=1, epochs=1)))

    first, second = (next(step for step in each if isinstance(step, Planned)) for each in (steps, again))
    report = json.loads((runs / "smoke" / "report" / "report.json").read_text())
    assert [opening.by for opening in second.openings] == ["study smoke"]
    assert ["was missing, and is made again" in str(each.notes) for each in (first, second)] == [True, False]
    assert report["test_openings"] == 2
    assert "opened 2 times" in (runs / "smoke" / "report" / "report.md").read_text()


@pytest.mark.fault(
    "a decision dies between the opening of the test set and its report",
    then="the next one trains nothing again, and says that the test set was opened before",
)
def test_an_opening_without_a_report_counts(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(runs, tmp_path / "runs")
    asked = ask(copy, candidates=1, confirm_seeds=1, epochs=2)
    before = ledger(copy)
    with monkeypatch.context() as patch:
        patch.setattr(testing, "open_test", MagicMock(side_effect=RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            list(report_decision(asked))
    for path in (copy / "smoke" / "retraining").glob("confirmed-*"):  # as an older version left it
        path.unlink()

    again = list(report_decision(asked))

    planned, report = next(step for step in again if isinstance(step, Planned)), reported(again)
    assert (len(planned.openings), len(report.openings)) == (len(before) + 1, len(before) + 2)
    assert planned.seconds == pytest.approx(0, abs=1e-6)  # of training, that is left
    assert not any(isinstance(step, TrainedEpoch) for step in again)
    assert Counter(row.phase for row in report.history) == {"search": 4 * 2, "confirmation": 1, "retraining": 2}
    assert report.seconds >= sum(row.result.seconds for row in report.history if row.phase != "search") / 4
    left = {path.stem for path in (copy / "smoke" / "retraining").iterdir()}  # it is reported
    assert f"confirmed-{report.choice.winner.trial}-1" in left
    assert all(name.startswith("confirmed-") for name in left)


@pytest.mark.fault(
    "a decision dies between the answers to the test images and its report",
    then="the next one rests on those answers: the test set is opened once",
)
@pytest.mark.parametrize("dies_in", ["write_report", "publish"])
def test_what_the_test_found_is_kept_before_it_is_reported(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    copy = shutil.copytree(runs, tmp_path / "runs")
    asked = ask(copy, candidates=1, confirm_seeds=1, epochs=2)
    before = ledger(copy)
    with monkeypatch.context() as patch:
        patch.setattr(writing, dies_in, MagicMock(side_effect=RuntimeError("killed")))
        with pytest.raises(RuntimeError, match="killed"):
            list(report_decision(asked))
    answers = json.loads((copy / "smoke/retraining/tested.json").read_text())["answers"]

    again = reported(list(report_decision(replace(asked, claims=(Claim("Detectocorp", 0.12),)))))

    assert len(again.openings) == len(before) + 1
    assert again.test.answers.tolist() == answers


def test_answers_are_kept_for_the_very_weights_that_gave_them(tmp_path: Path) -> None:
    path, weights = tmp_path / "tested.json", RetrainedWeights(path=tmp_path, seed=11, sha256="ab")
    assert kept_test(path, weights=[weights]) is None
    keep_test(opened(), path, weights=[weights])
    found = kept_test(path, weights=[weights])

    assert found is not None
    assert (found.per_class, found.accuracies) == (opened().per_class, opened().accuracies)
    assert kept_test(path, weights=[replace(weights, sha256="cd")]) is None
    for broken in (b"", b"[]", b"null", b"{}", b"\xff", path.read_bytes().replace(b"seeds", b"seed")):
        path.write_bytes(broken)
        assert kept_test(path, weights=[weights]) is None


def test_data_that_are_not_named_are_those_of_the_last_start(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIFAR_SEARCH_DATA", str(tmp_path / "nowhere"))
    planned = next(report_decision(ask(runs, data=None)))
    assert isinstance(planned, Planned)
    assert planned.data == "generated images (not CIFAR-10)"


def test_other_images_than_those_of_the_search_are_refused(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = synthetic.training(seed=5)
    monkeypatch.setattr(synthetic, "training", lambda: other)
    before = ledger(runs)

    with pytest.raises(DataError, match="other images"):
        list(report_decision(ask(runs)))

    assert ledger(runs) == before
