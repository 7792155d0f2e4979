"""Renders chat templates with transformers and writes JSON lines {kind, template, messages, special, text}.

usage: transformers_chat.py SEED CASES OUT [FOLDER ...]
The templates are those of the model folders FOLDER, some in the style of the Phi family, and CASES random ones. "text" is
null where transformers raises an exception. Random templates that take more than 10 s are left out.
"""
import json
import pathlib
import random
import signal
import sys
import warnings

from transformers.utils.chat_template_utils import render_jinja_template

warnings.filterwarnings("ignore")
SPECIAL = {"bos_token": "<s>", "eos_token": "<|end|>"}
STYLES = [
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + "
    "message['content'] + '<|end|>' + '\n' + '<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}"
    "{{message['content'] + '<|end|>' + '\n'}}{% endif %}{% endfor %}",
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + "
    "message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + "
    "'<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}",
    "{% for message in messages %}{{'<|' + message['role'] + '|>' + '\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{- '<|assistant|>\n' -}}"
    "{% endif %}",
    "{{ '<|im_start|>system<|im_sep|>You reason first.' }}\n{%- set ns = namespace(seen=false, n=0) -%}\n"
    "{% for message in messages %}\n    {% if message['role'] == 'system' and loop.first %}\n"
    "{{- ' ' ~ message['content'] | trim -}}\n    {% elif message['role'] == 'assistant' %}\n"
    "{%- set content = message['content'].split('</think>')[-1].lstrip('\\n') -%}\n"
    "{{- '<|im_start|>assistant<|im_sep|>' + content + '<|im_end|>' -}}\n    {%- else -%}\n"
    "{%- set ns.n = ns.n + 1 -%}\n{{- '<|im_start|>' ~ message.role ~ '<|im_sep|>' ~ message.content ~ '<|im_end|>' -}}"
    "{%- endif -%}\n{%- endfor %}\n{%- if add_generation_prompt %}\n{{- '<|im_start|>assistant<|im_sep|>' ~ ns.n }}"
    "\n{%- endif %}\n",
    "{%- if messages[0]['role'] == 'system' -%}{%- set system = messages[0]['content'] -%}"
    "{%- set messages = messages[1:] -%}{%- else -%}{%- set system = '' -%}{%- endif -%}"
    "{%- for m in messages -%}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{ raise_exception('Conversation roles must alternate') }}{%- endif -%}"
    "{%- if loop.first and system %}{{ '<<' + system + '>>\n' }}{% endif -%}"
    "{{ m['content'] | tojson if loop.last else m['content'].strip() }}\n{% endfor -%}",
]
TEXTS = ["", " ", "Hi", " What is 2 + 2?\n", "caf\u00e9 \u4f60\u597d \U0001f600", "a\u00a0\u2003b\u3000", "<|end|>", "x" * 300,
         "it's \"so\"\t\\", "{{ x }}{% y %}", "\n\n", "<think>\nhm\n</think>\n\n4", "1,2,,3", "Aa Bb-cc (dd"]


def conversation(r):
    chat = [{"role": "system", "content": r.choice(TEXTS)}] if r.random() < 0.5 else []
    for i in range(r.randint(1, 6)):
        role = ("user", "assistant")[i % 2] if r.random() < 0.9 else r.choice(["user", "assistant", "system", "tool"])
        chat.append({"role": role, "content": r.choice(TEXTS)})
    return chat


