// Apache-2.0.
#include "experiments/watch/state_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "data/base/text.h"
#include "data/base/utf8.h"
#include "model/memory.h"

namespace pivotal::experiments {
namespace {

constexpr std::size_t kLabel = 11;  // columns of the names of lines

// Writes a number with commas, as "21,300".
std::string Count(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}
std::string Count(int64_t value) { return Count(static_cast<double>(value)); }

std::string Duration(double seconds) {
  const auto whole = std::llround(std::min(seconds, 1e9));
  if (whole >= 48 * 3600) return fmt::format("{} days", (whole + 43200) / 86400);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string Rate(double value) {
  return value >= 100 ? Count(value) : fmt::format("{:.{}f}", value, value < 1 ? 2 : 1);
}

// Returns the bytes of the first `most` characters.
std::size_t BytesOf(std::string_view text, std::size_t most) {
  std::size_t at = 0;
  for (; at < text.size(); ++at)
    if ((text[at] & 0xC0) != 0x80 && most-- == 0) break;
  return at;
}

// Collects lines.
class Page {
 public:
  explicit Page(const StateStyle& style) : style_(style) {}

  // Adds a line with a name; breaks it between words where it is too long.
  void Add(std::string_view label, std::string text) {
    text = data::Visible(text, "");
    std::string line = fmt::format("{:<{}}", label, kLabel);
    std::size_t used = kLabel;
    const std::size_t width = std::max(style_.width, kLabel + 8);
    bool fresh = true;  // nothing but the label is in the line
    for (std::string_view rest = text; !rest.empty();) {
      const std::size_t blank = std::min(rest.find(' '), rest.size());
      std::string_view word = rest.substr(0, blank);
      const std::size_t needed = data::CountCharacters(word) + (fresh ? 0 : 1);
      if (used + needed > width && !fresh) {
        Push(line);
        line = std::string(kLabel, ' ');
        used = kLabel;
        fresh = true;
        continue;
      }
      word = word.substr(0, BytesOf(word, width - used - (fresh ? 0 : 1)));
      if (!fresh) line += ' ';
      line += word;
      used += data::CountCharacters(word) + (fresh ? 0 : 1);
      fresh = false;
      rest.remove_prefix(std::min(word.size() + (word.size() == blank ? 1 : 0), rest.size()));
    }
    Push(line);
  }
  // Returns values as a curve that fits into a line beside `taken` more columns; "" if it does not,
  // or there are too few.
  std::string Curve(const std::vector<double>& values, std::size_t taken) const {
    if (values.size() < 2 || style_.width < kLabel + taken + 12) return "";
    const std::size_t room = style_.width - kLabel - taken;
    return Sparkline(values, std::min<std::size_t>(60, room), style_.utf8);
  }
  void Push(std::string line) {
    if (data::CountCharacters(line) > style_.width) line.resize(BytesOf(line, style_.width));
    while (line.ends_with(' ')) line.pop_back();
    lines_.push_back(std::move(line));
  }
  // Returns a text between the codes of a colour of terminals.
  std::string Coloured(const std::string& text, const char* code) const {
    return style_.colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
  }
  // Returns a bar that is filled up to `share`.
  std::string Bar(double share) const {
    const std::size_t size = style_.width >= 60 ? 20 : 10;
    const auto filled =
        static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(size));
    std::string bar = "[";
    for (std::size_t i = 0; i < size; ++i) bar += i < filled ? '#' : '.';
    return bar + "]";
  }

  std::vector<std::string> Take() { return std::move(lines_); }
  std::vector<std::string>& lines() { return lines_; }

 private:
  const StateStyle& style_;
  std::vector<std::string> lines_;
};

std::string Left(const std::optional<double>& seconds) {
  return seconds ? fmt::format(", about {} left", Duration(*seconds)) : std::string();
}

void AddSearch(const SearchState& s, bool working, bool finished, Page& page) {
  const double all = static_cast<double>(s.problems.value_or(0));
  std::string line;
  if (all > 0) line = page.Bar(static_cast<double>(s.stored + s.group_done) / all) + " ";
  line += fmt::format("{} of {} stored", Count(s.stored), s.problems ? Count(*s.problems) : "?");
  if (s.group_problems > 0)
    line += fmt::format(", {} more in hand ({} of them done)", Count(s.group_problems),
                        Count(s.group_done));
  if (working && s.problems_per_second > 0)
    line += fmt::format(", {}/s", Rate(s.problems_per_second));
  line += Left(s.seconds_left);
  if (s.seconds_left && s.ends_by != "problems")
    line += fmt::format(" (the limit of {} ends it)", s.ends_by);
  page.Add("problems", line);
  page.Add("",
           fmt::format("{} searched, {} skipped (p(success) outside {:g} to {:g}){}",
                       Count(s.searched), Count(s.skipped), s.min_success, s.max_success,
                       s.cut_short > 0 ? fmt::format(", {} cut short", Count(s.cut_short)) : ""));
  line = fmt::format("{} confirmed", Count(s.pairs));
  if (s.pairs_wanted > 0) line += fmt::format(" of {} wanted", Count(s.pairs_wanted));
  if (s.pair_cost > 0) line += fmt::format(", {} tokens each", Count(s.pair_cost));
  if (s.next_pair_cost > 0 && !finished)
    line += fmt::format(", the next for about {}", Count(s.next_pair_cost));
  if (s.group_pairs > 0) line += fmt::format("; {} more in hand", Count(s.group_pairs));
  page.Add("pairs", line);
  std::vector<double> costs;
  for (const PairPoint& point : s.curve)
    if (point.cost > 0) costs.push_back(point.cost);
  if (!costs.empty()) {
    const auto [low, high] = std::ranges::minmax(costs);
    const std::string ends = fmt::format("{} to {} tokens", Count(low), Count(high));
    page.Add("pair cost", fmt::format("{} {}", page.Curve(costs, ends.size() + 1), ends));
  }
  page.Add(
      "pivotal",
      fmt::format(
          "{} tokens of {} responses{}", Count(s.pivotal), Count(s.responses),
          s.group_pivotal > 0 ? fmt::format("; {} more in hand", Count(s.group_pivotal)) : ""));
  line = fmt::format("{} stored, {} tokens", Count(s.rollouts), Count(s.tokens));
  if (s.group_tokens > 0) line += fmt::format("; {} tokens more in hand", Count(s.group_tokens));
  if (working && s.tokens_per_second > 0)
    line += fmt::format("; {} tokens/s", Rate(s.tokens_per_second));
  page.Add("rollouts", line);
  if (s.budget_tokens > 0)
    page.Add("budget", fmt::format("{} of {} tokens", Count(s.tokens + s.group_tokens),
                                   Count(s.budget_tokens)));
  if (s.budget_seconds > 0)
    page.Add("budget", fmt::format("{} for this call", Duration(s.budget_seconds)));
  if (s.failed_verdicts > 0)
    page.Add("oracle", fmt::format("{} failed verdicts, on responses that count as wrong",
                                   Count(s.failed_verdicts)));
}

std::string Number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.4g}", value); }

void AddTrainingCurve(const TrainingState& t, const char* label, const char* name, double last,
                      Page& page) {
  if (std::isnan(last)) return;
  std::vector<double> values;
  for (const auto& [series, points] : t.series)
    if (series == name)
      for (const auto& point : points) values.push_back(point.second);
  page.Add(label, fmt::format("{:<9} {}", Number(last), page.Curve(values, 10)));
}

void AddTraining(const TrainingState& t, bool working, Page& page) {
  std::string line;
  if (t.steps > 0)
    line = page.Bar(static_cast<double>(t.step) / static_cast<double>(t.steps)) + " ";
  line += fmt::format("{} of {}", Count(t.step), t.steps > 0 ? Count(t.steps) : "?");
  if (t.steps_per_second > 0) line += fmt::format(", {}/s", Rate(t.steps_per_second));
  page.Add("step", line + Left(t.seconds_left));
  AddTrainingCurve(t, "loss", "loss", t.loss, page);
  AddTrainingCurve(t, "margin", "rewards/margins", t.margin, page);
  AddTrainingCurve(t, "accuracy", "rewards/accuracies", t.accuracy, page);
  if (!std::isnan(t.grad_norm))
    page.Add("gradients", fmt::format("norm {}, learning rate {}", Number(t.grad_norm),
                                      Number(t.learning_rate)));
  line.clear();
  if (working && t.examples_per_second > 0)
    line = fmt::format("{} {}/s, ", Rate(t.examples_per_second),
                       t.objective == "sft" || t.objective == "kto" ? "examples" : "pairs");
  if (t.tokens_per_second > 0)
    page.Add("speed", fmt::format("{}{} tokens/s", line, Rate(t.tokens_per_second)));
  if (!std::isnan(t.held_out))
    page.Add("held out", fmt::format("{} {}, best {} at step {}", t.metric, Number(t.held_out),
                                     Number(t.best), Count(t.best_step)));
  if (t.memory > 0)
    page.Add("memory", fmt::format("{} at most so far, {} planned", model::BytesText(t.memory),
                                   model::BytesText(t.planned_memory)));
}

std::string WorkerText(const WorkerState& worker, bool ranks) {
  const data::WorkerStatus& status = worker.status;
  std::string text = fmt::format("{}:{}", status.process.host, status.process.pid);
  if (ranks) text += fmt::format(" rank {}", status.rank);
  text += ": ";
  if (worker.life == data::WorkerLife::kGone)
    return text + fmt::format("gone, its last sign of life was {} ago", Duration(worker.age));
  const auto number = [&](const char* name) { return worker.Number(name); };
  text += status.part.empty() ? (status.phase.empty() ? "begins" : status.phase) : status.part;
  if (number("group_problems") > 0)
    text += fmt::format(", {:.0f} of {:.0f} done", number("group_done"), number("group_problems"));
  else if (status.total > 0 && status.part.empty())
    text += fmt::format(" {}/{} {}", status.done, status.total, status.unit);
  if (number("rollouts") > 0) text += fmt::format(", {} rollouts", Count(number("rollouts")));
  if (number("rollouts") > 0 && number("seconds") > 0)
    text += fmt::format(", {} tokens/s", Rate(number("tokens") / number("seconds")));
  if (worker.age >= 5)
    text += fmt::format(", {} since its last sign of life", Duration(worker.age));
  return text;
}

const char* ColourOf(RunCondition condition) {
  switch (condition) {
    case RunCondition::kWorking: return "32";
    case RunCondition::kFinished: return "36";
    case RunCondition::kStopped: return "31";
    default: return "33";
  }
}

}  // namespace

