# meander_header_only(NAME FILE): a target NAME_headers for a library that is only headers, FILE one of them as it is
# included, found on this machine also when another is compiled for: /usr/include as a whole would bring its C library,
# so the one folder is linked to into the build folder.
function(meander_header_only name file)
  find_path(${name}_folder ${file} REQUIRED NO_CMAKE_FIND_ROOT_PATH)
  get_filename_component(folder ${file} DIRECTORY)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/headers)
  file(CREATE_LINK ${${name}_folder}/${folder} ${PROJECT_BINARY_DIR}/headers/${folder} SYMBOLIC)
  add_library(${name}_headers INTERFACE)
  target_include_directories(${name}_headers SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/headers)
endfunction()
