// Apache-2.0. Operators, subscripts and attributes of templates, with Python's meaning. Where Python
// or Jinja raises, and for what is outside of the subset, Fault.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "data/jinja_value.h"

namespace pivotal::data::jinja {

// `op` is one of + - * / // %.
Value Binary(std::string_view op, const Value& a, const Value& b, Budget& budget);
Value Negative(const Value& value);
Value Positive(const Value& value);
// `op` is one of == != < <= > >= in "not in".
bool Compare(std::string_view op, const Value& a, const Value& b, Budget& budget);

// What a loop over `value` visits. A generator can be read once.
Values Items(const Value& value, Budget& budget);
// value.name, value[key], value[start:stop:step]: undefined where there is none.
Value GetAttribute(const Value& value, const std::string& name, Budget& budget);
Value GetItem(const Value& value, const Value& key, Budget& budget);
Value GetSlice(const Value& value, const std::optional<Value>& start,
               const std::optional<Value>& stop, const std::optional<Value>& step, Budget& budget);

// The bytes of `text`, charged, as a value.
Value MakeText(std::string_view text, Budget& budget);

}  // namespace pivotal::data::jinja
