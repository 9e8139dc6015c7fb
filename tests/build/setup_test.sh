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
  mkdir -p "$scratch/clone/envs"
  cp "$script" "$scratch/clone/meander"
  cp "${script%/*}/envs/task_files.sh" "$scratch/clone/envs"
}
meander=$scratch/clone/meander
families=$scratch/clone/envs/task_files.sh

wheels=$scratch/clone/.deps/wheels
mujoco=$(sed -n 's/^mujoco_wheel=//p' "$script")
mujoco=${mujoco//\$machine/$(uname -m)}

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
with zipfile.ZipFile(f"{scratch}/robosuite-1.5.1-py3-none-any.whl", "w") as wheel:
    meshes = [f"objects/meshes/{name}" for name in ("milk.msh", "bread.stl", "cereal.msh", "can.msh")]
    meshes += [f"robots/panda/meshes/link{link}.stl" for link in range(8)]
    meshes += [f"grippers/meshes/panda_gripper/{name}.stl" for name in ("hand", "finger", "hand_vis")]
    meshes += [f"robots/panda/obj_meshes/link{link}_vis/link{link}_vis.obj" for link in range(8)]
    meshes += ["bases/meshes/rethink_mount/pedestal.stl"]
    textures = [f"textures/{name}.png" for name in (
        "dark-wood light-gray-floor-tile light-gray-plaster light-wood steel-brushed brass-ambra ceramic "
        "steel-scratched bread soda cereal red-wood").split()]
    parts = [f"{part}.xml" for part in (
        "arenas/table_arena arenas/bins_arena arenas/pegs_arena arenas/empty_arena robots/panda/robot "
        "bases/rethink_mount grippers/panda_gripper objects/milk objects/bread objects/cereal objects/can "
        "objects/square-nut objects/round-nut objects/lemon").split()]
    for name in parts + meshes + textures:
        wheel.writestr(f"robosuite/models/assets/{name}", name)
    wheel.writestr("robosuite-1.5.1.dist-info/LICENSE", "licence")
PYTHON
fresh
mkdir -p "$wheels"
for name in mujoco gymnasium ogbench dm_control robosuite; do
  wheel=$(cd "$scratch" && ls $name*.whl)
  cp "$scratch/$wheel" "$wheels"
  sum=$(sha256sum "$wheels/$wheel")
  sed -i "s/${name}_sha256=[0-9a-f]*/${name}_sha256=${sum%% *}/" "$meander" "$families"
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
robosuite=$deps/robosuite-1.5.1
expect "robosuite is fetched with its licence named" 0 'robosuite 1.5.1 \(MIT' "$meander" fetch robomimic
check "26 of its files and the licence" [ "$(cd "$robosuite" && find . -type f | wc -l)" = 28 ]
check "each in its folder" [ "$(<"$robosuite/assets/objects/meshes/can.msh")" = objects/meshes/can.msh ]
check "pictures' files" "$meander" fetch robomimic_pictures
check "apart" [ -e "$robosuite-pictures/assets/robots/panda/obj_meshes/link7_vis/link7_vis.obj" ]
check "and no others" [ ! -e "$robosuite-pictures/assets/textures/red-wood.png" ]
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
for tool in bash env readlink mkdir mktemp rm flock grep tail sha256sum python3 cat cmake touch uname find; do
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
  sed -n "/$(uname -m))/,\$s/.*${wheel%-*}_sha256=\([0-9a-f]*\).*/\1/p" "$script" | head -n 1 | tr -d '\n' \
    >"$deps/$wheel/wheel.sha256"
done
build=$(readlink -f "$scratch/clone")/build/release
mkdir -p "$build"
touch "$build/build.ninja"
printf 'CMAKE_HOME_DIRECTORY:INTERNAL=%s\n' "${build%/build/release}" >"$build/CMakeCache.txt"
ln -s "$(command -v nproc)" "$machine/nproc"
rm "$machine/cmake"
printf '#!/bin/bash\n' >"$machine/ninja"
printf '#!/bin/bash\necho "cmake version 3.25.0"\n' >"$machine/cmake"
printf '#!/bin/bash\necho "ran $*" >&2\n' >"$build/meander"
printf '#!/bin/bash\n[[ $* != *gnuplot* && $* != *egl* && $* != *hdf5* ]] && echo -n installed\n' >"$machine/dpkg-query"
printf '#!/bin/bash\necho 1000\n' >"$machine/id"
chmod +x "$machine"/{ninja,cmake} "$build/meander"

expect "a verb that draws nothing" 0 'ran list' env PATH="$machine" "$meander" list
check "does not ask for gnuplot" [ "$(grep -c gnuplot "$scratch/err")" = 0 ]
expect "plot without gnuplot" 0 'ran plot a.csv' env PATH="$machine" "$meander" plot a.csv </dev/null
check "says what to install" grep -q 'apt-get install gnuplot-nox' "$scratch/err"
expect "render without OpenGL" 0 'ran render runs/a' env PATH="$machine" "$meander" render runs/a </dev/null
check "says what to install for it" grep -q 'apt-get install libegl1' "$scratch/err"
expect "data in HDF5 without libhdf5" 0 'ran info a.hdf5' env PATH="$machine" "$meander" info a.hdf5 </dev/null
check "says what to install for them" grep -q 'apt-get install libhdf5-dev' "$scratch/err"
expect "data in HDF5 that is not wanted" 0 'ran info --data=a.h5' \
  env PATH="$machine" "$meander" -DMEANDER_HDF5=OFF info --data=a.h5 </dev/null
check "says so" grep -q 'without HDF5, as -DMEANDER_HDF5=OFF asked for' "$scratch/err"
ln -s "$machine/ninja" "$machine/gnuplot"
expect "a task of a family without a network" 1 'cannot fetch ogbench-1.2.2-.*check the network' \
  env -u PIP_FIND_LINKS PIP_NO_INDEX=1 PATH="$machine:$PATH" "$meander" train --algo sac --env cube-double-v0
printf '{"__metadata__":{"family":"ogb","task":"cube-single-task1"}}' >"$scratch/recording"
expect "a recording of one" 1 'cannot fetch ogbench-1.2.2-.*check the network' \
  env -u PIP_FIND_LINKS PIP_NO_INDEX=1 PATH="$machine:$PATH" "$meander" verify "$scratch/recording"
expect "sweep with gnuplot" 0 'ran sweep' env PATH="$machine" "$meander" sweep
check "asks for nothing" [ "$(wc -l <"$scratch/err")" = 1 ]
expect "fuzzers without Clang" 0 'skipped: clang\+\+ with its fuzzing runtime' \
  env PATH="$machine" "$meander" test --fuzz 5
expect "fuzzers for no time" 2 "expected test --fuzz SECONDS .*, got 'long'" \
  env PATH="$machine" "$meander" test --fuzz long
expect "a fuzzer that is none" 2 "no fuzzer 'toml'" env PATH="$machine" "$meander" test --fuzz 5 toml

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
printf '{"__metadata__":{"config":"algo = \\"sac\\"\\nenv = \\"dmc-walker-run\\"\\n"}}' >"$scratch/checkpoint"
expect "a checkpoint of one" 1 "$without" offline eval "$scratch/checkpoint"
expect "words that look like tasks and devices in names of files" 0 'ran train' \
  offline train --env Hopper-v4 --out 'runs/dmc-walker-run cube-single-v0 device=cuda' --config env=dmc-dog-run.toml
mkdir "$scratch/cube-double-v0" "$scratch/plot" "$scratch/render"
printf 'algo = "sac"\nenv = "Hopper-v4"  # not dmc-walker-run\ndevice = "cpu"\n' >"$scratch/cube-double-v0/config.toml"
expect "and of folders" 0 'ran eval' offline eval "$scratch/cube-double-v0"
expect "verbs too" 0 'ran info' offline info "$scratch/plot" "$scratch/render"
check "draw nothing" [ "$(grep -c apt-get "$scratch/err")" = 0 ]

# ---- shells and folders of others ------------------------------------------------------------------------------------

expect "what another shell calls this machine" 0 'ran list' \
  env PATH="$machine" HOSTTYPE=x86_64-linux MACHTYPE=vendor OSTYPE=linux "$meander" list
strange=$scratch/strange
mkdir "$strange"
for name in python3 cmake ninja gnuplot sha256sum find uname git; do
  printf '#!/bin/bash\necho "$0" >>%q\n' "$scratch/executed" >"$strange/$name"
  chmod +x "$strange/$name"
done
for name in zipfile pip fnmatch os sitecustomize; do
  printf 'open(%s, "a").write("%s")\n' "'$scratch/executed'" "$name" >"$strange/$name.py"
done
in_strange() { (cd "$strange" && env PATH=".:$machine::$PATH:." PYTHONPATH=: PIP_NO_INDEX=1 "$meander" "$@"); }
expect "programs and modules in the current folder" 1 "$without" in_strange train --env dmc-dog-run
check "are not executed" [ ! -e "$scratch/executed" ]
mkdir -p "$wheels"
cp "$scratch"/ogbench*.whl "$wheels"
sum=$(sha256sum "$scratch"/ogbench*.whl)
sed -i "s/ogbench_sha256=[0-9a-f]*/ogbench_sha256=${sum%% *}/" "$families"
expect "nor when a wheel is unpacked" 0 "ogbench|OGBench" in_strange fetch ogbench
check "which it is" [ ! -e "$scratch/executed" -a -e "$deps/ogbench-1.2.2/descriptions" ]

# ---- the build -------------------------------------------------------------------------------------------------------

printf '#!/bin/bash\n[[ $* == --version ]] && echo "cmake version 3.25.0" || printf "%%s\\n" "$@" >%q\n' \
  "$scratch/cmake" >"$machine/cmake"
here() { env PATH="$machine" "$meander" "$@"; }
cmake_got() { grep -qxF -e "$1" "$scratch/cmake" 2>/dev/null; }
expect "an option of CMake" 0 '^ran train --env Hopper-v4 $|^ran train --env Hopper-v4$' \
  here -DMEANDER_CUDA=OFF train --env Hopper-v4 '-DCMAKE_CXX_FLAGS:STRING=-g -O1'
check "reaches it" cmake_got -DMEANDER_CUDA=OFF
check "whole" cmake_got '-DCMAKE_CXX_FLAGS:STRING=-g -O1'
rm "$scratch/cmake"
expect "given again" 0 'ran list' here -DMEANDER_CUDA=OFF list
check "it configures nothing" [ ! -e "$scratch/cmake" ]
expect "the CUDA kernels that were left out" 0 'ran train' here train --device cuda
check "stay so" grep -q 'as -DMEANDER_CUDA=OFF asked for' "$scratch/err"
touch "$build/reconfigure"
expect "a later build" 0 'ran list' here list
check "remembers it" cmake_got -DMEANDER_CUDA=OFF
expect "another value" 0 'ran list' here list -DMEANDER_CUDA=ON
check "takes its place" eval 'cmake_got -DMEANDER_CUDA=ON && ! cmake_got -DMEANDER_CUDA=OFF'
expect "an option that is forgotten" 0 'ran list' here -UMEANDER_CUDA list
check "is so by CMake" eval 'cmake_got -UMEANDER_CUDA && ! cmake_got -DMEANDER_CUDA=ON'
# The builds of other presets have them too, and forget them too.
tsan=${build%release}tsan
mkdir "$tsan"
cp "$build"/{build.ninja,CMakeCache.txt} "$tsan"
printf '#!/bin/bash\necho "ran $*" >&2\n' >"$machine/ctest"
chmod +x "$machine/ctest"
tsan_again() { rm -f "$scratch/cmake"; here test --tsan; }
expect "another preset" 0 'ran --preset tsan' tsan_again
check "gets what is kept" cmake_got '-DCMAKE_CXX_FLAGS:STRING=-g -O1'
expect "again" 0 'ran --preset tsan' tsan_again
check "is not configured" [ ! -e "$scratch/cmake" ]
expect "an option for all" 0 'ran list' here -DMEANDER_CUDA=OFF list
expect "in another preset" 0 'ran --preset tsan' tsan_again
check "is one there" cmake_got -DMEANDER_CUDA=OFF
expect "an option forgotten by all" 0 'ran list' here -UMEANDER_CUDA list
expect "by another preset" 0 'ran --preset tsan' tsan_again
check "is forgotten there" eval 'cmake_got -UMEANDER_CUDA && ! cmake_got -DMEANDER_CUDA=OFF'
expect "the others stay" 0 'ran list' here -UNONE list
check "as they were" cmake_got '-DCMAKE_CXX_FLAGS:STRING=-g -O1'

touch -d '+3 days' "$meander" "$scratch/clone/CMakePresets.json"
expect "files from the future" 0 'ran list' here list
check "are named" grep -qE '2 files have time stamps in the future, .* for one' "$scratch/err"
silent_list() { [[ $(here list 2>&1) == 'ran list' ]]; }
check "and mended" silent_list

sed -i 's/3\.25\.0/3.22.6/' "$machine/cmake"
touch "$build/reconfigure"
expect "an old CMake" 1 'CMake 3.25 or later is needed, .*/cmake is 3.22.6; a newer one: ' here list
sed -i 's/3\.22\.6/4.1.0/' "$machine/cmake"
expect "a newer one" 0 'ran list' here list

for folder in 'a;b' 'a#b' 'a[b' 'a"b' 'a\b' $'a\nb' '${HOME}' 'a<b' 'a|b' 'a*'; do
  mv "$scratch/clone" "$scratch/$folder"
  expect "in the folder $folder" 1 'CMake cannot build in a folder whose path has .*: move or rename ' \
    env PATH="$machine" "$scratch/$folder/meander" list
  mv "$scratch/$folder" "$scratch/clone"
done
for folder in 'p (1)' "it's" 'a$b' 'a&b' 'ä `%{}@~^!' ' -x '; do
  mv "$scratch/clone" "$scratch/$folder"
  expect "in the folder $folder" 0 'ran list' env PATH="$machine" "$scratch/$folder/meander" list
  mv "$scratch/$folder" "$scratch/clone"
done

# ---- a checkout that cannot be written -------------------------------------------------------------------------------

expect "a build of one's own again" 0 'ran list' here list
chmod -R a+rX,a-w "$scratch/clone"
chmod a+rx "$scratch" "$machine"
other() { "$@"; }
if [[ $(/usr/bin/id -u) == 0 ]]; then other() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }; fi
touch "$scratch/"{out,err}
expect "a checkout that cannot be written" 0 'ran train --env Hopper-v4' \
  other env PATH="$machine" "$meander" train --env Hopper-v4
check "says so" grep -q 'cannot write to .*: running what is built there' "$scratch/err"
expect "has no options for its build" 1 'cannot write to .*: no options' \
  other env PATH="$machine" "$meander" -DMEANDER_CUDA=ON list
expect "nor fetches" 1 'nothing can be fetched' other env PATH="$machine" "$meander" fetch dm_control
chmod -R u+w "$scratch/clone"
rm "$build/meander"
chmod -R a-w "$scratch/clone"
expect "one that is not built" 1 'cannot write to .*, and nothing is built there' \
  other env PATH="$machine" "$meander" list
chmod -R u+w "$scratch/clone"

exit $((failures > 0))
