// Apache-2.0. Follows jinja2/filters.py and jinja2/tests.py.
#include "data/template/builtins.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <initializer_list>
#include <optional>

#include "data/template/text.h"

namespace pivotal::data::jinja {
namespace {

// Binds the arguments of a call to the names of its parameters, and throws Fault for arguments that
// do not fit. `arguments` must outlive it.
class Bound {
 public:
  Bound(const std::string&, const Arguments&&, std::initializer_list<const char*>,
        std::size_t = 0) = delete;
  Bound(const std::string& what, const Arguments& arguments,
        std::initializer_list<const char*> names, std::size_t required = 0)
      : what_(what) {
    if (arguments.values.size() > names.size())
      throw Fault(fmt::format("{} has too many arguments", what));
    for (const char* name : names) {
      const std::size_t i = values_.size();
      const Value* value = i < arguments.values.size() ? &arguments.values[i] : nullptr;
      for (const auto& [key, named] : arguments.named) {
        if (key != name) continue;
        if (value != nullptr) throw Fault(fmt::format("{}: argument {} is given twice", what, key));
        value = &named;
      }
      if (value == nullptr && i < required)
        throw Fault(fmt::format("{}: argument {} is missing", what, name));
      values_.push_back(value);
    }
    for (const auto& [key, value] : arguments.named)
      if (std::find(names.begin(), names.end(), key) == names.end())
        throw Fault(fmt::format("{}: argument {} is not supported", what, key));
  }

  bool Has(std::size_t i) const { return values_[i] != nullptr; }
  const Value& operator[](std::size_t i) const { return *values_[i]; }
  // Returns nullptr for an argument that is absent or None.
  const std::string* Text(std::size_t i) const {
    if (!Has(i) || values_[i]->IsNone()) return nullptr;
    RequireDefined(*values_[i]);
    if (values_[i]->String() == nullptr)
      throw Fault(fmt::format("{}: a str is needed, not a {}", what_, TypeName(*values_[i])));
    return values_[i]->String();
  }
  const std::string& RequiredText(std::size_t i) const {
    if (const std::string* text = Text(i)) return *text;
    throw Fault(fmt::format("{}: a str is needed", what_));
  }
  int64_t Integer(std::size_t i, int64_t absent) const {
    if (!Has(i)) return absent;
    int64_t storage = 0;
    const int64_t* integer = values_[i]->Int(storage);
    RequireDefined(*values_[i]);
    if (integer == nullptr)
      throw Fault(fmt::format("{}: an int is needed, not a {}", what_, TypeName(*values_[i])));
    return *integer;
  }

 private:
  std::string what_;
  std::vector<const Value*> values_;
};

std::optional<std::string_view> View(const std::string* text) {
  return text != nullptr ? std::optional<std::string_view>(*text) : std::nullopt;
}

// ---- functions

Value Range(const Bound& bound, std::size_t count) {
  const int64_t first = count > 1 ? bound.Integer(0, 0) : 0,
                last = bound.Integer(count > 1 ? 1 : 0, 0);
  const int64_t step = bound.Integer(2, 1);
  constexpr std::size_t kMost = 100'000;  // the limit of Jinja's sandbox
  if (step == 0) throw Fault("range() cannot have step 0");
  Values items;
  for (int64_t i = first; step > 0 ? i < last : i > last;) {
    if (items.size() == kMost) throw Fault("range() has more than 100000 items");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::List(std::move(items), Flavor::kRange);
}

// Returns the entries that the arguments of namespace(...) or dict(...) give.
std::vector<std::pair<Value, Value>> Entries(const std::string& name, const Arguments& arguments,
                                             Budget& budget) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.values.size() > 1 ||
      (!arguments.values.empty() && arguments.values[0].Dict() == nullptr))
    throw Fault(fmt::format("{}: only one dict and named arguments are supported", name));
  if (!arguments.values.empty()) entries = arguments.values[0].Dict()->entries;
  budget.Charge((entries.size() + arguments.named.size()) * 2 * sizeof(Value));
  for (const auto& argument : arguments.named) {
    const Value key(argument.first);
    const auto known = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
      return Equal(entry.first, key, budget);
    });
    if (known != entries.end())
      known->second = argument.second;
    else
      entries.emplace_back(key, argument.second);
  }
  return entries;
}

Value MakeNamespace(const Arguments& arguments, Budget& budget) {
  auto space = std::make_shared<Namespace>();
  for (auto& [key, value] : Entries("namespace()", arguments, budget)) {
    if (key.String() == nullptr || key.String()->starts_with("_"))
      throw Fault("namespace(): an attribute must be a name that does not begin with _");
    if (!value.storable())
      throw Fault("a namespace that holds a namespace, a loop or a function is not supported");
    space->attributes.emplace_back(*key.String(), value);
  }
  return Value(std::move(space));
}

