// Apache-2.0. docs/commands.md repeats the help texts of the program.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "tests/support/run_command.h"

namespace pivotal {
namespace {

using testing::RunCommand;

TEST(CommandsPage, IsWhatTheProgramSays) {
  std::ifstream file(PIVOTAL_SOURCE_DIR "/docs/commands.md");
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  const auto made =
      RunCommand("python3 " PIVOTAL_SOURCE_DIR "/docs/commands.py " + std::string(PIVOTAL_BINARY));
  ASSERT_EQ(made.code, 0) << made.output;
  EXPECT_GT(made.output.size(), 10000u);
  EXPECT_TRUE(made.output == page)
      << "docs/commands.md differs from the help texts; regenerate it:\n"
         "docs/commands.py build/release/bin/pivotal > docs/commands.md";
}

}  // namespace
}  // namespace pivotal
