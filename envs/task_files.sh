# Families of tasks whose files come at their first use: ./meander fetch FAMILY calls fetch_FAMILY. Sourced by ./meander,
# whose need_wheel unpacks them; what their packages hold beside is left there.

ogbench_wheel=ogbench-1.2.2-py3-none-any.whl
ogbench_sha256=e0f809be281f2e222283283a300a5cf04fbd6947a6a7b84846fb9da2c30a088d
robosuite_wheel=robosuite-1.5.1-py3-none-any.whl
robosuite_sha256=39810a9e9f193455fcb13a9b4846424abef77481ac3091892c2077c88dcdc153
dm_control_wheel=dm_control-1.0.28-py3-none-any.whl
dm_control_sha256=de1b6fba89a17281b07acd42a5173b0e3f27bf4578be9c821f59453d8070174c

fetch_ogbench() {
  local from=ogbench/manipspace/descriptions arm=universal_robots_ur5e gripper=robotiq_2f85
  if [[ ! -e $deps/ogbench-1.2.2 ]]; then
    say "OGBench's cube tasks need their files (OGBench: MIT; UR5e arm: BSD 3-clause; Robotiq gripper: BSD 2-clause)"
  fi
  need_wheel ogbench 1.2.2 "$ogbench_wheel" "$ogbench_sha256" "$from/floor_wall.xml=descriptions" \
    "$from/$arm/ur5e.xml=descriptions/$arm" "$from/$arm/assets/*=descriptions/$arm/assets" \
    "$from/$gripper/2f85.xml=descriptions/$gripper" "$from/$gripper/assets/*=descriptions/$gripper/assets" \
    "$from/$arm/LICENSE=licenses/$arm" "$from/$gripper/LICENSE=licenses/$gripper" \
    'ogbench-1.2.2.dist-info/LICENSE=licenses'
}

fetch_dm_control() {
  local folder=$deps/dm_control-1.0.28 members=() name
  if [[ ! -e $folder ]]; then
    say "bringing the task files of dm_control 1.0.28 (DeepMind, Apache-2.0; 56 MB) to $folder"
  fi
  for name in cartpole cheetah dog hopper humanoid walker; do members+=("dm_control/suite/$name.xml=suite"); done
  need_wheel dm_control 1.0.28 "$dm_control_wheel" "$dm_control_sha256" "${members[@]}" \
    'dm_control/suite/common/*.xml=suite/common' 'dm_control/suite/dog_assets/*=suite/dog_assets' \
    'dm_control-1.0.28.dist-info/LICENSE=licenses' 'dm_control-1.0.28.dist-info/AUTHORS=licenses'
}

# Of robosuite's 1,120 files those that robomimic's three tasks simulate with, and all that they show, apart: few draw.
robosuite_parts() {
  local file
  for file in arenas/{table,bins,pegs}_arena.xml robots/panda/robot.xml bases/rethink_mount.xml \
    grippers/panda_gripper.xml objects/{milk,bread,cereal,can,square-nut,round-nut}.xml \
    objects/meshes/{milk.msh,bread.stl,cereal.msh,can.msh} "$@"; do
    printf '%s=%s\n' "robosuite/models/assets/$file" "assets/${file%/*}"
  done
}

fetch_robomimic() {
  local members
  if [[ ! -e $deps/robosuite-1.5.1 ]]; then
    say "bringing robosuite 1.5.1 (MIT; a package of 152 MB, of which 1 MB is kept) for robomimic's tasks"
  fi
  mapfile -t members < <(robosuite_parts 'robots/panda/meshes/link[0-7].stl' \
    grippers/meshes/panda_gripper/{hand,finger}.stl)
  need_wheel robosuite 1.5.1 "$robosuite_wheel" "$robosuite_sha256" "${members[@]}" \
    'robosuite-1.5.1.dist-info/LICENSE=licenses'
}

fetch_robomimic_pictures() {
  local members part=-pictures
  mapfile -t members < <(robosuite_parts 'robots/panda/meshes/link[0-7].stl' \
    robots/panda/obj_meshes/link{0,1,2,3,4,5,6,7}_vis/'*.obj' \
    'grippers/meshes/panda_gripper/*.stl' 'bases/meshes/rethink_mount/*.stl' \
    textures/{dark-wood,light-gray-floor-tile,light-gray-plaster,light-wood,steel-brushed,brass-ambra,ceramic}.png \
    textures/{steel-scratched,bread,soda,cereal}.png)
  need_wheel robosuite 1.5.1 "$robosuite_wheel" "$robosuite_sha256" "${members[@]}"
}
