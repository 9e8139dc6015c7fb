"""Meander's work in JAX: every case is one jitted function, the update one function of donated state.

On a GPU batches and weights lie there beforehand; a state comes from the host and its action goes there. An update and
an action are waited for one by one, the other cases queued and waited for once a sample.
"""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import worker  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import jaxlib  # noqa: E402
import numpy as np  # noqa: E402

DEVICE, PRECISION = worker.option("--device", "cpu"), worker.option("--precision", "float32")
if DEVICE == "cuda":  # JAX's own default is tf32; a named precision holds for all products, those of gradients too
    jax.config.update("jax_default_matmul_precision",
                      {"float32": "highest", "tf32": "default", "bfloat16": "BF16_BF16_F32"}[PRECISION])
# The generator is the fastest of those that JAX has on a processor.
jax.config.update("jax_default_prng_impl", "unsafe_rbg")
normal, uniform = jax.random.normal, jax.random.uniform


def gelu(x):
    return jax.nn.gelu(x, approximate=True)


def layer_norm(x, scale, shift):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-6) * scale + shift


# ---- networks --------------------------------------------------------------------------------------------------------

def trunk(p, x):
    for i in range(3):
        x = gelu(layer_norm(x @ p[f"dense_{i}/kernel"] + p[f"dense_{i}/bias"], p[f"norm_{i}/scale"],
                            p[f"norm_{i}/bias"]))
    return x @ p["dense_3/kernel"] + p["dense_3/bias"]


def embed(p, name, t):
    f = 2 * math.pi * t * p[f"{name}/freq"][:, 0]
    x = jnp.concatenate([jnp.cos(f), jnp.sin(f)], -1)
    x = gelu(x @ p[f"{name}/dense_0/kernel"] + p[f"{name}/dense_0/bias"])
    return x @ p[f"{name}/dense_1/kernel"] + p[f"{name}/dense_1/bias"]


def flow(p, s, x, t, h):
    """Mean velocity or average divergence at state s, point x, time t, interval h; t and h may have one row only."""
    condition = embed(p, "emb_t", t) + embed(p, "emb_h", h)
    condition = jnp.broadcast_to(condition, x.shape[:-1] + condition.shape[-1:])
    return trunk(p, jnp.concatenate([x, s, condition], -1))


def critic(p, s, a):
    return trunk(p, jnp.concatenate([s, a], -1))


# ---- MFPO ------------------------------------------------------------------------------------------------------------

def project(prob, position, v_min, spacing):
    """C51: the mass of each atom shared between its two neighbours on the grid."""
    rows, atoms = prob.shape
    place = (position - v_min) / spacing
    low = jnp.clip(jnp.floor(place), 0, atoms - 1)
    above, low, row = place - low, low.astype(jnp.int32), jnp.arange(rows)[:, None]
    out = jnp.zeros_like(prob).at[row, low].add(prob * (1 - above))
    return out.at[row, jnp.minimum(low + 1, atoms - 1)].add(prob * above)


