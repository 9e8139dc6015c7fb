# The target Meander::hdf5, if libhdf5 is here. Not by CMake's own search, which asks the wrapper of another compiler.
find_path(MEANDER_HDF5_HEADERS hdf5.h PATH_SUFFIXES hdf5/serial)
find_library(MEANDER_HDF5_LIBRARY NAMES hdf5_serial hdf5)
mark_as_advanced(MEANDER_HDF5_HEADERS MEANDER_HDF5_LIBRARY)
if(MEANDER_HDF5_HEADERS AND MEANDER_HDF5_LIBRARY)
  add_library(Meander::hdf5 UNKNOWN IMPORTED)
  set_target_properties(Meander::hdf5 PROPERTIES
    IMPORTED_LOCATION ${MEANDER_HDF5_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${MEANDER_HDF5_HEADERS}
    INTERFACE_COMPILE_DEFINITIONS H5_USE_110_API)
endif()
