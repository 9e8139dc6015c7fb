#include <fmt/format.h>

#include <meander/algos/random_action.h>
#include <meander/app/child_process.h>
#include <meander/app/film.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/run_recorder.h>
#include <meander/app/status_line.h>
#include <meander/app/trained.h>
#include <meander/app/verbs.h>
#include <meander/kernels/error.h>
#include <meander/envs/renderer.h>
#include <meander/envs/robomimic_script.h>
#include <meander/envs/wrapped.h>
#include <meander/kernels/threads.h>

namespace meander {

namespace {

// One picture of the episode in a file of its own.
class Still final : public Film {
 public:
  Still(std::string path, int width, int height) : place_(std::move(path)), width_(width), height_(height) {}
  void add(std::span<const unsigned char> picture) override { bytes_ = png(picture, width_, height_); }
  void finish() override { place_.put(bytes_); }

 private:
  OutputPlace place_;
  std::string bytes_;
  int width_, height_;
};

// `path` becomes what is written in the end.
std::unique_ptr<Film> make_film(std::string& path, bool still, int width, int height, double frames_per_second) {
  if (still) return std::make_unique<Still>(path, width, height);
  try {
    if (path.ends_with(".mp4")) return make_video(path, width, height, frames_per_second);
  } catch (const ProgramMissing&) {
    path.erase(path.size() - 4);
    warn("ffmpeg is missing (apt-get install ffmpeg): PNG files in the folder {} instead\n", path);
  }
  return make_picture_folder(path, width, height);
}

}  // namespace

int render(const RenderOptions& options) {
  if (options.what.empty() && options.environment.empty())
    throw Error("nobody to watch: give a run folder or a checkpoint, or --env NAME for random actions");
  std::string path = options.out;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const bool still = options.frame >= 0;
  if (!path.empty() && path.ends_with(".png") != still)
    throw Error(still ? "--frame writes a single picture: --out FILE.png"
                      : path + ": a single picture needs --frame N; without, give FILE.mp4 or a folder");
  if (options.threads > 0) kernels::set_threads(static_cast<int>(options.threads));
  const auto seed = static_cast<uint64_t>(options.seed);
  TrainedAgent trained;
  trained.task = options.environment;
  if (!options.what.empty()) trained = load_trained(options.what, options.environment, 0);  // as eval does
  const std::string& task = trained.task;
  const auto played = make_environment(task, trained.config.task, static_cast<uint64_t>(trained.config.training.seed));
  Environment& environment = *played;

  const auto width = static_cast<int>(options.width), height = static_cast<int>(options.height);
  Renderer renderer(environment.unwrapped(), width, height, options.camera);
  const double frames_per_second = 1 / (renderer.interval() * static_cast<double>(trained.config.task.action_repeat));
  if (path.empty())
    path = fmt::format("{}-s{}-e{}.{}", safe_file_name(task), options.seed, options.episode, still ? "png" : "mp4");
  const std::unique_ptr<Film> film = make_film(path, still, width, height, frames_per_second);

  catch_interrupts();
  StatusLine line(stderr);
  int64_t frames = 0;
  std::optional<RobomimicScript> script;
  if (const auto demonstrated = robomimic_task(task); demonstrated && !trained.agent)
    script.emplace(*demonstrated, Stream(seed, Purpose::random_action, static_cast<uint64_t>(options.episode)),
                   RobomimicScript::usual_noise, RobomimicScript::usual_spread);
  const auto decide = [&](std::span<const float> observation, uint64_t name, std::span<float> chunk) {
    if (trained.agent) trained.agent->act(observation, name, chunk);
    else if (script) std::ranges::copy(script->act(observation), chunk.begin());
    else act_at_random(seed, Purpose::random_action, name, chunk);
  };
  const auto watch = [&](int64_t time) {
    if (interrupted()) return false;
    if (!still || options.frame == time) film->add(renderer.draw()), ++frames;
    if (line.changes() && time % 20 == 0) line.show({fmt::format("{} steps", time)});
    return (options.steps == 0 || time < options.steps) && (!still || time < options.frame);
  };
  const WatchedEpisode episode = watch_episode(environment, trained.agent ? trained.agent->chunk() : 1, decide,
                                               options.episode, seed, 0, watch);
  line.clear();
  if (interrupted()) return 130;
  if (frames == 0)
    throw Error(fmt::format("--frame {}: the episode is over after {} steps", options.frame, episode.steps));
  film->finish();
  print("episode {} of {}, seed {}, {}\n", options.episode, task, options.seed,
             trained.agent ? fmt::format("{} after step {}", trained.path, trained.step)
             : script      ? "scripted"
                           : "random actions");
  print("return {:.3f} {} {} step{}\n", episode.episode_return, episode.over ? "of" : "of the first",
             episode.steps, episode.steps == 1 ? "" : "s");
  if (still) print("wrote {}\n", path);
  else print("wrote {}: {} frames, {:.5g} a second\n", path, frames, frames_per_second);
  return 0;
}

}  // namespace meander
