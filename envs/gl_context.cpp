#include <meander/envs/gl_context.h>

#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>
#include <vector>

#include <meander/kernels/error.h>

namespace meander {
namespace {

// What we use of EGL and OSMesa is declared here, for their headers need not be on this machine.
using Handle = void*;

Handle open_first(std::initializer_list<const char*> names) {
  for (const char* const name : names)
    if (const Handle library = dlopen(name, RTLD_NOW | RTLD_GLOBAL)) return library;
  return nullptr;
}

template <class F>
F* function(Handle library, const char* name) {
  return reinterpret_cast<F*>(dlsym(library, name));
}

// ---- EGL -----------------------------------------------------------------------------------------------------------

namespace egl {

constexpr int none = 0x3038;
constexpr unsigned opengl_api = 0x30A2, platform_device = 0x313F, platform_surfaceless = 0x31DD;
// A small picture in memory to make the context current with: what is drawn goes to a buffer of MuJoCo's.
constexpr int configuration[] = {0x3033, 1,                                   // surface type: in memory
                                 0x3040, 8,                                   // renderable type: OpenGL
                                 0x3024, 8, 0x3023, 8, 0x3022, 8, 0x3025, 24,  // red, green, blue, depth
                                 none};
constexpr int surface_size[] = {0x3057, 16, 0x3056, 16, none};  // width, height

struct Functions {
  Handle (*proc_address)(const char*);
  Handle (*get_display)(Handle native);
  unsigned (*initialize)(Handle display, int* major, int* minor);
  unsigned (*choose_config)(Handle display, const int* wanted, Handle* found, int size, int* count);
  unsigned (*bind_api)(unsigned api);
  Handle (*create_context)(Handle display, Handle config, Handle shared, const int* attributes);
  Handle (*create_surface)(Handle display, Handle config, const int* attributes);
  unsigned (*make_current)(Handle display, Handle draw, Handle read, Handle context);
  unsigned (*destroy_surface)(Handle display, Handle surface);
  unsigned (*destroy_context)(Handle display, Handle context);

  explicit Functions(Handle library) {
    const auto find = [&]<class F>(F*& f, const char* name) { f = function<F>(library, name); };
    find(proc_address, "eglGetProcAddress");
    find(get_display, "eglGetDisplay");
    find(initialize, "eglInitialize");
    find(choose_config, "eglChooseConfig");
    find(bind_api, "eglBindAPI");
    find(create_context, "eglCreateContext");
    find(create_surface, "eglCreatePbufferSurface");
    find(make_current, "eglMakeCurrent");
    find(destroy_surface, "eglDestroySurface");
    find(destroy_context, "eglDestroyContext");
  }
};

// Every graphics card, then what needs none. Mesa lists its software renderer as the last card.
std::vector<Handle> displays(const Functions& egl) {
  std::vector<Handle> all;
  const auto query = reinterpret_cast<unsigned (*)(int, Handle*, int*)>(egl.proc_address("eglQueryDevicesEXT"));
  const auto open =
      reinterpret_cast<Handle (*)(unsigned, Handle, const int*)>(egl.proc_address("eglGetPlatformDisplayEXT"));
  if (query && open) {
    Handle devices[16];
    int count = 0;
    if (query(16, devices, &count))
      for (int i = 0; i < count; ++i) all.push_back(open(platform_device, devices[i], nullptr));
  }
  if (open) all.push_back(open(platform_surfaceless, nullptr, nullptr));
  all.push_back(egl.get_display(nullptr));
  return all;
}

// What ends the context; empty if this display gives none. A display stays initialised: others may be using it.
std::function<void()> start(const Functions& egl, Handle display) {
  Handle config;
  int major, minor, count = 0;
  if (!display || !egl.initialize(display, &major, &minor) || !egl.bind_api(opengl_api) ||
      !egl.choose_config(display, configuration, &config, 1, &count) || count == 0)
    return {};
  const Handle context = egl.create_context(display, config, nullptr, nullptr);
  if (!context) return {};
  const Handle surface = egl.create_surface(display, config, surface_size);
  const bool current = surface && egl.make_current(display, surface, surface, context);
  const auto release = [=] {
    if (current) egl.make_current(display, nullptr, nullptr, nullptr);
    if (surface) egl.destroy_surface(display, surface);
    egl.destroy_context(display, context);
  };
  if (current) return release;
  release();
  return {};
}

}  // namespace egl

std::function<void()> start_egl() {
  setenv("EGL_LOG_LEVEL", "fatal", 0);  // a card that this user may not use is no news
  const Handle library = open_first({"libEGL.so.1"});
  if (!library) return {};
  const egl::Functions functions(library);
  for (const Handle display : egl::displays(functions))
    if (auto release = egl::start(functions, display)) return release;
  dlclose(library);  // MuJoCo asks the platform library that it finds for OpenGL's functions
  return {};
}

// ---- OSMesa --------------------------------------------------------------------------------------------------------

std::function<void()> start_osmesa() {
  constexpr unsigned rgba = 0x1908, unsigned_byte = 0x1401;
  const Handle library = open_first({"libOSMesa.so.8", "libOSMesa.so.6"});
  if (!library) return {};
  const auto create = function<Handle(unsigned, int, int, int, Handle)>(library, "OSMesaCreateContextExt");
  const auto make_current = function<unsigned char(Handle, void*, unsigned, int, int)>(library, "OSMesaMakeCurrent");
  const auto destroy = function<void(Handle)>(library, "OSMesaDestroyContext");
  static unsigned char picture[16 * 16 * 4];
  const Handle context = create(rgba, 24, 8, 0, nullptr);
  if (!context) return {};
  const auto release = [=] { destroy(context); };
  if (make_current(context, picture, unsigned_byte, 16, 16)) return release;
  release();
  return {};
}

}  // namespace

GlContext::GlContext() {
  release_ = start_egl();
  if (!release_) release_ = start_osmesa();
  if (!release_)
    throw Failure("no OpenGL to draw with, by neither EGL nor OSMesa: apt-get install libegl1 libgl1-mesa-dri");
}

}  // namespace meander
