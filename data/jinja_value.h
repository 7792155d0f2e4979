// Apache-2.0. What a chat template computes with: Python's values, as far as templates need them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pivotal::data::jinja {

// A fault of a template: bad syntax, something outside of the subset, or what Jinja would raise.
class Fault : public std::runtime_error {
 public:
  explicit Fault(const std::string& what, int line = 0) : std::runtime_error(what), line_(line) {}
  int line() const { return line_; }  // from 1; 0: the renderer knows it

 private:
  int line_;
};

// Keeps a hostile template from running on: every step, byte and element is charged.
class Budget {
 public:
  static constexpr std::size_t kTotal = std::size_t{64} << 20;
  static constexpr std::size_t kStep = 16;  // per node evaluated
  void Charge(std::size_t work);

 private:
  std::size_t used_ = 0;
};

class Value;
using Values = std::vector<Value>;

// How Python calls a sequence. Views are what items(), keys() and values() of a dict give;
// generators come from filters, have no length and are read once.
enum class Flavor { kList, kTuple, kRange, kView, kGenerator };

struct Sequence {
  Values items;
  Flavor flavor = Flavor::kList;
  int depth = 1;
  bool storable = true;  // see Value::storable()
  mutable bool spent = false;  // a generator that was read
};

struct Mapping {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  int depth = 1;
  bool storable = true;
};

struct Namespace;
struct Loop;
struct Callable;

struct Undefined {
  std::string name;  // for messages: "'foo'"
};
struct None {};
struct Text {
  std::shared_ptr<const std::string> bytes;  // UTF-8
  bool safe = false;                         // went through the filter `safe`
};

// Cheap to copy. Containers never change once made, except a Namespace, which cannot be put into
// another one: there are no cycles.
class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined undefined) : data_(std::move(undefined)) {}
  Value(None none) : data_(none) {}
  Value(bool value) : data_(value) {}
  Value(int64_t value) : data_(value) {}
  Value(double value) : data_(value) {}
  Value(std::string text, bool safe = false)
      : data_(Text{std::make_shared<const std::string>(std::move(text)), safe}) {}
  Value(const char* text) : Value(std::string(text)) {}
  // Throw Fault where they would be nested deeper than 64.
  static Value List(Values items, Flavor flavor = Flavor::kList);
  static Value Dict(std::vector<std::pair<Value, Value>> entries);
  Value(std::shared_ptr<Namespace> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<Loop> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<const Callable> value) : data_(std::move(value)) {}

  template <typename T>
  const T* As() const { return std::get_if<T>(&data_); }
  bool IsUndefined() const { return As<Undefined>() != nullptr; }
  bool IsNone() const { return As<None>() != nullptr; }
  const std::string* String() const;     // nullptr if it is none
  const Sequence* List() const;          // of any flavor
  const Mapping* Dict() const;
  Namespace* AsNamespace() const;
  Loop* AsLoop() const;
  const Callable* AsCallable() const;
  bool IsSafe() const;
  // An int, or a bool as an int.
  const int64_t* Int(int64_t& storage) const;
  bool IsNumber() const;  // int, float or bool
  double Float() const;   // of a number

  int depth() const;      // 0 for a scalar
  bool storable() const;  // in a namespace: it holds no namespace, loop or method

 private:
  std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<const Sequence>,
               std::shared_ptr<const Mapping>, std::shared_ptr<Namespace>, std::shared_ptr<Loop>,
               std::shared_ptr<const Callable>>
      data_;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

// The variable `loop`.
struct Loop {
  Values items;
  std::size_t index = 0, depth = 1;
};

// A global function (`self` undefined) or a method of `self`.
struct Callable {
  std::string name;
  Value self;
};

std::string_view TypeName(const Value& value);  // as Python calls it: "str"
bool Truthy(const Value& value);
bool Equal(const Value& a, const Value& b, Budget& budget);
// a < b; throws Fault where Python raises TypeError.
bool Less(const Value& a, const Value& b, Budget& budget);
// The entry of a dict; nullptr if it has none.
const Value* Find(const Mapping& dict, const Value& key, Budget& budget);

// Throws Fault: "'foo' is undefined".
[[noreturn]] void RaiseUndefined(const Value& value);
void RequireDefined(const Value& value);

}  // namespace pivotal::data::jinja
