"""Who takes part beside Meander: --with NAME[==VERSION][:VARIANT], how it is installed and how its process begins."""
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "peers"))
from participants import DEPS, MALLOC, Unavailable, cpu_line, framework_in  # noqa: E402
from processes import Process  # noqa: E402
from virtual_environment import NotInstalled  # noqa: E402


class Framework:
    """variants: name -> what its environment has beside the system's. program or script: its worker; a program is the
    system's library, which has one version."""

    def __init__(self, variants, program=None, script=None):
        self.variants, self.program, self.script = variants, program, script


FRAMEWORKS = {
    "torch": Framework({"eager": {}, "tuned": MALLOC, "compile": MALLOC}, script="torch_mlp.py"),
    "jax": Framework({"": {}}, script="jax_mlp.py"),
    "onednn": Framework({"": {}}, program="peer_onednn"),
    "openblas": Framework({"auto": {}, "skylakex": {"OPENBLAS_CORETYPE": "SKYLAKEX"}}, program="peer_openblas"),
}


class Contender:
    """One row of the table: a framework in a version and a variant, or Meander (framework None)."""

    def __init__(self, name="meander", version=None, variant="", programs=None):
        self.framework, self.name, self.version, self.variant = FRAMEWORKS.get(name), name, version, variant
        self.programs = programs   # a folder of its own for the programs, or None: the driver's
        self.family = f"{name}=={version}" if version else name
        self.who = f"{self.family}:{variant}" if variant else self.family

    def command(self, options, python):
        """How its process begins; raises Unavailable. python(contender) gives the interpreter it needs."""
        if self.framework and self.framework.script:
            place = ["--device", "cuda"] if options.device == "cuda" else []
            return [python(self), "-E", os.path.join(HERE, self.framework.script), "--variant", self.variant, *place]
        program = os.path.join(self.programs or options.programs, self.framework.program if self.framework
                               else "peer_meander")
        if not os.path.exists(program):
            raise Unavailable(f"not installed: no {os.path.basename(program)} was built")
        return [program, *([] if self.framework else ["--device", options.device])]

    def start(self, options, threads, python):
        environment = os.environ | {
            "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads),
            "TORCHINDUCTOR_CACHE_DIR": os.path.join(DEPS, "inductor"), "TF_CPP_MIN_LOG_LEVEL": "3",
            **({"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if options.device == "cuda"
               else {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}),
            **(self.framework.variants[self.variant] if self.framework else {})}
        log = os.path.join(DEPS, "logs", re.sub(r"[^\w.=-]", "_", f"{self.who}-{threads}.txt"))
        return Process([*self.command(options, python), "--threads", str(threads)],
                       sorted(os.sched_getaffinity(0))[-threads:], environment, log, options.memory)


def contenders(wishes):
    """Those that the words of --with name; raises ValueError with one line."""
    chosen = []
    for wish in wishes:
        match = re.fullmatch(r"([a-z]+)(?:==([0-9][\w.+]*))?(?::([a-z]+))?", wish)
        if not match:
            raise ValueError(f"--with {wish}: expected NAME, NAME==VERSION or NAME==VERSION:VARIANT")
        name, version, variant = match.groups()
        if name not in FRAMEWORKS:
            raise ValueError(f"no framework '{name}': there are {', '.join(FRAMEWORKS)}")
        framework = FRAMEWORKS[name]
        if framework.program and version:
            raise ValueError(f"--with {wish}: {name} is the system's, of one version: --with {name}")
        variants = [v for v in framework.variants if v != "skylakex" or "avx512f" in cpu_line("flags")]
        if variant is not None and variant not in variants:
            raise ValueError(f"{name} has no variant '{variant}' here: {', '.join(filter(None, variants)) or 'none'}")
        for each in [variant] if variant is not None else variants:
            contender = Contender(name, version, each)
            if contender.who not in [other.who for other in chosen]:
                chosen.append(contender)
    return chosen


class Interpreters:
    """The Pythons that have the frameworks: a virtual environment a version in .deps/peers, made when first asked for;
    without a version, and on a GPU, the Python that runs this."""

    def __init__(self, options):
        self.options, self.known = options, {}

    def __call__(self, contender):
        if not contender.version or self.options.device == "cuda":
            return sys.executable
        if contender.family not in self.known:
            refused = "run without --no-install" if self.options.no_install else None
            try:
                self.known[contender.family] = framework_in(contender.name, contender.version, refused)
            except NotInstalled as reason:
                self.known[contender.family] = Unavailable(str(reason))
        if isinstance(self.known[contender.family], Unavailable):
            raise self.known[contender.family]
        return self.known[contender.family]
