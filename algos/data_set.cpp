#include <meander/algos/data_set.h>

#include <algorithm>
#include <cmath>

#include <meander/kernels/error.h>

namespace meander {

int64_t DataSet::transitions() const { return std::count(terminal.begin(), terminal.end(), uint8_t{0}); }

std::vector<double> DataSet::episode_returns() const {
  std::vector<double> returns;
  double sum = 0;
  for (int64_t row = 0; row < rows(); ++row) {
    if (!terminal[row]) sum += reward[row];
    else returns.push_back(sum), sum = 0;
  }
  return returns;
}

void DataSet::check(const std::string& name) const {
  const int64_t n = rows();
  const auto expect = [&](const char* what, int64_t size, int64_t expected) {
    if (size != expected)
      throw Error(message(name, ": ", what, " holds ", size, " numbers, ", expected, " are needed for ", n, " rows"));
  };
  expect("observations", std::ssize(observation), n * observations);
  expect("actions", std::ssize(action), n * actions);
  expect("rewards", std::ssize(reward), n);
  expect("masks", std::ssize(mask), n);
  if (n == 0 || transitions() == 0) throw Error(name + ": holds no transition");
  if (!terminal.back()) throw Error(name + ": the last row is not terminal");
  const auto finite = [&](const char* what, const std::vector<float>& numbers) {
    const auto bad = std::find_if(numbers.begin(), numbers.end(), [](float x) { return !std::isfinite(x); });
    if (bad != numbers.end())
      throw Error(message(name, ": ", what, " holds a number that is not finite, in row ",
                          (bad - numbers.begin()) * n / std::ssize(numbers)));
  };
  finite("observations", observation);
  finite("actions", action);
  finite("rewards", reward);
  finite("masks", mask);
}

}  // namespace meander
