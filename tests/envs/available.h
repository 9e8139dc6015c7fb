#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <meander/envs/dm_control.h>
#include <meander/envs/environments.h>
#include <meander/envs/ogbench_cube.h>
#include <meander/envs/robomimic.h>

namespace meander {

// The environments whose task files are on this machine. Tests fetch nothing, so tasks of a family that was never fetched
// are left out, with a message. One task of each size is enough of the cubes.
inline std::vector<std::string> available_environments() {
  const bool dm_control = dm_control_available(), ogbench = has_ogbench_assets(), robosuite = has_robosuite_assets();
  if (!dm_control) MESSAGE("skipped for the tasks of dm_control: ./meander fetch dm_control brings their files");
  if (!ogbench) MESSAGE("skipped for OGBench's cubes: ./meander fetch ogbench brings their files");
  if (!robosuite) MESSAGE("skipped for robomimic's tasks: ./meander fetch robomimic brings their files");
  std::vector<std::string> names;
  for (const std::string& name : environment_names())
    if (!ogbench_cube_info(name) && (dm_control || !name.starts_with("dmc-")) && (robosuite || !robomimic_info(name)))
      names.push_back(name);
  if (ogbench)
    names.insert(names.end(), {"cube-single-v0", "cube-double-play-singletask-task2-v0", "cube-triple-play-singletask-v0"});
  return names;
}

}  // namespace meander
