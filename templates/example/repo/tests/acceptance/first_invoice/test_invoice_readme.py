from pathlib import Path

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_says_how_to_make_an_invoice():
    assert "invoice_csv(" in README.read_text(encoding="utf-8")
