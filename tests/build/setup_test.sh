#!/usr/bin/env bash
# Protects a newcomer's first minute: where something is missing or damaged, `meander` says so in one line with the
# remedy, changes nothing, and an interrupted set-up repairs itself. Works on a copy of the script in a scratch folder,
# without a network. Usage: setup_test.sh SCRIPT
set -euo pipefail

script=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# expect NAME STATUS PATTERN COMMAND...   the command ends with STATUS; the last line of its standard error matches
# PATTERN, and no more than two lines precede it.
expect() {
  local name=$1 status=$2 pattern=$3 got=0 lines
  shift 3
  "$@" >"$scratch/out" 2>"$scratch/err" || got=$?
  lines=$(wc -l <"$scratch/err")
  if [[ $got != "$status" ]] || ! tail -n 1 "$scratch/err" | grep -qE "$pattern" || ((lines > 3)); then
    printf 'FAILED %s: status %s, wanted %s and a last line like: %s\n' "$name" "$got" "$status" "$pattern"
    cat "$scratch/err"
    failures=$((failures + 1))
  else
    printf 'passed %s\n' "$name"
  fi
}

check() {
  local name=$1
  shift
  if "$@"; then printf 'passed %s\n' "$name"; else printf 'FAILED %s\n' "$name"; failures=$((failures + 1)); fi
}

# A checkout in which only the script is of interest.
fresh() {
  rm -rf "$scratch/clone"
  mkdir "$scratch/clone"
  cp "$script" "$scratch/clone/meander"
}
meander=$scratch/clone/meander

