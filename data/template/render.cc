// Apache-2.0. A tree-walking interpreter of chat templates.
#include <fmt/format.h>

#include <unordered_map>

#include "data/template/builtins.h"
#include "data/template/program.h"
#include "data/template/text.h"

namespace pivotal::data::jinja {
namespace {

class Renderer {
 public:
  explicit Renderer(const Variables& variables) {
    scopes_.emplace_back(variables.begin(), variables.end());
  }

  std::string Run(const Block& block) {
    try {
      Execute(block);
    } catch (const Fault& fault) {
      if (fault.line() > 0) throw;
      throw Fault(fault.what(), line_);
    }
    return std::move(out_);
  }

 private:
  enum class Flow { kOn, kBreak, kContinue };

  // Opens a variable scope and closes it again, with the variables that were set in it.
  class Scope {
   public:
    explicit Scope(Renderer& renderer) : renderer_(renderer) { renderer_.scopes_.emplace_back(); }
    ~Scope() { renderer_.scopes_.pop_back(); }
    Scope(const Scope&) = delete;

   private:
    Renderer& renderer_;
  };

  // ---- statements

  Flow Execute(const Block& block) {
    for (const Statement& statement : block) {
      if (const Flow flow = Execute(statement); flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  Flow Execute(const Statement& statement) {
    line_ = statement.line;
    budget_.Charge(Budget::kStep);
    switch (statement.kind) {
      case StatementKind::kText: Write(statement.text); break;
      case StatementKind::kOutput: {
        const Value value = Evaluate(*statement.value);
        Write(ToText(value, budget_));
        break;
      }
      case StatementKind::kIf: return If(statement);
      case StatementKind::kFor: return For(statement);
      case StatementKind::kSet: Assign(statement.target, Evaluate(*statement.value)); break;
      case StatementKind::kSetBlock: SetBlock(statement); break;
      case StatementKind::kScope: {
        const Scope scope(*this);
        return Execute(statement.body);
      }
      case StatementKind::kBreak: return Flow::kBreak;
      case StatementKind::kContinue: return Flow::kContinue;
    }
    return Flow::kOn;
  }

  void Write(std::string_view text) {
    budget_.Charge(text.size());
    out_ += text;
  }

  Flow If(const Statement& statement) {
    for (const Branch& branch : statement.branches)
      if (Truthy(Evaluate(*branch.condition))) return Execute(branch.body);
    return Execute(statement.otherwise);
  }

  Flow For(const Statement& statement) {
    auto loop = std::make_shared<Loop>();
    loop->items = Items(Evaluate(*statement.value), budget_);
    loop->depth = 1;
    if (statement.condition != nullptr) Filter(statement, loop->items);
    if (loop->items.empty()) {
      const Scope scope(*this);
      return Execute(statement.otherwise);
    }
    for (; loop->index < loop->items.size(); ++loop->index) {
      const Scope scope(*this);
      scopes_.back()["loop"] = Value(loop);
      line_ = statement.line;
      Assign(statement.target, loop->items[loop->index]);
      if (Execute(statement.body) == Flow::kBreak) break;
    }
    return Flow::kOn;
  }

  // Keeps the items for which the loop's condition holds. Jinja tests each item just before its
  // iteration; the difference shows only in conditions that read a namespace, which are refused.
  void Filter(const Statement& statement, Values& items) {
    Values kept;
    for (const Value& item : items) {
      const Scope scope(*this);
      Assign(statement.target, item);
      ++conditions_;
      if (Truthy(Evaluate(*statement.condition))) kept.push_back(item);
      --conditions_;
    }
    items = std::move(kept);
  }

  void SetBlock(const Statement& statement) {
    std::string text;
    {
      const Scope scope(*this);
      std::swap(out_, text);
      Execute(statement.body);
      std::swap(out_, text);
    }
    Value value(std::move(text));
    if (statement.value != nullptr) value = ApplyFilters(*statement.value, value);
    Assign(statement.target, std::move(value));
  }

  // Applies the filters of {% set x | a | b %} to `text`: the innermost filter has no value of its
  // own.
  Value ApplyFilters(const Expr& filter, const Value& text) {
    const Value value = filter.parts[0] != nullptr ? ApplyFilters(*filter.parts[0], text) : text;
    return ApplyFilter(filter.text, value, ArgumentsOf(filter), budget_);
  }

  void Assign(const Target& target, Value value) {
    if (!target.attribute.empty()) return AssignAttribute(target, std::move(value));
    if (!target.unpacks) {
      scopes_.back()[target.names[0]] = std::move(value);
      return;
    }
    Values items = Items(value, budget_);
    if (items.size() != target.names.size())
      throw Fault(fmt::format("{} values for {} variables", items.size(), target.names.size()));
    for (std::size_t i = 0; i < items.size(); ++i)
      scopes_.back()[target.names[i]] = std::move(items[i]);
  }

  void AssignAttribute(const Target& target, Value value) {
    const Value holder = Lookup(target.names[0]);
    Namespace* space = holder.AsNamespace();
    if (space == nullptr) throw Fault(fmt::format("{} is not a namespace", target.names[0]));
    if (target.attribute.starts_with("_"))
      throw Fault("an attribute of a namespace must not begin with _");
    if (!value.storable())
      throw Fault("a namespace that holds a namespace, a loop or a function is not supported");
    budget_.Charge(space->attributes.size() * sizeof(Value));
    for (auto& [name, old] : space->attributes) {
      if (name != target.attribute) continue;
      old = std::move(value);
      return;
    }
    space->attributes.emplace_back(target.attribute, std::move(value));
  }

  // ---- expressions

  Value Lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    }
    if (IsFunction(name)) return Value(std::make_shared<const Callable>(Callable{name, {}}));
    for (const char* other :
         {"cycler", "joiner", "lipsum", "self", "super", "caller", "varargs", "kwargs"})
      if (name == other) throw Fault(fmt::format("{} is not supported", name));
    return Undefined{fmt::format("'{}'", name.substr(0, 40))};
  }

  Arguments ArgumentsOf(const Expr& expr) {
    Arguments arguments;
    for (std::size_t i = 1; i < expr.parts.size(); ++i)
      arguments.values.push_back(Evaluate(*expr.parts[i]));
    for (const auto& [name, value] : expr.named)
      arguments.named.emplace_back(name, Evaluate(*value));
    return arguments;
  }

  Value Evaluate(const Expr& expr) {
    budget_.Charge(Budget::kStep);
    return EvaluateInner(expr);
  }

  // Evaluates operand i; faults that follow are again on the line of `expr`.
  Value Part(const Expr& expr, std::size_t i) {
    Value value = Evaluate(*expr.parts[i]);
    line_ = expr.line;
    return value;
  }

  Value EvaluateInner(const Expr& expr) {
    line_ = expr.line;
    switch (expr.kind) {
      case ExprKind::kConstant: return expr.constant;
      case ExprKind::kName: return Lookup(expr.text);
      case ExprKind::kList: return Sequence(expr, Flavor::kList);
      case ExprKind::kTuple: return Sequence(expr, Flavor::kTuple);
      case ExprKind::kDict: return Dict(expr);
      case ExprKind::kAttribute: return Attribute(expr);
      case ExprKind::kItem: return Item(expr);
      case ExprKind::kSlice: return Slice(expr);
      case ExprKind::kCall: {
        const Value callee = Part(expr, 0);
        const Arguments arguments = ArgumentsOf(expr);
        line_ = expr.line;
        return Call(callee, arguments, budget_);
      }
      case ExprKind::kFilter: {
        const Value value = Part(expr, 0);
        const Arguments arguments = ArgumentsOf(expr);
        line_ = expr.line;
        return ApplyFilter(expr.text, value, arguments, budget_);
      }
      case ExprKind::kTest: {
        const Value value = Part(expr, 0);
        const Arguments arguments = ArgumentsOf(expr);
        line_ = expr.line;
        return ApplyTest(expr.text, value, arguments.values, budget_);
      }
      case ExprKind::kNegative: return Negative(Part(expr, 0));
      case ExprKind::kPositive: return Positive(Part(expr, 0));
      case ExprKind::kNot: return !Truthy(Part(expr, 0));
      case ExprKind::kAnd: {
        Value left = Part(expr, 0);
        return Truthy(left) ? Part(expr, 1) : left;
      }
      case ExprKind::kOr: {
        Value left = Part(expr, 0);
        return Truthy(left) ? left : Part(expr, 1);
      }
      case ExprKind::kBinary: {
        const Value left = Part(expr, 0), right = Part(expr, 1);
        return Binary(expr.text, left, right, budget_);
      }
      case ExprKind::kConcat: return Concat(expr);
      case ExprKind::kCompare: return Comparison(expr);
      case ExprKind::kCondition:
        if (Truthy(Part(expr, 1))) return Part(expr, 0);
        return expr.parts[2] != nullptr ? Part(expr, 2)
                                        : Value(Undefined{"an if without its else"});
    }
    return {};
  }

  Value Sequence(const Expr& expr, Flavor flavor) {
    budget_.Charge(expr.parts.size() * sizeof(Value));
    Values items;
    for (std::size_t i = 0; i < expr.parts.size(); ++i) items.push_back(Part(expr, i));
    return Value::List(std::move(items), flavor);
  }

  Value Dict(const Expr& expr) {
    budget_.Charge(expr.parts.size() * sizeof(Value));
    std::vector<std::pair<Value, Value>> entries;
    for (std::size_t i = 0; i < expr.parts.size(); i += 2) {
      Value key = Part(expr, i), value = Part(expr, i + 1);
      if (key.String() == nullptr && !key.IsNumber() && !key.IsNone())
        throw Fault(fmt::format("a {} as the key of a dict is not supported", TypeName(key)));
      std::size_t at = 0;
      while (at < entries.size() && !Equal(entries[at].first, key, budget_)) ++at;
      if (at < entries.size())
        entries[at].second = std::move(value);
      else
        entries.emplace_back(std::move(key), std::move(value));
    }
    return Value::Dict(std::move(entries));
  }

  void RefuseNamespaceInCondition(const Value& value) const {
    if (conditions_ > 0 && value.AsNamespace() != nullptr)
      throw Fault("a loop whose condition reads a namespace is not supported");
  }

  Value Attribute(const Expr& expr) {
    const Value value = Part(expr, 0);
    RefuseNamespaceInCondition(value);
    return GetAttribute(value, expr.text, budget_);
  }

  Value Item(const Expr& expr) {
    const Value value = Part(expr, 0), key = Part(expr, 1);
    RefuseNamespaceInCondition(value);
    return GetItem(value, key, budget_);
  }

  Value Slice(const Expr& expr) {
    const Value value = Part(expr, 0);
    const auto bound = [&](std::size_t i) {
      return expr.parts[i] != nullptr ? std::optional<Value>(Part(expr, i)) : std::nullopt;
    };
    const auto start = bound(1), stop = bound(2), step = bound(3);
    return GetSlice(value, start, stop, step, budget_);
  }

  Value Concat(const Expr& expr) {
    std::string text;
    for (std::size_t i = 0; i < expr.parts.size(); ++i) text += ToText(Part(expr, i), budget_);
    return text;
  }

  Value Comparison(const Expr& expr) {
    Value left = Part(expr, 0);
    for (std::size_t i = 0; i < expr.operators.size(); ++i) {
      Value right = Part(expr, i + 1);
      if (!Compare(expr.operators[i], left, right, budget_)) return false;
      left = std::move(right);
    }
    return true;
  }

  std::vector<std::unordered_map<std::string, Value>> scopes_;
  std::string out_;
  Budget budget_;
  int line_ = 1;
  int conditions_ = 0;
};

}  // namespace

std::string Render(const Block& block, const Variables& variables) {
  return Renderer(variables).Run(block);
}

}  // namespace pivotal::data::jinja
