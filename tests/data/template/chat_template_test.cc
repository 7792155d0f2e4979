// Apache-2.0. The expected texts were printed by Jinja2 3.1.6, set up as in transformers.
// chat_template_parity_test.cc compares with Jinja2 itself.
#include "data/template/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/support/byte_tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using testing::ErrorText;
using ::testing::HasSubstr;

const std::vector<ChatMessage> kChat = {
    {"system", "Be brief."}, {"user", " Hi \u00e9\U0001F600 "}, {"assistant", "Yo"}};

std::string Render(std::string_view source) {
  return ChatTemplate(source, "t.jinja", {{"bos_token", "<s>"}, {"eos_token", "</s>"}})
      .Render(kChat);
}

void ExpectRenders(std::string_view source, std::string_view expected) {
  EXPECT_EQ(Render(source), expected) << source;
}

void ExpectFails(std::string_view source, const std::string& text) {
  EXPECT_THAT(ErrorText([&] { Render(source); }), HasSubstr(text)) << source;
}

TEST(ChatTemplate, CutsWhiteSpaceAsTrimBlocksAndLstripBlocksDo) {
  ExpectRenders("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc");
  ExpectRenders("a  {% if true %} b {% endif %} c", "a   b  c");
  ExpectRenders("a \n {%- if true -%} \n b {%- endif +%}\n c", "ab\n c");
  ExpectRenders("  {%+ if true %}x{% endif %}", "  x");
  ExpectRenders("  {# note #}\nx{#- note -#}  y", "xy");
  ExpectRenders("a \n{{- 1 -}}\n b", "a1b");
  ExpectRenders("  {{ 1 }}\n  {{ 2 }}\n", "  1\n  2");
  ExpectRenders("x\r\ny\rz\n\n", "x\ny\nz\n");
  ExpectRenders("{{ '%}' }}{% if true %}{{ {'a': {'b': 1}}['a']['b'] }}{% endif %}", "%}1");
}

TEST(ChatTemplate, PrintsAsPythonDoes) {
  ExpectRenders(
      "{{ true }} {{ none }} {{ 1 }} {{ -1 }} {{ 1.0 }} {{ 1e22 }} {{ 0.1 + 0.2 }} {{ 1e-05 }}",
      "True None 1 -1 1.0 1e+22 0.30000000000000004 1e-05");
  ExpectRenders("{{ [1, 'a', none, true, \"it's\"] }}{{ (1,) }}{{ {'k': [1.5]} }}{{ 1, 2 }}",
                "[1, 'a', None, True, \"it's\"](1,){'k': [1.5]}(1, 2)");
  ExpectRenders("{{ 'a\\n\\t\\x41\\u00e9\\'\\q' }}", "a\n\tA\u00e9'\\q");
  ExpectRenders("{{ missing }}|{{ messages[9] }}|{{ messages[0].nothing }}", "||");
  ExpectRenders("{{ namespace(a=1, b='x') }}", "<Namespace {'a': 1, 'b': 'x'}>");
}

TEST(ChatTemplate, ComputesAsPythonDoes) {
  ExpectRenders(
      "{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 * 3 + 1 }} {{ 7.5 // -2 }} {{ true "
      "+ 1 }}",
      "3 -4 2 3.5 7 -4.0 2");
  ExpectRenders("{{ 'ab' * 2 ~ 1 ~ none }} {{ [1] + [2] }} {{ 'a' 'b' }}", "abab1None [1, 2] ab");
  ExpectRenders(
      "{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 'a' in 'abc' }} {{ 2 not in [1] }} {{ not 1 == 2 }}",
      "True False True True True");
  ExpectRenders(
      "{{ 0 or 'x' }} {{ 1 and 'y' }} {{ '' or none }} {{ 1 if false }}|{{ 1 if 0 else 2 }}",
      "x y None |2");
  ExpectRenders(
      "{{ -1 | string ~ 'x' }} {{ 2 + 3 | string | length }} {{ 1 is defined and 2 is not none }}",
      "-1x 3 True");
  ExpectRenders(
      "{{ 1 == 1.0 }} {{ 'a' == 1 }} {{ [1] == (1,) }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }}",
      "True False False True");
}

TEST(ChatTemplate, TakesPartsOfTextsAndLists) {
  ExpectRenders(
      "{{ messages[1].content[3:6] }}|{{ messages[1]['content'][::-1] }}|{{ messages[-1].role[0] "
      "}}",
      " \u00e9\U0001F600| \U0001F600\u00e9 iH |a");
  ExpectRenders(
      "{{ [1,2,3,4][1:] }}{{ [1,2,3,4][:-1] }}{{ [1,2,3,4][::2] }}{{ [1,2,3][5:] }}{{ 'abc'[-2:] "
      "}}",
      "[2, 3, 4][1, 2, 3][1, 3][]bc");
  ExpectRenders(
      "{{ messages[1].content | length }} {{ messages | length }} {{ {'a': 1}.get('b', 2) }}",
      "7 3 2");
}

