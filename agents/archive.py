"""Load a model that Stable-Baselines3, or a library like it, saved as an archive (.zip).

An archive holds pickles, which can run any code when they are loaded: load only what you trust. Reading its JSON part
(:func:`check`, :func:`settings_of`) runs nothing.

Of the archive only the policy is loaded, by the class that it names. So the algorithm need not be known: models of
sb3-contrib and of algorithms of your own load too, and no replay buffer is made.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import inspect
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from demos.places import imported
from demos.recording import Acting

POLICY = ("policy_class", "policy_kwargs", "observation_space", "action_space")
"""Parts of an archive that a policy is made of."""
PACKAGES = {"sb3_contrib": "sb3-contrib"}
"""Names of packages that are installed by another name than they are imported by."""
MASKABLE = "sb3_contrib.common.maskable"
"""Where sb3-contrib has the policies of MaskablePPO."""
STATISTICS = "vecnormalize.pkl"
"""The file that rl_zoo3 saves the statistics of VecNormalize in."""


def check(path: str | Path) -> None:
    """Check that a file is an archive of a model that can be loaded here, as far as that runs none of its code.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The policy is one of sb3-contrib, which is not installed.
        ValueError: The file is no such archive.

    Warns:
        UserWarning: The policy chooses among masked actions; here all actions are allowed.
    """
    policy = _read(path)["policy_class"]
    module = str(policy.get("__module__", "")) if isinstance(policy, dict) else ""
    package = module.partition(".")[0]
    if package in PACKAGES and importlib.util.find_spec(package) is None:
        raise _missing(path, package)
    if module.startswith(MASKABLE):
        warnings.warn(
            f"the model in {path} may need action masks: it gets none, all actions are allowed", stacklevel=2
        )


def settings_of(path: str | Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the settings of :func:`load` by the statistics of VecNormalize that are used, with their checksum.

    With them, a result records what its agent was. Nothing of the archive is run.

    Args:
        path: The archive.
        settings: Keyword arguments of :func:`load`.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: There is no such setting.
        ValueError: The file is no archive of a model, or lacks the statistics that its model needs.
    """
    unknown = settings.keys() - {"algorithm", "vecnormalize", "vecnormalize_sha256"}
    if unknown:
        raise TypeError(
            f"{path} takes no setting {', '.join(sorted(unknown))}; expected some of algorithm, vecnormalize, "
            "vecnormalize_sha256"
        )
    statistics = _statistics(path, settings.get("vecnormalize"))
    if statistics is None:
        return dict(settings)
    return {**settings, "vecnormalize": str(statistics), "vecnormalize_sha256": _sha256(statistics)}


def load(
    path: str | Path,
    env: gym.Env[Any, Any],
    *,
    algorithm: str | None = None,
    vecnormalize: str | Path | bool | None = None,
    vecnormalize_sha256: str | None = None,
) -> Acting:
    """Load a model. Code in the archive and in the statistics beside it is run, so trust where they are from.

    An archive leaves out what VecEnv wrappers did to observations in training. VecFrameStack and VecTransposeImage
    follow from the observation space that it holds. The statistics of VecNormalize are looked for beside the archive,
    where CheckpointCallback and rl_zoo3 save them: ``PREFIX_vecnormalize_N_steps.pkl`` for ``PREFIX_N_steps.zip``,
    ``vecnormalize.pkl``, and the same in a folder named like an environment. Nothing records other wrappers: an agent
    of your own applies them.

    Args:
        path: The archive.
        env: Environment with the spaces of the model, before any wrapper of its training.
        algorithm: ``package.module:Class`` that loads the archive in place of its policy alone; needed for algorithms
            that do more to act than to ask their policy, or save it in another way.
        vecnormalize: File with the statistics of VecNormalize; False if observations were not normalized. By default,
            one beside the archive.
        vecnormalize_sha256: Checksum that this file must have.

    Returns:
        An agent: its ``predict`` takes the observations of ``env``. The memory of a recurrent policy and stacked
        observations are in its ``state``.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The archive needs a package that is not installed.
        ValueError: The file is no archive of a model, its model has other spaces or cannot be made again, or the
            statistics that it needs are missing or of something else.

    Warns:
        UserWarning: The archive cannot tell whether observations were normalized, and there are no statistics.
    """
    from agents import vecenv  # late: it brings PyTorch, and to tell what an archive is takes none

    check(path)
    statistics = _statistics(path, vecnormalize)
    if vecnormalize_sha256 is not None and (statistics is None or _sha256(statistics) != vecnormalize_sha256):
        raise ValueError(
            f"{statistics} is not the file of VecNormalize that was chosen for {path}: it was changed since"
        )
    data = _read(path)
    parts = {name: _unpickled(path, name, data[name]) for name in POLICY}
    if parts["action_space"] != env.action_space:
        raise ValueError(
            f"the model in {path} has the action_space {parts['action_space']}, the environment {env.action_space}"
        )
    wrappers = vecenv.wrappers(path, parts["observation_space"], env, statistics)
    if algorithm is not None:
        kind = imported(algorithm, "algorithm")
        try:
            model = kind.load(path, env=wrappers[-1] if wrappers else env, device="cpu")
        except Exception as error:  # a class may raise anything
            raise ValueError(f"{algorithm} cannot load {path}: {error!r}") from error
    else:
        model = _policy(path, parts, use_sde=bool(data.get("use_sde")))
    return vecenv.Wrapped(model, wrappers) if wrappers else model