Value Now(const std::string& format) {
  for (std::size_t i = 0; i + 1 < format.size(); ++i) {
    if (format[i] != '%') continue;
    if (std::string_view("fzZ:").find(format[++i]) != std::string_view::npos)
      throw Fault(fmt::format("strftime_now: %{} is not supported", format[i]));
  }
  if (format.empty()) return "";
  if (format.size() > 100 || format.find('\0') != std::string::npos ||
      FindText(format, "%") == std::string::npos)
    throw Fault("strftime_now: this format is not supported");
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 4096> buffer;
  return std::string(buffer.data(),
                     std::strftime(buffer.data(), buffer.size(), format.c_str(), &local));
}

Value CallFunction(const std::string& name, const Arguments& arguments, Budget& budget) {
  if (name == "namespace") return MakeNamespace(arguments, budget);
  if (name == "dict") return Value::Dict(Entries("dict()", arguments, budget));
  if (name == "range") {
    budget.Charge(100'000);
    return Range(Bound(name, arguments, {"start", "stop", "step"}, 1), arguments.values.size());
  }
  if (name == "raise_exception")
    throw Fault("the template refuses this conversation: " +
                ToText(Bound(name, arguments, {"message"}, 1)[0], budget));
  return Now(Bound(name, arguments, {"format"}, 1).RequiredText(0));
}

// ---- methods

Value Parts(const std::vector<std::string_view>& parts, Budget& budget) {
  budget.Charge(parts.size() * 2 * sizeof(Value));
  Values items;
  for (const std::string_view part : parts) items.push_back(MakeText(part, budget));
  return Value::List(std::move(items));
}

bool StartsOrEnds(const std::string& text, const Value& affix, bool starts) {
  RequireDefined(affix);
  if (const Sequence* list = affix.List(); list != nullptr && list->flavor == Flavor::kTuple)
    return std::any_of(list->items.begin(), list->items.end(), [&](const Value& each) {
      if (each.String() == nullptr)
        throw Fault("startswith and endswith need a str or a tuple of them");
      return StartsOrEnds(text, each, starts);
    });
  if (affix.String() == nullptr)
    throw Fault("startswith and endswith need a str or a tuple of them");
  return starts ? text.starts_with(*affix.String()) : text.ends_with(*affix.String());
}

Value JoinTexts(const std::string& glue, const Values& items, bool only_texts, Budget& budget) {
  std::string result;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (only_texts && items[i].String() == nullptr)
      throw Fault("join() needs items that are all str");
    const std::string text = ToText(items[i], budget);
    budget.Charge(glue.size() + text.size());
    if (i > 0) result += glue;
    result += text;
  }
  return result;
}

std::optional<Value> TextMethod(const std::string& text, const std::string& name,
                                const Arguments& arguments, Budget& budget) {
  budget.Charge(text.size());
  const auto none = [&] { Bound(name, arguments, {}); };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Side side = name == "strip" ? Side::kBoth : name == "lstrip" ? Side::kLeft : Side::kRight;
    const Bound bound(name, arguments, {"chars"});
    if (bound.Text(0) != nullptr)
      budget.Charge(std::min(text.size(), Budget::kTotal) * (bound.Text(0)->size() / 16 + 1));
    return MakeText(Strip(text, side, View(bound.Text(0))), budget);
  }
  if (name == "split") {
    const Bound bound(name, arguments, {"sep", "maxsplit"});
    return Parts(Split(text, View(bound.Text(0)), bound.Integer(1, -1)), budget);
  }
  if (name == "startswith" || name == "endswith")
    return Value(
        StartsOrEnds(text, Bound(name, arguments, {"prefix"}, 1)[0], name == "startswith"));
  if (name == "replace") {
    const Bound bound(name, arguments, {"old", "new", "count"}, 2);
    return Value(
        Replace(text, bound.RequiredText(0), bound.RequiredText(1), bound.Integer(2, -1), budget));
  }
  if (name == "join")
    return JoinTexts(text, Items(Bound(name, arguments, {"iterable"}, 1)[0], budget), true, budget);
  if (name == "upper") return none(), Value(ChangeCase(text, Case::kUpper));
  if (name == "lower") return none(), Value(ChangeCase(text, Case::kLower));
  if (name == "title") return none(), Value(ChangeCase(text, Case::kTitle));
  if (name == "capitalize") return none(), Value(ChangeCase(text, Case::kCapital));
  return std::nullopt;
}

