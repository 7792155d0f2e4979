// Apache-2.0. The public class Model.
#include "pivotal/model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/error_text.h"

namespace pivotal {
namespace {

using testing::ErrorText;
using ::testing::HasSubstr;

// The command line checks its own flags; a program may give any number.
TEST(Model, RefusesResponsesWithoutTokens) {
  ModelSettings settings;
  settings.folder = PIVOTAL_SOURCE_DIR "/experiments/tiny/model";
  settings.device = "cpu";
  const Model model = Model::Load(settings);
  const std::vector<Problem> problems = {{"1", "What is 1 + 1?", "2"}};
  EXPECT_EQ(model.Queries(problems, 1).size(), 1u);
  for (const int32_t tokens : {0, -1, INT32_MIN}) {
    const std::string want = fmt::format("max_new_tokens is {}, must be 1 or larger", tokens);
    EXPECT_EQ(ErrorText([&] { (void)model.Queries(problems, tokens); }), want);
    EXPECT_EQ(ErrorText([&] { (void)model.Queries({}, tokens); }), want);
    SamplingSettings sampling;
    sampling.max_new_tokens = tokens;
    EXPECT_EQ(ErrorText([&] { (void)model.MakePolicy(sampling); }), want);
  }
  EXPECT_THAT(ErrorText([&] { (void)model.Queries(problems, INT32_MAX); }),
              HasSubstr("problem 1: a prompt of"));
}

}  // namespace
}  // namespace pivotal
