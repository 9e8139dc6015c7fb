#!/usr/bin/env bash
# ptxas_test.sh BUILD TABLE [--write]: what the compiler made of each CUDA kernel, against the committed table.
# A kernel may take no more registers than there, and none may spill or be missing. --write makes the table anew.
set -euo pipefail
build=$1
table=$2

# kernel architecture registers spilled_bytes, sorted; a kernel's name without its parameters.
report() {
  find "$build" -name '*.cu.o.ptxas' -exec cat {} + | awk '
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4] }
    /bytes stack frame/ { spilled = $5 + $9; stack = $1 }
    /Used [0-9]+ registers/ { match($0, /Used [0-9]+/); print kernel, arch, substr($0, RSTART + 5, RLENGTH - 5), spilled }
  ' | while read -r kernel arch registers spilled; do
    printf '%s %s %s %s\n' "$(c++filt "$kernel" | sed -E 's/^void //; s/meander::kernels::cuda:://g; s/\(anonymous namespace\):://g; s/\(.*$//; s/ //g')" \
      "$arch" "$registers" "$spilled"
  done | sort -u -k1,1 -k2,2 -k3,3nr | awk '!seen[$1 " " $2]++'
}

if [[ ${3-} == --write ]]; then
  { echo "# kernel architecture registers spilled_bytes"; report; } >"$table"
  exit
fi

bad=0
now=$(report)
if [[ -z $now ]]; then
  echo "no compiler reports under $build"
  exit 1
fi
while read -r kernel arch registers spilled; do
  known=$(awk -v kernel="$kernel" -v arch="$arch" '$1 == kernel && $2 == arch { print $3, $4 }' "$table")
  if [[ -z $known ]]; then
    echo "$kernel on $arch: not in $table"
    bad=1
    continue
  fi
  if ((registers > ${known% *})); then echo "$kernel on $arch: $registers registers, at most ${known% *} are expected"; bad=1; fi
  if ((spilled > ${known#* })); then echo "$kernel on $arch: spills $spilled bytes"; bad=1; fi
done <<<"$now"
echo "$(wc -l <<<"$now") kernels"
exit $bad
