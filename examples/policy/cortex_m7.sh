#!/usr/bin/env bash
# Builds cortex_m7.c with a policy for a Cortex-M7 and runs it in QEMU:  cortex_m7.sh POLICY.h SOURCES FOLDER
# POLICY.h is of `meander export --c-array`, SOURCES where meander_policy.cpp lies, FOLDER for what is built.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
array=$(readlink -f "$1") sources=$(readlink -f "$2") folder=$3
if ! command -v arm-none-eabi-g++ >/dev/null || ! command -v qemu-system-arm >/dev/null; then
  echo "skipped: needs gcc-arm-none-eabi and qemu-system-arm"
  exit 0
fi
mkdir -p "$folder"
name=$(sed -n 's/^static const uint32_t \([A-Za-z0-9_]*\)\[.*/\1/p' "$array" | head -n 1)
machine=(-mcpu=cortex-m7 -mthumb -mfpu=fpv5-sp-d16 -mfloat-abi=hard -O2)
arm-none-eabi-g++ -std=c++20 "${machine[@]}" -fno-exceptions -fno-rtti -Wall -Wextra -Werror \
  -I "$here/../../deploy" -c "$sources/meander_policy.cpp" -o "$folder/meander_policy.o" ${POLICY_OPTIONS-}
arm-none-eabi-gcc -std=c11 "${machine[@]}" -ffreestanding -Wall -Wextra -Werror -I "$here/../../deploy" \
  -DPOLICY_ARRAY="\"$array\"" -DPOLICY="$name" ${WORKSPACE_BYTES:+-DWORKSPACE_BYTES=$WORKSPACE_BYTES} \
  -c "$here/cortex_m7.c" -o "$folder/cortex_m7.o"
arm-none-eabi-gcc "${machine[@]}" -nostdlib -T "$here/cortex_m7.ld" "$folder/cortex_m7.o" "$folder/meander_policy.o" \
  -lgcc -o "$folder/cortex_m7.elf"
arm-none-eabi-size "$folder/meander_policy.o" "$folder/cortex_m7.elf"
exec qemu-system-arm -M mps2-an500 -icount shift=0 -display none -monitor none -serial none \
  -chardev stdio,id=debugger \
  -semihosting-config enable=on,target=native,chardev=debugger -kernel "$folder/cortex_m7.elf"
