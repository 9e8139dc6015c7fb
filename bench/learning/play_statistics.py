"""Statistics of OGBench play data (cube-single, -double, -triple), one column a file: means over episodes and their
standard errors. A cube is in the gripper where its centre is within 3 cm of the pinch and the fingers feel a force
(entry 18 of the observation above .1), and carried where its centre is also above 3 cm.

    python3 bench/learning/play_statistics.py MINE.npz THEIRS.npz
"""
import os
import sys

import numpy as np


def episodes(path):
    """(observations, actions, cube positions [steps, cubes, 3]) of each episode of a file."""
    with np.load(path) as data:
        ends = np.flatnonzero(data["terminals"]) + 1
        arrays = [data[name].astype(np.float64) for name in ("observations", "actions", "qpos")]
    for begin, end in zip(np.r_[0, ends[:-1]], ends):
        observations, actions, qpos = (array[begin:end] for array in arrays)
        yield observations, actions, qpos[:, 14:].reshape(end - begin, -1, 7)[:, :, :3]


def measure(observations, actions, cubes):
    pinch = observations[:, 12:15] / 10 + [0.425, 0, 0]
    held = (np.linalg.norm(cubes - pinch[:, None], axis=-1) < 0.03) & (observations[:, 18, None] > 0.1)
    rows = {
        "steps of an episode": len(actions),
        "share of steps with a cube in the gripper": held.any(axis=1).mean(),
        "share of steps with a cube carried": (held & (cubes[:, :, 2] > 0.03)).any(axis=1).mean(),
        "way of a cube (m)": np.linalg.norm(np.diff(cubes, axis=0), axis=-1).sum(axis=0).mean(),
        "displacement of a cube, start to end (m)": np.linalg.norm(cubes[-1] - cubes[0], axis=-1).mean(),
        "share of other steps with a cube above 5 cm (stacked)": (cubes[:, :, 2] > 0.05).any(axis=1)[~held.any(axis=1)].mean(),
    }
    for i, name in enumerate(("x", "y", "z", "yaw", "gripper")):
        rows[f"action mean, {name}"] = actions[:, i].mean()
        rows[f"action deviation, {name}"] = actions[:, i].std()
    return rows


def main(paths):
    columns = []
    for path in paths:
        all_rows = [measure(*episode) for episode in episodes(path)]
        columns.append((len(all_rows), {name: np.array([rows[name] for rows in all_rows]) for name in all_rows[0]}))
    print("| | " + " | ".join(f"{os.path.basename(path)}, {n} episodes" for path, (n, _) in zip(paths, columns)) +
          (" | difference / its error |" if len(paths) == 2 else " |"))
    print("| --- |" + " --- |" * (len(paths) + (len(paths) == 2)))
    for name in columns[0][1]:
        means = [column[name].mean() for _, column in columns]
        errors = [column[name].std(ddof=1) / np.sqrt(n) for n, column in columns]
        line = f"| {name} | " + " | ".join(f"{m:.4f} ± {e:.4f}" for m, e in zip(means, errors))
        if len(paths) == 2:
            error = np.hypot(*errors)
            line += f" | {(means[0] - means[1]) / error:.1f}" if error > 0 else " | 0"
        print(line + " |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
