"""The names of the cases, and what the measurement has to know of them."""

MLP_ROWS = (1, 32, 64, 256, 1024, 4096, 12288)
CHAIN_ROWS = (32, 64, 256, 4096, 12288)
SIMULATED = ("HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run",
             "cube-double-play-singletask-v0")
CONTROLLED = ("robomimic-lift", "robomimic-can", "robomimic-square")
SPREAD = ("HalfCheetah-v4", "dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run", "cube-double-play-singletask-v0",
          *CONTROLLED)
CASES = (["mfpo_update/HalfCheetah", "mfpo_update/Humanoid", "act/mfpo_explore", "act/mfpo_evaluate_10",
          "act/mfpo_evaluate_32", "act/one_step_32"]
         + [f"mlp_{what}/{rows}" for what in ("forward", "value_and_tangent", "backward") for rows in MLP_ROWS]
         + [f"chain/{rows}" for rows in CHAIN_ROWS]
         + ["actor_jvp_reverse/256", "candidates/256x10", "adam_ema/1048576", "layer_norm_gelu/12288",
            "c51_projection/256"]
         + [f"environment_step/{name}" for name in (*SIMULATED, *CONTROLLED, "Pendulum-v1")]
         + [f"environment_steps/{name}" for name in SPREAD]
         + ["sac_pendulum/10000"])
QUICK_CASES = ("mfpo_update/HalfCheetah", "act/mfpo_explore", "mlp_forward/256", "chain/256", "adam_ema/*",
               "layer_norm_gelu/*", "c51_projection/*", "environment_step/HalfCheetah-v4",
               "environment_step/Pendulum-v1")
# On a GPU. Passes without gradient are where Meander may round the factors of products.
DEVICE_CASES = [case for case in CASES
                if case.startswith(("mfpo_update/", "act/mfpo_", "actor_", "candidates/"))
                or case.startswith(("mlp_", "chain/")) and int(case.split("/")[1]) >= 64]
ROUNDED = ("mfpo_update/*", "act/mfpo_*", "mlp_forward/*", "chain/*", "candidates/*")
# One thread is all they use.
SINGLE = ("environment_step/", "sac_pendulum/")
# Several at once are what they are about.
SEVERAL = ("environment_steps/",)
ACTING_CALLS = 100_000
ACTING_SECONDS = 5  # a visit; a slow peer is called less often, and its row says how often
# The same on a GPU, also for updates, which are timed one by one there.
DEVICE_CALLS = {"act/": 10_000, "mfpo_update/": 400}
DEVICE_SECONDS = 2
GRAPH_CALLS = 20  # in a CUDA graph of a case that is not timed call by call; device_cases.cpp has as many
