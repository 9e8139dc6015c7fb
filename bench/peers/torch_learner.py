"""MFPO and its networks in PyTorch, on the device and in the precision that the command line names (torch_worker.py)."""
import contextlib
import math
import os
import sys
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402

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
