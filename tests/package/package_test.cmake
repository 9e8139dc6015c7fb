# Protects find_package(Meander): installs the library, builds and runs the program beside this file with it, and finds
# no path of the build or of .deps in what was installed.
file(REMOVE_RECURSE ${scratch})
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed: ${command}\n${output}")
  endif()
endfunction()
run(${CMAKE_COMMAND} --install ${build} --prefix ${scratch}/prefix)

file(GLOB_RECURSE installed ${scratch}/prefix/*)
foreach(file IN LISTS installed)
  if(file MATCHES "\\.(cmake|h)$")
    file(READ ${file} text)
    foreach(path ${source} ${build} .deps)
      string(FIND "${text}" "${path}" found)
      if(NOT found EQUAL -1)
        message(FATAL_ERROR "${file} names ${path}")
      endif()
    endforeach()
  endif()
endforeach()

run(${CMAKE_COMMAND} -S ${source}/tests/package -B ${scratch}/consumer -G ${generator}
    -D CMAKE_CXX_COMPILER=${compiler} -D CMAKE_PREFIX_PATH=${scratch}/prefix)
run(${CMAKE_COMMAND} --build ${scratch}/consumer)
run(${CMAKE_COMMAND} -E chdir ${scratch}/consumer ${scratch}/consumer/consumer)
