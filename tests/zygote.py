"""Starts the real command line again and again without importing torch each time: each start is a fork of this process.

Reads a JSON list of arguments, the environment, the files of output and errors, and the ignored signals from a line of
standard input; prints the process id, and at the line "wait PID" its exit code. Slots run `stub.work`, or what
SLOT_WORK names.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from functools import partial
from random import Random
from tempfile import TemporaryDirectory

import stub
from small_networks import CIFAR10

import search.cli.entry
import search.console.watch
from search.data import synthetic
from search.planning import catalogue, feasibility, forecast
from search.searching import dispatcher, supervisor
from search.slots import slot_state
from studies.storage import opened


def main() -> None:
    smoke = catalogue.load("smoke")
    feasibility.examine(smoke, smoke.sample(Random(0)), images=CIFAR10)  # the first time takes seconds
    with TemporaryDirectory() as folder, opened(f"sqlite:///{folder}/studies.db"):
        pass  # Optuna, SQLAlchemy and Alembic load most of themselves at the first use
    forecast.MEAN_DRAWS = 4  # for a forecast that is of no use here
    images = synthetic.training()
    synthetic.training = lambda: images
    for line in sys.stdin:
        if line.startswith("wait "):
            _, status = os.waitpid(int(line.split()[1]), 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        arguments, environment, files, ignored = json.loads(line)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, signal.SIG_IGN if number in ignored else usual)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in enumerate(files, start=1):
            os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
        os.environ.update(environment)
        if encoding := environment.get("PYTHONIOENCODING"):
            sys.stdout.reconfigure(encoding=encoding)  # type: ignore[union-attr]
        stub.crash_at_named_point()
        if patience := environment.get("STUB_PATIENCE"):
            dispatcher.patience = lambda _: float(patience)
        if pause := environment.get("STUB_SUPERVISOR_PAUSE"):
            slot_state.SUPERVISOR_PAUSE = float(pause)
        supervisor.run = partial(supervisor.run, work=environment.get("SLOT_WORK", "stub:work"))  # type: ignore[assignment]
        sys.argv = ["cifar-search", *arguments]
        try:
            search.cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