std::string Sparkline(const std::vector<double>& values, std::size_t width, bool utf8) {
  static constexpr std::array<const char*, 8> kBars = {"\u2581", "\u2582", "\u2583", "\u2584",
                                                       "\u2585", "\u2586", "\u2587", "\u2588"};
  static constexpr std::array<const char*, 8> kPlain = {"_", ".", ",", "-", "=", "+", "*", "#"};
  const std::size_t count = std::min(width, values.size());
  std::vector<double> means;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t begin = values.size() * i / count, end = values.size() * (i + 1) / count;
    double sum = 0;
    for (std::size_t k = begin; k < end; ++k) sum += values[k];
    means.push_back(sum / static_cast<double>(end - begin));
  }
  if (means.empty()) return "";
  const auto [low, high] = std::ranges::minmax(means);
  std::string line;
  for (const double mean : means) {
    const double share = high > low ? (mean - low) / (high - low) : 0.5;
    const auto level = static_cast<std::size_t>(std::clamp(share * 8, 0.0, 7.0));
    line += (utf8 ? kBars : kPlain)[level];
  }
  return line;
}

std::vector<std::string> StateLines(const RunState& state, const StateStyle& style) {
  Page page(style);
  const bool working = state.condition == RunCondition::kWorking;
  std::string what = "empty folder";
  if (state.search)
    what = fmt::format("search with {}, strategy {}", state.search->model, state.search->strategy);
  else if (state.training)
    what = fmt::format("training{}{}", state.training->objective.empty() ? "" : ", ",
                       state.training->objective);
  page.Add("run", fmt::format("{}: {}", state.run.string(), what));
  const std::size_t at = page.lines().size();
  page.Add("state",
           state.message.empty() ? "working" : (working ? "working: " : "") + state.message);
  for (std::size_t i = at; i < page.lines().size(); ++i) {
    std::string& line = page.lines()[i];
    if (line.size() > kLabel)
      line = line.substr(0, kLabel) + page.Coloured(line.substr(kLabel), ColourOf(state.condition));
  }
  if (state.search)
    AddSearch(*state.search, working, state.condition == RunCondition::kFinished, page);
  if (state.training) AddTraining(*state.training, working, page);
  bool ranks = false;
  for (const WorkerState& worker : state.workers) ranks = ranks || worker.status.rank > 0;
  for (std::size_t i = 0; i < state.workers.size(); ++i)
    page.Add(i == 0 ? "workers" : "", WorkerText(state.workers[i], ranks));
  for (std::size_t i = 0; i < state.faults.size(); ++i)
    page.Add(i == 0 ? "faults" : "", state.faults[i]);
  return page.Take();
}

}  // namespace pivotal::experiments