class Expressions:
    """Makes random expressions; most of them are valid."""

    def __init__(self, r):
        self.r = r

    def pick(self, *choices):
        return self.r.choice(choices)

    def string(self, d):
        if d <= 0:
            return self.pick("'a'", "''", "' b '", '"it\'s"', "'x,y,z'", "messages[0].content", "messages[-1]['role']",
                             "bos_token", "t", "'caf\\u00e9'", "'\\n\\x41\\t'", "'aXb yZ-q'", "m.role")
        s, i = lambda: self.string(d - 1), lambda: self.integer(d - 1)
        return self.pick(
            lambda: f"({s()} + {s()})", lambda: f"({s()} ~ {self.any(d - 1)})", lambda: f"{s()}.strip()",
            lambda: f"{s()}.{self.pick('lstrip', 'rstrip', 'strip')}({self.pick(chr(39) + 'a b' + chr(39), s())})",
            lambda: f"{s()}.{self.pick('upper', 'lower', 'title', 'capitalize')}()",
            lambda: f"({s()} | {self.pick('trim', 'upper', 'lower', 'title', 'string', 'safe', 'capitalize')})",
            lambda: f"{s()}.replace({s()}, {s()})", lambda: f"({s()} | replace({s()}, {s()}, {i()}))",
            lambda: f"({s()})[{i()}]", lambda: f"({s()})[{self.maybe(i)}:{self.maybe(i)}{self.pick('', ':', ':2', ':-1')}]",
            lambda: f"({self.list(d - 1)} | join({s()}))", lambda: f"(({self.any(d - 1)}) | string)",
            lambda: f"{s()}.join({self.list(d - 1)})", lambda: f"(({self.any(d - 1)}) | tojson)",
            lambda: f"({s()} if {self.boolean(d - 1)} else {s()})", lambda: f"({s()} * {self.pick('0', '2', '-1', 'true', '3')})",
            lambda: f"(({self.any(d - 1)}) | default({s()}{self.pick('', ', true')}))", lambda: f"({s()} or {s()})",
        )()

    def maybe(self, f):
        return f() if self.r.random() < 0.7 else ""

    def integer(self, d):
        if d <= 0:
            return self.pick("0", "1", "2", "-1", "3", "7", "-4", "1_0", "true", "n", "loop.index", "loop.length")
        i = lambda: self.integer(d - 1)
        return self.pick(
            lambda: f"({i()} {self.pick('+', '-', '*', '//', '%')} {i()})", lambda: f"-{i()}", lambda: f"+{i()}",
            lambda: f"({self.any(d - 1)}) | length", lambda: f"({self.string(d - 1)}) | int",
            lambda: f"({self.number(d - 1)}) | int", lambda: f"{i()} + {i()} * {i()}", lambda: f"{self.list(d - 1)} | length",
            lambda: f"({i()} if {self.boolean(d - 1)} else {i()})",
        )()

    def number(self, d):
        if d <= 0:
            return self.pick("0.5", "1e3", "2.0", "1e-7", "1.5e300", "3", "-2.25", "1e16", "123456789.125")
        return self.pick(
            lambda: f"({self.number(d - 1)} {self.pick('+', '-', '*', '/', '//', '%')} {self.number(d - 1)})",
            lambda: f"({self.integer(d - 1)} / {self.integer(d - 1)})", lambda: f"({self.string(d - 1)}) | float",
            lambda: f"-{self.number(d - 1)}", lambda: self.integer(d - 1),
        )()

    def list(self, d):
        if d <= 0:
            return self.pick("[]", "[1, 2, 3]", "['a', 'b']", "messages", "(1, 'x')", "('a',)", "range(3)", "[none, true]",
                             "'a b c'.split()")
        e, i = lambda: self.any(d - 1), lambda: self.integer(d - 1)
        return self.pick(
            lambda: f"[{e()}, {e()}]", lambda: f"({e()}, {e()})", lambda: f"({self.list(d - 1)} + {self.list(d - 1)})",
            lambda: f"({self.list(d - 1)})[{self.maybe(i)}:{self.maybe(i)}]", lambda: f"({self.string(d - 1)}).split({self.pick('', self.string(d - 1))})",
            lambda: f"({self.list(d - 1)} | list)", lambda: f"({self.string(d - 1)} | list)", lambda: f"(range({i()}, {i()}) | list)",
            lambda: f"(messages | {self.pick('selectattr', 'rejectattr')}('role', {self.pick(repr('eq'), repr('ne'), repr('in'))}, {self.string(d - 1)}) | list)",
            lambda: "(messages | map(attribute='role') | list)", lambda: f"({self.dict(d - 1)}.items() | list)",
            lambda: f"({self.dict(d - 1)} | list)", lambda: f"({self.list(d - 1)} | {self.pick('select', 'reject')}({self.pick('', repr('string'), repr('defined'))}) | list)",
            lambda: f"({self.list(d - 1)} * {self.pick('0', '2', '-1')})",
        )()

    def dict(self, d):
        if d <= 0:
            return self.pick("{}", "{'a': 1}", "messages[0]", "{1: 'x', 'b': none}", "d")
        return f"{{{self.string(d - 1)}: {self.any(d - 1)}, 'k': {self.any(d - 1)}}}"

    def boolean(self, d):
        if d <= 0:
            return self.pick("true", "false", "missing", "none", "messages", "''", "1 < 2", "loop.first", "loop.last", "t is defined")
        a, b = lambda: self.any(d - 1), lambda: self.boolean(d - 1)
        return self.pick(
            lambda: f"({b()} and {b()})", lambda: f"({b()} or {b()})", lambda: f"not {b()}", lambda: f"({a()} == {a()})",
            lambda: f"({a()} != {a()})", lambda: f"({self.number(d - 1)} {self.pick('<', '<=', '>', '>=')} {self.number(d - 1)})",
            lambda: f"({self.string(d - 1)} {self.pick('<', '>=', 'in', 'not in')} {self.string(d - 1)})",
            lambda: f"({a()} {self.pick('in', 'not in')} {self.list(d - 1)})", lambda: f"({self.string(d - 1)} in {self.dict(d - 1)})",
            lambda: f"({self.integer(d - 1)} < {self.integer(d - 1)} {self.pick('<', '==', '>=')} {self.integer(d - 1)})",
            lambda: f"({a()} is {self.pick('', 'not ')}{self.pick('defined', 'undefined', 'none', 'string', 'mapping', 'sequence', 'iterable', 'number', 'integer', 'float', 'boolean', 'true', 'false', 'odd', 'even', 'divisibleby 2', 'eq 1', 'in [1, 2]')})",
            lambda: f"({self.string(d - 1)}).{self.pick('startswith', 'endswith')}({self.string(d - 1)})",
        )()

    def any(self, d):
        return self.pick(self.string, self.integer, self.number, self.list, self.dict, self.boolean, self.rare)(d)

    def rare(self, d):
        return self.pick("none", "missing", "missing.x", "messages[7]", "d.k", "d['a']", "d.get('z')", "d.get('z', 3)", "m",
                         f"({self.list(d - 1)} | {self.pick('first', 'last')})", f"({self.list(d - 1)})[{self.integer(d - 1)}]",
                         f"{self.dict(d - 1)}[{self.string(d - 1)}]", f"({self.any(d - 1)} if {self.boolean(d - 1)})" if d > 0 else "none",
                         "loop.previtem", "loop.nextitem.role", "ns.v", "namespace(a=1).a", "ns")

    def block(self, d):
        e = self.any(self.r.randint(0, 3))
        sign = lambda: self.pick("", "", "-", "+") if self.r.random() < 0.4 else ""
        minus = lambda: self.pick("", "-") if self.r.random() < 0.4 else ""
        space = lambda: self.pick("", " ", "\n", "  \n  ", " text ", "\n\n", "\u3000")
        tag = lambda body: "{%" + sign() + f" {body} " + sign() + "%}" + space()
        inner = lambda: self.block(d - 1) if d > 0 else space()
        return space() + self.pick(
            lambda: "{{" + minus() + f" {e} " + minus() + "}}", lambda: "{{ " + e + " }}", lambda: "{#" + minus() + " note " + sign() + "#}",
            lambda: tag(f"if {self.boolean(2)}") + inner() + tag(f"elif {self.boolean(1)}") + inner() + tag("else") + inner() + tag("endif"),
            lambda: tag(f"for m in {self.list(self.r.randint(0, 2))}{self.pick('', '', ' if m is string', ' if m')}") + inner() + inner() +
            self.pick("", tag("if loop.index > 1") + tag(self.pick("break", "continue")) + tag("endif")) + inner() +
            self.pick("", tag("else") + inner()) + tag("endfor"),
            lambda: tag(f"set {self.pick('t', 'n', 'd', 'x')} = {e}") + inner(), lambda: tag(f"set ns.v = {e}") + inner(),
            lambda: tag(f"set t{self.pick('', ' | upper', ' | trim | length')}") + inner() + tag("endset"),
            lambda: tag(f"for k, v in {self.dict(1)}.items()") + "{{ k }}={{ v }}" + inner() + tag("endfor"),
        )() + space()

    def template(self):
        return ("{% set t = 'Text' %}{% set n = 5 %}{% set d = {'a': 1, 'k': 'v'} %}{% set m = messages[0] %}"
                "{% set ns = namespace(v=1) %}" + "".join(self.block(2) for _ in range(self.r.randint(1, 3))))


