#pragma once

#include <memory>
#include <string>
#include <vector>

#include <meander/core/environment.h>

namespace meander {

// Every name of the table in README. Throws Error with the nearest names if there is no such environment.
std::unique_ptr<Environment> make_environment(const std::string& name);
std::vector<std::string> environment_names();
// make_environment(name)->info(), also where the task's files are not on this machine. Throws Error like make_environment.
EnvironmentInfo environment_info(const std::string& name);

}  // namespace meander
