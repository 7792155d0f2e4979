// Apache-2.0. Problem files.
#include "data/problem_set.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const auto path = testing::Folder().Write("problems.jsonl", testing::Text(data, size));
  testing::AllowError([&] {
    const auto problems = data::LoadProblems(path);
    data::SaveProblems(testing::Folder().path() / "again.jsonl", problems);
    if (data::LoadProblems(testing::Folder().path() / "again.jsonl").size() != problems.size()) __builtin_trap();
  });
  return 0;
}
