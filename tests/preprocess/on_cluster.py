"""Prepares ``argv[1]/ingested`` into ``argv[1]/output`` on a Ray cluster of two nodes that it starts on this machine.

A process of its own, since a process has one engine. Says how many nodes the cluster had.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from services.preprocess.spec import PreprocessSpec
from services.preprocess.stage import preprocess_stage
from tidemill.contracts import parse_recipe
from tidemill.jobs.report import Inputs, SilentReport

MEMORY = 100 << 20


def main(folder: Path) -> None:
    node = {"num_cpus": 1, "object_store_memory": MEMORY, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    try:
        recipe = parse_recipe(json.loads((folder / "recipe.json").read_text(encoding="utf-8")))
        spec = PreprocessSpec.of("text-classification", recipe)
        stage = preprocess_stage(ray_address=cluster.address)
        stage.work(spec, Inputs({"dataset": folder / "ingested"}), folder / "output", SilentReport())
        alive = [one["NodeID"] for one in ray.nodes() if one["Alive"]]
        print(len(alive))
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
