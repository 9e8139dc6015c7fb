#pragma once

#include <cstdint>

// Calls of operator new so far, in all threads (this program replaces it).
int64_t allocations();
