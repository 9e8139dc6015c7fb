#pragma once

// One function a verb of the command, each in the file of its name. They return the exit status and throw Error (bad
// input: status 2) or Failure (status 1) with one line for the user.

#include <cstdint>
#include <string>
#include <vector>

#include <meander/app/run_config.h>

namespace meander {

struct TrainOptions {
  std::string algorithm, environment, out, config, resume;
  std::vector<Assignment> assignments;  // --set, --steps, --seed and --threads, in the order given
  bool quiet = false;
  std::string program = "./meander";    // how to start it, for what it says to go on with
};
int train(const TrainOptions& options);

struct CollectOptions {
  std::vector<std::string> agents;      // run folders or checkpoints; none: the task's script, or random actions
  std::string environment;              // empty: the one the first agent was trained on; or a play data set's name
  std::string out;                      // empty: ENV-sSEED.npz
  int64_t steps = 10'000, seed = 0, threads = 0;
  int64_t episodes = 0;                 // complete ones, instead of steps
  bool deterministic = false;
  double noise = -1, spread = -1;       // of scripted demonstrations (envs/robomimic_script.h); -1: as they are by default
};
int collect(const CollectOptions& options);

struct EvalOptions {
  std::string what;                     // a run folder or a checkpoint
  std::string environment;              // empty: the one it was trained on
  int64_t episodes = 10, seed = 0, threads = 0;
  std::vector<int64_t> candidates;      // a row of results for each number, the same episodes; empty: as trained
};
int eval(const EvalOptions& options);

struct ExportOptions {
  std::string what;                     // a run folder or a checkpoint
  std::string out, c_array, onnx;       // FILE.mpol; FILE.h and FILE.onnx, or empty
  bool float16 = false;                 // the weights of FILE.mpol
  int64_t candidates = 0;               // 0: as evaluation has it
};
int export_policy(const ExportOptions& options);

struct RenderOptions {
  std::string what;                     // a run folder or a checkpoint; empty: random actions
  std::string environment;              // empty: the one it was trained on
  std::string out;                      // FILE.mp4, FILE.png or a folder; empty: ENV-sSEED-eEPISODE.mp4
  std::string camera;                   // name or number; empty: one that suits the model
  int64_t episode = 0, seed = 0, threads = 0;
  int64_t steps = 0;                    // at most; 0: to the end
  int64_t frame = -1;                   // this one alone; -1: all
  int64_t width = 640, height = 480;
};
int render(const RenderOptions& options);

struct PlotOptions {
  std::vector<std::string> runs;        // run folders, folders of these, and files of metrics; or one data set
  DataOptions data;
  std::string out;                      // empty: curves.png, or distributions.png of a data set
  std::string column = "evaluation_return_mean";
};
int plot(const PlotOptions& options);

struct InfoOptions {
  std::string what;                     // a run folder, a data set, or another file of tensors
  std::string environment;              // the task that gives play data their rewards; empty: none
  DataOptions data;
  int64_t replay = 0;                   // demonstrations to play again
};
int info(const InfoOptions& options);

struct ConvertOptions {
  std::string what, out;                // a data set, or robomimic's recorded states; FILE.npz, .safetensors or .hdf5
  DataOptions data;
};
int convert(const ConvertOptions& options);

struct SweepOptions {
  std::string algorithm, environment, steps, seeds = "0..4";
  std::vector<std::string> grid;        // key=a,b,c
  std::string out;                      // empty: sweeps/ALGO-ENV
  int64_t jobs = 0;                     // runs at once; 0: as many as cores
  bool report = false;                  // run nothing
};
int sweep(const SweepOptions& options);

struct ToyOptions {
  std::string algorithm = "mfpo", out = "toy.svg";
  int64_t updates = 6000;
  std::vector<Assignment> assignments;
};
int toy(const ToyOptions& options);

int list();
int config(const std::string& algorithm, const std::string& environment, const std::vector<Assignment>& assignments);
int verify(const std::vector<std::string>& files, const std::string& device);

}  // namespace meander
