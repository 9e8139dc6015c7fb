#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <meander/app/acting_record.h>
#include <meander/deploy/format.h>
#include <meander/nn/policy.h>

namespace meander {

// What becomes of a policy in a blob.
struct BlobSettings {
  deploy::Weights weights = deploy::Weights::float32;
  int64_t candidates = 1;        // 1: without critics
  int64_t tests = 32;            // examples to repeat
  std::string text = {};         // about the policy, lines of "key value"
};

// The policy as deploy/meander_policy.h opens it, its parameters as they are now: networks with their weights by
// panels, of a flow the times' share of the first layer, and examples that the engine acts out here. `largest_error`:
// if not null, how far float16 weights move an example's candidates, the largest of all numbers; 0 for float32. The
// policy's numbers must be on the CPU. Throws Error if there are candidates to choose among but no critics, a weight
// that float16 cannot hold, or a network beyond the format's limits.
std::vector<std::byte> policy_blob(const PolicyDescription& policy, const ActingRecord& acting,
                                   const BlobSettings& settings, float* largest_error = nullptr);

}  // namespace meander
