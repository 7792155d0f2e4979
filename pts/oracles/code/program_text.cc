// Apache-2.0.
#include "pts/oracles/code/program_text.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <set>
#include <utility>

#include "data/base/text.h"

namespace pivotal::pts {
namespace {

// Removes the first line from `text` and returns it without its line end.
std::string_view TakeLine(std::string_view& text) {
  const auto end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Returns the number of leading blanks and tabs.
std::size_t Indent(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

bool IsBlank(std::string_view text) { return data::Trim(text).empty(); }

bool IsNameLetter(char c) { return data::IsLetter(c) || data::IsDigit(c) || c == '_'; }

// Returns the letters, digits and "_" that `text` begins with.
std::string_view FirstName(std::string_view text) {
  const auto end = std::ranges::find_if_not(text, IsNameLetter) - text.begin();
  return text.substr(0, static_cast<std::size_t>(end));
}

// Lines of Python.

// Returns true if `rest` of a line assigns to what stands before it: "= 1", "+= 1", ": int = 1".
bool Assigns(std::string_view rest) {
  rest.remove_prefix(Indent(rest));
  if (rest.starts_with(':')) return rest.find(" = ") != std::string_view::npos;
  const std::size_t sign = std::min(rest.find_first_not_of("+-*/%|&^"), rest.size());
  return sign <= 2 && rest.substr(sign).starts_with('=') && !rest.substr(sign).starts_with("==");
}

// Returns true if a line, without its indent, looks like Python and not like prose.
bool LooksLikeCode(std::string_view line) {
  constexpr std::array<std::string_view, 12> kWithColon = {"if",    "elif",  "else",  "for",
                                                           "while", "try",   "with",  "except",
                                                           "def",   "class", "async", "finally"};
  constexpr std::array<std::string_view, 8> kPlain = {"return", "pass",   "break", "continue",
                                                      "raise",  "assert", "yield", "del"};
  for (std::string_view start : {"@", "#", "\"\"\"", "'''", ")", "]", "}"})
    if (line.starts_with(start)) return true;
  const auto word = FirstName(line);
  if (word.empty()) return false;
  std::string_view rest = line.substr(word.size());
  const auto is = [&](std::string_view keyword) { return word == keyword; };
  if (std::ranges::any_of(kWithColon, is)) return rest.find_first_of(":(") != rest.npos;
  if (std::ranges::any_of(kPlain, is)) return true;
  if (word == "import") return rest.starts_with(' ') && rest.find('.') != rest.size() - 1;
  if (word == "from") return rest.find(" import ") != rest.npos;
  while (rest.starts_with('.') && rest.size() > 1 && IsNameLetter(rest[1])) {  // "x.y"
    rest.remove_prefix(1);
    rest.remove_prefix(FirstName(rest).size());
  }
  if (rest.starts_with('[')) rest.remove_prefix(std::min(rest.find(']'), rest.size() - 1) + 1);
  return rest.starts_with('(') || Assigns(rest);
}

// Returns the name that a top-level line defines by "def", "class" or an assignment; "" for none.
std::string_view DefinedName(std::string_view line) {
  bool keyword = false;
  for (const std::string_view word : {"async", "def", "class"}) {
    if (FirstName(line) != word) continue;
    line.remove_prefix(word.size());
    line.remove_prefix(Indent(line));
    keyword = true;
  }
  const auto name = FirstName(line);
  line.remove_prefix(name.size());
  line.remove_prefix(Indent(line));
  const bool defines = keyword ? line.starts_with('(') || line.starts_with(':') ||
                                     line.starts_with('[')  // a type parameter
                               : Assigns(line);
  return defines ? name : std::string_view();
}

bool Defines(std::string_view line, std::string_view name) {
  return !name.empty() && DefinedName(line) == name;
}

// A line at the left edge with the indented lines that follow it. Decorators belong to what they
// decorate; closing brackets, "else" and their like to what is before them.
struct Chunk {
  std::string_view text;
  std::string_view head;  // its first line that is no decorator
};

bool Continues(std::string_view line) {
  constexpr std::array<std::string_view, 4> kWords = {"else", "elif", "except", "finally"};
  if (line.empty() || Indent(line) > 0) return true;
  if (line[0] == ')' || line[0] == ']' || line[0] == '}') return true;
  return std::ranges::find(kWords, FirstName(line)) != kWords.end();
}

std::vector<Chunk> Chunks(std::string_view text) {
  std::vector<Chunk> chunks;
  bool decorated = false;
  while (!text.empty()) {
    const char* begin = text.data();
    const auto line = TakeLine(text);
    const auto size = static_cast<std::size_t>(text.data() - begin);
    if (!chunks.empty() && (decorated || Continues(line))) {
      Chunk& last = chunks.back();
      last.text = {last.text.data(), last.text.size() + size};
      if (decorated && !line.empty()) {
        last.head = line;
        decorated = line.starts_with('@');
      }
      continue;
    }
    chunks.push_back({{begin, size}, line});
    decorated = line.starts_with('@');
  }
  return chunks;
}

bool IsImport(std::string_view line) {
  return (line.starts_with("import ") || line.starts_with("from ")) && LooksLikeCode(line);
}

// Returns true for an import, a function, a class, and a constant that no call computes.
bool IsDefinition(const Chunk& chunk) {
  if (IsImport(chunk.head)) return true;
  if (DefinedName(chunk.head).empty()) return false;
  return !Assigns(chunk.head.substr(DefinedName(chunk.head).size())) ||
         chunk.text.find('(') == std::string_view::npos;
}

template <typename Test>
std::string JoinChunks(std::string_view text, const Test& test) {
  std::string joined;
  for (const Chunk& chunk : Chunks(text)) {
    if (!test(chunk)) continue;
    joined += chunk.text;
    if (!joined.ends_with('\n')) joined += '\n';
  }
  return joined;
}

using Names = std::set<std::string_view>;

// Adds all names in `text` to `names`.
void AddNames(std::string_view text, Names& names) {
  while (!text.empty()) {
    const auto name = FirstName(text);
    if (!name.empty()) names.insert(name);
    text.remove_prefix(std::max<std::size_t>(name.size(), 1));
  }
}

// Returns the names that a definition may give: all after "import", or its one name.
Names GivenNames(const Chunk& chunk) {
  Names names;
  if (IsImport(chunk.head))
    AddNames(chunk.text.substr(chunk.text.find("import") + 6), names);
  else
    names.insert(DefinedName(chunk.head));
  return names;
}

// Returns the definitions in `text` of names that `program`, or one of these definitions, uses, and
// that neither `program` nor `names` has.
std::string NeededDefinitions(std::string_view text, std::string_view program,
                              std::span<const std::string> names) {
  Names taken(names.begin(), names.end()), used;
  for (const Chunk& chunk : Chunks(program)) taken.insert(DefinedName(chunk.head));
  AddNames(program, used);
  const auto chunks = Chunks(text);
  std::vector<char> kept(chunks.size(), 0);
  for (bool more = true; more;) {
    more = false;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      if (kept[i] || !IsDefinition(chunks[i])) continue;
      const Names given = GivenNames(chunks[i]);
      const bool needed = std::ranges::any_of(
          given, [&](auto name) { return used.contains(name) && !taken.contains(name); });
      if (!needed) continue;
      kept[i] = more = true;
      AddNames(chunks[i].text, used);
    }
  }
  std::string joined;
  for (std::size_t i = 0; i < chunks.size(); ++i)
    if (kept[i]) joined.append(chunks[i].text).append(1, '\n');
  return joined;
}

// Fences.

struct Fence {
  std::size_t indent = 0, size = 0;
  char sign = '`';
  std::string mark;  // first word after the signs, in lower case
};

std::optional<Fence> ReadFence(std::string_view line) {
  Fence fence;
  fence.indent = Indent(line);
  line.remove_prefix(fence.indent);
  if (line.empty() || (line[0] != '`' && line[0] != '~')) return std::nullopt;
  fence.sign = line[0];
  fence.size = std::min(line.find_first_not_of(fence.sign), line.size());
  line.remove_prefix(fence.size);
  if (fence.size < 3 || line.find(fence.sign) != std::string_view::npos) return std::nullopt;
  line.remove_prefix(Indent(line));
  for (const char c : line.substr(0, line.find_first_of(" \t{:,"))) fence.mark += data::Lower(c);
  return fence;
}

bool Closes(const Fence& fence, const Fence& open) {
  return fence.sign == open.sign && fence.size >= open.size && fence.mark.empty() &&
         fence.indent <= open.indent + 3;
}

// Returns the code of a line that ends in the fence that closes `open`: "return x```"; nullopt for
// other lines.
std::optional<std::string_view> CodeBeforeClosing(std::string_view line, const Fence& open) {
  const auto whole = data::Trim(line);
  const std::size_t last = whole.find_last_not_of(open.sign);
  if (last == std::string_view::npos || whole.size() - last - 1 < open.size) return std::nullopt;
  const auto end = static_cast<std::size_t>(whole.data() + last + 1 - line.data());
  if (line.substr(0, end).find(open.sign) != std::string_view::npos) return std::nullopt;
  return line.substr(0, end);
}

// Removes the lines up to the fence that closes `open` from `text`, and that fence, and returns
// them.
std::string TakeBlock(std::string_view& text, const Fence& open) {
  std::string block;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    const auto fence = ReadFence(line);
    if (fence && Closes(*fence, open)) break;
    const auto code = fence ? std::nullopt : CodeBeforeClosing(line, open);
    if (code) line = *code;
    line.remove_prefix(std::min(open.indent, Indent(line)));
    block.append(line).append(1, '\n');
    if (code) break;
  }
  return block;
}

bool IsPython(std::string_view mark) {
  return mark == "python" || mark == "py" || mark == "python3" || mark == "py3";
}

enum class Place { kMarked, kBare, kOutside };  // in a python fence, in one without mark, in none

struct Block {
  Place place;
  std::string text;
};

// Returns true if the last line of `text` is code, so that a bare fence after it closes it.
bool EndsInCode(std::string_view text) {
  text = text.substr(0, text.find_last_not_of(data::kWhiteSpace) + 1);
  const auto line = data::Trim(text.substr(text.rfind('\n') + 1));
  return LooksLikeCode(line);
}

// Returns `text` without the indent that all of its lines have, if they are more than the body of a
// function: "    def f(x):".
std::string Dedented(std::string_view text) {
  std::size_t indent = std::string_view::npos;
  bool body = true;
  for (std::string_view rest = text; !rest.empty();) {
    const auto line = TakeLine(rest);
    if (IsBlank(line)) continue;
    const auto first = line.substr(Indent(line));
    if (indent == std::string_view::npos)
      body = !IsImport(first) && !first.starts_with('@') &&
             (DefinedName(first).empty() || Assigns(first.substr(DefinedName(first).size())));
    indent = std::min(indent, Indent(line));
  }
  if (body || indent == 0) return std::string(text);
  std::string dedented;
  while (!text.empty()) {
    auto line = TakeLine(text);
    line.remove_prefix(std::min(indent, Indent(line)));
    dedented.append(line).append(1, '\n');
  }
  return dedented;
}

// Splits a response into its blocks of Python and the text outside of all blocks.
std::vector<Block> Blocks(std::string_view response) {
  std::vector<Block> blocks;
  const char* outside = response.data();
  const auto end_outside = [&](const char* end) {
    const std::string_view text(outside, static_cast<std::size_t>(end - outside));
    if (!IsBlank(text)) blocks.push_back({Place::kOutside, Dedented(text)});
  };
  for (std::string_view rest = response; !rest.empty();) {
    const char* line = rest.data();
    const auto fence = ReadFence(TakeLine(rest));
    if (!fence) continue;
    const std::string_view before(outside, static_cast<std::size_t>(line - outside));
    const bool closes =
        fence->mark.empty() && !IsBlank(before) && (EndsInCode(before) || IsBlank(rest));
    if (closes) {
      blocks.push_back({Place::kBare, Dedented(before)});
    } else {
      end_outside(line);
      std::string block = TakeBlock(rest, *fence);
      if (IsPython(fence->mark) || fence->mark.empty())
        blocks.push_back({fence->mark.empty() ? Place::kBare : Place::kMarked, Dedented(block)});
    }
    outside = rest.data();
  }
  end_outside(response.data() + response.size());
  return blocks;
}

bool DefinesOneOf(std::string_view text, std::span<const std::string> names) {
  while (!text.empty()) {
    const auto line = TakeLine(text);
    if (std::ranges::any_of(names, [&](const auto& name) { return Defines(line, name); }))
      return true;
  }
  return false;
}

bool StartsIndented(std::string_view text) {
  while (!text.empty()) {
    const auto line = TakeLine(text);
    if (!IsBlank(line)) return Indent(line) > 0;
  }
  return false;
}

// Returns the number of the last block that satisfies `test`: marked, bare or outside, in this
// order.
template <typename Test>
std::optional<std::size_t> LastBlock(const std::vector<Block>& blocks, const Test& test) {
  for (const Place place : {Place::kMarked, Place::kBare, Place::kOutside})
    for (std::size_t i = blocks.size(); i-- > 0;)
      if (blocks[i].place == place && test(blocks[i])) return i;
  return std::nullopt;
}

}  // namespace

FoundProgram FindProgram(std::string_view response, std::span<const std::string> names) {
  const auto blocks = Blocks(response);
  auto chosen = LastBlock(blocks, [&](const Block& b) { return DefinesOneOf(b.text, names); });
  if (!chosen) chosen = LastBlock(blocks, [](const Block& b) { return StartsIndented(b.text); });
  if (!chosen)
    chosen = LastBlock(blocks, [](const Block& b) { return b.place != Place::kOutside; });
  if (!chosen) return {.text = std::string(response), .before = {}, .after = {}};
  FoundProgram found{.text = blocks[*chosen].text, .before = {}, .after = {}};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (i == *chosen || blocks[i].place == Place::kOutside) continue;
    (i < *chosen ? found.before : found.after) +=
        NeededDefinitions(blocks[i].text, found.text, names);
  }
  return found;
}

