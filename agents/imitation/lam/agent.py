"""Agent ``lam``: one policy for several tasks, robots and instructions."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import minari
import torch

from agents.data.demonstrations import DemonstrationData, Demonstrations
from agents.data.spaces import spaces_of
from agents.imitation.lam.fitting import Fit, WorkerInput, new_schema, policy_in, prepare, run_worker
from agents.imitation.lam.interface import Interface
from agents.imitation.lam.object_training import epochs_of_estimator, with_objects
from agents.imitation.lam.policy import LamPolicy
from agents.imitation.lam.replay import REPLAY_SHARE
from agents.imitation.lam.saved_model import model_description, read_model
from agents.imitation.lam.settings import LamSettings
from agents.imitation.lam.sources import Source, read_sources
from agents.policies.networks import set_weights, weights_of
from agents.pretraining.initialization import initialize, load_encoder, record_encoder
from agents.pretraining.settings import ENCODER
from agents.spec import AgentSpec
from agents.training.loop import TrainingLoop
from agents.training.parallel import processes
from agents.training.policy_agent import PolicyAgent
from agents.training.provenance import changed_task, training_record, training_versions
from agents.training.randomness import isolated_rng
from agents.training.run import Run
from agents.training.saving.storage import save_agent
from agents.training.settings import check_budget, check_seed, read_settings
from agents.training.staged import StagedTraining
from agents.types import Env, JsonObject

REPLAYED = "replay of "
"""Beginning of the name of a group of sources that a model has learned from before."""


class Lam(PolicyAgent):
    """Large Action Model: entities of a scene as tokens, an instruction that points at them, chunks of actions.

    The weights do not depend on the task, the robot or the instruction. The agent is trained on datasets of several
    environments. It acts in each environment whose entities and features it knows, and sees the instruction if the
    environment was made with ``instruct=True``.

    Args:
        env: Environment of lam_envs with ``obs="state"`` or ``obs="pixels"``.
        settings: Settings that differ from the defaults.

    Raises:
        ValueError: An unknown setting, a value out of range, or an environment without named features.

    Attributes:
        policy: Network in the environment.
        controls: Names of the controls that it was trained with.
        training: Record of the training; None before.
    """

    spec: ClassVar[AgentSpec] = AgentSpec(
        "lam",
        version=2,
        settings=LamSettings,
        budget_unit="epochs",
        takes_run=True,
        takes_several_environments=True,
        takes_processes=True,
    )
    settings: LamSettings
    policy: LamPolicy

    def __init__(self, env: Env, **settings: Any) -> None:
        found = read_settings(self.spec.name, LamSettings, settings, env)
        self._interface = Interface.of(env, find_objects=found.find_objects)
        self.controls: tuple[str, ...] = (self._interface.control,)
        super().__init__(env, **settings)

    def new_policy(self) -> LamPolicy:
        """Return an untrained policy for the environment alone."""
        interface = self._interface
        make = self.settings.network_class
        schema = new_schema([interface.layout], self.settings).with_images([interface.images])
        if interface.estimated_objects is not None:
            schema = replace(schema, estimated_objects=interface.estimated_objects.keys)
        network = make(schema, [interface.robot], interface.action_size, self.settings.sizes)
        return policy_in(interface, network, self.settings)

    def learn(
        self,
        demonstrations: Demonstrations,
        env: Env | Sequence[Env],
        *,
        seed: int,
        budget: int | None = None,
        progress: bool = False,
        run: Run | None = None,
    ) -> None:
        """Fit the network to demonstrations of one or several environments.

        By default, each step is sampled equally often: give a difficult task more demonstrations, or set ``shares``.

        Args:
            demonstrations: Datasets of lam_envs with ``obs="state"``, ``obs="pixels"``, or both.
            env: Environments for periodic evaluation; the training does not step them.
            seed: Seeds the weights and the order of examples.
            budget: Epochs; by default the setting.
            progress: Show a progress bar.
            run: Checkpoints, log and periodic evaluation; by default none.

        Raises:
            ValueError: A dataset has no named features, or cannot be mirrored; no environment; the budget is below 1
                or the seed negative; or the training diverged.
        """
        run = run or Run(progress=progress)
        sources = self._read(_datasets(demonstrations), run)
        self._train(sources, _environments(env), run, seed=seed, budget=budget)

    def _read(self, datasets: Sequence[minari.MinariDataset], run: Run) -> list[Source]:
        """Read demonstrations."""
        settings = self.settings
        return read_sources(datasets, settings.idle_steps, find_objects=settings.find_objects, progress=run.progress)

    @classmethod
    def finetune(
        cls,
        directory: str | Path,
        demonstrations: Demonstrations,
        env: Env | Sequence[Env],
        *,
        replay: Sequence[minari.MinariDataset] = (),
        replay_share: float = REPLAY_SHARE,
        seed: int,
        budget: int | None = None,
        run: Run | None = None,
        **settings: Any,
    ) -> Lam:
        """Return a saved model after a further training, on other demonstrations.

        They may have entities, features, words and robots that the model does not know, but no objects whose
        positions it cannot estimate from images. A share of the examples comes from datasets that it has learned
        from, so that it does not lose what it knew. Each task, robot and control of the new datasets is sampled
        equally often, and those of the others by the setting ``shares`` of the model.

        Args:
            directory: Folder of the saved model.
            demonstrations: Datasets of the new task, robot or wording.
            env: Environments for periodic evaluation.
            replay: Datasets that the model has learned from.
            replay_share: Share of the examples that comes from them, at least 0 and below 1; not used without them.
            seed: Seeds new weights and the order of examples.
            budget: Epochs; by default the setting.
            run: Checkpoints, log and periodic evaluation; by default none.
            settings: Settings that differ from those of the model, such as its epochs.

        Raises:
            FileNotFoundError: There is no saved model.
            ValueError: It is damaged, a setting would change the sizes of its network or is none of fine-tuning, or
                see :meth:`learn`.
        """
        if "shares" in settings:
            raise ValueError("shares is not a setting of fine-tuning, which samples by replay_share: remove it")
        if ENCODER in settings:
            raise ValueError(
                "encoder is not a setting of fine-tuning, which starts from the weights of the model: remove it"
            )
        if not 0.0 <= replay_share < 1.0:
            raise ValueError(f"replay_share is {replay_share}; expected at least 0 and below 1")
        environments, model = _environments(env), read_model(cls.spec.name, directory)
        agent = cls(environments[0], **{**model.settings, **settings})
        agent.settings.check_structure(LamSettings(**model.settings))
        estimated = agent._interface.estimated_objects
        if estimated is not None:
            estimated.check(model.network.schema.estimated_objects)
        given = _datasets(demonstrations)
        run = run or Run()
        read = agent._read([*given, *replay], run)
        sources, known = read[: len(given)], read[len(given) :]
        weights = agent.settings.shares or {}
        old = [replace(each, group=f"{REPLAYED}{each.group}") for each in known]
        shares = {group: (1.0 - replay_share) / len(_groups(sources)) for group in _groups(sources)}
        total = sum(weights.get(group, 1.0) for group in _groups(known))
        for group in _groups(known):
            shares[f"{REPLAYED}{group}"] = replay_share * weights.get(group, 1.0) / total
        further = {
            "weights": model.checksum,
            "replay": [{"id": source.name, "checksum": source.checksum} for source in old],
            "replay_share": replay_share,
        }
        agent.controls, agent.policy.network = model.controls, model.network
        agent._train([*sources, *old], environments, run, seed=seed, budget=budget, shares=shares, further=further)
        return agent

    def _train(
        self,
        sources: Sequence[Source],
        environments: Sequence[Env],
        run: Run,
        *,
        seed: int,
        budget: int | None,
        shares: Mapping[str, float] | None = None,
        further: JsonObject | None = None,
    ) -> None:
        """Train the network from scratch; or further, with the share of each group of sources, and a record of it."""
        check_seed(seed)
        check_budget(budget, self.spec.budget_unit)
        epochs = self.settings.epochs if budget is None else budget
        start = None if further is None else self.policy.network
        # A model that is trained further keeps its weights.
        encoder = load_encoder(self.settings) if start is None else None
        if self.settings.freeze_encoder and run.processes > 1:
            raise ValueError(f"{run.processes} processes cannot train with freeze_encoder=true: use one")
        record = self._record(sources, environments, seed=seed, budget=budget, further=further)
        # The number of processes changes rounding.
        self.training = run.identity = record | ({"processes": run.processes} if run.processes > 1 else {})
        record_encoder(self.training, encoder)
        if shares is None:
            shares = self.settings.group_shares({source.group for source in sources})
        controls = () if start is None else self.controls
        self.controls = tuple(sorted({*controls, *(source.interface.control for source in sources)}))
        if not self.settings.use_instruction:
            sources = [replace(each, sentences=[""] * len(each)) for each in sources]
        trained = None if start is None else start.objects
        estimator_epochs = 0 if trained is not None else epochs_of_estimator(sources, self.settings)
        with run.training(self.spec.name, estimator_epochs + epochs, "epochs"), isolated_rng(seed):
            restored = run.restored()
            interfaces = [self._interface_of(each) for each in environments]
            staged = StagedTraining(self.spec.name, run, seed, restored) if estimator_epochs else None
            sources, objects = with_objects(sources, interfaces, trained, self.settings, staged)
            if self.settings.mirror:
                pairs = [(each, each.mirrored()) for each in sources if each.can_be_mirrored]
                if shares is not None:
                    shares = _shared_with_copies(shares, pairs)
                sources = [*sources, *(copy for _, copy in pairs)]
            mixture, network = prepare(self.settings, sources, interfaces, seed=seed, start=start, objects=objects)
            known = [*(source.interface for source in sources), *interfaces]
            with_images = next((each for each in known if each.images), known[0])
            policy = policy_in(with_images, network, self.settings)
            initialize(policy, encoder, freeze=self.settings.freeze_encoder)
            for _, each in policy.image_encoders():
                each.requires_grad_(not self.settings.freeze_encoder)
            device = run.device if run.processes == 1 else "cpu"
            fit = Fit(self.settings, mixture, self._interface, epochs, seed, shares, device)
            loop = fit.loop(network)
            state = restored if staged is None or restored is None else restored.get("policy")
            if state is not None:
                loop.restore(state)
            with processes(run.processes, run_worker, lambda: WorkerInput(fit, loop.state())) as group:
                loop.share(group)
                while not loop.is_done:
                    self._epoch(loop, run, environments, estimator_epochs, staged)
            self.policy = loop.result()

    def _epoch(
        self,
        loop: TrainingLoop[LamPolicy],
        run: Run,
        environments: Sequence[Env],
        estimator_epochs: int,
        staged: StagedTraining | None,
    ) -> None:
        """Train for an epoch; log it, evaluate the policy and write a checkpoint if they are due."""
        loop.epoch()
        loop.check_finite(self.spec.name)
        self.policy = loop.policy
        by_group = {f"loss/{group}": loss for group, loss in loop.group_losses.items()}
        done = estimator_epochs + loop.epochs_done
        run.log_to_tensorboard(done, loop.logs | by_group)
        # The loss of one minibatch is noisy: the progress bar shows the mean.
        if loop.mean_loss is not None:
            run.log(done, **{"mean loss": loop.mean_loss})
        with loop.averaged() as acting:
            policies = [policy_in(self._interface_of(each), acting.network, self.settings) for each in environments]
            run.evaluate_each(policies, environments, done)
        run.checkpoint(lambda: loop.state() if staged is None else staged.state() | {"policy": loop.state()})

    def _interface_of(self, env: Env) -> Interface:
        """Return the interface of an environment."""
        return Interface.of(env, find_objects=self.settings.find_objects)

    def _record(
        self,
        sources: Sequence[Source],
        environments: Sequence[Env],
        *,
        seed: int,
        budget: int | None,
        further: JsonObject | None,
    ) -> JsonObject:
        """Return the record of a training (:func:`agents.training.provenance.training_record`)."""
        name, settings = self.spec.name, self.settings.model_dump()
        records = [training_record(name, settings, each, None, seed=seed, budget=budget) for each in environments]
        checksums = [source.checksum for source in sources]
        joined = hashlib.sha256("".join(checksums).encode()).hexdigest()
        versions = (training_versions(name, settings, each) for each in environments)
        return {
            **records[0],
            "demonstrations": {
                "id": ", ".join(source.name for source in sources),
                "episodes": sum(source.episodes for source in sources),
                "checksum": checksums[0] if len(sources) == 1 else joined,
            },
            "environments": [{part: each[part] for part in ("environment", "keywords")} for each in records],
            "versions": {part: version for each in versions for part, version in each.items()},
            **({} if further is None else {"finetuning": further}),
        }

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights that are saved: those of the network, which no environment changes."""
        return weights_of(self.policy.network)

    def set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Set the weights of :meth:`weights`; see :meth:`PolicyAgent.set_weights`."""
        set_weights(self.policy.network, weights)

    def save(self, directory: str | Path) -> Path:
        """Write ``agent.json`` and ``weights.safetensors``; return the folder."""
        described = spaces_of(self.observation_space, self.action_space)
        settings = self.settings.model_dump()
        model = model_description(self.policy.network, self.controls)
        return save_agent(directory, self.spec.name, settings, described, self.weights(), self.training, model=model)

    @classmethod
    def load(cls, directory: str | Path, env: Env, **changed: object) -> Lam:
        """Read what :meth:`save` wrote, for any environment whose entities, features and control the model knows.

        Warns if the observations lack an instruction that specifies the goal.

        Args:
            directory: Folder of the saved model.
            env: Environment to act in.
            changed: Settings to act with that differ from those of the training (:attr:`AgentSettings.acting`).

        Raises:
            FileNotFoundError: There is no saved agent.
            ValueError: The files are damaged, or the model does not know a part of the environment.
        """
        model = read_model(cls.spec.name, directory)
        agent = cls(env, **{**model.settings, **changed})
        control = agent._interface.control
        if control not in model.controls:
            raise ValueError(
                f"the agent in {directory} was trained with control {', '.join(model.controls)}; this environment "
                f"has control {control!r}"
            )
        if agent._interface.lacks_instruction and agent.settings.use_instruction:
            warnings.warn(
                "only an instruction specifies the goal of this task, and the observations have none: make the "
                "environment with instruct=True (--env-kwargs instruct=true)",
                stacklevel=2,
            )
        agent.training, agent.controls = model.training, model.controls
        try:
            agent.policy = policy_in(agent._interface, model.network, agent.settings)
        except ValueError as error:
            raise ValueError(f"{changed_task(directory, model.training, env)}{error}") from error
        return agent


def _environments(env: Env | Sequence[Env]) -> list[Env]:
    """Return one or several environments as a list.

    Raises:
        ValueError: There is none.
    """
    environments = list(env) if isinstance(env, Sequence) else [env]
    if not environments:
        raise ValueError("no environment: expected at least one")
    return environments


def _groups(sources: Sequence[Source]) -> list[str]:
    """Return the names of the groups of sources, each once."""
    return sorted({source.group for source in sources})


def _datasets(demonstrations: Demonstrations) -> list[minari.MinariDataset]:
    """Return the datasets of demonstrations.

    Raises:
        ValueError: There is none.
    """
    if isinstance(demonstrations, DemonstrationData):
        return list(demonstrations.datasets)
    datasets = list(demonstrations) if isinstance(demonstrations, Sequence) else [demonstrations]
    if not datasets:
        raise ValueError("no datasets: expected at least one")
    return datasets


def _shared_with_copies(shares: Mapping[str, float], pairs: Sequence[tuple[Source, Source]]) -> dict[str, float]:
    """Return shares of groups in which mirrored copies with a group of their own get half of the share of the others.

    Args:
        shares: Share of each group.
        pairs: Sources and their mirrored copies.
    """
    copied = {each.group: copy.group for each, copy in pairs if copy.group != each.group}
    found = {group: 0.5 * share if group in copied else share for group, share in shares.items()}
    return found | {copy: found[group] for group, copy in copied.items() if group in found}
