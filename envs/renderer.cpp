#include <meander/envs/renderer.h>

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <meander/kernels/error.h>
#include <meander/envs/gl_context.h>
#include <meander/envs/mujoco.h>

namespace meander {
namespace {

constexpr int most_shapes = 10'000;

const MujocoEnvironment& simulated(const Environment& environment) {
  if (const auto* const one = dynamic_cast<const MujocoEnvironment*>(&environment)) return *one;
  throw Error(environment.info().name + " is not simulated by MuJoCo, which alone can draw pictures");
}

int default_camera(const mjModel& model) {
  for (int i = 0; i < model.ncam; ++i)
    if (model.cam_mode[i] == mjCAMLIGHT_TRACK || model.cam_mode[i] == mjCAMLIGHT_TRACKCOM) return i;
  return model.ncam > 0 ? 0 : -1;
}

// The number of the camera; -1: the free one.
int find_camera(const mjModel& model, const std::string& wanted, const std::string& task) {
  if (wanted.empty()) return default_camera(model);
  if (wanted == "free") return -1;
  std::string known;
  for (int i = 0; i < model.ncam; ++i) {
    const char* const name = mj_id2name(&model, mjOBJ_CAMERA, i);
    if (wanted == std::to_string(i) || (name && wanted == name)) return i;
    known += message(i, name ? message(" (", name, ")") : "", ", ");
  }
  throw Error(message(task, " has no camera '", wanted, "': there are ", known, "free"));
}

// Aims the free camera at what is there but floors: the model's own idea of its middle and size counts these.
void frame_all(const mjModel& model, const mjData& data, mjvCamera& camera) {
  double low[3], high[3];
  std::fill_n(low, 3, mjMAXVAL);
  std::fill_n(high, 3, -mjMAXVAL);
  for (int geom = 0; geom < model.ngeom; ++geom) {
    if (model.geom_type[geom] == mjGEOM_PLANE) continue;
    const double *const box = model.geom_aabb + 6 * geom, *const rotation = data.geom_xmat + 9 * geom;
    for (int i = 0; i < 3; ++i) {
      double middle = data.geom_xpos[3 * geom + i], half = 0;
      for (int j = 0; j < 3; ++j) {
        middle += rotation[3 * i + j] * box[j];
        half += std::fabs(rotation[3 * i + j]) * box[3 + j];
      }
      low[i] = std::min(low[i], middle - half);
      high[i] = std::max(high[i], middle + half);
    }
  }
  double squares = 0;
  for (int i = 0; i < 3; ++i) {
    if (low[i] > high[i]) return;  // floors only
    camera.lookat[i] = (low[i] + high[i]) / 2;
    squares += (high[i] - low[i]) * (high[i] - low[i]);
  }
  camera.distance = 1.1 * std::sqrt(squares);  // the picture is .83 high at a distance of 1
}

}  // namespace

struct Renderer::Stage {
  const MujocoEnvironment& environment;
  SharedModel shared;
  mjModel model;  // the struct alone: its pointers lead to the shared arrays
  GlContext context;
  std::unique_ptr<mjData, void (*)(mjData*)> data;
  mjvCamera camera;
  mjvOption option;
  mjvScene scene;
  mjrContext resources;
  mjrRect frame;
  std::vector<unsigned char> upside_down, picture;

  Stage(const MujocoEnvironment& drawn, int width, int height, int number)
      : environment(drawn), shared(drawn.drawn_model()), model(*shared), data(mj_makeData(&model), mj_deleteData),
        frame{0, 0, width, height}, upside_down(static_cast<size_t>(3) * width * height),
        picture(upside_down.size()) {
    mjv_defaultFreeCamera(&model, &camera);
    camera.fixedcamid = number;
    if (number >= 0) camera.type = mjCAMERA_FIXED;
    model.vis.global.offwidth = width;
    model.vis.global.offheight = height;
    mjv_defaultOption(&option);
    mjv_defaultScene(&scene);
    mjr_defaultContext(&resources);
    mjr_makeContext(&model, &resources, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &resources);
    if (resources.currentBuffer != mjFB_OFFSCREEN) {
      mjr_freeContext(&resources);
      throw Failure("this machine's OpenGL cannot draw into memory");
    }
    mjv_makeScene(&model, &scene, most_shapes);
    copy_state();
    frame_all(model, *data, camera);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() {
    mjv_freeScene(&scene);
    mjr_freeContext(&resources);
  }

  // After a step the simulation's own poses are those before its last time step; the copy's are of the state itself.
  void copy_state() {
    mj_setState(&model, data.get(), environment.integration_state().data(), mjSTATE_INTEGRATION);
    mj_fwdPosition(&model, data.get());
  }
};

Renderer::Renderer(const Environment& environment, int width, int height, const std::string& camera) {
  const MujocoEnvironment& drawn = simulated(environment);
  const int number = find_camera(*drawn.shared_model(), camera, environment.info().name);
  prepare_mujoco();
  stage_ = std::make_unique<Stage>(drawn, width, height, number);
}

Renderer::~Renderer() = default;

std::span<const unsigned char> Renderer::draw() {
  Stage& s = *stage_;
  s.copy_state();
  mjv_updateScene(&s.model, s.data.get(), &s.option, nullptr, &s.camera, mjCAT_ALL, &s.scene);
  mjr_render(s.frame, &s.scene, &s.resources);
  mjr_readPixels(s.upside_down.data(), nullptr, s.frame, &s.resources);
  const size_t row = static_cast<size_t>(3) * s.frame.width;
  for (auto from = s.upside_down.end(), to = s.picture.begin(); to != s.picture.end(); to += row)
    std::copy_n(from -= row, row, to);
  return s.picture;
}

double Renderer::interval() const { return stage_->environment.control_interval(); }

}  // namespace meander
