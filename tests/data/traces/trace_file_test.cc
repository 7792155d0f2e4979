// Apache-2.0.
#include "data/traces/trace_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "tests/support/error_text.h"
#include "tests/support/example_traces.h"
#include "tests/support/full_disk.h"
#include "tests/support/scarce.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::EmptyTrace;
using testing::ErrorText;
using testing::ExampleTrace;
using ::testing::HasSubstr;

class TraceFile : public ::testing::Test {
 protected:
  std::string WriteError(const QueryTrace& query) {
    return ErrorText([&] { SaveTraces(path_, {query}); });
  }

  testing::TempDir folder_;
  fs::path path_ = folder_.path() / "traces.h5";
};

TEST_F(TraceFile, EveryFieldIsReadBack) {
  const std::vector<QueryTrace> queries = {ExampleTrace("a"), EmptyTrace("b"), ExampleTrace("c")};
  SaveTraces(path_, queries);
  testing::ExpectSame(LoadTraces(path_), queries);
  EXPECT_THAT(ReadTraceIds(path_), ElementsAre("a", "b", "c"));
  EXPECT_THAT(ReadTraceIds(path_, TraceIds::kJudged), ElementsAre("b")) << "the only one without "
                                                                           "failed verdicts";
}

// Writes tables without some of their columns.
void WriteWithout(const fs::path& path, TraceTables& tables, const std::set<std::string>& columns) {
  Hdf5ColumnWriter writer;
  writer.SetAttribute("schema", kTraceSchema);
  tables.VisitTables([&](const std::string& name, auto& table) {
    writer.AddGroup(name);
    table.Visit([&](const std::string& column, auto& values) {
      if (!columns.contains(name + "/" + column)) writer.Add(name + "/" + column, values);
    });
  });
  WriteFile(path, writer.Finish());
}

// Returns the tables of a query with a response whose one pivotal token has a value in every field.
TraceTables OnePivotalToken() {
  TraceTables tables;
  QueryTable& queries = tables.queries;
  queries.id.Push(std::string("a"));
  for (auto* text : {&queries.question, &queries.answer, &queries.other_answers})
    text->Push(std::string());
  queries.prompt.Push(std::vector<int32_t>{1});
  for (auto* counts : {&queries.samples, &queries.successes}) counts->push_back(0);
  for (auto* flags : {&queries.searched, &queries.complete}) flags->push_back(1);
  queries.failed_verdicts.push_back(1);
  queries.prefilled_tokens.push_back(0);
  queries.seconds.push_back(0);
  tables.responses.query = {0};
  tables.responses.tokens.Push(std::vector<int32_t>{7});
  tables.responses.logprobs.Push(std::vector<float>{-1});
  tables.responses.finish = tables.responses.success = {0};
  PivotalTable& pivotal = tables.pivotal;
  pivotal.response = {0};
  pivotal.position = {1};
  pivotal.before = {0.25};
  pivotal.after = {0.75};
  pivotal.chosen = {7};
  pivotal.rejected = {8};
  pivotal.chosen_samples = pivotal.rejected_samples = {32};
  pivotal.chosen_successes = {30};
  pivotal.rejected_successes = {3};
  pivotal.low = {0.3};
  pivotal.high = {0.7};
  pivotal.probability = {0.99};
  pivotal.evidence = {1e30};
  pivotal.gap_evidence = {0.125};
  pivotal.sequential = {1};
  return tables;
}

TEST_F(TraceFile, FilesOfOlderVersionsHaveZerosInLaterColumns) {
  TraceTables tables = OnePivotalToken();
  WriteWithout(path_, tables, {});
  PivotalToken token = LoadTraces(path_).at(0).responses.at(0).pivotal.at(0);
  EXPECT_EQ(token.evidence, 1e30);
  EXPECT_EQ(token.gap_evidence, 0.125);
  EXPECT_TRUE(token.sequential);
  EXPECT_EQ(LoadTraces(path_).at(0).failed_verdicts, 1);
  EXPECT_TRUE(ReadTraceIds(path_, TraceIds::kJudged).empty());
  WriteWithout(path_, tables,
               {"/queries/failed_verdicts", "/pivotal/evidence", "/pivotal/gap_evidence",
                "/pivotal/sequential"});
  const QueryTrace query = LoadTraces(path_).at(0);
  EXPECT_EQ(query.failed_verdicts, 0);
  EXPECT_THAT(ReadTraceIds(path_, TraceIds::kJudged), ElementsAre("a"));
  token = query.responses.at(0).pivotal.at(0);
  EXPECT_EQ(token.evidence, 0);
  EXPECT_EQ(token.gap_evidence, 0);
  EXPECT_FALSE(token.sequential);
  EXPECT_EQ(token.probability, 0.99);
  EXPECT_EQ(token.rejected_successes, 3);
  // Such a file is written again with the columns.
  SaveTraces(path_, {query});
  testing::ExpectSame(LoadTraces(path_), {query});
}