Values Pairs(const Mapping& dict, Budget& budget) {
  budget.Charge(dict.entries.size() * 4 * sizeof(Value));
  Values pairs;
  for (const auto& [key, value] : dict.entries)
    pairs.push_back(Value::List({key, value}, Flavor::kTuple));
  return pairs;
}

std::optional<Value> DictMethod(const Mapping& dict, const std::string& name,
                                const Arguments& arguments, Budget& budget) {
  if (name == "get") {
    const Bound bound(name, arguments, {"key", "default"}, 1);
    if (!arguments.named.empty()) throw Fault("get() takes no named arguments");
    const Value* found = Find(dict, bound[0], budget);
    return found != nullptr ? *found : bound.Has(1) ? bound[1] : Value(None{});
  }
  if (name != "items" && name != "keys" && name != "values") return std::nullopt;
  const Bound none(name, arguments, {});
  if (name == "items") return Value::List(Pairs(dict, budget), Flavor::kView);
  budget.Charge(dict.entries.size() * sizeof(Value));
  Values items;
  for (const auto& [key, value] : dict.entries) items.push_back(name == "keys" ? key : value);
  return Value::List(std::move(items), Flavor::kView);
}

// ---- filters

// Follows a path such as "a.b.0" into a value, as Jinja's make_attrgetter does.
Value PathOf(Value value, const Value& path, Budget& budget) {
  if (path.String() == nullptr) return GetItem(value, path, budget);
  for (const std::string_view part : Split(*path.String(), ".", -1)) {
    const bool digits =
        !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const Value key = digits ? Value(ParseInt(part).value_or(0)) : Value(std::string(part));
    value = GetItem(value, key, budget);
  }
  return value;
}

Value SelectOrReject(const std::string& name, const Value& value, const Arguments& arguments,
                     Budget& budget) {
  const bool keeps = name.starts_with("select"), attribute = name.ends_with("attr");
  Values rest = arguments.values;
  if (!arguments.named.empty())
    throw Fault(fmt::format("{}: named arguments are not supported", name));
  Value path;
  if (attribute) {
    if (rest.empty()) throw Fault(fmt::format("{}: the attribute is missing", name));
    path = rest.front();
    rest.erase(rest.begin());
  }
  std::string test;
  if (!rest.empty()) {
    if (rest.front().String() == nullptr)
      throw Fault(fmt::format("{}: the test must be a str", name));
    test = *rest.front().String();
    rest.erase(rest.begin());
  }
  Values kept;
  for (const Value& item : Items(value, budget)) {
    budget.Charge(Budget::kStep);
    const Value subject = attribute ? PathOf(item, path, budget) : item;
    const bool passes = test.empty() ? Truthy(subject) : ApplyTest(test, subject, rest, budget);
    if (passes == keeps) kept.push_back(item);
  }
  return Value::List(std::move(kept), Flavor::kGenerator);
}

Value Map(const Value& value, const Arguments& arguments, Budget& budget) {
  Values results;
  const bool by_filter = !arguments.values.empty();
  const Arguments none;
  const Bound bound("map", by_filter ? none : arguments, {"attribute", "default"});
  if (by_filter && (arguments.values[0].String() == nullptr || !arguments.named.empty()))
    throw Fault("map: these arguments are not supported");
  if (!by_filter && !bound.Has(0)) throw Fault("map: a filter or attribute= is needed");
  for (const Value& item : Items(value, budget)) {
    budget.Charge(Budget::kStep);
    if (by_filter) {
      results.push_back(ApplyFilter(*arguments.values[0].String(), item,
                                    {{arguments.values.begin() + 1, arguments.values.end()}, {}},
                                    budget));
      continue;
    }
    Value part = PathOf(item, bound[0], budget);
    results.push_back(part.IsUndefined() && bound.Has(1) ? bound[1] : part);
  }
  return Value::List(std::move(results), Flavor::kGenerator);
}

Value LengthOf(const Value& value, Budget& budget) {
  if (const std::string* text = value.String()) {
    budget.Charge(text->size());
    return static_cast<int64_t>(Length(*text));
  }
  if (const Sequence* list = value.List(); list != nullptr && list->flavor != Flavor::kGenerator)
    return static_cast<int64_t>(list->items.size());
  if (const Mapping* dict = value.Dict()) return static_cast<int64_t>(dict->entries.size());
  if (value.IsUndefined()) return int64_t{0};
  throw Fault(fmt::format("a {} has no length", TypeName(value)));
}

Value Truncated(double value) {
  if (!(std::abs(value) < 9.2e18)) throw Fault("an integer beyond 64 bits is not supported");
  return static_cast<int64_t>(value);
}