class Learner:
    def __init__(self, settings, networks):
        self.c = settings
        self.atoms = jnp.asarray(settings.atoms())
        networks = jax.tree_util.tree_map(jnp.asarray, networks)
        copy = lambda tree: jax.tree_util.tree_map(lambda x: x + 0, tree)  # donated buffers must not be shared
        zero = lambda tree: jax.tree_util.tree_map(jnp.zeros_like, tree)
        self.state = {"p": networks, "m": zero(networks), "v": zero(networks), "step": jnp.zeros((), jnp.int32),
                      "target1": copy(networks["critic1"]), "target2": copy(networks["critic2"]),
                      "key": jax.random.PRNGKey(1)}
        self.update = jax.jit(self.whole_update, donate_argnums=0)

    # -- pieces
    def sample(self, actor, divergence, s, z):
        """Actions of noise z and, with the divergence net, their log-probability."""
        x, log_prob = z, -0.5 * (z * z).sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)
        h = jnp.full((1, 1), 1.0 / self.c.steps)
        for i in range(self.c.steps):
            t = jnp.full((1, 1), 1.0 - i / self.c.steps)
            u = flow(actor, s, x, t, h)
            if divergence is not None:
                log_prob = log_prob + flow(divergence, s, x, t, h)[..., 0] / self.c.steps
            x = x - u / self.c.steps
        return jnp.clip(x, -1.0, 1.0), log_prob

    def value(self, p, s, a):
        return (jax.nn.softmax(critic(p, s, a), -1) * self.atoms).sum(-1)

    def score(self, p1, p2, s, a):
        q1, q2 = self.value(p1, s, a), self.value(p2, s, a)
        return jnp.minimum(q1, q2) if self.c.clipped_double_q else 0.5 * (q1 + q2)

    def interval(self, normals):
        a = jax.nn.sigmoid(normals - 0.4)
        t, r = a.max(0), a.min(0)
        same = jnp.arange(t.shape[0]) < int(t.shape[0] * self.c.same_share)
        return t[:, None], jnp.where(same, t, r)[:, None]

    def draws(self, key, rows):
        c, keys = self.c, jax.random.split(key, 8)
        a = c.actions
        return {"next": normal(keys[0], (rows, a)), "times": normal(keys[1], (2, rows)),
                "policy": normal(keys[2], (rows, c.policy_proposals, a)), "noise": normal(keys[3], (rows, a)),
                "gauss": uniform(keys[4], (rows, c.gauss_proposals, a)), "divergence_times": normal(keys[5], (2, rows)),
                "divergence_noise": normal(keys[6], (rows, a)), "probe": normal(keys[7], (rows, c.probes, a))}

    # -- phases
    def critic_target(self, p, target1, target2, batch, z, alpha):
        c, s = self.c, batch["next_state"]
        a, log_prob = self.sample(p["actor"], p["divergence"], s, z)
        position = batch["reward"][:, None] + c.discount * batch["mask"][:, None] * (
            self.atoms - (alpha * log_prob)[:, None])
        position = jnp.clip(position, c.v_min, c.v_max)
        d1, d2 = (project(jax.nn.softmax(critic(t, s, a), -1), position, c.v_min, c.spacing)
                  for t in (target1, target2))
        if not c.clipped_double_q:
            return 0.5 * (d1 + d2)
        return jnp.where(((d1 * self.atoms).sum(-1) < (d2 * self.atoms).sum(-1))[:, None], d1, d2)

    def proposals(self, p, batch, draws, alpha, t):
        """Point x_t, its velocity towards exp(Q / alpha), the first policy sample and the mean log-probability."""
        c, s = self.c, batch["state"]
        k = c.policy_proposals
        wide = lambda n: jnp.broadcast_to(s[:, None], (s.shape[0], n, s.shape[1]))
        a1, log_prob = self.sample(p["actor"], p["divergence"], wide(k), draws["policy"])
        x = (1 - t) * a1[:, 0] + t * draws["noise"]
        low, high = ((x - (1 - t)) / t)[:, None], ((x + (1 - t)) / t)[:, None]
        below, above = jax.lax.erf(low / math.sqrt(2)), jax.lax.erf(high / math.sqrt(2))
        e = math.sqrt(2) * jax.lax.erf_inv(below + draws["gauss"] * (above - below))
        e = jnp.clip(e, low, high)
        tt = t[:, None]
        a2 = (x[:, None] - tt * e) / (1 - tt)
        every = jnp.concatenate([a1, a2], 1)
        q = self.score(p["critic1"], p["critic2"], wide(every.shape[1]), every)
        distance = ((x[:, None] - (1 - tt) * a1) ** 2).sum(-1)
        w1 = jax.nn.softmax(q[:, :k] / alpha - distance / (2 * t ** 2) - log_prob, 1)
        w2 = jax.nn.softmax(q[:, k:] / alpha, 1)
        v1 = (w1[..., None] * (x[:, None] - a1) / tt).sum(1)
        v2 = (w2[..., None] * (x[:, None] - a2) / tt).sum(1)
        ess1, ess2 = 1 / (w1 * w1).sum(1), 1 / (w2 * w2).sum(1)
        share = (ess1 / (ess1 + ess2 + 1e-10))[:, None]
        return x, share * v1 + (1 - share) * v2, a1[:, 0], log_prob.mean()

    def regression(self, p, s, x, t, r, v, field):
        """Squared error of a mean field against field(v, du) with du its derivative along the flow."""
        one = jnp.ones_like(t)
        u, du = jax.jvp(lambda x, t, h: flow(p, s, x, t, h), (x, t, t - r), (v, one, one))
        return ((jax.lax.stop_gradient(field - jnp.clip(t - r, 0.0, 1.0) * du) - u) ** 2).mean()

    def divergence_of(self, actor, s, x, t, probe):
        """Velocity at (x, t) and Hutchinson's estimate of its divergence."""
        n = probe.shape[1]
        wide = lambda y: jnp.broadcast_to(y[:, None], (y.shape[0], n, y.shape[1]))
        v, jz = jax.jvp(lambda x: flow(actor, wide(s), x, wide(t), jnp.zeros_like(wide(t))), (wide(x),), (probe,))
        return v[:, 0], (jz * probe).sum(-1).mean(1, keepdims=True)

    def adam(self, state, names, gradients):
        tree_map, c = jax.tree_util.tree_map, self.c
        step = (state["step"] + 1).astype(jnp.float32)
        correct_m, correct_v = 1 - 0.9 ** step, 1 - 0.999 ** step
        for name, g in zip(names, gradients):
            m = tree_map(lambda m, g: 0.9 * m + 0.1 * g, state["m"][name], g)
            v = tree_map(lambda v, g: 0.999 * v + 0.001 * g * g, state["v"][name], g)
            state["m"][name], state["v"][name] = m, v
            state["p"][name] = tree_map(
                lambda p, m, v: p - c.learning_rate * (m / correct_m) / (jnp.sqrt(v / correct_v) + 1e-8),
                state["p"][name], m, v)

    def whole_update(self, state, batch, draws=None):
        tree_map, c = jax.tree_util.tree_map, self.c
        state = {**state, "p": dict(state["p"]), "m": dict(state["m"]), "v": dict(state["v"])}
        p = state["p"]
        if draws is None:
            key, state["key"] = jax.random.split(state["key"])
            draws = self.draws(key, batch["state"].shape[0])
        alpha = jnp.exp(p["log_alpha"])

        target = self.critic_target(p, state["target1"], state["target2"], batch, draws["next"], alpha)
        cross_entropy = lambda p: -(target * jax.nn.log_softmax(critic(p, batch["state"], batch["action"]), -1)
                                    ).sum(-1).mean()
        loss1, g1 = jax.value_and_grad(cross_entropy)(p["critic1"])
        loss2, g2 = jax.value_and_grad(cross_entropy)(p["critic2"])
        self.adam(state, ("critic1", "critic2"), (g1, g2))
        for n in ("1", "2"):
            state["target" + n] = tree_map(lambda old, new: (1 - c.tau) * old + c.tau * new, state["target" + n],
                                           p["critic" + n])

        t, r = self.interval(draws["times"])
        x, v, first, log_prob = self.proposals(p, batch, draws, alpha, t)
        actor_loss, g = jax.value_and_grad(self.regression)(p["actor"], batch["state"], x, t, r, v, v)
        self.adam(state, ("actor",), (g,))

        t, r = self.interval(draws["divergence_times"])
        x = (1 - t) * first + t * draws["divergence_noise"]
        v, divergence = self.divergence_of(p["actor"], batch["state"], x, t, draws["probe"])
        div_loss, g = jax.value_and_grad(self.regression)(p["divergence"], batch["state"], x, t, r, v, divergence)
        self.adam(state, ("divergence",), (g,))

        # The loss is exp(log alpha) (H - H_target): its derivative by log alpha is itself.
        temp_loss = alpha * (-log_prob - c.target_entropy)
        self.adam(state, ("log_alpha",), (temp_loss,))
        state["step"] = state["step"] + 1
        return state, {"critic_loss1": loss1, "critic_loss2": loss2, "actor_loss": actor_loss, "div_loss": div_loss,
                       "temp_loss": temp_loss, "entropy": -log_prob}

    def best(self, state, s, count, key):
        """The best of `count` sampled actions for each state by the target critics."""
        p = state["p"]
        wide = jnp.broadcast_to(s[:, None], (s.shape[0], count, s.shape[1]))
        a, _ = self.sample(p["actor"], None, wide, normal(key, (s.shape[0], count, self.c.actions)))
        q = self.score(state["target1"], state["target2"], wide, a)
        return jnp.take_along_axis(a, q.argmax(1)[:, None, None], 1)[:, 0]