class Slow(BaseException):
    pass


def alarm(number, frame):
    raise Slow


def render(template, chat, special):
    signal.setitimer(signal.ITIMER_REAL, 10)
    try:
        return render_jinja_template([chat], chat_template=template, add_generation_prompt=True, **special)[0][0]
    except Exception:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def templates_of(folders):
    for folder in map(pathlib.Path, folders):
        config = json.loads((folder / "tokenizer_config.json").read_text())
        file = folder / "chat_template.jinja"
        template = file.read_text(encoding="utf-8") if file.exists() else config.get("chat_template")
        if template:
            yield template, {k: config[k] for k in ("bos_token", "eos_token", "unk_token", "pad_token") if config.get(k)}


def main():
    seed, cases, out, folders = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    r = random.Random(seed)
    signal.signal(signal.SIGALRM, alarm)
    with open(out, "w", encoding="utf-8") as file:
        def write(kind, template, special, chat):
            row = {"kind": kind, "template": template, "messages": chat, "special": special,
                   "text": render(template, chat, special)}
            file.write(json.dumps(row) + "\n")

        for template, special in templates_of(folders):
            for _ in range(100):
                write("folder", template, special, conversation(r))
        for template in STYLES:
            for _ in range(100):
                write("style", template, SPECIAL, conversation(r))
        for _ in range(cases):
            try:
                write("random", Expressions(r).template(), SPECIAL, conversation(r))
            except Slow:
                pass


main()
