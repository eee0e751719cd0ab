"""Default table names follow English plural rules."""

import pytest

from ff_storage.core.model.plurals import plural, table_name


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("product", "products"),
        ("category", "categories"),
        ("day", "days"),
        ("key", "keys"),
        ("survey", "surveys"),
        ("class", "classes"),
        ("address", "addresses"),
        ("box", "boxes"),
        ("branch", "branches"),
        ("dish", "dishes"),
        ("status", "statuses"),
        ("bus", "buses"),
        ("alias", "aliases"),
        ("axis", "axes"),
        ("basis", "bases"),
        ("waltz", "waltzes"),
        ("photo", "photos"),
        ("video", "videos"),
        ("roof", "roofs"),
        ("index", "indexes"),
        ("house", "houses"),
        ("settings", "settings"),
        ("flights", "flights"),
        ("airlines", "airlines"),
        ("human", "humans"),
        ("salesperson", "salespeople"),
        ("grandchild", "grandchildren"),
        ("fireman", "firemen"),
        ("sha256", "sha256s"),
        ("y", "ys"),
    ],
)
def test_a_regular_word_follows_the_rules(word: str, expected: str) -> None:
    assert plural(word) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("aircraft", "aircraft"),
        ("analysis", "analyses"),
        ("appendix", "appendices"),
        ("calf", "calves"),
        ("child", "children"),
        ("criterion", "criteria"),
        ("curriculum", "curricula"),
        ("data", "data"),
        ("datum", "data"),
        ("deer", "deer"),
        ("echo", "echoes"),
        ("epoch", "epochs"),
        ("equipment", "equipment"),
        ("evidence", "evidence"),
        ("feedback", "feedback"),
        ("fish", "fish"),
        ("foot", "feet"),
        ("goose", "geese"),
        ("half", "halves"),
        ("hero", "heroes"),
        ("information", "information"),
        ("knife", "knives"),
        ("leaf", "leaves"),
        ("lens", "lenses"),
        ("life", "lives"),
        ("loaf", "loaves"),
        ("man", "men"),
        ("matrix", "matrices"),
        ("media", "media"),
        ("medium", "media"),
        ("metadata", "metadata"),
        ("money", "money"),
        ("mouse", "mice"),
        ("news", "news"),
        ("ox", "oxen"),
        ("person", "people"),
        ("phenomenon", "phenomena"),
        ("potato", "potatoes"),
        ("quiz", "quizzes"),
        ("self", "selves"),
        ("series", "series"),
        ("sheep", "sheep"),
        ("shelf", "shelves"),
        ("software", "software"),
        ("species", "species"),
        ("staff", "staff"),
        ("stomach", "stomachs"),
        ("thief", "thieves"),
        ("tomato", "tomatoes"),
        ("tooth", "teeth"),
        ("vertex", "vertices"),
        ("veto", "vetoes"),
        ("weather", "weather"),
        ("wife", "wives"),
        ("wolf", "wolves"),
        ("woman", "women"),
    ],
)
def test_an_irregular_word_comes_from_the_table(word: str, expected: str) -> None:
    assert plural(word) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Product", "products"),
        ("Category", "categories"),
        ("Person", "people"),
        ("OrderItem", "order_items"),
        ("HTTPServer", "http_servers"),
        ("APIKey", "api_keys"),
        ("URL", "urls"),
        ("UserHTTP", "user_https"),
        ("Order_Item", "order_items"),
        ("SalesPerson", "sales_people"),
        ("MedicalHistory", "medical_histories"),
        ("Sha256", "sha256s"),
        ("_Hidden", "_hiddens"),
        ("x", "xes"),
    ],
)
def test_a_class_name_becomes_snake_case_with_its_last_word_in_the_plural(name: str, expected: str) -> None:
    assert table_name(name) == expected