TEST(ChatTemplate, LoopsAndVariables) {
  ExpectRenders(
      "{% for m in messages %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.previtem.role "
      "if not loop.first }};{% endfor %}",
      "1TrueFalse;2FalseFalsesystem;3FalseTrueuser;");
  ExpectRenders(
      "{% for m in messages if m.role != 'system' %}{{ loop.index0 }}/{{ loop.length }} {% else "
      "%}none{% endfor %}",
      "0/2 1/2 ");
  ExpectRenders("{% for x in [] %}a{% else %}none{% endfor %}", "none");
  ExpectRenders(
      "{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% "
      "set x = 3 %}{% endif %}{{ x }}",
      "213");
  ExpectRenders(
      "{% set ns = namespace(n=0) %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% endfor %}{{ "
      "ns.n }}",
      "6");
  ExpectRenders("{% set b %}<{{ 1 }}>{% endset %}{{ b }}{% set c | upper %}q{% endset %}{{ c }}",
                "<1>Q");
  ExpectRenders(
      "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}{% for c in 'x\u00e9' "
      "%}[{{ c }}]{% endfor %}",
      "a1b2[x][\u00e9]");
  ExpectRenders(
      "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 3 %}{% break %}{% endif "
      "%}{{ i }}{% endfor %}",
      "02");
  ExpectRenders("{% set a, b = 1, 2 %}{{ b }}{{ a }}{% generation %}g{% endgeneration %}", "21g");
}

TEST(ChatTemplate, MethodsFiltersAndTests) {
  ExpectRenders(
      "{{ ' a '.strip() }}|{{ 'xax'.strip('x') }}|{{ 'a b  c'.split() }}|{{ 'a,b,c'.split(',', 1) "
      "}}|{{ 'aXb'.title() }}",
      "a|a|['a', 'b', 'c']|['a', 'b,c']|Axb");
  ExpectRenders(
      "{{ 'abc'.startswith(('x', 'a')) }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', "
      "'-') }} {{ ', '.join(['a', 'b']) }}",
      "True bba -a-b- a, b");
  ExpectRenders(
      "{{ messages[1].content | trim }}|{{ [1, 2] | join('+') }}|{{ missing | default('d') }}|{{ "
      "'' | default('d', true) }}",
      "Hi \u00e9\U0001F600|1+2|d|d");
  ExpectRenders(
      "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first | "
      "trim | length }}",
      "5");
  ExpectRenders("{{ (messages | rejectattr('role', 'eq', 'user') | list | last).content }}", "Yo");
  ExpectRenders(
      "{{ {'a': [1, none, '\u00e9\"\\n']} | tojson }}{{ [1, {'b': 2}] | tojson(indent=2) }}",
      "{\"a\": [1, null, \"\u00e9\\\"\\n\"]}[\n  1,\n  {\n    \"b\": 2\n  }\n]");
  ExpectRenders("{{ '12' | int + 1 }} {{ 'x' | int }} {{ '1.9' | int }} {{ '2' | float }}",
                "13 0 1 2.0");
  ExpectRenders(
      "{{ messages is sequence }} {{ messages[0] is mapping }} {{ 'a' is string }} {{ true is "
      "number }} {{ 3 is odd }} {{ missing is defined }} {{ 4 is divisibleby 2 }}",
      "True True True True True False True");
  ExpectRenders(
      "{{ [1, 2] | map('string') | join('+') }} {{ [{'a': 1}, {}] | map(attribute='a', default=2) "
      "| list }}",
      "1+2 [1, 2]");
  ExpectRenders(
      "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}{{ 'a<b' | safe "
      "}}",
      "<s></s>TrueTruea<b");
}

TEST(ChatTemplate, FailsWhereJinjaRaises) {
  ExpectFails(
      "\n{{ missing.x }}",
      "t.jinja, line 2 of the template: 'missing' is undefined; choose another --prompt-format");
  ExpectFails("{{ missing + 'a' }}", "'missing' is undefined");
  ExpectFails("{{ messages[0].tools.name }}", "'tools' of a dict is undefined");
  ExpectFails("{{ 'a' + 1 }}", "+ between a str and a int");
  ExpectFails("{{ 1 / 0 }}", "division by zero");
  ExpectFails("{{ raise_exception('Roles\nmust alternate') }}",
              "the template refuses this conversation: Roles must alternate");
  ExpectFails("{% for x in 5 %}{% endfor %}", "a int is not iterable");
  ExpectFails("{% set a, b = [1] %}", "1 values for 2 variables");
  ExpectFails("{{ messages.append(1) }}", "the method append of a list is not supported");
}