Value ToInt(const Value& value, const Value& otherwise) {
  RequireDefined(value);
  int64_t storage = 0;
  if (const int64_t* integer = value.Int(storage)) return *integer;
  std::optional<double> number;
  if (const std::string* text = value.String()) {
    if (const auto integer = ParseInt(*text)) return *integer;
    number = ParseFloat(*text);
    if (number && std::isinf(*number)) return otherwise;
  } else if (value.IsNumber()) {
    number = value.Float();
  }
  return number && !std::isnan(*number) ? Truncated(*number) : otherwise;
}

Value ToFloat(const Value& value, const Value& otherwise) {
  RequireDefined(value);
  if (value.IsNumber()) return value.Float();
  const auto number = value.String() != nullptr ? ParseFloat(*value.String()) : std::nullopt;
  if (number && !std::isfinite(*number)) throw Fault("a float that is not finite is not supported");
  return number ? Value(*number) : otherwise;
}

Value Json(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  if ((bound.Has(0) && Truthy(bound[0])) || (bound.Has(2) && !bound[2].IsNone()) ||
      (bound.Has(3) && Truthy(bound[3])))
    throw Fault("tojson: only indent is supported");
  const bool flat = !bound.Has(1) || bound[1].IsNone();
  const int64_t indent = flat ? -1 : std::max<int64_t>(bound.Integer(1, 0), 0);
  if (indent > 16) throw Fault("tojson: an indent above 16 is not supported");
  return ToJson(value, indent, budget);
}

Value FirstOrLast(const Value& value, bool first, Budget& budget) {
  const Sequence* list = value.List();
  if (!first && list != nullptr && list->flavor == Flavor::kGenerator)
    throw Fault("last: the result of a filter must be made a list first, by | list");
  const Values items = Items(value, budget);
  if (items.empty()) return Undefined{"the first or last item of an empty sequence"};
  return first ? items.front() : items.back();
}

Value JoinFilter(const Value& value, const Arguments& arguments, Budget& budget) {
  const Bound bound("join", arguments, {"d", "attribute"});
  Values items = Items(value, budget);
  if (bound.Has(1) && !bound[1].IsNone())
    for (Value& item : items) item = PathOf(item, bound[1], budget);
  return JoinTexts(bound.Has(0) ? ToText(bound[0], budget) : "", items, false, budget);
}

// Applies a filter that turns its value into text first; nothing for other names.
std::optional<Value> TextFilter(const std::string& name, const Value& value,
                                const Arguments& arguments, Budget& budget) {
  constexpr std::array<std::string_view, 7> kNames = {"trim",       "upper",  "lower",  "title",
                                                      "capitalize", "string", "replace"};
  if (std::find(kNames.begin(), kNames.end(), name) == kNames.end()) return std::nullopt;
  const std::string text = ToText(value, budget);
  if (name == "trim") return TextMethod(text, "strip", arguments, budget);
  if (name == "replace") {
    const Bound bound(name, arguments, {"old", "new", "count"}, 2);
    const int64_t count = bound.Has(2) && !bound[2].IsNone() ? bound.Integer(2, -1) : -1;
    return Value(Replace(text, ToText(bound[0], budget), ToText(bound[1], budget), count, budget));
  }
  const Bound none(name, arguments, {});
  if (name == "string") return Value(text);
  if (name == "title") return Value(TitleFilter(text));
  return TextMethod(text, name, {}, budget);
}

bool Is(const Value& value, bool truth) {
  return value.As<bool>() != nullptr && *value.As<bool>() == truth;
}

bool IsSequence(const Value& value) {
  return value.IsUndefined() || value.String() != nullptr || value.Dict() != nullptr ||
         (value.List() != nullptr && value.List()->flavor <= Flavor::kRange);
}

// Applies a test without arguments; nothing for other names.
std::optional<bool> PlainTest(const std::string& name, const Value& value) {
  if (name == "defined") return !value.IsUndefined();
  if (name == "undefined") return value.IsUndefined();
  if (name == "none") return value.IsNone();
  if (name == "string") return value.String() != nullptr;
  if (name == "mapping") return value.Dict() != nullptr;
  if (name == "number") return value.IsNumber();
  if (name == "integer") return value.As<int64_t>() != nullptr;
  if (name == "float") return value.As<double>() != nullptr;
  if (name == "boolean") return value.As<bool>() != nullptr;
  if (name == "true") return Is(value, true);
  if (name == "false") return Is(value, false);
  if (name == "sequence") return IsSequence(value);
  if (name == "iterable")
    return IsSequence(value) || value.List() != nullptr || value.AsLoop() != nullptr;
  return std::nullopt;
}

