#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include <mujoco/mujoco.h>

#include <meander/envs/mujoco.h>

namespace meander {

// MuJoCo's models as they are put together of parts before they are compiled (mjSpec), with its errors as exceptions.
// For envs/*.cpp alone, since MuJoCo's own headers stay there.
struct DeleteSpec { void operator()(mjSpec* spec) const { mj_deleteSpec(spec); } };
using Spec = std::unique_ptr<mjSpec, DeleteSpec>;

// The part in an XML file. Throws Error if the file is damaged or missing: `family` is what ./meander fetch calls it.
Spec read_spec(const std::filesystem::path& file, const char* family);

// The compiled model, after `change`. Throws Error with the folder if MuJoCo cannot compile it.
SharedModel compile_spec(mjSpec* spec, const std::filesystem::path& folder,
                         const std::function<void(mjModel&)>& change = nullptr);

// Deletes all elements of a kind of which `which` is true.
void remove_if(mjSpec* spec, mjtObj kind, const std::function<bool(mjsElement*)>& which);
void remove_all(mjSpec* spec, mjtObj kind);

// Hangs a part, or a body of one, into a frame of `owner`; its names get the prefix. What is attached must live until
// compile_spec. Throws Failure with MuJoCo's reason.
void attach_to(mjSpec* owner, mjsFrame* frame, const mjsElement* child, const char* prefix);

// Throw Error naming the file or model if it has nothing of that name, so that a damaged file is said and not followed.
mjsBody* body_of(mjSpec* spec, const char* name, const std::filesystem::path& file);
int id_of(const mjModel& model, mjtObj kind, const char* name);

}  // namespace meander
