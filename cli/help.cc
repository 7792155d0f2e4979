// Apache-2.0.
#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "cli/checks.h"
#include "cli/console.h"
#include "data/base/text.h"

namespace pivotal::cli {
namespace {

constexpr std::size_t kColumn = 28;  // where descriptions begin

// Returns the parts of a type such as "INT:at least 1": the type, and what its checks accept.
std::pair<std::string, std::string> SplitType(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto colon = type.find(':');
  if (colon == std::string::npos) return {type, ""};
  return {type.substr(0, colon), type.substr(colon + 1)};
}

// Returns what an option accepts beside its word, and its default: " [in (0, 1]; default 1]".
std::string Bounds(const CLI::Option& option) {
  std::vector<std::string> parts;
  const auto choices = ChoicesOf(option);
  const std::string word = ValueWord(option);
  const std::string accepted = SplitType(option).second;
  if (!choices.empty())
    parts.push_back(fmt::format("one of {}", fmt::join(choices, ", ")));
  else if (!accepted.empty() && word != "SIZE" && accepted != word && accepted != "DIR")
    parts.push_back(accepted);
  for (const CLI::Option* other : option.get_needs()) parts.push_back("with " + other->get_name());
  if (option.get_items_expected_max() != 0 && !option.get_default_str().empty())
    parts.push_back("default " + option.get_default_str());
  return parts.empty() ? "" : fmt::format(" [{}]", fmt::join(parts, "; "));
}

// Returns `text` in lines of at most `width` characters, of which those after the first begin with
// `indent` spaces. The first begins at `column`.
std::string Wrapped(std::string_view text, std::size_t column, std::size_t indent,
                    std::size_t width) {
  std::string lines;
  std::size_t at = column;
  bool first = true;
  while (!text.empty()) {
    const std::size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    if (!first && at + 1 + word.size() > width) {
      lines += "\n" + std::string(indent, ' ');
      at = indent;
    } else if (!first) {
      lines += ' ';
      ++at;
    }
    lines += word;
    at += word.size();
    first = false;
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  return lines + "\n";
}

// Returns how a command is called: "pivotal bench rollouts".
std::string CommandName(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : CommandName(*parent) + " " + app.get_name();
}

// Returns one entry of a list: a name and, from a column on, its description.
std::string Entry(const std::string& name, const std::string& description, std::size_t width) {
  std::string text = "  " + name;
  if (text.size() + 2 > kColumn)
    text += "\n" + std::string(kColumn, ' ');
  else
    text.resize(kColumn, ' ');
  return text + Wrapped(description, kColumn, kColumn, width);
}

std::string NameOf(const CLI::Option& option) {
  if (option.get_positional()) {
    std::string name = option.get_name();
    std::ranges::transform(name, name.begin(), [](char c) { return data::Upper(c); });
    return name;
  }
  std::string name;
  for (const auto& letter : option.get_snames()) name += "-" + letter + ", ";
  name += "--" + option.get_lnames().front();
  const std::string word = ValueWord(option);
  return word.empty() ? name : name + " " + word;
}

std::string OptionEntry(const CLI::Option& option, std::size_t width) {
  return Entry(NameOf(option), option.get_description() + Bounds(option), width);
}

class PageFormatter : public CLI::Formatter {
 public:
  explicit PageFormatter(HelpPage page) : page_(std::move(page)) {}

  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode mode) const override {
    const bool all = mode != CLI::AppFormatMode::Normal;
    const std::size_t width = HelpWidth();
    const std::string command = CommandName(*app);
    std::string text = Wrapped(app->get_description() + ".", 0, 0, width);
    text += fmt::format("\nUsage: {} {}\n", command, page_.usage);
    const auto options = app->get_options();
    std::vector<std::string> groups;
    for (const CLI::Option* option : options)
      if (std::ranges::find(groups, GroupOf(*option)) == groups.end())
        groups.push_back(GroupOf(*option));
    // What the command is given, first; what every command has, last.
    std::ranges::stable_sort(groups, {}, [](const std::string& name) {
      return name == kArguments ? 0 : name == group::kGeneral ? 2 : 1;
    });
    std::size_t hidden = 0;
    for (const std::string& name : groups) {
      std::string entries;
      for (const CLI::Option* option : options) {
        if (GroupOf(*option) != name) continue;
        const bool usual = option->get_positional() ||
                           std::ranges::find(page_.usual, option->get_name()) != page_.usual.end();
        if (all || usual)
          entries += OptionEntry(*option, width);
        else if (name != group::kGeneral)
          ++hidden;
      }
      if (!entries.empty()) text += fmt::format("\n{}:\n{}", name, entries);
    }
    if (!page_.examples.empty()) text += "\nExamples:\n";
    for (const Example& example : page_.examples)
      text += fmt::format("  # {}\n  pivotal {}\n", example.what, example.arguments);
    if (!all || !page_.guide.empty()) text += "\n";
    if (!all && hidden > 0)
      text += fmt::format("{} --help-all shows {} more option{}.\n", command, hidden,
                          hidden == 1 ? "" : "s");
    if (!page_.guide.empty()) text += fmt::format("Guide: {}\n", page_.guide);
    return text;
  }

 private:
  static constexpr const char* kArguments = "Arguments";

  static std::string GroupOf(const CLI::Option& option) {
    if (option.get_positional()) return kArguments;
    return option.get_group();
  }

  HelpPage page_;
};

// The program's own help, and that of a command that has commands: the commands by group.
class ListFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode mode) const override {
    const std::size_t width = HelpWidth();
    const CLI::App* parent = app->get_parent();
    const std::string name = CommandName(*app);
    std::string text = Wrapped(app->get_description() + ".", 0, 0, width);
    text += fmt::format("\nUsage: {} COMMAND [OPTIONS]\n", name);
    const auto commands = app->get_subcommands({});
    std::vector<std::string> groups;
    for (const CLI::App* command : commands)
      if (std::ranges::find(groups, command->get_group()) == groups.end())
        groups.push_back(command->get_group());
    for (const std::string& group : groups) {
      text += "\n" + (group == "Subcommands" ? "Commands" : group) + ":\n";
      for (const CLI::App* command : commands)
        if (command->get_group() == group)
          text += Entry(command->get_name(), BriefDescription(*command), width);
    }
    text += "\nOptions:\n";
    for (const CLI::Option* option : app->get_options()) text += OptionEntry(*option, width);
    text += fmt::format("\n{} COMMAND --help explains a command.\n", name);
    if (parent == nullptr)
      text += "Start with: pivotal demo. Documentation: README.md and docs/start.md.\n";
    if (mode == CLI::AppFormatMode::All)
      for (const CLI::App* command : commands)
        text += fmt::format("\n\n==== {} {} ====\n{}", name, command->get_name(),
                            command->help("", CLI::AppFormatMode::All));
    return text;
  }
};

}  // namespace

