#pragma once

// Memory that must not be touched until it is opened again, where the address sanitizer looks; nothing elsewhere.
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define MEANDER_POISON(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define MEANDER_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define MEANDER_POISON(p, n) ((void)(p), (void)(n))
#define MEANDER_UNPOISON(p, n) ((void)(p), (void)(n))
#endif
