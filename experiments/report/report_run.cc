// Apache-2.0.
#include "experiments/report/report_run.h"

#include <utility>

#include "data/base/folders.h"
#include "data/traces/trace_store.h"
#include "experiments/report/report_answers.h"
#include "pts/estimate.h"

namespace pivotal::experiments {

std::string NameOf(const std::filesystem::path& folder) {
  const auto path = data::Absolute(folder).lexically_normal();
  return path.filename().empty() ? path.parent_path().filename().string()
                                 : path.filename().string();
}

ReportRun::ReportRun(const std::filesystem::path& run) : ReportRun(run, data::LoadRun(run)) {}

ReportRun::ReportRun(const std::filesystem::path& run, std::vector<QueryTrace> stored)
    : folder(run),
      name(NameOf(run)),
      config(LoadRunConfig(run)),
      tokenizer(LoadTokenizer(config.model.folder)),
      answers(config, *tokenizer),
      traces(std::move(stored)) {}

double ReportRun::z() const { return pts::NormalQuantile(0.5 + config.search.confidence / 2); }

nlohmann::ordered_json ReportRun::Problem(const QueryTrace& query,
                                          const NoPairTexts& no_pairs) const {
  const ReportAnswers of_query(query, answers, gap(), z(), *tokenizer);
  return ReportProblem(query, *tokenizer, no_pairs, of_query);
}

}  // namespace pivotal::experiments
