#pragma once

#include <cstdint>

// Losses, one number each, and their gradients, float32.
namespace meander::kernels {

// loss = mean over the rows of -sum_j target_j log softmax(logits)_j. Writes the rows' losses to `row` [rows].
void cross_entropy(int64_t rows, int64_t cols, const float* target, const float* logits, float* row, float* loss);
// dlogits = (softmax(logits) sum_j target_j - target) dloss / rows
void cross_entropy_gradient(int64_t rows, int64_t cols, const float* target, const float* logits, const float* dloss,
                            float* dlogits);

// loss = mean of (a - b)^2
void mean_squared_error(int64_t n, const float* a, const float* b, float* loss);
// da = 2 (a - b) dloss / n
void mean_squared_error_gradient(int64_t n, const float* a, const float* b, const float* dloss, float* da);

}  // namespace meander::kernels
