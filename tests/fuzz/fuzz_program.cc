// Apache-2.0. Fuzzes how the program of a response is found: nothing throws, and there is always a
// reading.
#include "pts/oracles/code/program_text.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const std::vector<std::string> names = {"f", "g"};
  const auto found = pts::FindProgram(testing::Text(data, size), names);
  if (pts::ProgramReadings(found.text).empty()) __builtin_trap();
  if (pts::CompletionReadings(found.text, "f").empty()) __builtin_trap();
  pts::IsCompletion(found.text, "f");
  return 0;
}