TEST_F(TraceFile, ListsOfAnswersAreKeptWhereThereAreSome) {
  std::vector<QueryTrace> queries = {ExampleTrace("a"), EmptyTrace("b")};
  SaveTraces(path_, queries);
  EXPECT_FALSE(Hdf5ColumnReader(path_).Has("/queries/other_answers"));
  queries[1].other_answers = {"two", "2 \"units\"\n"};
  SaveTraces(path_, queries);
  EXPECT_TRUE(Hdf5ColumnReader(path_).Has("/queries/other_answers"));
  EXPECT_TRUE(LoadTraces(path_).at(0).other_answers.empty());
  EXPECT_EQ(LoadTraces(path_).at(1).other_answers, queries[1].other_answers);
  for (const std::string bad : {"[1]", "{}", "[\"a\""}) {
    TraceTables tables = OnePivotalToken();
    tables.queries.other_answers = {};
    tables.queries.other_answers.Push(bad);
    WriteWithout(path_, tables, {});
    EXPECT_THAT(ErrorText([&] { LoadTraces(path_); }),
                HasSubstr("dataset /queries/other_answers holds"));
  }
}

TEST_F(TraceFile, OtherColumnsMustBeThere) {
  TraceTables tables = OnePivotalToken();
  WriteWithout(path_, tables, {"/pivotal/probability"});
  EXPECT_THAT(ErrorText([&] { LoadTraces(path_); }), HasSubstr("/pivotal/probability"));
  tables.pivotal.evidence.push_back(1);
  WriteWithout(path_, tables, {});
  EXPECT_THAT(ErrorText([&] { LoadTraces(path_); }),
              HasSubstr("dataset /pivotal/evidence has 2 rows, but other datasets of /pivotal"));
}

TEST_F(TraceFile, NoQueriesMakeAValidFile) {
  SaveTraces(path_, {});
  EXPECT_TRUE(LoadTraces(path_).empty());
}

