// Apache-2.0. The values that chat templates compute with, and the operators on them, with Python's
// meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pivotal::data::jinja {

// A fault in a template: bad syntax, a construct outside the supported subset, or an operation for
// which Jinja raises an exception.
class Fault : public std::runtime_error {
 public:
  explicit Fault(const std::string& what, int line = 0) : std::runtime_error(what), line_(line) {}
  int line() const { return line_; }  // counted from 1; 0: the renderer fills it in

 private:
  int line_;
};

// Limits the work of one rendering, so that a hostile template cannot run on or fill the memory:
// every step, byte and element is charged.
class Budget {
 public:
  static constexpr std::size_t kTotal = std::size_t{64} << 20;
  static constexpr std::size_t kStep = 16;  // charge for evaluating one node of the tree
  // Throws Fault once more than kTotal has been charged.
  void Charge(std::size_t work);

 private:
  std::size_t used_ = 0;
};

class Value;
using Values = std::vector<Value>;

// The Python type of a sequence. items(), keys() and values() of a dict return a view. Filters
// return a generator, which has no length and can be read once.
enum class Flavor { kList, kTuple, kRange, kView, kGenerator };

struct Sequence {
  Values items;
  Flavor flavor = Flavor::kList;
  int depth = 1;
  bool storable = true;        // see Value::storable()
  mutable bool spent = false;  // true: this generator has been read
};

struct Mapping {
  std::vector<std::pair<Value, Value>> entries;  // in insertion order
  int depth = 1;
  bool storable = true;
};

struct Namespace;
struct Loop;
struct Callable;

struct Undefined {
  std::string name;  // names the missing value in messages: "'foo'"
};
struct None {};
struct Text {
  std::shared_ptr<const std::string> bytes;  // UTF-8
  bool safe = false;                         // true: the filter `safe` marked it
};

// A Python value. Copies share their contents. Containers are immutable, except a Namespace, which
// cannot be stored in another Namespace; so there are no reference cycles.
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
  // List() and Dict() throw Fault for values nested deeper than 64 levels.
  static Value List(Values items, Flavor flavor = Flavor::kList);
  static Value Dict(std::vector<std::pair<Value, Value>> entries);
  Value(std::shared_ptr<Namespace> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<Loop> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<const Callable> value) : data_(std::move(value)) {}

  template <typename T>
  const T* As() const {
    return std::get_if<T>(&data_);
  }
  bool IsUndefined() const { return As<Undefined>() != nullptr; }
  bool IsNone() const { return As<None>() != nullptr; }
  // Each accessor returns nullptr for a value of another type.
  const std::string* String() const;
  const Sequence* List() const;  // of any flavor
  const Mapping* Dict() const;
  Namespace* AsNamespace() const;
  Loop* AsLoop() const;
  const Callable* AsCallable() const;
  bool IsSafe() const;
  // An int, or a bool as an int (which is put into `storage`); nullptr for other types.
  const int64_t* Int(int64_t& storage) const;
  bool IsNumber() const;  // int, float or bool
  double Float() const;   // the value of a number; 0 for other types

  int depth() const;      // levels of nesting; 0 for a scalar
  bool storable() const;  // true: a namespace may hold it (it holds no namespace, loop or method)

 private:
  std::variant<Undefined, None, bool, int64_t, double, Text, std::shared_ptr<const Sequence>,
               std::shared_ptr<const Mapping>, std::shared_ptr<Namespace>, std::shared_ptr<Loop>,
               std::shared_ptr<const Callable>>
      data_;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

// The variable `loop` of a for statement.
struct Loop {
  Values items;
  std::size_t index = 0, depth = 1;
};

// A global function (`self` undefined) or a method of `self`.
struct Callable {
  std::string name;
  Value self;
};

std::string_view TypeName(const Value& value);  // Python's name of the type: "str"
bool Truthy(const Value& value);
bool Equal(const Value& a, const Value& b, Budget& budget);
// Returns a < b. Throws Fault where Python raises TypeError.
bool Less(const Value& a, const Value& b, Budget& budget);
// Returns the value under `key`, or nullptr where there is none.
const Value* Find(const Mapping& dict, const Value& key, Budget& budget);

// Throws Fault: "'foo' is undefined".
[[noreturn]] void RaiseUndefined(const Value& value);
// Throws that Fault if the value is undefined.
void RequireDefined(const Value& value);

// The operators throw Fault where Python or Jinja raises an exception, and for operands outside the
// supported subset.

// `op` is one of + - * / // %.
Value Binary(std::string_view op, const Value& a, const Value& b, Budget& budget);
Value Negative(const Value& value);
Value Positive(const Value& value);
// `op` is one of == != < <= > >= in "not in".
bool Compare(std::string_view op, const Value& a, const Value& b, Budget& budget);

// Returns the items that a loop over `value` visits. Throws Fault for a generator that was read.
Values Items(const Value& value, Budget& budget);
// value.name, value[key], value[start:stop:step]. GetAttribute() and GetItem() return an undefined
// value where there is none.
Value GetAttribute(const Value& value, const std::string& name, Budget& budget);
Value GetItem(const Value& value, const Value& key, Budget& budget);
Value GetSlice(const Value& value, const std::optional<Value>& start,
               const std::optional<Value>& stop, const std::optional<Value>& step, Budget& budget);

// Charges the bytes of `text` and returns it as a value.
Value MakeText(std::string_view text, Budget& budget);

}  // namespace pivotal::data::jinja