// Returns the comparison operator that a test such as "eq" stands for; "" for other tests.
std::string_view ComparisonOf(const std::string& name) {
  const auto is_any = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (is_any({"eq", "equalto", "=="})) return "==";
  if (is_any({"ne", "!="})) return "!=";
  if (is_any({"lt", "lessthan", "<"})) return "<";
  if (is_any({"le", "<="})) return "<=";
  if (is_any({"gt", "greaterthan", ">"})) return ">";
  if (is_any({"ge", ">="})) return ">=";
  if (name == "in") return "in";
  return "";
}

}  // namespace

bool IsFunction(const std::string& name) {
  return name == "range" || name == "namespace" || name == "dict" || name == "raise_exception" ||
         name == "strftime_now";
}

Value Call(const Value& callee, const Arguments& arguments, Budget& budget) {
  RequireDefined(callee);
  const Callable* callable = callee.AsCallable();
  if (callable == nullptr) throw Fault(fmt::format("a {} cannot be called", TypeName(callee)));
  if (callable->self.IsUndefined()) return CallFunction(callable->name, arguments, budget);
  std::optional<Value> result;
  if (const std::string* text = callable->self.String())
    result = TextMethod(*text, callable->name, arguments, budget);
  if (const Mapping* dict = callable->self.Dict())
    result = DictMethod(*dict, callable->name, arguments, budget);
  if (!result)
    throw Fault(fmt::format("the method {} of a {} is not supported", callable->name,
                            TypeName(callable->self)));
  return *std::move(result);
}

Value ApplyFilter(const std::string& name, const Value& value, const Arguments& arguments,
                  Budget& budget) {
  if (value.IsSafe() && name != "safe" && name != "length")
    throw Fault("text that the filter safe has marked can only be printed");
  if (name == "length" || name == "count")
    return Bound(name, arguments, {}), LengthOf(value, budget);
  if (name == "default" || name == "d") {
    const Bound bound(name, arguments, {"default_value", "boolean"});
    const bool boolean = bound.Has(1) && Truthy(bound[1]);
    if (!value.IsUndefined() && !(boolean && !Truthy(value))) return value;
    return bound.Has(0) ? bound[0] : Value("");
  }
  if (name == "join") return JoinFilter(value, arguments, budget);
  if (name == "tojson") return Json(value, arguments, budget);
  if (name == "first" || name == "last")
    return Bound(name, arguments, {}), FirstOrLast(value, name == "first", budget);
  if (name == "list") return Bound(name, arguments, {}), Value::List(Items(value, budget));
  if (name == "safe") return Bound(name, arguments, {}), Value(ToText(value, budget), true);
  if (name == "int" || name == "float") {
    const Bound bound(name, arguments, {"default"});
    if (name == "float") return ToFloat(value, bound.Has(0) ? bound[0] : Value(0.0));
    return ToInt(value, bound.Has(0) ? bound[0] : Value(int64_t{0}));
  }
  if (name == "items") {
    const Bound none(name, arguments, {});
    if (value.Dict() == nullptr && !value.IsUndefined()) throw Fault("items: a dict is needed");
    return Value::List(value.Dict() != nullptr ? Pairs(*value.Dict(), budget) : Values(),
                       Flavor::kGenerator);
  }
  if (name == "map") return Map(value, arguments, budget);
  if (name == "selectattr" || name == "rejectattr" || name == "select" || name == "reject")
    return SelectOrReject(name, value, arguments, budget);
  if (auto text = TextFilter(name, value, arguments, budget)) return *std::move(text);
  throw Fault(fmt::format("the filter {} is not supported", name));
}

bool ApplyTest(const std::string& name, const Value& value, const Values& arguments,
               Budget& budget) {
  const auto require = [&](std::size_t count) {
    if (arguments.size() != count)
      throw Fault(fmt::format("the test {} takes {} arguments", name, count));
  };
  if (const auto result = PlainTest(name, value)) return require(0), *result;
  if (const auto op = ComparisonOf(name); !op.empty())
    return require(1), Compare(op, value, arguments[0], budget);
  if (name == "odd" || name == "even" || name == "divisibleby") {
    require(name == "divisibleby" ? 1 : 0);
    const Value rest =
        Binary("%", value, arguments.empty() ? Value(int64_t{2}) : arguments[0], budget);
    return Equal(rest, Value(int64_t{name == "odd" ? 1 : 0}), budget);
  }
  throw Fault(fmt::format("the test {} is not supported", name));
}

}  // namespace pivotal::data::jinja
