// ONNX graphs of policies, read back and computed in double, against the engine.

#include <filesystem>
#include <set>

#include <meander/app/onnx_file.h>
#include <meander/app/onnx_policy.h>
#include <meander/core/arena.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>
#include <meander/nn/twin_critic.h>

#include "../folder.h"
#include "command.h"
#include "onnx_reader.h"

using namespace meander;
using kernels::Activation;
using kernels::Norm;

namespace {

constexpr int64_t observations = 5, actions = 2, chunk = 3, numbers = chunk * actions;

enum class Kind { mean_flow, euler_flow, gaussian, one_step };

// Small networks with random parameters, those of the norms included, and a description of acting with them.
struct SmallPolicy {
  FlowNetwork flow;
  ParameterLayout layout;             // of the other kinds
  kernels::MlpShape network;
  Buffer params, atoms;
  TwinCritic critic;
  PolicyDescription description;
  ActingRecord acting;

  SmallPolicy(Kind kind, const Hidden& hidden, bool distributional, int64_t layers_of_critic = 2)
      : flow(observations, numbers, hidden, numbers, kind == Kind::euler_flow ? Times::plain_t : Times::fourier),
        critic(make_critic({7, layers_of_critic, hidden.activation, hidden.norm}, distributional)) {
    const bool is_flow = kind == Kind::mean_flow || kind == Kind::euler_flow;
    const int64_t inputs = kind == Kind::gaussian ? observations : numbers + observations;
    if (!is_flow) network = add_mlp(layout, inputs, hidden, kind == Kind::gaussian ? 2 * numbers : numbers);
    params = Buffer(is_flow ? flow.layout.size() : layout.size());
    randomise(params, 1);
    for (uint64_t i = 0; i < 2; ++i) randomise(critic.target[i].params, 2 + i);
    description.observations = observations, description.actions = actions, description.chunk = chunk;
    description.params = &params;
    if (kind == Kind::mean_flow) description.actor = PolicyDescription::Flow{&flow, 3, false};
    if (kind == Kind::euler_flow) description.actor = PolicyDescription::Flow{&flow, 4, true};
    if (kind == Kind::gaussian) description.actor = PolicyDescription::Gaussian{&layout, &network, -5, 2};
    if (kind == Kind::one_step) description.actor = PolicyDescription::OneStep{&layout, &network};
    if (kind != Kind::gaussian)
      description.scores = {.layout = &critic.layout, .network = &critic.trunk(),
                            .params = {&critic.target[0].params, &critic.target[1].params}, .target = true,
                            .atoms = critic.atoms(), .smaller = false};
    acting.action_low = {-2, -0.5f}, acting.action_high = {2, 1};
  }
  SmallPolicy(const SmallPolicy&) = delete;

  static TwinCritic make_critic(const Hidden& hidden, bool distributional) {
    if (!distributional) return {observations, numbers, hidden, TwinCritic::Chosen::mean, 1};
    return {observations, numbers, hidden, Atoms{11, -2, 3}, TwinCritic::Chosen::mean, 1};
  }
  static void randomise(Buffer& buffer, uint64_t seed) {
    Stream random(seed, Purpose::test, 0);
    std::vector<float> values;
    for (int64_t i = 0; i < buffer.size(); ++i) values.push_back(static_cast<float>(0.3 * random.normal()));
    buffer.set(values.data());
  }
};

std::vector<float> normal_numbers(int64_t n, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(n));
  Stream random(seed, Purpose::test, 1);
  for (float& x : values) x = static_cast<float>(random.normal());
  return values;
}

onnx::Array array_of(const onnx::Shape& shape, const std::vector<float>& values) {
  return {shape, {values.begin(), values.end()}};
}

