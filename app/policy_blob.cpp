#include <meander/app/policy_blob.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <span>

#include <meander/app/exported_policy.h>
#include <meander/core/arena.h>
#include <meander/core/random.h>
#include <meander/deploy/meander_policy.h>
#include <meander/kernels/device.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

static_assert(std::endian::native == std::endian::little);
static_assert(MEANDER_EVALUATE == static_cast<uint32_t>(Purpose::evaluate));

using Purpose_t = std::underlying_type_t<Purpose>;

// x as float16, to the nearest, ties to even. Throws Error if it is too large.
uint16_t half_of(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const float magnitude = std::fabs(x);
  if (magnitude >= 65520.0f) throw Error(message("a weight of ", x, " is too large for float16: use --weights float32"));
  // Adding a number whose last place is that of the result rounds to it; below 2^-14 the places stay those of 2^-14.
  const float size = std::max(magnitude, 0x1p-14f);
  const float place = std::bit_cast<float>((std::bit_cast<uint32_t>(size) & 0x7f800000u) + (13u << 23));
  const float rounded = (magnitude + place) - place;
  return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(rounded * 0x1p-112f) >> 13);
}
float half_value(uint16_t half) {
  const float magnitude = std::bit_cast<float>(static_cast<uint32_t>(half & 0x7fffu) << 13) * 0x1p112f;
  return half & 0x8000u ? -magnitude : magnitude;
}

class Writer {
 public:
  explicit Writer(deploy::Weights weights) : weights_(weights), bytes_(sizeof(deploy::Header)) {}

  uint32_t place(const void* data, size_t size) {
    bytes_.resize((bytes_.size() + deploy::alignment - 1) / deploy::alignment * deploy::alignment);
    const size_t at = bytes_.size();
    if (at + size > UINT32_MAX) throw Error("the policy is larger than 4 GB");
    bytes_.resize(at + size);
    if (size) std::memcpy(bytes_.data() + at, data, size);
    return static_cast<uint32_t>(at);
  }
  uint32_t row(std::span<const float> numbers) {
    std::vector<float> padded(numbers.begin(), numbers.end());
    padded.resize(deploy::padded(static_cast<uint32_t>(numbers.size())));
    return place(padded.data(), padded.size() * sizeof(float));
  }
  // Columns [0, cols) of rows `stride` apart, by panels.
  uint32_t matrix(const float* from, int64_t rows, int64_t cols, int64_t stride) {
    std::vector<float> panels;
    for (int64_t first = 0; first < cols; first += deploy::panel)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = first; j < first + deploy::panel; ++j) panels.push_back(j < cols ? from[i * stride + j] : 0);
    if (weights_ == deploy::Weights::float32) return place(panels.data(), panels.size() * sizeof(float));
    std::vector<uint16_t> halves;
    for (const float x : panels) halves.push_back(half_of(x));
    return place(halves.data(), halves.size() * sizeof(uint16_t));
  }
  uint32_t network(const NetworkPart& part, int64_t observations) {
    const kernels::MlpShape& shape = *part.shape;
    deploy::Network network{};
    network.layers = static_cast<uint32_t>(shape.layers);
    network.activation = static_cast<uint32_t>(shape.activation);
    network.norm = static_cast<uint32_t>(shape.norm);
    network.norm_eps = shape.norm_eps;
    network.own_inputs = static_cast<uint32_t>(part.own_rows);
    for (int l = 0; l < shape.layers; ++l) {
      const int64_t cols = part.cols(l);
      if (cols > deploy::most_numbers || (l == 0 && observations > deploy::most_numbers))
        throw Error(message("a network of more than ", deploy::most_numbers, " inputs or outputs cannot be exported"));
      const auto numbers = [&](int64_t offset) {
        return std::span(part.params + offset, static_cast<size_t>(cols));
      };
      deploy::Layer& layer = network.layer[l];
      layer.outputs = static_cast<uint32_t>(cols);
      layer.weight = matrix(part.weight(l), part.rows(l), cols, part.stride(l));
      if (l == 0) network.state_weight = matrix(part.state_weight(), observations, cols, part.stride(l));
      layer.bias = row(numbers(shape.bias[l]));
      if (!part.has_norm(l)) continue;
      layer.scale = row(numbers(shape.scale[l]));
      layer.shift = row(numbers(shape.shift[l]));
    }
    return place(&network, sizeof network);
  }
  std::vector<std::byte> finish(deploy::Header& header) {
    place(nullptr, 0);
    header.size = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &header, sizeof header);
    header.checksum = deploy::checksum(bytes_.data(), header.size);
    std::memcpy(bytes_.data(), &header, sizeof header);
    return std::move(bytes_);
  }

 private:
  deploy::Weights weights_;
  std::vector<std::byte> bytes_;
};

