#include <meander/app/demonstrations.h>

#include <algorithm>

#include <meander/core/json.h>
#include <meander/envs/environments.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

const char* robosuite_name(const std::string& environment) {
  if (environment == "robomimic-lift") return "Lift";
  if (environment == "robomimic-can") return "PickPlaceCan";
  if (environment == "robomimic-square") return "NutAssemblySquare";
  throw Error("robomimic's layout holds data of robomimic-lift, -can and -square, not of " + quoted(environment));
}

// The arguments that robomimic's data sets for robosuite 1.5 give to robosuite.make: what is observed and how it acts.
std::string environment_arguments(const std::string& environment) {
  const auto six = [](double position, double rotation) {
    return Json::List{position, position, position, rotation, rotation, rotation};
  };
  const Json::Object arm = {
      {"type", "OSC_POSE"}, {"input_max", 1}, {"input_min", -1}, {"output_max", six(0.05, 0.5)},
      {"output_min", six(-0.05, -0.5)}, {"kp", 150}, {"damping_ratio", 1}, {"impedance_mode", "fixed"},
      {"kp_limits", Json::List{0, 300}}, {"damping_ratio_limits", Json::List{0, 10}}, {"position_limits", Json()},
      {"orientation_limits", Json()}, {"uncouple_pos_ori", true}, {"input_type", "delta"}, {"interpolation", Json()},
      {"ramp_ratio", 0.2}, {"input_ref_frame", "world"}, {"gripper", Json::Object{{"type", "GRIP"}}}};
  const Json::Object arguments = {
      {"robots", Json::List{"Panda"}}, {"control_freq", 20}, {"has_renderer", false}, {"has_offscreen_renderer", false},
      {"ignore_done", true}, {"use_object_obs", true}, {"use_camera_obs", false}, {"lite_physics", false},
      {"reward_shaping", false},
      {"controller_configs",
       Json::Object{{"type", "BASIC"}, {"body_parts", Json::Object{{"right", arm}}}}}};
  return Json(Json::Object{{"env_name", robosuite_name(environment)}, {"env_version", "1.5.1"}, {"type", 1},
                           {"env_kwargs", arguments}})
      .dump();
}

}  // namespace

DemonstrationWriter::DemonstrationWriter(const std::string& path, const std::string& environment)
    : file_(path), environment_(environment), size_(environment_info(environment).observations) {
  file_.attribute("data", "env_args", environment_arguments(environment));
}

void DemonstrationWriter::add(const Demonstration& demonstration) {
  const auto& [observations, actions, rewards, dones, states, model] = demonstration;
  const int64_t n = std::ssize(rewards), width = n > 0 ? std::ssize(actions) / n : 0;
  if (n < 1 || std::ssize(observations) != (n + 1) * size_ || std::ssize(actions) != n * width ||
      std::ssize(dones) != n || std::ssize(states) % n != 0)
    throw Error(message("a demonstration of ", n, " steps: its arrays' sizes don't agree"));
  names_.push_back(message("demo_", names_.size()));
  const std::string group = "data/" + names_.back();
  file_.add(group + "/actions", {n, width}, actions.data());
  file_.add(group + "/rewards", {n}, rewards.data());
  std::vector<int64_t> ends(dones.begin(), dones.end());
  ends.back() = 1;
  file_.add(group + "/dones", {n}, ends.data());
  if (!states.empty()) file_.add(group + "/states", {n, std::ssize(states) / n}, states.data());
  const std::pair<const char*, int64_t> keys[] = {
      {"robot0_eef_pos", 3}, {"robot0_eef_quat", 4}, {"robot0_gripper_qpos", 2}, {"object", size_ - 9}};
  std::vector<double> part;
  for (const bool next : {false, true})
    for (int64_t key = 0, offset = 0; key < std::ssize(keys); offset += keys[key++].second) {
      part.clear();
      for (int64_t row = next; row < n + next; ++row) {
        const auto from = observations.begin() + row * size_ + offset;
        part.insert(part.end(), from, from + keys[key].second);
      }
      file_.add(message(group, next ? "/next_obs/" : "/obs/", keys[key].first), {n, keys[key].second}, part.data());
    }
  file_.attribute(group, "num_samples", n);
  if (!model.empty()) file_.attribute(group, "model_file", model);
  total_ += n;
}

void DemonstrationWriter::finish() {
  file_.attribute("data", "total", total_);
  file_.add("mask/train", names_);
  file_.finish();
}

void write_demonstrations(const std::string& path, const std::string& environment,
                          const std::vector<Demonstration>& demonstrations) {
  DemonstrationWriter writer(path, environment);
  for (const Demonstration& demonstration : demonstrations) writer.add(demonstration);
  writer.finish();
}

void write_demonstrations(const std::string& path, const std::string& environment, const DataSet& data) {
  DemonstrationWriter writer(path, environment);
  for (int64_t row = 0; row < data.rows(); ++row) {
    Demonstration episode;
    for (;; ++row) {
      const auto observation = data.observation.begin() + row * data.observations;
      episode.observations.insert(episode.observations.end(), observation, observation + data.observations);
      if (data.terminal[row]) break;
      const auto action = data.action.begin() + row * data.actions;
      episode.actions.insert(episode.actions.end(), action, action + data.actions);
      episode.rewards.push_back(data.reward[row] + 1);
      episode.dones.push_back(data.mask[row] == 0);
    }
    if (!episode.rewards.empty()) writer.add(episode);
  }
  writer.finish();
}

}  // namespace meander
