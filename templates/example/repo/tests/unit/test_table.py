from stint.table import render


def test_columns_are_aligned():
    rows = [("acme", "10:05"), ("bakery", "2:35")]

    assert render(rows) == "acme    10:05\nbakery   2:35"


def test_no_rows_make_no_table():
    assert render([]) == ""
