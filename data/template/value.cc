// Apache-2.0.
#include "data/template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "data/template/text.h"

namespace pivotal::data::jinja {
namespace {

constexpr int kMaxDepth = 64;

template <typename T>
T* Pointer(const std::shared_ptr<T>* shared) {
  return shared != nullptr ? shared->get() : nullptr;
}

bool BothAre(Flavor flavor, const Sequence& a, const Sequence& b) {
  return a.flavor == flavor && b.flavor == flavor;
}

bool Comparable(const Sequence& a, const Sequence& b) {
  return BothAre(Flavor::kList, a, b) || BothAre(Flavor::kTuple, a, b) ||
         BothAre(Flavor::kRange, a, b);
}

[[noreturn]] void RefuseIdentity(const Value& value) {
  throw Fault(fmt::format("comparing a {} is not supported", TypeName(value)));
}

// Returns the number as a long double, which on x86 holds every int64 exactly.
long double Number(const Value& value) {
  int64_t storage = 0;
  const int64_t* integer = value.Int(storage);
  return integer != nullptr ? static_cast<long double>(*integer) : value.Float();
}

}  // namespace

void Budget::Charge(std::size_t work) {
  used_ += std::min(work, kTotal + 1);
  if (used_ > kTotal) throw Fault("the template does too much work");
}

Value Value::List(Values items, Flavor flavor) {
  auto list = std::make_shared<Sequence>();
  for (const Value& item : items) {
    list->depth = std::max(list->depth, item.depth() + 1);
    list->storable = list->storable && item.storable();
  }
  if (list->depth > kMaxDepth) throw Fault("lists are nested deeper than 64 levels");
  list->items = std::move(items);
  list->flavor = flavor;
  Value value;
  value.data_ = std::shared_ptr<const Sequence>(std::move(list));
  return value;
}

Value Value::Dict(std::vector<std::pair<Value, Value>> entries) {
  auto dict = std::make_shared<Mapping>();
  for (const auto& [key, item] : entries) {
    dict->depth = std::max(dict->depth, item.depth() + 1);
    dict->storable = dict->storable && item.storable();
  }
  if (dict->depth > kMaxDepth) throw Fault("dicts are nested deeper than 64 levels");
  dict->entries = std::move(entries);
  Value value;
  value.data_ = std::shared_ptr<const Mapping>(std::move(dict));
  return value;
}

const std::string* Value::String() const {
  const Text* text = As<Text>();
  return text != nullptr ? text->bytes.get() : nullptr;
}
const Sequence* Value::List() const { return Pointer(As<std::shared_ptr<const Sequence>>()); }
const Mapping* Value::Dict() const { return Pointer(As<std::shared_ptr<const Mapping>>()); }
Namespace* Value::AsNamespace() const { return Pointer(As<std::shared_ptr<Namespace>>()); }
Loop* Value::AsLoop() const { return Pointer(As<std::shared_ptr<Loop>>()); }
const Callable* Value::AsCallable() const { return Pointer(As<std::shared_ptr<const Callable>>()); }
bool Value::IsSafe() const { return As<Text>() != nullptr && As<Text>()->safe; }

const int64_t* Value::Int(int64_t& storage) const {
  if (const bool* truth = As<bool>()) {
    storage = *truth ? 1 : 0;
    return &storage;
  }
  return As<int64_t>();
}

bool Value::IsNumber() const {
  return As<bool>() != nullptr || As<int64_t>() != nullptr || As<double>() != nullptr;
}

double Value::Float() const {
  int64_t storage = 0;
  if (const int64_t* integer = Int(storage)) return static_cast<double>(*integer);
  return As<double>() != nullptr ? *As<double>() : 0.0;
}

int Value::depth() const {
  if (const Sequence* list = List()) return list->depth;
  if (const Mapping* dict = Dict()) return dict->depth;
  if (const Callable* callable = AsCallable()) return callable->self.depth() + 1;
  if (AsNamespace() != nullptr) return 1;  // its values are bounded too, and hold no namespace
  return 0;
}

bool Value::storable() const {
  if (const Sequence* list = List()) return list->storable;
  if (const Mapping* dict = Dict()) return dict->storable;
  return AsNamespace() == nullptr && AsLoop() == nullptr && AsCallable() == nullptr;
}

std::string_view TypeName(const Value& value) {
  if (value.IsUndefined()) return "Undefined";
  if (value.IsNone()) return "None";
  if (value.As<bool>() != nullptr) return "bool";
  if (value.As<int64_t>() != nullptr) return "int";
  if (value.As<double>() != nullptr) return "float";
  if (value.String() != nullptr) return "str";
  if (value.Dict() != nullptr) return "dict";
  if (value.AsNamespace() != nullptr) return "namespace";
  if (value.AsLoop() != nullptr) return "loop";
  if (value.AsCallable() != nullptr) return "function";
  switch (value.List()->flavor) {
    case Flavor::kList: return "list";
    case Flavor::kTuple: return "tuple";
    case Flavor::kRange: return "range";
    case Flavor::kView: return "dict view";
    case Flavor::kGenerator: return "generator";
  }
  return "value";
}

bool Truthy(const Value& value) {
  if (value.IsUndefined() || value.IsNone()) return false;
  if (value.IsNumber()) return value.Float() != 0;
  if (const std::string* text = value.String()) return !text->empty();
  if (const Sequence* list = value.List())
    return list->flavor == Flavor::kGenerator || !list->items.empty();
  if (const Mapping* dict = value.Dict()) return !dict->entries.empty();
  return true;
}

bool Equal(const Value& a, const Value& b, Budget& budget) {
  budget.Charge(Budget::kStep);
  for (const Value* value : {&a, &b}) {
    const bool view = value->List() != nullptr && value->List()->flavor >= Flavor::kView;
    if (view || (!value->storable() && value->List() == nullptr && value->Dict() == nullptr))
      RefuseIdentity(*value);
  }
  if (a.IsNumber() && b.IsNumber()) return Number(a) == Number(b);
  if (a.String() != nullptr && b.String() != nullptr) {
    budget.Charge(std::min(a.String()->size(), b.String()->size()));
    return *a.String() == *b.String();
  }
  if (const Sequence* x = a.List(), *y = b.List(); x != nullptr && y != nullptr) {
    if (!Comparable(*x, *y) || x->items.size() != y->items.size()) return false;
    return std::equal(x->items.begin(), x->items.end(), y->items.begin(),
                      [&](const Value& i, const Value& j) { return Equal(i, j, budget); });
  }
  if (const Mapping* x = a.Dict(), *y = b.Dict(); x != nullptr && y != nullptr) {
    if (x->entries.size() != y->entries.size()) return false;
    return std::all_of(x->entries.begin(), x->entries.end(), [&](const auto& entry) {
      const Value* other = Find(*y, entry.first, budget);
      return other != nullptr && Equal(entry.second, *other, budget);
    });
  }
  return (a.IsUndefined() && b.IsUndefined()) || (a.IsNone() && b.IsNone());
}

bool Less(const Value& a, const Value& b, Budget& budget) {
  RequireDefined(a);
  RequireDefined(b);
  budget.Charge(Budget::kStep);
  if (a.IsNumber() && b.IsNumber()) return Number(a) < Number(b);
  if (a.String() != nullptr && b.String() != nullptr) {
    budget.Charge(std::min(a.String()->size(), b.String()->size()));
    return *a.String() < *b.String();  // UTF-8 sorts in the order of its code points
  }
  const Sequence *x = a.List(), *y = b.List();
  if (x != nullptr && y != nullptr && Comparable(*x, *y) && x->flavor != Flavor::kRange) {
    const std::size_t common = std::min(x->items.size(), y->items.size());
    for (std::size_t i = 0; i < common; ++i)
      if (!Equal(x->items[i], y->items[i], budget)) return Less(x->items[i], y->items[i], budget);
    return x->items.size() < y->items.size();
  }
  throw Fault(fmt::format("a {} and a {} cannot be ordered", TypeName(a), TypeName(b)));
}

const Value* Find(const Mapping& dict, const Value& key, Budget& budget) {
  if (key.List() != nullptr || key.Dict() != nullptr)
    throw Fault(fmt::format("a {} as the key of a dict is not supported", TypeName(key)));
  for (const auto& [name, value] : dict.entries)
    if (Equal(name, key, budget)) return &value;
  return nullptr;
}

void RaiseUndefined(const Value& value) {
  const Undefined* undefined = value.As<Undefined>();
  const bool named = undefined != nullptr && !undefined->name.empty();
  throw Fault(named ? undefined->name + " is undefined" : "an undefined value is used");
}

void RequireDefined(const Value& value) {
  if (value.IsUndefined()) RaiseUndefined(value);
}

// ---- operators

namespace {

constexpr std::string_view kOverflow = "an integer beyond 64 bits is not supported";

// The names of the methods and attributes that Python's types have, each between blanks. A template
// may name them all, but calling one that is not supported is a Fault.
constexpr std::string_view kTextMethods =
    " capitalize casefold center count encode endswith expandtabs find format format_map index"
    " isalnum isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace"
    " istitle isupper join ljust lower lstrip maketrans partition removeprefix removesuffix replace"
    " rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title"
    " translate upper zfill ";
constexpr std::string_view kListMethods =
    " append clear copy count extend index insert pop remove reverse sort ";
constexpr std::string_view kSequenceMethods =
    " count index start step stop isdisjoint mapping close send throw ";
constexpr std::string_view kDictMethods =
    " clear copy fromkeys get items keys pop popitem setdefault update values ";
constexpr std::string_view kNumberMethods =
    " as_integer_ratio bit_count bit_length conjugate denominator from_bytes fromhex hex imag"
    " is_integer numerator real to_bytes ";

bool HasMethod(const Value& value, const std::string& name) {
  std::string_view names;
  if (value.String() != nullptr)
    names = kTextMethods;
  else if (value.List() != nullptr)
    names = value.List()->flavor == Flavor::kList ? kListMethods : kSequenceMethods;
  else if (value.Dict() != nullptr)
    names = kDictMethods;
  else if (value.IsNumber())
    names = kNumberMethods;
  return names.find(" " + name + " ") != std::string_view::npos;
}

void RefuseSafe(const Value& value) {
  if (value.IsSafe()) throw Fault("text that the filter safe has marked can only be printed");
}

[[noreturn]] void BadOperands(std::string_view op, const Value& a, const Value& b) {
  RequireDefined(a);
  RequireDefined(b);
  throw Fault(fmt::format("{} between a {} and a {} is not possible or not supported", op,
                          TypeName(a), TypeName(b)));
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

// Follows CPython's float_divmod.
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

// Refuses results that are not finite: Jinja cannot compile a template whose constants are
// infinite.
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
    if (!text->empty())
      for (std::size_t i = 0; i < times; ++i) result += *text;
    return result;
  }
  const Sequence& list = *value.List();
  charge(list.items.size() * sizeof(Value));
  Values result;
  if (!list.items.empty())
    for (std::size_t i = 0; i < times; ++i)
      result.insert(result.end(), list.items.begin(), list.items.end());
  return Value::List(std::move(result), list.flavor);
}

bool IsPlainList(const Value& value) {
  return value.List() != nullptr && value.List()->flavor <= Flavor::kTuple;
}

bool Contains(const Value& container, const Value& item, Budget& budget) {
  if (const std::string* text = container.String()) {
    if (item.String() == nullptr)
      throw Fault(fmt::format("a str can contain a str only, not a {}", TypeName(item)));
    budget.Charge(text->size());
    return FindText(*text, *item.String()) != std::string_view::npos;
  }
  if (const Sequence* list = container.List()) {
    if (list->flavor == Flavor::kGenerator)
      throw Fault("the operator in is not supported for a generator");
    return std::any_of(list->items.begin(), list->items.end(),
                       [&](const Value& each) { return Equal(each, item, budget); });
  }
  if (const Mapping* dict = container.Dict()) return Find(*dict, item, budget) != nullptr;
  if (container.IsUndefined()) return false;
  throw Fault(fmt::format("a {} is not a container", TypeName(container)));
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

// Follows Python's getattr(); returns nothing where that raises AttributeError.
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
  if (integer == nullptr)
    throw Fault(fmt::format("the bound of a slice must be an int, not a {}", TypeName(*value)));
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
  if (op == "*" && y != nullptr && (a.String() != nullptr || IsPlainList(a)))
    return Repeat(a, *y, budget);
  if (op == "*" && x != nullptr && (b.String() != nullptr || IsPlainList(b)))
    return Repeat(b, *x, budget);
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
  if (!value.IsNumber()) throw Fault(fmt::format("- cannot be applied to a {}", TypeName(value)));
  return -value.Float();
}

Value Positive(const Value& value) {
  int64_t storage = 0;
  if (const int64_t* integer = value.Int(storage)) return *integer;
  RequireDefined(value);
  if (!value.IsNumber()) throw Fault(fmt::format("+ cannot be applied to a {}", TypeName(value)));
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
      throw Fault("reading the result of a filter twice is not supported; append | list to it");
    budget.Charge(list->items.size() * sizeof(Value));
    return list->items;
  }
  Values items;
  if (const Mapping* dict = value.Dict()) {
    budget.Charge(dict->entries.size() * sizeof(Value));
    for (const auto& entry : dict->entries) items.push_back(entry.first);
  } else if (const std::string* text = value.String()) {
    budget.Charge(text->size() * 2 * sizeof(Value));
    for (const std::string_view character : Characters(*text))
      items.emplace_back(std::string(character));
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
  const bool indexed =
      value.String() != nullptr || (list != nullptr && list->flavor <= Flavor::kRange);
  if (index != nullptr && indexed) {
    RefuseSafe(value);
    if (value.String() != nullptr) budget.Charge(value.String()->size());
    const auto size = static_cast<int64_t>(SizeOf(value));
    const int64_t at = *index < 0 ? *index + size : *index;
    if (at < 0 || at >= size) return Missing(value, fmt::format("{}", *index));
    if (list != nullptr) return list->items[static_cast<std::size_t>(at)];
    std::size_t offset = 0;
    for (int64_t i = 0; i < at; ++i)
      offset += Characters(std::string_view(*value.String()).substr(offset, 4))[0].size();
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

Value GetSlice(const Value& value, const std::optional<Value>& start,
               const std::optional<Value>& stop, const std::optional<Value>& step, Budget& budget) {
  RequireDefined(value);
  RefuseSafe(value);
  const Sequence* list = value.List();
  if (value.String() == nullptr && (list == nullptr || list->flavor > Flavor::kTuple))
    throw Fault(fmt::format("a slice of a {} is not possible or not supported", TypeName(value)));
  if (value.String() != nullptr) budget.Charge(value.String()->size() * sizeof(std::string_view));
  const auto size = static_cast<int64_t>(SizeOf(value));
  const int64_t by = Bound(step, 1);
  if (by == 0) throw Fault("a slice cannot have step 0");
  const auto clamp = [&](const std::optional<Value>& bound, int64_t absent) {
    int64_t at = Bound(bound, absent);
    if (!bound || bound->IsNone()) return at;
    if (at < 0) at = std::max<int64_t>(at, -size - 1) + size;
    return by > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
  };
  const int64_t from = clamp(start, by > 0 ? 0 : size - 1), to = clamp(stop, by > 0 ? size : -1);
  std::vector<std::size_t> picked;
  // The loop computes no from + by beyond the bounds, which could overflow.
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
