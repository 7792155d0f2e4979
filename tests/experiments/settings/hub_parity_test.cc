// Apache-2.0. Finds the same snapshots and the same files of data sets as huggingface_hub and the
// library datasets. Skips if the Python that CMake was given (PIVOTAL_PYTHON) lacks them; `make
// test-parity` installs them. hub_parity.py runs them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "data/base/hub_cache.h"
#include "experiments/settings/hub_data_files.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Parts = std::map<std::string, std::vector<std::string>>;

TEST(HubParity, SnapshotsAndDataFiles) {
  if (testing::Python("-W ignore -c 'import datasets, huggingface_hub'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON " lacks datasets; run make test-parity";
  const testing::TempDir temp;
  const fs::path cache = temp.path() / "cache", out = temp.path() / "out.json";
  const auto theirs =
      testing::Python("-W ignore " PIVOTAL_SOURCE_DIR "/tests/experiments/settings/hub_parity.py " +
                      cache.string() + " " + out.string());
  ASSERT_EQ(theirs.code, 0) << theirs.output;
  const json found = json::parse(data::ReadFile(out));
  EXPECT_GT(found.size(), 5u);
  ::setenv("HF_HUB_CACHE", cache.c_str(), 1);
  for (const auto& [name, set] : found.items()) {
    SCOPED_TRACE(name);
    const fs::path snapshot = data::HubSnapshot(data::HubKind::kDataset, {name});
    EXPECT_EQ(snapshot, set["snapshot"].get<std::string>());
    Parts parts;
    for (const DataPart& part : DataPartsOf(snapshot).parts) {
      auto& files = parts[part.config + "/" + part.split];
      for (const fs::path& file : part.files)
        files.push_back(file.lexically_relative(snapshot).string());
      std::ranges::sort(files);
    }
    EXPECT_EQ(parts, set["parts"].get<Parts>());
  }
  ::unsetenv("HF_HUB_CACHE");
}

}  // namespace
}  // namespace pivotal::experiments
