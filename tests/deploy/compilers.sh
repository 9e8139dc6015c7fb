#!/usr/bin/env bash
# What users do with the two files, by every compiler that is here: the header as C99 and C++17, the source without
# exceptions and RTTI, all without a warning; what it asks of others, and how large it is.
#   compilers.sh HEADERS SOURCES [all]   all: with the options, and processors beside those of the pages
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
all=${3-}
headers=$(readlink -f "$1") source=$(readlink -f "$2")/meander_policy.cpp
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
said() { printf '%-24s %s\n' "$1" "$2"; }

cp "$headers/meander_policy.h" "$source" "$scratch"   # and nothing else
cd "$scratch"
printf '#include "meander_policy.h"\n' > use.c
cp use.c use.cpp
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -c use.c -o use.o
c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -c use.cpp -o use.o

# object NAME LIMIT COMPILER OPTIONS...   code and constants in bytes, at most so many where the compiler is GCC 12
object() {
  local name=$1 limit=$2 compiler=$3 text
  shift 3
  if ! command -v "$compiler" >/dev/null; then
    said "$name" "skipped: no $compiler"
    return
  fi
  "$compiler" -std=c++20 -O2 -fno-exceptions -fno-rtti -Wall -Wextra -Werror "$@" -c meander_policy.cpp -o policy.o
  text=$(size policy.o 2>/dev/null | awk 'NR == 2 { print $1 }' || true)
  [[ -n $text ]] || text=$("${compiler%g++}size" policy.o | awk 'NR == 2 { print $1 }')
  local others
  others=$(nm -u policy.o | awk '{ print $2 }' | grep -vE '^(memcpy|memset|memmove|_GLOBAL_OFFSET_TABLE_|__cpu_.*|__aeabi_.*)$' || true)
  if [[ -n $others ]]; then
    said "$name" "asks for $others"
    exit 1
  fi
  said "$name" "$text bytes"
  if ((limit > 0 && text > limit)); then
    said "$name" "is larger than $limit bytes"
    exit 1
  fi
}
gcc12() { [[ $("$1" -dumpversion 2>/dev/null) == 12* ]] && echo "$2" || echo 0; }
host=0
if [[ $(uname -m) == x86_64 ]]; then host=$(gcc12 g++ 65536); fi
object "host, g++" "$host" g++
[[ -z $all ]] || object "host, float32 alone" 0 g++ -DMEANDER_POLICY_FLOAT32_ONLY
object "host, portable" 0 g++ -DMEANDER_POLICY_PORTABLE
[[ -z $all ]] || object "host, clang++" 0 clang++
object "aarch64" "$(gcc12 aarch64-linux-gnu-g++ 32768)" aarch64-linux-gnu-g++
m7=(-mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard)
object "Cortex-M7" "$(gcc12 arm-none-eabi-g++ 12288)" arm-none-eabi-g++ "${m7[@]}"
[[ -z $all ]] || object "Cortex-M7, float32" 0 arm-none-eabi-g++ "${m7[@]}" -DMEANDER_POLICY_FLOAT32_ONLY
[[ -z $all ]] || object "Cortex-M4" 0 arm-none-eabi-g++ -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard
[[ -z $all ]] || object "Cortex-M0, no FPU" 0 arm-none-eabi-g++ -mcpu=cortex-m0 -mthumb

# A whole program: glibc, and musl where it is.
cp "$here/smallest.c" .
g++ -std=c++20 -O2 -fno-exceptions -fno-rtti -c meander_policy.cpp -o policy.o
for compiler in cc musl-gcc; do
  if ! command -v "$compiler" >/dev/null; then
    said "static, $compiler" "skipped: no $compiler"
    continue
  fi
  "$compiler" -std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -c smallest.c -o smallest.o
  "$compiler" -static smallest.o policy.o -o smallest
  strip smallest
  said "static, $compiler" "$(stat -c %s smallest) bytes"
done
