"""Steps of the environments of a Python package: one call is one step with a random action.

    environments_worker.py gymnasium|dm_control|ogbench --threads N

Where an episode ends by itself the state in which it began is put back, which costs less than a reset: it is the steps that
are compared. At a time limit the package resets, once in hundreds of steps.
"""
import os
import sys
from importlib.metadata import version

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault("MUJOCO_GL", "disabled")  # nothing is drawn
import worker  # noqa: E402

import numpy as np  # noqa: E402

ACTIONS = 1000  # drawn beforehand, then repeated


def actions_in(low, high, dtype=float):
    return np.random.default_rng(1).uniform(low, high, (ACTIONS,) + low.shape).astype(dtype)


def stepping(environment, back_to_beginning):
    """Steps of an environment with the interface of Gymnasium."""
    environment.reset(seed=1)
    begin = back_to_beginning()
    actions = actions_in(environment.action_space.low, environment.action_space.high, environment.action_space.dtype)

    def call():
        call.count += 1
        _, _, terminated, truncated, _ = environment.step(actions[call.count % ACTIONS])
        if truncated:
            environment.reset()
        elif terminated:
            begin()

    call.count = 0
    return call, None


def gymnasium_case(name):
    def prepare():
        import gymnasium
        environment = gymnasium.make(name)

        def back_to_beginning():
            plain = environment.unwrapped
            if not hasattr(plain, "set_state"):
                return None
            state = plain.data.qpos.copy(), plain.data.qvel.copy()
            return lambda: plain.set_state(*state)

        return stepping(environment, back_to_beginning)
    return prepare


def ogbench_case(name):
    def prepare():
        import ogbench
        environment = ogbench.make_env_and_datasets(name, env_only=True)
        return stepping(environment, lambda: environment.reset)  # random actions place no cube
    return prepare


def dm_control_case(name):
    def prepare():
        from dm_control import suite
        _, domain, task = name.split("-")
        environment = suite.load(domain, task, task_kwargs={"random": 1})
        environment.reset()
        specification = environment.action_spec()
        actions = actions_in(specification.minimum, specification.maximum)

        def call():
            call.count += 1
            if environment.step(actions[call.count % ACTIONS]).last():
                environment.reset()

        call.count = 0
        return call, None
    return prepare


PACKAGES = {
    "gymnasium": (gymnasium_case, ("HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "Pendulum-v1")),
    "dm_control": (dm_control_case, ("dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run")),
    "ogbench": (ogbench_case, ("cube-double-play-singletask-v0",)),
}


def make(threads, data, more):
    package, = more
    case, names = PACKAGES[package]
    return (package, f"{package} {version(package)}, mujoco {version('mujoco')}",
            "env.step as the package makes the task",
            {"environment_step/" + name: case(name) for name in names})


if __name__ == "__main__":
    worker.run(make)
