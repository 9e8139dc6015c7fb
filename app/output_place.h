#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace meander {

// Where a file goes that the user asked for. Made before the work, which may take hours: what can be wrong with the
// place is said then. Beside the place only files are written and removed that were not there before.
class OutputPlace {
 public:
  enum Existing { replaced, kept };  // what becomes of a file that is there in the end

  // Writes and removes a file beside it. Throws Error where nothing can be written, or `path` is there and no file.
  explicit OutputPlace(std::string path, Existing existing = replaced);

  const std::string& path() const { return path_; }

  // `make` writes a file of the name that it gets; it is then put into its place, on the disk. What cannot get there is
  // kept, in the same folder or that for temporary files: the Failure thrown says where.
  void put(const std::function<void(const std::string& name)>& make) const;
  void put(std::string_view bytes) const;

 private:
  std::string path_;
  Existing existing_;
};

// Throws Error if nothing can be made there: no such folder, no permission, a name too long, a full disk.
void expect_place_for(const std::string& path);

// A name in the folder of `path`, short and with its extension, that nothing has yet.
std::string free_name_beside(const std::string& path);

// Flushes a file that another program has written. Throws Failure.
void flush_to_disk(const std::string& path);

// Renames what was flushed, and flushes the folder: from here on a loss of power leaves it. Throws Failure with the
// reason, and that what was made is in `from`.
void put_in_place(const std::string& from, const std::string& path, OutputPlace::Existing existing);

}  // namespace meander