bool IsCompletion(std::string_view program, std::string_view name) {
  if (StartsIndented(program)) return true;
  while (!program.empty())
    if (Defines(TakeLine(program), name)) return false;
  return true;
}

std::string_view CutCompletion(std::string_view completion) {
  std::size_t end = completion.size();
  for (const std::string_view stop : {"\nclass", "\ndef", "\n#", "\nif __name__", "\nprint"})
    end = std::min(end, completion.find(stop));
  return completion.substr(0, end);
}

namespace {

void AddReading(std::vector<std::string>& readings, std::string_view text) {
  if (!IsBlank(text) && std::ranges::find(readings, text) == readings.end())
    readings.emplace_back(text);
}

// Returns true for a line of words alone. Such a line may compile ("Sure"), but it is no code.
bool IsWords(std::string_view line) {
  return !LooksLikeCode(line) &&
         std::ranges::all_of(line, [](char c) { return c == ' ' || data::IsLetter(c); });
}

// Returns `text` without the chunks at both ends whose first line satisfies `drop`.
template <typename Test>
std::string_view Without(std::string_view text, const Test& drop) {
  const auto chunks = Chunks(text);
  const auto keeps = [&](const Chunk& chunk) { return !drop(chunk.head); };
  const auto first = std::ranges::find_if(chunks, keeps);
  if (first == chunks.end()) return {};
  const auto last = std::find_if(chunks.rbegin(), chunks.rend(), keeps);
  const char* end = last->text.data() + last->text.size();
  return {first->text.data(), static_cast<std::size_t>(end - first->text.data())};
}

}  // namespace