# ---- cases -----------------------------------------------------------------------------------------------------------

def mean_abs(*arrays):
    return sum(float(jnp.abs(a).sum()) for a in arrays) / sum(a.size for a in arrays)


def queued(f, *arguments):
    if DEVICE == "cpu":
        return lambda: jax.block_until_ready(f(*arguments))

    def call():
        call.last = f(*arguments)
        return call.last

    call.wait = lambda: jax.block_until_ready(call.last)
    return call


def plain_net(data, prefix):
    """Weights of one of the nets in the data file, under the names that trunk() knows."""
    p = {}
    for i in range(4):
        p[f"dense_{i}/kernel"], p[f"dense_{i}/bias"] = data[f"{prefix}.weight_{i}"], data[f"{prefix}.bias_{i}"]
        if i < 3:
            p[f"norm_{i}/scale"], p[f"norm_{i}/bias"] = data[f"{prefix}.scale_{i}"], data[f"{prefix}.shift_{i}"]
    return jax.tree_util.tree_map(jnp.asarray, p)


def update_case(data, task):
    def prepare():
        learner = Learner(*worker.learner(task))
        batch = jax.tree_util.tree_map(jnp.asarray, worker.batch_of(data, task))

        def call():
            learner.state, losses = learner.update(learner.state, batch)
            jax.block_until_ready((learner.state, losses))
            call.losses = losses

        return call, lambda: _finite(call.losses)
    return prepare