// The policy with the weights that a blob of float16 holds, in numbers of its own.
class Rounded {
 public:
  explicit Rounded(const PolicyDescription& policy) : description(policy) {
    description.params = &round(actor_part(policy), *policy.params, policy.observations);
    if (!policy.scores) return;
    for (int i = 0; i < 2; ++i)
      description.scores->params[i] = &round(critic_part(policy, i), *policy.scores->params[i], policy.observations);
  }
  PolicyDescription description;

 private:
  const Buffer& round(const NetworkPart& part, const Buffer& params, int64_t observations) {
    std::vector<float> numbers = params.numbers();
    const kernels::MlpShape& shape = *part.shape;
    for (int l = 0; l < shape.layers; ++l) {
      float* const weight = numbers.data() + shape.weight[l];
      const int64_t rows = l ? shape.width[l] : part.own_rows + observations;   // of the first layer not the times'
      for (int64_t i = 0; i < rows * shape.width[l + 1]; ++i) weight[i] = half_value(half_of(weight[i]));
    }
    return owned_[count_++] = Buffer(numbers);
  }
  Buffer owned_[3];
  size_t count_ = 0;
};

// What acting gives for one observation: all candidates, the best one and its value (0 of one candidate).
struct Acted {
  std::vector<float> candidates, chosen;
  float q = 0;
};
Acted acted(Policy& policy, std::span<const float> observation, const deploy::Test& test) {
  const ArenaScope scope;
  const PolicyDescription& about = policy.description();
  const Tensor state = view(observation.data(), 1, about.observations);
  const Tensor noise = empty(test.candidates, about.numbers());
  kernels::current().philox_normal({test.seed, test.purpose, test.step}, nullptr, noise.size(), noise.f32());
  const auto numbers = [](Tensor x) { return std::vector<float>(x.f32(), x.f32() + x.size()); };
  if (std::holds_alternative<PolicyDescription::Gaussian>(about.actor)) {
    const std::vector<float> mean = numbers(policy.sample(state, {}));
    return {mean, mean, 0};
  }
  const Choice choice = policy.best_candidate(state, noise);
  return {numbers(choice.action), numbers(choice.chosen),
          choice.q ? choice.q.f32()[choice.best.as<int32_t>()[0]] : 0.0f};
}

// Examples: observations as far from their mean as is usual, every second one with the policy's own candidates.
uint32_t place_tests(Writer& writer, Policy& policy, Policy* exact, const ActingRecord& acting,
                     const BlobSettings& settings, float* largest_error) {
  const PolicyDescription& about = policy.description();
  const size_t size = deploy::test_size(static_cast<uint32_t>(about.observations), static_cast<uint32_t>(about.numbers()));
  std::vector<std::byte> all(static_cast<size_t>(settings.tests) * size);
  std::vector<float> observation(static_cast<size_t>(about.observations)), seen(observation.size());
  for (int64_t i = 0; i < settings.tests; ++i) {
    const deploy::Test test{.seed = static_cast<uint64_t>(i) << 33 | 1, .step = static_cast<uint64_t>(i) << 32 | 7,
                            .purpose = static_cast<Purpose_t>(Purpose::evaluate),
                            .candidates = i % 2 ? 1u : static_cast<uint32_t>(settings.candidates)};
    kernels::philox_normal({test.seed, static_cast<Purpose_t>(Purpose::test), test.step}, nullptr,
                           std::ssize(observation), observation.data());
    for (size_t j = 0; j < observation.size(); ++j) {
      if (!acting.mean.empty()) observation[j] = acting.mean[j] + acting.deviation[j] * observation[j];
      seen[j] = acting.mean.empty() ? observation[j] : (observation[j] - acting.mean[j]) / acting.deviation[j];
    }
    const Acted result = acted(policy, seen, test);
    if (exact && largest_error) {
      const Acted other = acted(*exact, seen, test);
      for (size_t j = 0; j < other.candidates.size(); ++j)
        *largest_error = std::max(*largest_error, std::fabs(other.candidates[j] - result.candidates[j]));
    }
    std::byte* to = all.data() + static_cast<size_t>(i) * size;
    const auto put = [&](const void* data, size_t bytes) {
      std::memcpy(to, data, bytes);
      to += bytes;
    };
    put(&test, sizeof test);
    put(observation.data(), observation.size() * sizeof(float));
    put(result.chosen.data(), result.chosen.size() * sizeof(float));
    put(&result.q, sizeof result.q);
  }
  return writer.place(all.data(), all.size());
}

}  // namespace

