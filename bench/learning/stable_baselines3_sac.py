#!/usr/bin/env python3
"""Stable-Baselines3's SAC with its defaults, as the curve that Meander's is held against: evaluation returns as csv.

    python3 bench/learning/stable_baselines3_sac.py --env HalfCheetah-v4 --seed 0 --out sb3-sac-halfcheetah-v4-s0.csv

Needs the packages of requirements-stable-baselines3.txt beside it. 10,000 random steps first, one thread.
"""
import argparse
import csv
import time

import gymnasium
import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback


class Evaluate(BaseCallback):
    """Every `interval` steps, mean and deviation of the undiscounted returns of whole episodes, by the mean action."""

    def __init__(self, environment, interval, episodes, out, seed):
        super().__init__()
        self.environment, self.interval, self.episodes, self.out, self.seed = environment, interval, episodes, out, seed
        self.start = time.monotonic()

    def _on_step(self):
        if self.num_timesteps % self.interval:
            return True
        returns = []
        for episode in range(self.episodes):
            observation, _ = self.environment.reset(seed=1_000_003 * self.seed + self.num_timesteps + episode)
            total, over = 0.0, False
            while not over:
                action, _ = self.model.predict(observation, deterministic=True)
                observation, reward, terminated, truncated, _ = self.environment.step(action)
                total += reward
                over = terminated or truncated
            returns.append(total)
        with open(self.out, "a", newline="") as file:
            csv.writer(file).writerow([self.num_timesteps, f"{time.monotonic() - self.start:.1f}",
                                       f"{np.mean(returns):.6g}", f"{np.std(returns):.6g}"])
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="HalfCheetah-v4")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--random-steps", type=int, default=10_000)
    parser.add_argument("--interval", type=int, default=5_000)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with open(options.out, "w", newline="") as file:
        csv.writer(file).writerow(["step", "wall_seconds", "evaluation_return_mean", "evaluation_return_std"])
    model = SAC("MlpPolicy", gymnasium.make(options.env), learning_starts=options.random_steps, seed=options.seed,
                device="cpu")
    model.learn(options.steps, callback=Evaluate(gymnasium.make(options.env), options.interval, options.episodes,
                                                 options.out, options.seed))


if __name__ == "__main__":
    main()
