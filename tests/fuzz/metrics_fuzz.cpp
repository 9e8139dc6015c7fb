// A table of metrics: what is taken has a step in every row and a finite value wherever one is given out.

#include <cmath>

#include "target.h"
#include <meander/app/metrics.h>

using namespace meander;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto takes = [](auto&& f) {  // its messages name cells as they are: the command escapes all that it prints
    try {
      f();
    } catch (const Error&) {
    }
  };
  takes([&] {
    const Metrics metrics(fuzz::bytes(data, size), "metrics.csv", {{"before", "now"}});
    const size_t rows = metrics.values("step").size();
    for (const std::string& column : metrics.columns()) {
      const auto points = metrics.values(column);
      fuzz::expect(points.size() <= rows, "a column has more values than there are steps");
      for (const Metrics::Point& point : points)
        fuzz::expect(std::isfinite(point.value) && point.step >= 0, "a value is finite and its step is one");
    }
    metrics.values("retrun");  // near a name
  });
  return 0;
}
