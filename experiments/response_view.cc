// Apache-2.0.
#include "experiments/response_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/utf8.h"
#include "pts/estimator.h"

namespace pivotal::experiments {
namespace {

// Columns of a text: one a character.
int32_t Columns(std::string_view text) {
  return static_cast<int32_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

const data::PivotalToken* PivotalAt(const data::ResponseTrace& response, std::size_t k) {
  const auto it = std::ranges::find(response.pivotal, static_cast<int32_t>(k), &data::PivotalToken::position);
  return it == response.pivotal.end() ? nullptr : &*it;
}

// `surface` as it stands in a response: coloured or bracketed.
std::string Mark(const std::string& surface, bool raised, bool colour) {
  if (!colour) return "[" + surface + "]";
  return fmt::format("\x1b[{}m{}\x1b[0m", raised ? "30;42" : "97;41", surface);
}

// A change below the gap, by the colour of the text alone.
std::string Tint(const std::string& surface, double change, bool colour) {
  constexpr double kVisible = 0.05;
  if (!colour || std::abs(change) < kVisible) return surface;
  return fmt::format("\x1b[{}m{}\x1b[0m", change > 0 ? "32" : "31", surface);
}

// Of a sparkline.
std::string Bar(double p) {
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  return kBars[std::clamp(static_cast<int>(p * 8), 0, 7)];
}

// A token on the screen: line ends are visible, other control characters blank.
struct Cell {
  std::string text;
  bool breaks = false;  // the line
};

Cell CellOf(const data::Tokenizer& tokenizer, TokenId token) {
  Cell cell;
  for (const char c : tokenizer.Piece(token)) {
    if (c == '\n') {
      cell.text += "↵";
      cell.breaks = true;
    } else {
      cell.text += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    }
  }
  return cell;
}

// p_0..p_n as far as known.
std::vector<std::optional<double>> Curve(const data::ResponseTrace& response) {
  std::vector<std::optional<double>> curve(response.tokens.size() + 1);
  for (const data::PrefixEstimate& estimate : response.estimates)
    curve[static_cast<std::size_t>(estimate.position)] = estimate.mean;
  return curve;
}

std::string Wrapped(const data::ResponseTrace& response, const data::Tokenizer& tokenizer, const ViewOptions& options) {
  constexpr int32_t kIndent = 4;
  const auto curve = Curve(response);
  std::string text, above, line;
  int32_t column = 0;
  const auto flush = [&] {
    if (above.find_first_not_of(' ') != std::string::npos) text += std::string(kIndent, ' ') + above + "\n";
    text += std::string(kIndent, ' ') + line + "\n";
    above.clear(), line.clear();
    column = 0;
  };
  for (std::size_t k = 1; k <= response.tokens.size(); ++k) {
    const Cell cell = CellOf(tokenizer, response.tokens[k - 1]);
    const data::PivotalToken* pivotal = PivotalAt(response, k);
    const int32_t width = Columns(cell.text) + (pivotal != nullptr && !options.colour ? 2 : 0);
    if (column > 0 && column + width > options.width - kIndent) flush();
    const auto &p = curve[k], &before = curve[k - 1];
    for (int32_t i = 0; i < width; ++i) above += p ? Bar(*p) : " ";
    line += pivotal != nullptr ? Mark(cell.text, pivotal->after > pivotal->before, options.colour)
                               : Tint(cell.text, p && before ? *p - *before : 0, options.colour);
    column += width;
    if (cell.breaks) flush();
  }
  if (column > 0) flush();
  return text;
}

double Largest(const data::QueryTrace& query) {
  double largest = 0;
  for (const data::ResponseTrace& response : query.responses)
    for (const data::PivotalToken& token : response.pivotal)
      if (std::abs(token.after - token.before) > std::abs(largest)) largest = token.after - token.before;
  return largest;
}

// One line of at most `columns`.
std::string Beginning(const std::string& text, int32_t columns) {
  std::string line;
  int32_t used = 0;
  for (const char c : text) {
    if ((c & 0xC0) != 0x80 && ++used > columns) return line + "…";
    line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return line;
}

// `no_pair`: empty if the token gives a pair.
std::string PivotalLine(const data::ResponseTrace& response, const data::PivotalToken& token,
                        const data::Tokenizer& tokenizer, const std::string& no_pair) {
  const auto quote = [&](TokenId id) { return fmt::format("'{}'", CellOf(tokenizer, id).text); };
  std::string line = fmt::format("    token {:>2} {:<6} p(success) {:.2f} -> {:.2f} ({:+.2f})",
                                 token.position, quote(response.tokens[token.position - 1]),
                                 token.before, token.after, token.after - token.before);
  if (!no_pair.empty())
    line += "   no pair: " + no_pair;
  else
    line += fmt::format("   pair: {} {:.2f} over {} {:.2f} on fresh rollouts", quote(token.chosen),
                        pts::Estimate{token.chosen_samples, token.chosen_successes}.Mean(), quote(token.rejected),
                        pts::Estimate{token.rejected_samples, token.rejected_successes}.Mean());
  return line + "\n";
}

}  // namespace

std::string MarkedText(const data::ResponseTrace& response, const data::Tokenizer& tokenizer, bool colour) {
  std::string text;
  for (std::size_t k = 1; k <= response.tokens.size(); ++k) {
    const std::string piece = tokenizer.Piece(response.tokens[k - 1]);
    const data::PivotalToken* pivotal = PivotalAt(response, k);
    const bool ends = k == response.tokens.size() && response.finish == data::FinishReason::kEos;
    if (pivotal != nullptr) text += Mark(piece, pivotal->after > pivotal->before, colour);
    else if (!ends) text += piece;
  }
  return text;
}

std::string PivotalLines(const data::ResponseTrace& response, const data::Tokenizer& tokenizer, double gap,
                         std::span<const pts::NoPair> no_pairs) {
  std::string text;
  for (std::size_t i = 0; i < response.pivotal.size(); ++i)
    text += PivotalLine(response, response.pivotal[i], tokenizer, pts::TextOf(no_pairs[i], response.pivotal[i], {.gap = gap}));
  return text;
}

std::string ProblemTable(const std::vector<data::QueryTrace>& traces, const ViewOptions& options) {
  std::size_t width = 7;
  for (const data::QueryTrace& query : traces) width = std::max(width, query.id.size());
  width = std::min<std::size_t>(width, 24);
  std::string text = fmt::format("{:<{}}  {:>5}  {:>9}  {:>7}  {:>7}  question\n", "problem", width, "p_0", "responses",
                                 "pivotal", "largest");
  for (const data::QueryTrace& query : traces) {
    std::size_t pivotal = 0;
    for (const data::ResponseTrace& response : query.responses) pivotal += response.pivotal.size();
    const std::string p0 = query.samples > 0 ? fmt::format("{:.2f}", pts::Estimate{query.samples, query.successes}.Mean()) : "-";
    const std::string largest = pivotal > 0 ? fmt::format("{:+.2f}", Largest(query)) : "-";
    const int32_t left = options.width - static_cast<int32_t>(width) - 40;
    text += fmt::format("{:<{}}  {:>5}  {:>9}  {:>7}  {:>7}  {}\n", query.id, width, p0, query.responses.size(), pivotal,
                        largest, Beginning(query.question, std::max(20, left)));
  }
  return text;
}

std::string ProblemView(const data::QueryTrace& query, const data::Tokenizer& tokenizer, const ViewOptions& options) {
  std::string text = fmt::format("{}: {}\nanswer {}\n", query.id, query.question, query.answer);
  if (query.samples > 0)
    text += fmt::format("p(success) {:.2f}: {} of {} rollouts{}\n", pts::Estimate{query.samples, query.successes}.Mean(),
                        query.successes, query.samples, query.searched ? "" : "; not searched");
  const auto no_pairs = pts::WhyNoPairs(query, {.gap = options.gap});
  for (std::size_t r = 0; r < query.responses.size(); ++r) {
    const data::ResponseTrace& response = query.responses[r];
    text += fmt::format("\n  {} response, {} tokens\n", response.success ? "right" : "wrong", response.tokens.size());
    text += Wrapped(response, tokenizer, options);
    text += PivotalLines(response, tokenizer, options.gap, no_pairs[r]);
  }
  return text;
}

}  // namespace pivotal::experiments
