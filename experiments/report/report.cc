// Apache-2.0.
#include "experiments/report/report.h"

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "data/base/file_sink.h"
#include "experiments/report/report_beside.h"
#include "experiments/report/report_page.h"
#include "experiments/report/report_run.h"
#include "experiments/report/report_totals.h"
#include "experiments/settings/settings_file.h"
#include "experiments/train/train_output.h"
#include "pivotal/version.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

std::string Dump(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

// Collects problems into the blocks of the page.
class Blocks {
 public:
  // Adds a problem, and tells its entry in the list where it is.
  void Add(const ordered_json& problem, ordered_json& row) {
    row["block"] = closed_.size();
    row["index"] = in_block_;
    block_ += (in_block_++ > 0 ? "," : "") + Dump(problem);
    if (block_.size() >= kBytes) Close();
  }
  std::vector<std::string> Take() {
    Close();
    return std::move(closed_);
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{256} << 10;  // before compression

  void Close() {
    if (in_block_ > 0) closed_.push_back("[" + block_ + "]");
    block_.clear();
    in_block_ = 0;
  }

  std::vector<std::string> closed_;
  std::string block_;
  int32_t in_block_ = 0;
};

}  // namespace

ReportSummary WriteReport(const ReportSettings& of) {
  const ReportRun run(of.run);
  std::optional<ReportBeside> beside;
  if (!of.beside.empty()) beside.emplace(run, of.beside);
  ReportTotals totals;
  Blocks blocks;
  ordered_json rows = ordered_json::array();
  for (const QueryTrace& query : run.traces) {
    const NoPairTexts no_pairs = NoPairTextsOf(query, run.gap());
    totals.Add(query, no_pairs);
    ordered_json row = ReportRow(query), problem = run.Problem(query, no_pairs);
    if (beside) beside->Add(query, row, problem);
    blocks.Add(problem, row);
    rows.push_back(std::move(row));
  }
  ordered_json training = ordered_json::array(), settings = ordered_json::array();
  for (const auto& folder : of.trainings)
    training.push_back(TrainingSeries(NameOf(folder), folder));
  for (const auto& [section, key, value] :
       SettingsFile(of.run / "run.toml", "pivotal search").All())
    settings.push_back({section, key, value});
  const ordered_json page = {{"title", run.name},
                             {"version", PIVOTAL_VERSION_STRING},
                             {"settings", settings},
                             {"facts", totals.Facts()},
                             {"histogram", totals.Histogram()},
                             {"pivotal_share", totals.PivotalTokens()},
                             {"calibration", totals.Calibration()},
                             {"gap", run.gap()},
                             {"beside", beside ? beside->Summary() : ordered_json()},
                             {"problems", rows},
                             {"training", training},
                             {"comparisons", ordered_json::array()}};
  const std::string text = ReportPage(Dump(page), blocks.Take());
  data::WriteFile(of.output, text);
  return {.problems = std::ssize(run.traces),
          .pivotal = totals.pivotal(),
          .both = beside ? beside->both() : 0,
          .bytes = std::ssize(text)};
}

}  // namespace pivotal::experiments
