// Apache-2.0.
#include "experiments/report/response_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "data/base/answers.h"
#include "data/base/error.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/base/utf8.h"
#include "experiments/report/report_problem.h"
#include "experiments/report/report_run.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_config.h"
#include "experiments/search/run_findings.h"
#include "pts/answer_groups.h"
#include "pts/answer_strata.h"
#include "pts/estimate.h"

namespace pivotal::experiments {
namespace {

struct ViewOptions {
  double gap = 0.2;    // StrategyOptions::gap of the run
  int32_t width = 80;  // columns of the terminal
  bool colour = true;  // false: pivotal tokens stand in [brackets]
};

// Returns the columns of a text in a terminal, one for each character.
int32_t Columns(std::string_view text) { return static_cast<int32_t>(data::CountCharacters(text)); }

const PivotalToken* PivotalAt(const ResponseTrace& response, std::size_t k) {
  const auto it =
      std::ranges::find(response.pivotal, static_cast<int32_t>(k), &PivotalToken::position);
  return it == response.pivotal.end() ? nullptr : &*it;
}

// Marks a pivotal token by colour or brackets.
std::string Mark(const std::string& surface, bool raised, bool colour) {
  if (!colour) return "[" + surface + "]";
  return fmt::format("\x1b[{}m{}\x1b[0m", raised ? "30;42" : "97;41", surface);
}

// Colours the text of a token whose change is below the gap.
std::string Tint(const std::string& surface, double change, bool colour) {
  constexpr double kVisible = 0.05;
  if (!colour || std::abs(change) < kVisible) return surface;
  return fmt::format("\x1b[{}m{}\x1b[0m", change > 0 ? "32" : "31", surface);
}

// Returns the character of a sparkline for a probability.
std::string Bar(double p) {
  static constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  return kBars[std::clamp(static_cast<int>(p * 8), 0, 7)];
}

// The text of a token on the screen, with its line ends and other control characters shown.
struct Cell {
  std::string text;
  bool breaks = false;  // the token ends a line
};

Cell CellOf(const Tokenizer& tokenizer, TokenId token) {
  Cell cell{data::Visible(tokenizer.Piece(token))};
  cell.breaks = cell.text.find('\n') != std::string::npos;
  data::ReplaceAll(cell.text, "\n", "↵");
  return cell;
}

// Returns p_0..p_n; nothing for positions that were not measured.
std::vector<std::optional<double>> Curve(const ResponseTrace& response) {
  std::vector<std::optional<double>> curve(response.tokens.size() + 1);
  for (const PrefixEstimate& estimate : response.estimates)
    curve[static_cast<std::size_t>(estimate.position)] = estimate.mean;
  return curve;
}

// Returns the response in lines of `options.width`, each below the sparkline of its tokens.
std::string Wrapped(const ResponseTrace& response, const Tokenizer& tokenizer,
                    const ViewOptions& options) {
  constexpr int32_t kIndent = 4;
  const auto curve = Curve(response);
  std::string text, above, line;
  int32_t column = 0;
  const auto flush = [&] {
    if (above.find_first_not_of(' ') != std::string::npos)
      text += std::string(kIndent, ' ') + above + "\n";
    text += std::string(kIndent, ' ') + line + "\n";
    above.clear(), line.clear();
    column = 0;
  };
  for (std::size_t k = 1; k <= response.tokens.size(); ++k) {
    const Cell cell = CellOf(tokenizer, response.tokens[k - 1]);
    const PivotalToken* pivotal = PivotalAt(response, k);
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

// Returns the change of p(success) across the most pivotal token of all responses.
double Largest(const QueryTrace& query) {
  double largest = 0;
  for (const ResponseTrace& response : query.responses)
    for (const PivotalToken& token : response.pivotal)
      if (std::abs(token.after - token.before) > std::abs(largest))
        largest = token.after - token.before;
  return largest;
}

// Returns the beginning of a text as one line of at most `columns`.
std::string Beginning(const std::string& text, int32_t columns) {
  constexpr std::string_view kBlanks = "\n\t\r";
  std::string line;
  int32_t used = 0;
  for (const char c : data::Visible(text, kBlanks)) {
    if ((c & 0xC0) != 0x80 && ++used > columns) return line + "…";
    line += kBlanks.find(c) != std::string_view::npos ? ' ' : c;
  }
  return line;
}

// `no_pair` is empty if the token gives a pair.
std::string PivotalLine(const ResponseTrace& response, const PivotalToken& token,
                        const Tokenizer& tokenizer, const std::string& no_pair) {
  const auto quote = [&](TokenId id) { return fmt::format("'{}'", CellOf(tokenizer, id).text); };
  std::string line = fmt::format("    token {:>2} {:<6} p(success) {:.2f} -> {:.2f} ({:+.2f})",
                                 token.position, quote(response.tokens[token.position - 1]),
                                 token.before, token.after, token.after - token.before);
  if (!no_pair.empty())
    line += "   no pair: " + no_pair;
  else
    line += fmt::format("   pair: {} {:.2f} over {} {:.2f} on fresh rollouts", quote(token.chosen),
                        pts::Estimate{token.chosen_samples, token.chosen_successes}.Mean(),
                        quote(token.rejected),
                        pts::Estimate{token.rejected_samples, token.rejected_successes}.Mean());
  return line + "\n";
}

}  // namespace

std::string MarkedText(const ResponseTrace& response, const Tokenizer& tokenizer, bool colour) {
  std::string text;
  for (std::size_t k = 1; k <= response.tokens.size(); ++k) {
    const std::string piece = data::Visible(tokenizer.Piece(response.tokens[k - 1]));
    const PivotalToken* pivotal = PivotalAt(response, k);
    const bool ends = k == response.tokens.size() && response.finish == FinishReason::kEos;
    if (pivotal != nullptr)
      text += Mark(piece, pivotal->after > pivotal->before, colour);
    else if (!ends)
      text += piece;
  }
  return text;
}

std::string PivotalLines(const ResponseTrace& response, const Tokenizer& tokenizer, double gap,
                         std::span<const pts::NoPair> no_pairs,
                         std::span<const std::string> below) {
  std::string text;
  for (std::size_t i = 0; i < response.pivotal.size(); ++i) {
    text += PivotalLine(response, response.pivotal[i], tokenizer,
                        pts::TextOf(no_pairs[i], response.pivotal[i], {.gap = gap}));
    if (!below.empty()) text += below[i];
  }
  return text;
}

namespace {

std::string ProblemTable(const std::vector<QueryTrace>& traces, const ViewOptions& options) {
  std::size_t width = 7;
  for (const QueryTrace& query : traces)
    width = std::max(width, static_cast<std::size_t>(Columns(data::Visible(query.id, ""))));
  width = std::min<std::size_t>(width, 24);
  std::string text = fmt::format("{:<{}}  {:>5}  {:>9}  {:>7}  {:>7}  question\n", "problem", width,
                                 "p_0", "responses", "pivotal", "largest");
  for (const QueryTrace& query : traces) {
    std::size_t pivotal = 0;
    for (const ResponseTrace& response : query.responses) pivotal += response.pivotal.size();
    const std::string p0 =
        query.samples > 0
            ? fmt::format("{:.2f}", pts::Estimate{query.samples, query.successes}.Mean())
            : "-";
    const std::string largest = pivotal > 0 ? fmt::format("{:+.2f}", Largest(query)) : "-";
    const int32_t left = options.width - static_cast<int32_t>(width) - 40;
    text += fmt::format("{:<{}}  {:>5}  {:>9}  {:>7}  {:>7}  {}\n", data::Visible(query.id, ""),
                        width, p0, query.responses.size(), pivotal, largest,
                        Beginning(query.question, std::max(20, left)));
  }
  return text;
}

// Writes what may stand in place of a token, a line for each group of tokens that mean the same for
// the answer: the tokens with their probability together, and the answers after them.
class GroupLines {
 public:
  GroupLines(const QueryTrace& query, const AnswersOfRun& answers, double gap,
             const Tokenizer& tokenizer)
      : query_(query),
        table_(answers.Read(query)),
        strata_(query, table_, gap),
        tokenizer_(tokenizer) {}

  // Returns the lines of each pivotal token of a response; nothing for an imported query, which has
  // no rollouts.
  std::vector<std::string> Of(int32_t response) const {
    std::vector<std::string> lines;
    if (query_.rollouts.empty()) return lines;
    for (const PivotalToken& token : query_.responses[static_cast<std::size_t>(response)].pivotal) {
      const int32_t node = strata_.trie().Path(response)[static_cast<std::size_t>(token.position)];
      lines.push_back(TextOf(GroupAlternatives(query_, table_, strata_, node)));
    }
    return lines;
  }

 private:
  static constexpr std::size_t kShown = 3;  // groups, tokens of a group, answers after it
  static constexpr double kLeastShown = 0.01;

  std::string TextOf(const pts::AnswerForks& forks) const {
    std::string text;
    std::size_t shown = 0;
    for (const pts::AnswerGroup& group : forks.groups) {
      const bool own = &group == forks.groups.data();
      if (shown >= kShown || (!own && group.probability < kLeastShown)) continue;
      text += fmt::format("      {:<6} {}\n", own ? "same" : "other", Line(group));
      ++shown;
    }
    if (forks.HasParaphrases() && forks.other_probability > 0)
      text += fmt::format(
          "      with another token p(success) {:.2f}, with one of another meaning {:.2f}\n",
          forks.without.Mean()[0], forks.other.Mean()[0]);
    return shown > 1 || forks.HasParaphrases() ? text : "";
  }

  std::string Line(const pts::AnswerGroup& group) const {
    std::string tokens;
    for (std::size_t i = 0; i < std::min(group.tokens.size(), kShown); ++i) {
      const TokenId token = group.tokens[i].token;
      tokens += i == 0 ? "" : ", ";
      tokens += token == pts::kRareTokens ? "rarer tokens"
                                          : fmt::format("'{}'", CellOf(tokenizer_, token).text);
    }
    if (group.tokens.size() > kShown)
      tokens += fmt::format(", {} more", group.tokens.size() - kShown);
    return fmt::format("{} {:.0f}%: {}", tokens, 100 * group.probability, Answers(group.counts));
  }

  // Returns the answers of rollouts with their shares, most frequent first.
  std::string Answers(const pts::AnswerCounts& counts) const {
    std::vector<std::size_t> order;
    double sum = 0;
    for (std::size_t a = 0; a < counts.size(); ++a) {
      order.push_back(a);
      sum += counts[a];
    }
    std::erase_if(order, [&](std::size_t a) { return counts[a] < kLeastShown * sum || sum == 0; });
    std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t a) { return counts[a]; });
    std::string text = order.empty() ? "no rollouts" : "";
    for (std::size_t i = 0; i < std::min(order.size(), kShown); ++i)
      text += fmt::format("{}{} {:.0f}%", i == 0 ? "" : ", ", Name(table_.answers[order[i]]),
                          100 * counts[order[i]] / sum);
    return text;
  }

  static std::string Name(const pts::Answer& answer) {
    if (answer.kind == pts::AnswerKind::kNone) return "no answer";
    if (answer.kind == pts::AnswerKind::kOther) return "other answers";
    return Beginning(answer.text, 24);
  }

  const QueryTrace& query_;
  pts::AnswerTable table_;
  pts::AnswerStrata strata_;
  const Tokenizer& tokenizer_;
};

std::string ProblemView(const QueryTrace& query, const Tokenizer& tokenizer,
                        const AnswersOfRun& answers, const ViewOptions& options) {
  std::string text =
      fmt::format("{}: {}\nanswer {}\n", data::Visible(query.id, ""), data::Visible(query.question),
                  data::Visible(data::AnswersText(query.answer, query.other_answers)));
  if (query.samples > 0)
    text += fmt::format("p(success) {:.2f}: {} of {} rollouts{}\n",
                        pts::Estimate{query.samples, query.successes}.Mean(), query.successes,
                        query.samples, query.searched ? "" : "; not searched");
  const auto no_pairs = pts::WhyNoPairs(query, {.gap = options.gap});
  const GroupLines groups(query, answers, options.gap, tokenizer);
  for (std::size_t r = 0; r < query.responses.size(); ++r) {
    const ResponseTrace& response = query.responses[r];
    text += fmt::format("\n  {} response, {} tokens\n", response.success ? "right" : "wrong",
                        response.tokens.size());
    text += Wrapped(response, tokenizer, options);
    text += PivotalLines(response, tokenizer, options.gap, no_pairs[r],
                         groups.Of(static_cast<int32_t>(r)));
  }
  return text;
}

// Returns the queries with these ids, each once, in this order. Throws Error for an unknown id.
std::vector<const QueryTrace*> Chosen(const std::vector<QueryTrace>& traces,
                                      const std::vector<std::string>& ids,
                                      const std::filesystem::path& run) {
  std::vector<const QueryTrace*> chosen;
  for (auto at = ids.begin(); at != ids.end(); ++at) {
    if (std::find(ids.begin(), at, *at) != at) continue;  // given twice
    const auto found = std::ranges::find(traces, *at, &QueryTrace::id);
    if (found == traces.end())
      Fail("{}: holds no problem {}; pivotal show {} lists them", run.string(), *at, run.string());
    chosen.push_back(&*found);
  }
  return chosen;
}

}  // namespace

std::string RunView(const std::filesystem::path& run, const std::vector<std::string>& problems,
                    int32_t width, bool colour, double max_false_share) {
  const RunConfig config = LoadRunConfig(run);
  const Findings findings = LoadFindings(run, config.search.gap, max_false_share);
  const auto& traces = findings.traces;
  const std::string kept =
      max_false_share < 1 ? "\n" + findings.Text(config.search.gap) + "\n" : "";
  const ViewOptions options{config.search.gap, width, colour};
  if (problems.empty()) return ProblemTable(traces, options) + kept;
  const auto tokenizer = LoadTokenizer(config.model.folder);
  const AnswersOfRun answers(config, *tokenizer);
  std::string text;
  for (const QueryTrace* query : Chosen(traces, problems, run))
    text += (text.empty() ? "" : "\n") + ProblemView(*query, *tokenizer, answers, options);
  return text + kept;
}

std::string RunJson(const std::filesystem::path& run, const std::vector<std::string>& problems,
                    double max_false_share) {
  using nlohmann::ordered_json;
  const double gap = LoadRunConfig(run).search.gap;
  Findings findings = LoadFindings(run, gap, max_false_share);
  ordered_json list = ordered_json::array();
  if (problems.empty()) {
    for (const QueryTrace& query : findings.traces) list.push_back(ReportRow(query));
  } else {
    const ReportRun report(run, std::move(findings.traces));
    for (const QueryTrace* query : Chosen(report.traces, problems, run))
      list.push_back(report.Problem(*query, NoPairTextsOf(*query, gap)));
  }
  return data::JsonLine({{"run", run.string()}, {"gap", gap}, {"problems", std::move(list)}});
}

}  // namespace pivotal::experiments
