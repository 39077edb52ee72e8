"""Policy servers in a Python without lam-envs: of the package policy-websocket, and of msgpack-numpy alone.

The policy plans chunks of three actions, which are numbers of the state: the same bits in every version of NumPy.
"""

import sys

import numpy as np

METADATA = {"version": "numbers 1"}


def infer(observation):
    """Return a chunk of actions, shape (3, 4)."""
    return {"actions": observation["observation/state"][:12].reshape(3, 4).astype(np.float64)}


def serve_policy_websocket(port):
    """Serve by the package policy-websocket."""
    from policy_websocket import BasePolicy, WebsocketPolicyServer

    class Numbers(BasePolicy):
        """The policy."""

        def infer(self, obs):
            """Return a chunk of actions."""
            return infer(obs)

    WebsocketPolicyServer(Numbers(), "127.0.0.1", port, METADATA).serve_forever()


def serve_msgpack_numpy(port):
    """Serve by websockets and msgpack-numpy."""
    import msgpack_numpy
    from websockets.sync.server import serve

    def answer(client):
        client.send(msgpack_numpy.packb(METADATA))
        for message in client:
            client.send(msgpack_numpy.packb(infer(msgpack_numpy.unpackb(message))))

    with serve(answer, "127.0.0.1", port, compression=None, max_size=None) as server:
        server.serve_forever()


if __name__ == "__main__":
    assert np.__version__.startswith("1.")
    {"openpi": serve_policy_websocket, "msgpack-numpy": serve_msgpack_numpy}[sys.argv[1]](int(sys.argv[2]))
