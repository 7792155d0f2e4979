// Apache-2.0. The functions, methods, filters and tests that chat templates may call. Calling any
// other one throws a Fault that names it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/template/value.h"

namespace pivotal::data::jinja {

struct Arguments {
  Values values;
  std::vector<std::pair<std::string, Value>> named;
};

// Returns true for the names range, namespace, dict, raise_exception and strftime_now.
bool IsFunction(const std::string& name);
// Calls a function or a method.
Value Call(const Value& callee, const Arguments& arguments, Budget& budget);
Value ApplyFilter(const std::string& name, const Value& value, const Arguments& arguments,
                  Budget& budget);
bool ApplyTest(const std::string& name, const Value& value, const Values& arguments,
               Budget& budget);

}  // namespace pivotal::data::jinja
