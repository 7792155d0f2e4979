// Apache-2.0. Fuzzes the answers and responses that oracles read: nothing throws, a text equals
// itself, the order of two answers does not matter, and a number in its one spelling is the same.
#include "pts/oracles/math/math_oracle.h"
#include "pts/oracles/math/parser.h"
#include "pts/oracles/simple_oracles.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  using namespace pivotal;
  const std::string_view text = testing::Text(data, size);
  const auto middle = text.find('\n');
  const std::string_view reference = text.substr(0, middle);
  const std::string_view response =
      middle == std::string_view::npos ? reference : text.substr(middle + 1);
  pts::MathOracle().Judge({"", reference, response});
  pts::MakeSimpleOracle("numeric")->Judge({"", reference, response});
  pts::MakeSimpleOracle("choice")->Judge({"", reference, response});
  const bool same = pts::SameMathText(reference, response);
  if (same != pts::SameMathText(response, reference)) __builtin_trap();
  if (pts::ParseMath(reference) && !pts::SameMathText(reference, reference)) __builtin_trap();
  const auto numeric = pts::MakeSimpleOracle("numeric");
  const std::string number = *numeric->Answer(response);
  if (!number.empty() && !numeric->SameAnswer(number, number)) __builtin_trap();
  if (*numeric->Answer(number) != number) __builtin_trap();
  const std::string answer = *pts::MathOracle().Answer(response);
  if (!answer.empty() && answer.find_first_not_of("-/0123456789") == std::string::npos &&
      *pts::MathOracle().Answer("\\boxed{" + answer + "}") != answer)
    __builtin_trap();
  return 0;
}
