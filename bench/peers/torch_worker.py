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
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402
from cases import GRAPH_CALLS  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

warnings.filterwarnings("ignore")
DEVICE, PRECISION = worker.option("--device", "cpu"), worker.option("--precision", "float32")
CUDA = DEVICE == "cuda"
COMPILE = "--compile" in sys.argv or "--graph" in sys.argv
GRAPH = CUDA and "--graph" in sys.argv
if CUDA:
    torch.set_float32_matmul_precision("high" if PRECISION == "tf32" else "highest")


def optimised(f):
    return torch.compile(f, dynamic=False) if COMPILE else f


def tensor(array):
    return torch.from_numpy(array).to(DEVICE)


def rounded():
    """Where products round their factors to bfloat16, if they may."""
    return torch.autocast(DEVICE, torch.bfloat16) if PRECISION == "bfloat16" else contextlib.nullcontext()


@contextlib.contextmanager
def rounded_inference():
    with torch.inference_mode(), rounded():
        yield


inference = rounded_inference if PRECISION == "bfloat16" else torch.inference_mode


def expectation(prob, atoms):
    # Autocast would round the atoms.
    return (prob * atoms).sum(-1) if PRECISION == "bfloat16" else prob @ atoms


def gelu(x):
    return F.gelu(x, approximate="tanh")


def layer_norm(x, scale, shift):
    if not COMPILE:
        return F.layer_norm(x, x.shape[-1:], scale, shift, 1e-6)
    # Written out: torch.compile cannot trace the tangent of F.layer_norm, and fuses this to one loop.
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-6) * scale + shift


# ---- networks --------------------------------------------------------------------------------------------------------

def dense(x, p, name):
    return torch.addmm(p[name + "/bias"], x, p[name + "/kernel"])


def trunk(p, x):
    for i in range(3):
        x = gelu(layer_norm(dense(x, p, f"dense_{i}"), p[f"norm_{i}/scale"], p[f"norm_{i}/bias"]))
    return dense(x, p, "dense_3")


def embed(p, name, t):
    f = 2 * math.pi * t * p[name + "/freq"][:, 0]
    return dense(gelu(dense(torch.cat([f.cos(), f.sin()], -1), p, name + "/dense_0")), p, name + "/dense_1")


def flow(p, s, x, t, h):
    """Mean velocity or average divergence at state s, point x, time t, interval h; t and h may have one row only."""
    condition = embed(p, "emb_t", t) + embed(p, "emb_h", h)
    return trunk(p, torch.cat([x, s, condition.expand(x.shape[0], -1)], -1))


def critic(p, s, a):
    return trunk(p, torch.cat([s, a], -1))


# ---- MFPO ------------------------------------------------------------------------------------------------------------

def project(prob, position, v_min, spacing):
    """C51: the mass of each atom shared between its two neighbours on the grid."""
    atoms = prob.shape[-1]
    place = (position - v_min) / spacing
    low = place.floor().clamp(0, atoms - 1)
    above = place - low
    low = low.long()
    out = torch.zeros_like(prob)
    out.scatter_add_(1, low, prob * (1 - above))
    return out.scatter_add_(1, (low + 1).clamp(max=atoms - 1), prob * above)


