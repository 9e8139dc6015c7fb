#include <meander/app/command.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <meander/app/options.h>
#include <meander/app/output.h>
#include <meander/app/verbs.h>
#include <meander/app/version.h>
#include <meander/kernels/error.h>
#include <meander/core/nearest.h>
#include <meander/core/text.h>

namespace meander {
namespace {

std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::vector<std::string> option_names(const CLI::App& verb) {
  std::vector<std::string> names;
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// What a verb is for: what it prints, or files. Where nobody can read the one, there is nothing to do.
enum class Product { text, files };

// The options of one verb, and what to call when it was chosen.
struct Verb {
  CLI::App* options;
  Product product;
  std::function<int()> run;
};

constexpr int64_t most_steps = 1'000'000'000, most_threads = 1024;

// --set, and the settings that have an option of their own.
struct SettingOptions {
  std::vector<std::string> set;
  std::string preset, steps, seed, threads, data, device;
  DataOptions of_data;

  std::vector<Assignment> assignments() const {
    std::vector<Assignment> all;
    if (!preset.empty()) all.push_back({"--preset", "preset", preset});
    for (const std::string& text : set) all.push_back(parse_assignment(text));
    if (!steps.empty()) all.push_back({"--steps", "steps", steps});
    if (!seed.empty()) all.push_back({"--seed", "seed", seed});
    if (!threads.empty()) all.push_back({"--threads", "threads", threads});
    if (!device.empty()) all.push_back({"--device", "device", device});
    if (!data.empty()) all.push_back({"--data", "data", data});
    if (!of_data.filter.empty()) all.push_back({"--filter", "data_filter", of_data.filter});
    if (!of_data.observation_keys.empty())
      all.push_back({"--observation-keys", "data_observation_keys", of_data.observation_keys});
    if (of_data.episodes > 0) all.push_back({"--episodes", "data_episodes", fmt::format("{}", of_data.episodes)});
    if (of_data.clip_actions) all.push_back({"--clip-actions", "data_clip_actions", "true"});
    return all;
  }
};

void add_data_options(CLI::App& verb, DataOptions& options) {
  verb.add_option("--filter", options.filter, "Of robomimic's layout: the demonstrations that mask/FILTER lists");
  verb.add_option("--observation-keys", options.observation_keys, "a,b: of observations in several arrays, these");
  add_number(verb, "--episodes", options.episodes, 0, 1'000'000'000, "Of a data set, the first so many; 0: all");
  verb.add_flag("--clip-actions", options.clip_actions, "Clip a data set's actions to [-1, 1]");
}

std::string cannot_write_output(int error) {
  return fmt::format("cannot write to standard output: {}", std::strerror(error));
}

void expect_readers(Product product) {
  if (product == Product::text && standard_output_was_closed())
    throw Failure("cannot write to standard output: it is closed");
}

// How to start this program again from where it was started: the command itself is started by the script.
std::string program_of(const char* word) {
  const std::string program = word ? word : "";
  return program.empty() || program.substr(program.rfind('/') + 1) == "meander" ? "./meander" : program;
}

// `product` becomes that of the verb, once it is known.
int run(int argc, char** argv, Product& product) {
  CLI::App app("Mean-flow reinforcement learning.", "meander");
  app.set_version_flag("--version", fmt::format("meander {} ({})", version(), commit()));
  app.allow_extras();  // unknown words are reported below, with the nearest known one
  std::vector<Verb> verbs;
  const auto add = [&](const char* name, Product product, const char* meaning, std::function<int()> run) {
    CLI::App* verb = app.add_subcommand(name, meaning);
    verb->allow_extras();
    verbs.push_back({verb, product, std::move(run)});
    return verb;
  };

  TrainOptions train_options;
  SettingOptions train_settings;
  CLI::App* verb = add("train", Product::files, "Train an agent; the run folder keeps everything", [&] {
    train_options.assignments = train_settings.assignments();
    train_options.program = program_of(argv[0]);
    return train(train_options);
  });
  verb->add_option("--algo", train_options.algorithm, "Algorithm (see list)");
  verb->add_option("--env", train_options.environment, "Environment (see list)");
  verb->add_option("--steps", train_settings.steps, "Environment steps in all");
  verb->add_option("--seed", train_settings.seed, "Names every random number of the run");
  verb->add_option("--threads", train_settings.threads, "Of the CPU; 0: all");
  verb->add_option("--device", train_settings.device, "Where the agent learns: cpu, cuda, cuda-emulated");
  verb->add_option("--data", train_settings.data, "Data set that the replay begins with (see collect)");
  add_data_options(*verb, train_settings.of_data);
  verb->add_option("--out", train_options.out, "Run folder; default: runs/ALGO-ENV-sSEED-TIME");
  verb->add_option("--config", train_options.config, "TOML file of settings (see config)");
  verb->add_option("--preset", train_settings.preset, "Settings as a source has them, under one name (see list)");
  verb->add_option("--set", train_settings.set, "key=value, any setting; can be repeated")->allow_extra_args(false);
  verb->add_option("--resume", train_options.resume, "Go on with the run of this folder");
  verb->add_flag("--quiet", train_options.quiet, "Print nothing but errors");

  CollectOptions collect_options;
  verb = add("collect", Product::files,
             "Record a data set: what agents do, demonstrations by script, or random actions",
             [&] { return collect(collect_options); });
  verb->add_option("RUN", collect_options.agents,
                   "Run folders or checkpoint files, which share the steps; none: scripted (robomimic), or random");
  verb->add_option("--env", collect_options.environment,
                   "Environment; default: the one the first was trained on; cube-double-play: OGBench's data set");
  CLI::Option* const collect_steps =
      add_number(*verb, "--steps", collect_options.steps, 1, most_steps, "Environment steps in all");
  add_number(*verb, "--episodes", collect_options.episodes, 1, 10'000'000, "Complete episodes in all, instead of steps")
      ->excludes(collect_steps);
  add_number(*verb, "--seed", collect_options.seed, 0, largest_whole, "Of initial states and actions");
  verb->add_flag("--deterministic", collect_options.deterministic, "Act as in evaluations, without exploring");
  add_number(*verb, "--noise", collect_options.noise, 0, 1, "Of scripted actions, its deviation; default: 0.2");
  add_number(*verb, "--spread", collect_options.spread, 0, 1, "Of the ways of scripted demonstrations; default: 0.5");
  verb->add_option("--out", collect_options.out, "FILE.npz, FILE.safetensors or FILE.hdf5; default: ENV-sSEED.npz");
  add_number(*verb, "--threads", collect_options.threads, 0, most_threads, "Of the CPU; 0: all");

  EvalOptions eval_options;
  verb = add("eval", Product::text, "Evaluate a trained agent", [&] { return eval(eval_options); });
  verb->add_option("RUN", eval_options.what, "Run folder (its last checkpoint) or a checkpoint file")->required();
  verb->add_option("--env", eval_options.environment, "Environment; default: the one it was trained on");
  add_number(*verb, "--episodes", eval_options.episodes, 1, 1'000'000, "Number of episodes");
  add_numbers(*verb, "--candidates", eval_options.candidates, 1, 4096,
              "Numbers of candidates to act by the best of: 1,8,32");
  add_number(*verb, "--seed", eval_options.seed, 0, largest_whole, "Of initial states and candidates");
  add_number(*verb, "--threads", eval_options.threads, 0, most_threads, "Of the CPU; 0: all");

  ExportOptions export_options;
  std::string weights = "float32";
  verb = add("export", Product::files, "A trained policy for other programs: one file, which deploy/meander_policy.h runs",
             [&] {
               if (weights != "float32" && weights != "float16")
                 throw Error(fmt::format("--weights: expected float32 or float16, got '{}'", weights));
               export_options.float16 = weights == "float16";
               return export_policy(export_options);
             });
  verb->add_option("RUN", export_options.what, "Run folder (its last checkpoint) or a checkpoint file")->required();
  verb->add_option("--out", export_options.out, "FILE.mpol")->required();
  verb->add_option("--weights", weights, "float32, the trainer's bits; or float16, half the size")
      ->capture_default_str();
  add_number(*verb, "--candidates", export_options.candidates, 0, 4096,
             "To choose the best of; 1: without critics; 0: as evaluation has it");
  verb->add_option("--c-array", export_options.c_array, "FILE.h, the same as an array of C");
  verb->add_option("--onnx", export_options.onnx, "FILE.onnx, the same as a graph for other runtimes, float32");

  RenderOptions render_options;
  verb = add("render", Product::files, "A video or pictures of an evaluation episode",
             [&] { return render(render_options); });
  verb->add_option("RUN", render_options.what,
                   "Run folder (its last checkpoint) or a checkpoint file; none: scripted (robomimic), or random");
  verb->add_option("--env", render_options.environment, "Environment; default: the one it was trained on");
  add_number(*verb, "--episode", render_options.episode, 0, 999'999,
             "Which of the episodes that eval runs with this seed, from 0");
  add_number(*verb, "--seed", render_options.seed, 0, largest_whole, "Of initial states and candidates");
  verb->add_option("--out", render_options.out,
                   "FILE.mp4, or a folder for a PNG file a frame; default: ENV-sSEED-eEPISODE.mp4");
  verb->add_option("--camera", render_options.camera,
                   "Name or number of the model's, or free; default: one that follows the robot, if there is one");
  add_number(*verb, "--width", render_options.width, 16, 8192, "Pixels");
  add_number(*verb, "--height", render_options.height, 16, 8192, "Pixels");
  add_number(*verb, "--steps", render_options.steps, 0, most_steps, "No more than these; 0: to the end");
  add_number(*verb, "--frame", render_options.frame, 0, most_steps,
             "Only the picture after so many steps, to a file FILE.png");
  add_number(*verb, "--threads", render_options.threads, 0, most_threads, "Of the CPU; 0: all");

  PlotOptions plot_options;
  verb = add("plot", Product::files, "Draw learning curves, or the distributions of a data set", [&] {
    return plot(plot_options);
  });
  verb->add_option("RUN", plot_options.runs,
                   "Run folders, folders of run folders, files like metrics.csv; or one data set")->required();
  verb->add_option("--out", plot_options.out,
                   "Picture, .png or .svg; default: curves.png, of a data set distributions.png");
  add_data_options(*verb, plot_options.data);
  verb->add_option("--column", plot_options.column, "What to draw, a column of metrics.csv")->capture_default_str();

  SweepOptions sweep_options;
  verb = add("sweep", Product::files,
             "Train every combination of settings and seeds; the same command again goes on",
             [&] { return sweep(sweep_options); });
  verb->add_option("--algo", sweep_options.algorithm, "Algorithm (see list)");
  verb->add_option("--env", sweep_options.environment, "Environment (see list)");
  verb->add_option("--steps", sweep_options.steps, "Environment steps of each run");
  verb->add_option("--set", sweep_options.grid, "key=value or key=a,b,c, any setting; can be repeated")
      ->allow_extra_args(false);
  verb->add_option("--seeds", sweep_options.seeds, "0..4 or 0,1,7")->capture_default_str();
  verb->add_option("--out", sweep_options.out, "Folder of the run folders; default: sweeps/ALGO-ENV");
  add_number(*verb, "--jobs", sweep_options.jobs, 0, most_threads,
             "Runs at once, each on one thread; 0: as many as cores");
  verb->add_flag("--report", sweep_options.report, "Run nothing, print the table of what is there");

  ToyOptions toy_options;
  SettingOptions toy_settings;
  verb = add("toy", Product::text, "Learn to sample from a known density, and say how well", [&] {
    toy_options.assignments = toy_settings.assignments();
    return toy(toy_options);
  });
  verb->add_option("--algo", toy_options.algorithm, "mfpo, som or sac")->capture_default_str();
  add_number(*verb, "--updates", toy_options.updates, 0, most_steps, "Of the policy");
  verb->add_option("--seed", toy_settings.seed, "Names every random number of the run");
  verb->add_option("--threads", toy_settings.threads, "Of the CPU; 0: all");
  verb->add_option("--out", toy_options.out, "The picture, an SVG")->capture_default_str();
  verb->add_option("--set", toy_settings.set, "key=value, any setting; can be repeated")->allow_extra_args(false);

  add("list", Product::text, "Algorithms and environments with their dimensions", [] { return list(); });

  std::string config_algorithm, config_environment;
  SettingOptions config_settings;
  verb = add("config", Product::text, "Every setting with its default, unit and meaning, as TOML that --config reads",
             [&] { return config(config_algorithm, config_environment, config_settings.assignments()); });
  verb->add_option("--algo", config_algorithm, "Algorithm")->required();
  verb->add_option("--env", config_environment, "Environment, whose defaults are applied");
  verb->add_option("--preset", config_settings.preset, "Settings as a source has them, under one name (see list)");
  verb->add_option("--set", config_settings.set, "key=value; can be repeated")->allow_extra_args(false);

  InfoOptions info_options;
  verb = add("info", Product::text, "What is in a run folder, a data set, or another file of tensors",
             [&] { return info(info_options); });
  verb->add_option("RUN", info_options.what, "Run folder, or FILE.npz, FILE.safetensors or FILE.hdf5")->required();
  verb->add_option("--env", info_options.environment, "Task that gives play data their rewards");
  add_number(*verb, "--replay", info_options.replay, 0, 1'000'000,
             "So many of robomimic's demonstrations: recorded states and actions through our simulation");
  add_data_options(*verb, info_options.data);

  ConvertOptions convert_options;
  verb = add("convert", Product::files, "A data set in another format; robomimic's recorded states get observations",
             [&] { return convert(convert_options); });
  verb->add_option("FILE", convert_options.what, "FILE.hdf5, FILE.npz or FILE.safetensors")->required();
  verb->add_option("--out", convert_options.out, "FILE.npz, FILE.safetensors or FILE.hdf5")->required();
  add_data_options(*verb, convert_options.data);

  std::vector<std::string> files;
  std::string verify_device = "cpu";
  verb = add("verify", Product::text, "Replay recorded references and goldens through the production code",
             [&] { return verify(files, verify_device); });
  verb->add_option("--device", verify_device, "Where updates and operations are computed: cpu, cuda, cuda-emulated");
  verb->add_option("FILES", files, "Safetensors files")->required();

  for (const char* script_verb : {"test", "bench"}) {
    add(script_verb, Product::text, "A verb of the script ./meander at the root of the repository",
        [=]() -> int {
          throw Error(fmt::format("{} is a verb of the script ./meander at the root of the repository", script_verb));
        });
  }

  try {
    app.parse(words_of(argc, argv));
  } catch (const CLI::ParseError& error) {
    expect_readers(Product::text);
    if (dynamic_cast<const CLI::CallForHelp*>(&error)) return print_lines(app.help()), 0;
    if (error.get_exit_code() == 0) return print("{}\n", error.what()), 0;  // --version
    const auto chosen = app.get_subcommands();
    throw Error(one_line(error.what()) + fmt::format(" (see meander {}--help)",
                                                     chosen.empty() ? "" : chosen.front()->get_name() + " "));
  }
  for (const Verb& candidate : verbs) {
    if (!candidate.options->parsed()) continue;
    const std::string name = candidate.options->get_name();
    expect_values(*candidate.options);
    const std::vector<std::string> unknown = candidate.options->remaining();
    if (!unknown.empty())
      throw Error(fmt::format("{}: unknown {} '{}'{} (see meander {} --help)", name,
                              unknown.front().starts_with("-") ? "option" : "word", unknown.front(),
                              did_you_mean(unknown.front(), option_names(*candidate.options)), name));
    expect_readers(candidate.product);
    product = candidate.product;
    if (product == Product::files) std::signal(SIGPIPE, SIG_IGN);  // nobody reads the progress: no reason to stop
    return candidate.run();
  }
  if (!app.remaining().empty()) {
    std::vector<std::string> names;
    for (const Verb& known : verbs) names.push_back(known.options->get_name());
    throw Error(fmt::format("no verb '{}'{} (see meander --help)", app.remaining().front(),
                            did_you_mean(app.remaining().front(), names)));
  }
  expect_readers(Product::text);
  print_lines(app.help());
  return 0;
}

}  // namespace

int command(int argc, char** argv) {
  fill_standard_descriptors();
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond the limit fails to be written, as on a full disk
  Product product = Product::text;
  int status = 0;
  try {
    expect_utf8(argc, argv);
    status = run(argc, argv, product);
  } catch (const Error& error) {
    complain(error.what());
    status = 2;
  } catch (const std::filesystem::filesystem_error& error) {
    complain(error.path1().string() + ": " + error.code().message());
    status = 2;
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    status = 1;
  } catch (const std::exception& error) {
    complain(error.what());
    status = 1;
  }
  flush_output();
  const int error = output_error();
  // Who does not read the progress to its end wants none of it: the files are there.
  if (error == 0 || has_complained() || (error == EPIPE && product == Product::files)) return status;
  const bool done = status == 0 && product == Product::files;
  complain(cannot_write_output(error) + (done ? "; all else is done" : ""));
  return status == 0 ? 1 : status;
}

}  // namespace meander
