// Apache-2.0. Compares the math oracle with math-verify: counts how often each decides the pairs of
// this folder as they are labelled. Where the two differ the labels are right; the counts show when
// a change moves away from the field.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "pts/oracles/math/math_oracle.h"
#include "tests/support/run_command.h"

namespace pivotal::pts {
namespace {

struct Counts {
  int pairs = 0, ours = 0, theirs = 0, agree = 0;
};

const std::string kFolder = PIVOTAL_SOURCE_DIR "/tests/pts/oracles/math/";

// Skips the test if math-verify is not installed. `want`: the label of all pairs in the file.
void Compare(const std::string& name, bool want, Counts& counts) {
  const std::string command = PIVOTAL_PYTHON " " + kFolder + "math_parity.py " + kFolder + name;
  const auto result = testing::RunCommand(command + " 2>/dev/null");
  if (result.code == 77)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks math-verify; run make test-parity";
  ASSERT_EQ(result.code, 0) << result.output;
  std::istringstream verdicts(result.output);
  std::ifstream file(kFolder + name);
  for (std::string line; std::getline(file, line);) {
    const auto middle = line.find(" ~ ");
    if (line.starts_with('#') || middle == std::string::npos) continue;
    std::string verdict;
    ASSERT_TRUE(std::getline(verdicts, verdict)) << line;
    const bool same = SameMathText(line.substr(0, middle), line.substr(middle + 3));
    const bool theirs = verdict == "1";
    ++counts.pairs;
    counts.ours += same == want;
    counts.theirs += theirs == want;
    counts.agree += theirs == same;
    if (theirs != same) std::printf("math-verify says %s: %s\n", verdict.c_str(), line.c_str());
  }
}

void Report(const char* what, const Counts& counts) {
  std::printf("%s: %d pairs, right here %d, in math-verify %d, verdicts equal %d\n", what,
              counts.pairs, counts.ours, counts.theirs, counts.agree);
  EXPECT_EQ(counts.ours, counts.pairs);
  EXPECT_GE(counts.agree * 100, counts.pairs * 70);  // it reads few words and no sets of reals
}

TEST(MathVerifyParity, PairsThatSayTheSame) {
  Counts counts;
  Compare("math_same.txt", true, counts);
  if (!IsSkipped() && !HasFatalFailure()) Report("same", counts);
}

TEST(MathVerifyParity, PairsThatDiffer) {
  Counts counts;
  Compare("math_different.txt", false, counts);
  if (!IsSkipped() && !HasFatalFailure()) Report("different", counts);
}

}  // namespace
}  // namespace pivotal::pts
