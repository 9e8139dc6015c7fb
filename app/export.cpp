#include <fmt/format.h>

#include <cctype>
#include <filesystem>

#include <meander/app/acting_record.h>
#include <meander/app/onnx_policy.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/policy_blob.h>
#include <meander/app/progress.h>
#include <meander/app/trained.h>
#include <meander/app/verbs.h>
#include <meander/app/version.h>
#include <meander/core/safetensors.h>
#include <meander/deploy/meander_policy.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

struct Freed {
  void operator()(void* memory) const { std::free(memory); }
};
using Aligned = std::unique_ptr<void, Freed>;
Aligned aligned(size_t bytes) { return Aligned(std::aligned_alloc(64, (bytes + 63) / 64 * 64)); }

// The blob as firmware holds it: an array of a C header.
std::string c_array(std::span<const std::byte> blob, const std::string& path) {
  std::string name;
  for (const char c : fs::path(path).stem().string())
    name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) name = "policy_" + name;
  std::string text = fmt::format("/* A policy for meander_policy.h: {0}, {1} bytes. */\n#include <stdint.h>\n\n"
                                 "static const uint32_t {0}[{2}] __attribute__((aligned(64))) = {{\n",
                                 name, blob.size(), blob.size() / 4);
  for (size_t i = 0; i < blob.size(); i += 4) {
    uint32_t word;
    std::memcpy(&word, blob.data() + i, 4);
    text += fmt::format("{}0x{:08x},{}", i % 32 ? "" : "  ", word, i % 32 == 28 || i + 4 == blob.size() ? "\n" : " ");
  }
  return text + "};\n";
}

// Everything set in the run.
std::string settings_text(RunConfig& config) {
  std::string lines;
  for (const std::vector<Setting>& table : {config.training_table(), config.algorithm_table()})
    for (const Setting& setting : table) lines += fmt::format("{} {}\n", setting.key, value_text(setting));
  return lines;
}

// What stands between the agent's decisions and the description of them: a search, for one, which no blob can hold.
void expect_described(Agent& agent, uint64_t seed) {
  const PolicyDescription& about = agent.policy();
  if (about.precision != kernels::Precision::float32) return;   // its own products are others
  std::vector<float> state(static_cast<size_t>(about.observations), 0.25f);
  std::vector<float> by_agent(static_cast<size_t>(about.numbers())), by_policy(by_agent.size());
  Policy policy(about);
  for (uint64_t step = 0; step < 4; ++step) {
    agent.act(state, step, by_agent);
    policy.act(state, seed, step, by_policy);
    if (by_agent != by_policy)
      throw Error("this agent searches before it acts in evaluations, which an exported policy does not: export it with "
                  "that search off (see meander config)");
  }
}

std::string range_text(const ActingRecord& acting) {
  const auto all_are = [](const std::vector<float>& x, float value) {
    return std::ranges::all_of(x, [=](float y) { return y == value; });
  };
  const auto &low = acting.action_low, &high = acting.action_high;
  if (all_are(low, low[0]) && all_are(high, high[0])) return fmt::format("[{:.6g}, {:.6g}]", low[0], high[0]);
  return "a range each";
}

// Else one would take another's place. Of an option that was not given the path is empty.
void expect_different_files(const std::vector<std::pair<const char*, std::string>>& files) {
  std::map<fs::path, const char*> options;
  for (const auto& [option, path] : files) {
    if (path.empty()) continue;
    const auto [other, is_new] = options.emplace(fs::weakly_canonical(fs::absolute(path)), option);
    if (!is_new) throw Error(fmt::format("{} and {} name the same file: '{}'", other->second, option, path));
  }
}

}  // namespace

