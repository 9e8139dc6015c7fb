#pragma once

#include <string>
#include <vector>

namespace meander {

// The names of `known` nearest to `name` by edit distance (insert, delete, replace or swap two neighbours; case counts
// for little), in the order of `known` and joined by ", ", for "did you mean". At most three; empty if none is near.
std::string nearest_name(const std::string& name, const std::vector<std::string>& known);

// "; did you mean batch_size?" of the names near to `name`, or else of one whose beginning is (bathc);
// empty if none is.
std::string did_you_mean(const std::string& name, const std::vector<std::string>& known);

}  // namespace meander
