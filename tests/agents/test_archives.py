"""Archives of Stable-Baselines3: a model acts as in its training, or an error says what its archive leaves out."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium.wrappers import FrameStackObservation, TransformObservation
from stable_baselines3 import DQN, PPO, SAC, HerReplayBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecMonitor, VecNormalize
from typer.testing import CliRunner

from agents.__main__ import app
from agents.evaluation.evaluation import evaluate
from agents.evaluation.vecenv import as_trained
from agents.training.saving import archive

from ..conftest import Make

STEPS = 6
"""Number of steps of a comparison."""


def small(**settings: Any) -> dict[str, Any]:
    """Settings of a small model; models change what they are given."""
    return {"policy_kwargs": {"net_arch": [8]}, "seed": 0, **settings}


class Counting(ActorCriticPolicy):
    """Third-party policy with a memory: its action depends on the number of steps of the episode."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> Any:
        count = 0 if state is None or episode_start[0] else state[0]
        action, _ = super().predict(observation, None, episode_start, deterministic)
        return np.full_like(action, count / 10.0), (count + 1,)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def acted(agent: Any, env: gym.Env[Any, Any]) -> list[Any]:
    """Actions of the first steps of an episode."""
    observation, _ = env.reset(seed=5)
    state, start, actions = None, True, []
    for _ in range(STEPS):
        action, state = agent.predict(observation, state=state, episode_start=np.array([start]), deterministic=True)
        actions.append(action)
        start = False
        observation, *_ = env.step(action)
    return actions


def acted_in_training(model: Any, envs: VecEnv) -> list[Any]:
    """Actions in the environment of its training."""
    if isinstance(envs, VecNormalize):
        envs.training = False
    envs.seed(5)
    observations: Any = envs.reset()
    state, start, actions = None, np.array([True]), []
    for _ in range(STEPS):
        action, state = model.predict(observations, state=state, episode_start=start, deterministic=True)
        actions.append(action[0])
        start = np.array([False])
        observations, *_ = envs.step(action)
    return actions


REPLAY: dict[str, Any] = {"buffer_size": 100}
MODELS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "A2C": ("A2C", "MlpPolicy", "LamReach-v0", {}),
    "PPO": ("PPO", "MlpPolicy", "LamReach-v0", {"use_sde": True}),
    "TD3": ("TD3", "MlpPolicy", "LamReach-v0", REPLAY),
    "DQN": ("DQN", "MlpPolicy", "LamReachDiscrete-v0", REPLAY),
    "hindsight": ("SAC", "MultiInputPolicy", "LamReachGoal-v0", {**REPLAY, "replay_buffer_class": HerReplayBuffer}),
    "pixels": ("PPO", "MultiInputPolicy", "LamReachPixels-v0", {"n_steps": 2, "batch_size": 2}),
    "third-party policy": ("PPO", "", "LamReach-v0", {}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in ("TD3", "pixels") else ()) for name in MODELS]
)
def test_a_model_acts_as_before_it_was_saved(name: str, make: Make, tmp_path: Path) -> None:
    algorithm, policy, env_id, settings = MODELS[name]
    env = make(env_id)
    model = getattr(stable_baselines3, algorithm)(policy or Counting, env, **small(**settings))
    model.save(tmp_path / "model.zip")
    loaded = archive.load(tmp_path / "model.zip", env, vecnormalize=False)
    assert np.array_equal(acted(loaded, env), acted(model, env))


def wrapped(kind: str) -> VecEnv:
    env_id = (
        "LamReachGoal-v0" if kind == "goals" else "LamReachPixels-v0" if kind == "stacked pixels" else "LamReach-v0"
    )
    envs: VecEnv = DummyVecEnv([lambda: gym.make(env_id)])
    if kind == "normalized, then stacked":
        return VecFrameStack(VecNormalize(envs), 3)
    if kind == "stacked, then normalized":
        return VecNormalize(VecFrameStack(envs, 2))
    if "stacked" in kind:
        return VecFrameStack(envs, 2)
    return VecNormalize(envs, norm_obs_keys=["observation"] if kind == "goals" else None)


