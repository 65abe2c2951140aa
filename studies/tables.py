"""Optuna's tables, as far as they are read or written without Optuna."""

from __future__ import annotations

import math

from sqlalchemy import DateTime, column, table

STUDIES = table("studies", column("study_id"), column("study_name"))
STUDY_ATTRIBUTES = table("study_user_attributes", column("study_id"), column("key"), column("value_json"))
TRIALS = table(
    "trials",
    column("trial_id"),
    column("number"),
    column("study_id"),
    column("state"),
    column("datetime_start", DateTime),  # UTC
    column("datetime_complete", DateTime),
)
PARAMETERS = table(
    "trial_params",
    column("param_id"),
    column("trial_id"),
    column("param_name"),
    column("param_value"),
    column("distribution_json"),
)
VALUES = table("trial_values", column("trial_id"), column("objective"), column("value"), column("value_type"))
ATTRIBUTES = table("trial_user_attributes", column("trial_id"), column("key"), column("value_json"))
SYSTEM_ATTRIBUTES = table("trial_system_attributes", column("trial_id"), column("key"), column("value_json"))
REPORTS = table(
    "trial_intermediate_values",
    column("trial_id"),
    column("step"),
    column("intermediate_value"),
    column("intermediate_value_type"),
)

_NOT_FINITE = {"NAN": math.nan, "INF_POS": math.inf, "INF_NEG": -math.inf}  # no SQL number, so Optuna names them


def number(value: float | None, kind: str) -> float:
    """A stored number with the name of its kind."""
    return _NOT_FINITE[kind] if value is None else value