int export_policy(const ExportOptions& options) {
  const OutputPlace out(options.out);
  std::optional<OutputPlace> array, onnx;
  if (!options.c_array.empty()) array.emplace(options.c_array);
  if (!options.onnx.empty()) onnx.emplace(options.onnx);
  expect_different_files({{"--out", options.out}, {"--c-array", options.c_array}, {"--onnx", options.onnx}});
  constexpr uint64_t seed = 0;
  TrainedAgent trained = load_trained(options.what, "", seed);
  const PolicyDescription& policy = trained.agent->policy();
  const ActingRecord acting = acting_record(SafetensorsFile(trained.path), policy);
  trained.agent->act_by_best_of(acting.candidates);
  expect_described(*trained.agent, seed);

  BlobSettings settings{.weights = options.float16 ? deploy::Weights::float16 : deploy::Weights::float32,
                        .candidates = options.candidates ? options.candidates : acting.candidates};
  settings.text = fmt::format("algorithm {}\ntask {}\nstep {}\nversion {}\ncommit {}\n{}", trained.config.algorithm,
                              trained.config.environment, trained.step, version(), commit(),
                              settings_text(trained.config));
  float error = 0;
  const std::vector<std::byte> blob = policy_blob(policy, acting, settings, &error);
  const std::string graph = onnx ? onnx_policy(policy, acting, settings.candidates, settings.text) : "";

  // What a user of the blob will do, done here first.
  const Aligned bytes = aligned(blob.size());
  std::memcpy(bytes.get(), blob.data(), blob.size());
  meander_policy opened;
  meander_status status = meander_policy_open(&opened, bytes.get(), blob.size(), 1);
  const size_t room = status == MEANDER_OK ? meander_workspace_size(&opened, 0) : 0;
  const Aligned workspace = aligned(room);
  if (status == MEANDER_OK) status = meander_policy_test(&opened, workspace.get(), room, nullptr);
  if (status != MEANDER_OK)
    throw Failure(fmt::format("the exported policy failed its own test ({}): nothing was written",
                              meander_status_text(status)));
  out.put(std::string_view(reinterpret_cast<const char*>(blob.data()), blob.size()));
  if (array) array->put(c_array(blob, options.c_array));
  if (onnx) onnx->put(graph);

  const auto bytes_text = [](size_t n) { return count_text(static_cast<int64_t>(n)); };
  print("{} after step {} -> {}\n\n", trained.path, trained.step, options.out);
  print("  {:<12} {} of {}, {} weights\n", "policy", trained.config.algorithm, trained.config.environment,
        options.float16 ? "float16" : "float32");
  print("  {:<12} {} bytes; workspace {} bytes", "size", bytes_text(blob.size()), bytes_text(room));
  if (settings.candidates > 1) print(", {} for 1 candidate", bytes_text(meander_workspace_size(&opened, 1)));
  print("\n  {:<12} {} numbers in the task's own units{}\n", "observation", policy.observations,
        acting.mean.empty() ? "" : ", scaled inside");
  print("  {:<12} {} numbers in {}{}\n", "action", policy.actions, range_text(acting),
        policy.chunk > 1 ? fmt::format(", decided on in chunks of {}", policy.chunk) : "");
  if (settings.candidates > 1)
    print("  {:<12} the best of {} candidates by the {} of two critics\n", "choice", settings.candidates,
          acting.smaller ? "smaller" : "mean");
  if (options.float16) print("  {:<12} {:.2g}, the largest difference to float32 in the examples\n", "error", error);
  if (policy.precision != kernels::Precision::float32)
    print("  {:<12} float32, in the run's evaluations bfloat16: results differ by rounding\n", "products");
  print("  {:<12} all {} examples as recorded, by {}\n", "test", opened.tests, meander_isa(&opened));
  if (array) print("  {:<12} {}\n", "C array", options.c_array);
  if (onnx)
    print("  {:<12} {}, {} bytes{}\n", "ONNX", options.onnx, bytes_text(graph.size()),
          options.float16 ? ": its weights stay float32" : "");
  return 0;
}

}  // namespace meander