// What graph and engine make of some observations, to 1e-5: float32 against double through a few small layers.
void check_same_decisions(const SmallPolicy& small, int64_t candidates) {
  const onnx::File file = onnx::read(onnx_policy(small.description, small.acting, candidates, ""));
  PolicyDescription description = small.description;
  if (description.scores) description.scores->smaller = small.acting.smaller;
  Policy policy(description);
  const bool gaussian = std::holds_alternative<PolicyDescription::Gaussian>(description.actor);
  std::set<int32_t> chosen_ones;
  for (uint64_t i = 0; i < 12; ++i) {
    const ArenaScope scope;
    const std::vector<float> observation = normal_numbers(observations, 2 * i);
    const std::vector<float> noise = normal_numbers(candidates * numbers, 2 * i + 1);
    std::vector<float> seen = observation;
    for (size_t j = 0; j < seen.size() && !small.acting.mean.empty(); ++j)
      seen[j] = (seen[j] - small.acting.mean[j]) / small.acting.deviation[j];
    onnx::Arrays inputs = {{"observation", array_of({1, observations}, observation)}};
    if (!gaussian) inputs["noise"] = array_of({candidates, numbers}, noise);
    const onnx::Arrays outputs = onnx::run(file, inputs);
    REQUIRE(outputs.size() == (candidates > 1 ? 2 : 1));

    const Tensor state = view(seen.data(), 1, observations);
    const auto check = [](const onnx::Array& got, const float* expected) {
      for (const double x : got.numbers) CHECK(x == doctest::Approx(double(*expected++)).epsilon(1e-5));
    };
    if (gaussian) {
      check(outputs.at("action"), policy.sample(state, {}).f32());
      continue;
    }
    const Choice choice = policy.best_candidate(state, view(noise.data(), candidates, numbers));
    check(outputs.at("action"), choice.chosen.f32());
    if (candidates == 1) continue;
    const int32_t best = choice.best.as<int32_t>()[0];
    chosen_ones.insert(best);
    check(outputs.at("q"), choice.q.f32() + best);
  }
  if (candidates > 1) CHECK(chosen_ones.size() > 1);
}

}  // namespace

TEST_CASE("an ONNX graph decides as the engine does, for every kind of policy and of network") {
  int turn = 0;
  for (const Kind kind : {Kind::mean_flow, Kind::euler_flow, Kind::gaussian, Kind::one_step})
    for (const Activation activation : kernels::activations)
      for (const Norm norm : {Norm::none, Norm::before_activation, Norm::after_activation}) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(kernels::activation_name(activation));
        CAPTURE(static_cast<int>(norm));
        // What else there is to choose changes from one to the next, so that each meets each.
        SmallPolicy small(kind, {9, 2, activation, norm}, turn % 2 == 0);
        if (turn % 4 < 2) small.description.bound = PolicyDescription::Bound::tanh;
        small.acting.smaller = turn % 3 == 0;
        if (turn % 5 < 3) {
          small.acting.mean = {1, -2, 0.5f, 0, 3};
          small.acting.deviation = {2, 0.5f, 1, 3, 0.25f};
        }
        ++turn;
        check_same_decisions(small, 1);
        if (kind != Kind::gaussian) check_same_decisions(small, 5);
      }
}

TEST_CASE("an ONNX graph of networks without hidden layers, and LayerNorm's own epsilon") {
  for (const Kind kind : {Kind::mean_flow, Kind::gaussian, Kind::one_step}) {
    SmallPolicy linear(kind, {9, 0}, true, 0);
    check_same_decisions(linear, 1);
    if (kind != Kind::gaussian) check_same_decisions(linear, 3);
  }
  SmallPolicy small(Kind::one_step, {9, 1}, false);
  small.network.norm_eps = 0.5f;
  check_same_decisions(small, 1);
}

