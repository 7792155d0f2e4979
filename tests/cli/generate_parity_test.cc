// Apache-2.0. pivotal generate says what transformers says, with the chat template of an instruct
// model, its end of turn and a system message. Skipped where PIVOTAL_PYTHON lacks transformers.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

using testing::Python;
using testing::RunCommand;

const std::string kSmall = PIVOTAL_SOURCE_DIR "/experiments/small";

TEST(GenerateParity, AnswersOfTheSmallModel) {
  if (Python("-c 'import torch, transformers, jinja2'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks transformers or jinja2; run make test-parity";
  const testing::TempDir temp;
  const std::string file = (temp.path() / "questions.jsonl").string();
  RunCommand("head -n 8 " + kSmall + "/problems/heldout.jsonl > " + file);
  for (const std::string system : {"", "Work step by step."}) {
    const auto theirs = Python(PIVOTAL_SOURCE_DIR "/tests/cli/generate_parity.py " + kSmall +
                               "/model " + file + " '" + system + "'");
    ASSERT_EQ(theirs.code, 0) << theirs.output;
    std::ifstream questions(file), responses(file + ".out");
    int count = 0;
    for (std::string question, response;
         std::getline(questions, question) && std::getline(responses, response); ++count) {
      temp.Write("question", nlohmann::json::parse(question)["question"].get<std::string>());
      const auto ours = RunCommand(PIVOTAL_BINARY " generate --model " + kSmall +
                                   "/model --temperature 0 --max-new-tokens 160 --system '" +
                                   system + "' - < " + (temp.path() / "question").string());
      EXPECT_EQ(ours.output, nlohmann::json::parse(response).get<std::string>() + "\n") << question;
    }
    EXPECT_EQ(count, 8);
  }
}

}  // namespace
}  // namespace pivotal
