// Apache-2.0. Answers and responses that oracles read: nothing throws, and a text says what it
// says.
#include "pts/oracles/math_oracle.h"
#include "pts/oracles/math_parser.h"
#include "pts/oracles/numeric_oracle.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const std::string_view text = testing::Text(data, size);
  const auto middle = text.find('\n');
  const std::string_view reference = text.substr(0, middle);
  const std::string_view response =
      middle == std::string_view::npos ? reference : text.substr(middle + 1);
  const pts::MathOracle math;
  math.Judge({"", reference, response});
  pts::NumericOracle().Judge({"", reference, response});
  pts::SameMathText(reference, response);
  if (pts::ParseMath(reference) && !pts::SameMathText(reference, reference)) __builtin_trap();
  return 0;
}
