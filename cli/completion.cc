// Apache-2.0. pivotal completion: scripts that let a shell complete commands, options and values.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/text.h"

namespace pivotal::cli {
namespace {

// What stands for the value of an option, or for an argument.
struct ValueKind {
  std::vector<std::string> choices;
  bool file = false, folder = false;
};

ValueKind KindOf(const CLI::Option& option) {
  ValueKind kind{ChoicesOf(option)};
  const std::string word = ValueWord(option);
  kind.folder = word == "FOLDER" || word == "RUN" || (word == "TEXT" && option.get_name() == "run");
  kind.file = word == "FILE" || word == "PATH" || option.get_positional();
  return kind;
}

// Returns the beginning of a description, for one line of a list.
std::string Short(const CLI::Option& option) {
  const std::string& text = option.get_description();
  std::string line = text.substr(0, text.find_first_of(";:"));
  constexpr std::size_t kMost = 70;
  if (line.size() > kMost) line = line.substr(0, line.rfind(' ', kMost)) + " ...";
  return line;
}

// Takes a command and its name, such as "search" or "bench rollouts".
using Visit = std::function<void(const std::string& name, const CLI::App& command)>;

void ForEachCommand(const CLI::App& app, const std::string& before, const Visit& visit) {
  for (const CLI::App* command : app.get_subcommands({})) {
    const std::string name = before + command->get_name();
    if (command->get_subcommands({}).empty())
      visit(name, *command);
    else
      ForEachCommand(*command, name + " ", visit);
  }
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

bool HasValue(const CLI::Option& option) { return option.get_items_expected_max() != 0; }

// Calls f(name with its dashes, option) for each name of each option that is no argument.
template <typename F>
void ForEachName(const CLI::App& command, F&& f) {
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_positional()) continue;
    for (const std::string& letter : option->get_snames()) f("-" + letter, *option);
    for (const std::string& name : option->get_lnames()) f("--" + name, *option);
  }
}

// Returns the commands that have commands, of which a second word chooses one.
std::vector<const CLI::App*> Parents(const CLI::App& app) {
  std::vector<const CLI::App*> parents;
  for (const CLI::App* command : app.get_subcommands({}))
    if (!command->get_subcommands({}).empty()) parents.push_back(command);
  return parents;
}

std::string BashScript(const CLI::App& app) {
  std::string text =
      "# Completion of pivotal for bash: eval \"$(pivotal completion bash)\"\n"
      "_pivotal() {\n"
      "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" command= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    [[ ${COMP_WORDS[i]} == -* ]] && break\n"
      "    command+=\"${command:+ }${COMP_WORDS[i]}\"\n"
      "    [[ $command == @(";
  std::vector<std::string> parents;
  for (const CLI::App* parent : Parents(app)) parents.push_back(parent->get_name());
  text += fmt::format(
      "{}) ]] || break\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case \"$command $prev\" in\n",
      fmt::join(parents, "|"));
  std::string options;
  ForEachCommand(app, "", [&](const std::string& name, const CLI::App& command) {
    std::vector<std::string> names;
    std::vector<std::string> plain;  // options whose value nothing completes
    bool file = false;
    for (const CLI::Option* option : command.get_options())
      file = file || (option->get_positional() && (KindOf(*option).file || KindOf(*option).folder));
    ForEachName(command, [&](const std::string& flag, const CLI::Option& option) {
      names.push_back(flag);
      if (!HasValue(option)) return;
      const ValueKind kind = KindOf(option);
      const std::string label = fmt::format("'{} {}'", name, flag);
      if (!kind.choices.empty())
        text += fmt::format(
            "    {}) mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$cur\"); return ;;\n", label,
            fmt::join(kind.choices, " "));
      else if (kind.folder || kind.file)
        text += fmt::format(
            "    {}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -{} -- \"$cur\"); "
            "return ;;\n",
            label, kind.folder ? 'd' : 'f');
      else
        plain.push_back(label);
    });
    if (!plain.empty()) text += fmt::format("    {}) return ;;\n", fmt::join(plain, "|"));
    options += fmt::format("    '{}') words='{}' files={} ;;\n", name, fmt::join(names, " "),
                           file ? 1 : 0);
  });
  text += "  esac\n  local words= files=0\n  case \"$command\" in\n";
  text +=
      fmt::format("    '') words='{} --help --version' ;;\n", fmt::join(CommandNames(app), " "));
  for (const CLI::App* parent : Parents(app))
    text += fmt::format("    {}) words='{} --help' ;;\n", parent->get_name(),
                        fmt::join(CommandNames(*parent), " "));
  text += options;
  text +=
      "  esac\n"
      "  if [[ $files == 1 && $cur != -* ]]; then\n"
      "    compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
      "  else\n"
      "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
      "  fi\n"
      "}\n"
      "complete -F _pivotal pivotal\n";
  return text;
}

// Returns a text for zsh's _arguments and _describe, between single quotes.
std::string ZshText(std::string text) {
  for (const auto& [from, to] :
       {std::pair{"\\", "\\\\"}, std::pair{":", "\\:"}, std::pair{"[", "\\["},
        std::pair{"]", "\\]"}, std::pair{"'", "'\\''"}})
    data::ReplaceAll(text, from, to);
  return text;
}

std::string ZshAction(const ValueKind& kind) {
  if (!kind.choices.empty()) return fmt::format("({})", fmt::join(kind.choices, " "));
  if (kind.folder) return "_files -/";
  return kind.file ? "_files" : " ";
}

std::string ZshScript(const CLI::App& app) {
  std::string text =
      "#compdef pivotal\n"
      "# Completion of pivotal for zsh: pivotal completion zsh > a folder of $fpath/_pivotal\n";
  const auto list = [&](const CLI::App& of) {
    std::string lines;
    for (const CLI::App* command : of.get_subcommands({}))
      lines +=
          fmt::format("      '{}:{}'\n", command->get_name(), ZshText(BriefDescription(*command)));
    return lines;
  };
  text +=
      "_pivotal() {\n  local -a commands\n  local command=$words[2]\n  if (( CURRENT == 2 )); "
      "then\n";
  text +=
      "    commands=(\n" + list(app) + "    )\n    _describe command commands\n    return\n  fi\n";
  text += "  shift words; (( CURRENT-- ))\n";
  for (const CLI::App* parent : Parents(app))
    text += fmt::format(
        "  if [[ $command == {0} ]]; then\n    if (( CURRENT == 2 )); then\n      commands=(\n{1}"
        "      )\n      _describe command commands\n      return\n    fi\n"
        "    command=\"{0} $words[2]\"; shift words; (( CURRENT-- ))\n  fi\n",
        parent->get_name(), list(*parent));
  text += "  case $command in\n";
  ForEachCommand(app, "", [&](const std::string& name, const CLI::App& command) {
    text += fmt::format("    '{}')\n      _arguments \\\n", name);
    ForEachName(command, [&](const std::string& flag, const CLI::Option& option) {
      text += fmt::format("        '*{}[{}]", flag, ZshText(Short(option)));
      if (HasValue(option))
        text += fmt::format(":{}:{}", ValueWord(option), ZshAction(KindOf(option)));
      text += "' \\\n";
    });
    for (const CLI::Option* option : command.get_options())
      if (option->get_positional())
        text +=
            fmt::format("        '*:{}:{}' \\\n", option->get_name(), ZshAction(KindOf(*option)));
    text += "        && return\n      ;;\n";
  });
  return text + "  esac\n}\ncompdef _pivotal pivotal\n";
}

std::string FishText(std::string text) {
  data::ReplaceAll(text, "\\", "\\\\");
  data::ReplaceAll(text, "'", "\\'");
  return "'" + text + "'";
}

std::string FishScript(const CLI::App& app) {
  std::string text =
      "# Completion of pivotal for fish: pivotal completion fish | source\n"
      "complete -c pivotal -f\n";
  const auto add = [&](const std::string& condition, const CLI::App& command) {
    text += fmt::format("complete -c pivotal -n {} -a {} -d {}\n", FishText(condition),
                        command.get_name(), FishText(BriefDescription(command)));
  };
  for (const CLI::App* command : app.get_subcommands({})) add("__fish_use_subcommand", *command);
  for (const CLI::App* parent : Parents(app))
    for (const CLI::App* command : parent->get_subcommands({}))
      add(fmt::format("__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from {}",
                      parent->get_name(), fmt::join(CommandNames(*parent), " ")),
          *command);
  ForEachCommand(app, "", [&](const std::string& name, const CLI::App& command) {
    const std::string condition =
        FishText("__fish_seen_subcommand_from " + name.substr(name.rfind(' ') + 1));
    for (const CLI::Option* option : command.get_options()) {
      const ValueKind kind = KindOf(*option);
      if (option->get_positional()) {
        if (kind.file || kind.folder) text += "complete -c pivotal -n " + condition + " -F\n";
        continue;
      }
      text += "complete -c pivotal -n " + condition;
      for (const std::string& letter : option->get_snames()) text += " -s " + letter;
      for (const std::string& flag : option->get_lnames()) text += " -l " + flag;
      if (!kind.choices.empty())
        text += fmt::format(" -x -a '{}'", fmt::join(kind.choices, " "));
      else if (kind.folder)
        text += " -x -a '(__fish_complete_directories)'";
      else if (HasValue(*option))
        text += kind.file ? " -r -F" : " -x";
      text += " -d " + FishText(Short(*option)) + "\n";
    }
  });
  return text;
}

}  // namespace

void AddCompletion(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "completion", "Print a script that lets a shell complete commands, options and values");
  auto shell = std::make_shared<std::string>();
  sub->add_option("shell", *shell, "the shell: bash, zsh or fish")
      ->required()
      ->check(OneOf({"bash", "zsh", "fish"}));
  SetHelp(*sub, {"SHELL",
                 {},
                 {{"complete in this bash", "completion bash > ~/.pivotal.bash; . ~/.pivotal.bash"},
                  {"complete in every zsh",
                   "completion zsh > ~/.zfunc/_pivotal  # ~/.zfunc must be in fpath"}},
                 "docs/start.md"});
  sub->callback([&app, shell] {
    PrintNow(*shell == "bash"  ? BashScript(app)
             : *shell == "zsh" ? ZshScript(app)
                               : FishScript(app));
  });
}

}  // namespace pivotal::cli
