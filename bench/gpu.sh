#!/usr/bin/env bash
# bench/gpu.sh --pack FOLDER [PRESET]   builds and puts what a bare machine with a GPU needs into FOLDER, for the
#     architectures of a CMake preset: release, sm_80 and sm_90a (47 MiB), or cuda, all of them (73 MiB)
# bench/gpu.sh OUT [--seconds N] [--device NAME] [--only PATTERN]
#     runs there, from the packed folder or from the repository's root: tests, recorded updates (data/mfpo_*), kernels,
#     update and acting timed, the update call by call and through ncu, the same beside PyTorch, JAX and cuBLAS where this
#     machine's python3 has them (peers/peers.py), compute-sanitizer, a training run; each within a time limit. JSON and
#     logs in OUT. When the seconds (default 2400) run out, the training is left
#     out first, then the sanitizer, then the peers. --only does the steps of such names alone, for machines that limit a
#     command: '@(tests|agents|verify|bench|calls|profile)', 'peers-*', 'sanitizer-*', 'training-*'.
#     --device cuda-emulated tries the script itself without a GPU, on sizes that say nothing.
# The packed folder needs no network and no packages but the driver and, for the peers, a python3 with torch and jax:
# FOLDER/bench/gpu.sh OUT.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
say() { printf 'gpu.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# ---- packing ---------------------------------------------------------------------------------------------------------
if [[ ${1-} == --pack ]]; then
  folder=${2:?--pack wants a folder}
  command -v cmake >/dev/null || die "--pack builds with cmake: run ./meander test first"
  preset=${3:-release}
  (cd "$here" && cmake --preset "$preset" -DMEANDER_CUDA=ON >/dev/null &&
    cmake --build --preset "$preset" --target meander_command meander_cuda_module meander_emulator_module test_cuda test_algos bench_gpu bench_floor peer_meander)
  build=$here/build/$preset
  mkdir -p "$folder/bin" "$folder/lib" "$folder/bench/peers" "$folder/data"
  cp "$build/meander" "$build/tests/test_cuda" "$build/tests/test_algos" "$build"/bench/{bench_gpu,bench_floor,peer_meander} \
    "$folder/bin/"
  cp "$build"/meander-cuda*.so "$folder/bin/"
  strip "$folder"/bin/*
  cp "$here"/bench/gpu.sh "$folder/bench/"
  cp "$here"/bench/peers/*.{py,txt} "$folder/bench/peers/"
  printf '%s%s\n' "$(git -C "$here" rev-parse HEAD)" \
    "$(git -C "$here" diff --quiet HEAD || echo -changed)" >"$folder/commit"
  cp -r "$here/.deps/gymnasium-1.2.3/assets" "$folder/"
  cp "$here"/tests/data/mfpo_small.safetensors "$here"/tests/data/ops.safetensors "$folder/data/"
  # The libraries that are not part of every system.
  ldd "$folder"/bin/* | awk '$2 == "=>" { print $3 }' | sort -u |
    grep -v -E '/(libc|libm|libdl|libpthread|librt|ld-linux-x86-64|libgcc_s|libstdc\+\+)\.so' | xargs -r cp -t "$folder/lib/"
  say "$folder: $(du -sm "$folder" | cut -f1) MiB"
  exit
fi

# ---- arguments -------------------------------------------------------------------------------------------------------
out=${1:?"the folder for the results is missing: bench/gpu.sh OUT"}
shift
seconds=2400
device=cuda
only='*'
while (($#)); do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --device) device=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) die "unknown argument $1" ;;
  esac
done
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [[ -x $here/bin/meander ]]; then
  bin=$here/bin data=$here/data
  export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export MEANDER_GYMNASIUM_ASSETS=$here/assets
  test_cuda=$bin/test_cuda test_algos=$bin/test_algos programs=$bin
else
  build=$here/build/cuda
  [[ -d $build ]] || build=$here/build/release
  [[ -x $build/meander ]] || die "nothing is built: ./meander test, or bench/gpu.sh --pack FOLDER where there is a network"
  bin=$build data=$here/tests/data
  test_cuda=$build/tests/test_cuda test_algos=$build/tests/test_algos programs=$build/bench
fi

left() { echo $((seconds - SECONDS)); }
# step NAME NEEDED LIMIT COMMAND...   runs it within LIMIT seconds if at least NEEDED are left; its output goes to
# OUT/NAME.log, and what became of it into OUT/summary.json and `last`.
steps=() last=
step() {
  local name=$1 needed=$2 limit=$3 start=$SECONDS status=0
  shift 3
  last=
  # shellcheck disable=SC2053   # a pattern
  [[ $name == $only ]] || return 0
  if (($(left) < needed)); then
    say "$name: left out, $(left) s are left"
    steps+=("{\"step\": \"$name\", \"result\": \"left out\"}")
    return
  fi
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || status=$?
  last=$status
  say "$name: exit $status after $((SECONDS - start)) s"
  steps+=("{\"step\": \"$name\", \"result\": $status, \"seconds\": $((SECONDS - start))}")
}

# ---- the machine -----------------------------------------------------------------------------------------------------
if [[ $device == cuda ]]; then
  nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.mem --format=csv,noheader \
    >"$out/gpu.txt" 2>/dev/null || die "nvidia-smi finds no GPU"
fi
small=()
[[ $device == cuda ]] || small=(--small)

# ---- tests: never left out -------------------------------------------------------------------------------------------
step tests 0 300 "$test_cuda"
step agents 0 200 "$test_algos" -tc='*device*'
step verify 0 300 "$bin/meander" verify --device "$device" "$data"/{mfpo_*,ops}.safetensors
step bench 0 300 bash -c '"$0" --device "$1" "${@:3}" >"$2/bench.json"' "$programs/bench_gpu" "$device" \
  "$out" "${small[@]}"
sizes=(17 6)
[[ $device == cuda ]] || sizes=(5 2)
step calls 0 200 "$programs/bench_floor" --calls --device "$device" "${sizes[@]}"
if command -v ncu >/dev/null; then   # the kernels of one update, each alone
  sections=()
  for section in SpeedOfLight ComputeWorkloadAnalysis MemoryWorkloadAnalysis LaunchStats Occupancy; do
    sections+=(--section "$section")
  done
  step profile 60 200 ncu --clock-control none --csv --page details "${sections[@]}" "$programs/bench_floor" --once \
    --device "$device" "${sizes[@]}"
else
  say "ncu is not here"
fi

# ---- beside PyTorch, JAX and cuBLAS: the cases that count most first -------------------------------------------------
peers() {
  local name=$1 patterns=()
  for pattern in "${@:2}"; do patterns+=(--cases "$pattern"); done
  step "peers-$name" 120 480 python3 "$here/bench/peers/peers.py" --device "$device" --programs "$programs" \
    --limit 360 --json "$out/peers-$name.json" "${patterns[@]}"
}
if ! command -v python3 >/dev/null; then
  say "python3 is not here"
elif [[ $device == cuda ]]; then
  peers HalfCheetah mfpo_update/HalfCheetah
  peers acting 'act/*' 'candidates/*' 'actor_*'
  peers Humanoid mfpo_update/Humanoid
  peers forward 'mlp_forward/*' 'chain/*'
  peers gradient 'mlp_value_and_tangent/*' 'mlp_backward/*'
else
  peers trial act/mfpo_explore mlp_forward/64
fi
logs=$here/.deps/peers/logs   # of each library
[[ ! -d $logs ]] || cp -r "$logs" "$out/peers-logs"

# ---- compute-sanitizer, on a part of the tests: it slows them a hundredfold ------------------------------------------
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck initcheck synccheck; do
    step "sanitizer-$tool" 240 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$test_cuda" -tc='*one launch*,mlp*,*row*'
  done
else
  say "compute-sanitizer is not here"
fi

# ---- training, in slices that a limit on one command does not cut ----------------------------------------------------
run=$out/run
steps_wanted=1000000
settings=(--algo mfpo --env HalfCheetah-v4 --seed 0 --steps "$steps_wanted" --device "$device")
[[ $device == cuda ]] || settings=(--algo mfpo --env Pendulum-v1 --seed 0 --steps 60 --device "$device" --set start_steps=41
  --set actor_width=16 --set critic_width=16 --set batch_size=8 --set policy_proposals=2 --set gaussian_proposals=2
  --set evaluation_interval=50 --set evaluation_episodes=1)
slice=0
while (($(left) > 120)); do
  limit=$(($(left) - 60 < 480 ? $(left) - 60 : 480))
  # Ctrl-C is how a run is asked to save and end.
  if [[ -d $run ]]; then
    step "training-$slice" 60 $((limit + 60)) timeout -s INT "$limit" "$bin/meander" train --resume "$run" --quiet
  else
    step "training-$slice" 60 $((limit + 60)) timeout -s INT "$limit" "$bin/meander" train "${settings[@]}" --out "$run" --quiet
  fi
  slice=$((slice + 1))
  # timeout says 124 when it had to ask; then there is more to do.
  [[ $last == 124 ]] || break
done

printf '[%s]\n' "$(IFS=,; echo "${steps[*]}")" >"$out/summary.json"
failed=$(grep -c -E '"result": [1-9]' <(printf '%s\n' "${steps[@]}" | grep -v training) || true)
say "$failed steps failed; results in $out"
((failed == 0))
