"""Load a model that Stable-Baselines3, or a library built on it, saved as a .zip archive.

An archive holds pickles, which can run any code when they are loaded: load only files that you trust. Reading the
JSON part (:func:`check`, :func:`settings_of`) runs no code.

Only the policy of an archive is loaded, by the class that it names. So the algorithm need not be known: models of
sb3-contrib and of your own algorithms load too, and no replay buffer is created.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import inspect
import json
import lzma
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.types import Env, JsonObject, Keywords
from demos.collection.recording import Policy
from demos.runtime.import_paths import import_object

POLICY = ("policy_class", "policy_kwargs", "observation_space", "action_space")
"""Parts of an archive that a policy is made of."""
PACKAGES = {"sb3_contrib": "sb3-contrib"}
"""Distribution names of packages whose import name is another one."""
MASKABLE = "sb3_contrib.common.maskable"
"""Package of sb3-contrib with the policies of MaskablePPO."""
STATISTICS = "vecnormalize.pkl"
"""Name of the file in which rl_zoo3 saves the statistics of VecNormalize."""


def check(path: str | Path) -> None:
    """Check that a file is an archive of a model, without running code of it.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The policy is one of sb3-contrib, which is not installed.
        ValueError: The file is not an archive of a model.

    Warns:
        UserWarning: The policy supports action masks, which are not given: all actions are allowed.
    """
    policy = _read(path)["policy_class"]
    module = str(policy.get("__module__", "")) if isinstance(policy, dict) else ""
    package = module.partition(".")[0]
    if package in PACKAGES and importlib.util.find_spec(package) is None:
        raise _missing(path, package)
    if module.startswith(MASKABLE):
        warnings.warn(
            f"the model in {path} may need action masks, which are not given: all actions are allowed", stacklevel=2
        )


def settings_of(path: str | Path, settings: Keywords) -> Keywords:
    """Return the settings of :func:`load` with the file of VecNormalize statistics that is used, and its checksum.

    Results record these settings. No code of the archive is run.

    Args:
        path: The archive.
        settings: Keyword arguments of :func:`load`.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: A setting is unknown.
        ValueError: The file is not an archive of a model, or the statistics that the model needs are missing.
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
    env: Env,
    *,
    algorithm: str | None = None,
    vecnormalize: str | Path | bool | None = None,
    vecnormalize_sha256: str | None = None,
) -> Policy:
    """Load a model. This can run code of the archive and of the statistics beside it: trust both files.

    An archive leaves out what VecEnv wrappers did to observations in training. VecFrameStack and VecTransposeImage
    follow from the observation space that it holds. The statistics of VecNormalize are looked for beside the archive,
    where CheckpointCallback and rl_zoo3 save them: ``PREFIX_vecnormalize_N_steps.pkl`` for ``PREFIX_N_steps.zip``,
    ``vecnormalize.pkl``, and the same in a folder named like an environment. Other wrappers are not recorded: write
    an agent that applies them.

    Args:
        path: The archive.
        env: Environment with the spaces of the model, before any wrapper of its training.
        algorithm: ``package.module:Class`` that loads the archive in place of its policy alone; needed for algorithms
            whose policy alone does not choose actions, or is saved in another way.
        vecnormalize: File with the statistics of VecNormalize; False if observations were not normalized. By default,
            one beside the archive.
        vecnormalize_sha256: Checksum that this file must have.

    Returns:
        An agent: its ``predict`` takes the observations of ``env``. The memory of a recurrent policy and stacked
        observations are in its ``state``.

    Raises:
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The archive needs a package that is not installed.
        ValueError: The file is not an archive of a model, its model has other spaces or cannot be rebuilt, or the
            statistics that it needs are missing or do not fit.

    Warns:
        UserWarning: The archive does not record whether observations were normalized, and there are no statistics.
    """
    from agents.evaluation import vecenv  # late: it imports PyTorch

    check(path)
    statistics = _statistics(path, vecnormalize)
    if vecnormalize_sha256 is not None and (statistics is None or _sha256(statistics) != vecnormalize_sha256):
        raise ValueError(
            f"the statistics of VecNormalize for {path} ({statistics}) were changed since they were chosen: "
            "start the evaluation again"
        )
    data = _read(path)
    parts = {name: _unpickled(path, name, data[name]) for name in POLICY}
    if parts["action_space"] != env.action_space:
        raise ValueError(
            f"the model in {path} has the action_space {parts['action_space']}, the environment {env.action_space}"
        )
    wrappers = vecenv.wrappers(path, parts["observation_space"], env, statistics)
    if algorithm is not None:
        kind = import_object(algorithm, "algorithm")
        try:
            model = kind.load(path, env=wrappers[-1] if wrappers else env, device="cpu")
        except Exception as error:  # a class may raise anything
            raise ValueError(f"{algorithm} cannot load {path}: {error!r}") from error
    else:
        model = _policy(path, parts, use_sde=bool(data.get("use_sde")))
    return vecenv.VecEnvAgent(model, wrappers) if wrappers else model


UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, KeyError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""Errors of reading an archive that is damaged, encrypted or compressed in an unknown way, or of other content."""


def _read(path: str | Path) -> JsonObject:
    """Read the JSON part of an archive, which holds pickles as text."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}: expected an archive that a model of Stable-Baselines3 saved")
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
        missing = [name for name in POLICY if name not in data]
    except UNREADABLE as error:
        raise ValueError(
            f"{path} is damaged, or is not an archive of a model of Stable-Baselines3: {error}"
        ) from error
    if missing or not isinstance(data, dict):
        raise ValueError(f"{path} is not an archive of a model of Stable-Baselines3: it lacks {', '.join(missing)}")
    return data


def _unpickled(path: str | Path, name: str, value: object) -> Any:
    """Load a part of an archive, which can run code: the caller trusts the archive."""
    if not (isinstance(value, dict) and ":serialized:" in value):
        return value
    try:
        return pickle.loads(base64.b64decode(value[":serialized:"]))  # noqa: S301  (the caller trusts it)
    except ModuleNotFoundError as error:
        raise _missing(path, str(error.name).partition(".")[0]) from error
    except Exception as error:  # a pickle may raise anything
        raise ValueError(f"cannot load {name} of {path}: {error!r}") from error


def _policy(path: str | Path, parts: Mapping[str, Any], *, use_sde: bool) -> Any:
    """Rebuild a policy with its weights."""
    from stable_baselines3.common.save_util import load_from_zip_file

    kind, settings = parts["policy_class"], dict(parts["policy_kwargs"])
    try:
        # On-policy algorithms save use_sde beside policy_kwargs.
        if use_sde:
            settings.setdefault("use_sde", True)
        schedule = [_no_learning] if "lr_schedule" in inspect.signature(kind).parameters or _takes_any(kind) else []
        policy = kind(parts["observation_space"], parts["action_space"], *schedule, **settings)
        _, weights, _ = load_from_zip_file(path, device="cpu", load_data=False)
        policy.load_state_dict(weights["policy"])
    except Exception as error:  # a class may raise anything
        raise ValueError(
            f"cannot rebuild the policy in {path}: {error!r}. Name the class whose load() reads the archive: "
            "algorithm='package.module:Class', such as stable_baselines3:PPO"
        ) from error
    return policy


def _no_learning(progress_remaining: float) -> float:
    """Return the learning rate of a policy that does not learn."""
    return 0.0


def _takes_any(kind: Callable[..., object]) -> bool:
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
            raise FileNotFoundError(
                f"vecnormalize is {str(chosen)!r}, and there is no such file; expected one that VecNormalize saved"
            )
        return Path(chosen)
    if chosen is not None:
        raise ValueError(f"vecnormalize is {chosen!r}; expected a file, or False if observations were not normalized")
    normalized = _was_normalized(_read(path))
    statistics = None if normalized is False else _statistics_beside(Path(path))
    if statistics is None and normalized is not False:
        training = "was trained under VecNormalize" if normalized else "may have been trained under VecNormalize"
        message = (
            f"the model in {path} {training}, and there is no {STATISTICS} beside it. Give the file as "
            "vecnormalize=PATH, or vecnormalize=false if its observations were not normalized"
        )
        if normalized:
            raise ValueError(message)
        warnings.warn(f"{message}. They are not normalized now", stacklevel=3)
    return statistics


def _was_normalized(data: Mapping[str, object]) -> bool | None:
    """Return True if a model was trained under VecNormalize; None if its archive does not record it."""
    # On-policy algorithms save the original observation only beside a normalized one; off-policy ones always do.
    if not {"gae_lambda", "n_steps", "_last_original_obs"} <= data.keys():
        return None
    if data["_last_original_obs"] is not None:
        return True
    return False if data.get("num_timesteps") else None


def _statistics_beside(path: Path) -> Path | None:
    """Find the statistics of VecNormalize beside an archive, under the names that other tools give them."""
    checkpoint = re.fullmatch(r"(.+)_(\d+)_steps", path.stem)
    names = [f"{checkpoint[1]}_vecnormalize_{checkpoint[2]}_steps.pkl"] if checkpoint else []
    for name in (*names, STATISTICS, f"{path.stem}/{STATISTICS}"):
        if (path.parent / name).is_file():
            return path.parent / name
    folders = [file for file in path.parent.glob(f"*/{STATISTICS}") if re.fullmatch(r".+-v\d+", file.parent.name)]
    if len(folders) > 1:
        raise ValueError(
            f"several files of statistics are beside {path}, {', '.join(map(str, sorted(folders)))}: choose one by "
            "vecnormalize=PATH, or vecnormalize=false if its observations were not normalized"
        )
    return folders[0] if folders else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
