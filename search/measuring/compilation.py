"""When compiling a network pays."""

from dataclasses import dataclass

from search.candidate import Candidate
from search.data.store import Store
from search.measuring.throughput import endless, in_turns, speed, training_step
from search.training.compiling import Mode, compiled
from search.training.precision import Precision


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """What compiling one network costs and gives, in training."""

    mode: Mode
    seconds: float  # the first step, less a usual one; evaluation compiles a second, smaller time
    images_per_second: float
    plain_images_per_second: float
    pays_after: float | None  # images until the time spent is won back; None if it never is


def measure(candidate: Candidate, *, store: Store, precision: Precision, mode: Mode) -> Compilation:
    """Compile the candidate's network, with nothing kept from before, and train it in turns with and without."""
    from torch._inductor.utils import fresh_cache  # takes a second, and is needed only here

    other, training = (endless(candidate, store=store, precision=precision) for _ in range(2))
    plain_step, step = training_step(other), training_step(training)
    speed(plain_step, device=store.device)  # the first step of a process pays for more than compiling
    with fresh_cache():
        compiled(training.network, mode)
        first = speed(step, device=store.device, seconds=0)  # of a single step
        plain, fast = in_turns(plain_step, step, device=store.device)
    seconds = training.batch_size / first - training.batch_size / plain
    speeds = {"images_per_second": fast, "plain_images_per_second": plain}
    return Compilation(mode=mode, seconds=seconds, pays_after=pays_after(seconds, plain=plain, compiled=fast), **speeds)


def pays_after(seconds: float, *, plain: float, compiled: float) -> float | None:
    """Images until so many seconds are won back, by both speeds in images per second; None if they never are."""
    saved = 1 / plain - 1 / compiled
    return max(0.0, seconds) / saved if saved > 0 else None