TEST_CASE("of candidates that an ONNX graph finds equal the first is taken") {
  SmallPolicy small(Kind::one_step, {9, 1}, false);
  for (TrainState& target : small.critic.target) target.params = Buffer(target.params.size());   // of zeros
  const onnx::File file = onnx::read(onnx_policy(small.description, small.acting, 4, ""));
  const std::vector<float> observation = normal_numbers(observations, 1), noise = normal_numbers(4 * numbers, 2);
  const auto outputs = onnx::run(file, {{"observation", array_of({1, observations}, observation)},
                                        {"noise", array_of({4, numbers}, noise)}});
  const ArenaScope scope;
  Policy policy(small.description);
  const Tensor first = policy.sample(view(observation.data(), 1, observations), view(noise.data(), 1, numbers));
  for (int64_t j = 0; j < numbers; ++j)
    CHECK(outputs.at("action").numbers[size_t(j)] == doctest::Approx(double(first.f32()[j])).epsilon(1e-5));
  CHECK(outputs.at("q").numbers == std::vector<double>{0});
}

TEST_CASE("what an ONNX file says of itself") {
  SmallPolicy small(Kind::mean_flow, {9, 2}, true);
  small.acting.mean.assign(observations, 1), small.acting.deviation.assign(observations, 2);
  const onnx::File file =
      onnx::read(onnx_policy(small.description, small.acting, 4, "task Pendulum-v1\nwords of several words\nalone\n"));
  CHECK(file.ir_version == 8);
  CHECK(file.opsets == std::vector<int64_t>{17});
  CHECK(file.producer == "Meander");
  CHECK(file.graph == "policy");
  using Values = std::vector<std::pair<std::string, onnx::Shape>>;
  CHECK(file.inputs == Values{{"observation", {1, observations}}, {"noise", {4, numbers}}});
  CHECK(file.outputs == Values{{"action", {1, numbers}}, {"q", {1, 1}}});
  CHECK(file.metadata == std::vector<std::pair<std::string, std::string>>{{"task", "Pendulum-v1"},
                                                                          {"words", "of several words"},
                                                                          {"alone", ""},
                                                                          {"action_low", "-2 -0.5"},
                                                                          {"action_high", "2 1"}});

  // Names tell the parts; nothing stands there that no node takes.
  std::set<std::string> taken, made;
  for (const onnx::Node& node : file.nodes) {
    CHECK(node.outputs == std::vector<std::string>{node.name});
    CHECK(made.insert(node.name).second);
    taken.insert(node.inputs.begin(), node.inputs.end());
  }
  for (const auto& [name, constant] : file.constants) CHECK_MESSAGE(taken.contains(name), name);
  const auto shape_of = [&](const char* name) { return file.constants.at(name).shape; };
  CHECK(shape_of("actor/dense_0/weight") == onnx::Shape{numbers, 9});
  CHECK(shape_of("actor/dense_0/state_weight") == onnx::Shape{observations, 9});
  CHECK(shape_of("actor/dense_0/bias") == onnx::Shape{9});
  CHECK(shape_of("actor/norm_1/scale") == onnx::Shape{9});
  CHECK(shape_of("actor/step_2/times") == onnx::Shape{9});
  CHECK(shape_of("critic_1/dense_2/weight") == onnx::Shape{7, 11});
  CHECK(shape_of("critic/atoms") == onnx::Shape{11, 1});
  for (const char* name : {"observation/scaled", "actor/of_observation", "actor/step_2/dense_1", "critic_0/q", "best"})
    CHECK_MESSAGE(made.contains(name), name);
  // The observation's share is computed once a network.
  CHECK(std::ranges::count_if(file.nodes, [](const onnx::Node& node) {
          return std::ranges::find(node.inputs, "observation/scaled") != node.inputs.end();
        }) == 3);

  SmallPolicy gaussian(Kind::gaussian, {9, 2}, false);
  const onnx::File mean = onnx::read(onnx_policy(gaussian.description, gaussian.acting, 1, ""));
  CHECK(mean.inputs == Values{{"observation", {1, observations}}});
  CHECK(mean.outputs == Values{{"action", {1, numbers}}});
  CHECK(mean.constants.at("actor/dense_2/weight").shape == onnx::Shape{9, numbers});   // not the deviation's columns
  CHECK_THROWS_AS(onnx_policy(gaussian.description, gaussian.acting, 2, ""), Error);
}

