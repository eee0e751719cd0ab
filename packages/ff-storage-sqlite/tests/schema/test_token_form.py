"""The token form folds spelling, and nothing that means something."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ff_storage.sqlite.tokens import MAX_TEXT, UnreadableSQL, fold, partners, token_form, tokenize

COLUMNS = frozenset({"a", "b", "price", "select"})


def form(text: str) -> str:
    return token_form(tokenize(text), COLUMNS)


@pytest.mark.parametrize(
    "spellings",
    [
        ["a > 0", "a>0", " A\t>\n0 ", '"a" > 0', "[a] > 0", "`A` > 0", "(a > 0)", "(( a>0 ))", "a /* x */ > 0 -- end"],
        ["a <> 1 AND b = 2", "a != 1 and b == 2", "(a!=1 And(b)=2)".replace("(b)", " b")],
        ["a IS NOT NULL", "a is not null", '"A"is/**/not/**/null'],
        ["lower(a) LIKE 'X%'", "LOWER ( [a] ) like 'X%'", "\"lower\"(a) LIKE 'X%'"],
        ["b IN ('x', 'y')", "b in('x','y')", "b IN (\"x\", 'y')"],
        ['"select" = 1', "[SELECT] = 1", "`select`=1"],
        ["CASE WHEN a THEN 1 ELSE 2 END", "case when a then 1 else 2 end"],
        ["b COLLATE NOCASE = 'x'", "b collate \"nocase\" = 'x'"],
        ["a = x'AB01'", "a = X'ab01'"],
        ["a < 1e3", "a < 1E3"],
        ["zz.a > 1", '"zz" . [a] > 1'],
        ["a IS TRUE", "a is true"],
    ],
)
def test_one_meaning_in_many_spellings(spellings: list[str]) -> None:
    assert {form(spelling) for spelling in spellings} == {form(spellings[0])}


TWINS = [
    ("b = 'a  b'", "b = 'a b'"),
    ("b = 'A'", "b = 'a'"),
    ("b = 'it''s'", "b = 'its'"),
    ("b = 'a'", "b = 'a '"),
    ("a > 1", "a >= 1"),
    ("a = 1", "a IS 1"),
    ("a = 1", "a = '1'"),
    ("a = 1", "a = 1.0"),
    ("a = 1", "a = +1"),
    ("a = 1", "a = 01"),
    ("a = x'00'", "a = '00'"),
    ("a IN (1, 2)", "a IN (1, 2, 3)"),
    ("a IN (1, 2)", "a IN (2, 1)"),
    ("a - b - 1 > 0", "a - (b - 1) > 0"),
    ("a AND b OR a", "a AND (b OR a)"),
    ("(a) AND (b)", "(a AND b)"),
    ("a IS TRUE", 'a IS "true"'),
    ("a = CURRENT_DATE", "a = 'CURRENT_DATE'"),
    ("a IS NULL", "a IS 'null'"),
    ("a = price", "a = 'price'"),
    ("a = 'b'", 'a = "b"'),
    ('a = "Other"', 'a = "other"'),
    ("a > 0", "b > 0"),
    ("length(a) > 0", "octet_length(a) > 0"),
    ("CAST(a AS REAL) > 1", "CAST(a AS INTEGER) > 1"),
    ("b LIKE 'x'", "b GLOB 'x'"),
    ("a -> 'x'", "a ->> 'x'"),
    ("a || b", "a | b"),
    ("a < b", "a << b"),
    ("NOT a = b", "a <> b"),
    ("b = 'é'", "b = 'É'"),
    ("é > 1", "É > 1"),
    ("b = 'y' -- x", "b = 'y -- x'"),
    ("b = '/* */'", "b = ''"),
    ("b COLLATE NOCASE = 'x'", "b COLLATE RTRIM = 'x'"),
    ("a = 0x10", "a = 16"),
]


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_twins_stay_apart(one: str, other: str) -> None:
    assert form(one) != form(other)


def test_no_two_expressions_of_the_lists_are_taken_for_one() -> None:
    expressions = {text for pair in TWINS for text in pair}
    forms = {text: form(text) for text in expressions}
    for one, other in itertools.combinations(sorted(expressions), 2):
        assert forms[one] != forms[other], (one, other)


@pytest.mark.parametrize(
    "text",
    ["b = 'open", 'b = "open', "b = `open", "b = [open", "(a > 1", "a > 1)", ")(", "a = 1abc", "a = x'0'", "a ! b",
     "a = 'x' \0", "a ^ b", "a { b", "a = ?", "a = :name", "a = @name", "é\u2028 = \u2028\x0b"],
)  # fmt: skip
def test_what_is_no_sql_is_unreadable(text: str) -> None:
    with pytest.raises(UnreadableSQL):
        partners(tokenize(text))


@pytest.mark.parametrize("text", ["(" * 10_000 + "a" + ")" * 10_000, "((((a) > (1))))", "()", "(a)(b)"])
def test_nesting_is_no_recursion(text: str) -> None:
    assert form(text) == form(f"({text})") or text == "()"


@pytest.mark.parametrize(
    "text",
    ["(" * (MAX_TEXT // 2), ")" * MAX_TEXT, "'" * (MAX_TEXT - 1), '"' * (MAX_TEXT - 1), "(" * 10_000_000],
    ids=["opening", "closing", "quotes", "names", "huge"],
)
def test_hostile_texts_end(text: str) -> None:
    with pytest.raises(UnreadableSQL) as caught:
        partners(tokenize(text))
    assert len(str(caught.value)) < 200


def test_a_text_beyond_the_limit_is_not_read() -> None:
    with pytest.raises(UnreadableSQL, match="more than are read"):
        tokenize("a" * (MAX_TEXT + 1))


_NAMES = st.sampled_from(["a", "b", "price", "Case", "x y", 'q"t', "é", "select", "1a", "`", "]"])


@st.composite
def expressions(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Pairs of (kind, content), one a token."""
    token = st.one_of(
        st.tuples(st.just("name"), _NAMES),
        st.tuples(st.just("string"), st.text(alphabet="ab'\"\n ;-/*()é", max_size=6)),
        st.tuples(st.just("number"), st.sampled_from(["0", "12", "1.5", "0x1f", "1e9"])),
        st.tuples(
            st.just("operator"), st.sampled_from(["=", "<>", "<", ">=", "||", "+", ",", "AND", "OR", "IS", "NOT"])
        ),
    )
    return draw(st.lists(token, min_size=1, max_size=8))


