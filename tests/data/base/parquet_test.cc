// Apache-2.0. Skipped where the Python of the tests (PIVOTAL_PYTHON of CMake) lacks pyarrow, which
// makes and reads the files by itself, too.
#include "data/base/parquet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "tests/support/error_text.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::Not;

// Runs the tests with another PIVOTAL_PYTHON in the environment.
class Parquet : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("PIVOTAL_PYTHON", PIVOTAL_PYTHON, 1); }
  void TearDown() override { ::unsetenv("PIVOTAL_PYTHON"); }

  static bool HasPyarrow() {
    if (testing::Python("-c 'import pyarrow'").code == 0) return true;
    [] { GTEST_SKIP() << PIVOTAL_PYTHON << " lacks pyarrow; run make test-parity"; }();
    return false;
  }
  // Runs Python that has pyarrow as pa, pyarrow.parquet as pq, and the folder as the current one.
  void Run(const std::string& program) {
    const auto ran = testing::RunCommand(
        "cd " + folder_.path().string() + " && " PIVOTAL_PYTHON " " +
        folder_
            .Write("run.py",
                   "import pyarrow as pa, pyarrow.parquet as pq, json, datetime\n" + program)
            .string());
    ASSERT_EQ(ran.code, 0) << ran.output;
  }
  std::vector<json> Rows(const fs::path& path) {
    JsonLineReader lines(path);
    std::vector<json> rows;
    for (json row; lines.Next(row);) rows.push_back(row);
    return rows;
  }
  fs::path Path(const std::string& name) const { return folder_.path() / name; }
  // Returns a program to be run in place of Python.
  std::string Program(const std::string& text) {
    const fs::path path = folder_.Write("program", "#!/bin/sh\n" + text);
    ::chmod(path.c_str(), 0755);
    return path.string();
  }

  testing::TempDir folder_;
};

TEST_F(Parquet, RowsBecomeLines) {
  if (!HasPyarrow()) return;
  Run(R"(
rows = [{"text": "line\nbreak é 😀", "n": 7, "x": 0.5, "list": ["a", None], "deep": {"t": [1], "b": True},
         "day": datetime.date(2024, 2, 29), "raw": b"\xff"},
        {"text": None, "n": -2**53, "x": float("nan"), "list": [], "deep": None, "day": None, "raw": None}]
pq.write_table(pa.Table.from_pylist(rows), "a.of.any.name", row_group_size=1)
)");
  const auto rows = Rows(Path("a.of.any.name"));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0], json({{"text", "line\nbreak é 😀"},
                           {"n", 7},
                           {"x", 0.5},
                           {"list", {"a", nullptr}},
                           {"deep", {{"t", {1}}, {"b", true}}},
                           {"day", "2024-02-29"},
                           {"raw", nullptr}}));
  EXPECT_EQ(rows[1]["n"], -9007199254740992);
  EXPECT_EQ(rows[1]["x"], nullptr);
  EXPECT_EQ(rows[1]["deep"], nullptr);
}

TEST_F(Parquet, ManyRowsStreamAndMayBeLeftUnread) {
  if (!HasPyarrow()) return;
  Run(R"(pq.write_table(pa.table({"i": range(30000), "t": ["x" * 200] * 30000}), "f.parquet"))");
  {
    JsonLineReader lines(Path("f.parquet"));
    json row;
    for (int i = 0; i < 30'000; ++i) {
      ASSERT_TRUE(lines.Next(row));
      ASSERT_EQ(row["i"], i);
    }
    EXPECT_FALSE(lines.Next(row));
    EXPECT_FALSE(lines.Next(row));
  }
  JsonLineReader lines(Path("f.parquet"));
  json row;
  EXPECT_TRUE(lines.Next(row));
}