def _read(path: str | Path) -> dict[str, Any]:
    """Read the JSON part of an archive, which holds pickles as text."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}: expected an archive that a model of Stable-Baselines3 saved")
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
        missing = [name for name in POLICY if name not in data]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is no archive of a model of Stable-Baselines3: {error}") from error
    if missing or not isinstance(data, dict):
        raise ValueError(f"{path} is no archive of a model of Stable-Baselines3: it lacks {', '.join(missing)}")
    return data


def _unpickled(path: str | Path, name: str, value: Any) -> Any:
    """Load a part of an archive; whoever calls this trusts it."""
    if not (isinstance(value, dict) and ":serialized:" in value):
        return value
    try:
        return pickle.loads(base64.b64decode(value[":serialized:"]))  # noqa: S301  (the caller trusts it)
    except ModuleNotFoundError as error:
        raise _missing(path, str(error.name).partition(".")[0]) from error
    except Exception as error:  # a pickle may raise anything
        raise ValueError(f"cannot load {name} of {path}: {error!r}") from error


def _policy(path: str | Path, parts: Mapping[str, Any], *, use_sde: bool) -> Any:
    """Make a policy again, with its weights."""
    from stable_baselines3.common.save_util import load_from_zip_file

    kind, settings = parts["policy_class"], dict(parts["policy_kwargs"])
    try:
        # On-policy algorithms keep it beside the policy's own settings.
        if use_sde:
            settings.setdefault("use_sde", True)
        schedule = [_no_learning] if "lr_schedule" in inspect.signature(kind).parameters or _takes_any(kind) else []
        policy = kind(parts["observation_space"], parts["action_space"], *schedule, **settings)
        _, weights, _ = load_from_zip_file(path, device="cpu", load_data=False)
        policy.load_state_dict(weights["policy"])
    except Exception as error:  # a class may raise anything
        raise ValueError(
            f"cannot make the policy in {path} again: {error!r}. Name the class whose load() reads the archive: "
            "algorithm='package.module:Class', such as stable_baselines3:PPO"
        ) from error
    return policy


def _no_learning(progress_remaining: float) -> float:
    """Return the learning rate of a policy that does not learn."""
    return 0.0


def _takes_any(kind: Any) -> bool:
    parameters = inspect.signature(kind).parameters.values()
    return any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)


def _missing(path: str | Path, package: str) -> ModuleNotFoundError:
    install = (
        f"pip install {PACKAGES[package]}" if package in PACKAGES else "install it, or add its folder to PYTHONPATH"
    )
    return ModuleNotFoundError(
        f"the model in {path} needs the package {package}, which is missing: {install}", name=package
    )


def _statistics(path: str | Path, chosen: str | Path | bool | None) -> Path | None:
    """Return the file with the statistics of VecNormalize; None if observations were not normalized."""
    if chosen is False:
        return None
    if isinstance(chosen, str | Path):
        if not Path(chosen).is_file():
            raise FileNotFoundError(f"vecnormalize is {str(chosen)!r}, and there is no such file")
        return Path(chosen)
    if chosen is not None:
        raise ValueError(f"vecnormalize is {chosen!r}; expected a file, or False if observations were not normalized")
    normalized = _was_normalized(_read(path))
    found = None if normalized is False else _statistics_beside(Path(path))
    if found is None and normalized is not False:
        told = "was trained under VecNormalize" if normalized else "may have been trained under VecNormalize"
        message = (
            f"the model in {path} {told}, and there is no {STATISTICS} beside it. Give the file as "
            "vecnormalize=PATH, or vecnormalize=false if its observations were not normalized"
        )
        if normalized:
            raise ValueError(message)
        warnings.warn(f"{message}: they are not now", stacklevel=3)
    return found


def _was_normalized(data: Mapping[str, Any]) -> bool | None:
    """Return whether a model was trained under VecNormalize; None if its archive cannot tell."""
    # PPO and its like keep an original observation only beside a normalized one; off-policy algorithms always do.
    if not {"gae_lambda", "n_steps", "_last_original_obs"} <= data.keys():
        return None
    if data["_last_original_obs"] is not None:
        return True
    return False if data.get("num_timesteps") else None


def _statistics_beside(path: Path) -> Path | None:
    """Find the statistics of VecNormalize beside an archive, under the names that are in use."""
    checkpoint = re.fullmatch(r"(.+)_(\d+)_steps", path.stem)
    names = [f"{checkpoint[1]}_vecnormalize_{checkpoint[2]}_steps.pkl"] if checkpoint else []
    for name in (*names, STATISTICS, f"{path.stem}/{STATISTICS}"):
        if (path.parent / name).is_file():
            return path.parent / name
    folders = [file for file in path.parent.glob(f"*/{STATISTICS}") if re.fullmatch(r".+-v\d+", file.parent.name)]
    if len(folders) > 1:
        raise ValueError(
            f"beside {path} are {', '.join(map(str, sorted(folders)))}: choose one by vecnormalize=PATH, or "
            "vecnormalize=false if its observations were not normalized"
        )
    return folders[0] if folders else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
