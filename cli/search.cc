// Apache-2.0. pivotal search
#include <fmt/format.h>

#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "dpo/launched_ranks.h"
#include "experiments/rank_device.h"
#include "experiments/search_run.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::RunConfig config;
  std::filesystem::path output, resume;
  experiments::ResumeOptions resume_options;
  bool shared = false;
};

// Several processes under mpirun or srun search one run together.
experiments::SearchTeam TeamOf(const Flags& flags, const dpo::LaunchedRank& rank) {
  experiments::SearchTeam team;
  team.shared = flags.shared || rank.ranks > 1;
  team.first = rank.rank == 0;
  if (rank.ranks > 1)
    team.device = experiments::RankDevice(flags.config.model.device, {rank.neighbour, rank.neighbours});
  return team;
}

void Run(const Flags& flags) {
  const dpo::LaunchedRank rank = dpo::ThisLaunchedRank();
  const experiments::SearchTeam team = TeamOf(flags, rank);
  ConsoleProgress progress(/*visible=*/rank.rank == 0);
  const bool resume = !flags.resume.empty();
  const auto& run = resume ? flags.resume : flags.output;
  const auto result = resume ? experiments::ResumeSearch(run, flags.resume_options, progress, team)
                             : experiments::RunSearch(flags.config, run, progress, team);
  if (rank.rank != 0) return;  // what rank 0 says is enough
  const auto& s = result.summary;
  if (result.lost_workers > 0)
    fmt::print("processes that died  {}; others did what they had begun\n", result.lost_workers);
  if (result.resumed > 0) fmt::print("problems found done  {}\n", result.resumed);
  fmt::print("problems             {}\n", s.queries);
  fmt::print("  in the band        {}\n", s.searched);
  fmt::print("responses searched   {}\n", s.responses);
  fmt::print("pivotal tokens       {}\n", s.pivotal);
  fmt::print("  with another side  {}\n", s.candidates);
  if (s.pivotal > 0)
    fmt::print("  expected false     {:.1f}% (abs. change below the gap)\n", 100 * s.false_share);
  if (s.cut_short > 0) fmt::print("cut short by budget  {}\n", s.cut_short);
  if (s.undone > 0)
    fmt::print("left undone          {} problems; pivotal search --resume {} with a larger budget\n"
               "                     goes on with them\n",
               s.undone, run.string());
  fmt::print("rollouts             {}\n", result.counters.rollouts);
  fmt::print("generated tokens     {} ({:.0f}/s)\n", result.counters.decoded_tokens,
             static_cast<double>(result.counters.decoded_tokens) /
                 std::max(result.counters.seconds, 1e-9));
  const auto share = [&](double seconds) { return 100 * seconds / std::max(s.seconds, 1e-9); };
  fmt::print("time                 {:.1f} s: {:.1f}% decode, {:.1f}% prefixes, {:.1f}% waiting for the oracle\n", s.seconds,
             share(result.counters.decode_seconds), share(result.counters.prefill_seconds), share(s.verdict_seconds));
  fmt::print("Next: pivotal pairs {0} --output {0}/pairs.jsonl\n", run.string());
}

}  // namespace

void AddSearch(CLI::App& app) {
  auto* sub = app.add_subcommand("search", "Find the pivotal tokens of sampled responses");
  auto flags = std::make_shared<Flags>();
  auto& search = flags->config.search;
  AddModelFlags(*sub, flags->config.model);
  AddSystemFlag(*sub, flags->config.model);
  AddProblemFlags(*sub, flags->config.problems);
  auto* output = sub->add_option("--output", flags->output, "run folder to make");
  auto* resume = sub->add_option("--resume", flags->resume,
                                 "go on with this run folder, under its own settings (budgets may be new)");
  resume->excludes(output);
  sub->add_flag("--shared", flags->shared,
                "search together with other processes that do the same: one makes the run by --output, others --resume it, at "
                "any time; under mpirun -n N or srun that is so without the flag");
  sub->add_option("--shard", flags->config.problems.options.shard,
                  "2/8: of the problems the second, tenth, ...; for job arrays, pivotal merge joins the runs");
  sub->add_option("--strategy", flags->config.strategy,
                  "anchored; subdivide (published), subdivide-length, exhaustive: the references; none: responses alone")
      ->check(CLI::IsMember(pts::StrategyNames()))
      ->capture_default_str();
  sub->add_option("--gap", search.gap, "a token is pivotal if p(success) changes by this much")
      ->check(kOpenUnitInterval)->capture_default_str();
  sub->add_option("--samples", search.samples, "rollouts from each prompt; of the references, for each estimate")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--tolerance", search.tolerance,
                  "anchored: a change this near the gap may be decided either way")
      ->check(kOpenUnitInterval)->capture_default_str();
  sub->add_option("--confidence", search.confidence,
                  "of a change of gap - tolerance for each token that is reported, and of intervals")
      ->check(CLI::Range(0.5, 0.999999))->capture_default_str();
  sub->add_option("--min-yield", search.min_yield,
                  "anchored: go on while as many tokens as a response has settle this many tokens")
      ->check(CLI::PositiveNumber)->capture_default_str();
  sub->add_option("--max-rollouts", search.max_rollouts, "anchored: for each response, never more")
      ->check(CLI::Range(1, 1 << 24))->capture_default_str();
  sub->add_option("--budget-tokens", search.budget_tokens,
                  "generated tokens of the whole run, never more; the most telling rollouts go first; 0: no limit")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  sub->add_option("--budget-seconds", search.budget_seconds, "wall time of this call; 0: no limit")
      ->check(CLI::NonNegativeNumber)->capture_default_str();
  sub->add_option("--judge-threads", search.judge_threads,
                  "ask the oracle on this many threads while rollouts decode")
      ->check(CLI::Range(1, 1024))->capture_default_str();
  sub->add_option("--confirm", search.confirm, "fresh rollouts per side of a candidate pair")
      ->check(CLI::Range(0, 1 << 20))->capture_default_str();
  sub->add_option("--min-success", search.min_success, "leave problems with a lower p(success)")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  sub->add_option("--max-success", search.max_success, "leave problems with a higher p(success)")
      ->check(CLI::Range(0.0, 1.0))->capture_default_str();
  sub->add_option("--responses", search.responses, "responses to search per problem")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--group", search.group, "problems that share batches and are stored together")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  AddSamplingFlags(*sub, flags->config.sampling);
  // With --resume, every setting comes from run.toml.
  for (const char* name : {"--model", "--problems"}) sub->get_option(name)->required(false);
  sub->callback([flags, sub] {
    if (!sub->get_option("--budget-tokens")->empty())
      flags->resume_options.budget_tokens = flags->config.search.budget_tokens;
    if (!sub->get_option("--budget-seconds")->empty())
      flags->resume_options.budget_seconds = flags->config.search.budget_seconds;
    if (flags->resume.empty()) {
      for (const char* name : {"--model", "--problems", "--output"})
        if (sub->get_option(name)->empty()) throw CLI::RequiredError(name);
    }
    Run(*flags);
  });
}

}  // namespace pivotal::cli