void Under(CLI::App& app, const char* group) { app.option_defaults()->group(group); }

std::string BriefDescription(const CLI::App& command) {
  const std::string text = command.get_description();
  return text.substr(0, text.find(';'));
}

std::string ValueWord(const CLI::Option& option) {
  if (option.get_items_expected_max() == 0) return "";
  const auto [type, accepted] = SplitType(option);
  if (accepted.starts_with("SIZE")) return "SIZE";
  if (accepted.starts_with("NAME[")) return "LOSSES";
  if (type == "UINT" || type == "INT") return "N";
  if (type == "FLOAT") return "X";
  if (!ChoicesOf(option).empty()) return "NAME";
  if (type == "TEXT") return accepted == "DIR" ? "FOLDER" : "TEXT";
  return type;
}

void SetHelp(CLI::App& command, HelpPage page) {
  for (const std::string& name : page.usual)
    if (command.get_option_no_throw(name) == nullptr)
      throw std::logic_error(fmt::format("pivotal {} has no option {}", command.get_name(), name));
  command.formatter(std::make_shared<PageFormatter>(std::move(page)));
}

void SetProgramHelp(CLI::App& app) { app.formatter(std::make_shared<ListFormatter>()); }

std::string UsageFault(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().back();
  const std::string name = CommandName(*command);
  const auto commands = command->get_subcommands({});
  std::string what = error.what();
  // A name that was mistyped is the cause where something else seems to be missing.
  const auto extras = app.remaining(/*recurse=*/true);
  const bool missing = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::RequiredError);
  const bool extra = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  if ((extra || missing) && !extras.empty()) {
    const auto option =
        std::ranges::find_if(extras, [](const std::string& word) { return word.starts_with("-"); });
    const std::string given = option == extras.end() ? extras.front() : *option;
    const std::string word = given.substr(0, given.find('='));
    std::vector<std::string> names;
    if (word.starts_with("-")) {
      for (const CLI::Option* option : command->get_options())
        for (const std::string& known : option->get_lnames()) names.push_back("--" + known);
      what = fmt::format("{} is no option of {}{}", word, name, data::DidYouMean(word, names));
    } else if (!commands.empty()) {
      for (const CLI::App* one : commands) names.push_back(one->get_name());
      what = fmt::format("{} is no command of {}{}", word, name, data::DidYouMean(word, names));
    } else {
      what = fmt::format("{}: nothing is expected here", word);
    }
  } else if (missing && !commands.empty()) {
    what = "a command is missing";
  } else if (missing) {
    for (const CLI::Option* option : command->get_options())
      if (option->get_positional() && what.starts_with(option->get_name() + " is"))
        what = NameOf(*option) + what.substr(option->get_name().size());
  } else if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch)) {
    const std::string option = what.substr(0, what.find(':'));
    if (what.find(" missing") != std::string::npos) what = option + ": its value is missing";
  }
  return fmt::format("pivotal: {}\n{} --help says more\n", data::Visible(what), name);
}

}  // namespace pivotal::cli
