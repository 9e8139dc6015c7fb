# Writes the definitions of app/version.h to ${output}, only if they changed. Outside git the commit is "unknown".
set(commit "")
if(EXISTS ${source}/.git)
  execute_process(COMMAND git -C ${source} describe --always --dirty
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit)
  set(commit unknown)
endif()
set(text "#include <meander/app/version.h>

namespace meander {
const char* version() { return \"${version}\"; }
const char* commit() { return \"${commit}\"; }
}  // namespace meander
")
set(before "")
if(EXISTS ${output})
  file(READ ${output} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${output} "${text}")
endif()
