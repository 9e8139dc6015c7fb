#pragma once

#include <string>

namespace meander::kernels {

struct DeviceKernels;

// The path of a file that belongs to this program: beside it, in the folder above, or in ../lib/meander. Empty if it is
// in none of these.
std::string find_beside_program(const std::string& file);

// The functions of a device that is no part of this program, from the file meander-NAME.so beside it, which is loaded
// once. `name` as in DeviceKernels: "cuda", "cuda-emulated". Null where
// there is no such file, where it belongs to another version of the program, or where it finds no device; `why` then
// says so.
const DeviceKernels* find_in_module(const char* name, const char** why);

// What a module exports under the name meander_find_device: `table` is sizeof(DeviceKernels) and `version` the version
// of the program that asks. Null, with the reason, if they are not the module's own, or if there is no such device.
using FindDevice = const DeviceKernels*(unsigned long table, const char* version, const char** why);

}  // namespace meander::kernels
