"""What a search would take, in lines."""

from __future__ import annotations

from search.searching.dry_run import DryRun
from search.text import duration, plural


def lines(forecast: DryRun) -> list[str]:
    """The forecast of a search that was not begun."""
    done = f", {forecast.finished} of {forecast.planned} are finished" if forecast.finished else ""
    share, trials = forecast.share_of_epochs, plural(forecast.remaining, "trial")
    pruned = "" if share == 1 else f", of which pruning leaves about {100 * share:.0f} %"
    trial = f"{forecast.epochs} epochs a trial on {forecast.images:,} images"
    return [
        f"{forecast.machine}; {forecast.data}",
        f"study {forecast.study} in {forecast.storage}: {trial}{done}",
        *forecast.measured,
        *(f"note: {note}" for note in forecast.notes),
        f"speed: {forecast.images_per_second:,.0f} images/s on {plural(forecast.slots, 'slot')} together",
        f"epochs: {forecast.remaining * forecast.epochs:,} in {trials}{pruned}",
        f"time: about {duration(forecast.seconds)} for {trials}, "
        f"then up to about {duration(forecast.retraining_seconds)} for `cifar-search best --retrain`",
        f"disk: up to {forecast.checkpoints_mb:,.1f} MB of final checkpoints, "
        f"{forecast.database_mb:,.1f} MB of the database",
        "nothing was trained or kept; leave --dry-run out to begin",
    ]
