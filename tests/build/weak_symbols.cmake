# Protects machines without AVX-512: of two weak definitions of one function the linker keeps any, so an object compiled
# for a wide instruction set must define none.
execute_process(COMMAND ${nm} -C ${object} OUTPUT_VARIABLE symbols RESULT_VARIABLE result)
if(NOT result EQUAL 0 OR symbols STREQUAL "")
  message(FATAL_ERROR "${nm} lists nothing in ${object}")
endif()
string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
if(weak)
  list(JOIN weak "\n" weak)
  message(FATAL_ERROR "weak symbols in ${object}:\n${weak}")
endif()
