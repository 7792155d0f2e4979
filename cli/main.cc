// Apache-2.0. The program `pivotal`. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 stopped
// by Ctrl-C.
#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <typeinfo>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/error.h"
#include "data/base/text.h"
#include "kernels/cpu_kernels.h"
#include "pivotal/version.h"

namespace pivotal::cli {
namespace {

// Adds all commands, in the groups and the order in which help lists them.
void AddCommands(CLI::App& app) {
  struct Command {
    const char* group;
    void (*add)(CLI::App&);
  };
  constexpr const char *kFirst = "Try it", *kFind = "Find pivotal tokens", *kLook = "Look at a run",
                       *kTune = "Train", *kMeasure = "Measure", *kExchange = "Exchange",
                       *kTools = "Tools";
  for (const auto& [group, add] : std::initializer_list<Command>{
           {kFirst, AddDemo},      {kFind, AddSearch},       {kFind, AddMerge},
           {kLook, AddWatch},      {kLook, AddShow},         {kLook, AddReport},
           {kLook, AddCurve},      {kLook, AddAnswers},      {kTune, AddPairs},
           {kTune, AddTrain},      {kTune, AddMergeAdapter}, {kMeasure, AddEval},
           {kMeasure, AddAblate},  {kMeasure, AddGrade},     {kMeasure, AddScore},
           {kMeasure, AddBench},   {kExchange, AddExport},   {kExchange, AddImport},
           {kTools, AddGenerate},  {kTools, AddInfo},        {kTools, AddTokenize},
           {kTools, AddCompletion}}) {
    const auto known = app.get_subcommands({}).size();
    add(app);
    app.get_subcommands({})[known]->group(group);
  }
}

// Adds what every command has.
void AddGeneralFlags(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands({})) {
    Under(*command, group::kGeneral);
    command->get_help_ptr()->group(group::kGeneral);
    command->set_help_all_flag("--help-all", "show all options")->group(group::kGeneral);
    if (command->get_require_subcommand_min() > 0) {
      AddGeneralFlags(*command);
      continue;
    }
    auto* quiet = command->add_flag_callback(
        "-q,--quiet", [] { SetLoudness(Loudness::kQuiet); },
        "show no progress and no notes, but results, warnings and errors");
    command
        ->add_flag_callback(
            "-v,--verbose", [] { SetLoudness(Loudness::kVerbose); },
            "say what is loaded and chosen, and show more progress")
        ->excludes(quiet);
  }
}

// Reads the arguments and does what they say. Returns the exit code.
int Run(int argc, char** argv) {
  CLI::App app(
      "Pivotal: finds the tokens that decide whether a language model solves a problem, and "
      "trains the model on exactly those decisions",
      "pivotal");
  app.set_version_flag("--version", [] {
    const auto isas = kernels::SupportedIsas();
    return fmt::format("pivotal {}\n{}\nthis CPU runs {}", PIVOTAL_VERSION_STRING,
                       PIVOTAL_BUILD_FACTS, kernels::IsaName(isas.back()));
  });
  app.require_subcommand(1);
  app.option_defaults()->take_last();  // the last of several equal flags counts
  app.set_help_flag("-h,--help", "show the usual options and examples");
  app.set_help_all_flag("--help-all", "show all options");
  AddCommands(app);
  AddGeneralFlags(app);
  SetProgramHelp(app);
  CheckAllOptions(app);
  InstallLogger();
  InstallStopHandler();
  std::signal(SIGXFSZ, SIG_IGN);  // makes writes beyond a file-size limit fail, like a full disk
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    PrintStderr(UsageFault(app, error));
    return 2;
  }
  FlushStdout();
  return 0;
}

}  // namespace
}  // namespace pivotal::cli

int main(int argc, char** argv) {
  using pivotal::cli::PrintStderr;
  using pivotal::data::Visible;
  try {
    return pivotal::cli::Run(argc, argv);
  } catch (const pivotal::Interrupted& stop) {
    PrintStderr(fmt::format("\npivotal: {}\n", Visible(stop.what())));
    return 130;
  } catch (const std::bad_alloc&) {
    PrintStderr(
        "pivotal: memory ran out; close other programs, or take a smaller model or batch\n");
  } catch (const pivotal::Error& error) {
    PrintStderr(fmt::format("pivotal: {}\n", Visible(pivotal::cli::FirstLine(error.what()))));
  } catch (const std::exception& error) {  // of a library, or a fault of this program
    const std::string why(pivotal::cli::FirstLine(error.what()));
    PrintStderr(
        fmt::format("pivotal: it failed in a way that was not foreseen: {}; please report "
                    "this line and the command\n",
                    Visible(why.empty() ? typeid(error).name() : why)));
  }
  return 1;
}
