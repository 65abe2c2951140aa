"""The time that a person has, an hour of two cores or ten minutes of a large GPU, divided between search and decision.

Little time is better spent on training than on searching: of the hour the search gets a fifth (see
studies/results/LOG.md, 13). Whoever has more gives more, by --minutes of either command.
"""

from search.planning.decision_plan import CONFIRMING, RETRAINED_SHARE
from search.planning.forecast import Forecast
from search.text import plural
from studies.history import History

SEARCH, DECISION = {"cpu": 12.0, "cuda": 3.0}, {"cpu": 48.0, "cuda": 7.0}  # minutes, by the kind of machine
FEWEST = 10  # trials, before anything is said of the length of a search
EXPONENT = 0.2  # errors fall with the epochs to the minus this power (studies/results/LOG.md, 13)


def final_epochs(forecast: Forecast, *, kind: str, most: int) -> int:
    """Epochs of the final training that the usual time of a decision allows the space's first known recipe."""
    epoch = forecast.epoch_seconds(forecast.flops, slots=1) * RETRAINED_SHARE
    return min(most, max(1, int((1 - CONFIRMING) * 60 * DECISION[kind] / epoch)))


def outlook(epochs: int, *, kind: str, most: int) -> str:
    """What a search leaves for the decision, and what more time would buy; nothing where the longest training fits."""
    if epochs == most:
        return ""
    minutes = DECISION[kind]
    fewer = 1 - (1 + 60 / minutes) ** -EXPONENT
    return (
        f"`best --retrain` then takes {minutes:g} minutes, the final training some {plural(epochs, 'epoch')} of it; "
        f"an hour more for it would mean about {100 * fewer:.0f} % fewer errors"
    )


def hindsight(history: History) -> str:
    """Whether the search should have been shorter or longer; nothing where its trials do not tell."""
    ended, best = [trial for trial in history.trials if trial.state in ("complete", "pruned")], history.best
    if best is None or len(ended) < FEWEST:
        return ""
    if best.baseline:
        return f"no draw was better than {best.baseline}, which is known: a shorter search leaves training more time"
    place = sum(trial.number <= best.number for trial in ended) / len(ended)
    if place <= 1 / 2:
        return f"nothing better came after trial {best.number}: half of the search would have found it too"
    late = f"the best came late, as trial {best.number}: a longer search may find a better one"
    return late if place > 4 / 5 else ""
