#include <meander/app/run_folder.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include <meander/core/replacement.h>
#include <meander/core/text.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

// What a run writes before its first step ends.
bool is_of_a_start(const std::string& name) {
  for (const char* file : {run_file::config, run_file::metrics, run_file::log})
    if (name == file || name == std::string(file) + ".partial") return true;
  return is_events_name(name);
}

// Creates a folder and those it lies in; `made` gets those that were not there. On the disk, too: a checkpoint outlasts
// a loss of power only if its folder does.
void create_folders(const std::string& folder, std::vector<std::string>& made, std::error_code& error) {
  std::vector<fs::path> missing;
  for (fs::path path = folder; !path.empty() && !fs::exists(path, error); path = path.parent_path())
    if (path.has_filename()) missing.push_back(path);
  error.clear();
  for (; !missing.empty() && !error; missing.pop_back()) {
    if (!fs::create_directory(missing.back(), error)) continue;
    made.push_back(missing.back().string());
    flush_folder(missing.back().parent_path().string());
  }
  if (!error && !fs::is_directory(folder)) error = std::make_error_code(std::errc::not_a_directory);
}

[[noreturn]] void refuse_used(const std::string& folder) {
  const bool run = fs::exists(folder + "/" + run_file::config);
  throw Error(message("--out ", folder, ": this folder is not empty; choose another",
                      run ? ", or go on with it: --resume " + shell_quoted(folder) : ""));
}

std::string create(const std::string& out, const RunConfig& config, std::vector<std::string>& made) {
  std::error_code error;
  std::string folder = out;
  if (out.empty()) {
    const std::string base = fmt::format("runs/{}-s{}-{:%Y%m%d-%H%M%S}",
                                         safe_file_name(config.algorithm + "-" + config.environment),
                                         config.training.seed, fmt::localtime(std::time(nullptr)));
    create_folders("runs", made, error);
    folder = base;
    for (int n = 2; !error && !fs::create_directory(folder, error); ++n) folder = message(base, "-", n);
    if (!error) made.push_back(folder), flush_folder("runs");
  } else {
    create_folders(folder, made, error);
    if (!error && !is_unused(folder)) refuse_used(folder);
  }
  if (!error && access(folder.c_str(), W_OK) != 0) error = {errno, std::generic_category()};
  if (error)
    throw Error(message("cannot write to the run folder ", folder, ": ", error.message(),
                        "; choose another with --out"));
  return folder;
}

void remove_folders(const std::vector<std::string>& made) {
  for (auto folder = made.rbegin(); folder != made.rend(); ++folder) rmdir(folder->c_str());  // an empty one
}

}  // namespace

bool is_events_name(const std::string& name) {
  const std::string begin = run_file::events, end = ".meander";
  if (!name.starts_with(begin) || !name.ends_with(end) || name.size() <= begin.size() + end.size()) return false;
  const std::string time = name.substr(begin.size(), name.size() - begin.size() - end.size());
  return time.size() <= 18 && time.find_first_not_of("0123456789") == time.npos;
}

bool is_unused(const std::string& folder) {
  std::error_code error;
  if (!fs::exists(folder, error)) return true;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!Claim::is_claim(name) && name != std::string(run_file::config) + ".partial") return false;
  }
  if (error) throw Failure(message("cannot look into the folder ", folder, ": ", error.message()));
  return true;
}

std::string create_run_folder(const std::string& out, const RunConfig& config) {
  std::vector<std::string> made;
  try {
    return create(out, config, made);
  } catch (...) {
    remove_folders(made);
    throw;
  }
}

NewRunFolder::NewRunFolder(const std::string& out, const RunConfig& config) {
  try {
    path_ = create(out, config, made_);
    claim_.emplace(path_, Claim::in(path_));
    if (!is_unused(path_)) refuse_used(path_);  // another process was faster, and has ended
  } catch (...) {
    claim_.reset();
    remove_folders(made_);
    throw;
  }
}

NewRunFolder::~NewRunFolder() {
  if (kept_) return;
  std::error_code ignored;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path_, ignored))
    if (is_of_a_start(entry.path().filename().string())) files.push_back(entry.path());
  for (const fs::path& file : files) fs::remove(file, ignored);
  claim_.reset();
  remove_folders(made_);
}

}  // namespace meander
