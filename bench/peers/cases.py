"""The names of the cases, and what the measurement has to know of them."""

MLP_ROWS = (1, 32, 64, 256, 4096, 12288)
CHAIN_ROWS = (32, 64, 256, 4096, 12288)
SIMULATED = ("HalfCheetah-v4", "Hopper-v4", "Humanoid-v4", "dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run",
             "cube-double-play-singletask-v0")
SPREAD = ("HalfCheetah-v4", "dmc-walker-walk", "dmc-humanoid-walk", "dmc-dog-run", "cube-double-play-singletask-v0")
CASES = (["mfpo_update/HalfCheetah", "mfpo_update/Humanoid", "act/mfpo_explore", "act/mfpo_evaluate_10",
          "act/one_step_32"]
         + [f"mlp_{what}/{rows}" for what in ("forward", "value_and_tangent", "backward") for rows in MLP_ROWS]
         + [f"chain/{rows}" for rows in CHAIN_ROWS]
         + ["actor_jvp_reverse/256", "candidates/256x10", "adam_ema/1048576", "layer_norm_gelu/12288",
            "c51_projection/256"]
         + [f"environment_step/{name}" for name in (*SIMULATED, "Pendulum-v1")]
         + [f"environment_steps/{name}" for name in SPREAD]
         + ["sac_pendulum/10000"])
QUICK_CASES = ("mfpo_update/HalfCheetah", "act/mfpo_explore", "mlp_forward/256", "chain/256", "adam_ema/*",
               "layer_norm_gelu/*", "c51_projection/*", "environment_step/HalfCheetah-v4",
               "environment_step/Pendulum-v1")
# One thread is all they use.
SINGLE = ("environment_step/", "sac_pendulum/")
# Several at once are what they are about.
SEVERAL = ("environment_steps/",)
ACTING_CALLS = 100_000
ACTING_SECONDS = 5  # a visit; a slow peer is called less often, and its row says how often