@pytest.mark.parametrize(
    "kind",
    [
        "normalized",
        "goals",
        pytest.param("stacked pixels", marks=pytest.mark.slow),
        pytest.param("stacked", marks=pytest.mark.slow),
        "normalized, then stacked",
        "stacked, then normalized",
    ],
)
def test_a_model_sees_observations_as_in_its_training(kind: str, make: Make, tmp_path: Path) -> None:
    envs = wrapped(kind)
    policy = "MlpPolicy" if "goals" not in kind and "pixels" not in kind else "MultiInputPolicy"
    model = PPO(policy, envs, **small(n_steps=2, batch_size=2))
    envs.reset()
    for _ in range(3 if "pixels" in kind else 30):
        envs.step(np.array([envs.action_space.sample()]))
    model.save(tmp_path / "model.zip")
    # For images, the model's own environment has one more wrapper.
    training: Any = model.get_env()
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        normalizer.training = False
        normalizer.save(str(tmp_path / "vecnormalize.pkl"))
    env = make(training.envs[0].spec.id if hasattr(training, "envs") else training.get_attr("spec")[0].id)
    loaded = archive.load(tmp_path / "model.zip", env, vecnormalize=None if normalizer else False)
    expected = acted_in_training(model, training)
    for _ in range(2):
        assert np.array_equal(acted(loaded, env), expected)
    if normalizer is not None:
        raw = archive.load(tmp_path / "model.zip", env, vecnormalize=False)
        assert not np.array_equal(acted(raw, env), expected)
    envs.close()


def test_stacked_observations_work_with_a_recurrent_policy(make: Make, tmp_path: Path) -> None:
    envs = VecFrameStack(DummyVecEnv([lambda: make("LamReach-v0")]), 2)
    PPO(Counting, envs, **small(n_steps=2, batch_size=2)).save(tmp_path / "model.zip")
    loaded = archive.load(tmp_path / "model.zip", make("LamReach-v0"), vecnormalize=False)
    assert [action[0] for action in acted(loaded, make("LamReach-v0"))] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.fixture(scope="module")
