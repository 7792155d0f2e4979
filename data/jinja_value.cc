// Apache-2.0. Python's values.
#include "data/jinja_value.h"

#include <fmt/format.h>

#include <algorithm>

namespace pivotal::data::jinja {
namespace {

constexpr int kMaxDepth = 64;

template <typename T>
T* Pointer(const std::shared_ptr<T>* shared) { return shared != nullptr ? shared->get() : nullptr; }

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

// x86's long double holds every int64 exactly.
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
  if (list->depth > kMaxDepth) throw Fault("lists nested deeper than 64 levels");
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
  if (dict->depth > kMaxDepth) throw Fault("dicts nested deeper than 64 levels");
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
  if (AsNamespace() != nullptr) return 1;  // what it holds may be 64 deep, but holds no other one
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
  if (const Sequence *x = a.List(), *y = b.List(); x != nullptr && y != nullptr) {
    if (!Comparable(*x, *y) || x->items.size() != y->items.size()) return false;
    return std::equal(x->items.begin(), x->items.end(), y->items.begin(),
                      [&](const Value& i, const Value& j) { return Equal(i, j, budget); });
  }
  if (const Mapping *x = a.Dict(), *y = b.Dict(); x != nullptr && y != nullptr) {
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
    return *a.String() < *b.String();  // UTF-8 sorts as its characters do
  }
  const Sequence *x = a.List(), *y = b.List();
  if (x != nullptr && y != nullptr && Comparable(*x, *y) && x->flavor != Flavor::kRange) {
    const std::size_t common = std::min(x->items.size(), y->items.size());
    for (std::size_t i = 0; i < common; ++i)
      if (!Equal(x->items[i], y->items[i], budget)) return Less(x->items[i], y->items[i], budget);
    return x->items.size() < y->items.size();
  }
  throw Fault(fmt::format("a {} and a {} have no order", TypeName(a), TypeName(b)));
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

}  // namespace pivotal::data::jinja
