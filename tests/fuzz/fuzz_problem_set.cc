// Apache-2.0. Fuzzes problem files: they load, and save to a file that loads as the same problems.
// Each input is read as JSON lines, as CSV and as each data set.
#include "pivotal/problem.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const std::string_view text = testing::Text(data, size);
  if (text.starts_with("PAR1")) return 0;  // Python reads it
  const auto csv = testing::Folder().Write("problems.csv", text);
  testing::AllowError([&] { LoadProblems(csv, DatasetOptions("gpqa")); });
  const auto path = testing::Folder().Write("problems.jsonl", text);
  for (const std::string& set : DatasetNames())
    testing::AllowError([&] { LoadProblems(path, DatasetOptions(set)); });
  testing::AllowError([&] {
    const auto problems = LoadProblems(path);
    SaveProblems(testing::Folder().path() / "again.jsonl", problems);
    if (LoadProblems(testing::Folder().path() / "again.jsonl").size() != problems.size())
      __builtin_trap();
  });
  return 0;
}