std::vector<std::byte> policy_blob(const PolicyDescription& described, const ActingRecord& acting,
                                   const BlobSettings& settings, float* largest_error) {
  const bool choice = settings.candidates > 1, halves = settings.weights == deploy::Weights::float16;
  if (settings.candidates > deploy::most_candidates)
    throw Error(message("at most ", deploy::most_candidates, " candidates can be exported"));
  const PolicyDescription about = exported_policy(described, acting, settings.candidates);
  Policy exact(about);
  std::optional<Rounded> rounded;
  if (halves) rounded.emplace(about);
  Policy policy(halves ? rounded->description : about);

  Writer writer(settings.weights);
  deploy::Header header{};
  std::memcpy(header.magic, deploy::magic, sizeof header.magic);
  header.major = deploy::major_version, header.minor = deploy::minor_version;
  header.weights = static_cast<uint32_t>(settings.weights);
  header.observations = static_cast<uint32_t>(about.observations);
  header.actions = static_cast<uint32_t>(about.actions);
  header.chunk = static_cast<uint32_t>(about.chunk);
  header.steps = 1;
  header.bound =
      static_cast<uint32_t>(about.bound == PolicyDescription::Bound::tanh ? deploy::Bound::tanh : deploy::Bound::clip);
  header.candidates = static_cast<uint32_t>(settings.candidates);
  header.network[0] = writer.network(actor_part(about), about.observations);
  if (const auto* flow = std::get_if<PolicyDescription::Flow>(&about.actor)) {
    if (flow->steps > deploy::most_steps)
      throw Error(message("a flow of more than ", deploy::most_steps, " steps cannot be exported"));
    header.actor = static_cast<uint32_t>(deploy::Actor::flow);
    header.steps = static_cast<uint32_t>(flow->steps);
    const ArenaScope scope;
    const Tensor times = exact.flow().times();   // of the embeddings' own weights, which are not rounded
    const int64_t width = deploy::padded(static_cast<uint32_t>(times.cols));
    std::vector<float> rows(static_cast<size_t>(flow->steps * width));
    for (int64_t i = 0; i < times.rows; ++i)
      std::memcpy(rows.data() + i * width, times.f32() + i * times.cols, static_cast<size_t>(times.cols) * sizeof(float));
    header.times = writer.place(rows.data(), rows.size() * sizeof(float));
  } else {
    const bool mean = std::holds_alternative<PolicyDescription::Gaussian>(about.actor);
    header.actor = static_cast<uint32_t>(mean ? deploy::Actor::mean : deploy::Actor::one_step);
  }
  if (choice) {
    header.choice = static_cast<uint32_t>(about.scores->smaller ? deploy::Choice::smaller : deploy::Choice::mean);
    for (int i = 0; i < 2; ++i) header.network[1 + i] = writer.network(critic_part(about, i), about.observations);
    if (const Tensor atoms = about.scores->atoms) {
      header.atom_count = static_cast<uint32_t>(atoms.size());
      header.atoms = writer.row({atoms.f32(), static_cast<size_t>(atoms.size())});
    }
  }
  if (!acting.mean.empty()) header.mean = writer.row(acting.mean), header.deviation = writer.row(acting.deviation);
  if (!acting.action_low.empty())
    header.action_low = writer.row(acting.action_low), header.action_high = writer.row(acting.action_high);
  header.test_count = static_cast<uint32_t>(settings.tests);
  if (largest_error) *largest_error = 0;
  if (settings.tests) header.tests = place_tests(writer, policy, halves ? &exact : nullptr, acting, settings, largest_error);
  header.text_size = static_cast<uint32_t>(settings.text.size());
  if (header.text_size) header.text = writer.place(settings.text.data(), settings.text.size());
  return writer.finish(header);
}

}  // namespace meander
