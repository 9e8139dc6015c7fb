#pragma once

namespace meander {

// Where the random numbers of an initial state come from: the run's stream, or the package's generator in replays.
class Draws {
 public:
  virtual double uniform() = 0;  // in [0, 1)
  virtual double normal() = 0;
  double uniform(double low, double high) { return low + (high - low) * uniform(); }

 protected:
  ~Draws() = default;
};

template <class Generator>
class DrawsOf final : public Draws {
 public:
  explicit DrawsOf(Generator& generator) : generator_(generator) {}
  double uniform() override { return generator_.uniform(); }
  double normal() override { return generator_.normal(); }

 private:
  Generator& generator_;
};

}  // namespace meander
