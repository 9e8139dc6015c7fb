# The target Meander::zip. Not by libzip's own configuration, which wants tools of other packages.
find_path(MEANDER_ZIP_HEADERS zip.h)
find_library(MEANDER_ZIP zip)
mark_as_advanced(MEANDER_ZIP_HEADERS MEANDER_ZIP)
if(NOT MEANDER_ZIP_HEADERS OR NOT MEANDER_ZIP)
  message(FATAL_ERROR "Meander's command needs libzip (libzip-dev)")
endif()
if(NOT TARGET Meander::zip)
  add_library(Meander::zip UNKNOWN IMPORTED GLOBAL)
  set_target_properties(Meander::zip PROPERTIES
    IMPORTED_LOCATION ${MEANDER_ZIP} INTERFACE_INCLUDE_DIRECTORIES ${MEANDER_ZIP_HEADERS})
endif()
