// Protects the verification itself: the recorded references pass through the production code, and a recording that was
// changed in one place fails in that place.
#include <meander/app/verify_reference.h>

#include <doctest/doctest.h>

#include <algorithm>

#include "../altered.h"
#include "../folder.h"
#include "recordings.h"
#include <meander/kernels/error.h>

using namespace meander;
using namespace meander::testing;

namespace {

const std::string updates = MEANDER_TEST_DATA "/mfpo_small.safetensors";
const std::string operations = MEANDER_TEST_DATA "/ops.safetensors";

}  // namespace

TEST_CASE("the recorded operations and updates are met") {
  const SafetensorsFile ops(operations), small(updates);
  CHECK(is_operation_reference(ops));
  CHECK(!is_operation_reference(small));
  CHECK(is_update_reference(small));
  CHECK(!is_update_reference(ops));
  CHECK(failing(verify_operations(ops)).empty());
  const auto lines = verify_updates(small);
  CHECK(failing(lines).empty());
  CHECK(std::ranges::any_of(lines, [](const CheckLine& l) { return l.quantity == "u3/end_to_end/actor"; }));
}

TEST_CASE("a changed number fails where it is, and only there") {
  const Folder folder;
  const auto check_operations = [&](const std::string& tensor) {
    return failing(verify_operations(SafetensorsFile(changed(folder, operations, tensor, 1e-3))));
  };
  CHECK(check_operations("mish/out/y") == std::vector<std::string>{"mish value"});
  CHECK(check_operations("layer/vjp/kernel") == std::vector<std::string>{"layer vjp kernel"});
  const auto check_updates = [&](const std::string& tensor) {
    return failing(verify_updates(SafetensorsFile(changed(folder, updates, tensor, 1e-2))));
  };
  const auto log_prob = check_updates("u2/out/k1_logp");
  CHECK(log_prob.front() == "u2/k1_logp");   // the phases after it take it as their input
  CHECK(std::ranges::count(log_prob, "u2/end_to_end/quantities") == 1);
  // A gradient: its own line, and later Adam's, whose moments carry it along (its first step is the sign alone).
  const auto lines = check_updates("u1/grad/critic1/params/dense_1/kernel");
  REQUIRE(lines.size() >= 2);
  CHECK(lines[0] == "u1/grad/critic1");
  CHECK(std::ranges::all_of(lines, [](const std::string& l) { return l.ends_with("/critic1"); }));
}

TEST_CASE("a recording with a part missing is refused by name") {
  const Folder folder;
  CHECK_THROWS_AS(verify_updates(SafetensorsFile(changed(folder, updates, "u1/noise/k1_z", 0, true))), Error);
  CHECK_THROWS_AS(verify_operations(SafetensorsFile(changed(folder, operations, "mish/tan/x", 0, true))), Error);
}

// Sizes are held against the recorded tensors before anything is made of them.
TEST_CASE("a recording whose settings lie is refused") {
  const Folder folder;
  const auto refused = [&](const std::string& from, const std::string& setting, const std::string& value) {
    Altered file(from);
    std::string& text = file.metadata.at("settings");
    const size_t at = text.find("\"" + setting + "\"");
    REQUIRE(at != text.npos);
    const size_t begin = text.find(':', at) + 1, end = text[text.find_first_not_of(' ', begin)] == '['
                                                          ? text.find(']', begin) + 1 : text.find_first_of(",}", begin);
    text.replace(begin, end - begin, value);
    file.write(folder.file("lies.safetensors"));
    const SafetensorsFile lies(folder.file("lies.safetensors"));
    CAPTURE(setting);
    CAPTURE(value);
    if (is_update_reference(lies)) CHECK_THROWS_AS(verify_updates(lies), Error);
    else CHECK_THROWS_AS(verify_learner(lies), Error);
  };
  for (const char* value : {"-1", "0", "1000000", "4611686018427387904", "1.5", "null"})
    for (const char* setting : {"obs", "act", "batch", "T", "K1", "K2", "atoms", "eval_candidates", "updates"})
      refused(updates, setting, value);
  for (const char* value : {"[]", "[-1,-1,-1]", "[0]", "[4096,4096,4096]", "[64,32]", "[1,1,1,1,1,1,1,1]", "64"})
    for (const char* setting : {"actor_hidden", "critic_hidden"}) refused(updates, setting, value);
  for (const char* setting : {"gamma", "tau", "lr", "alpha_init", "share_r_equals_t"})
    refused(updates, setting, "1e300");
  refused(updates, "N", "0");
  refused(updates, "v_min", "30");
  for (const char* value : {"-1", "0", "1000000", "4611686018427387904"})
    for (const char* name : {"som_default", "sac_tuned", "mvp_split_best", "fql_chunk"})
      for (const char* setting : {"obs", "act", "batch"})
        refused(MEANDER_TEST_DATA "/" + std::string(name) + ".safetensors", setting, value);
  refused(MEANDER_TEST_DATA "/sac_tuned.safetensors", "width", "4096");
}
