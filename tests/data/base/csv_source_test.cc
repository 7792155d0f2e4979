// Apache-2.0. Python's csv module reads the same texts.
#include "data/base/csv_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/json_input.h"
#include "tests/support/error_text.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using ::testing::EndsWith;
using testing::ErrorText;

class Csv : public ::testing::Test {
 protected:
  std::vector<nlohmann::json> Rows(const std::string& text, const std::string& name = "f.csv") {
    JsonLineReader lines(folder_.Write(name, text));
    std::vector<nlohmann::json> rows;
    for (nlohmann::json row; lines.Next(row);) rows.push_back(row);
    return rows;
  }

  testing::TempDir folder_;
};

TEST_F(Csv, RowsAreThoseOfPython) {
  const std::string texts[] = {
      "a,b\n1,2\n",
      "a,b\r\n1,2\r\n3,",
      "\xEF\xBB\xBF"
      "a,b\n,\n\n1,2",
      "a,\"b, c\"\n\"line\nbreak\",\"\"\"quoted\"\" \xC3\xA9\"\n\"\",\"\"\"\"\n",
      "one\n1\n\n2\n",
      "a,b\n\" x \", y \n",
      "only,names\n",
      ""};
  for (const std::string& text : texts) {
    const auto file = folder_.Write("f.csv", text);
    const auto python = testing::Python(
        "-c 'import csv, json, sys\n"
        "rows = csv.DictReader(open(sys.argv[1], newline=\"\", encoding=\"utf-8-sig\"))\n"
        "print(json.dumps(list(rows)))' " +
        file.string());
    ASSERT_EQ(python.code, 0) << python.output;
    EXPECT_EQ(nlohmann::json(Rows(text)), nlohmann::json::parse(python.output)) << text;
  }
}

TEST_F(Csv, IsKnownByItsNameUnlessItHoldsObjects) {
  EXPECT_EQ(Rows("a\n1\n", "F.CSV").at(0), nlohmann::json({{"a", "1"}}));
  EXPECT_EQ(Rows("{\"a\": 1}\n", "lines.csv").at(0), nlohmann::json({{"a", 1}}));
  EXPECT_ANY_THROW(Rows("a\n1\n", "f.jsonl"));
}

TEST_F(Csv, FaultsNameTheRecord) {
  EXPECT_THAT(ErrorText([&] { Rows("a,b\n1,2\n3\n"); }),
              EndsWith("f.csv:2: 1 values for 2 columns"));
  EXPECT_THAT(ErrorText([&] { Rows("a,b\n1,\"2\n3,4\n"); }),
              EndsWith("f.csv:1: a quote is not closed"));
  EXPECT_THAT(ErrorText([&] { Rows("a,a\n1,2\n"); }),
              EndsWith("f.csv: two columns are named \"a\""));
  EXPECT_THAT(ErrorText([&] { Rows("a\n\xFF\n"); }), EndsWith("f.csv:1: not valid UTF-8"));
}

}  // namespace
}  // namespace pivotal::data