def normalized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that learned under VecNormalize and without, and statistics."""
    folder = tmp_path_factory.mktemp("models")
    settings = {"n_steps": 2, "batch_size": 2, "n_epochs": 1}
    envs = VecNormalize(DummyVecEnv([lambda: gym.make("LamReach-v0")]))
    PPO("MlpPolicy", envs, **small(**settings)).learn(2).save(folder / "ppo.zip")
    SAC("MlpPolicy", envs, **small(**REPLAY)).learn(2).save(folder / "sac.zip")
    envs.save(str(folder / "statistics"))
    PPO("MlpPolicy", VecMonitor(envs.venv), **small(**settings)).learn(2).save(folder / "plain.zip")
    envs.close()
    return folder


def copied(source: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(source.read_bytes())
    return target


@pytest.mark.parametrize(
    ("model", "statistics"),
    [
        ("m.zip", "vecnormalize.pkl"),
        ("LamReach-v0.zip", "LamReach-v0/vecnormalize.pkl"),
        ("best_model.zip", "LamReach-v0/vecnormalize.pkl"),
        ("ppo_2000_steps.zip", "ppo_vecnormalize_2000_steps.pkl"),
    ],
)
def test_statistics_are_found_where_others_save_them(
    model: str, statistics: str, normalized: Path, tmp_path: Path
) -> None:
    path = copied(normalized / "ppo.zip", tmp_path / model)
    with pytest.raises(ValueError, match=r"was trained under VecNormalize, and there is no .* vecnormalize=PATH"):
        archive.settings_of(path, {})
    file = copied(normalized / "statistics", tmp_path / statistics)
    assert archive.settings_of(path, {})["vecnormalize"] == str(file)
    assert archive.settings_of(path, {"vecnormalize": False}) == {"vecnormalize": False}
    # No statistics are used if the archive records that there was no normalization.
    assert archive.settings_of(copied(normalized / "plain.zip", path), {}) == {}


def test_several_files_of_statistics_are_an_error(normalized: Path, tmp_path: Path) -> None:
    path = copied(normalized / "sac.zip", tmp_path / "m.zip")
    for folder in ("LamReach-v0", "LamGrasp-v0"):
        copied(normalized / "statistics", tmp_path / folder / "vecnormalize.pkl")
    with pytest.raises(ValueError, match=r"LamGrasp-v0.*LamReach-v0.*choose one by vecnormalize=PATH"):
        archive.settings_of(path, {})


def test_an_archive_that_does_not_record_normalization_gives_a_warning(normalized: Path, make: Make) -> None:
    with pytest.warns(UserWarning, match="may have been trained under VecNormalize"):
        archive.load(normalized / "sac.zip", make("LamReach-v0"))


def test_wrong_statistics_are_refused(normalized: Path, make: Make, tmp_path: Path) -> None:
    path, env = normalized / "sac.zip", make("LamReach-v0")
    with pytest.raises(FileNotFoundError, match=r"vecnormalize is 'none\.pkl', and there is no such file"):
        archive.load(path, env, vecnormalize="none.pkl")
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(b"no pickle")
    with pytest.raises(ValueError, match=r"cannot load the statistics of VecNormalize in .*bad\.pkl"):
        archive.load(path, env, vecnormalize=bad)
    bad.write_bytes(b"N.")
    with pytest.raises(ValueError, match=r"bad\.pkl holds a NoneType; expected a VecNormalize"):
        archive.load(path, env, vecnormalize=bad)
    VecNormalize(DummyVecEnv([lambda: make("LamGrasp-v0")])).save(str(bad))
    with pytest.raises(ValueError, match=r"(?s)has the observation_space .*normalized by .*bad\.pkl"):
        archive.load(path, env, vecnormalize=bad)
    with pytest.raises(ValueError, match="were changed since they were chosen"):
        archive.load(path, env, vecnormalize=normalized / "statistics", vecnormalize_sha256="0")
    with pytest.raises(TypeError, match=r"no setting normal; expected some of algorithm, vecnormalize"):
        archive.settings_of(path, {"normal": 1})


def test_other_spaces_are_refused_and_say_what_to_do(normalized: Path, make: Make) -> None:
    with pytest.raises(ValueError, match=r"(?s)has the observation_space .*write an agent that applies them"):
        archive.load(normalized / "plain.zip", make("LamGrasp-v0"))
    with pytest.raises(ValueError, match="has the action_space"):
        archive.load(normalized / "plain.zip", make("LamReachDiscrete-v0"))


def changed(path: Path, target: Path, **changes: Any) -> Path:
    """A copy of an archive with other JSON."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, json.dumps(json.loads(content) | changes) if name == "data" else content)
    return target


