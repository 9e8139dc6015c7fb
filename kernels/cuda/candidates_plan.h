#pragma once

#include <algorithm>
#include <cstdint>

#include <meander/kernels/candidates.h>
#include <meander/kernels/cuda/device_room.h>

// How the one launch of kernels/cuda/candidates.cu spreads over a device: for the host alone, and without a device, so that
// a test can ask what each card gets.
namespace meander::kernels {

struct CandidatesPlan {
  int blocks = 0;         // one a multiprocessor, an even number; 0: the networks are too large
  int rows = 0;           // candidates that go through the networks together; the others after them
  int tile = 0;           // columns of a layer whose partial sums are in shared memory at a time
  struct Network {
    int parts = 0;                          // blocks that share it
    int columns[MlpShape::max_layers] = {}; // of each layer that one of them has, a multiple of 8
    int slice[MlpShape::max_layers] = {};   // where these weights lie in shared memory; -1: they are read where they are
  } flow, critic;
  // Shared memory, in floats: activations [rows, pitch], at first the state; x [K up to a multiple of 8, A]; Q [K];
  // partial sums; slices.
  int pitch = 0, x = 0, q = 0, partial = 0, floats = 0;
  int sums_pitch = 0;     // in device memory

  int64_t shared_bytes() const { return int64_t{floats} * 4; }
};

namespace candidates_plan {

inline constexpr int threads = 256, warps = threads / 32, most_width = 512;

inline int whole(int64_t n, int64_t step) { return static_cast<int>((n + step - 1) / step * step); }

// What the choice between plans goes by, nanoseconds: constants of the device model (docs/cuda.md), not measured.
inline constexpr double barrier = 1000, floats_from_cache = 10, products = 60;   // the last two: per nanosecond, a block

inline bool fits(const MlpShape& shape) {
  for (int l = 1; l < shape.layers; ++l)
    if (shape.width[l] > most_width) return false;
  return shape.layers > 1;
}

// Slices of the layers from 1 on that `resident` says are kept; adds to `floats`.
inline void lay_out(CandidatesPlan::Network& network, const MlpShape& shape, int parts, bool whole_last,
                    const bool (&resident)[MlpShape::max_layers], int& floats) {
  network.parts = parts;
  for (int l = 0; l < shape.layers; ++l) {
    const bool all = whole_last && l == shape.layers - 1;
    network.columns[l] = whole(all ? shape.width[l + 1] : (shape.width[l + 1] + parts - 1) / parts, 8);
    network.slice[l] = -1;
    if (l == 0 || !resident[l]) continue;
    network.slice[l] = floats;
    floats += whole(shape.width[l], 32) * network.columns[l];
  }
}

// Nanoseconds of a pass of so many rows, by the model.
inline double pass_time(const CandidatesPlan::Network& network, const MlpShape& shape, int rows) {
  double time = 0;
  for (int l = 1; l < shape.layers; ++l) {
    const double weights = static_cast<double>(shape.width[l]) * network.columns[l];
    time += barrier + rows * weights / products + (network.slice[l] < 0 ? weights / floats_from_cache : 0);
  }
  return time;
}

}  // namespace candidates_plan

// The plan with the shortest time by the model that fits: on large cards all weights stay in shared memory and all
// candidates go together; with less room candidates go in turns, or some weights, those used least, are read from the
// device's cache each time.
inline CandidatesPlan plan_candidates(const CandidatesArguments& c, const DeviceRoom& room) {
  using namespace candidates_plan;
  if (c.actions > most_width || !fits(*c.flow) || (c.critic && !fits(*c.critic))) return {};
  int64_t hidden = 0, widest = 0;   // of the policy's hidden layers and all of the critics'; of all
  for (int l = 1; l <= c.flow->layers; ++l) {
    widest = std::max(widest, c.flow->width[l]);
    if (l < c.flow->layers) hidden = std::max(hidden, c.flow->width[l]);
  }
  if (c.critic)
    for (int l = 1; l <= c.critic->layers; ++l)
      widest = std::max(widest, c.critic->width[l]), hidden = std::max(hidden, c.critic->width[l]);
  // Each then has 8 columns of the policy's layers and 16 of its critic's.
  const int blocks = std::min(std::max(2, whole(hidden, 16) / 8), room.multiprocessors / 2 * 2);
  if (blocks < 2) return {};

  // Which layers give up their place, in this order.
  struct Layer { bool critic; int l; double uses, size; };
  Layer order[2 * MlpShape::max_layers];
  int layers = 0;
  for (int l = 1; c.critic && l < c.critic->layers; ++l)
    order[layers++] = {true, l, 1, static_cast<double>(c.critic->width[l] * c.critic->width[l + 1])};
  for (int l = 1; l < c.flow->layers; ++l)
    order[layers++] = {false, l, static_cast<double>(c.steps), static_cast<double>(c.flow->width[l] * c.flow->width[l + 1])};
  std::stable_sort(order, order + layers, [](const Layer& a, const Layer& b) {
    return a.uses != b.uses ? a.uses < b.uses : a.size > b.size;
  });

  const int all = static_cast<int>(c.candidates);
  CandidatesPlan best;
  double least = 0;
  int last_rows = 0;
  for (const int turns : {1, 2, 3, 4, 6, 8, 16}) {
    const int rows = std::min(all, whole((all + turns - 1) / turns, 8));
    if (rows == last_rows) continue;
    last_rows = rows;
    for (const bool narrow : {false, true})
      for (int dropped = 0; dropped <= layers; ++dropped) {
        bool resident[2][MlpShape::max_layers];
        std::fill_n(&resident[0][0], 2 * MlpShape::max_layers, true);
        for (int i = 0; i < dropped; ++i) resident[order[i].critic][order[i].l] = false;

        CandidatesPlan p;
        p.blocks = blocks;
        p.rows = rows;
        p.pitch = whole(widest, 32) + 4;
        p.sums_pitch = whole(widest, 4);
        p.x = std::max(rows * p.pitch, whole(c.observations, 4));
        p.q = p.x + whole(whole(all, 8) * c.actions, 4);
        p.partial = p.q + whole(all, 4);
        int slices = 0;
        lay_out(p.flow, *c.flow, blocks, true, resident[0], slices);
        if (c.critic) lay_out(p.critic, *c.critic, blocks / 2, false, resident[1], slices);
        int most_columns = 8;
        for (const CandidatesPlan::Network* n : {&p.flow, &p.critic})
          for (int l = 1; l < MlpShape::max_layers; ++l) most_columns = std::max(most_columns, n->columns[l]);
        p.tile = narrow ? 8 : most_columns;
        const int begin = p.partial + std::max(threads, warps * rows * p.tile);
        for (CandidatesPlan::Network* n : {&p.flow, &p.critic})
          for (int& at : n->slice)
            if (at >= 0) at += begin;
        p.floats = begin + slices;
        if (p.shared_bytes() > room.shared_bytes || p.flow.columns[0] > threads || p.critic.columns[0] > threads)
          continue;

        const double turns_taken = (all + rows - 1) / rows;
        double time = turns_taken * static_cast<double>(c.steps) * pass_time(p.flow, *c.flow, rows);
        if (c.critic) time += turns_taken * pass_time(p.critic, *c.critic, rows);
        if (narrow) time += turns_taken;   // a synchronisation more for each tile: where both fit, the wide one
        if (best.blocks == 0 || time < least) best = p, least = time;
        break;   // to keep less would not be faster
      }
  }
  return best;
}

}  // namespace meander::kernels
