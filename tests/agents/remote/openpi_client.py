"""Ask a policy server by openpi's client, in a Python without lam-envs: from a file to a file."""

import sys

import numpy as np

if sys.argv[1] == "openpi":
    from openpi_client.websocket_client_policy import WebsocketClientPolicy
else:
    from policy_websocket import WebsocketClientPolicy

_, _, port, prompt, observed, answered = sys.argv
assert np.__version__.startswith("1.")
client = WebsocketClientPolicy("127.0.0.1", int(port), api_key="the key")
with np.load(observed) as file:
    rows = {name: file[name] for name in file}
actions = []
for step in range(len(next(iter(rows.values())))):
    observation = {name: values[step] for name, values in rows.items()}
    actions.append(client.infer({**observation, "prompt": prompt})["actions"][0])
np.savez(answered, actions=np.array(actions), version=client.get_server_metadata()["version"])
if sys.argv[1] != "openpi":
    # Its __del__ would wait for a thread that has ended with the interpreter.
    client.close()
