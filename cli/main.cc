// Apache-2.0. The program `pivotal`. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 stopped
// by Ctrl-C.
#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <new>
#include <string>
#include <typeinfo>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/base/error.h"
#include "data/base/text.h"
#include "kernels/cpu_kernels.h"
#include "pivotal/version.h"

namespace pivotal::cli {
namespace {

// Reads the arguments and does what they say. Returns the exit code.
int Run(int argc, char** argv) {
  CLI::App app(
      "Pivotal: finds the tokens that decide whether a language model solves a problem, and "
      "trains the model on exactly those decisions.",
      "pivotal");
  app.set_version_flag("--version", [] {
    const auto isas = kernels::SupportedIsas();
    return fmt::format("pivotal {}\n{}\nthis CPU runs {}", PIVOTAL_VERSION_STRING,
                       PIVOTAL_BUILD_FACTS, kernels::IsaName(isas.back()));
  });
  app.require_subcommand(1);
  app.option_defaults()->take_last();  // the last of several equal flags counts
  app.get_formatter()->column_width(34);
  AddDemo(app);
  AddSearch(app);
  AddMerge(app);
  AddPairs(app);
  AddCurve(app);
  AddAnswers(app);
  AddShow(app);
  AddReport(app);
  AddExport(app);
  AddImport(app);
  AddTrain(app);
  AddMergeAdapter(app);
  AddEval(app);
  AddAblate(app);
  AddGenerate(app);
  AddScore(app);
  AddGrade(app);
  AddBench(app);
  AddInfo(app);
  AddTokenize(app);
  CheckAllOptions(app);
  InstallLogger();
  InstallStopHandler();
  std::signal(SIGXFSZ, SIG_IGN);  // makes writes beyond a file-size limit fail, like a full disk
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
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
