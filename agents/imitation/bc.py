"""Behavioural cloning: supervised learning of the expert's actions (Pomerleau 1991), by imitation's BC."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import minari
import numpy as np
import numpy.typing as npt
import torch

from agents.imitation import cloning
from agents.imitation.cloning import Cloning, Fitting, new_clone
from agents.policies.networks import BoundedPolicy, set_weights, weights_of
from agents.saving.storage import check_target, read_weights, save_agent, spaces_of
from agents.training.demonstrations import Transitions, feature_indices, transitions
from agents.training.provenance import training_of
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.settings import at_least, check_seed, read_settings
from agents.training.symmetry import symmetry_of
from demos.datasets.statistics import statistics

MAX_MEMBERS = 32


@dataclass(frozen=True)
class Settings(cloning.Settings):
    """Settings of behavioural cloning; those of each environment are in ``configs/bc.yaml``.

    Attributes:
        held_out: Share of the episodes that is not learned from, but tells when to stop.
        patience: Epochs without improvement on these after which the training stops; the best weights are kept.
            0 trains all epochs and keeps the last.
        members: Policies that are trained, each with weights and an order of its own; their mean acts.
    """

    held_out: float
    patience: int
    members: int

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, members=self.members)
        at_least(0, patience=self.patience, held_out=self.held_out)
        if not self.held_out < 1.0:
            raise ValueError(f"held_out is {self.held_out}; expected a share below 1")
        if self.members > MAX_MEMBERS:
            raise ValueError(f"members is {self.members}; expected at most {MAX_MEMBERS}")
        if (self.patience > 0) != (self.held_out > 0.0):
            raise ValueError(
                f"held_out is {self.held_out} and patience {self.patience}; early stopping needs both above 0"
            )


class BehaviorCloning:
    """Behavioural cloning: supervised learning of the demonstrated actions.

    **Idea.** Every step of a demonstration is an example: seen this, the expert did that. A network is fitted to all
    of them, as in any regression. Nothing is tried out, so it learns in a minute and never breaks anything. It knows
    only states that the expert came to: its own errors lead it to others, where they grow. More demonstrations, or
    disturbed ones (`demos collect --quality noisy`), are the remedy.

    **Equation.** The policy is a Gaussian around the network's output, of discrete actions a categorical
    distribution; minimised is the mean of -log p(a | s) over the demonstrations, minus `entropy_weight` times the
    entropy, plus `l2_weight` / 2 times the square of all weights.

    **Paper.** Pomerleau 1991, Efficient Training of Artificial Neural Networks for Autonomous Navigation. The
    optimisation is imitation's `BC`.

    **What we do differently.** Observations are standardised by the demonstrations' mean and spread, which are saved
    with the weights. The mean action is squashed into the action space by tanh, as SAC does, so that SAC and PPO of
    Stable-Baselines3 go on from a clone (`agents.rl.finetuning`). The learning rate falls along half a cosine.
    Batches are drawn from a generator of our own, so that a seed gives the same weights. `held_out` and `patience`
    stop the training when whole episodes that it does not learn from are explained no better. `mirror` and `turn`
    make more of the demonstrations where the task looks alike from other sides, as pushing does; features that are
    `ignored`
    cannot mislead it where demonstrations are few. Pushing ignores the tool's lag and speed too: they tell what was
    just done, and a clone would do it again for that reason alone (de Haan et al. 2019, Causal Confusion in Imitation
    Learning). Several `members` act by their mean, and `uncertainty` says how far they disagree.

    **When not to use it.** Where demonstrations are few and errors do not heal, where experts do different things in
    the same state (their mean may be neither), or where an environment to practise in is at hand.

    The budget of :meth:`learn` is in epochs.

    Args:
        env: Gives the spaces.
        settings: Fields of :class:`Settings` that differ from ``configs/bc.yaml``.

    Raises:
        ValueError: An unknown setting, or a value out of range.

    Attributes:
        policies: Policies of Stable-Baselines3, one a member.
        training: What it learned from, and how; None before.
    """

    name = "bc"
    version = 1
    settings_type = Settings
    check_target = staticmethod(check_target)
    """Says before the training whether its result could be saved."""

    def __init__(self, env: gym.Env[Any, Any], **settings: Any) -> None:
        self.observation_space = env.observation_space
        self.action_space = env.action_space
        self.settings = read_settings(self.name, Settings, settings, env)
        self.training: dict[str, Any] | None = None
        with isolated_rng(0):
            self.policies = [self._new_policy() for _ in range(self.settings.members)]

    @property
    def policy(self) -> BoundedPolicy:
        """The first member."""
        return self.policies[0]

    def _new_policy(self) -> BoundedPolicy:
        settings = self.settings
        return new_clone(self.observation_space, self.action_space, settings.hidden_sizes, squash=settings.squash)

    def learn(
        self,
        demonstrations: minari.MinariDataset,
        env: gym.Env[Any, Any],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Fits the policy to the transitions of the demonstrations.

        Args:
            demonstrations: With this agent's spaces.
            env: Not stepped: cloning needs no environment.
            seed: Of the first weights and the order of batches.
            budget: Epochs; by default the setting.
            progress: Show a bar.
            run: Keeps checkpoints and shows the success as it goes; by default nothing is kept.

        Raises:
            ValueError: The demonstrations have other spaces, or too few transitions for a batch; or a budget below 1
                or a negative seed.
        """
        epochs = self.settings.epochs if budget is None else budget
        check_seed(seed)
        if epochs < 1:
            raise ValueError(f"the budget is {epochs} epochs; expected at least 1")
        run = run or Run(progress=progress)
        self.training = run.identity = training_of(
            self.name, asdict(self.settings), env, demonstrations, seed=seed, budget=budget
        )
        learned, held_out = self._divided(demonstrations, seed)
        found = statistics(demonstrations) if self.settings.standardize else None
        ignored = feature_indices(self.settings.ignored, env)
        symmetry = symmetry_of(env, mirror=self.settings.mirror, turn=self.settings.turn)
        total = epochs * self.settings.members
        with run.showing(self.name, total, "epochs"):
            kept = run.restored() or {"finished": [], "member": None}
            finished: list[dict[str, torch.Tensor]] = list(kept["finished"])
            for policy, weights in zip(self.policies, finished, strict=False):
                policy.load_state_dict(weights)
            member = kept["member"]
            for number in range(len(finished), self.settings.members):
                own_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
                with isolated_rng(own_seed):
                    training = Cloning(
                        self._new_policy(),
                        learned,
                        self._fitting(epochs),
                        seed=own_seed,
                        found=found,
                        ignored=ignored,
                        held_out=held_out,
                        symmetry=symmetry,
                        device=run.device,
                    )
                    if member is not None:
                        training.restore(member)
                        member = None
                    while not training.is_done:
                        training.epoch()
                        done = number * epochs + training.done
                        run.show(done, **training.losses)
                        self.policies[number] = training.policy
                        run.judge(training.policy, env, done)
                        run.keep(lambda: {"finished": finished, "member": training.state()})  # noqa: B023
                    self.policies[number] = training.result()
                finished.append(self.policies[number].state_dict())
            run.show(total)

    def _fitting(self, epochs: int) -> Fitting:
        settings = self.settings
        return Fitting(
            epochs=epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            entropy_weight=settings.entropy_weight,
            l2_weight=settings.l2_weight,
            patience=settings.patience,
        )

    def _divided(self, demonstrations: minari.MinariDataset, seed: int) -> tuple[Transitions, Transitions | None]:
        """Reads all transitions; some episodes apart, if the setting asks for that."""
        indices = [int(index) for index in demonstrations.episode_indices]
        apart = round(self.settings.held_out * len(indices))
        if self.settings.held_out and not 1 <= apart < len(indices):
            raise ValueError(
                f"{self.settings.held_out:g} of the {len(indices)} episodes of {demonstrations.id} are to be held "
                f"out, which is {apart}; collect more, or set held_out=0 and patience=0"
            )
        order = np.random.default_rng([seed, 1]).permutation(indices).tolist()
        spaces = (self.observation_space, self.action_space)
        learned = transitions(demonstrations, *spaces, sorted(order[apart:]))
        if len(learned) < self.settings.batch_size:
            raise ValueError(
                f"dataset {demonstrations.id} has {len(learned)} transitions to learn from, fewer than a batch of "
                f"{self.settings.batch_size}: collect more, or set batch_size"
            )
        return learned, transitions(demonstrations, *spaces, sorted(order[:apart])) if apart else None

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[npt.NDArray[Any], Any]:
        """Acts as Stable-Baselines3's ``predict`` does; several members act by the mean, or vote.

        Without ``deterministic`` the first member draws.
        """
        if len(self.policies) == 1 or not deterministic:
            action, _ = self.policy.predict(observation, state, episode_start, deterministic)
            return action, state
        actions = np.stack([policy.predict(observation, deterministic=True)[0] for policy in self.policies])
        if isinstance(self.action_space, gym.spaces.Box):
            mean: npt.NDArray[Any] = actions.mean(axis=0, dtype=np.float64).astype(self.action_space.dtype)
            return mean, state
        votes = np.array([np.bincount(column).argmax() for column in actions.reshape(len(actions), -1).T])
        return votes.reshape(actions.shape[1:]).astype(actions.dtype), state

    def uncertainty(self, observation: Any) -> npt.NDArray[np.float64]:
        """Tells how far the members disagree (Lakshminarayanan et al. 2017): far from what was shown, much.

        Args:
            observation: One, or a batch of them.

        Returns:
            The standard deviation of the members' actions, averaged over the action's numbers; of discrete actions
            the share of members that are outvoted. Shape () of one observation, else (N,).

        Raises:
            ValueError: There is only one member.
        """
        if len(self.policies) < 2:
            raise ValueError("a single policy cannot disagree with itself; train with members=2 or more")
        actions = np.stack([policy.predict(observation, deterministic=True)[0] for policy in self.policies])
        if isinstance(self.action_space, gym.spaces.Box):
            spread: npt.NDArray[np.float64] = actions.astype(np.float64).std(axis=0).mean(axis=-1)
            return spread
        chosen = self.predict(observation, deterministic=True)[0]
        outvoted: npt.NDArray[np.float64] = (actions != chosen).mean(axis=0)
        return outvoted

    def save(self, directory: str | Path) -> Path:
        """Writes ``agent.json`` and ``weights.safetensors``; returns the folder."""
        weights = {
            f"{number}.{name}": value
            for number, policy in enumerate(self.policies)
            for name, value in weights_of(policy).items()
        }
        spaces = spaces_of(self.observation_space, self.action_space)
        return save_agent(directory, self.name, asdict(self.settings), spaces, weights, self.training)

    @classmethod
    def load(cls, directory: str | Path, env: gym.Env[Any, Any]) -> BehaviorCloning:
        """Reads what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no saved agent.
            ValueError: The files are damaged, or the environment has other spaces.
        """
        description, weights = read_weights(directory, cls.name, spaces_of(env.observation_space, env.action_space))
        agent = cls(env, **description["settings"])
        agent.training = description.get("training")
        prefixes = tuple(f"{number}." for number in range(len(agent.policies)))
        unknown = sorted(name for name in weights if not name.startswith(prefixes))
        if unknown:
            raise ValueError(f"the weights in {directory} do not fit their description: unknown {', '.join(unknown)}")
        for number, policy in enumerate(agent.policies):
            prefix = f"{number}."
            own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            try:
                set_weights(policy, own)
            except ValueError as error:
                raise ValueError(f"the weights in {directory} do not fit their description: {error}") from error
        return agent
