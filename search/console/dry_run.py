"""What a search would take, in lines."""

from __future__ import annotations

from search.searching.dry_run import DryRun
from search.text import duration


def lines(found: DryRun) -> list[str]:
    """The forecast of a search that was not begun."""
    done = f", {found.finished} of {found.planned} are finished" if found.finished else ""
    slots = f"{found.slots} slot{'s' * (found.slots > 1)}"
    pruned = (
        "" if found.share_of_epochs == 1 else f", of which pruning leaves about {100 * found.share_of_epochs:.0f} %"
    )
    return [
        f"{found.machine}; {found.data}",
        f"study {found.study} in {found.storage}: {found.epochs} epochs a trial on {found.images:,} images{done}",
        *found.measured,
        *(f"note: {note}" for note in found.notes),
        f"speed: {found.images_per_second:,.0f} images/s on {slots} together",
        f"epochs: {found.remaining * found.epochs:,} in {found.remaining} trials{pruned}",
        f"time: about {duration(found.seconds)} for {found.remaining} trials, "
        f"then up to about {duration(found.retraining_seconds)} for `cifar-search best --retrain`",
        f"disk: up to {found.checkpoints_mb:,.1f} MB of final checkpoints, {found.database_mb:,.1f} MB of the database",
        "nothing was trained or kept; leave --dry-run out to begin",
    ]
