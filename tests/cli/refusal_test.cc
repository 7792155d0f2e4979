// Apache-2.0. `pivotal eval --refusal` on the tiny model, whose responses all hold "####".
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;

class EvalRefusal : public testing::CliTest {};

TEST_F(EvalRefusal, IsRightWhereTheAnswerIsOneAndWrongElsewhere) {
  data::WriteFile(Path("problems.jsonl"),
                  "{\"id\":\"a\",\"question\":\"Is it so?\",\"answer\":\"####\"}\n"
                  "{\"id\":\"b\",\"question\":\"What is 3*4?\",\"answer\":\"12\"}\n"
                  "{\"id\":\"c\",\"question\":\"What is 3*4?\",\"answer\":[\"12\",\"####\"]}\n");
  const std::string eval =
      "eval --force --temperature 0.01 --max-new-tokens 64 --samples 8 --model " +
      testing::kTinyModel + " --problems " + Path("problems.jsonl") + " --output " + Path("scores");
  const auto refusing = Pivotal(eval + " --oracle hash --refusal '####'");
  ASSERT_EQ(refusing.code, 0) << refusing.output;
  const std::string scores = data::ReadFile(Path("scores"));
  EXPECT_THAT(scores, HasSubstr(R"({"id":"a","samples":8,"successes":8,"greedy":true,"refusals":8,)"
                                R"("greedy_refused":true,"unanswerable":true})"));
  EXPECT_THAT(scores,
              HasSubstr(R"({"id":"b","samples":8,"successes":0,"greedy":false,"refusals":8,)"
                        R"("greedy_refused":true})"));
  EXPECT_THAT(scores, HasSubstr(R"({"id":"c","samples":8,"successes":8,"greedy":true,"refusals":8,)"
                                R"("greedy_refused":true,"unanswerable":true})"));
  EXPECT_THAT(refusing.output, HasSubstr("temperature 0                 66.7%"));
  EXPECT_THAT(refusing.output, HasSubstr("right of the answered          0.0%"));

  // Nobody refuses: the first problem has no answer that is right.
  const auto answering = Pivotal(eval + " --oracle exact --refusal '#####'");
  ASSERT_EQ(answering.code, 0) << answering.output;
  EXPECT_THAT(data::ReadFile(Path("scores")), Not(HasSubstr("unanswerable")));

  // Without a refusal, the oracle must read the answer.
  const auto unread = Pivotal(eval + " --oracle hash");
  EXPECT_NE(unread.code, 0);
  EXPECT_THAT(unread.output, HasSubstr("problem a: the oracle hash finds nothing to compare"));
}

}  // namespace
}  // namespace pivotal
