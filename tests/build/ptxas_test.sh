#!/usr/bin/env bash
# ptxas_test.sh BUILD TABLE [--write]: what the compiler made of each CUDA kernel. None may spill, and none may take more
# than 64 registers (then 32 warps are resident on every GPU from sm_80 on), but for those in the table, which may take
# what stands there. --write makes the table anew, with one step of 8, in which the hardware hands registers out, to spare.
set -euo pipefail
build=$1
table=$2
usual=64

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
  {
    echo "# kernel architecture most_registers"
    report | awk -v usual="$usual" '$3 > usual { print $1, $2, ($3 + 15) - ($3 + 15) % 8 }'
  } >"$table"
  exit
fi

bad=0
now=$(report)
if [[ -z $now ]]; then
  echo "no compiler reports under $build"
  exit 1
fi
while read -r kernel arch registers spilled; do
  most=$(awk -v kernel="$kernel" -v arch="$arch" '$1 == kernel && $2 == arch { print $3 }' "$table")
  most=${most:-$usual}
  if ((registers > most)); then echo "$kernel on $arch: $registers registers, at most $most are expected"; bad=1; fi
  if ((spilled > 0)); then echo "$kernel on $arch: spills $spilled bytes"; bad=1; fi
done <<<"$now"
echo "$(wc -l <<<"$now") kernels"
exit $bad
