// Apache-2.0. Operators, subscripts and attributes.
#include "data/jinja_operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/jinja_text.h"

namespace pivotal::data::jinja {
namespace {

constexpr std::string_view kOverflow = "an integer beyond 64 bits is not supported";

// Python's names, in blanks: what each type answers to, whether or not it is supported here.
constexpr std::string_view kTextMethods =
    " capitalize casefold center count encode endswith expandtabs find format format_map index isalnum "
    "isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper "
    "join ljust lower lstrip maketrans partition removeprefix removesuffix replace rfind rindex rjust "
    "rpartition rsplit rstrip split splitlines startswith strip swapcase title translate upper zfill ";
constexpr std::string_view kListMethods =
    " append clear copy count extend index insert pop remove reverse sort ";
constexpr std::string_view kSequenceMethods = " count index start step stop isdisjoint mapping close send throw ";
constexpr std::string_view kDictMethods =
    " clear copy fromkeys get items keys pop popitem setdefault update values ";
constexpr std::string_view kNumberMethods =
    " as_integer_ratio bit_count bit_length conjugate denominator from_bytes fromhex hex imag is_integer "
    "numerator real to_bytes ";

bool HasMethod(const Value& value, const std::string& name) {
  std::string_view names;
  if (value.String() != nullptr) names = kTextMethods;
  else if (value.List() != nullptr) names = value.List()->flavor == Flavor::kList ? kListMethods : kSequenceMethods;
  else if (value.Dict() != nullptr) names = kDictMethods;
  else if (value.IsNumber()) names = kNumberMethods;
  return names.find(" " + name + " ") != std::string_view::npos;
}

void RefuseSafe(const Value& value) {
  if (value.IsSafe()) throw Fault("text that went through the filter safe can only be printed here");
}

[[noreturn]] void BadOperands(std::string_view op, const Value& a, const Value& b) {
  RequireDefined(a);
  RequireDefined(b);
  throw Fault(fmt::format("{} between a {} and a {} is not possible or not supported", op, TypeName(a),
                          TypeName(b)));
}

int64_t FloorDivide(int64_t a, int64_t b) {
  if (b == -1 && a == INT64_MIN) throw Fault(std::string(kOverflow));
  const int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
}

int64_t Modulo(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value Integers(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") overflow = __builtin_add_overflow(a, b, &result);
  if (op == "-") overflow = __builtin_sub_overflow(a, b, &result);
  if (op == "*") overflow = __builtin_mul_overflow(a, b, &result);
  if (overflow) throw Fault(std::string(kOverflow));
  if (op == "+" || op == "-" || op == "*") return result;
  if (b == 0) throw Fault("division by zero");
  if (op == "//") return FloorDivide(a, b);
  if (op == "%") return Modulo(a, b);
  constexpr int64_t kExact = int64_t{1} << 53;
  if (a > kExact || a < -kExact || b > kExact || b < -kExact)
    throw Fault("dividing integers beyond 53 bits is not supported");
  return static_cast<double>(a) / static_cast<double>(b);
}

// As CPython's float_divmod.
double FloatOf(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (b == 0) throw Fault("division by zero");
  if (op == "/") return a / b;
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest == 0) {
    rest = std::copysign(0.0, b);
  } else if ((b < 0) != (rest < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (op == "%") return rest;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

// Jinja cannot compile a template whose constants are infinite.
Value Floats(std::string_view op, double a, double b) {
  const double result = FloatOf(op, a, b);
  if (!std::isfinite(result)) throw Fault("a float that is not finite is not supported");
  return result;
}

Value Repeat(const Value& value, int64_t count, Budget& budget) {
  const auto times = static_cast<std::size_t>(std::max<int64_t>(count, 0));
  const auto charge = [&](std::size_t size) {
    if (size > 0 && times > Budget::kTotal / size) budget.Charge(Budget::kTotal + 1);
    budget.Charge(size * times);
  };
  if (const std::string* text = value.String()) {
    charge(text->size());
    std::string result;
    if (!text->empty()) for (std::size_t i = 0; i < times; ++i) result += *text;
    return result;
  }
  const Sequence& list = *value.List();
  charge(list.items.size() * sizeof(Value));
  Values result;
  if (!list.items.empty())
    for (std::size_t i = 0; i < times; ++i) result.insert(result.end(), list.items.begin(), list.items.end());
  return Value::List(std::move(result), list.flavor);
}

bool IsPlainList(const Value& value) {
  return value.List() != nullptr && value.List()->flavor <= Flavor::kTuple;
}

bool Contains(const Value& container, const Value& item, Budget& budget) {
  if (const std::string* text = container.String()) {
    if (item.String() == nullptr)
      throw Fault(fmt::format("a {} is looked for in a str; only a str can be", TypeName(item)));
    budget.Charge(text->size());
    return FindText(*text, *item.String()) != std::string_view::npos;
  }
  if (const Sequence* list = container.List()) {
    if (list->flavor == Flavor::kGenerator) throw Fault("looking into a generator is not supported");
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& each) { return Equal(each, item, budget); });
  }
  if (const Mapping* dict = container.Dict()) return Find(*dict, item, budget) != nullptr;
  if (container.IsUndefined()) return false;
  throw Fault(fmt::format("a {} cannot be looked into", TypeName(container)));
}

Value LoopAttribute(const Loop& loop, const std::string& name) {
  const auto integer = [](std::size_t value) { return Value(static_cast<int64_t>(value)); };
  const std::size_t count = loop.items.size(), at = loop.index;
  if (name == "index") return integer(at + 1);
  if (name == "index0") return integer(at);
  if (name == "revindex") return integer(count - at);
  if (name == "revindex0") return integer(count - at - 1);
  if (name == "length") return integer(count);
  if (name == "depth") return integer(loop.depth);
  if (name == "depth0") return integer(loop.depth - 1);
  if (name == "first") return at == 0;
  if (name == "last") return at + 1 == count;
  if (name == "previtem") return at > 0 ? loop.items[at - 1] : Undefined{"loop.previtem"};
  if (name == "nextitem") return at + 1 < count ? loop.items[at + 1] : Undefined{"loop.nextitem"};
  throw Fault(fmt::format("loop.{} is not supported", name));
}

Value Missing(const Value& value, const std::string& name) {
  return Undefined{fmt::format("'{}' of a {}", name.substr(0, 40), TypeName(value))};
}

// What Python's getattr() finds; nothing where it raises AttributeError.
std::optional<Value> OwnAttribute(const Value& value, const std::string& name) {
  if (name.starts_with("__")) throw Fault(fmt::format("the attribute {} is not supported", name));
  RefuseSafe(value);
  if (value.AsCallable() != nullptr) throw Fault("an attribute of a function is not supported");
  if (const Loop* loop = value.AsLoop()) return LoopAttribute(*loop, name);
  if (const Namespace* space = value.AsNamespace()) {
    for (const auto& [key, item] : space->attributes)
      if (key == name) return item;
    return std::nullopt;
  }
  if (!HasMethod(value, name)) return std::nullopt;
  return Value(std::make_shared<const Callable>(Callable{name, value}));
}

std::size_t SizeOf(const Value& value) {
  return value.String() != nullptr ? Length(*value.String()) : value.List()->items.size();
}

int64_t Bound(const std::optional<Value>& value, int64_t absent) {
  if (!value || value->IsNone()) return absent;
  int64_t storage = 0;
  const int64_t* integer = value->Int(storage);
  RequireDefined(*value);
  if (integer == nullptr) throw Fault(fmt::format("a {} as the bound of a slice", TypeName(*value)));
  return *integer;
}

}  // namespace

Value MakeText(std::string_view text, Budget& budget) {
  budget.Charge(text.size());
  return std::string(text);
}

Value Binary(std::string_view op, const Value& a, const Value& b, Budget& budget) {
  int64_t i = 0, j = 0;
  const int64_t *x = a.Int(i), *y = b.Int(j);
  if (x != nullptr && y != nullptr) return Integers(op, *x, *y);
  if (a.IsNumber() && b.IsNumber()) return Floats(op, a.Float(), b.Float());
  RefuseSafe(a);
  RefuseSafe(b);
  if (op == "*" && y != nullptr && (a.String() != nullptr || IsPlainList(a))) return Repeat(a, *y, budget);
  if (op == "*" && x != nullptr && (b.String() != nullptr || IsPlainList(b))) return Repeat(b, *x, budget);
  if (op == "+" && a.String() != nullptr && b.String() != nullptr) {
    budget.Charge(a.String()->size() + b.String()->size());
    return *a.String() + *b.String();
  }
  if (op == "+" && IsPlainList(a) && IsPlainList(b) && a.List()->flavor == b.List()->flavor) {
    budget.Charge((a.List()->items.size() + b.List()->items.size()) * sizeof(Value));
    Values items = a.List()->items;
    items.insert(items.end(), b.List()->items.begin(), b.List()->items.end());
    return Value::List(std::move(items), a.List()->flavor);
  }
  BadOperands(op, a, b);
}

Value Negative(const Value& value) {
  int64_t storage = 0;
  if (const int64_t* integer = value.Int(storage)) return Integers("-", 0, *integer);
  RequireDefined(value);
  if (!value.IsNumber()) throw Fault(fmt::format("- before a {}", TypeName(value)));
  return -value.Float();
}

Value Positive(const Value& value) {
  int64_t storage = 0;
  if (const int64_t* integer = value.Int(storage)) return *integer;
  RequireDefined(value);
  if (!value.IsNumber()) throw Fault(fmt::format("+ before a {}", TypeName(value)));
  return value;
}

bool Compare(std::string_view op, const Value& a, const Value& b, Budget& budget) {
  if (op == "==") return Equal(a, b, budget);
  if (op == "!=") return !Equal(a, b, budget);
  if (op == "in") return Contains(b, a, budget);
  if (op == "not in") return !Contains(b, a, budget);
  if (op == "<") return Less(a, b, budget);
  if (op == ">") return Less(b, a, budget);
  const bool numbers = a.IsNumber() && b.IsNumber();
  if (numbers && (std::isnan(a.Float()) || std::isnan(b.Float()))) return false;
  return op == "<=" ? !Less(b, a, budget) : !Less(a, b, budget);
}

Values Items(const Value& value, Budget& budget) {
  RefuseSafe(value);
  if (const Sequence* list = value.List()) {
    if (list->flavor == Flavor::kGenerator && std::exchange(list->spent, true))
      throw Fault("reading the result of a filter twice is not supported; put | list behind it");
    budget.Charge(list->items.size() * sizeof(Value));
    return list->items;
  }
  Values items;
  if (const Mapping* dict = value.Dict()) {
    budget.Charge(dict->entries.size() * sizeof(Value));
    for (const auto& entry : dict->entries) items.push_back(entry.first);
  } else if (const std::string* text = value.String()) {
    budget.Charge(text->size() * 2 * sizeof(Value));
    for (const std::string_view character : Characters(*text)) items.emplace_back(std::string(character));
  } else if (!value.IsUndefined()) {
    throw Fault(fmt::format("a {} is not iterable", TypeName(value)));
  }
  return items;
}

Value GetAttribute(const Value& value, const std::string& name, Budget& budget) {
  RequireDefined(value);
  if (auto own = OwnAttribute(value, name)) return *std::move(own);
  const Value* item = value.Dict() != nullptr ? Find(*value.Dict(), Value(name), budget) : nullptr;
  return item != nullptr ? *item : Missing(value, name);
}

Value GetItem(const Value& value, const Value& key, Budget& budget) {
  RequireDefined(value);
  const Sequence* list = value.List();
  int64_t storage = 0;
  const int64_t* index = key.Int(storage);
  const bool indexed = value.String() != nullptr || (list != nullptr && list->flavor <= Flavor::kRange);
  if (index != nullptr && indexed) {
    RefuseSafe(value);
    if (value.String() != nullptr) budget.Charge(value.String()->size());
    const auto size = static_cast<int64_t>(SizeOf(value));
    const int64_t at = *index < 0 ? *index + size : *index;
    if (at < 0 || at >= size) return Missing(value, fmt::format("{}", *index));
    if (list != nullptr) return list->items[static_cast<std::size_t>(at)];
    std::size_t offset = 0;
    for (int64_t i = 0; i < at; ++i) offset += Characters(std::string_view(*value.String()).substr(offset, 4))[0].size();
    return std::string(Characters(std::string_view(*value.String()).substr(offset, 4))[0]);
  }
  if (value.Dict() != nullptr) {
    if (const Value* item = Find(*value.Dict(), key, budget)) return *item;
  }
  const std::string* name = key.String();
  if (name == nullptr) return Missing(value, std::string(TypeName(key)));
  if (auto own = OwnAttribute(value, *name)) return *std::move(own);
  return Missing(value, *name);
}

Value GetSlice(const Value& value, const std::optional<Value>& start, const std::optional<Value>& stop,
               const std::optional<Value>& step, Budget& budget) {
  RequireDefined(value);
  RefuseSafe(value);
  const Sequence* list = value.List();
  if (value.String() == nullptr && (list == nullptr || list->flavor > Flavor::kTuple))
    throw Fault(fmt::format("a slice of a {} is not possible or not supported", TypeName(value)));
  if (value.String() != nullptr) budget.Charge(value.String()->size() * sizeof(std::string_view));
  const auto size = static_cast<int64_t>(SizeOf(value));
  const int64_t by = Bound(step, 1);
  if (by == 0) throw Fault("a slice with step 0");
  const auto clamp = [&](const std::optional<Value>& bound, int64_t absent) {
    int64_t at = Bound(bound, absent);
    if (!bound || bound->IsNone()) return at;
    if (at < 0) at = std::max<int64_t>(at, -size - 1) + size;
    return by > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
  };
  const int64_t from = clamp(start, by > 0 ? 0 : size - 1), to = clamp(stop, by > 0 ? size : -1);
  std::vector<std::size_t> picked;
  // Written without from + by, which could overflow.
  for (int64_t at = from; by > 0 ? at < to : at > to;) {
    picked.push_back(static_cast<std::size_t>(at));
    if (by > 0 ? by >= to - at : by <= to - at) break;
    at += by;
  }
  budget.Charge(picked.size() * sizeof(Value));
  if (list != nullptr) {
    Values items;
    for (const std::size_t i : picked) items.push_back(list->items[i]);
    return Value::List(std::move(items), list->flavor);
  }
  const auto characters = Characters(*value.String());
  std::string text;
  for (const std::size_t i : picked) text += characters[i];
  return text;
}

}  // namespace pivotal::data::jinja
