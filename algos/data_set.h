#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace meander {

// Rounding may take a number of an action so far out of [-1, 1]; one farther out is of other units.
inline constexpr float largest_action = 1.001f;

// Steps recorded with some policy. Rows as OGBench lays them out: every observation is a row, the last observation of
// an episode too, whose action is nobody's:
//
//     row          0    1    2    3    4
//     observation  s0   s1   s2   s0'  s1'
//     action       a0   a1   -    a0'  -
//     terminal     0    0    1    0    1
//
// So the transitions are (row, row + 1) of all rows that are not terminal.
struct DataSet {
  int observations = 0, actions = 0;    // S, A
  std::vector<float> observation;       // [rows, S]
  std::vector<float> action;            // [rows, A], in [-1, 1]
  std::vector<float> reward;            // [rows]
  std::vector<float> mask;              // [rows]: 0 if the action led to a true end or success, else 1
  std::vector<uint8_t> terminal;        // [rows]: 1 for the last observation of an episode, and for the last row

  int64_t rows() const { return std::ssize(terminal); }
  int64_t transitions() const;
  std::vector<double> episode_returns() const;  // undiscounted, of each episode in turn

  // Throws Error, with `name` in front, if the sizes do not fit together, there is no transition, a number is not
  // finite, or the last row is not terminal.
  void check(const std::string& name) const;
};

}  // namespace meander
