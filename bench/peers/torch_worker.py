"""Meander's work in PyTorch: eager, through torch.compile with --compile, on a GPU also compiled and captured in a CUDA
graph with --graph. On a processor the driver runs the eager one twice: as it comes, and with malloc thresholds in the
environment, which --tuned says.

On a GPU batches and weights lie there beforehand; a state comes from memory of the host that the GPU copies by itself,
and its action goes there. An update (draws made on the GPU, losses left there) and an action are waited for one by one,
the other cases queued and waited for once a sample. tf32 holds for all products; bfloat16, by autocast, where Meander
has it: in passes without gradient, of an update in those that draw and score proposals.
"""
import contextlib
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402
from cases import GRAPH_CALLS  # noqa: E402
from torch_learner import (COMPILE, CUDA, DEVICE, GRAPH, PRECISION, Learner, flow, gelu, inference,  # noqa: E402
                           layer_norm, optimised, project, tensor, trunk)

import numpy as np  # noqa: E402
import torch  # noqa: E402


# ---- cases -----------------------------------------------------------------------------------------------------------

def mean_abs(*tensors):
    return sum(float(t.detach().abs().sum(dtype=torch.float64)) for t in tensors) / sum(t.numel() for t in tensors)


def under(mode, f):
    def call():
        with mode():
            return f()
    return call


