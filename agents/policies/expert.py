"""Scripted expert as an agent: the upper baseline of every comparison."""

from __future__ import annotations

from agents.spec import AgentSpec
from agents.types import Env
from demos.experts import ExpertPolicy, make_expert


class ExpertAgent(ExpertPolicy):
    """Agent that acts like the scripted expert of the environment's task.

    Args:
        env: Environment of lam_envs.
    """

    spec = AgentSpec("expert", needs_demonstrations=False)

    def __init__(self, env: Env) -> None:
        super().__init__(make_expert(env).expert, env)
