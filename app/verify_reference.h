#pragma once

#include <vector>

#include <meander/app/check_line.h>
#include <meander/core/safetensors.h>

namespace meander {

// True for a recording of whole MFPO updates: a file whose metadata holds the settings of one.
bool is_update_reference(const SafetensorsFile& file);

// Replays every recorded update through MFPO's phases. Each phase is given the recorded inputs of that phase,
// so that one error neither hides nor causes another. Tolerance: 1e-4 of the largest value of each tensor, or three
// times the recording's own float32 error where that is larger; Adam and the target average from the recorded gradients
// 1e-6. With several updates they are then run end to end, what they compute on their way compared too. Throws Error if
// the file is malformed.
std::vector<CheckLine> verify_updates(const SafetensorsFile& file);

// True for a recording of whole updates of SOM, MVP, QC, FQL or SAC: its settings name the algorithm.
bool is_learner_reference(const SafetensorsFile& file);

// Runs every recorded update, from the recorded parameters and with the recorded draws, and compares what it reports on
// its way, gradients, new parameters and moments; then candidates, choice and action. Tolerance: 2e-6 of the largest
// value of each tensor, or 16 times the recording's own float32 error where that is larger. Throws Error if the file is
// malformed.
std::vector<CheckLine> verify_learner(const SafetensorsFile& file);

// True for a recording of single operations: tensors OPERATION/in/..., OPERATION/out/...
bool is_operation_reference(const SafetensorsFile& file);

// Value, jvp and vjp of every recorded operation in float32, each to 1e-5 of the largest value of its tensor.
// Throws Error if the file is malformed or an operation unknown.
std::vector<CheckLine> verify_operations(const SafetensorsFile& file);

}  // namespace meander