def _finite(losses):
    if not all(math.isfinite(float(loss)) for loss in losses.values()):
        raise ValueError("a loss is not finite")
    return None


def acting_case(data, count):
    def prepare():
        learner = Learner(*worker.learner("HalfCheetah"))
        p = {"p": {"actor": learner.state["p"]["actor"]}, "target1": learner.state["target1"],
             "target2": learner.state["target2"]}
        state = data["update.HalfCheetah.state"][0]

        @jax.jit
        def act(p, s, key):
            now, later = jax.random.split(key)
            if count == 1:
                a, _ = learner.sample(p["p"]["actor"], None, s[None], normal(now, (1, learner.c.actions)))
                return a[0], later
            return learner.best(p, s[None], count, now)[0], later

        def call():
            action, call.key = act(p, state, call.key)
            return np.asarray(action)

        call.key = jax.random.PRNGKey(2)
        return call, None
    return prepare


def one_step_case(data):
    def prepare():
        p = {k: jnp.asarray(v) for k, v in worker.part(data, "one_step.").items()}
        state, noise = data["one_step.state"], data["one_step.noise"]

        def net(p, name, x):
            for i in range(4):
                x = gelu(x @ p[f"{name}.weight_{i}"] + p[f"{name}.bias_{i}"])
                if name != "actor":
                    x = layer_norm(x, p[f"{name}.scale_{i}"], p[f"{name}.shift_{i}"])
            return x @ p[f"{name}.weight_4"] + p[f"{name}.bias_4"]

        @jax.jit
        def act(p, state, noise):
            n = noise.shape[0]
            s = jnp.broadcast_to(state, (n, state.shape[1]))
            a = jnp.clip(noise - net(p, "actor", jnp.concatenate([s, noise, jnp.ones((n, 1)), jnp.zeros((n, 1))], 1)),
                         -1.0, 1.0)
            sa = jnp.concatenate([s, a], 1)
            q = net(p, "critic_0", sa) + net(p, "critic_1", sa)
            return a[q[:, 0].argmax()]

        call = lambda: np.asarray(act(p, state, noise))
        return call, lambda: float(np.abs(call()).mean())
    return prepare


def network_case(data, prefix, rows, what):
    def prepare():
        p = plain_net(data, prefix)
        x = jnp.asarray(data[f"{prefix}.x"][:rows])
        if what == "forward":
            call = queued(jax.jit(trunk), p, x)
            return call, lambda: mean_abs(call())
        dx, dy = jnp.asarray(data["mlp.dx"][:rows]), jnp.asarray(data["mlp.dy"][:rows])
        along = lambda p, x, dx: jax.jvp(lambda x: trunk(p, x), (x,), (dx,))
        if what == "value_and_tangent":
            call = queued(jax.jit(along), p, x, dx)
            return call, lambda: mean_abs(*call())

        def loss(p, x, dx, dy):
            y, du = along(p, x, dx)
            return (y * dy).sum(), (y, jax.lax.stop_gradient(du))

        call = queued(jax.jit(jax.grad(loss, has_aux=True)), p, x, dx, dy)
        return call, lambda: mean_abs(*jax.tree_util.tree_leaves(call()[0]))
    return prepare