std::vector<std::string> ProgramReadings(std::string_view text) {
  std::vector<std::string> readings;
  const auto is_prose = [](std::string_view line) { return !LooksLikeCode(line); };
  AddReading(readings, Without(text, IsWords));
  AddReading(readings, Without(text, is_prose));
  AddReading(readings, JoinChunks(text, [&](const Chunk& c) { return !is_prose(c.head); }));
  AddReading(readings, JoinChunks(text, IsDefinition));
  if (readings.empty()) readings.emplace_back(text);
  return readings;
}

std::vector<std::string> CompletionReadings(std::string_view text, std::string_view name) {
  std::vector<std::string> readings;
  if (!StartsIndented(text)) {  // prose before the body
    for (std::string_view rest = text; !rest.empty();) {
      const char* begin = rest.data();
      const auto line = TakeLine(rest);
      if (Indent(line) == 0 && LooksLikeCode(line)) break;
      if (IsBlank(line) || Indent(line) == 0) continue;
      text.remove_prefix(static_cast<std::size_t>(begin - text.data()));
      break;
    }
  }
  // The body reaches to the first line at the left edge.
  std::string_view body, rest = text;
  while (!rest.empty()) {
    const char* begin = rest.data();
    const auto line = TakeLine(rest);
    if (!IsBlank(line) && Indent(line) == 0) {
      rest = {begin, static_cast<std::size_t>(text.data() + text.size() - begin)};
      break;
    }
    body = {text.data(), static_cast<std::size_t>(rest.data() - text.data())};
  }
  if (!IsBlank(body)) {
    const std::vector<std::string> taken = {std::string(name)};
    AddReading(readings, std::string(body) + NeededDefinitions(rest, body, taken));
  }
  AddReading(readings, CutCompletion(text));
  AddReading(readings, body);
  if (readings.empty()) readings.emplace_back(text);
  return readings;
}

}  // namespace pivotal::pts
