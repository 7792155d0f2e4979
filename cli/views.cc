// Apache-2.0. pivotal curve, pivotal answers, pivotal show, pivotal report
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/file_sink.h"
#include "experiments/report/report.h"
#include "experiments/report/response_view.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_curves.h"
#include "model/memory.h"

namespace pivotal::cli {
namespace {

namespace fs = std::filesystem;

int32_t ViewWidth() {
  const std::size_t terminal = TerminalWidth(STDOUT_FILENO);
  return terminal == 0 ? 100 : static_cast<int32_t>(terminal);
}

void RunCurve(experiments::CurveSettings settings, bool force) {
  if (settings.output.empty())
    settings.output = settings.run / fmt::format("curve-{}.jsonl", settings.granularity);
  data::RequireOutput(settings.output, force);
  const auto summary = experiments::WriteCurves(settings);
  fmt::print("{} responses, {} {}s, {} with a change of the gap or more; in {}\n",
             summary.responses, summary.units, settings.granularity, summary.reaching,
             settings.output.string());
}

void RunAnswers(experiments::AnswerSettings settings, bool force) {
  if (settings.output.empty()) settings.output = settings.run / "answers.jsonl";
  data::RequireOutput(settings.output, force);
  ConsoleProgress progress;
  const auto summary = experiments::WriteAnswers(settings, progress);
  fmt::print(
      "{} responses; {} change points of {} or more, {} of them at tokens that are not "
      "pivotal; {} of {} pivotal tokens have paraphrases; in {}\n",
      summary.responses, summary.changes, summary.gap, summary.unseen, summary.paraphrased,
      summary.pivotal, settings.output.string());
}

void RunReport(experiments::ReportSettings settings, bool force) {
  if (settings.output.empty()) settings.output = settings.run / "report.html";
  data::RequireOutput(settings.output, force);
  const auto summary = experiments::WriteReport(settings);
  const auto both = settings.beside.empty()
                        ? std::string()
                        : fmt::format("{} of them in both runs, ", summary.both);
  fmt::print("{} problems, {}{} pivotal tokens, {}; open {}\n", summary.problems, both,
             summary.pivotal, model::BytesText(summary.bytes), settings.output.string());
}

}  // namespace

void AddCurve(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "curve",
      "Write p(success), and the answers of completions, along the responses of a run; needs only "
      "the model's tokenizer");
  auto settings = std::make_shared<experiments::CurveSettings>();
  auto force = std::make_shared<bool>(false);
  sub->add_option("run", settings->run, "run folder of pivotal search")->required();
  sub->add_option("--granularity", settings->granularity,
                  "write the change of p(success) over each token or over each sentence")
      ->check(OneOf({"token", "sentence"}))
      ->capture_default_str();
  sub->add_option("--output", settings->output,
                  "file to write, one JSON object per token or sentence (default: "
                  "RUN/curve-GRANULARITY.jsonl)")
      ->type_name("FILE");
  AddForceFlag(*sub, *force);
  SetHelp(*sub, {"RUN [OPTIONS]",
                 {"--granularity", "--output"},
                 {{"write run/curve-token.jsonl", "curve run"},
                  {"write a line for each sentence", "curve run --granularity sentence"}},
                 "docs/search.md"});
  sub->callback([settings, force] { RunCurve(*settings, *force); });
}

void AddAnswers(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "answers",
      "Write how the answers of rollouts change along the responses of a run: their distribution "
      "after every token, change points, and alternatives grouped by what they mean for the "
      "answer; needs only the model's tokenizer");
  auto settings = std::make_shared<experiments::AnswerSettings>();
  auto force = std::make_shared<bool>(false);
  sub->add_option("run", settings->run, "run folder of pivotal search")->required();
  sub->add_option("--problem", settings->problems,
                  "id of a problem whose responses are written; can be given several times "
                  "(default: all)")
      ->allow_extra_args(false)
      ->take_all();
  sub->add_option("--gap", settings->gap,
                  "smallest change of a change point: the total variation between the answers "
                  "before and after its token (default: the --gap of the search)")
      ->check(Interval("(0, 1)"));
  sub->add_option("--output", settings->output,
                  "file to write, one JSON object per token (default: RUN/answers.jsonl)")
      ->type_name("FILE");
  AddForceFlag(*sub, *force);
  SetHelp(*sub,
          {"RUN [OPTIONS]",
           {"--problem", "--gap", "--output"},
           {{"write run/answers.jsonl", "answers run"},
            {"write the answers of one problem", "answers run --problem 17 --output 17.jsonl"}},
           "docs/search.md"});
  sub->callback([settings, force] { RunAnswers(*settings, *force); });
}

void AddShow(CLI::App& app) {
  struct Flags {
    fs::path run;
    std::vector<std::string> problems;
    double max_false_share = 1;
    bool json = false;
  };
  auto* sub = app.add_subcommand(
      "show",
      "List the problems of a run, or show the tokens of responses with p(success) above them");
  auto flags = std::make_shared<Flags>();
  sub->add_option("run", flags->run, "run folder of pivotal search")->required();
  sub->add_option("--problem", flags->problems,
                  "id of a problem whose responses are shown; can be given several times")
      ->allow_extra_args(false)
      ->take_all();
  sub->add_option("--max-false-share", flags->max_false_share,
                  "largest share of the pivotal tokens of the whole run that may be expected to "
                  "change p(success) by less than the gap: shows the most probable ones; 1: any")
      ->check(Interval("(0, 1]"))
      ->capture_default_str();
  AddJsonFlag(*sub, flags->json);
  SetHelp(*sub, {"RUN [OPTIONS]",
                 {"--problem", "--max-false-share", "--json"},
                 {{"list the problems of a run", "show run"},
                  {"show the responses of one problem", "show run --problem 17"}},
                 "docs/search.md"});
  sub->callback([flags] {
    if (flags->json)
      return PrintResult(experiments::RunJson(flags->run, flags->problems, flags->max_false_share));
    fmt::print("{}", experiments::RunView(flags->run, flags->problems, ViewWidth(),
                                          UsesColour(STDOUT_FILENO), flags->max_false_share));
  });
}

void AddReport(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "report",
      "Write a run as one HTML page: p(success) and the answers at every token, the other tokens "
      "that rollouts took there, what these mean for the answer, and the pairs; with --beside, two "
      "runs; needs no network and only the model's tokenizer");
  auto settings = std::make_shared<experiments::ReportSettings>();
  auto force = std::make_shared<bool>(false);
  sub->add_option("run", settings->run, "run folder of pivotal search")->required();
  sub->add_option("--beside", settings->beside,
                  "run folder of another search of the same problems, such as one with the trained "
                  "model, which the page shows beside the first")
      ->check(CLI::ExistingDirectory);
  sub->add_option("--output", settings->output, "page to write (default: RUN/report.html)")
      ->type_name("FILE");
  sub->add_option("--training", settings->trainings,
                  "output folder of pivotal train, whose curves are added to the page; can be "
                  "given several times")
      ->check(CLI::ExistingDirectory)
      ->allow_extra_args(false)
      ->take_all();
  AddForceFlag(*sub, *force);
  SetHelp(*sub, {"RUN [OPTIONS]",
                 {"--output", "--beside", "--training"},
                 {{"write run/report.html", "report run"},
                  {"show a run before and one after training, with the curves of the training",
                   "report before --beside after --training tuned --output page.html"}},
                 "docs/search.md"});
  sub->callback([settings, force] { RunReport(*settings, *force); });
}

}  // namespace pivotal::cli