TEST(ChatTemplate, NamesTheLineOfBadSyntax) {
  ExpectFails("a\n\n{% if x %}",
              "line 3 of the template: found the end of the template, expected {% endif %}");
  ExpectFails("{{ 1 + }}", "found \"}}\", expected an expression");
  ExpectFails("{{ 'a }}", "a string is not closed");
  ExpectFails("{{ [1 }}", "");
  ExpectFails("{# note", "a comment is not closed by #}");
  ExpectFails("{% endif %}", "found \"endif\", expected the start of a statement");
  ExpectFails("{{ a ? b }}", "unexpected character \"?\"");
  EXPECT_THAT(ErrorText([] { ChatTemplate("\xff", "t.jinja", {}); }),
              HasSubstr("t.jinja is not UTF-8 at byte 0"));
}

TEST(ChatTemplate, RefusesWhatIsOutsideOfTheSubset) {
  ExpectFails("\n{% macro f() %}{% endmacro %}",
              "line 2 of the template: the statement {% macro %} is not supported; choose another "
              "--prompt-format");
  ExpectFails("{% include 'x' %}", "{% include %} is not supported");
  ExpectFails("{{ 2 ** 3 }}", "the operator ** is not supported");
  ExpectFails("{{ [3, 1] | sort }}", "the filter sort is not supported");
  ExpectFails("{{ 'a' is upper }}", "the test upper is not supported");
  ExpectFails("{{ 'a'.zfill(3) }}", "the method zfill of a str is not supported");
  ExpectFails("{{ ''.__class__ }}", "the attribute __class__ is not supported");
  ExpectFails("{{ '\u00e9'.upper() }}", "beyond ASCII");
  ExpectFails("{{ 9223372036854775807 + 1 }}", "beyond 64 bits");
  ExpectFails("{{ 1e300 * 1e300 }}", "a float that is not finite");
}

TEST(ChatTemplate, BoundsWhatATemplateCosts) {
  ExpectFails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
              "too much work");
  ExpectFails("{{ 'a' * 9999999999 }}", "too much work");
  ExpectFails(
      "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x "
      "%}{% endfor %}",
      "too much work");
  ExpectFails(
      "{% set ns = namespace(x=[]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% "
      "endfor %}",
      "nested deeper");
  ExpectFails(
      "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% "
      "endfor %}{{ ns.x }}",
      "too much work");
  ExpectFails("{% set ns = namespace() %}{% set ns.x = [ns] %}",
              "a namespace that holds a namespace");
  ExpectFails("{{ " + std::string(9999, '(') + "1" + std::string(9999, ')') + " }}",
              "nested deeper");
  ExpectFails(
      "{{ 1" +
          [] {
            std::string s;
            for (int i = 0; i < 9999; ++i) s += "+1";
            return s;
          }() +
          " }}",
      "levels");
  std::string nested;
  for (int i = 0; i < 9999; ++i) nested += "{% if 1 %}";
  ExpectFails(nested, "nested deeper than 50 levels");
  ExpectFails(std::string((1 << 20) + 1, ' '), "larger than 1 MiB");
}

class Folder : public ::testing::Test {
 protected:
  std::string Text() {
    const auto found = LoadChatTemplate(temp_.path(), testing::ByteTokenizer());
    return found ? found->Render(kChat) : "(none)";
  }
  testing::TempDir temp_;
};

TEST_F(Folder, GivesTheJinjaFileBeforeTheConfig) {
  EXPECT_EQ(Text(), "(none)");
  temp_.Write("tokenizer_config.json", R"({"eos_token": "</s>", "bos_token": null})");
  EXPECT_EQ(Text(), "(none)");
  temp_.Write("tokenizer_config.json",
              R"({"chat_template": "c{{ eos_token }}", "eos_token": {"content": "<e>"}})");
  EXPECT_EQ(Text(), "c<e>");
  temp_.Write("chat_template.jinja", "j{{ eos_token }}{{ pad_token }}\n");
  EXPECT_EQ(Text(), "j<e>");
  temp_.Write("special_tokens_map.json", R"({"pad_token": "<p>", "eos_token": "<other>"})");
  EXPECT_EQ(Text(), "j<e><p>");
}

TEST_F(Folder, GivesTheNamedDefault) {
  temp_.Write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(Text(), "d");
  temp_.Write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "r"}]})");
  EXPECT_THAT(
      ErrorText([&] { Text(); }),
      HasSubstr("chat_template has no template named default; choose another --prompt-format"));
  temp_.Write("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_THAT(ErrorText([&] { Text(); }), HasSubstr("must be a string or a list"));
  temp_.Write("tokenizer_config.json", R"({"chat_template": "{% import 'x' %}"})");
  EXPECT_THAT(ErrorText([&] { Text(); }),
              HasSubstr("tokenizer_config.json: chat_template, line 1"));
}

}  // namespace
}  // namespace pivotal::data