def actor_case(data):
    def prepare():
        learner = Learner(*worker.learner("HalfCheetah"))
        random = np.random.default_rng(2)
        s, a = data["update.HalfCheetah.state"], data["update.HalfCheetah.action"]
        rows = s.shape[0]
        v, dy = (random.standard_normal(a.shape).astype(np.float32) for _ in range(2))
        t = random.uniform(0.5, 0.9, (rows, 1)).astype(np.float32)
        h = (t * random.uniform(0.1, 0.9, (rows, 1))).astype(np.float32)

        def loss(p, s, x, t, h, v, dy):
            one = jnp.ones_like(t)
            u, du = jax.jvp(lambda x, t, h: flow(p, s, x, t, h), (x, t, h), (v, one, one))
            return (u * dy).sum(), (u, jax.lax.stop_gradient(du))

        inputs = [jnp.asarray(array) for array in (s, a, t, h, v, dy)]
        return queued(jax.jit(jax.grad(loss, has_aux=True)), learner.state["p"]["actor"], *inputs), None
    return prepare


def candidates_case(data):
    def prepare():
        learner = Learner(*worker.learner("HalfCheetah"))
        state, s = learner.state, jnp.asarray(data["update.HalfCheetah.state"])

        @jax.jit
        def choose(state, s, key):
            now, later = jax.random.split(key)
            return learner.best(state, s, 10, now), later

        def choose_next():
            actions, choose_next.key = choose(state, s, choose_next.key)
            return actions

        choose_next.key = jax.random.PRNGKey(2)
        return queued(choose_next), None
    return prepare


def adam_case(data):
    def prepare():
        def step(state, g):
            p, m, v, target, count = state
            count = count + 1
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            p = p - 3e-4 * (m / (1 - 0.9 ** count)) / (jnp.sqrt(v / (1 - 0.999 ** count)) + 1e-8)
            return p, m, v, 0.995 * target + 0.005 * p, count

        go = jax.jit(step, donate_argnums=0)
        params = jnp.asarray(data["adam.params"])
        call_state = [(params, jnp.asarray(data["adam.m"]), jnp.asarray(data["adam.v"]), params + 0, jnp.float32(0))]
        gradient = jnp.asarray(data["adam.gradient"])

        def call():
            call_state[0] = jax.block_until_ready(go(call_state[0], gradient))
        return call, None
    return prepare


def layer_norm_case(data):
    def prepare():
        call = queued(jax.jit(lambda x, scale, shift: gelu(layer_norm(x, scale, shift))),
                        *(jnp.asarray(data["norm." + name]) for name in ("x", "scale", "shift")))
        return call, lambda: mean_abs(call())
    return prepare


def projection_case(data):
    def prepare():
        clipped = lambda prob, position: project(prob, jnp.clip(position, -1600.0, 1600.0), -1600.0, 32.0)
        call = queued(jax.jit(clipped), jnp.asarray(data["c51.prob"]), jnp.asarray(data["c51.position"]))
        return call, lambda: mean_abs(call() ** 2)  # the mean itself would be 1 / atoms whatever it does
    return prepare


def make(threads, data, more):
    recent = "--recent" in more
    cases = worker.named_cases(globals(), data)
    return ("jax_recent" if recent else "jax", f"jax {jax.__version__}, jaxlib {jaxlib.__version__}",
            f"one jitted function a case, {PRECISION} on {jax.devices()[0].device_kind}", cases)


def verify(threads, settings, networks, updates):
    learner = Learner(settings, networks)
    state = learner.state
    step = jax.jit(learner.whole_update)
    for batch, draws, losses in updates:
        state, got = step(state, batch, draws)
        yield losses, {name: float(value) for name, value in got.items()}


make.verify = verify

if __name__ == "__main__":
    worker.run(make)