TEST_F(Parquet, WrittenRowsAreRead) {
  if (!HasPyarrow()) return;
  const auto lines =
      folder_.Write("rows.jsonl",
                    "{\"s\": \"2024-01-01\", \"i\": 3, \"d\": 0.25, \"ids\": [1, 2], \"w\": null, "
                    "\"b\": true, \"no\": 1}\n"
                    "{\"s\": \"\", \"i\": 4, \"d\": 1, \"ids\": [], \"w\": [0.5], \"b\": false}\n");
  const std::vector<ParquetColumn> columns = {{"s", "string"},      {"i", "int64"},
                                              {"d", "double"},      {"ids", "list<int32>"},
                                              {"w", "list<float>"}, {"b", "bool"}};
  WriteParquet(lines, columns, Path("out.parquet"));
  Run(R"(
t = pq.read_table("out.parquet")
json.dump([[f"{f.name} {f.type}" for f in t.schema], t.to_pylist()], open("got.json", "w"))
)");
  const json got = json::parse(ReadFile(Path("got.json")));
  EXPECT_EQ(got[0], json({"s string", "i int64", "d double", "ids list<element: int32>",
                          "w list<element: float>", "b bool"}));
  EXPECT_EQ(got[1][0], json({{"s", "2024-01-01"},
                             {"i", 3},
                             {"d", 0.25},
                             {"ids", {1, 2}},
                             {"w", nullptr},
                             {"b", true}}));
  EXPECT_EQ(json(Rows(Path("out.parquet"))), got[1]);
  EXPECT_THAT(ErrorText([&] { WriteParquet(lines, columns, Path("out.parquet")); }),
              HasSubstr("exists"));
  EXPECT_THAT(ErrorText([&] {
                WriteParquet(lines, {{"s", "int32"}}, Path("no.parquet"));
              }),
              AllOf(HasSubstr("no.parquet: pyarrow: "), Not(HasSubstr("\n"))));
  EXPECT_FALSE(fs::exists(Path("no.parquet")));
}

TEST_F(Parquet, DamageIsOneLine) {
  if (!HasPyarrow()) return;
  Run(R"(pq.write_table(pa.table({"i": range(100000)}), "f.parquet", write_page_checksum=True))");
  const std::string bytes = ReadFile(Path("f.parquet"));
  const auto error = [&](const std::string& damaged) {
    return ErrorText([&] { Rows(folder_.Write("d.parquet", damaged)); });
  };
  std::string middle = bytes;
  for (int i = 0; i < 200; ++i) middle[bytes.size() / 3 + i] ^= 0x5A;
  for (const std::string& text : {bytes.substr(0, bytes.size() / 2), std::string("PAR1"), middle})
    EXPECT_THAT(error(text), AllOf(HasSubstr("d.parquet: pyarrow: "), Not(HasSubstr("\n"))));
}

// These need no pyarrow.
TEST_F(Parquet, WhatIsMissingIsNamedWithItsRemedy) {
  const auto file = folder_.Write("f.parquet", "PAR1");
  const auto error = [&](const std::string& python) {
    ::setenv("PIVOTAL_PYTHON", python.c_str(), 1);
    return ErrorText([&] { Rows(file); });
  };
  EXPECT_THAT(
      error("/nonexistent/python"),
      AllOf(HasSubstr("f.parquet: Parquet needs Python: /nonexistent/python cannot be started"),
            HasSubstr("install python3 and pyarrow==26.0.1, or set PIVOTAL_PYTHON")));
  const std::string without = Program("exec " PIVOTAL_PYTHON " -I -S \"$@\"\n");
  EXPECT_THAT(
      error(without),
      AllOf(HasSubstr("f.parquet: Parquet needs pyarrow"), HasSubstr("No module named 'pyarrow'"),
            HasSubstr("-m pip install pyarrow==26.0.1, or set PIVOTAL_PYTHON"),
            Not(HasSubstr("\n"))));
  EXPECT_THAT(error(Program("echo '{\"a\": 1}'; kill -9 $$\n")),
              HasSubstr("program was killed by signal 9 over this file"));
  EXPECT_THAT(error(Program("echo oops >&2; exit 7\n")),
              HasSubstr("program ended with code 7 over this file: oops"));
}

TEST_F(Parquet, MustBeAFileByItself) {
  const auto file = folder_.Write("f.parquet", "PAR1");
  ASSERT_EQ(testing::RunCommand("gzip -k " + file.string()).code, 0);
  EXPECT_THAT(ErrorText([&] { Rows(Path("f.parquet.gz")); }),
              HasSubstr("f.parquet.gz: is Parquet that is compressed once more; unpack it first"));
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(Path("pipe")) << "PAR1"; });
  EXPECT_THAT(ErrorText([&] { Rows(Path("pipe")); }),
              HasSubstr("pipe: Parquet is read from its end"));
  writer.join();
}

}  // namespace
}  // namespace pivotal::data
