#!/usr/bin/env python3
"""Makes the HDF5 files beside this one, and for each layout FILE.npz with the rows that h5py gives of it.

    python3 -m venv VENV && VENV/bin/pip install "minari[create,hdf5]==0.5.4" && VENV/bin/python make.py FOLDER

tiny_lift.hdf5 is not made here: robosuite recorded it (see ../README.md).
"""
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["MINARI_DATASETS_PATH"] = tempfile.mkdtemp()
import gymnasium
import h5py
import numpy as np
from minari import DataCollector


def rows(path, observations, actions, rewards, masks, terminals):
    np.savez(path, observations=np.array(observations, "f4"), actions=np.array(actions, "f4"),
             rewards=np.array(rewards, "f4"), masks=np.array(masks, "f4"), terminals=np.array(terminals, bool))


# ---- Minari: by the package ----------------------------------------------------------------------------------------
class Point(gymnasium.Env):
    """Observations of several arrays; it ends where x passes 1."""
    observation_space = gymnasium.spaces.Dict({"position": gymnasium.spaces.Box(-9, 9, (2,)),
                                               "goal": gymnasium.spaces.Box(-9, 9, (1,))})
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def see(self):
        return {"position": self.x.astype("f4"), "goal": np.ones(1, "f4")}

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.x = np.zeros(2)
        return self.see(), {}

    def step(self, action):
        self.x = self.x + action
        return self.see(), float(action[0]), bool(abs(self.x[0]) > 1), False, {}


def minari(env, name, episodes):
    env = DataCollector(env)
    env.action_space.seed(0)
    for episode in range(episodes):
        env.reset(seed=episode)
        while not any(env.step(env.action_space.sample())[2:4]):
            pass
    env.create_dataset(name, algorithm_name="random")
    return pathlib.Path(os.environ["MINARI_DATASETS_PATH"], name)


def minari_rows(path, out, see, scale):
    table = [[], [], [], [], []]
    with h5py.File(path) as f:
        for name in sorted(f, key=lambda n: int(n[8:])):
            g, n = f[name], len(f[name]["rewards"])
            parts = (see(g), np.concatenate([g["actions"][:] / scale, np.zeros((1, g["actions"].shape[1]))]),
                     np.append(g["rewards"][:], 0), np.append(1 - g["terminations"][:], 1), np.arange(n + 1) == n)
            for column, part in zip(table, parts):
                column.extend(part)
    rows(out, *table)


# ---- D4RL: as its scripts write, with h5py and gzip ----------------------------------------------------------------
def d4rl():
    """Of 12 steps an episode that was cut after 5, one that ended after 4 more, and one under way."""
    rng = np.random.default_rng(0)
    n = 12
    observations = rng.normal(size=(n, 3)).astype("f4")
    following = np.concatenate([observations[1:], observations[:1]])
    following[[4, 8, 11]] += 1
    actions, rewards = rng.uniform(-1, 1, (n, 2)).astype("f4"), rng.normal(size=n).astype("f4")
    terminals, timeouts = np.arange(n) == 8, np.arange(n) == 4
    with h5py.File("d4rl.hdf5", "w") as f:
        for name, array in dict(observations=observations, next_observations=following, actions=actions,
                                rewards=rewards, terminals=terminals, timeouts=timeouts).items():
            f.create_dataset(name, data=array, compression="gzip")
        f.create_dataset("infos/qpos", data=np.zeros((n, 2)), compression="gzip")
    table = [[], [], [], [], []]
    for t in range(n):
        for column, x in zip(table, (observations[t], actions[t], rewards[t], 1 - terminals[t], 0)):
            column.append(x)
        if t in (4, 8, 11):
            for column, x in zip(table, (following[t], np.zeros(2), 0, 1, 1)):
                column.append(x)
    rows("d4rl.npz", *table)


# ---- robomimic: what is in tiny_lift.hdf5 --------------------------------------------------------------------------
def robomimic():
    keys = "robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos", "object"
    table = [[], [], [], [], []]
    with h5py.File(pathlib.Path(__file__).parent / "tiny_lift.hdf5") as f:
        for name in sorted(f["data"], key=lambda n: int(n[5:])):
            g = f["data"][name]
            now, following = (np.concatenate([g[group][k][:] for k in keys], 1) for group in ("obs", "next_obs"))
            for t, done in enumerate(g["dones"]):
                for column, x in zip(table, (now[t], g["actions"][t], g["rewards"][t] - 1, 1 - done, 0)):
                    column.append(x)
                if done:
                    for column, x in zip(table, (following[t], np.zeros(7), 0, 1, 1)):
                        column.append(x)
    rows("tiny_lift.npz", *table)


# ---- types and packings that are read, and what is refused ---------------------------------------------------------
def odd():
    x = np.arange(12).reshape(4, 3)
    with h5py.File("odd.hdf5", "w") as f:
        f["int16_big_endian"], f["double_big_endian"] = x.astype(">i2"), (x / 8).astype(">f8")
        f["half"], f["bool"], f["uint64"] = (x / 8).astype("f2"), x % 2 == 0, x.astype("u8")
        f["scalar"], f["empty"], f["group/array"] = 2.5, np.zeros((0, 3)), x
        f.create_dataset("packed", data=x.astype("f4"), chunks=(3, 2), compression="gzip", shuffle=True,
                         fletcher32=True)
        f["texts"] = np.array(["a", "bcd"], dtype="S")
        f.create_dataset("texts_of_any_length", data=["a", "bcd"], dtype=h5py.string_dtype())
        f["text"], f["complex"] = np.array([b"1", b"2"]), x.astype("c8")
        f["compound"] = np.zeros(2, dtype=[("a", "f4"), ("b", "i4")])
        f.create_dataset("lzf", data=x, compression="lzf")
        f.create_dataset("no_shape", data=h5py.Empty("f4"))
        f.create_dataset("rows_2_40", shape=(2**40, 3), dtype="f4", chunks=(1024, 3), compression="gzip")
        f.create_dataset("rows_2_40_plain", shape=(2**40,), dtype="f4")
        f.create_dataset("external", shape=(4,), dtype="f4", external=[("/etc/passwd", 0, 16)])
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource("d4rl.hdf5", "rewards", shape=(12,))[:4]
        f.create_virtual_dataset("virtual", layout)
        f["soft"], f["dangling"] = h5py.SoftLink("/packed"), h5py.SoftLink("/nowhere")
        f["outside"], f["cycle"] = h5py.ExternalLink("d4rl.hdf5", "/rewards"), f["/"]
        f.attrs["text"], f.attrs["bytes"], f.attrs["number"] = "\u00e9", np.bytes_("abc"), -7
        f.attrs["real"], f.attrs["list"] = 1.5, [1, 2]


os.chdir(sys.argv[1])
pendulum = minari(gymnasium.make("Pendulum-v1", max_episode_steps=7), "pendulum/small-v0", 2)
shutil.copytree(pendulum / "data", "minari", dirs_exist_ok=True)
minari_rows("minari/main_data.hdf5", "minari.npz", lambda g: g["observations"][:], 2)   # Pendulum's range
point = minari(gymnasium.wrappers.TimeLimit(Point(), 9), "point/small-v0", 2)
shutil.copy(point / "data/main_data.hdf5", "minari_dict.hdf5")
minari_rows("minari_dict.hdf5", "minari_dict.npz",
            lambda g: np.concatenate([g["observations"]["goal"][:], g["observations"]["position"][:]], 1), 1)
d4rl()
robomimic()
odd()
