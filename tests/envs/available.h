#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "envs/dm_control.h"
#include "envs/environments.h"

namespace meander {

// The environments whose task files are on this machine. Tests fetch nothing, so where dm_control was never fetched its
// tasks are left out, with a message.
inline std::vector<std::string> available_environments() {
  const bool all = dm_control_available();
  if (!all) MESSAGE("skipped for the tasks of dm_control: ./meander fetch dm_control brings their files");
  std::vector<std::string> names;
  for (const std::string& name : environment_names())
    if (all || !name.starts_with("dmc-")) names.push_back(name);
  return names;
}

}  // namespace meander
