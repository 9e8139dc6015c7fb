#!/usr/bin/env python3
"""Draws docs/learning.png from the runs in bench/results: python3 bench/plot_learning.py (needs matplotlib)."""
import csv
import glob
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = os.path.dirname(os.path.abspath(__file__))
PANELS = [("pendulum-v1", "Pendulum-v1, width 64, 8 + 16 proposals"),
          ("hopper-v4", "Hopper-v4, paper settings")]


def curve(path):
    with open(path) as file:
        rows = [row for row in csv.DictReader(file) if row["evaluation_return_mean"]]
    return [int(row["step"]) for row in rows], [float(row["evaluation_return_mean"]) for row in rows]


figure, axes = plt.subplots(1, len(PANELS), figsize=(10, 3.6), constrained_layout=True)
for axis, (name, title) in zip(axes, PANELS):
    for kind, words, color in (("", "float32", "tab:blue"), ("-bf16", "bfloat16 proposals", "tab:orange")):
        runs = [curve(path) for path in sorted(glob.glob(os.path.join(HERE, "results", f"mfpo-{name}{kind}-s*.csv")))]
        if not runs:
            continue
        for steps, returns in runs:
            axis.plot(steps, returns, linewidth=1, alpha=0.35, color=color)
        shared = sorted(set.intersection(*(set(steps) for steps, _ in runs)))
        means = [sum(dict(zip(*run))[step] for run in runs) / len(runs) for step in shared]
        axis.plot(shared, means, linewidth=2.2, color=color, label=f"{words}: mean of {len(runs)}, and each seed")
    axis.set(title=title, xlabel="environment steps", ylabel="evaluation return")
    axis.grid(alpha=0.3)
    axis.legend(loc="best", fontsize="small")
figure.savefig(os.path.join(HERE, "..", "docs", "learning.png"), dpi=110)
