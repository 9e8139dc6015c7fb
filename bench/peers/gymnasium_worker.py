"""Steps of Gymnasium's environments: one call is one step with a random action. Where MuJoCo's robot falls, the first
state of the episode is put back, which costs less than a reset: it is the steps that are compared."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402

import gymnasium  # noqa: E402
import mujoco  # noqa: E402
import numpy as np  # noqa: E402

ENVIRONMENTS = ("HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "Pendulum-v1")


def case(name):
    def prepare():
        environment = gymnasium.make(name)
        environment.reset(seed=1)
        plain = environment.unwrapped
        begin = (plain.data.qpos.copy(), plain.data.qvel.copy()) if hasattr(plain, "set_state") else None
        space = environment.action_space
        actions = np.random.default_rng(1).uniform(space.low, space.high, (1000,) + space.shape).astype(space.dtype)

        def call():
            call.count += 1
            _, _, terminated, truncated, _ = environment.step(actions[call.count % len(actions)])
            if truncated:
                environment.reset()
            elif terminated:
                plain.set_state(*begin)

        call.count = 0
        return call, None
    return prepare


def make(threads, data, more):
    return ("gymnasium", f"gymnasium {gymnasium.__version__}, mujoco {mujoco.__version__}",
            "env.step as gymnasium.make gives it",
            {"environment_step/" + name: case(name) for name in ENVIRONMENTS})


if __name__ == "__main__":
    worker.run(make)
