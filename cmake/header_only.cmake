# meander_header_only(TARGET FILE): lets TARGET include a library that is only headers, FILE one of them as it is
# included. Found on this machine also when another is compiled for: /usr/include as a whole would bring its C library,
# so the one folder is linked to from the build folder.
function(meander_header_only target file)
  get_filename_component(folder ${file} DIRECTORY)
  find_path(MEANDER_${folder}_headers ${file} REQUIRED NO_CMAKE_FIND_ROOT_PATH)
  mark_as_advanced(MEANDER_${folder}_headers)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/headers)
  file(CREATE_LINK ${MEANDER_${folder}_headers}/${folder} ${PROJECT_BINARY_DIR}/headers/${folder} SYMBOLIC)
  target_include_directories(${target} SYSTEM PRIVATE ${PROJECT_BINARY_DIR}/headers)
endfunction()
