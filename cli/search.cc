// Apache-2.0. pivotal search, pivotal merge
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "cli/patient_threads.h"
#include "cli/standard_input.h"
#include "dpo/ranks.h"
#include "experiments/search/run_config.h"
#include "experiments/search/search_run.h"
#include "experiments/search/search_summary.h"
#include "pts/strategy.h"

namespace pivotal::cli {
namespace {

struct SearchFlags {
  experiments::RunConfig config;
  std::filesystem::path output, resume;
  experiments::ResumeOptions resume_options;
  std::string goal = "findings";
  std::filesystem::path settings;  // of --config
  bool shared = false, json = false;
};

// Processes that mpirun or srun started together search one run together.
experiments::SearchTeam TeamOf(const SearchFlags& flags, const dpo::LaunchedRank& rank) {
  experiments::SearchTeam team;
  team.shared = flags.shared || rank.size > 1;
  team.first = rank.rank == 0;
  team.rank = rank.rank;
  team.launch = rank.launch;
  if (rank.size > 1)
    team.device = dpo::RankDevice(flags.config.model.device, rank.local_rank, rank.local_size);
  return team;
}

void RunSearch(const SearchFlags& flags) {
  const dpo::LaunchedRank rank = dpo::ReadLaunchedRank();
  const experiments::SearchTeam team = TeamOf(flags, rank);
  ConsoleProgress progress(/*visible=*/rank.rank == 0);
  const bool resume = !flags.resume.empty();
  const auto& run = resume ? flags.resume : flags.output;
  const auto result = resume ? experiments::ResumeSearch(run, flags.resume_options, progress, team)
                             : experiments::RunSearch(flags.config, run, progress, team);
  if (rank.rank == 0)
    PrintResult(flags.json ? experiments::SummaryJson(result, run)
                           : experiments::SummaryText(result, run));
}

void AddStrategyFlags(CLI::App& sub, experiments::RunConfig& config) {
  auto& search = config.search;
  Under(sub, group::kSearch);
  sub.add_option("--strategy", config.strategy,
                 "where rollouts are spent: anchored (from the verdict backwards, where they tell "
                 "most); pairs (for training: tests the pairs of likely tokens at once); for "
                 "comparison subdivide (as published), subdivide-length, exhaustive; none (no "
                 "search, only rollouts from the prompts)")
      ->check(OneOf(pts::kStrategyNames.Names()))
      ->capture_default_str();
  sub.add_option("--gap", search.gap, "smallest change of p(success) that makes a token pivotal")
      ->check(Interval("(0, 1)"))
      ->capture_default_str();
  sub.add_option("--samples", search.samples,
                 "number of completions that are sampled from a prompt to estimate its p(success); "
                 "the strategies subdivide, subdivide-length and exhaustive sample as many for "
                 "every other estimate, too; the strategy pairs samples up to this many, 8 at a "
                 "time, as long as the problem promises pairs")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option(
         "--tolerance", search.tolerance,
         "how close to --gap the change at a token may be for the strategy anchored to leave "
         "undecided whether the token is pivotal")
      ->check(Interval("(0, 1)"))
      ->capture_default_str();
  sub.add_option("--confidence", search.confidence,
                 "probability with which a token that is reported as pivotal changes p(success) by "
                 "--gap minus --tolerance or more; also the level of all intervals")
      ->check(Interval("[0.5, 1)"))
      ->capture_default_str();
  sub.add_option(
         "--min-yield", search.min_yield,
         "smallest yield for which the strategies anchored and pairs go on: how many tokens "
         "of a response are expected to turn out pivotal or not for each further "
         "completion of average length; a smaller number searches longer and finds more")
      ->check(Interval("(0, inf)"))
      ->capture_default_str();
  sub.add_option("--max-rollouts", search.max_rollouts,
                 "largest number of rollouts that the anchored strategy spends on one response")
      ->check(Whole(1, 1 << 24))
      ->capture_default_str();
  Under(sub, group::kBudget);
  sub.add_option("--budget-tokens", search.budget_tokens,
                 "number of tokens that the whole run may generate; the completions that tell most "
                 "come first; 0: no limit")
      ->check(Whole(0))
      ->capture_default_str();
  sub.add_option("--budget-seconds", search.budget_seconds,
                 "seconds after which this call stops; --resume goes on later; 0: no limit")
      ->check(Interval("[0, inf)"))
      ->capture_default_str();
  Under(sub, group::kOracle);
  sub.add_option("--judge-threads", search.judge_threads,
                 "number of threads that ask the oracle while rollouts decode")
      ->check(Whole(1, 1024))
      ->capture_default_str();
  Under(sub, group::kBudget);
  sub.add_option(
         "--pairs", search.pairs,
         "number of confirmed pairs after which the run ends, with some more, as it searches "
         "--group problems at a time; 0: no limit")
      ->check(Whole(0))
      ->capture_default_str();
  Under(sub, group::kSearch);
  sub.add_option("--confirm", search.confirm,
                 "number of fresh completions that measure each side of a possible pair; the "
                 "strategy pairs samples up to this many and stops once it knows")
      ->check(Whole(0, 1 << 20))
      ->capture_default_str();
  sub.add_option("--min-success", search.min_success, "skip problems with a lower p(success)")
      ->check(Interval("[0, 1]"))
      ->capture_default_str();
  sub.add_option("--max-success", search.max_success, "skip problems with a higher p(success)")
      ->check(Interval("[0, 1]"))
      ->capture_default_str();
  sub.add_option("--responses", search.responses, "responses to search for each problem")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  sub.add_option("--group", search.group,
                 "number of problems that are searched in the same batches and stored together")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
}

// Sets what suits the goal that was asked for, where a flag does not say otherwise.
void UseGoal(const CLI::App& sub, SearchFlags& flags) {
  if (!IsGiven(sub, "--for")) return;
  const experiments::RunConfig asked = flags.config;
  experiments::RunConfig& config = flags.config;
  experiments::SetGoal(flags.goal, config);
  const auto given = [&](const char* name) { return IsGiven(sub, name); };
  if (given("--strategy")) config.strategy = asked.strategy;
  if (given("--samples")) config.search.samples = asked.search.samples;
  if (given("--responses")) config.search.responses = asked.search.responses;
  if (given("--min-yield")) config.search.min_yield = asked.search.min_yield;
}

}  // namespace

void AddSearch(CLI::App& app) {
  auto* sub = app.add_subcommand("search", "Find the pivotal tokens of sampled responses");
  auto flags = std::make_shared<SearchFlags>();
  AddModelFlags(*sub, flags->config.model);
  AddServedFlags(*sub, flags->config.served, flags->config.model);
  AddSystemFlag(*sub, flags->config.model);
  AddProblemFlags(*sub, flags->config.problems);
  Under(*sub, group::kRun);
  sub->add_option("--output", flags->output, "run folder to make")->type_name("FOLDER");
  sub->add_option("--resume", flags->resume,
                  "continue this run folder under its own settings; only budgets, --pairs, "
                  "--max-oracle-failures, --policy and --concurrency can be changed")
      ->type_name("RUN");
  sub->add_flag("--shared", flags->shared,
                "search one run together with other processes: the first makes it with --output, "
                "the others join it with --resume at any time; always on under mpirun -n N or "
                "srun");
  sub->add_option("--shard", flags->config.problems.options.shard,
                  "part of the problems to search, for job arrays: 2/8 takes the second, tenth, "
                  "... problem; pivotal merge joins the runs of all parts");
  AddConfigFlag(*sub, flags->settings, "run.toml");
  AddJsonFlag(*sub, flags->json);
  Under(*sub, group::kSearch);
  sub->add_option(
         "--for", flags->goal,
         "what the search is for: findings (the defaults below: as exact as can be); pairs "
         "to train on (as many confirmed pairs for each generated token as can be: "
         "--strategy pairs --samples 32 --responses 32 --min-yield 0.06, where these flags are "
         "not given)")
      ->check(
          OneOf(std::vector<std::string>(experiments::kGoals.begin(), experiments::kGoals.end())))
      ->capture_default_str();
  AddStrategyFlags(*sub, flags->config);
  AddSamplingFlags(*sub, flags->config.sampling);
  SetHelp(*sub,
          {"--model FOLDER --problems FILE --output RUN [OPTIONS]\n"
           "       pivotal search --resume RUN",
           {"--model", "--policy", "--problems", "--oracle", "--output", "--resume", "--for",
            "--gap", "--budget-tokens", "--pairs", "--temperature", "--max-new-tokens"},
           {{"search 100 problems of GSM8K with at most 5 million generated tokens",
             "search --model microsoft/Phi-4-mini-instruct --problems openai/gsm8k --limit 100 "
             "--budget-tokens 5000000 --output run"},
            {"find 500 pairs to train on, on problems of your own",
             "search --model phi-4-mini --problems mine.jsonl --oracle numeric --for pairs "
             "--pairs 500 --output run"}},
           "docs/search.md"});
  // With --resume and --config, all settings come from a file.
  sub->get_option("--problems")->required(false);
  sub->callback([flags, sub] {
    if (IsGiven(*sub, "--budget-tokens"))
      flags->resume_options.budget_tokens = flags->config.search.budget_tokens;
    if (IsGiven(*sub, "--pairs")) flags->resume_options.pairs = flags->config.search.pairs;
    if (IsGiven(*sub, "--budget-seconds"))
      flags->resume_options.budget_seconds = flags->config.search.budget_seconds;
    if (IsGiven(*sub, "--max-oracle-failures"))
      flags->resume_options.max_oracle_failures =
          flags->config.problems.oracle_options.max_failures;
    bool knows_oracle = false;
    if (flags->resume.empty()) {
      if (!flags->settings.empty()) {
        knows_oracle = experiments::ApplyRunSettings(flags->settings, flags->config);
        ApplyFlagsAgain(*sub);
        FindModels(flags->config.model, !flags->config.served.urls.empty());
      }
      if (flags->config.problems.file.empty()) throw CLI::RequiredError("--problems");
      if (flags->output.empty()) throw CLI::RequiredError("--output");
      CheckServedFlags(*sub, flags->config.served, flags->config.model);
    } else {
      RefuseBesideResume(*sub, {"--shared", "--budget-tokens", "--budget-seconds", "--pairs",
                                "--max-oracle-failures", "--policy", "--concurrency"});
      flags->resume_options.served_urls = flags->config.served.urls;
      if (IsGiven(*sub, "--concurrency"))
        flags->resume_options.concurrency = flags->config.served.concurrency;
    }
    UsePatientThreads();
    if (flags->config.problems.file == "-" && dpo::ReadLaunchedRank().size > 1)
      throw CLI::ValidationError(
          "--problems",
          "standard input is read by one process, and several were started here; "
          "save the problems as a file");
    WithStandardInput(flags->config.problems.file, [&](bool copied) {
      flags->config.keep_problems = copied;
      UseGoal(*sub, *flags);
      UseDataset(*sub, flags->config.problems, "train", knows_oracle);
      RunSearch(*flags);
    });
  });
}

void AddMerge(CLI::App& app) {
  struct Flags {
    std::vector<std::filesystem::path> runs;
    std::filesystem::path output;
  };
  auto* sub = app.add_subcommand("merge", "Join the runs of searches with --shard into one run");
  auto flags = std::make_shared<Flags>();
  sub->add_option("runs", flags->runs, "run folders of all shards, with equal models and settings")
      ->required()
      ->check(CLI::ExistingDirectory);
  sub->add_option("--output", flags->output, "run folder to make")->type_name("FOLDER")->required();
  SetHelp(
      *sub,
      {"RUNS... --output RUN",
       {"--output"},
       {{"join the four parts of a job array", "merge part-1 part-2 part-3 part-4 --output run"},
        {"join all of its parts", "merge part-* --output run"}},
       "docs/scaling.md"});
  sub->callback([flags] {
    const auto merged = experiments::MergeRuns(flags->runs, flags->output);
    const std::string output = flags->output.string();
    fmt::print("{} problems of {} runs in {}\n", merged.problems, flags->runs.size(), output);
    if (merged.missing > 0)
      fmt::print("{} problems are in none of the runs; pivotal search --resume {} searches them\n",
                 merged.missing, output);
  });
}

}  // namespace pivotal::cli
