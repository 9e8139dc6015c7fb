#include <meander/app/output_place.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <meander/app/files.h>
#include <meander/core/replacement.h>
#include <meander/kernels/error.h>

namespace meander {

namespace {

namespace fs = std::filesystem;

std::string reason(int error) { return std::strerror(error); }

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(message("cannot write ", path, ": ", why, "; choose another place with --out"));
}

// Makes the file in a new folder for temporary files, as `path` cannot be written. Throws what `make` throws.
std::string made_elsewhere(const std::string& path, const std::function<void(const std::string&)>& make) {
  std::string folder = (fs::temp_directory_path() / "meander-XXXXXX").string();
  if (!mkdtemp(folder.data())) throw Failure(message("cannot write ", folder, ": ", reason(errno)));
  const std::string elsewhere = (fs::path(folder) / fs::path(path).filename()).string();
  try {
    make(elsewhere);
    flush_to_disk(elsewhere);
  } catch (...) {
    std::remove(elsewhere.c_str());
    std::remove(folder.c_str());
    throw;
  }
  return elsewhere;
}

}  // namespace

void flush_to_disk(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw Failure(message("cannot write ", path, ": ", reason(errno)));
  try {
    flush_file(file, path);
  } catch (...) {
    close(file);
    throw;
  }
  close(file);
}

std::string free_name_beside(const std::string& path) {
  static std::atomic<int> count = 0;
  const fs::path place(path);
  for (;;) {
    std::string extension = place.extension().string();
    if (extension.size() > 16) extension.clear();
    const fs::path name = place.parent_path() / message(".meander-", getpid(), "-", count++, extension);
    struct stat there;
    if (lstat(name.c_str(), &there) != 0) return name.string();
  }
}

void put_in_place(const std::string& from, const std::string& path, OutputPlace::Existing existing) {
  const bool keep = existing == OutputPlace::kept;
  int failed = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, path.c_str(), keep ? RENAME_NOREPLACE : 0);
  if (failed && keep && (errno == EINVAL || errno == ENOSYS))  // not every file system can
    failed = link(from.c_str(), path.c_str()) || unlink(from.c_str());
  if (failed)
    throw Failure(message("cannot write ", path, ": ", reason(errno), "; what was made is in ", from));
  flush_folder(fs::path(path).parent_path().string());
}

void expect_place_for(const std::string& path) {
  struct stat there;
  if (lstat(path.c_str(), &there) != 0 && errno != ENOENT) refuse(path, reason(errno));
  const fs::path folder = fs::path(path).parent_path();
  std::error_code ignored;
  if (!folder.empty() && !fs::is_directory(folder, ignored)) refuse(path, "there is no folder " + folder.string());
  try {  // with something in it, for a full disk takes empty files
    const std::string trial = free_name_beside(path);
    replace_file(trial, std::string(512, ' '));
    std::remove(trial.c_str());
  } catch (const Failure& failure) {
    const std::string what = failure.what();
    refuse(path, what.substr(what.rfind(": ") + 2));
  }
}

OutputPlace::OutputPlace(std::string path, Existing existing) : path_(std::move(path)), existing_(existing) {
  struct stat there;
  if (lstat(path_.c_str(), &there) == 0) {
    if (S_ISDIR(there.st_mode)) refuse(path_, "there is a folder of this name");
    if (!S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode))
      refuse(path_, "there is something of this name that is no file");
  }
  expect_place_for(path_);
}

void OutputPlace::put(const std::function<void(const std::string& name)>& make) const {
  const std::string beside = free_name_beside(path_);
  try {
    make(beside);
    flush_to_disk(beside);
  } catch (const Failure& failure) {
    std::remove(beside.c_str());
    std::string why = failure.what();
    for (const std::string& name : {beside + ".partial", beside})
      if (const size_t at = why.find(name); at != why.npos) why.replace(at, name.size(), path_);
    std::string elsewhere;
    try {
      elsewhere = made_elsewhere(path_, make);
    } catch (const std::exception&) {
      throw Failure(why);
    }
    throw Failure(message(why, "; what was made is in ", elsewhere));
  }
  put_in_place(beside, path_, existing_);
}

void OutputPlace::put(std::string_view bytes) const {
  put([&](const std::string& name) { replace_file(name, bytes); });
}

}  // namespace meander
