"""A suite on a cluster gives the results of one machine, also when a machine is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runner import runner
from benchmarks.suite.suite_file import read_suite
from demos.runtime.engines import LocalEngine, make_engine

from ..clusters import small_cluster
from .suites import finished, written

SMALLER: dict[str, Any] = {"periodic_eval": {"evaluations": 2, "episodes": 1}, "videos": None}


@pytest.fixture
def cluster() -> Iterator[Any]:
    with small_cluster() as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shared", [False, True])
def test_a_suite_whose_machine_is_lost_ends_with_the_results_of_one_machine(
    shared: bool, cluster: Any, tmp_path: Path
) -> None:
    import ray

    agents = ["tests.benchmarks.third_party:Raising", "random", "expert", "bc"]
    suite = read_suite(written(tmp_path, agents=agents, **SMALLER))
    here = runner.run(suite, tmp_path / "here", LocalEngine(2))
    lost = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    class Losing:
        """Loses a machine once two jobs are done."""

        workers = 2

        def run(self, jobs: Any, **keywords: Any) -> Iterator[Any]:
            for number, done in enumerate(
                make_engine("ray", 2, shared_filesystem=shared).run(jobs, **keywords), start=1
            ):
                if number == 2:
                    cluster.remove_node(lost, allow_graceful=False)
                yield done

    there = runner.run(suite, tmp_path / "there", Losing())
    assert sum(node["Alive"] for node in ray.nodes()) == 1
    assert finished(there) == finished(here)
    failed = [runner.failures(folder) for folder in (here, there)]
    assert list(failed[0]) == list(failed[1])
    assert len(failed[0]) == 1
