"""The MFPO learner of the method's authors, in the user's own checkout (--repository PATH): its update, its acting."""
import argparse
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402

import gymnasium.utils.seeding  # noqa: E402
import jax  # noqa: E402
import jaxlib  # noqa: E402
import numpy as np  # noqa: E402


def learner_class(repository):
    """Their learner and its settings. Gymnasium stands in for the gym they import; only its spaces are used."""
    for name in ("", ".spaces", ".utils", ".utils.seeding"):
        sys.modules.setdefault("gym" + name, sys.modules["gymnasium" + name])
    sys.path.insert(0, repository)
    from configs.mfpo_config import get_config
    from jaxrl5.agents import MeanFlowLearner
    options = dict(get_config())
    options.pop("model_cls")
    return MeanFlowLearner, options


def make(threads, data, more):
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", required=True)
    create, options = learner_class(parser.parse_known_args(more)[0].repository)

    def agent_for(task):
        sizes = worker.TASKS[task]
        box = gymnasium.spaces.Box
        return create.create(1, box(-np.inf, np.inf, (sizes["observations"],), np.float32),
                             box(-1.0, 1.0, (sizes["actions"],), np.float32),
                             **options | {"use_cdq": sizes["clipped_double_q"]})

    def update(task):
        def prepare():
            batch = worker.batch_of(data, task)
            batch = {theirs: jax.numpy.asarray(batch[own]) for theirs, own in
                     (("observations", "state"), ("actions", "action"), ("rewards", "reward"), ("masks", "mask"),
                      ("next_observations", "next_state"))}

            def call():
                call.agent, call.losses = jax.block_until_ready(call.agent.update(batch))

            def check():
                if not all(math.isfinite(float(call.losses[name])) for name in ("c_loss_1", "actor_loss", "logp_loss")):
                    raise ValueError("a loss is not finite")

            call.agent = agent_for(task)
            return call, check
        return prepare

    def acting(method):
        def prepare():
            state = data["update.HalfCheetah.state"][0]

            def call():
                action, call.agent = getattr(call.agent, method)(state)
                return np.asarray(action)

            call.agent = agent_for("HalfCheetah")
            return call, None
        return prepare

    cases = {f"mfpo_update/{task}": update(task) for task in worker.TASKS}
    cases |= {"act/mfpo_explore": acting("sample_actions"), "act/mfpo_evaluate_10": acting("eval_actions")}
    return ("jax_authors", f"jax {jax.__version__}, jaxlib {jaxlib.__version__}", "the authors' learner as it is",
            cases)


if __name__ == "__main__":
    worker.run(make)
