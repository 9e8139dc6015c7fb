#include <meander/envs/model_spec.h>

#include <vector>

#include <meander/kernels/error.h>

namespace meander {

Spec read_spec(const std::filesystem::path& file, const char* family) {
  if (!std::filesystem::exists(file))
    throw Error(message("the task file ", file.string(), " is missing: run ./meander fetch ", family));
  char reason[1000] = "";
  Spec spec(mj_parseXML(file.c_str(), nullptr, reason, sizeof reason));
  if (!spec) throw Error(message("cannot read ", file.string(), ": ", one_line(reason)));
  return spec;
}

SharedModel compile_spec(mjSpec* spec, const std::filesystem::path& folder,
                         const std::function<void(mjModel&)>& change) {
  mjModel* const model = mj_compile(spec, nullptr);
  if (!model) throw Error(message("cannot compile the model in ", folder.string(), ": ", one_line(mjs_getError(spec))));
  SharedModel owned(model, [](const mjModel* m) { mj_deleteModel(const_cast<mjModel*>(m)); });
  if (change) change(*model);
  return owned;
}

void remove_if(mjSpec* spec, mjtObj kind, const std::function<bool(mjsElement*)>& which) {
  std::vector<mjsElement*> elements;
  for (mjsElement* e = mjs_firstElement(spec, kind); e; e = mjs_nextElement(spec, e))
    if (which(e)) elements.push_back(e);
  for (mjsElement* e : elements)
    if (mjs_delete(e) != 0) throw Failure(message("MuJoCo: ", one_line(mjs_getError(spec))));
}

void remove_all(mjSpec* spec, mjtObj kind) {
  remove_if(spec, kind, [](mjsElement*) { return true; });
}

void attach_to(mjSpec* owner, mjsFrame* frame, const mjsElement* child, const char* prefix) {
  if (!mjs_attach(frame->element, child, prefix, ""))
    throw Failure(message("MuJoCo: ", one_line(mjs_getError(owner))));
}

mjsBody* body_of(mjSpec* spec, const char* name, const std::filesystem::path& file) {
  mjsBody* const body = mjs_findBody(spec, name);
  if (!body) throw Error(message(file.string(), " has no body '", name, "'"));
  return body;
}

int id_of(const mjModel& model, mjtObj kind, const char* name) {
  const int id = mj_name2id(&model, kind, name);
  if (id < 0) throw Error(message("the compiled model has no '", name, "'"));
  return id;
}

}  // namespace meander
