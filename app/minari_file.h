#pragma once

#include <meander/app/data_files.h>
#include <meander/app/hdf5_file.h>

namespace meander {

bool has_minari_layout(const Hdf5File::Names& root);

// Minari's layout (minari/dataset/_storages/hdf5_storage.py): groups episode_K with actions [N, A], rewards [N],
// terminations [N], truncations [N] and observations [N + 1, S], or a group of such arrays, of which the options say
// which count. The environment is that of env_spec, an attribute of the file or, from Minari 0.5 on, in metadata.json
// beside it; where it is a task of ours whose actions have another range than 1, they are divided by it. Of an episode
// with N observations only, the state after a true end is that before it, and a last step that was cut is dropped.
DataFile read_minari(Hdf5File& file, const DataOptions& options);

}  // namespace meander