def graphed(f, calls=1):
    """f in a CUDA graph, so many times one after the other; its result stays where it was at the capture."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            f()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            result = f()

    def replay():
        graph.replay()
        return result
    return replay


def queued(mode, f, calls=GRAPH_CALLS):
    """A call that a GPU is given and not waited for."""
    call = under(mode, f)
    if GRAPH:
        call = graphed(call, calls)
        call.calls = calls
    if CUDA:
        call.wait = torch.cuda.synchronize
    return call


def plain_net(data, prefix, grad=False):
    """Weights of one of the nets in the data file, under the names that trunk() knows."""
    p = {}
    for i in range(4):
        p[f"dense_{i}/kernel"], p[f"dense_{i}/bias"] = data[f"{prefix}.weight_{i}"], data[f"{prefix}.bias_{i}"]
        if i < 3:
            p[f"norm_{i}/scale"], p[f"norm_{i}/bias"] = data[f"{prefix}.scale_{i}"], data[f"{prefix}.shift_{i}"]
    return {k: tensor(v).requires_grad_(grad) for k, v in p.items()}


def update_case(data, task):
    def prepare():
        learner = Learner(*worker.learner(task))
        batch = {k: tensor(v) for k, v in worker.batch_of(data, task).items()}
        update = lambda: learner.update(batch)
        if GRAPH:
            update = graphed(update)

        def call():
            call.losses = update()
            if CUDA:
                torch.cuda.synchronize()

        def check():
            if not all(math.isfinite(float(loss)) for loss in call.losses.values()):
                raise ValueError("a loss is not finite")

        return call, check
    return prepare


def acting_case(data, count):
    def prepare():
        learner = Learner(*worker.learner("HalfCheetah"))
        actor = {k: v.detach() for k, v in learner.p["actor"].items()}
        critics = list(learner.target.values())
        state = data["update.HalfCheetah.state"][0]

        @optimised
        def act(s):
            if count == 1:
                return learner.sample(actor, None, s, torch.randn(1, learner.c.actions, device=DEVICE))[0][0]
            return learner.best(actor, critics, s, count)[0]

        if not CUDA:
            return under(inference, lambda: act(torch.from_numpy(state)[None]).numpy()), None
        given, action = torch.from_numpy(state)[None].pin_memory(), torch.empty(learner.c.actions).pin_memory()
        go = under(inference, lambda: action.copy_(act(given.to(DEVICE, non_blocking=True)), non_blocking=True))
        if GRAPH:
            go = graphed(go)

        def call():
            go()
            torch.cuda.synchronize()
            return action.numpy()

        return call, None
    return prepare


def one_step_case(data):
    def prepare():
        p = {k: torch.from_numpy(v) for k, v in worker.part(data, "one_step.").items()}
        state, noise = data["one_step.state"], data["one_step.noise"]

        def net(name, x):
            for i in range(4):
                x = gelu(torch.addmm(p[f"{name}.bias_{i}"], x, p[f"{name}.weight_{i}"]))
                if name != "actor":
                    x = layer_norm(x, p[f"{name}.scale_{i}"], p[f"{name}.shift_{i}"])
            return torch.addmm(p[f"{name}.bias_4"], x, p[f"{name}.weight_4"])

        @optimised
        def act(state, noise):
            n = noise.shape[0]
            s = state.expand(n, -1)
            times = torch.cat([torch.ones(n, 1), torch.zeros(n, 1)], 1)
            a = (noise - net("actor", torch.cat([s, noise, times], 1))).clamp(-1.0, 1.0)
            sa = torch.cat([s, a], 1)
            q = net("critic_0", sa) + net("critic_1", sa)
            return a[q[:, 0].argmax()]

        call = under(torch.inference_mode, lambda: act(torch.from_numpy(state), torch.from_numpy(noise)).numpy())
        return call, lambda: float(np.abs(call()).mean())
    return prepare


def network_case(data, prefix, rows, what):
    def prepare():
        p = plain_net(data, prefix, grad=what == "backward")
        x = tensor(data[f"{prefix}.x"][:rows])
        if what == "forward":
            go = optimised(lambda x: trunk(p, x))
            call = queued(inference, lambda: go(x))
            return call, lambda: mean_abs(call())
        dx, dy = tensor(data["mlp.dx"][:rows]), tensor(data["mlp.dy"][:rows])
        along = optimised(lambda x, dx: torch.func.jvp(lambda x: trunk(p, x), (x,), (dx,)))
        if what == "value_and_tangent":
            call = queued(torch.no_grad, lambda: along(x, dx))
            return call, lambda: mean_abs(*call())
        parameters = list(p.values())

        @optimised
        def loss(x, dx, dy):
            y, du = torch.func.jvp(lambda x: trunk(p, x), (x,), (dx,))
            return (y * dy).sum(), du.detach()

        call = queued(contextlib.nullcontext, lambda: torch.autograd.grad(loss(x, dx, dy)[0], parameters))
        return call, lambda: mean_abs(*call())
    return prepare


def actor_case(data):
    def prepare():
        learner = Learner(*worker.learner("HalfCheetah"))
        p, random = learner.p["actor"], np.random.default_rng(2)
        s, x = (tensor(data["update.HalfCheetah." + name]) for name in ("state", "action"))
        rows = s.shape[0]
        v, dy = (tensor(random.standard_normal(tuple(x.shape)).astype(np.float32)) for _ in range(2))
        t = tensor(random.uniform(0.5, 0.9, (rows, 1)).astype(np.float32))
        h = t * tensor(random.uniform(0.1, 0.9, (rows, 1)).astype(np.float32))
        one = torch.ones_like(t)
        parameters = list(p.values())

        @optimised
        def loss(s, x, t, h, v, dy):
            u, du = torch.func.jvp(lambda x, t, h: flow(p, s, x, t, h), (x, t, h), (v, one, one))
            return (u * dy).sum(), du.detach()

        return queued(contextlib.nullcontext, lambda: torch.autograd.grad(loss(s, x, t, h, v, dy)[0], parameters)), None
    return prepare


def candidates_case(data):
    def prepare():
        learner = Learner(*worker.learner("HalfCheetah"))
        actor = {k: v.detach() for k, v in learner.p["actor"].items()}
        critics, s = list(learner.target.values()), tensor(data["update.HalfCheetah.state"])
        best = optimised(lambda s: learner.best(actor, critics, s, 10))
        return queued(inference, lambda: best(s)), None
    return prepare


def adam_case(data):
    def prepare():
        p = torch.from_numpy(data["adam.params"]).requires_grad_()
        target = p.detach().clone()
        p.grad = torch.from_numpy(data["adam.gradient"])
        adam = torch.optim.Adam([p], lr=3e-4, fused=True)
        adam.step()
        adam.state[p]["exp_avg"].copy_(torch.from_numpy(data["adam.m"]))
        adam.state[p]["exp_avg_sq"].copy_(torch.from_numpy(data["adam.v"]))

        def call():
            adam.step()
            with torch.no_grad():
                target.lerp_(p, 0.005)
        return call, None
    return prepare


def layer_norm_case(data):
    def prepare():
        x, scale, shift = (torch.from_numpy(data["norm." + name]) for name in ("x", "scale", "shift"))
        go = optimised(lambda x: gelu(layer_norm(x, scale, shift)))
        call = under(torch.inference_mode, lambda: go(x))
        return call, lambda: mean_abs(call())
    return prepare


def projection_case(data):
    def prepare():
        prob, position = torch.from_numpy(data["c51.prob"]), torch.from_numpy(data["c51.position"])
        go = optimised(lambda prob, position: project(prob, position.clamp(-1600.0, 1600.0), -1600.0, 32.0))
        call = under(torch.inference_mode, lambda: go(prob, position))
        return call, lambda: mean_abs(call() ** 2)  # the mean itself would be 1 / atoms whatever it does
    return prepare


def make(threads, data, more):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    cases = worker.named_cases(globals(), data)
    tuned = "malloc thresholds" if "--tuned" in more or COMPILE else "as installed"
    who = "torch_compile" if COMPILE else "torch_eager_tuned" if "--tuned" in more else "torch_eager"
    if CUDA:
        who = "torch_graph" if GRAPH else who
        tuned = f"{'in a graph, ' * GRAPH}{PRECISION} on {torch.cuda.get_device_name()}"
    return who, f"torch {torch.__version__}", f"{'compiled' if COMPILE else 'eager'}, {tuned}", cases


def verify(threads, settings, networks, updates):
    torch.set_num_threads(threads)
    learner = Learner(settings, networks)
    tensors = lambda tree: {k: tensor(v) for k, v in tree.items()}
    for batch, draws, losses in updates:
        yield losses, {name: float(value) for name, value in learner.update(tensors(batch), tensors(draws)).items()}


make.verify = verify

if __name__ == "__main__":
    worker.run(make)
