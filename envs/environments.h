#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <meander/core/environment.h>

namespace meander {

// Every name of the table in README, and those registered. Throws Error with the nearest names if there is no such
// environment.
std::unique_ptr<Environment> make_environment(const std::string& name);
std::vector<std::string> environment_names();
// make_environment(name)->info(), also where the task's files are not on this machine. Throws Error like make_environment.
EnvironmentInfo environment_info(const std::string& name);

// An environment from outside, known by this name from then on: to make_environment and to every verb of the command.
// At the start of a program, before anything else uses environments. The maker is called for each of several
// environments side by side, with the name, for versions to share it. Throws Error if the name is taken.
using EnvironmentMaker = std::function<std::unique_ptr<Environment>(const std::string& name)>;
void register_environment(const std::string& name, EnvironmentMaker maker);

}  // namespace meander