wheels=$scratch/clone/.deps/wheels
mujoco=$(sed -n 's/^mujoco_wheel=//p' "$script")
mujoco=${mujoco//\$HOSTTYPE/$HOSTTYPE}

# ---- the wheels ------------------------------------------------------------------------------------------------------

fresh
expect "no network" 1 "cannot fetch $mujoco .*check the network" \
  env -u PIP_FIND_LINKS -u PIP_NO_INDEX PIP_INDEX_URL=http://127.0.0.1:9/ "$meander" fetch
check "no network leaves nothing behind" [ -z "$(ls "$wheels")" ]

fresh
mkdir -p "$wheels"
echo damaged >"$wheels/$mujoco"
sum=$(sha256sum "$wheels/$mujoco")
expect "a damaged wheel" 1 "wheels/$mujoco is damaged: expected SHA-256 [0-9a-f]{64}, got ${sum%% *}; remove it \(rm " \
  "$meander" fetch
check "a damaged wheel is not unpacked" [ ! -e "$scratch/clone/.deps/mujoco-3.3.1" ]

# With wheels of our own making, their checksums put into the copy of the script.
python3 - "$scratch" "$mujoco" <<'PYTHON'
import sys, zipfile
scratch, mujoco = sys.argv[1:]
with zipfile.ZipFile(f"{scratch}/{mujoco}", "w") as wheel:
    wheel.writestr("mujoco/include/mujoco/mujoco.h", "header")
    wheel.writestr("mujoco/libmujoco.so.3.3.1", "library")
    wheel.writestr("mujoco/other.so", "not wanted")
    wheel.writestr("mujoco-3.3.1.dist-info/licenses/LICENSE", "licence")
with zipfile.ZipFile(f"{scratch}/gymnasium-1.2.3-py3-none-any.whl", "w") as wheel:
    wheel.writestr("gymnasium/envs/mujoco/assets/ant.xml", "ant")
    wheel.writestr("gymnasium-1.2.3.dist-info/licenses/LICENSE", "licence")
with zipfile.ZipFile(f"{scratch}/ogbench-1.2.2-py3-none-any.whl", "w") as wheel:
    wheel.writestr("ogbench-1.2.2.dist-info/LICENSE", "licence")
    wheel.writestr("ogbench/manipspace/descriptions/floor_wall.xml", "floor")
    for folder, file in ("universal_robots_ur5e", "ur5e.xml"), ("robotiq_2f85", "2f85.xml"):
        for member in file, "assets/mesh.stl", "LICENSE":
            wheel.writestr(f"ogbench/manipspace/descriptions/{folder}/{member}", folder)
with zipfile.ZipFile(f"{scratch}/dm_control-1.0.28-py3-none-any.whl", "w") as wheel:
    for domain in ("cartpole", "cheetah", "dog", "fish", "hopper", "humanoid", "walker"):
        wheel.writestr(f"dm_control/suite/{domain}.xml", domain)
    wheel.writestr("dm_control/suite/common/visual.xml", "visual")
    wheel.writestr("dm_control/suite/dog_assets/tail.stl", "tail")
    wheel.writestr("dm_control/suite/walker.py", "not wanted")
    for name in ("LICENSE", "AUTHORS"):
        wheel.writestr(f"dm_control-1.0.28.dist-info/{name}", "licence")
PYTHON
fresh
mkdir -p "$wheels"
for name in mujoco gymnasium ogbench dm_control; do
  wheel=$(cd "$scratch" && ls $name*.whl)
  cp "$scratch/$wheel" "$wheels"
  sum=$(sha256sum "$wheels/$wheel")
  sed -i "s/${name}_sha256=[0-9a-f]*/${name}_sha256=${sum%% *}/" "$meander"
done
deps=$scratch/clone/.deps
mkdir -p "$deps/mujoco-3.3.1/include" "$deps/mujoco-3.3.1.partial/lib"  # as an interrupted set-up may leave
unpacked() {
  [[ $(<"$deps/mujoco-3.3.1/include/mujoco/mujoco.h") == header &&
     $(<"$deps/mujoco-3.3.1/lib/libmujoco.so.3.3.1") == library && -e $deps/mujoco-3.3.1/licenses/LICENSE &&
     ! -e $deps/mujoco-3.3.1/lib/other.so && ! -e $deps/mujoco-3.3.1.partial &&
     $(<"$deps/gymnasium-1.2.3/assets/ant.xml") == ant && -e $deps/gymnasium-1.2.3/licenses/LICENSE ]]
}
check "an interrupted set-up is completed" "$meander" fetch
check "the wheels are unpacked" unpacked
check "a set-up leaves out what is fetched at first use" [ ! -e "$deps/ogbench-1.2.2" ]
expect "a family's files, by name" 0 "OGBench's cube tasks need their files \(.*MIT; .*BSD" "$meander" fetch ogbench
mesh=$deps/ogbench-1.2.2/descriptions/robotiq_2f85/assets/mesh.stl
check "the family's wheel is unpacked" [ "$(<"$mesh")" = robotiq_2f85 ]
check "with its licences" [ -e "$deps/ogbench-1.2.2/licenses/universal_robots_ur5e/LICENSE" ]
suite=$deps/dm_control-1.0.28/suite
check "dm_control is left where it is" [ ! -e "$suite" ]
expect "a family that is none" 2 "nothing to fetch for 'chess'" "$meander" fetch chess
expect "dm_control is fetched with its licence named" 0 'dm_control 1.0.28 .*Apache-2.0' "$meander" fetch dm_control
check "its six domains are unpacked" [ "$(cd "$suite" && echo *)" = \
  "cartpole.xml cheetah.xml common dog.xml dog_assets hopper.xml humanoid.xml walker.xml" ]
check "with what they include" [ "$(<"$suite/common/visual.xml")$(<"$suite/dog_assets/tail.stl")" = visualtail ]
check "and the licence" [ -e "$deps/dm_control-1.0.28/licenses/LICENSE" ]
rm -r "$wheels"
check "what is unpacked is not fetched again" "$meander" fetch ogbench
silent() { [[ -z $("$meander" fetch dm_control 2>&1) ]]; }
check "nor is dm_control, and not a word said" silent
echo other >"$deps/mujoco-3.3.1/wheel.sha256"
expect "another version's folder is not taken for ours" 1 "cannot fetch $mujoco" \
  env -u PIP_FIND_LINKS PIP_NO_INDEX=1 "$meander" fetch

# ---- packages --------------------------------------------------------------------------------------------------------

# A machine of our own making: the tools the script may use, dpkg that knows no package, and no way to become root.
machine=$scratch/bin
mkdir "$machine"
for tool in bash env readlink mkdir mktemp rm flock grep tail sha256sum python3 cat cmake touch; do
  ln -s "$(command -v "$tool")" "$machine/$tool"
done
printf '#!/bin/bash\nexit 1\n' >"$machine/dpkg-query"
printf '#!/bin/bash\necho 1000\n' >"$machine/id"
chmod +x "$machine"/{dpkg-query,id}

fresh
expect "neither root nor sudo" 1 'apt-get install cmake ninja-build g\+\+ .*doctest-dev' \
  env PATH="$machine" "$meander" list

printf '#!/bin/bash\nexit 1\n' >"$machine/sudo"
chmod +x "$machine/sudo"
expect "sudo that wants a password, and no terminal" 1 'apt-get install cmake ninja-build' \
  env PATH="$machine" "$meander" list </dev/null

printf '#!/bin/bash\necho 0\n' >"$machine/id"
printf '#!/bin/bash\necho "E: Unable to fetch some archives"; exit 100\n' >"$machine/apt-get"
chmod +x "$machine/apt-get"
expect "apt-get without a network" 1 'cannot install cmake .*E: Unable to fetch some archives.*check the network' \
  env PATH="$machine" "$meander" list
check "a failed installation is tried again" [ ! -e "$scratch/clone/.deps/packages-base" ]

# ---- gnuplot and OpenGL, for the verbs that draw -------------------------------------------------------------------------------------

# The same machine with everything but these, and a build that is done.
fresh
for wheel in mujoco-3.3.1 gymnasium-1.2.3; do
  mkdir -p "$deps/$wheel"
  sed -n "/$HOSTTYPE/,\$s/.*${wheel%-*}_sha256=\([0-9a-f]*\).*/\1/p" "$script" | head -n 1 | tr -d '\n' \
    >"$deps/$wheel/wheel.sha256"
done
build=$(readlink -f "$scratch/clone")/build/release
mkdir -p "$build"
touch "$build/build.ninja"
printf 'CMAKE_HOME_DIRECTORY:INTERNAL=%s\n' "${build%/build/release}" >"$build/CMakeCache.txt"
ln -s "$(command -v nproc)" "$machine/nproc"
rm "$machine/cmake"
printf '#!/bin/bash\n' | tee "$machine/ninja" >"$machine/cmake"
printf '#!/bin/bash\necho "ran $*" >&2\n' >"$build/meander"
printf '#!/bin/bash\n[[ $* != *gnuplot* && $* != *egl* ]] && echo -n installed\n' >"$machine/dpkg-query"
printf '#!/bin/bash\necho 1000\n' >"$machine/id"
chmod +x "$machine"/{ninja,cmake} "$build/meander"

expect "a verb that draws nothing" 0 'ran list' env PATH="$machine" "$meander" list
check "does not ask for gnuplot" [ "$(grep -c gnuplot "$scratch/err")" = 0 ]
expect "plot without gnuplot" 0 'ran plot a.csv' env PATH="$machine" "$meander" plot a.csv </dev/null
check "says what to install" grep -q 'apt-get install gnuplot-nox' "$scratch/err"
expect "render without OpenGL" 0 'ran render runs/a' env PATH="$machine" "$meander" render runs/a </dev/null
check "says what to install for it" grep -q 'apt-get install libegl1' "$scratch/err"
ln -s "$machine/ninja" "$machine/gnuplot"
expect "a task of a family without a network" 1 'cannot fetch ogbench-1.2.2-.*check the network' \
  env -u PIP_FIND_LINKS PIP_NO_INDEX=1 PATH="$machine:$PATH" "$meander" train --algo sac --env cube-double-v0
expect "a recording of one" 1 'cannot fetch ogbench-1.2.2-.*check the network' \
  env -u PIP_FIND_LINKS PIP_NO_INDEX=1 PATH="$machine:$PATH" "$meander" verify data/ogb-cube-single-task1.safetensors
expect "sweep with gnuplot" 0 'ran sweep' env PATH="$machine" "$meander" sweep
check "asks for nothing" [ "$(wc -l <"$scratch/err")" = 1 ]

# ---- dm_control, at the first use of one of its tasks ----------------------------------------------------------------

for tool in head mv sed tr; do ln -s "$(command -v "$tool")" "$machine/$tool"; done
without='cannot fetch dm_control-1.0.28-py3-none-any.whl .*check the network'
run=$scratch/run
mkdir "$run"
printf 'algo = "sac"\nenv = "dmc-walker-run"\n' >"$run/config.toml"
printf '{"__metadata__":{"family":"dmc","task":"walker-run"}}' >"$scratch/recording"
offline() { env -u PIP_FIND_LINKS PIP_NO_INDEX=1 PATH="$machine" "$meander" "$@"; }
expect "a task of Gymnasium" 0 'ran train --env Hopper-v4' offline train --env Hopper-v4
expect "a task of dm_control without a network" 1 "$without" offline train --env dmc-walker-run
expect "a run on one" 1 "$without" offline eval "$run"
expect "a recording of one" 1 "$without" offline verify "$scratch/recording"
expect "only to look at a run needs no files" 0 'ran info' offline info "$run"

exit $((failures > 0))
