// Apache-2.0. The functions, methods, filters and tests that chat templates may use; all others are a
// Fault that names them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/jinja_value.h"

namespace pivotal::data::jinja {

struct Arguments {
  Values values;
  std::vector<std::pair<std::string, Value>> named;
};

// Functions: range, namespace, dict, raise_exception, strftime_now. True for their names.
bool IsFunction(const std::string& name);
// Calls a function or a method.
Value Call(const Value& callee, const Arguments& arguments, Budget& budget);
Value ApplyFilter(const std::string& name, const Value& value, const Arguments& arguments,
                  Budget& budget);
bool ApplyTest(const std::string& name, const Value& value, const Values& arguments, Budget& budget);

}  // namespace pivotal::data::jinja