TEST_CASE("protobuf's integers and floats at their limits") {
  ProtobufMessage message;
  const std::vector<int64_t> integers = {0, 1, 127, 128, 300, INT64_MAX, -1, INT64_MIN};
  for (const int64_t x : integers) message.integer(1, x);
  message.number(16, -1.5f).bytes(2000, std::string(300, 'x'));
  const auto fields = onnx::fields(message.bytes());
  REQUIRE(fields.size() == integers.size() + 2);
  for (size_t i = 0; i < integers.size(); ++i) CHECK(fields[i].whole() == integers[i]);
  CHECK(fields[integers.size()].number == 16);
  CHECK(fields[integers.size()].real() == -1.5f);
  CHECK(fields.back().number == 2000);
  CHECK(fields.back().text() == std::string(300, 'x'));
}

TEST_CASE("export --onnx") {
  const Folder folder;
  REQUIRE(meander_in(folder, small_run({"--steps", "160", "--out", "run", "--quiet"})).status == 0);
  const auto exported = [&](Words more) {
    more.insert(more.begin(), {"export", "run", "--out", "p.mpol"});
    return meander_in(folder, more);
  };
  Result result = exported({"--onnx", "p.onnx"});
  CHECK_MESSAGE(result.status == 0, result.error);
  CHECK_MESSAGE(contains(result.out, "p.onnx"), result.out);
  CHECK_FALSE(contains(result.out, "stay float32"));
  const std::string bytes = read_text(folder.file("p.onnx"));
  const onnx::File file = onnx::read(bytes);
  CHECK(file.inputs.at(1).second == onnx::Shape{10, 1});   // as evaluation has it
  std::set<std::string> keys;
  for (const auto& [key, value] : file.metadata) {
    CHECK_MESSAGE(keys.insert(key).second, key);
    if (key == "algorithm") CHECK(value == "mfpo");
    if (key == "task") CHECK(value == "Pendulum-v1");
    if (key == "step") CHECK(value == "160");
    if (key == "action_high") CHECK(value == "2");
  }
  for (const char* key : {"algorithm", "task", "step", "commit", "action_low", "action_high", "actor_width"})
    CHECK_MESSAGE(keys.contains(key), key);

  // The blob's weights may be of float16, the graph's are not.
  result = exported({"--onnx", "half.onnx", "--weights", "float16"});
  CHECK_MESSAGE(result.status == 0, result.error);
  CHECK(contains(result.out, "its weights stay float32"));
  CHECK(read_text(folder.file("half.onnx")) == bytes);

  result = exported({"--onnx", "one.onnx", "--candidates", "1"});
  CHECK_MESSAGE(result.status == 0, result.error);
  const onnx::File one = onnx::read(read_text(folder.file("one.onnx")));
  CHECK_FALSE(one.has("ArgMax"));
  CHECK(one.outputs.size() == 1);

  // What cannot be written is said before there is anything to write: the run is not even looked for.
  std::filesystem::create_directory(folder.file("folder"));
  const int64_t files = folder.files();
  const auto check_refused = [&](const Words& words, const std::string& part) {
    const Result refused = meander_in(folder, words);
    CHECK_MESSAGE(refused.status == 2, refused.error);
    CHECK_MESSAGE(is_one_line(refused.error), refused.error);
    CHECK_MESSAGE(contains(refused.error, part), refused.error);
    CHECK(folder.files() == files);
  };
  check_refused({"export", "nowhere", "--out", "new.mpol", "--onnx", "none/p.onnx"}, "none");
  check_refused({"export", "nowhere", "--out", "new.mpol", "--onnx", "folder"}, "folder");
  check_refused({"export", "nowhere", "--out", "a", "--onnx", "./a"}, "--out and --onnx name the same file");
  check_refused({"export", "nowhere", "--out", "a", "--c-array", "b", "--onnx", "b"}, "--c-array and --onnx name");
  check_refused({"export", "run", "--onnx", "new.onnx"}, "--out");
  check_refused({"export", "run", "--out", "new.mpol", "--onnx"}, "--onnx");
}
