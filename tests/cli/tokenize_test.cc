// Apache-2.0. pivotal tokenize, with a model folder that has no weights.
#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"
#include "tests/support/small_tokenizers.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Tokenize : public testing::CliTest {
 protected:
  Tokenize() { temp_.Write("tokenizer.json", testing::kByteFallbackJson); }
  testing::CommandResult Run(const std::string& input, const std::string& output,
                             const std::string& more = "") const {
    return testing::Pivotal("tokenize --model " + temp_.path().string() + " --input " + input +
                            " --output " + output + " " + more);
  }
};

TEST_F(Tokenize, ThereAndBack) {
  temp_.Write("in.txt", "a bc abc\n\na tool\r\n");
  const auto result = Run(Path("in.txt"), Path("out.jsonl"));
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(result.output, "3 lines, 6 tokens in " + Path("out.jsonl") + "\n");
  EXPECT_EQ(data::ReadFile(Path("out.jsonl")), "[14, 10, 15, 16]\n[]\n[14, 17]\n");
  EXPECT_EQ(Run(Path("out.jsonl"), Path("back.txt"), "--decode").code, 0);
  EXPECT_EQ(data::ReadFile(Path("back.txt")), "a bc abc\n\na tool\n");
  EXPECT_EQ(Run(Path("in.txt"), "-", "--add-special").output,
            "[1, 14, 10, 15, 16]\n[1]\n[1, 14, 17]\n3 lines, 9 tokens in standard output\n");
  EXPECT_EQ(Run("- < " + Path("in.txt"), "-").output,
            "[14, 10, 15, 16]\n[]\n[14, 17]\n3 lines, 6 tokens in standard output\n");
}

TEST_F(Tokenize, BadInputIsOneLineAndLeavesNoFile) {
  temp_.Write("in.txt", "a\n\xFF\n");
  const auto expect = [&](const std::string& input, const std::string& more, const char* text) {
    const auto result = Run(input, Path("out"), more);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.output, HasSubstr(text));
    EXPECT_EQ(std::count(result.output.begin(), result.output.end(), '\n'), 1) << result.output;
    EXPECT_FALSE(fs::exists(Path("out")));
  };
  expect(Path("in.txt"), "", "in.txt:2: text is not UTF-8 at byte 0 (0xFF)");
  expect(Path("in.txt"), "--decode", "in.txt:1: an array of token ids is needed");
  expect(Path("none.txt"), "", "none.txt: no such file");
  expect(Path(""), "", "is a folder");
  EXPECT_EQ(Run(Path("in.txt"), Path("out"), "--decode --add-special").code, 2);
  EXPECT_THAT(Run(Path("in.txt"), Path("in.txt")).output, HasSubstr("exists already"));
}

}  // namespace
}  // namespace pivotal
