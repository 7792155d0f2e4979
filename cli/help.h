// Apache-2.0. What --help prints: the options that a command is mostly used with, by group, and
// examples. --help-all prints every option.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::cli {

// Groups of options. An option that is added belongs to the group that Under() named last.
namespace group {
inline constexpr const char* kModel = "Model";
inline constexpr const char* kServers = "Servers";
inline constexpr const char* kProblems = "Problems";
inline constexpr const char* kOracle = "Oracle";
inline constexpr const char* kSearch = "Search";
inline constexpr const char* kBudget = "Budget";
inline constexpr const char* kSampling = "Sampling";
inline constexpr const char* kPairs = "Pairs";
inline constexpr const char* kData = "Data";
inline constexpr const char* kLoss = "Loss";
inline constexpr const char* kWeights = "Weights";
inline constexpr const char* kSteps = "Steps";
inline constexpr const char* kHeldOut = "Held-out data";
inline constexpr const char* kInput = "Input";
inline constexpr const char* kRun = "Run";
inline constexpr const char* kOutput = "Output";
inline constexpr const char* kGeneral = "General";  // what every command has
}  // namespace group
void Under(CLI::App& app, const char* group);

struct Example {
  std::string what;       // a sentence without its full stop
  std::string arguments;  // what follows "pivotal "
};

struct HelpPage {
  std::string usage;               // what follows "pivotal COMMAND "
  std::vector<std::string> usual;  // names of the options that --help shows
  std::vector<Example> examples;
  std::string guide;  // page that says more, e.g. "docs/search.md"
};

// Gives a command its help and --help-all. Call it once all of its options are added. A name in
// `usual` that no option has is a fault of this program: throws std::logic_error.
void SetHelp(CLI::App& command, HelpPage page);
// Gives the program its help, which lists the commands by group.
void SetProgramHelp(CLI::App& app);

// Returns the description of a command up to its first semicolon.
std::string BriefDescription(const CLI::App& command);

// Returns the word that stands for an option's value in help, e.g. "FILE" or "N"; "" for a flag.
std::string ValueWord(const CLI::Option& option);

// Returns the lines of the error that the arguments caused: what is wrong, what was probably meant,
// and where help is.
std::string UsageFault(const CLI::App& app, const CLI::ParseError& error);

}  // namespace pivotal::cli
