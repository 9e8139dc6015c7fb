#pragma once

namespace meander {

const char* version();  // of the project: "0.1.0"
const char* commit();   // git describe --always --dirty at the time of the build, "unknown" outside git

}  // namespace meander
