#pragma once

#include "bench/cases.h"

// The methods beside each other within this program: updates at their papers' sizes, and one state to one action.
namespace meander::bench {

struct MethodCase {
  std::string name;  // mvp_update/replay, act/mvp, ...
  std::function<Case()> make;
};
// In groups of what is compared.
const std::vector<std::vector<MethodCase>>& method_cases();

// One case takes so many times as long as another.
struct Claim {
  std::string text, slow, fast;
  double wanted = 0;     // at least; 0: nothing is
  double published = 0;  // what the faster method's authors report, on their machine and sizes; 0: nothing
};
const std::vector<Claim>& method_claims();

}  // namespace meander::bench
