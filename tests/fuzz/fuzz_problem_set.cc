// Apache-2.0. Fuzzes problem files: they load, and save to a file that loads as the same problems.
#include "pivotal/problem.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const auto path = testing::Folder().Write("problems.jsonl", testing::Text(data, size));
  testing::AllowError([&] {
    const auto problems = LoadProblems(path);
    SaveProblems(testing::Folder().path() / "again.jsonl", problems);
    if (LoadProblems(testing::Folder().path() / "again.jsonl").size() != problems.size())
      __builtin_trap();
  });
  return 0;
}
