#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include <meander/algos/learner.h>
#include <meander/algos/mixture.h>
#include <meander/app/output.h>
#include <meander/app/output_place.h>
#include <meander/app/progress.h>
#include <meander/app/run_recorder.h>
#include <meander/app/verbs.h>
#include <meander/kernels/error.h>
#include <meander/kernels/threads.h>

namespace meander {

namespace {

constexpr int64_t samples = 10'000;

// What suits the task, before the user's own settings: Q is all there is, its temperature is 1, and only the policy
// learns.
std::vector<Assignment> defaults(const std::string& algorithm) {
  const auto set = [](std::initializer_list<std::pair<const char*, const char*>> pairs) {
    std::vector<Assignment> all;
    for (const auto& [key, value] : pairs) all.push_back({"toy", key, value});
    return all;
  };
  if (algorithm == "mfpo")
    // Many Gaussian proposals, for Q costs next to nothing here, and no others; times that reach both ends.
    return set({{"alpha", "1"}, {"tune_alpha", "false"}, {"proposals", "gaussian"}, {"policy_proposals", "1"},
                {"gaussian_proposals", "192"}, {"divergence_network", "false"}, {"sampling_steps", "8"},
                {"learning_rate", "7e-4"}, {"logit_mean", "0"}, {"logit_deviation", "1.5"},
                {"share_equal_times", "0.5"}});
  if (algorithm == "som")
    // Q is right everywhere, so noise may lead far out and nothing need be cut at the box.
    return set({{"candidates", "1"}, {"exploration_noise", "false"}, {"start", "policy"}, {"beta_max", "20"},
                {"weight", "25"}, {"velocity", "unit_score"}, {"policy_interval", "2"}});
  return set({{"alpha", "1"}, {"tune_alpha", "false"}});
}

// The density as one soft disc a component, and some of the samples on top.
std::string picture(const GaussianMixture& mixture, const std::vector<float>& points, const std::string& title) {
  constexpr double scale = 8, half = GaussianMixture::box, size = 2 * half * scale, top = 34;
  const auto x = [&](double v) { return (v + half) * scale; };
  const auto y = [&](double v) { return top + (half - v) * scale; };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"8\" y=\"22\" font-family=\"sans-serif\" font-size=\"15\">{2}</text>\n"
      "<defs><radialGradient id=\"mode\">\n",
      size, top + size, title);
  for (int i = 0; i <= 8; ++i) {  // out to four standard deviations
    const double d = 0.5 * i;
    svg += fmt::format("<stop offset=\"{:.3f}\" stop-color=\"#3a6ea5\" stop-opacity=\"{:.3f}\"/>\n", d / 4,
                       0.75 * std::exp(-0.5 * d * d));
  }
  svg += fmt::format("</radialGradient></defs>\n<rect x=\"0\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" fill=\"none\" "
                     "stroke=\"#999\"/>\n<g fill=\"url(#mode)\">\n", top, size, size);
  for (int i = 0; i < GaussianMixture::components; ++i)
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>\n", x(mixture.centre(i)[0]),
                       y(mixture.centre(i)[1]), 4 * scale);
  svg += "</g>\n<g fill=\"#c0392b\" fill-opacity=\"0.55\">\n";
  for (size_t i = 0; i < points.size() && i < 2 * 3000; i += 2)
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"1.3\"/>\n", x(points[i]), y(points[i + 1]));
  return svg + "</g>\n</svg>\n";
}

}  // namespace

int toy(const ToyOptions& options) {
  std::vector<Assignment> assignments = defaults(options.algorithm);
  assignments.insert(assignments.end(), options.assignments.begin(), options.assignments.end());
  RunConfig config = resolve(options.algorithm, "", nullptr, assignments);
  if (config.threads > 0) kernels::set_threads(static_cast<int>(config.threads));
  const uint64_t seed = static_cast<uint64_t>(config.training.seed);
  const auto agent = config.algorithm_settings->make_agent(1, 2, seed);
  auto* const learner = dynamic_cast<PolicyLearner*>(agent.get());
  if (!learner)
    throw Error(options.algorithm + " does not learn its policy from Q, it chooses by Q: toy is for mfpo, som and sac");
  if (!options.out.ends_with(".svg"))
    throw Error("--out " + options.out + ": the picture is an SVG, expected a name that ends in .svg");
  const OutputPlace place(options.out);

  const GaussianMixture mixture;
  const ActionValue q = [&](Value, Value action) { return mixture.log_density(action); };
  const std::vector<float> ones(static_cast<size_t>(agent->batch_size()), 1.0f);
  const Tensor state = view(ones.data(), agent->batch_size(), 1);

  catch_interrupts();
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  double shown = 0;
  int64_t done = 0;
  while (done < options.updates && !interrupted()) {
    learner->improve_policy(q, state, static_cast<uint64_t>(++done));
    if (seconds() - shown < 10) continue;
    shown = seconds();
    print("update {} of {}, {} left\n", count_text(done), count_text(options.updates),
               duration_text(shown * double(options.updates - done) / double(done)));
    flush_output();
  }
  const double taken = seconds();

  std::vector<float> points(2 * samples);
  for (int64_t i = 0; i < samples; ++i)
    agent->explore(std::span(ones).first(1), static_cast<uint64_t>(i), std::span(points).subspan(2 * i, 2));
  for (float& p : points) p *= static_cast<float>(GaussianMixture::box);
  const auto exact = mixture.sample(samples, 0), also_exact = mixture.sample(samples, 1);
  const auto uniform = mixture.sample_uniform(samples, 0);

  const int modes = mixture.modes_covered(points);
  const double within = mixture.within_three(points), mmd = squared_mmd(points, exact);
  print("{}, seed {}: {} updates in {}\n", options.algorithm, seed, count_text(done), duration_text(taken));
  print("modes covered: {} of {}   (exact samples {}, uniform ones {})\n", modes, GaussianMixture::components,
             mixture.modes_covered(also_exact), mixture.modes_covered(uniform));
  print("within 3 sigma: {:.3f}   (exact samples {:.3f}, uniform ones {:.3f})\n", within,
             mixture.within_three(also_exact), mixture.within_three(uniform));
  print("squared MMD: {:.5f}   (exact samples {:.5f}, uniform ones {:.5f})\n", mmd, squared_mmd(also_exact, exact),
             squared_mmd(uniform, exact));
  place.put(picture(mixture, points,
                    fmt::format("{} after {} updates: {} of {} modes, {:.2f} within 3 sigma, squared MMD {:.4f}",
                                options.algorithm, count_text(done), modes, GaussianMixture::components, within, mmd)));
  print("{}: the density and {} samples\n", options.out, count_text(3000));
  return interrupted() ? 130 : 0;
}

}  // namespace meander
