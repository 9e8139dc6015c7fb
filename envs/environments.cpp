#include <meander/envs/environments.h>

#include <meander/kernels/error.h>
#include <meander/core/nearest.h>
#include <meander/envs/dm_control.h>
#include <meander/envs/gymnasium.h>
#include <meander/envs/ogbench_cube.h>
#include <meander/envs/pendulum.h>
#include <meander/envs/registry.h>
#include <meander/envs/robomimic.h>

namespace meander {
namespace {

Registry& registry() {
  static Registry all = [] {
    Registry r;
    r["Pendulum-v1"] = make<Pendulum>;
    add_gymnasium_locomotion(r);
    add_gymnasium_control(r);
    add_ogbench_cubes(r);
    add_robomimic(r);
    add_dm_control(r);
    add_dm_control_dog(r);
    return r;
  }();
  return all;
}

}  // namespace

std::vector<std::string> environment_names() {
  std::vector<std::string> names;
  for (const auto& [name, maker] : registry()) names.push_back(name);
  return names;
}

std::unique_ptr<Environment> make_environment(const std::string& name) {
  const auto found = registry().find(name);
  if (found != registry().end()) return found->second(name);
  if (ogbench_cube_info(name)) return make<OgbenchCube>(name);  // another way to write it
  const std::string near = nearest_name(name, environment_names());
  throw Error(message("no environment '", name, "'",
                      near.empty() ? "; `meander list` prints them all" : ", did you mean " + near + "?"));
}

EnvironmentInfo environment_info(const std::string& name) {
  if (name.starts_with("dmc-") && registry().contains(name)) return dm_control_info(name);
  if (const auto cube = ogbench_cube_info(name)) return *cube;
  if (const auto robomimic = robomimic_info(name)) return *robomimic;
  return make_environment(name)->info();
}

void register_environment(const std::string& name, EnvironmentMaker maker) {
  if (ogbench_cube_info(name) || !registry().emplace(name, std::move(maker)).second)
    throw Error("there is an environment '" + name + "' already");
}

}  // namespace meander