def test_a_missing_package_is_named(
    normalized: Path, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    policy = {":type:": "<class 'abc.ABCMeta'>", ":serialized:": "", "__module__": "sb3_contrib.tqc.policies"}
    path = changed(normalized / "sac.zip", tmp_path / "tqc.zip", policy_class=policy)
    for call in (lambda: archive.check(path), lambda: archive.load(path, make("LamReach-v0"))):
        with pytest.raises(ModuleNotFoundError, match=r"needs the package sb3_contrib.*pip install sb3-contrib"):
            call()


def test_an_archive_that_its_policy_alone_cannot_load_asks_for_its_algorithm(
    normalized: Path, make: Make, tmp_path: Path
) -> None:
    env = make("LamReach-v0")
    path = changed(normalized / "plain.zip", tmp_path / "odd.zip", policy_kwargs={"net_arch": [8], "device": "cpu"})
    with pytest.raises(ValueError, match=r"algorithm='package.module:Class', such as stable_baselines3:PPO"):
        archive.load(path, env)
    loaded = archive.load(path, env, algorithm="stable_baselines3:PPO")
    assert isinstance(loaded, PPO)
    with pytest.raises(ValueError, match="cannot import algorithm 'stable_baselines3:PPP'"):
        archive.load(path, env, algorithm="stable_baselines3:PPP")
    for algorithm in ("stable_baselines3:DQN", "os:getcwd"):
        with pytest.raises(ValueError, match=rf"{algorithm} cannot load .*odd\.zip: "):
            archive.load(path, env, algorithm=algorithm)


def test_a_model_in_memory_is_measured_with_its_own_normalization(make: Make) -> None:
    envs = VecNormalize(DummyVecEnv([lambda: make("LamReach-v0")]))
    model = PPO("MlpPolicy", envs, **small(n_steps=2, batch_size=2))
    envs.reset()
    for _ in range(10):
        envs.step(np.array([envs.action_space.sample()]))

    class Recording:
        """Acts on observations that were normalized by hand."""

        def predict(self, observation: Any, *args: Any, **keywords: Any) -> Any:
            return model.policy.predict(envs.normalize_obs(observation), deterministic=True)

    by_hand = evaluate(Recording(), "LamReach-v0", seeds=[0])
    assert evaluate(model, "LamReach-v0", seeds=[0]) == by_hand
    assert evaluate(model.policy, "LamReach-v0", seeds=[0]) != by_hand


def stacked(env: gym.Env[Any, Any], count: int) -> gym.Env[Any, Any]:
    """Return an environment that stacks observations, with the space that VecFrameStack gives them."""
    space: Any = env.observation_space
    bounds = (np.repeat(bound, count) for bound in (space.low, space.high))
    return TransformObservation(
        FrameStackObservation(env, count, padding_type="zero"), np.ravel, gym.spaces.Box(*bounds)
    )


def test_in_an_environment_that_stacks_observations_they_are_normalized_as_in_training(make: Make) -> None:
    envs = wrapped("stacked, then normalized")
    model = PPO("MlpPolicy", envs, **small(n_steps=2, batch_size=2))
    envs.reset()
    for _ in range(30):
        envs.step(np.array([envs.action_space.sample()]))
    env = stacked(make("LamReach-v0"), 2)
    assert env.observation_space == model.observation_space
    assert np.array_equal(acted(as_trained(model, env), env), acted_in_training(model, envs))
    for without in (VecFrameStack(DummyVecEnv([lambda: make("LamReach-v0")]), 2), DummyVecEnv([lambda: env])):
        plain = PPO("MlpPolicy", without, **small(n_steps=2, batch_size=2))
        assert as_trained(plain, env) is plain
    envs.close()


def test_stacked_observations_that_training_normalized_before_it_stacked_them_are_refused(make: Make) -> None:
    model = PPO("MlpPolicy", wrapped("normalized, then stacked"), **small(n_steps=2, batch_size=2))
    env = stacked(make("LamReach-v0"), 3)
    with pytest.raises(
        ValueError, match=r"(?s)trained on observations .*\(18,\), float32\), before .*\(54,\), float32\)"
    ):
        as_trained(model, env)


def test_the_command_loads_an_archive_only_with_allow_pickle_and_shows_its_statistics(
    normalized: Path, tmp_path: Path
) -> None:
    command = ["evaluate", str(normalized / "ppo.zip"), "--env", "LamReach-v0", "--episodes", "1"]
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    said = "can hold code that runs when it is loaded: if you trust it, add --allow-pickle"
    assert said in refused.stderr
    command += ["--allow-pickle", "--config", f"vecnormalize={normalized / 'statistics'}"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    assert "success at any step" in done.stdout
    assert "normalized by" in done.stdout


def test_the_algorithm_of_a_model_need_not_be_known(make: Make, tmp_path: Path) -> None:
    env = make("LamReachDiscrete-v0")
    model = DQN("MlpPolicy", env, **small(**REPLAY))
    model.save(tmp_path / "model.zip")
    # An archive without the parts that only its algorithm has.
    with zipfile.ZipFile(tmp_path / "model.zip") as file:
        names = set(json.loads(file.read("data"))) - {*archive.POLICY, "use_sde"}
    path = changed(tmp_path / "model.zip", tmp_path / "other.zip", **dict.fromkeys(names, "unknown"))
    loaded = archive.load(path, env, vecnormalize=False)
    assert np.array_equal(acted(loaded, env), acted(model, env))


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data", json.dumps({"numbers": list(range(1000))}))
    content = bytearray(path.read_bytes())
    start = content.index(b"data") + len("data")
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.zip is damaged, or is not an archive of a model"):
        archive.check(path)
