#pragma once

#include <meander/app/acting_record.h>
#include <meander/kernels/mlp_shape.h>
#include <meander/nn/policy.h>

namespace meander {

// What of a policy leaves the house, for every format: it acts as the checkpoint says, in float32, by the best of
// `candidates`; of one candidate without critics. Throws Error if there are several and no critics.
PolicyDescription exported_policy(const PolicyDescription& policy, const ActingRecord& acting, int64_t candidates);

// A network's parameters as acting needs them. Of the first layer's rows some meet the network's own inputs (the
// actor's noise or position, the critic's action), others the observation, and a flow's times the rest.
struct NetworkPart {
  const kernels::MlpShape* shape;
  const float* params;
  int64_t own_row, own_rows;     // the first layer's rows that meet the network's own inputs
  int64_t state_row;             // and the first of those that meet the observation
  int64_t outputs;               // the first of the last layer's columns that are wanted

  // Of a layer: rows (the first one's for its own inputs alone), columns that are wanted, how far rows are apart.
  int64_t rows(int layer) const { return layer ? shape->width[layer] : own_rows; }
  int64_t cols(int layer) const { return is_last(layer) ? outputs : shape->width[layer + 1]; }
  int64_t stride(int layer) const { return shape->width[layer + 1]; }
  const float* weight(int layer) const { return params + shape->weight[layer] + (layer ? 0 : own_row * stride(0)); }
  const float* state_weight() const { return params + shape->weight[0] + state_row * stride(0); }
  bool is_last(int layer) const { return layer + 1 == shape->layers; }
  bool has_norm(int layer) const { return !is_last(layer) && shape->norm != kernels::Norm::none; }
};
NetworkPart actor_part(const PolicyDescription& policy);
NetworkPart critic_part(const PolicyDescription& policy, int which);   // which: 0 or 1

}  // namespace meander
