#include <meander/kernels/dependencies.h>

namespace meander::kernels {
namespace {

bool conflict(const Access& a, const Access& b) {
  if (!a.written && !b.written) return false;
  return !a.begin || !b.begin || (a.begin < b.end && b.begin < a.end);
}

bool conflict(const Accesses& a, const Accesses& b) {
  for (const Access& x : a)
    for (const Access& y : b)
      if (conflict(x, y)) return true;
  return false;
}

}  // namespace

// From the last call back: what one waits for is known to be done before any earlier one is looked at.
const std::vector<size_t>& Dependencies::add(const Accesses& accesses) {
  direct_.clear();
  std::vector<bool> before(calls_.size());
  for (size_t i = calls_.size(); i-- > 0;) {
    if (before[i] || !conflict(accesses, calls_[i].accesses)) continue;
    direct_.push_back(i);
    before[i] = true;
    for (size_t j = 0; j < i; ++j)
      if (calls_[i].before[j]) before[j] = true;
  }
  calls_.push_back({accesses, std::move(before)});
  return direct_;
}

}  // namespace meander::kernels
