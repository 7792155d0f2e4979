// Apache-2.0.
#include "pts/oracles/code_text.h"

#include <algorithm>
#include <optional>

namespace pivotal::pts {
namespace {

// Takes the first line off `text`, without its line end.
std::string_view TakeLine(std::string_view& text) {
  const auto end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::size_t Indent(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

struct Fence {
  std::size_t indent, ticks;
  std::string mark;  // first word behind it, lower case
};

std::optional<Fence> ReadFence(std::string_view line) {
  Fence fence{.indent = Indent(line), .ticks = 0, .mark = {}};
  line.remove_prefix(fence.indent);
  fence.ticks = std::min(line.find_first_not_of('`'), line.size());
  line.remove_prefix(fence.ticks);
  if (fence.ticks < 3 || line.find('`') != std::string_view::npos) return std::nullopt;
  line.remove_prefix(Indent(line));
  for (const char c : line.substr(0, line.find_first_of(" \t{"))) {
    fence.mark += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return fence;
}

// The lines up to the fence that closes `open`; `text` goes on behind it.
std::string TakeBlock(std::string_view& text, const Fence& open) {
  std::string block;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    const auto fence = ReadFence(line);
    if (fence && fence->ticks >= open.ticks && fence->mark.empty()) break;
    line.remove_prefix(std::min(open.indent, Indent(line)));
    block.append(line).append(1, '\n');
  }
  return block;
}

bool IsPython(std::string_view mark) {
  return mark == "python" || mark == "py" || mark == "python3";
}

bool StartsWithName(std::string_view line, std::string_view name) {
  if (!line.starts_with(name)) return false;
  line.remove_prefix(name.size());
  line.remove_prefix(Indent(line));
  return line.starts_with('(') || line.starts_with(':') ||
         (line.starts_with('=') && !line.starts_with("=="));
}

bool Defines(std::string_view line, std::string_view name) {
  for (const std::string_view keyword : {"async ", "def ", "class "}) {
    if (!line.starts_with(keyword)) continue;
    line.remove_prefix(keyword.size());
    line.remove_prefix(Indent(line));
  }
  return StartsWithName(line, name);
}

}  // namespace

std::string FindProgram(std::string_view response) {
  std::optional<std::string> marked, bare;
  for (std::string_view rest = response; !rest.empty();) {
    const auto fence = ReadFence(TakeLine(rest));
    if (!fence) continue;
    std::string block = TakeBlock(rest, *fence);
    if (IsPython(fence->mark)) {
      marked = std::move(block);
    } else if (fence->mark.empty()) {
      bare = std::move(block);
    }
  }
  if (marked) return *std::move(marked);
  if (bare) return *std::move(bare);
  return std::string(response);
}

bool IsCompletion(std::string_view program, std::string_view name) {
  bool first = true;
  while (!program.empty()) {
    const std::string_view line = TakeLine(program);
    const std::size_t indent = Indent(line);
    if (indent == line.size()) continue;  // blank
    if (first && indent > 0) return true;
    first = false;
    if (Defines(line, name)) return false;
  }
  return true;
}

std::string_view CutCompletion(std::string_view completion) {
  std::size_t end = completion.size();
  for (const std::string_view stop : {"\nclass", "\ndef", "\n#", "\nif __name__", "\nprint"})
    end = std::min(end, completion.find(stop));
  return completion.substr(0, end);
}

}  // namespace pivotal::pts
