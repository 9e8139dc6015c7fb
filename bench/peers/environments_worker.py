"""Steps of the environments of a Python package: one call is one step with a random action.

    environments_worker.py gymnasium|dm_control|ogbench|robosuite --threads N

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


ROBOMIMIC = {"lift": ("Lift", 300), "can": ("PickPlaceCan", 300), "square": ("NutAssemblySquare", 400)}
# The controller of robomimic's data sets for robosuite 1.5.
OPERATIONAL_SPACE = {"type": "BASIC", "body_parts": {"right": {
    "type": "OSC_POSE", "input_max": 1, "input_min": -1, "output_max": [0.05] * 3 + [0.5] * 3,
    "output_min": [-0.05] * 3 + [-0.5] * 3, "kp": 150, "damping_ratio": 1, "impedance_mode": "fixed",
    "kp_limits": [0, 300], "damping_ratio_limits": [0, 10], "position_limits": None, "orientation_limits": None,
    "uncouple_pos_ori": True, "input_type": "delta", "interpolation": None, "input_ref_frame": "world",
    "gripper": {"type": "GRIP"}}}}


def robosuite_case(name):
    def prepare():
        import logging
        logging.disable(logging.WARNING)
        import robosuite
        task, limit = ROBOMIMIC[name.split("-")[1]]
        np.random.seed(1)
        environment = robosuite.make(task, robots=["Panda"], controller_configs=OPERATIONAL_SPACE, control_freq=20,
                                     has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False,
                                     use_object_obs=True, ignore_done=True, lite_physics=False, reward_shaping=False)
        environment.reset()
        begin = environment.sim.get_state().flatten()
        actions = actions_in(-np.ones(7), np.ones(7))

        def call():
            call.count += 1
            environment.step(actions[call.count % ACTIONS])
            if call.count % limit == 0:
                environment.sim.set_state_from_flattened(begin)
                environment.sim.forward()

        call.count = 0
        return call, None
    return prepare


PACKAGES = {
    "gymnasium": (gymnasium_case, ("HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "Pendulum-v1")),
    "dm_control": (dm_control_case, ("dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run")),
    "ogbench": (ogbench_case, ("cube-double-play-singletask-v0",)),
    "robosuite": (robosuite_case, ("robomimic-lift", "robomimic-can", "robomimic-square")),
}


def make(threads, data, more):
    package, = more
    case, names = PACKAGES[package]
    return (package, f"{package} {version(package)}, mujoco {version('mujoco')}",
            "env.step as the package makes the task",
            {"environment_step/" + name: case(name) for name in names})


if __name__ == "__main__":
    worker.run(make)
