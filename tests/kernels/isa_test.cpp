#include <meander/kernels/isa.h>

#include <meander/kernels/error.h>
#include "helpers.h"

using namespace meander::kernels;

// Protects the choice of a path: what is in use is available, and one that is not is refused.
TEST_CASE("instruction sets") {
  CHECK(isa_available(isa()));
  CHECK_FALSE(available().empty());
  const Isa before = isa();
  for (Isa which : all_isas) {
    if (isa_available(which)) {
      set_isa(which);
      CHECK(isa() == which);
    } else {
      CHECK_THROWS_AS(set_isa(which), meander::Error);
    }
  }
  set_isa(before);
}
