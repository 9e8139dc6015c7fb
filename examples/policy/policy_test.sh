#!/usr/bin/env bash
# Trains for a moment, exports, and runs every program here with the result:
#   policy_test.sh MEANDER PROGRAMS SOURCES SCRATCH
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
meander=$1 programs=$2 sources=$3 scratch=$4
rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"
"$meander" train --algo mfpo --env Pendulum-v1 --steps 300 --quiet --out run --set batch_size=32 --set start_steps=100 \
  --set actor_width=64 --set critic_width=64 --set observation_scaling=standard
"$meander" export run --out policy.mpol --weights float16 --c-array policy.h
printf '%s\n' '1 0 0' '-1 0.1 0.5' | "$programs/example_policy_act" policy.mpol | tee actions
[[ $(wc -l < actions) == 2 ]]
# Bad input has one line and no action.
! "$programs/example_policy_act" run/metrics.csv < /dev/null 2> said
! "$programs/example_policy_act" missing.mpol < /dev/null 2>> said
! "$programs/example_policy_act" policy.mpol <<< '1 0' 2>> said
cat said
[[ $(wc -l < said) == 4 ]]   # the last one opened the policy and said so
"$programs/example_policy_control_loop" policy.mpol 1
"$here/cortex_m7.sh" policy.h "$sources" m7 | tee board
grep -q -e '^skipped' -e 'all is well' board
