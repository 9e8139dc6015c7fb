"""Records what tests/envs/resets_test.cpp compares with: 10,000 resets of each task, drawn by its own package.

    pip install gymnasium[mujoco]==1.2.3 dm_control==1.0.28 mujoco==3.3.1
    python3 tests/data/resets/record.py tests/data/resets/resets.safetensors

A minute. Tasks that reset alike share an entry: the script checks that one seed gives them one state, then draws from
the first. A state is qpos, qvel and act in a row; Pendulum's is its angle and velocity. Of each entry the file holds

    NAME/constants    [N]     float64  the components that never vary, as they are; NaN for those that do
    NAME/varying      [C]     int32    which components vary
    NAME/order        [C, Q]  float64  order statistics of each: the values of the ranks in `ranks`
    NAME/covariance   [C, C]  float64  of the varying components, about their means

beside `ranks` [Q] int32, which counts from 0. The metadata: resets (how many), TASK: NAME for every task, and the versions
of the packages.
"""
import argparse
import json
import platform
import struct
from importlib.metadata import version

import gymnasium
import numpy as np
from dm_control import suite

RESETS = 10_000
EVERY = 20  # the rank of every 20th value is kept, so that a distribution function is known within 20 / 10,000
RANKS = list(range(0, RESETS, EVERY)) + [RESETS - 1]
AGREE = 3   # seeds on which tasks of an entry must give the same state

BOTH = ("HalfCheetah", "Hopper", "Walker2d", "Ant", "Humanoid", "HumanoidStandup", "Swimmer", "InvertedPendulum",
        "InvertedDoublePendulum", "Reacher")
ENTRIES = ({name: [f"{name}-v4", f"{name}-v5"] for name in BOTH}
           | {"Pusher": ["Pusher-v5"], "Pendulum": ["Pendulum-v1"],
              "dmc-cartpole": ["dmc-cartpole-swingup"], "dmc-cheetah": ["dmc-cheetah-run"],
              "dmc-walker": ["dmc-walker-stand", "dmc-walker-walk", "dmc-walker-run"],
              "dmc-hopper": ["dmc-hopper-stand", "dmc-hopper-hop"],
              "dmc-humanoid": ["dmc-humanoid-stand", "dmc-humanoid-walk", "dmc-humanoid-run"],
              "dmc-dog": ["dmc-dog-stand", "dmc-dog-walk", "dmc-dog-trot", "dmc-dog-run"]})


def resets(task, seed):
    """The states of one reset after the other."""
    if task.startswith("dmc-"):
        _, domain, name = task.split("-")
        environment = suite.load(domain, name, task_kwargs={"random": seed})
        data = environment.physics.data
        while True:
            environment.reset()
            yield np.concatenate([data.qpos, data.qvel, data.act])
    environment = gymnasium.make(task)
    environment.reset(seed=seed)
    while True:
        plain = environment.unwrapped
        yield (np.array(plain.state) if task == "Pendulum-v1"
               else np.concatenate([plain.data.qpos, plain.data.qvel, plain.data.act]))
        environment.reset()


def record(name, tasks):
    for seed in range(AGREE):
        first, *others = [next(resets(task, seed)) for task in tasks]
        if not all(np.array_equal(first, other) for other in others):
            raise SystemExit(f"{' and '.join(tasks)} do not reset alike")
    draws = resets(tasks[0], 0)
    states = np.array([next(draws) for _ in range(RESETS)])
    varying = np.flatnonzero(np.any(states != states[0], axis=0))
    constants = states[0].copy()
    constants[varying] = np.nan
    ordered = np.sort(states[:, varying], axis=0)
    if np.any(ordered[1:] == ordered[:-1]):
        raise SystemExit(f"{name}: a value comes twice, so that its rank is not known")
    print(f"{name}: {len(constants)} components, {len(varying)} vary", flush=True)
    return {f"{name}/constants": constants, f"{name}/varying": varying.astype("<i4"),
            f"{name}/order": ordered[RANKS].T,
            f"{name}/covariance": np.cov(states[:, varying], rowvar=False, bias=True)}


def write(path, tensors, metadata):
    """A safetensors file, the 8-byte numbers first so that all are aligned."""
    arrays = {key: np.ascontiguousarray(value, "<i4" if value.dtype.kind == "i" else "<f8")
              for key, value in sorted(tensors.items(), key=lambda item: item[1].dtype.kind == "i")}
    header, offset = {"__metadata__": metadata}, 0
    for key, array in arrays.items():
        header[key] = {"dtype": "I32" if array.dtype.kind == "i" else "F64", "shape": list(array.shape),
                       "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.tobytes())


def main():
    parser = argparse.ArgumentParser(description="Records 10,000 resets of each task of Gymnasium and dm_control.")
    parser.add_argument("file")
    options = parser.parse_args()
    tensors, names = {"ranks": np.array(RANKS)}, {}
    for name, tasks in ENTRIES.items():
        tensors |= record(name, tasks)
        names |= dict.fromkeys(tasks, name)
    versions = {package: version(package) for package in ("gymnasium", "dm_control", "mujoco", "numpy")}
    write(options.file, tensors,
          names | {"resets": str(RESETS), "versions": json.dumps(versions | {"python": platform.python_version()})})


if __name__ == "__main__":
    main()
