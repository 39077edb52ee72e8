"""Held-out check of an adaptation: success before and after it, where the agent is used and where it was trained."""

from __future__ import annotations

from dataclasses import dataclass

from agents.evaluation.evaluation import evaluate
from agents.training.run import FIRST_SEED
from agents.types import Env, JsonObject
from demos.collection.recording import Policy
from demos.runtime.intervals import wilson_interval

CHECK_SEEDS = FIRST_SEED + 2**28
"""First seed of the check: no result, training or periodic evaluation uses these seeds."""


@dataclass(frozen=True)
class Successes:
    """Successful episodes of an agent.

    Attributes:
        changed: Number in the environment where the agent is used.
        home: Number in the environment where it was trained.
        episodes: Number of episodes in each environment.
    """

    changed: int
    home: int
    episodes: int

    def format_rate(self, count: int) -> str:
        """Return a number of successes as a rate with its 95% Wilson interval."""
        low, high = wilson_interval(count, self.episodes)
        return f"{count / self.episodes:.3f} [{low:.3f}, {high:.3f}]"


@dataclass(frozen=True)
class Check:
    """Check of an adaptation.

    Attributes:
        before: Successes of the agent as it was.
        after: Successes of the adapted agent, on the same seeds.
        max_home_loss: Largest accepted loss of success where the agent was trained.
    """

    before: Successes
    after: Successes
    max_home_loss: float

    @property
    def is_better(self) -> bool:
        """True if more episodes succeed where the agent is used, and hardly fewer where it was trained."""
        lost = (self.before.home - self.after.home) / self.before.episodes
        # A rounding error may lift a difference of rates above a bound that it equals.
        return self.after.changed > self.before.changed and lost <= self.max_home_loss + 1e-9

    def as_json(self) -> JsonObject:
        """Return the check as plain data."""
        return {
            "episodes": self.before.episodes,
            **{
                name: {"changed": each.changed, "home": each.home}
                for name, each in (("before", self.before), ("after", self.after))
            },
            "max_home_loss": self.max_home_loss,
        }


def successes(agent: Policy, env: Env, home: Env, episodes: int, *, progress: bool) -> Successes:
    """Return the successes of an agent on the seeds of the check.

    Args:
        agent: Agent to check.
        env: Environment in which it is used.
        home: Environment in which it was trained.
        episodes: Episodes in each environment.
        progress: Show progress bars.
    """
    seeds = range(CHECK_SEEDS, CHECK_SEEDS + episodes)
    changed, trained = (evaluate(agent, each, seeds=seeds, progress=progress).successes for each in (env, home))
    return Successes(changed, trained, episodes)
