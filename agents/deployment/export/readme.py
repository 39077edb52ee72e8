"""README of an exported policy: inputs, outputs, and a loop that runs it without PyTorch."""

from __future__ import annotations

from agents.policies.encoders.instructions import MAX_WORDS, UNKNOWN, WORD_BYTES
from agents.types import JsonObject

MEANINGS = {
    "observation": "observation of the environment",
    "instruction": "numbers of the words of the instruction",
    "mentions": "position of each name among these words; -1 for a name that is not mentioned",
    "memory": "memory; zeros at the start of an episode, then the output of the last step",
    "noise": "noise that a chunk of actions is made from; zeros for the most likely actions, standard normal numbers "
    "for random ones",
    "action": "action, within the limits of the action space",
}


def readme(description: JsonObject) -> str:
    """Return the text of the README.

    Args:
        description: Content of ``model.json``.
    """
    inputs, outputs = description["inputs"], description["outputs"]
    checked = description["verification"]
    return f"""# Policy of agent `{description["agent"]}`

`model.onnx` is a trained policy for `{description["environment"]}`, exported by lam-envs {description["lam_envs"]}.
It runs for one environment, a step at a time. Observations go in as the environment gives them: their normalization
is a part of the model. `model.json` describes inputs and outputs for programs.

## Run

```sh
pip install lam-envs onnxruntime
```

```python
{_loop(description)}```

Set `feed` to zeros again at the start of each episode.

## Inputs

{_table(inputs)}

## Outputs

{_table(outputs)}

## Verification

Over {checked["steps"]} steps of {checked["episodes"]} episodes, actions of onnxruntime and of the policy in PyTorch
differed by at most {checked["largest_difference"]:.2g} (accepted: {checked["tolerance"]:g}).
"""


def _table(ports: list[JsonObject]) -> str:
    rows = [f"| `{port['name']}` | {port['shape']} | {port['dtype']} | {MEANINGS[port['role']]} |" for port in ports]
    return "\n".join(["| name | shape | type | content |", "|---|---|---|---|", *rows])


def token_lines(description: JsonObject) -> list[str]:
    """Return the lines of a function that numbers the words of an instruction, and finds names in it."""
    key = f'word.encode()[:{WORD_BYTES}].decode(errors="replace")'  # as vocabulary_key
    number = f'        words[place] = model["vocabulary"].get({key}, {UNKNOWN})'
    if "names" not in description:
        return [
            "",
            "",
            "def tokens(text):",
            f"    words = np.zeros({MAX_WORDS}, np.int64)",
            f'    for place, word in enumerate(re.findall(r"\\w+", text.lower())[:{MAX_WORDS}]):',
            number,
            '    return {"instruction": words}',
            "",
        ]
    rows = sum(int(port["shape"][0]) for port in description["inputs"] if port["role"] == "mentions")
    returned = '{"instruction": words, "mentions": mentions}' if rows else '{"instruction": words}'
    return [
        "",
        "",
        "def tokens(text):",
        f"    words, mentions = np.zeros({MAX_WORDS}, np.int64), np.full({rows}, -1, np.int64)",
        '    text = " ".join(re.findall(r"\\w+", text.lower()))',
        '    for name, row in model["names"].items():  # the longest names first',
        '        text = re.sub(rf"\\b{name}\\b", f"<{row}>", text)',
        f"    for place, word in reversed([*enumerate(text.split()[:{MAX_WORDS}])]):",
        number,
        '        if word[0] == "<":',
        '            words[place], mentions[int(word[1:-1])] = model["placeholder"], place',
        f"    return {returned}",
        "",
    ]


def _loop(description: JsonObject) -> str:
    """Return a program that runs an episode: imports, a function for instructions, and ten lines."""
    inputs = description["inputs"]
    observed = [port["name"] for port in inputs if port["role"] == "observation"]
    memory = [port["name"] for port in inputs if port["role"] == "memory"]
    is_worded = any(port["role"] == "instruction" for port in inputs)
    keywords = "".join(f", {name}={value}" for name, value in description["keywords"].items())
    given = f'feed["{observed[0]}"] = observation'
    if description["dict_observations"]:
        words = ", **tokens(env.unwrapped.instruction)" if is_worded else ""
        given = f"feed.update({{name: observation[name] for name in {tuple(observed)!r}}}{words})"
    remembered = "".join(f', feed["{name}"]' for name in memory)
    lines = [
        "import json",
        *(["import re"] if is_worded else []),
        "",
        "import gymnasium as gym",
        "import lam_envs",
        "import numpy as np",
        "import onnxruntime",
        *(token_lines(description) if is_worded else []),
        "",
        'session, model = onnxruntime.InferenceSession("model.onnx"), json.load(open("model.json"))',
        'feed = {port["name"]: np.zeros(port["shape"], port["dtype"]) for port in model["inputs"]}',
        f'env = gym.make("{description["environment"]}"{keywords})',
        "observation, info = env.reset(seed=1000)",
        "terminated = truncated = False",
        "while not (terminated or truncated):",
        f"    {given}",
        f"    action{remembered or ', *_'} = session.run(None, feed)",
        "    observation, _, terminated, truncated, info = env.step(action)",
        'print(info["is_success"])',
    ]
    return "\n".join(lines) + "\n"