class Learner:
    def __init__(self, settings, networks):
        self.c = settings
        self.atoms = tensor(settings.atoms())
        leaf = lambda a: tensor(np.array(a)).requires_grad_()
        self.p = {name: {k: leaf(v) for k, v in tree.items()} if isinstance(tree, dict) else leaf(tree)
                  for name, tree in networks.items()}
        self.target = {name: {k: v.detach().clone() for k, v in self.p[name].items()}
                       for name in ("critic1", "critic2")}
        every = {"critics": self.parameters("critic1") + self.parameters("critic2"),
                 "actor": self.parameters("actor"), "divergence": self.parameters("divergence"),
                 "log_alpha": [self.p["log_alpha"]]}
        self.adam = {name: torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True, capturable=GRAPH)
                     for name, parameters in every.items()}
        number = lambda x: torch.full((1, 1), x, device=DEVICE)
        self.times = [(number(1.0 - i / settings.steps), number(1.0 / settings.steps)) for i in range(settings.steps)]
        for name in ("critic_target", "cross_entropy", "proposals", "regression", "divergence_of", "sample", "best",
                     "draw"):
            setattr(self, name + "_", optimised(getattr(self, name)))

    def parameters(self, name):
        return list(self.p[name].values())

    # -- pieces
    def sample(self, actor, divergence, s, z):
        """Actions of noise z and, with the divergence net, their log-probability."""
        x, log_prob = z, -0.5 * (z * z).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)
        for t, h in self.times:
            u = flow(actor, s, x, t, h)
            if divergence is not None:
                log_prob = log_prob + flow(divergence, s, x, t, h)[:, 0] / self.c.steps
            x = x - u / self.c.steps
        return x.clamp(-1.0, 1.0), log_prob

    def score(self, critics, s, a):
        sa = torch.cat([s, a], -1)
        q1, q2 = (expectation(trunk(p, sa).softmax(-1), self.atoms) for p in critics)
        return torch.minimum(q1, q2) if self.c.clipped_double_q else 0.5 * (q1 + q2)

    def interval(self, normals):
        a, b = torch.sigmoid(normals - 0.4)
        t, r = torch.maximum(a, b), torch.minimum(a, b)
        same = int(t.shape[0] * self.c.same_share)
        return t[:, None], torch.cat([t[:same], r[same:]])[:, None]

    def draw(self, rows):
        c = self.c
        normal, a = lambda *shape: torch.randn(shape, device=DEVICE), c.actions
        return {"next": normal(rows, a), "times": normal(2, rows), "policy": normal(rows, c.policy_proposals, a),
                "noise": normal(rows, a), "gauss": torch.rand(rows, c.gauss_proposals, a, device=DEVICE),
                "divergence_times": normal(2, rows), "divergence_noise": normal(rows, a),
                "probe": normal(rows, c.probes, a)}

    # -- phases
    def critic_target(self, actor, divergence, target1, target2, s, reward, mask, z, alpha):
        c = self.c
        a, log_prob = self.sample(actor, divergence, s, z)
        position = reward[:, None] + c.discount * mask[:, None] * (self.atoms - (alpha * log_prob)[:, None])
        position = position.clamp(c.v_min, c.v_max)
        d1, d2 = (project(critic(t, s, a).softmax(-1), position, c.v_min, c.spacing) for t in (target1, target2))
        if not c.clipped_double_q:
            return 0.5 * (d1 + d2)
        return torch.where(((d1 @ self.atoms) < (d2 @ self.atoms))[:, None], d1, d2)

    def cross_entropy(self, p1, p2, s, a, target):
        sa = torch.cat([s, a], -1)
        return tuple(-(target * trunk(p, sa).log_softmax(-1)).sum(-1).mean() for p in (p1, p2))

    def proposals(self, actor, divergence, critic1, critic2, s, z, noise, uniform, t, alpha):
        """Point x_t, its velocity towards exp(Q / alpha), the first policy sample and the mean log-probability."""
        rows, k, actions = z.shape
        wide = lambda n: s[:, None].expand(-1, n, -1).reshape(rows * n, -1)
        a1, log_prob = self.sample(actor, divergence, wide(k), z.reshape(rows * k, actions))
        a1, log_prob = a1.view(rows, k, actions), log_prob.view(rows, k)
        x = (1 - t) * a1[:, 0] + t * noise
        low, high = ((x - (1 - t)) / t)[:, None], ((x + (1 - t)) / t)[:, None]
        below, above = torch.erf(low / math.sqrt(2)), torch.erf(high / math.sqrt(2))
        e = math.sqrt(2) * torch.erfinv(below + uniform * (above - below))
        e = torch.minimum(torch.maximum(e, low), high)
        tt = t[:, None]
        a2 = (x[:, None] - tt * e) / (1 - tt)
        every = torch.cat([a1, a2], 1)
        n = every.shape[1]
        q = self.score((critic1, critic2), wide(n), every.reshape(rows * n, actions)).view(rows, n)
        distance = ((x[:, None] - (1 - tt) * a1) ** 2).sum(-1)
        w1 = (q[:, :k] / alpha - distance / (2 * t ** 2) - log_prob).softmax(1)
        w2 = (q[:, k:] / alpha).softmax(1)
        v1 = (w1[..., None] * (x[:, None] - a1) / tt).sum(1)
        v2 = (w2[..., None] * (x[:, None] - a2) / tt).sum(1)
        ess1, ess2 = 1 / (w1 * w1).sum(1), 1 / (w2 * w2).sum(1)
        share = (ess1 / (ess1 + ess2 + 1e-10))[:, None]
        return x, share * v1 + (1 - share) * v2, a1[:, 0], log_prob.mean()

    def regression(self, p, s, x, t, r, v, field):
        """Squared error of a mean field against field - (t - r) du with du its derivative along the flow."""
        one = torch.ones_like(t)
        u, du = torch.func.jvp(lambda x, t, h: flow(p, s, x, t, h), (x, t, t - r), (v, one, one))
        return ((field - (t - r) * du).detach() - u).square().mean()

    def divergence_of(self, actor, s, x, t, probe):
        """Velocity at (x, t) and Hutchinson's estimate of its divergence."""
        rows, n, actions = probe.shape
        wide = lambda y: y[:, None].expand(-1, n, -1).reshape(rows * n, -1)
        s, x, t, z = wide(s), wide(x), wide(t), probe.reshape(rows * n, actions)
        v, jz = torch.func.jvp(lambda x: flow(actor, s, x, t, torch.zeros_like(t)), (x,), (z,))
        return v.view(rows, n, actions)[:, 0], (jz * z).sum(-1).view(rows, n).mean(1, keepdim=True)

    def step(self, name, loss):
        self.adam[name].zero_grad(set_to_none=True)
        loss.backward()
        self.adam[name].step()

    def update(self, batch, draws=None):
        p, c, s = self.p, self.c, batch["state"]
        with torch.no_grad():
            draws = draws or self.draw_(s.shape[0])
            alpha = p["log_alpha"].exp()
            target = self.critic_target_(p["actor"], p["divergence"], self.target["critic1"], self.target["critic2"],
                                         batch["next_state"], batch["reward"], batch["mask"], draws["next"], alpha)
        loss1, loss2 = self.cross_entropy_(p["critic1"], p["critic2"], s, batch["action"], target)
        self.step("critics", loss1 + loss2)
        with torch.no_grad():
            torch._foreach_lerp_([v for name in self.target for v in self.target[name].values()],
                                 self.parameters("critic1") + self.parameters("critic2"), c.tau)

            t, r = self.interval(draws["times"])
            with rounded():
                x, v, first, log_prob = self.proposals_(p["actor"], p["divergence"], p["critic1"], p["critic2"], s,
                                                        draws["policy"], draws["noise"], draws["gauss"], t, alpha)
        actor_loss = self.regression_(p["actor"], s, x, t, r, v, v)
        self.step("actor", actor_loss)

        with torch.no_grad():
            t, r = self.interval(draws["divergence_times"])
            x = (1 - t) * first + t * draws["divergence_noise"]
            v, divergence = self.divergence_of_(p["actor"], s, x, t, draws["probe"])
        div_loss = self.regression_(p["divergence"], s, x, t, r, v, divergence)
        self.step("divergence", div_loss)

        # The loss is exp(log alpha) (H - H_target): its derivative by log alpha is itself.
        with torch.no_grad():
            temp_loss = alpha * (-log_prob - c.target_entropy)
            p["log_alpha"].grad = temp_loss.clone()
            self.adam["log_alpha"].step()
        return {"critic_loss1": loss1, "critic_loss2": loss2, "actor_loss": actor_loss, "div_loss": div_loss,
                "temp_loss": temp_loss, "entropy": -log_prob}

    def best(self, actor, critics, s, count):
        """The best of `count` sampled actions for each state by the given critics."""
        rows = s.shape[0]
        wide = s[:, None].expand(-1, count, -1).reshape(rows * count, -1)
        a, _ = self.sample(actor, None, wide, torch.randn(rows * count, self.c.actions, device=DEVICE))
        choice = self.score(critics, wide, a).view(rows, count).argmax(1)
        return a.view(rows, count, -1)[torch.arange(rows, device=DEVICE), choice]


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
