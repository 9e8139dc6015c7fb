#pragma once

#include <string>

#include <meander/app/acting_record.h>
#include <meander/nn/policy.h>

namespace meander {

// The decision of meander_act as an ONNX model (float32, opset 17), all shapes fixed. Inputs: observation [1, S] in the
// task's own units and, unless the policy is a Gaussian, of which the mean is taken, noise [K, h A], standard normal;
// K = candidates. Outputs: action [1, h A] in [-1, 1], and for K > 1 its value q [1, 1]. Within: the scaling of the
// observation, its share of each first layer (once a decision), of a flow the times' share (a constant row a step), and
// the choice of the first candidate with the largest value. Metadata: `text`, lines of "key value", each key once, and
// the task's range of actions as action_low and action_high. The policy's numbers must be on the CPU. Throws Error if
// there are candidates to choose among but no critics, or the file would pass 2 GB.
std::string onnx_policy(const PolicyDescription& policy, const ActingRecord& acting, int64_t candidates,
                        const std::string& text);

}  // namespace meander
