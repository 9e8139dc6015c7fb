"""What the comparison is to show, beside what it showed."""
from cases import CHAIN_ROWS, MLP_ROWS
from table import quantile, rounded


def targets(rows, peaks):
    """What the comparison is to show: (number, claim, wanted, measured or None, met)."""
    most, asked = max(row.threads for row in rows), {row.case for row in rows}
    measured = {(row.case, row.who, row.threads): row for row in rows if row.median and not row.reason}
    torch = ("torch_eager", "torch_eager_tuned", "torch_compile")
    jax = ("jax", "jax_recent")

    def time_of(case, who, threads):
        row = measured.get((case, who, threads))
        return row and row.median

    def best(case, names):
        """The fastest of some peers, on the threads it likes best."""
        return min((row.median for (c, who, _), row in measured.items() if c == case and who in names), default=None)

    def over(a, b):
        return a / b if a and b else None

    found = []

    def at_least(number, case, claim, wanted, value):
        if case in asked:
            found.append((number, claim, f">= {wanted:g}", rounded(value), value is not None and value >= wanted))

    def at_most(number, case, claim, wanted, value):
        if case in asked:
            found.append((number, claim, f"<= {wanted:g}", rounded(value), value is not None and value <= wanted))

    def mine(case, threads=most):
        return time_of(case, "meander", threads)

    cheetah, humanoid = "mfpo_update/HalfCheetah", "mfpo_update/Humanoid"
    at_least(1, cheetah, "HalfCheetah update: authors' learner / meander", 2.8,
             over(best(cheetah, ("jax_authors",)), mine(cheetah)))
    at_least(1, cheetah, "HalfCheetah update: best PyTorch / meander", 2.5, over(best(cheetah, torch), mine(cheetah)))
    at_least(1, cheetah, "HalfCheetah update: meander / meander_bf16", 1.5,
             over(mine(cheetah), time_of(cheetah, "meander_bf16", most)))
    at_least(1, humanoid, "Humanoid update: authors' learner / meander", 4.2,
             over(best(humanoid, ("jax_authors",)), mine(humanoid)))

    explore, evaluate, one_step = "act/mfpo_explore", "act/mfpo_evaluate_10", "act/one_step_32"
    others = torch + jax + ("jax_authors",)
    row = measured.get((explore, "meander", 1))
    at_most(2, explore, "exploration action, 1 thread: median us", 10, mine(explore, 1))
    at_most(2, explore, "exploration action, 1 thread: p99 / median", 2,
            over(quantile(sorted(row.times), 0.99), row.median) if row else None)
    at_least(2, explore, "exploration action: best peer / meander on 1 thread", 3,
             over(best(explore, others), mine(explore, 1)))
    at_most(2, evaluate, "10-candidate evaluation, 1 thread: median us", 70, mine(evaluate, 1))
    at_least(2, evaluate, "10-candidate evaluation: best peer / meander on 1 thread", 3,
             over(best(evaluate, others), mine(evaluate, 1)))
    at_most(2, one_step, "32-candidate policy, 1 thread: median us", 1000, mine(one_step, 1))
    at_most(2, one_step, "32-candidate policy, 2 threads: median us", 500, mine(one_step, 2))
    at_least(2, one_step, "32-candidate policy: best peer / meander, each at its best", 2.5,
             over(best(one_step, others), best(one_step, ("meander",))))

    for size in CHAIN_ROWS:
        case = f"chain/{size}"
        row = measured.get((case, "meander", most))
        at_least(3, case, f"{case}: share of the FMA peak", 0.8,
                 row.share(peaks.get(most, {}).get("fma_fp32")) if row else None)
        at_least(3, case, f"{case}: oneDNN and a pass / meander", 0.95, over(time_of(case, "onednn", most), mine(case)))
        blas = min(filter(None, (time_of(case, who, most) for who in ("openblas", "openblas_skylakex"))), default=None)
        at_least(3, case, f"{case}: better OpenBLAS and a pass / meander", 1.2, over(blas, mine(case)))
    for size in MLP_ROWS:
        case = f"mlp_value_and_tangent/{size}"
        at_most(3, case, f"value and tangent / forward, {size} rows", 2.1,
                over(mine(case), mine(f"mlp_forward/{size}")))
    jvp = "actor_jvp_reverse/256"
    at_least(3, jvp, "actor JVP and reverse, 256 rows: best JAX / meander", 2.2, over(best(jvp, jax), mine(jvp)))

    for name, package in (("HalfCheetah-v4", "gymnasium"), ("dmc-walker-walk", "dm_control"),
                          ("dmc-humanoid-walk", "dm_control"), ("dmc-dog-run", "dm_control"),
                          ("cube-double-play-singletask-v0", "ogbench")):
        step, steps = f"environment_step/{name}", f"environment_steps/{name}"
        task = name.replace("-play-singletask-v0", "")
        if package != "ogbench":
            at_least(4, step, f"{task} step: {package} / meander", 1.9,
                     over(best(step, (package,)), best(step, ("meander",))))
        at_most(4, step, f"{task} step: meander / mj_step", 1.05,
                over(best(step, ("meander",)), best(step, ("mj_step",))))
        at_least(4, steps, f"{task}, 8 environments: 1 thread / 2 threads", 1.8,
                 over(time_of(steps, "meander_alone", 2), mine(steps, 2)))

    for task, wanted in (("lift", 700), ("can", 290), ("square", 350)):
        step, steps = f"environment_step/robomimic-{task}", f"environment_steps/robomimic-{task}"
        alone = best(step, ("meander",))
        at_least(4, step, f"robomimic-{task}: steps a second of one core", wanted, 1e6 / alone if alone else None)
        at_least(4, steps, f"robomimic-{task}, 8 environments: 1 thread / 2 threads", 1.9,
                 over(time_of(steps, "meander_alone", 2), mine(steps, 2)))

    sac = "sac_pendulum/10000"
    at_least(5, sac, "SAC on Pendulum: RLtools / meander", 1,
             over(best(sac, ("rltools", "rltools_skylakex")), best(sac, ("meander",))))
    return found


def print_targets(found, most):
    print(f"\ntargets ({most} thread{'s' * (most > 1)} unless said; a peer counts with the threads it is fastest on)")
    for number, claim, wanted, value, met in found:
        state = "not measured" if value is None else "met" if met else "MISSED"
        print(f"  {number}  {claim:58}{wanted:>9}{'' if value is None else f'{value:.2f}':>9}  {state}")