def _spell(draw: st.DrawFn, kind: str, content: str) -> str:
    if kind == "name":
        quotings = ['"' + content.replace('"', '""') + '"', "`" + content.replace("`", "``") + "`"]
        if "]" not in content:
            quotings.append(f"[{content}]")
        return draw(st.sampled_from(quotings))
    if kind == "string":
        return "'" + content.replace("'", "''") + "'"
    if kind == "operator":
        variants = {"=": ["=", "=="], "<>": ["<>", "!="]}.get(content, [content, content.lower()])
        return draw(st.sampled_from(variants))
    return content


@given(st.data())
def test_the_form_depends_on_the_tokens_alone(data: st.DataObject) -> None:
    tokens = data.draw(expressions())
    names = frozenset(fold(content) for kind, content in tokens if kind == "name")
    blanks = st.sampled_from([" ", "\n", " /* ' */ ", ' -- "\n'])
    spelled = [data.draw(blanks).join(_spell(data.draw, kind, content) for kind, content in tokens) for _ in range(2)]
    assert token_form(tokenize(spelled[0]), names) == token_form(tokenize(spelled[1]), names)


@given(expressions(), expressions())
def test_the_form_tells_tokens_apart(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    def folded(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return [(kind, fold(content) if kind == "name" else content) for kind, content in tokens]

    names = frozenset(fold(content) for kind, content in [*one, *other] if kind == "name")

    def spell(tokens: list[tuple[str, str]]) -> str:
        quoted = {
            "name": lambda c: '"' + c.replace('"', '""') + '"',
            "string": lambda c: "'" + c.replace("'", "''") + "'",
        }
        return " ".join(quoted.get(kind, lambda c: c)(content) for kind, content in tokens)

    same = token_form(tokenize(spell(one)), names) == token_form(tokenize(spell(other)), names)
    assert same == (folded(one) == folded(other))