TEST_F(TraceFile, WritingRefusesWhatReadersCouldNotTrust) {
  QueryTrace bad = ExampleTrace("q");
  bad.rollouts[0].logprobs.pop_back();
  EXPECT_EQ(WriteError(bad),
            path_.string() + ": query \"q\": rollout 0: there are 3 tokens, but 2 logprobs");
  bad = ExampleTrace("q");
  bad.rollouts[0].logprobs[0] = 0.5f;
  EXPECT_THAT(WriteError(bad), HasSubstr("rollout 0: a log-probability is 0.5"));
  bad.rollouts[0].logprobs[0] = std::nanf("");
  EXPECT_THAT(WriteError(bad), HasSubstr("rollout 0: a log-probability is nan"));
  bad = ExampleTrace("q");
  bad.responses[1].finish = FinishReason::kCancelled;
  EXPECT_THAT(WriteError(bad), HasSubstr("response 1: finish is 2, which is never stored"));
  bad = ExampleTrace("q");
  bad.rollouts[2].response = 2;
  EXPECT_THAT(WriteError(bad), HasSubstr("rollout 2: there is no response 2"));
  bad = ExampleTrace("q");
  bad.rollouts[2].position = 2;
  EXPECT_THAT(WriteError(bad), HasSubstr("rollout 2: position is 2 in a response of 1 tokens"));
  bad = ExampleTrace("q");
  bad.responses[0].pivotal[0].position = 0;
  EXPECT_THAT(WriteError(bad), HasSubstr("pivotal token: position is 0 in a response of 3 tokens"));
  bad = ExampleTrace("q");
  bad.responses[0].estimates[0].successes = 9;
  EXPECT_THAT(WriteError(bad), HasSubstr("estimate: 9 successes are counted among 8 samples"));
  bad = ExampleTrace("q");
  bad.rollouts[0].kind = static_cast<RolloutKind>(5);
  EXPECT_THAT(WriteError(bad), HasSubstr("kind 5 is unknown"));
  bad = ExampleTrace("q");
  bad.responses[0].alternatives[1].position = 4;
  EXPECT_THAT(WriteError(bad), HasSubstr("alternative: position is 4 in a response of 3 tokens"));
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(TraceFile, AFullDiskKeepsTheOldFile) {
  SaveTraces(path_, {ExampleTrace("a")});
  QueryTrace large = ExampleTrace("b");
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) large.prompt.push_back(static_cast<TokenId>(random() >> 1));
  EXPECT_THAT(ErrorText([&] {
                const testing::FullDisk full(50'000);
                SaveTraces(path_, {large});
              }),
              HasSubstr("traces.h5: can't write: file too large"));
  EXPECT_THAT(ReadTraceIds(path_), ElementsAre("a"));
}

// Writes a sound file whose tables `change` has edited.
void WriteTables(const fs::path& path, int32_t schema,
                 const std::function<void(TraceTables&)>& change) {
  TraceTables tables;
  tables.queries.id.Push(std::span("a", 1));
  tables.queries.question.Push({});
  tables.queries.answer.Push({});
  tables.queries.other_answers.Push({});
  tables.queries.prompt.Push({});
  tables.queries.samples = tables.queries.successes = {0};
  tables.queries.searched = tables.queries.complete = {0};
  tables.queries.failed_verdicts = {0};
  tables.queries.prefilled_tokens = {0};
  tables.queries.seconds = {0};
  tables.responses.query = {0};
  tables.responses.tokens.Push({});
  tables.responses.logprobs.Push({});
  tables.responses.finish = tables.responses.success = {0};
  change(tables);
  Hdf5ColumnWriter writer;
  writer.SetAttribute("schema", schema);
  tables.VisitTables([&](const std::string& name, auto& table) {
    writer.AddGroup(name);
    table.Visit([&](const char* column, auto& values) { writer.Add(name + "/" + column, values); });
  });
  WriteFile(path, writer.Finish());
}

TEST_F(TraceFile, RowsThatDoNotFitTogetherAreErrors) {
  const auto read_error = [&](const std::function<void(TraceTables&)>& change) {
    WriteTables(path_, kTraceSchema, change);
    return ErrorText([&] { LoadTraces(path_); });
  };
  EXPECT_EQ(read_error([](TraceTables&) {}), "(no Error)");
  EXPECT_EQ(read_error([](TraceTables& t) { t.queries.samples.push_back(1); }),
            path_.string() +
                ": dataset /queries/samples has 2 rows, but other datasets of /queries have 1");
  for (const int64_t row : {int64_t{-1}, int64_t{1}, INT64_MAX, INT64_MIN}) {
    EXPECT_THAT(
        read_error([&](TraceTables& t) { t.responses.query[0] = row; }),
        HasSubstr(fmt::format("dataset /responses/query: row 0 refers to row {} of 1", row)));
  }
  const auto add_rollout = [](TraceTables& t, int64_t query, int64_t response) {
    t.rollouts.query = {query};
    t.rollouts.response = {response};
    t.rollouts.kind = t.rollouts.finish = t.rollouts.success = {0};
    t.rollouts.position = t.rollouts.forced = {0};
    t.rollouts.tokens.Push({});
    t.rollouts.logprobs.Push({});
  };
  EXPECT_EQ(read_error([&](TraceTables& t) { add_rollout(t, 0, 0); }), "(no Error)");
  EXPECT_THAT(read_error([&](TraceTables& t) { add_rollout(t, 1, 0); }),
              HasSubstr("/rollouts/query: row 0 refers"));
  EXPECT_THAT(read_error([&](TraceTables& t) { add_rollout(t, 0, 1); }),
              HasSubstr("/rollouts/response: row 0 refers"));
  EXPECT_THAT(read_error([&](TraceTables& t) { add_rollout(t, 0, -2); }),
              HasSubstr("/rollouts/response: row 0 refers"));
  EXPECT_THAT(read_error([&](TraceTables& t) {
                add_rollout(t, 0, 0);
                t.rollouts.position[0] = 1;
              }),
              HasSubstr("rollout 0: position is 1 in a response of 0 tokens"));
  EXPECT_THAT(read_error([](TraceTables& t) {
                t.estimates.response = {3};
                t.estimates.position = t.estimates.samples = t.estimates.successes = {0};
                t.estimates.mean = t.estimates.low = t.estimates.high = {0};
              }),
              HasSubstr("/estimates/response: row 0 refers to row 3 of 1"));
}

TEST_F(TraceFile, OtherSchemasAreRefused) {
  WriteTables(path_, 1, [](TraceTables&) {});
  EXPECT_THAT(ErrorText([&] { LoadTraces(path_); }),
              HasSubstr("traces.h5: the traces have schema 1, this version reads 2"));
  EXPECT_THAT(ErrorText([&] { ReadTraceIds(path_); }), HasSubstr("schema 1"));
}

TEST_F(TraceFile, TruncatedFilesAreErrors) {
  SaveTraces(path_, {ExampleTrace("a"), ExampleTrace("b")});
  const std::string whole = ReadFile(path_);
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 100) {
    folder_.Write("traces.h5", whole.substr(0, size));
    EXPECT_THAT(ErrorText([&] { LoadTraces(path_); }), HasSubstr("traces.h5")) << size;
  }
}

TEST_F(TraceFile, DamageIsFound) {
  SaveTraces(path_, {ExampleTrace("a"), ExampleTrace("b")});
  const std::string whole = ReadFile(path_);
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    std::string text = whole;
    text[random() % text.size()] = static_cast<char>(random());
    folder_.Write("traces.h5", text);
    if (text.substr(0, 108) == whole.substr(0, 108) && text.substr(512) == whole.substr(512))
      continue;
    EXPECT_THAT(ErrorText([&] { LoadTraces(path_); }), HasSubstr("traces.h5: damaged"));
  }
}

TEST_F(TraceFile, TooManyOpenFilesAreNoDamage) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors to look at objects";
#endif
  SaveTraces(path_, {ExampleTrace("a")});
  fs::permissions(folder_.path(), fs::perms::all);
  const auto error = testing::ErrorWhereScarce(RLIMIT_NOFILE, 3, [&] { LoadTraceFile(path_); });
  if (!error) GTEST_SKIP() << "this process cannot limit the files of a child";
  EXPECT_THAT(*error, HasSubstr("traces.h5: can't read: too many open files"));
  EXPECT_THAT(*error, HasSubstr("ulimit -n"));
}

}  // namespace
}  // namespace pivotal::data
