"""LeRobot dataset folders (v3.0), as ``LeRobotDataset`` reads them.

https://huggingface.co/docs/lerobot/lerobot-dataset-v3

Each step is one frame: the observation before it (``observation.state``, ``observation.images.<camera>`` as video),
``action``, ``next.reward``, ``next.done``, ``next.success``, and the infos before it (``info.<name>``). Of dict
observations, the entry named ``observation`` or ``state``, or the only one that is no image, is
``observation.state``; other entries keep their names. A dot joins the names of nested entries.

``meta/lam_envs``, which LeRobot ignores, holds what frames cannot: the provenance, and the seed, checksum, last
observation and last infos of each episode.

LeRobot needs a whole number of frames per second: an export of a dataset with another rate is an error.
"""

from __future__ import annotations

from demos.formats.format import Format
from demos.formats.lerobot.layout import INFO
from demos.formats.lerobot.reading import read_dataset
from demos.formats.lerobot.writing import write_dataset

FORMAT = Format(
    "a folder of LeRobot v3.0 (meta/info.json, meta/episodes, data, videos)", write_dataset, read_dataset, INFO
)
